"""One attempt to reach one server: dial, INFO, TLS, credentials, CONNECT, PONG, all within one deadline.

It gives a driver whose session is open, or an error, and then leaves no socket behind.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from midge.client.dial import dial
from midge.client.driver import Driver
from midge.client.handshake import ServerInfo
from midge.client.pool import Shuffle
from midge.client.refusals import read_refusal
from midge.client.servers import Address
from midge.client.session import Session
from midge.client.states import Greeted, Happening, Opened, Refused
from midge.client.tls import Security
from midge.client.websocket import WebSocketRequest
from midge.errors import (
    AuthorizationError,
    ConnectAuthorizationError,
    ConnectError,
    MidgeTimeoutError,
    RemoteProtocolError,
    ServerError,
    TLSError,
)
from midge.link import Link
from midge.link.readiness import LoopReadiness
from midge.link.socket import SocketLink
from midge.link.tls import TlsLink
from midge.wire.outbox import Outbox

__all__ = ["Attempt", "InProcessServer", "connect_error"]


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
        security: what TLS there is to be.
        websocket: what to ask for where the server is reached by a WebSocket.
        connect_line: makes the JSON of CONNECT from what the server said of itself; it may ask the application for credentials.
        timeout: seconds for everything.
        shuffle: puts the addresses of a name into an order of our own, in place; None keeps the resolver's.

    Attributes:
        refusal: what the server said in an -ERR that has not kept us out, if it did.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, server: Address | InProcessServer, session: Session, security: Security,
        websocket: WebSocketRequest | None, connect_line: Callable[[ServerInfo], Awaitable[bytes]], timeout: float | None,
        shuffle: Shuffle | None,
    ) -> None:  # fmt: skip
        self.refusal: ServerError | None = None
        self._loop = loop
        self._server = server
        self._session = session
        self._security = security
        self._context: ssl.SSLContext | None = None
        self._plain: SocketLink | None = None  # what may still have to be encrypted
        self._websocket = websocket
        self._connect_line = connect_line
        self._timeout = timeout
        self._shuffle = shuffle
        self._driver = Driver(loop, session, self)
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._cause: Exception | None = None

    async def run(self) -> Driver:
        """Return a driver whose session is open.

        Raises:
            OSError: the server cannot be reached.
            MidgeError: it does not let us in, or is none.
        """
        try:
            async with asyncio.timeout(self._timeout):
                self._driver.start(await self._dial())
                await self._greeted
                await self._secure()
                self._session.say_connect(await self._connect_line(self._session.info))
                self._driver.schedule()
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
        if not isinstance(self._server, Address):
            return self._server.open_link(self._loop, self._session.outbox)
        upgrade = None if self._websocket is None else await self._websocket.upgrade(self._security.is_wanted)
        if self._security.is_wanted:
            self._context = await self._security.context()  # while the server does not wait for us yet
        sock = await dial(self._loop, self._server, self._shuffle)
        try:
            if self._websocket is not None and upgrade is not None:
                inner = Outbox()
                return self._websocket.link(self._loop, self._session, self._carrier(sock, inner), inner, upgrade)
            return self._carrier(sock, self._session.outbox)
        except (OSError, TLSError):  # gone already: the socket's options cannot be set
            sock.close()
            raise

    def _carrier(self, sock: socket.socket, outbox: Outbox) -> Link:
        """Return the link that is on the socket itself."""
        if self._context is not None and self._security.comes_first:
            return self._encrypted(sock, outbox, self._context)
        link = SocketLink(LoopReadiness(self._loop), None, sock, outbox)
        if self._websocket is None:
            self._plain = link
        return link

    async def _secure(self) -> None:
        """Encrypt the link, unless it is encrypted or need not be."""
        plain = self._plain
        if self._websocket is not None or (plain is None and self._context is not None):
            return
        if not self._security.is_needed(self._session.info) or plain is None:
            return
        if self._session.parser.has_more():
            raise RemoteProtocolError("more than INFO came before TLS: who has sent that can be anybody")
        sock = plain.detach()  # before anything is awaited: nothing more is read that is not encrypted
        try:
            context = self._context or await self._security.context()
            link = self._encrypted(sock, self._session.outbox, context)
        except BaseException:
            sock.close()
            raise
        self._driver.start(link)
        while not link.secured and self._cause is None:
            await self._driver.progress.wait()
        if self._cause is not None:
            raise self._cause

    def _encrypted(self, sock: socket.socket, outbox: Outbox, context: ssl.SSLContext) -> TlsLink:
        name = self._security.server_name
        try:
            return TlsLink(LoopReadiness(self._loop), None, sock, outbox, context, server_hostname=name)
        except ValueError as error:  # a name that no certificate can be for
            raise TLSError(f"{name}: {error}") from error

    # What the driver says

    def driver_heard(self, happening: Happening) -> None:
        if type(happening) is Greeted and not self._greeted.done():
            self._greeted.set_result(None)
        elif type(happening) is Opened and not self._opened.done():
            self._opened.set_result(None)
        elif type(happening) is Refused:
            self.refusal = read_refusal(happening.text).error

    def driver_lost(self, cause: Exception) -> None:
        self._driver.close()
        self._cause = self.refusal or cause
        for step in (self._greeted, self._opened):  # one of them is awaited
            if not step.done():
                step.set_exception(self._cause)
                step.exception()  # nobody need take it: what is awaited raises it


def connect_error(refusals: list[tuple[str, Exception]]) -> ConnectError:
    """Return the error for a client that no server let in, with what the servers refused as its cause."""
    errors = [error for _, error in refusals]
    denied = bool(errors) and all(isinstance(error, AuthorizationError) for error in errors)
    error = ConnectAuthorizationError(refusals) if denied else ConnectError(refusals)
    error.__cause__ = errors[0] if len(errors) == 1 else ExceptionGroup("no server let us in", errors)
    return error
