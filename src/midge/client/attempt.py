"""One attempt to reach one server: dial, (TLS, once it is there), INFO, CONNECT, PONG, all within one deadline.

It gives a driver whose session is open, or an error, and then leaves no socket behind.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any, Protocol, runtime_checkable

from midge.client.driver import Driver
from midge.client.refusals import read_refusal
from midge.client.servers import Address
from midge.client.session import Session
from midge.client.states import Happening, Opened, Refused
from midge.errors import AuthorizationError, ConnectAuthorizationError, ConnectError, MidgeTimeoutError, ServerError
from midge.link import Link
from midge.link.readiness import LoopReadiness
from midge.link.socket import SocketLink
from midge.wire.outbox import Outbox

__all__ = ["Attempt", "InProcessServer", "connect_error", "dial"]

NEXT_ADDRESS_SECONDS = 0.25  # how long the next address of a name waits for this one (RFC 8305's Connection Attempt Delay)


@runtime_checkable
class InProcessServer(Protocol):
    """A server in this process: it can be connected to without a socket."""

    @property
    def url(self) -> str: ...

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> Link: ...


class Attempt:
    """One attempt.

    Args:
        loop: the running event loop.
        server: what to connect to.
        session: a new session; the attempt opens it.
        timeout: seconds for everything.

    Attributes:
        refusal: what the server said in an -ERR that has not kept us out, if it did.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Address | InProcessServer, session: Session, timeout: float | None) -> None:
        self.refusal: ServerError | None = None
        self._loop = loop
        self._server = server
        self._timeout = timeout
        self._driver = Driver(loop, session, self)
        self._opened: asyncio.Future[None] = loop.create_future()
        self._cause: BaseException | None = None

    async def run(self) -> Driver:
        """Return a driver whose session is open.

        Raises:
            OSError: the server cannot be reached.
            MidgeError: it does not let us in, or is none.
        """
        try:
            async with asyncio.timeout(self._timeout):
                self._driver.start(await self._dial())
                await self._opened
            if self._cause is not None:  # opened and lost in the same turn of the loop
                raise self._cause
        except TimeoutError as error:
            self._driver.close()
            if str(error):  # the system's, for a socket; ours says nothing of itself
                raise
            raise self.refusal or MidgeTimeoutError("connecting", self._timeout) from None
        except BaseException:
            self._driver.close()
            raise
        return self._driver

    async def _dial(self) -> Link:
        outbox = self._driver.session.outbox
        if not isinstance(self._server, Address):
            return self._server.open_link(self._loop, outbox)
        sock = await dial(self._loop, self._server)
        try:
            return SocketLink(LoopReadiness(self._loop), None, sock, outbox)
        except OSError:  # gone already: the socket's options cannot be set
            sock.close()
            raise

    # What the driver says

    def driver_heard(self, happening: Happening) -> None:
        if type(happening) is Opened and not self._opened.done():
            self._opened.set_result(None)
        elif type(happening) is Refused:
            self.refusal = read_refusal(happening.text).error

    def driver_lost(self, cause: BaseException) -> None:
        self._driver.close()
        self._cause = self.refusal or cause
        if not self._opened.done():
            self._opened.set_exception(self._cause)


def connect_error(refusals: list[tuple[str, BaseException]]) -> ConnectError:
    """Return the error for a client that no server let in, with what the servers refused as its cause."""
    errors = [error for _, error in refusals]
    denied = bool(errors) and all(isinstance(error, AuthorizationError) for error in errors)
    error = ConnectAuthorizationError(refusals) if denied else ConnectError(refusals)
    error.__cause__ = errors[0] if len(errors) == 1 else BaseExceptionGroup("no server let us in", errors)
    return error


async def dial(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    """Return a connected, non-blocking TCP socket.

    Each address that the host name has is tried, the families taking turns. The next is tried when the one before has failed or has
    been silent for a moment, and the first that answers is taken ("happy eyeballs", RFC 8305).

    Raises:
        OSError: none of them can be reached; it is the last one's error.
    """
    targets = _interleave(await _resolve(loop, address))
    if len(targets) == 1:
        return await _connect(loop, *targets[0])
    problem: OSError | None = None
    tasks: set[asyncio.Task[socket.socket]] = set()
    try:
        while targets or tasks:
            if targets:
                tasks.add(asyncio.ensure_future(_connect(loop, *targets.popleft())))
            done, tasks = await asyncio.wait(tasks, timeout=NEXT_ADDRESS_SECONDS if targets else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    sock = task.result()
                except OSError as error:
                    problem = error
                else:
                    tasks |= done - {task}
                    return sock
    finally:
        for task in tasks:
            task.add_done_callback(_close_loser)
            task.cancel()
    raise problem or OSError(f"{address.host} has no address")


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(loop: asyncio.AbstractEventLoop, family: int, kind: int, protocol: int, target: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolve(loop: asyncio.AbstractEventLoop, address: Address) -> list[tuple[int, int, int, Any]]:
    try:
        try:  # what is an address already needs no thread to be looked up in
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long; it is not an OSError
        raise OSError(f"{address.host!r} cannot be a host name: {error}") from error
    return [(family, kind, protocol, target) for family, kind, protocol, _, target in found]


def _interleave(found: list[tuple[int, int, int, Any]]) -> deque[tuple[int, int, int, Any]]:
    """Let the families take turns, in the order in which the resolver prefers them: one that is broken costs one delay, not many."""
    families: dict[int, deque[tuple[int, int, int, Any]]] = {}
    for target in found:
        families.setdefault(target[0], deque()).append(target)
    order: deque[tuple[int, int, int, Any]] = deque()
    while families:
        for family in list(families):
            order.append(families[family].popleft())
            if not families[family]:
                del families[family]
    return order
