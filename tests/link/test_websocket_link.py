"""WebSocketLink: what only it does: the upgrade, control frames, deflated messages, peers that break the protocol, what counts as sent.

The peer is a socket in the test's hands; what every link promises is in test_links.py.
"""

import asyncio
import socket
import tracemalloc
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

import pytest
from ends import (
    LOOPS,
    Owner,
    joined_websockets,
    loop_name,
    pattern,
    ready,
    reset,
    run_in,
    settle,
    socket_end,
    tcp_pair,
    upgrades,
    websocket_end,
)
from test_deflate import bomb
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from midge.errors import ConnectionClosedError, RemoteProtocolError, UpgradeError
from midge.link.client_upgrade import ClientUpgrade
from midge.link.deflate import deflate
from midge.link.framing import DATA, NOTHING, FrameReader
from midge.link.readiness import LoopReadiness
from midge.link.upgrade import Upgrade
from midge.link.websocket import FRAME, WebSocketLink
from midge.wire.outbox import Outbox

Run = Callable[[Coroutine[Any, Any, None]], None]
REQUEST = (
    b"GET /any HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
KEY = b"\x01\x20\x03\x40"


@pytest.fixture(params=LOOPS, ids=loop_name)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


class Noting(PerMessageDeflate):
    """Inflates as the library does, and notes whether there was anything to inflate."""

    was_deflated = False

    def __init__(self) -> None:
        super().__init__(True, True, 15, 15)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        self.was_deflated = frame.rsv1
        return super().decode(frame, max_size=max_size)


class Peer:
    """The other end: a socket, and what came of it."""

    def __init__(self, sock: socket.socket, masks: bool) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.masks = masks
        self.received = b""
        self.extension = Noting()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def send_frame(self, opcode: int, payload: bytes = b"", fin: bool = True, rsv1: bool = False) -> None:
        await self.send(Frame(Opcode(opcode), payload, fin).serialize(mask=self.masks) if not rsv1 else self.raw(0xC0 | opcode, payload))

    def raw(self, first: int, payload: bytes) -> bytes:
        """A frame whose first byte the test chooses."""
        size = len(payload)
        mask = 128 if self.masks else 0
        head = bytes([first, mask | size]) if size < 126 else bytes([first, mask | 127]) + size.to_bytes(8, "big")
        if not self.masks:
            return head + payload
        return head + KEY + bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))

    async def receive(self, size: int = 1 << 16) -> bytes:
        """Return what comes next; nothing at the end."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, size)
        self.received += data
        return data

    async def head(self) -> bytes:
        """Return the head of an HTTP message."""
        while b"\r\n\r\n" not in self.received:
            assert await self.receive()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    async def frame(self) -> Frame:
        """Return the next frame."""
        while (frame := self.next_frame()) is None:
            assert await self.receive(), "the end, not a frame"
        return frame

    def next_frame(self) -> Frame | None:
        """Return the first frame of what is received, if it is whole."""
        reader = StreamReader()
        reader.feed_data(self.received)
        parser = Frame.parse(reader.read_exact, mask=not self.masks, extensions=[self.extension])
        try:
            next(parser)
        except StopIteration as done:
            self.received = bytes(reader.buffer)
            frame: Frame = done.value
            return frame
        return None

    async def rest(self) -> None:
        """Receive to the end."""
        try:
            while await self.receive():
                pass
        except ConnectionResetError:
            pass


def end(upgrade: Upgrade, sock: socket.socket, inflatable: Callable[[], int] | None = None) -> Owner:
    readiness = LoopReadiness(asyncio.get_running_loop())
    inner = socket_end(readiness, sock)
    if inflatable is None:
        return websocket_end(readiness, inner.link, inner.outbox, upgrade)
    outbox = Outbox()
    return Owner(WebSocketLink(readiness, outbox, inner.link, inner.outbox, upgrade, inflatable), outbox, readiness)


async def opened_server(compress: bool = False, inflatable: Callable[[], int] | None = None) -> tuple[Owner, Peer]:
    """A server's end whose client is the test."""
    near, far = tcp_pair()
    owner = end(upgrades(compress)[1], near, inflatable)
    owner.link.start(owner)
    peer = Peer(far, True)
    await peer.send(REQUEST + (OFFER if compress else b"") + b"\r\n")
    assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
    await ready(owner)
    return owner, peer


