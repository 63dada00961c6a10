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
import random
import socket
import threading
from typing import Any

from midge.errors import ServerStartError
from midge.link import CHUNK_SIZE, MemoryLink, SocketLink
from midge.server.connection import Connection
from midge.server.hub import NATS_VERSION, Hub
from midge.server.options import Options
from midge.server.session import SERVER_SHUTDOWN
from midge.wire.outbox import Outbox

__all__ = ["Server"]

log = logging.getLogger("midge.server")

BACKLOG = 1024
ACCEPT_BATCH = 64
ACCEPT_PAUSE = 1.0  # seconds to wait where the process has no file descriptor left
STOP_SECONDS = 2.0  # how long a stopping server waits for clients to take what is on its way to them
START_SECONDS = 30.0
_SERVER_PREFIX = 13 << 3  # the nkey prefix "N"


class Server:
    """A NATS server.

    Args:
        options: an Options, for those who have one; otherwise the keywords below make it.
        host: the address to listen on.
        port: the port; 0 or -1 takes a free one, see ``port`` and ``url`` afterwards.
        listen: False opens no port: only clients of the same process can connect.
        **more: every other field of Options, by name.

    Raises:
        ValueError: an option has a value that makes no sense.
        TypeError: there is no such option.
        ServerStartError: on entering, where the server cannot listen.
    """

    def __init__(
        self, options: Options | None = None, *, host: str = "127.0.0.1", port: int = 4222, listen: bool = True, **more: Any
    ) -> None:
        self.options = options if options is not None else Options(host=host, port=port, **more)
        if options is not None and more:
            raise TypeError("give an Options or keywords, not both")
        self.host = self.options.host
        self.port = max(self.options.port, 0)
        self._listen = listen
        self._hub: Hub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: socket.socket | None = None
        self._connections: set[Connection] = set()
        self._all_closed: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._stop_thread: asyncio.Event | None = None
        self._chunk = bytearray()

    @property
    def url(self) -> str:
        """Where clients connect, such as ``nats://127.0.0.1:4222``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nats://{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{self.port}"

    @property
    def hub(self) -> Hub:
        """The routing core: counters and sessions. Only for the server's own thread."""
        if self._hub is None:
            raise ServerStartError("the server is not running")
        return self._hub

    @property
    def is_running(self) -> bool:
        return self._loop is not None

    def __repr__(self) -> str:
        return f"<Server {self.url}{'' if self.is_running else ' (not running)'}>"

    # In the caller's event loop

    async def start(self) -> None:
        """Listen; ready when it returns.

        Raises:
            ServerStartError: the address cannot be listened on, or the server runs already.
        """
        if self._loop is not None:
            raise ServerStartError("the server runs already")
        self._listener = self._open() if self._listen else None
        self._loop = asyncio.get_running_loop()
        self._chunk = bytearray(CHUNK_SIZE)
        self._hub = Hub(self.options, _server_id(), random.getrandbits(31))
        self._hub.set_address(self.host, self.port)
        self._announce()
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    async def stop(self) -> None:
        """Close the port and every connection; what is on its way to clients is sent first, for STOP_SECONDS at most."""
        if self._loop is None:
            return
        log.info("Initiating Shutdown...")
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        self._all_closed = asyncio.Event()
        for connection in list(self._connections):
            connection.shut_down(SERVER_SHUTDOWN)
        if self._connections:
            try:
                await asyncio.wait_for(self._all_closed.wait(), STOP_SECONDS)
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()
        self._loop = None
        log.info("Server Exiting..")

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # In a thread of its own

    def __enter__(self) -> Server:
        if self._thread is not None or self._loop is not None:
            raise ServerStartError("the server runs already")
        ready: list[BaseException | None] = []
        entered = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready, entered), name=f"midge-server-{self.port}", daemon=True)
        self._thread.start()
        if not entered.wait(START_SECONDS):
            raise ServerStartError(f"the server's thread was not ready within {START_SECONDS:g} s")
        if ready and ready[0] is not None:
            self._thread.join()
            self._thread = None
            raise ready[0]
        return self

    def __exit__(self, *_: object) -> None:
        loop, stop, thread = self._loop, self._stop_thread, self._thread
        if loop is not None and stop is not None and thread is not None:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
        self._thread = None

    def _run(self, ready: list[BaseException | None], entered: threading.Event) -> None:
        """The thread: an event loop that lives as long as the block."""

        async def serve() -> None:
            self._stop_thread = asyncio.Event()
            try:
                await self.start()
            except BaseException as error:
                ready.append(error)
                return
            finally:
                entered.set()
            await self._stop_thread.wait()
            await self.stop()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve())

    # Connections

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> MemoryLink:
        """Connect a client of this process without a socket; return its end of the link. Called in the client's loop.

        Raises:
            ServerStartError: the server is not running.
        """
        server_loop = self._loop
        if server_loop is None:
            raise ServerStartError("the server is not running")
        mine = MemoryLink(loop, outbox)
        server_loop.call_soon_threadsafe(self._adopt_memory, mine)
        return mine

    def _adopt_memory(self, peer: MemoryLink) -> None:
        if self._loop is None or self._hub is None:
            peer.close()
            return
        session = self._hub.connect("pipe:0", self._loop.time(), random.random())
        link = MemoryLink(self._loop, session.outbox)
        link.join(peer)
        self._adopt(Connection(self._loop, self._hub, session, link, self._on_closed))

    def _accept(self) -> None:
        assert self._listener is not None and self._loop is not None and self._hub is not None
        for _ in range(ACCEPT_BATCH):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("Temporary Client Accept Error (%s), sleeping %dms", error, ACCEPT_PAUSE * 1000)
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(ACCEPT_PAUSE, self._accept_again)
                return
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            session = self._hub.connect(f"{host}:{address[1]}", self._loop.time(), random.random())
            try:
                link = SocketLink(self._loop, sock, session.outbox, self._chunk, self.options.write_deadline)
            except OSError:  # gone already: the socket options cannot be set
                sock.close()
                self._hub.forget(session)
                continue
            self._adopt(Connection(self._loop, self._hub, session, link, self._on_closed))

    def _accept_again(self) -> None:
        if self._listener is not None and self._loop is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _adopt(self, connection: Connection) -> None:
        self._connections.add(connection)
        connection.start()

    def _on_closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections and self._all_closed is not None:
            self._all_closed.set()

    def _open(self) -> socket.socket:
        """Return a listening socket."""
        try:
            family, kind, _, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            listener = socket.socket(family, kind)
        except OSError as error:
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

    def _announce(self) -> None:
        """Log what nats-server logs, in its order: other programs wait for these lines."""
        assert self._hub is not None
        log.info("Starting nats-server")
        log.info("  Version:  %s", NATS_VERSION)
        log.info("  Name:     %s", self._hub.server_name)
        log.info("  ID:       %s", self._hub.server_id)
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


def _server_id() -> str:
    """Return a random public nkey of a server: prefix, 32 bytes, CRC-16/XMODEM, in base 32."""
    raw = bytes([_SERVER_PREFIX]) + os.urandom(32)
    crc = 0
    for byte in raw:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(raw + crc.to_bytes(2, "little")).decode().rstrip("=")
