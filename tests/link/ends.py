"""Ends of connections for the tests of links: an owner that notes what it is told, loops, and pairs of started ends."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from typing import Any

from certificates import client_context, server_context

from midge.link import Link, Readiness
from midge.link.client_upgrade import ClientUpgrade
from midge.link.memory import MemoryLink
from midge.link.reactor import Reactor
from midge.link.readiness import LoopReadiness
from midge.link.server_upgrade import ServerUpgrade
from midge.link.socket import SocketLink
from midge.link.tls import TlsLink
from midge.link.upgrade import Upgrade
from midge.link.websocket import WebSocketLink
from midge.wire.outbox import Outbox

try:
    from uvloop import new_event_loop as new_uvloop
except ImportError:
    new_uvloop = None

LOOPS = [asyncio.new_event_loop] + ([new_uvloop] if new_uvloop is not None else [])
MESSAGE = 40_000
PATIENCE = 30.0  # only bounds the wait for what never comes


def loop_name(factory: Callable[[], asyncio.AbstractEventLoop]) -> str:
    return factory.__module__.partition(".")[0]


def run_in(factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end; what it leaves in the event loop is an error."""
    problems: list[dict[str, Any]] = []

    async def with_handler() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with asyncio.timeout(PATIENCE):
            await main

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(with_handler())
    assert not problems


class Owner:
    """One side's owner: notes what it is told, and lets a test wait for it."""

    def __init__(self, link: Link, outbox: Outbox, readiness: Readiness) -> None:
        self.link = link
        self.outbox = outbox
        self.readiness = readiness
        self.received = bytearray()
        self.pieces: list[int] = []
        self.keeps = False
        self.kept: list[bytearray] = []
        self.progress = 0
        self.stuck = 0
        self.lost: list[OSError | None] = []
        self.flushing = False
        self._told = asyncio.Event()

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self.received += memoryview(chunk)[:size]
        self.pieces.append(size)
        if self.keeps:
            self.kept.append(chunk)
        self._hear()
        return not self.keeps

    def link_progress(self) -> None:
        self.progress += 1
        self._hear()

    def link_stuck(self) -> None:
        self.stuck += 1
        self._hear()

    def link_lost(self, error: OSError | None) -> None:
        self.lost.append(error)
        self._hear()

    def _hear(self) -> None:
        assert not self.flushing, "a flush never calls its owner"
        self._told.set()

    def send(self, data: bytes) -> None:
        """Write messages of a usual size, and flush once."""
        for start in range(0, len(data), MESSAGE):
            self.outbox.write(data[start : start + MESSAGE])
        self.flush()

    def flush(self) -> None:
        self.flushing = True
        self.link.flush()
        self.flushing = False

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is looked at whenever the owner is told something."""
        while not condition():
            await self._told.wait()
            self._told.clear()

    def close(self) -> None:
        """Close twice: that may be repeated."""
        self.link.close()
        self.link.close()
        if isinstance(self.readiness, Reactor):
            self.readiness.close()
            self.readiness.close()


async def ready(*owners: Owner) -> None:
    """Wait until what is sent now is on its way at once: over TLS, for the handshake; over a WebSocket, for the upgrade."""
    for owner in owners:
        await owner.until(lambda: getattr(owner.link, "secured", True))
        await owner.until(lambda: not (isinstance(owner.link, WebSocketLink) and owner.link.blocked))


async def settle() -> None:
    """Let the loop do what is ready, for as many turns as a handshake or a piece needs to go there and be acknowledged."""
    for _ in range(40):
        await asyncio.sleep(0)


def pattern(size: int) -> bytes:
    """Bytes in which a lost or repeated part shows."""
    return b"".join(struct.pack(">I", number) for number in range(size // 4 + 1))[:size]


def memory_pair(one: Readiness, other: Readiness) -> tuple[Owner, Owner]:
    owners = []
    for link, readiness in zip(MemoryLink.pair(one, other), (one, other)):
        outbox = Outbox()
        link.carry(outbox)
        owners.append(Owner(link, outbox, readiness))
    return owners[0], owners[1]


def socket_end(readiness: Readiness, sock: socket.socket, write_deadline: float | None = None) -> Owner:
    outbox = Outbox()
    return Owner(SocketLink(readiness, write_deadline, sock, outbox), outbox, readiness)


def tls_end(
    readiness: Readiness, sock: socket.socket, *, server: bool, context: ssl.SSLContext | None = None, write_deadline: float | None = None,
    handshake_timeout: float | None = None,
) -> Owner:  # fmt: skip
    """One end over TLS; without a context, one that gets on with the other end's."""
    outbox = Outbox()
    if server:
        link = TlsLink(
            readiness, write_deadline, sock, outbox, context or server_context(), server_side=True, handshake_timeout=handshake_timeout
        )
    else:
        link = TlsLink(
            readiness, write_deadline, sock, outbox, context or client_context(), server_hostname="localhost",
            handshake_timeout=handshake_timeout,
        )  # fmt: skip
    return Owner(link, outbox, readiness)


def started(*owners: Owner) -> tuple[Owner, ...]:
    for owner in owners:
        owner.link.start(owner)
    return owners


def joined_memory(new: Callable[[asyncio.AbstractEventLoop], Readiness] = LoopReadiness) -> tuple[Owner, ...]:
    """Two started ends in this loop."""
    loop = asyncio.get_running_loop()
    return started(*memory_pair(new(loop), new(loop)))


def joined_sockets(
    new: Callable[[asyncio.AbstractEventLoop], Readiness] = LoopReadiness, write_deadline: float | None = None
) -> tuple[Owner, ...]:
    """Two started ends, over a connected pair of sockets with small buffers."""
    owners = []
    for sock in socket.socketpair():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        owners.append(socket_end(new(asyncio.get_running_loop()), sock, write_deadline))
    return started(*owners)


def joined_tls(new: Callable[[asyncio.AbstractEventLoop], Readiness] = LoopReadiness) -> tuple[Owner, ...]:
    """Two started ends, over a connected pair of sockets; their handshake is yet to come. The first is the client's."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    return started(tls_end(new(loop), near, server=False), tls_end(new(loop), far, server=True))


def upgrades(compress: bool) -> tuple[ClientUpgrade, ServerUpgrade]:
    return ClientUpgrade("localhost", 80, False, "/", (), compress), ServerUpgrade(compress)


def websocket_end(readiness: Readiness, inner: Link, inner_outbox: Outbox, upgrade: Upgrade) -> Owner:
    outbox = Outbox()
    return Owner(WebSocketLink(readiness, outbox, inner, inner_outbox, upgrade), outbox, readiness)


def joined_websockets(
    new: Callable[[asyncio.AbstractEventLoop], Readiness] = LoopReadiness, compress: bool = False, below: str = "sockets"
) -> tuple[Owner, ...]:
    """Two started ends of a WebSocket, over sockets, TLS or in memory; their upgrade is yet to come. The first is the client's."""
    one, two = new(asyncio.get_running_loop()), new(asyncio.get_running_loop())
    if below == "memory":
        inner = memory_pair(one, two)
    else:
        near, far = socket.socketpair()
        if below == "tls":
            inner = tls_end(one, near, server=False), tls_end(two, far, server=True)
        else:
            inner = socket_end(one, near), socket_end(two, far)
    ends = [websocket_end(end.readiness, end.link, end.outbox, upgrade) for end, upgrade in zip(inner, upgrades(compress))]
    return started(*ends)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    return near, far


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