async def opened_client(compress: bool = False) -> tuple[Owner, Peer]:
    """A client's end whose server is the test."""
    client, server = upgrades(compress)
    near, far = tcp_pair()
    owner = end(client, near)
    owner.link.start(owner)
    peer = Peer(far, False)
    head = bytearray(await peer.head())
    assert server.receive(head, len(head)) == len(head)
    await peer.send(server.answer)
    await ready(owner)
    return owner, peer


# The upgrade


def test_the_upgrade_may_come_in_single_bytes_with_frames_behind_it(run: Run) -> None:
    async def main() -> None:
        client, server = upgrades(False)
        near, far = tcp_pair()
        owner = end(client, near)
        owner.link.start(owner)
        owner.send(b"waits for the upgrade")
        assert owner.link.blocked and len(owner.outbox) == 21
        peer = Peer(far, False)
        head = bytearray(await peer.head())
        server.receive(head, len(head))
        for byte in server.answer[:-1]:
            await peer.send(bytes([byte]))
            await settle()
        assert owner.link.blocked and not owner.received
        await peer.send(server.answer[-1:] + peer.raw(0x82, b"INFO {}\r\n") + peer.raw(0x82, b"PING")[:3])
        await owner.until(lambda: owner.received == b"INFO {}\r\nP")
        assert (await peer.frame()).data == b"waits for the upgrade" and owner.progress == 1
        await peer.send(b"ING")
        await owner.until(lambda: owner.received == b"INFO {}\r\nPING")
        owner.close()
        far.close()

    run(main())


def test_an_owner_that_has_paused_gets_what_came_with_the_upgrade_later(run: Run) -> None:
    async def main() -> None:
        for compress in (False, True):
            client, server = upgrades(compress)
            near, far = tcp_pair()
            owner = end(client, near)
            owner.link.start(owner)
            owner.link.pause_reading()
            peer = Peer(far, False)
            head = bytearray(await peer.head())
            server.receive(head, len(head))
            await peer.send(server.answer + peer.raw(0x82, b"INFO {}\r\n") + peer.raw(0x88, b""))
            await ready(owner)
            await settle()
            assert not owner.received and not owner.lost
            owner.link.resume_reading()
            await owner.until(lambda: owner.lost)
            assert owner.received == b"INFO {}\r\n" and owner.lost == [None]
            owner.close()
            far.close()

    run(main())


