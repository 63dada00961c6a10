"""Runs tests that are coroutine functions: each in an event loop of its own that forgives nothing.

What nobody was there to hear fails the test: an exception in a callback or in a task that was never asked for its result, a
coroutine that was never awaited, a socket that was never closed. A test that takes ``loop_factory`` runs in each kind of loop.
"""

import asyncio
import gc
import inspect
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=["asyncio", pytest.param("uvloop", marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="no uvloop"))])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes the event loop that the test runs in."""
    if request.param == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    factory: LoopFactory = uvloop.new_event_loop
    return factory


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    unheard: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        await pyfuncitem.obj(**arguments)

    with asyncio.Runner(loop_factory=arguments.get("loop_factory", asyncio.new_event_loop)) as runner:
        runner.run(main())
    arguments.clear()
    del main
    gc.collect()
    assert not unheard, unheard
    return True
