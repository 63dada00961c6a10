"""Runs tests that are coroutine functions: each in an event loop of its own that forgives nothing.

What nobody was there to hear fails the test: an exception in a callback or in a task that was never asked for its result, a
coroutine that was never awaited, a socket that was never closed. A test that takes ``loop_factory`` runs in each kind of loop.
What a test measures that is no condition, it gives to ``figure``; the end of the run shows it.
"""

import asyncio
import gc
import inspect
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from certificates import Files

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
FIGURES = pytest.StashKey[list[str]]()

# A job in the background of a script inherits that interrupts are ignored, and what the tests start would inherit it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def eager_event_loop() -> asyncio.AbstractEventLoop:
    """A loop whose tasks begin inside the call that makes them."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
    return loop


def uvloop_event_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS: dict[str, tuple[LoopFactory, bool]] = {
    "asyncio": (asyncio.new_event_loop, True),
    "eager": (eager_event_loop, sys.version_info >= (3, 12)),
    "uvloop": (uvloop_event_loop, find_spec("uvloop") is not None),
}


@pytest.fixture(params=[name for name, (_, is_here) in LOOPS.items() if is_here])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes the event loop that the test runs in."""
    return LOOPS[request.param][0]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes a line for the end of the run."""
    lines = request.config.stash.setdefault(FIGURES, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(FIGURES, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


def pytest_collection_finish() -> None:
    """What there is now stays to the end: after every test the garbage is collected, and that need not look at all of this."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    unheard: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        await pyfuncitem.obj(**arguments)

    factory: Any = arguments.get("loop_factory", asyncio.new_event_loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    arguments.clear()
    del main
    gc.collect()
    assert not unheard, unheard
    return True


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A server's certificates in a directory of the test's own."""
    return Files(tmp_path)
