"""Server: the NATS server inside your process. Listens, accepts, and drives the pure hub with asyncio.

    async with Server(port=0) as server:      in the caller's event loop
    with Server(port=0) as server:            in an event loop of its own thread

Either way it is ready, listening and reachable when the block is entered, and everything is closed when it is left. Any number
of servers can live in one process. A client in the same process can connect without a socket: ``midge.connect(server)``.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import socket
import threading
from concurrent.futures import Future
from typing import Any

from midge.errors import ServerStartError
from midge.link.memory import MemoryLink
from midge.link.reactor import Reactor
from midge.link.readiness import LoopReadiness
from midge.link.socket import SocketLink
from midge.server.connection import Connection
from midge.server.hub import NATS_VERSION, Hub
from midge.server.options import Options
from midge.server.session import SERVER_SHUTDOWN
from midge.wire.outbox import Outbox

__all__ = ["Server"]

log = logging.getLogger("midge.server")

BACKLOG = 1024
ACCEPT_BATCH = 64
SHORTEST_PAUSE = 0.01  # seconds to wait where the process has no file descriptor left; doubled each time, as in nats-server
LONGEST_PAUSE = 1.0
STOP_SECONDS = 2.0  # how long a stopping server waits for clients to take what is on its way to them
_SERVER_PREFIX = 13 << 3  # the nkey prefix "N"


class Server:
    """A NATS server.

    Args:
        options: an Options, for those who have one; otherwise the keywords below make it.
        host: the address to listen on, 127.0.0.1 by default.
        port: the port, 4222 by default; 0 or -1 takes a free one, see ``port`` and ``url`` afterwards.
        listen: False opens no port: only clients of the same process can connect.
        **more: every other field of Options, by name.

    Raises:
        ValueError: an option has a value that makes no sense.
        TypeError: there is no such option.
        ServerStartError: on entering, where the server cannot listen.
    """

    def __init__(
        self, options: Options | None = None, *, host: str | None = None, port: int | None = None, listen: bool = True, **more: Any
    ) -> None:
        given = more | {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        if options is not None and given:
            raise TypeError("give an Options or keywords, not both")
        self.options = Options(**given) if options is None else options
        self.host = self.options.host
        self.port = max(self.options.port, 0)
        self._listen = listen
        self._hub: Hub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: socket.socket | None = None
        self._pause = SHORTEST_PAUSE
        self._accept_timer: asyncio.TimerHandle | None = None
        self._connections: set[Connection] = set()
        self._stopping: asyncio.Future[None] | None = None
        self._all_closed: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None
        self._leave: Future[None] = Future()
        self._reactor: Reactor | None = None

    @property
    def url(self) -> str:
        """Where clients connect, such as ``nats://127.0.0.1:4222``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nats://{ {'': '127.0.0.1', '0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{self.port}"

    @property
    def hub(self) -> Hub:
        """The routing core: counters and sessions. Only for the server's own thread; after a stop, the last state."""
        if self._hub is None:
            raise ServerStartError("the server is not running")
        return self._hub

    @property
    def is_running(self) -> bool:
        return self._loop is not None and not self._loop.is_closed()

    def __repr__(self) -> str:
        return f"<Server {self.url}{'' if self.is_running else ' (not running)'}>"

    # In the caller's event loop

    async def start(self) -> None:
        """Listen; ready when it returns.

        Raises:
            ServerStartError: the address cannot be listened on, or the server runs already.
        """
        if self.is_running:
            raise ServerStartError("the server runs already")
        self._drop_everything()  # where its last loop was closed underneath it
        loop = asyncio.get_running_loop()
        hub = Hub(self.options, _server_id(), int.from_bytes(os.urandom(4), "big"))
        if self._listen:
            self._listener = self._open()
            try:
                loop.add_reader(self._listener.fileno(), self._accept)
            except NotImplementedError:
                self._close_listener()
                raise ServerStartError(f"{type(loop).__name__} has no add_reader, which a server needs") from None
        hub.set_address(self.host, self.port)
        self._hub = hub
        self._loop = loop
        self._pause = SHORTEST_PAUSE
        self._reactor = Reactor(loop)
        self._announce(hub)

    async def stop(self) -> None:
        """Close the port and every connection; what is on its way to clients is sent first, for STOP_SECONDS at most.

        Called again, or where the server does not run, it does nothing but wait for the first call to be done.

        Raises:
            RuntimeError: the server runs in another event loop.
        """
        loop = self._loop
        if loop is None:
            return
        if loop.is_closed():
            self._drop_everything()
            return
        if loop is not asyncio.get_running_loop():
            raise RuntimeError("the server runs in another event loop, and can only be stopped there")
        if self._stopping is not None:
            await asyncio.shield(self._stopping)
            return
        log.info("Initiating Shutdown...")
        self._stopping = loop.create_future()
        self._all_closed = loop.create_future()
        self._close_listener()
        try:
            for connection in list(self._connections):
                connection.shut_down(SERVER_SHUTDOWN)
            if self._connections:
                await asyncio.wait([self._all_closed], timeout=STOP_SECONDS)
        finally:
            self._drop_everything()
            self._stopping.set_result(None)
            self._stopping = self._all_closed = None
        log.info("Server Exiting..")

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # In a thread of its own

    def __enter__(self) -> Server:
        if self._thread is not None or self.is_running:
            raise ServerStartError("the server runs already")
        ready: Future[None] = Future()
        self._leave = Future()
        thread = threading.Thread(target=self._run, args=(ready, self._leave), name=f"midge-server-{self.port}", daemon=True)
        thread.start()
        self._thread = thread
        try:
            ready.result()
        except BaseException:  # an interrupt of the caller's too: nobody is going to leave the block
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        thread = self._thread
        if thread is not None:
            if not self._leave.done():
                self._leave.set_result(None)
            thread.join()
        self._thread = None

    def _run(self, ready: Future[None], leave: Future[None]) -> None:
        """The thread: an event loop that lives as long as the block."""

        async def serve() -> None:
            async with self:
                ready.set_result(None)
                await asyncio.wrap_future(leave)

        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    # Connections

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> MemoryLink:
        """Connect a client of this process without a socket; return its end of the link. Called in the client's loop.

        Raises:
            ServerStartError: the server is not running.
        """
        server_loop, reactor = self._loop, self._reactor
        if server_loop is None or reactor is None:
            raise ServerStartError("the server is not running")
        mine, other = MemoryLink.pair(LoopReadiness(loop), reactor)
        mine.carry(outbox)
        try:
            server_loop.call_soon_threadsafe(self._adopt_memory, other)
        except RuntimeError as error:
            raise ServerStartError("the server's event loop is closed") from error
        return mine

    def _adopt_memory(self, link: MemoryLink) -> None:
        if self._loop is None or self._hub is None or self._stopping is not None:
            link.close()
            return
        session = self._hub.connect("pipe", self._loop.time(), _jitter())
        link.carry(session.outbox)
        self._adopt(Connection(self._loop, self._hub, session, link, self._on_closed))

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPT_BATCH):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest_from_accepting(error)
                return
            self._pause = SHORTEST_PAUSE
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            self._adopt_socket(sock, f"{host}:{address[1]}")

    def _adopt_socket(self, sock: socket.socket, peer: str) -> None:
        assert self._loop is not None and self._hub is not None and self._reactor is not None
        session = self._hub.connect(peer, self._loop.time(), _jitter())
        try:
            link = SocketLink(self._reactor, self.options.write_deadline, sock, session.outbox)
        except OSError:  # gone already: the socket options cannot be set
            sock.close()
            session.receive_eof()
            return
        self._adopt(Connection(self._loop, self._hub, session, link, self._on_closed))

    def _rest_from_accepting(self, error: OSError) -> None:
        """Leave the port alone for a moment: as long as there is no descriptor to be had, it would stay readable for nothing."""
        assert self._loop is not None and self._listener is not None
        log.error("Temporary Client Accept Error (%s), sleeping %dms", error, self._pause * 1000)
        self._loop.remove_reader(self._listener.fileno())
        self._accept_timer = self._loop.call_later(self._pause, self._accept_again)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _accept_again(self) -> None:
        assert self._loop is not None and self._listener is not None
        self._accept_timer = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _adopt(self, connection: Connection) -> None:
        self._connections.add(connection)
        connection.start()

    def _on_closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    # Opening and closing

    def _open(self) -> socket.socket:
        """Return a listening socket."""
        try:
            found = socket.getaddrinfo(self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, _, _, address = found[0]
            listener = socket.socket(family, kind)
        except (OSError, ValueError) as error:  # ValueError: a name that no name can be
            raise ServerStartError(f"cannot listen on {self.host}:{self.port}: {error}") from error
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise ServerStartError(f"cannot listen on {self.host}:{self.port}: {error.strerror or error}") from error
        self.port = listener.getsockname()[1]
        return listener

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        if self._accept_timer is not None:
            self._accept_timer.cancel()
            self._accept_timer = None
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(listener.fileno())
        listener.close()

    def _drop_everything(self) -> None:
        """Close at once whatever is open; the server does not run any more."""
        self._close_listener()
        for connection in list(self._connections):
            if self._loop is None or self._loop.is_closed():
                connection.link.close()
            else:
                connection.abort(SERVER_SHUTDOWN)
        self._connections.clear()
        if self._hub is not None:
            self._hub.flush()
        if self._reactor is not None:
            self._reactor.close()
        self._loop = self._reactor = None

    def _announce(self, hub: Hub) -> None:
        """Log what nats-server logs, in its order: other programs wait for these lines."""
        log.info("Starting nats-server")
        log.info("  Version:  %s", NATS_VERSION)
        log.info("  Name:     %s", hub.server_name)
        log.info("  ID:       %s", hub.server_id)
        if self._listener is not None:
            host = f"[{self.host}]" if ":" in self.host else self.host
            log.info("Listening for client connections on %s:%d", host, self.port)
        log.info("Server is ready")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop if it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _jitter() -> float:
    """Return a random number from 0 to 1, to spread what connections that come together do later."""
    return os.urandom(1)[0] / 255


def _server_id() -> str:
    """Return a random public nkey of a server: prefix, 32 bytes, CRC-16/XMODEM, in base 32."""
    raw = bytes([_SERVER_PREFIX]) + os.urandom(32)
    crc = 0
    for byte in raw:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(raw + crc.to_bytes(2, "little")).decode().rstrip("=")