@pytest.mark.parametrize(
    "answer, status, reason",
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 1000\r\n\r\n", 401, "Unauthorized"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", 403, "Forbidden"),
        (b"HTTP/1.1 404\r\n\r\n", 404, ""),
        (b"HTTP/1.0 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n", 503, "Service Unavailable"),
        (b"HTTP/1.1 301 Moved Permanently\r\nLocation: ws://elsewhere/\r\n\r\n", 301, "Moved Permanently"),
        (b"HTTP/1.1 500 " + b"x" * 5000 + b"\r\n\r\n", 500, "x" * 200),
        (b"HTTP/1.1 400 \x1b[31mred\x00\r\n\r\n", 400, "?[31mred?"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, "Connection"),
        (b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n", 101, "Accept"),
        (b"HTTP/1.1 101 OK\r\n" + b"x" * 10_000 + b": y\r\n\r\n", 101, ""),
        (b"HTTP/1.1 101 OK\r\n" + b"X-A: y\r\n" * 3000, None, "longer than"),
        (b"HTTP/1.1 abc OK\r\n\r\n", None, "HTTP/1.1"),
        (b"HTTP/2 200 OK\r\n\r\n", None, "not speak HTTP"),
        (b'INFO {"server_id":"NABC"} \r\n', None, "not speak HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x16", None, "not speak HTTP"),
        (b"", None, "closed before"),
    ],
)  # fmt: skip
def test_answers_that_refuse(answer: bytes, status: int | None, reason: str, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = end(upgrades(False)[0], near)
        owner.link.start(owner)
        peer = Peer(far, False)
        await peer.head()
        await peer.send(answer)
        if not answer:
            far.shutdown(socket.SHUT_WR)
        await owner.until(lambda: owner.lost)
        error = owner.lost[0]
        assert isinstance(error, UpgradeError) and error.status == status and reason in error.reason
        assert owner.link.error is error and not owner.link.blocked and len(owner.lost) == 1
        owner.close()
        far.close()

    run(main())


def test_compression_that_was_not_offered_and_takeover_that_was_excluded_are_refused(run: Run) -> None:
    async def main() -> None:
        for compress, extension in ((False, b"permessage-deflate"), (True, b"permessage-deflate"), (True, b"x-unknown")):
            client, server = upgrades(compress)
            near, far = tcp_pair()
            owner = end(client, near)
            owner.link.start(owner)
            peer = Peer(far, False)
            head = bytearray(await peer.head())
            server.receive(head, len(head))
            lines = [line for line in server.answer.split(b"\r\n") if line and not line.startswith(b"Sec-WebSocket-Ext")]
            await peer.send(b"\r\n".join([*lines, b"Sec-WebSocket-Extensions: " + extension, b"", b""]))
            await owner.until(lambda: owner.lost)
            assert isinstance(owner.lost[0], UpgradeError) and owner.lost[0].status == 101
            owner.close()
            far.close()

    run(main())


@pytest.mark.parametrize(
    "request_head, status",
    [
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"400"),
        (b"POST" + REQUEST[3:] + b"\r\n", b"405"),
        (REQUEST.replace(b"13\r\n", b"8\r\n") + b"\r\n", b"400"),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/2.0") + b"\r\n", b"505"),
        (b"PING\r\nPONG\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: y\r\n" * 3000, b"431"),
        (b"x" * 20_000, b"431"),
    ],
)  # fmt: skip
def test_requests_that_are_refused(request_head: bytes, status: bytes, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = end(upgrades(True)[1], near)
        owner.link.start(owner)
        owner.send(b"INFO {}\r\n")
        peer = Peer(far, True)
        await peer.send(request_head)
        await owner.until(lambda: owner.lost)
        error = owner.lost[0]
        assert isinstance(error, UpgradeError) and error.status == int(status)
        owner.close()
        await peer.rest()
        assert peer.received.startswith(b"HTTP/1.1 %d " % error.status) and b"INFO" not in peer.received
        far.close()

    run(main())


def test_what_the_request_says() -> None:
    upgrade = ClientUpgrade("::1", 8080, False, "/nats?x=1", [("Authorization", "Bearer s"), ("X-A", "1"), ("X-A", "2")], True)
    lines = upgrade.begin().decode().split("\r\n")
    assert lines[:2] == ["GET /nats?x=1 HTTP/1.1", "Host: [::1]:8080"]
    assert {"Authorization: Bearer s", "X-A: 1", "X-A: 2", "Connection: Upgrade"} < set(lines)
    assert "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover" in lines
    assert "Host: example.com" in ClientUpgrade("example.com", 443, True, "/", (), False).begin().decode()


# Control frames


def test_a_ping_is_answered_between_the_frames_of_a_message(run: Run) -> None:
    async def main() -> None:
        owner, peer = await opened_server()
        await peer.send_frame(2, b"PUB a 3\r\n", fin=False)
        await peer.send_frame(9, b"there?")
        await peer.send_frame(0, b"abc", fin=False)
        await peer.send_frame(10, b"unasked")
        await peer.send_frame(0, b"\r\n")
        pong = await peer.frame()
        assert (pong.opcode, pong.data) == (Opcode.PONG, b"there?")
        await owner.until(lambda: owner.received == b"PUB a 3\r\nabc\r\n")
        owner.close()
        close = await peer.frame()
        assert (close.opcode, close.data) == (Opcode.CLOSE, b"\x03\xe8")
        peer.sock.close()

    run(main())


def test_a_flood_of_pings_costs_one_answer(run: Run) -> None:
    """A peer that does not read cannot make us keep answers: only the last PING needs one (RFC 6455, 5.5.3)."""

    async def main() -> None:
        owner, peer = await opened_server()
        owner.send(bytes(20_000_000))
        await settle()
        assert owner.link.blocked
        for number in range(2000):
            await peer.send_frame(9, b"%d" % number)
        await peer.send_frame(2, b"done")
        await owner.until(lambda: owner.received == b"done")
        frames = [await peer.frame()]
        while frames[-1].opcode != Opcode.PONG:
            frames.append(await peer.frame())
        assert frames[-1].data == b"1999" and {frame.opcode for frame in frames[:-1]} == {Opcode.BINARY}
        owner.close()
        peer.sock.close()

    run(main())


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe9Server Shutdown"])
def test_a_close_of_the_peer_is_the_end_of_its_side(payload: bytes, run: Run) -> None:
    async def main() -> None:
        for opened in (opened_client, opened_server):
            owner, peer = await opened()
            await peer.send_frame(2, b"last")
            await peer.send_frame(8, payload)
            await peer.send_frame(2, b"too late")
            await owner.until(lambda: owner.lost)  # noqa: B023
            assert owner.received == b"last" and owner.lost == [None] and owner.link.error is None
            assert (await peer.frame()).opcode == Opcode.CLOSE
            owner.send(b"goes nowhere")
            assert not owner.link.blocked
            owner.close()
            await peer.rest()
            assert peer.received == b"" and owner.lost == [None]
            peer.sock.close()

    run(main())


@pytest.mark.parametrize(
    "payload, text",
    [
        (b"\x03\xf0Authentication Failure", "1008 Authentication Failure"),
        (b"\x03\xeestale", "1006 stale"),
        (b"\x0f\xa0\xff\x1b\n[m", "4000 \ufffd??[m"),
    ],
)
def test_a_close_for_another_reason_is_an_error(payload: bytes, text: str, run: Run) -> None:
    async def main() -> None:
        owner, peer = await opened_client()
        await peer.send_frame(2, b"-ERR 'x'\r\n")
        await peer.send(peer.raw(0x88, payload))
        await owner.until(lambda: owner.lost)
        assert owner.received == b"-ERR 'x'\r\n" and isinstance(owner.lost[0], ConnectionClosedError) and text in str(owner.lost[0])
        assert (await peer.frame()).opcode == Opcode.CLOSE
        owner.close()
        peer.sock.close()

    run(main())


@pytest.mark.parametrize(
    "frame, status",
    [(b"\x81\x01a", 1003), (b"\xa2\x01a", 1002), (b"\x83\x00", 1002), (b"\x80\x00", 1002), (b"\x82\x7f" + b"\xff" * 8, 1002)],
)
def test_a_peer_that_breaks_the_protocol_is_told_and_lost(frame: bytes, status: int, run: Run) -> None:
    async def main() -> None:
        owner, peer = await opened_client()
        await peer.send(peer.raw(0x82, b"good") + frame + peer.raw(0x82, b"not read any more"))
        await owner.until(lambda: owner.lost)
        assert owner.received == b"good" and isinstance(owner.lost[0], RemoteProtocolError) and owner.link.error is owner.lost[0]
        close = await peer.frame()
        assert (close.opcode, close.data) == (Opcode.CLOSE, status.to_bytes(2, "big"))
        owner.close()
        assert not await peer.receive() and len(owner.lost) == 1
        peer.sock.close()

    run(main())


def test_frames_with_the_wrong_masks(run: Run) -> None:
    async def main() -> None:
        for opened in (opened_client, opened_server):
            owner, peer = await opened()
            peer.masks = not peer.masks
            await peer.send_frame(2, b"abc")
            await owner.until(lambda: owner.lost)  # noqa: B023
            assert isinstance(owner.lost[0], RemoteProtocolError) and "masked" in str(owner.lost[0]) and not owner.received
            owner.close()
            peer.sock.close()

    run(main())


def test_a_failure_is_told_to_an_owner_that_has_paused_when_it_reads_again(run: Run) -> None:
    class Pausing(Owner):
        def link_received(self, chunk: bytearray, size: int) -> bool:
            self.link.pause_reading()
            return super().link_received(chunk, size)

    async def main() -> None:
        for compress in (False, True):
            owner, peer = await opened_server(compress)
            owner.__class__ = Pausing
            await peer.send(peer.raw(0x82, b"good") + b"\x81\x00")
            await owner.until(lambda: owner.received)  # noqa: B023
            await settle()
            assert not owner.lost
            owner.link.resume_reading()
            await owner.until(lambda: owner.lost)  # noqa: B023
            assert isinstance(owner.lost[0], RemoteProtocolError)
            owner.close()
            peer.sock.close()

    run(main())


def test_a_reset_reaches_an_owner_that_has_paused_with_messages_unread(run: Run) -> None:
    """It may be waiting for room in an outbox that nobody will ever empty."""

    async def main() -> None:
        owner, peer = await opened_server(compress=True)
        await peer.send_frame(2, b"one")
        await owner.until(lambda: owner.received)
        owner.link.pause_reading()
        owner.send(bytes(20_000_000))
        assert owner.link.blocked
        reset(peer.sock)
        await owner.until(lambda: owner.lost)
        assert isinstance(owner.lost[0], ConnectionError) and owner.link.error is owner.lost[0] and not owner.link.blocked
        owner.close()

    run(main())


# Deflated messages


def test_a_bomb_is_handed_over_in_pieces_as_they_are_wanted(run: Run) -> None:
    """A thousand times what was sent: a bounded part of it in each turn, nothing while the owner has paused, and never in memory."""

    class Counting(Owner):
        size = 0
        turn = 0

        def link_received(self, chunk: bytearray, size: int) -> bool:
            self.size += size
            self.turn += size
            assert size <= 131072
            self._hear()
            return True

    async def main() -> None:
        owner: Any
        owner, peer = await opened_server(compress=True)
        owner.__class__ = Counting
        data = peer.raw(0xC2, bomb(1 << 27))
        assert len(data) < 150_000
        sending = asyncio.ensure_future(peer.send(data + peer.raw(0x82, b"end")))
        await owner.until(lambda: owner.size > 5_000_000)
        owner.link.pause_reading()
        size = owner.size
        await settle()
        assert owner.size == size
        tracemalloc.start()
        owner.link.resume_reading()
        while owner.size < (1 << 27) + 3:
            owner.turn = 0
            await asyncio.sleep(0)
            assert owner.turn <= 2 * (1 << 20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4_000_000
        await sending
        owner.close()
        peer.sock.close()

    run(main())


def test_many_small_deflated_messages_are_handed_over_a_few_in_each_turn(run: Run) -> None:
    """Each of them costs as much as kilobytes that are not deflated: one reading may hold tens of thousands."""

    async def main() -> None:
        owner, peer = await opened_client(compress=True)
        count = 4000
        await peer.send(peer.raw(0xC2, deflate(b"a", 15)) * count)
        most = before = 0
        while len(owner.received) < count:
            await asyncio.sleep(0)
            most, before = max(most, len(owner.received) - before), len(owner.received)
        assert owner.received == b"a" * count and most <= 1024
        owner.close()
        peer.sock.close()

    run(main())


def test_deflated_and_other_messages_in_order_however_they_are_fragmented(run: Run) -> None:
    async def main() -> None:
        owner, peer = await opened_server(compress=True)
        words = [b"plain ", b"deflated " * 30, b"fragmented " * 30, b"empty", b"", b"plain again"]
        long = deflate(words[2], 15)
        stream = (
            peer.raw(0x82, words[0]) + peer.raw(0xC2, deflate(words[1], 15)) + peer.raw(0x42, long[:5]) + peer.raw(0x89, b"?")
            + peer.raw(0x00, long[5:]) + peer.raw(0x80, b"") + peer.raw(0x02, b"em") + peer.raw(0x80, b"pty")
            + peer.raw(0xC2, deflate(b"", 15)) + peer.raw(0x82, words[5])
        )  # fmt: skip
        for step in (1, 7, len(stream)):
            for start in range(0, len(stream), step):
                await peer.send(stream[start : start + step])
                await settle()
        expected = b"".join(words) * 3
        await owner.until(lambda: len(owner.received) == len(expected))
        assert owner.received == expected
        owner.close()
        peer.sock.close()

    run(main())


def test_what_cannot_be_inflated_is_an_error_behind_what_came_before(run: Run) -> None:
    async def main() -> None:
        owner, peer = await opened_server(compress=True)
        await peer.send(peer.raw(0x82, b"good") + peer.raw(0xC2, b"\xff\xff\xff") + peer.raw(0x82, b"not read any more"))
        await owner.until(lambda: owner.lost)
        assert owner.received == b"good" and isinstance(owner.lost[0], RemoteProtocolError)
        assert (await peer.frame()).data == (1007).to_bytes(2, "big")
        owner.close()
        peer.sock.close()

    run(main())


@pytest.mark.parametrize("limit", [100, 4095, 4096, 50_000, 10_000_000])
def test_no_deflated_message_holds_more_than_the_peer_inflates(limit: int, run: Run) -> None:
    async def main() -> None:
        owner, peer = await opened_server(compress=True, inflatable=lambda: limit)
        data = pattern(300_000)
        owner.send(data)
        received = b""
        while len(received) < len(data):
            held = (await peer.frame()).data
            assert peer.extension.was_deflated is (limit >= 4096) and (len(held) <= limit or limit < 4096)
            received += held
        assert received == data
        owner.send(b"short")
        assert (await peer.frame()).data == b"short", "what is short is not deflated"
        owner.close()
        peer.sock.close()

    run(main())


# What counts as sent


def payload_of(received: bytes) -> bytes:
    """What is in frames that a server sent, the last of which may be cut; a CLOSE follows where none is."""
    reader = FrameReader(False, False)
    chunk = bytearray(received)
    reader.receive(chunk, 0, len(chunk))
    filled = 0
    while (found := reader.next()) != NOTHING:
        if found == DATA:
            filled = reader.move_to(filled)
    return bytes(chunk[:filled])


def test_the_outbox_tells_to_the_byte_what_was_not_sent(run: Run) -> None:
    """So that after a loss what was half sent is dropped, and all the rest is not lost."""

    async def main() -> None:
        owner, peer = await opened_server()
        data = pattern(3_000_000) * 3
        owner.send(data)
        while len(owner.outbox) > 3_000_000:
            await peer.receive()
        assert owner.link.blocked
        left = owner.outbox.take_all()
        owner.link.close()
        await peer.rest()
        received = payload_of(peer.received)
        assert received + left == data and len(left) > 1_000_000
        peer.sock.close()

    run(main())


def test_a_close_is_no_payload() -> None:
    assert payload_of(b"\x82\x02hi\x88\x02\x03\xe8") == b"hi"


def test_a_deflated_frame_is_sent_when_its_last_byte_is(run: Run) -> None:
    async def main() -> None:
        owner, peer = await opened_server(compress=True)
        blocks = [Random(seed).randbytes(100_000) for seed in range(90)]
        for block in blocks:
            owner.outbox.write(block)
        before = len(owner.outbox)
        owner.flush()
        while len(owner.outbox) > 3_000_000:
            await peer.receive()
        assert owner.link.blocked and before > 8_000_000
        left = owner.outbox.take_all()
        owner.link.close()
        await peer.rest()
        held = b""
        while (frame := peer.next_frame()) is not None:
            held += frame.data if frame.opcode == Opcode.BINARY else b""
        assert held + left == b"".join(blocks)
        peer.sock.close()

    run(main())


def test_no_more_than_a_frame_goes_ahead_of_the_inner_link(run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        readiness = LoopReadiness(asyncio.get_running_loop())
        inner = socket_end(readiness, near)
        owner = websocket_end(readiness, inner.link, inner.outbox, upgrades(False)[1])
        owner.link.start(owner)
        await Peer(far, True).send(REQUEST + b"\r\n")
        await ready(owner)
        owner.send(bytes(30_000_000))
        await settle()
        assert owner.link.blocked and 0 < len(inner.outbox) <= FRAME + 14 and len(owner.outbox) > 20_000_000
        owner.close()
        far.close()

    run(main())


def test_a_peer_that_takes_everything_gives_others_their_turn(run: Run) -> None:
    """MAX_FRAMES in one flush; the link goes on by itself, and says so."""

    async def main() -> None:
        one, two = joined_websockets(below="memory")
        await ready(one, two)
        taken = []
        flush = two.link_received

        def receive(chunk: bytearray, size: int) -> bool:
            taken.append(size)
            return flush(chunk, size)

        two.link_received = receive  # type: ignore[method-assign]
        data = pattern(4_000_000) * 5
        one.send(data)
        assert one.link.blocked and len(one.outbox) > 15_000_000
        await two.until(lambda: len(two.received) == len(data))
        await one.until(lambda: not one.link.blocked)
        assert two.received == data and one.progress > 0 and max(taken) <= FRAME
        one.close()
        two.close()

    run(main())


def test_a_forked_copy_is_abandoned_without_a_word(run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        with near.dup():
            owner = end(upgrades(False)[1], near)
            owner.link.start(owner)
            peer = Peer(far, True)
            await peer.send(REQUEST + b"\r\n")
            await peer.head()
            owner.link.abandon()
            await settle()
            far.setblocking(False)
            with pytest.raises(BlockingIOError):
                far.recv(1)
            assert not owner.lost
        far.close()

    run(main())
