"""What commands about streams, buckets and objects have at hand: a connection, its JetStream, and the server's JSON as it comes.

``run`` opens it for the time of one coroutine. Where the library refuses an argument with a ValueError, that is a mistake of who typed
it and not of midge: it becomes one line, as the server's own refusals do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from midge.cli.answers import stream_answer
from midge.cli.target import Target, run_async, target_options
from midge.errors import MidgeError
from midge.jetstream.names import check_name
from midge.jetstream.requests import Requests, api_prefix

if TYPE_CHECKING:
    from midge.client.client import Client
    from midge.jetstream.context import JetStream

__all__ = ["Api", "js_options", "js_parameters", "opened", "run", "run_guarded"]

T = TypeVar("T")


class Api:
    """One connection's JetStream.

    Attributes:
        client: the connection.
        timeout: seconds that an answer may take.
        requests: to the API.
    """

    def __init__(self, client: Client, target: Target) -> None:
        self.client = client
        self.timeout = target.timeout
        self._target = target
        self.requests = Requests(client, api_prefix(target.domain, target.prefix), target.timeout)

    @cached_property
    def js(self) -> JetStream:
        """The library's JetStream, which not every command needs, and which takes its time to import."""
        return self.client.jetstream(domain=self._target.domain, prefix=self._target.prefix, timeout=self.timeout)

    async def ask(self, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask for something such as ``STREAM.INFO.orders`` and return the server's answer, all of it.

        Raises:
            JetStreamError: it was refused.
            MidgeTimeoutError: no answer came in time.
        """
        return await self.requests.ask(name, body)

    async def stream_info(self, stream: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the server's description of a stream.

        Raises: as ``ask``; MalformedAnswerError where it describes none.
        """
        return stream_answer(await self.ask(f"STREAM.INFO.{check_name(stream)}", body))

    def pages(self, name: str, field: str, body: dict[str, Any] | None = None) -> AsyncIterator[Any]:
        """Iterate over all that is listed."""
        return self.requests.pages(name, field, body)


def js_parameters(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options that say which JetStream is meant, as ``domain`` and ``prefix``."""
    command = click.option("--js-api-prefix", "prefix", metavar="PREFIX", help="What the API's subjects begin with, instead of $JS.API.")(
        command
    )
    return click.option("--js-domain", "domain", metavar="DOMAIN", help="The JetStream domain.")(command)


def js_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options of a Target with those of JetStream, and the Target as its first argument."""
    return target_options(js_parameters(command))


def run(target: Target, name: str, main: Callable[[Api], Awaitable[T]], *, for_good: bool = False) -> T:
    """Run a coroutine with a connection, which has a name.

    Args:
        for_good: the connection outlives its server, for what goes on until it is interrupted.

    Raises:
        MidgeError: what the server, the network or the library says.
    """

    async def connected() -> T:
        async with opened(target, name, for_good=for_good) as api:
            return await main(api)

    return run_guarded(connected())


def run_guarded(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; where the library refuses an argument, that is a MidgeError, too."""
    try:
        return run_async(main)
    except (ValueError, TypeError) as error:
        if isinstance(error, MidgeError):
            raise
        raise MidgeError(str(error)) from error


@asynccontextmanager
async def opened(target: Target, name: str, *, for_good: bool = False) -> AsyncIterator[Api]:
    """Connect; what the server has refused without a caller is raised at the end."""
    async with target.connect_for_good(name) if for_good else target.connect(name) as client:
        yield Api(client, target)
    target.raise_errors()
