"""Search: for the first link, and for another when one is lost, one attempt after the other.

Which server is next is the pool's business; this is the task that asks it, waits where a pass over all servers is over, and tries. The
first pass follows a loss at once. Then it waits with full jitter: any time up to a bound, so that a thousand clients do not come back
together. The bound is short for the first passes, as long as a server is likely to be just restarting, and then doubles.

It ends the connection where all servers are used up, or where one refuses our credentials twice in a row in the same words: the second
time they were asked for anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from midge.client.attempt import connect_error
from midge.client.callbacks import call, is_cancelled
from midge.client.driver import Driver
from midge.client.pool import Server, longest_wait
from midge.client.states import Event
from midge.errors import AuthorizationError, MidgeError, ServerError
from midge.events import ReconnectFailed

if TYPE_CHECKING:
    from midge.client.connection import Connection

__all__ = ["Search"]

log = logging.getLogger("midge.client")

LASTING_SECONDS = 1.0  # a link that stood for so long was a good one: what failed before does not count


class Search:
    """Finds links for one connection.

    Attributes:
        attempts: how many were made since the link was lost.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hurried: asyncio.Event | None = None
        self._is_demanded = False  # somebody asked for this pass: its failures are not counted
        self._is_opening = False
        self._linked_at = self._lost_at = 0.0
        self.attempts = 0

    async def open(self) -> None:
        """Connect to the first server that lets us in.

        Raises:
            ConnectError: none did; it says why, for each. ConnectAuthorizationError, where all refused our credentials.
            RuntimeError: this is under way.
        """
        if self._is_opening:
            raise RuntimeError("connected already: call connect() again for another connection")
        self._is_opening = True
        connection = self._connection
        try:
            for server in connection.pool.servers():
                attempt = connection.new_attempt(server)
                try:
                    driver = await attempt.run()
                except (OSError, MidgeError) as error:
                    self._note_failure(server, error)
                else:
                    self._take(server, driver, attempt.refusal)
                    return
        finally:
            self._is_opening = False
        failure = connect_error(connection.pool.errors())
        if not connection.options.retry_on_failed_connect:
            raise failure
        connection.happen(Event.LOST, failure)

    def is_possible(self, cause: Exception | None) -> bool:
        """True if a link that was lost for this reason is to be followed by another."""
        connection = self._connection
        server = connection.pool.current
        is_final = server is not None and connection.pool.note_refusal(server, _refusal_text(cause))
        return connection.options.max_reconnects != 0 and not is_final

    def note_link(self) -> None:
        """There is a link."""
        self._linked_at = asyncio.get_running_loop().time()

    def note_move(self) -> None:
        """The next link replaces one that is not lost."""
        self.attempts = 1
        self._lost_at = asyncio.get_running_loop().time()

    def start(self) -> None:
        """The link is lost: look for another."""
        connection = self._connection
        self._hurried = asyncio.Event()
        self.attempts = 0
        self._lost_at = asyncio.get_running_loop().time()
        if connection.was_connected and self._lost_at - self._linked_at >= LASTING_SECONDS:
            connection.pool.begin_anew()
        connection.run(self._search())

    def hurry(self) -> None:
        """Try all servers now; what fails is not counted."""
        self._is_demanded = True
        self._connection.pool.begin_anew()
        if self._hurried is not None:
            self._hurried.set()

    def seconds(self) -> float:
        """Return how long it took."""
        return self._linked_at - self._lost_at

    # Private

    def _take(self, server: Server, driver: Driver, refusal: ServerError | None) -> None:
        """An attempt has succeeded. ``refusal`` is what the server said all the same."""
        self._connection.pool.note_success(server)
        self._connection.take_driver(driver, refusal)

    def _note_failure(self, server: Server, error: Exception) -> bool:
        """An attempt has failed. True if the server has said the same twice: that our credentials are not good."""
        pool = self._connection.pool
        _forget_frames(error)
        pool.note_error(server, error)
        return pool.note_refusal(server, _refusal_text(error))

    async def _search(self) -> None:
        connection = self._connection
        try:
            cause = await self._find_link()
        except Exception as error:  # the safety net: a bug of ours must not leave a client that waits for ever
            log.exception("internal error, giving up the connection")
            cause = error
        if cause is not None:
            connection.happen(Event.GIVEN_UP, cause)

    async def _find_link(self) -> Exception | None:
        """Try one server after the other until there is a link, or none is wanted. Returns why there is no use in going on, or None."""
        connection = self._connection
        while connection.is_searching():
            server = await self._next_server()
            if server is None:
                return connect_error(connection.pool.errors())
            if connection.is_searching() and (cause := await self._try(server)) is not None:
                return cause
        return None

    async def _try(self, server: Server) -> Exception | None:
        """Try one server. Returns why there is no use in going on, or None."""
        connection = self._connection
        self.attempts += 1
        attempt = connection.new_attempt(server)
        try:
            driver = await attempt.run()
        except asyncio.CancelledError as cancelled:
            if is_cancelled():
                raise
            error: Exception = RuntimeError(f"something that was waited for was cancelled: {cancelled!r}")
        except Exception as failure:  # whatever keeps us out, also what a callback of the application's raised: the next try may succeed
            error = failure
        else:
            self._is_demanded = False
            self._take(server, driver, attempt.refusal)
            return None
        is_final = self._note_failure(server, error)
        connection.emit(ReconnectFailed(server.url, error, self.attempts))
        if not self._is_demanded:
            connection.pool.count_failure(server)
        await asyncio.sleep(0)  # a server of this process refuses without a wait, and a delay may be none
        return error if is_final else None

    async def _next_server(self) -> Server | None:
        """Return the server to try now, having waited where that is due."""
        pool, options = self._connection.pool, self._connection.options
        if options.choose_server is not None and (chosen := await self._ask_for_server(options.choose_server)) is not None:
            server, delay = chosen
            await self._wait(delay)
            return server
        next_server = pool.next()
        if next_server is not None and pool.is_pass_over(next_server):
            self._is_demanded = False
            await self._wait(await self._delay())
            pool.begin_pass()
        return pool.next()

    async def _delay(self) -> float:
        """Return how many seconds to wait after a pass."""
        options, passes = self._connection.options, self._connection.pool.passes + 1
        if options.reconnect_delay is not None:
            delay = await self._ask("reconnect_delay", options.reconnect_delay, passes)
            if delay is not None and self._is_delay(delay, "reconnect_delay"):
                return float(delay)
        return random.uniform(0, longest_wait(passes, options.reconnect_wait, options.reconnect_max_wait))

    async def _ask_for_server(self, choose: Callable[..., Any]) -> tuple[Server, float] | None:
        """Return what the application wants to be tried; None where that is for us to say."""
        pool = self._connection.pool
        answer = await self._ask("choose_server", choose, [server.url for server in pool.servers()], self._connection.last_info())
        if answer is None:
            return None
        if not isinstance(answer, tuple) or len(answer) != 2:
            self._report("choose_server", TypeError(f"it returns a server's URL, or None, and a number of seconds, not {answer!r}"))
            return None
        url, delay = answer
        server = pool.next() if url is None else pool.find(url)
        if server is None and url is not None:
            self._report("choose_server", ValueError(f"{url!r} is none of the servers"))
        if server is None or not self._is_delay(delay, "choose_server"):
            return None
        return server, float(delay)

    async def _ask(self, name: str, callback: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a callback of the application's returns; None where it raises, which is reported."""
        try:
            return await call(callback, *arguments)
        except Exception as error:
            self._report(name, error)
        return None

    def _is_delay(self, delay: Any, name: str) -> bool:
        if isinstance(delay, (int, float)) and delay >= 0:
            return True
        self._report(name, TypeError(f"a delay is a number of seconds, not {delay!r}"))
        return False

    def _report(self, name: str, error: Exception) -> None:
        self._connection.report(error, f"in {name}")

    async def _wait(self, seconds: float) -> None:
        """Wait, unless somebody is in a hurry."""
        assert self._hurried is not None
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            pass
        self._hurried.clear()


def _forget_frames(error: BaseException) -> None:
    """Drop an expected error's traceback: it leads to the link, its buffers and all else that the attempt was made of, and the error may
    wait in a pool or with a thousand events. What is its cause, such as what a callback raised, keeps its own.
    """
    if isinstance(error, (OSError, MidgeError)):
        error.__traceback__ = None
        if error.__suppress_context__:
            error.__context__ = None


def _refusal_text(error: Exception | None) -> str | None:
    """Return what an authorization refusal says; None for everything else. A server that had no time for us has not refused us."""
    if isinstance(error, AuthorizationError) and "timeout" not in error.text.lower():
        return error.text
    return None
