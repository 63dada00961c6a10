"""TlsLink: what only it does. Handshakes, records in pieces, what is neither data nor an end, ends that are none, hostile peers.

What every link promises is in test_links, for this one too.
"""

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from certificates import client_context, server_context
from ends import LOOPS, Owner, joined_tls, loop_name, pattern, ready, reset, run_in, settle, socket_end, started, tcp_pair, tls_end
from test_socket_link import run_forking
from tls_peer import ALERT, RawPeer

from midge.errors import CertificateError, TLSError
from midge.link import READ, Readiness
from midge.link.reactor import Reactor
from midge.link.readiness import LoopReadiness
from midge.link.tls import TlsLink
from midge.wire.outbox import Outbox

Run = Callable[[Coroutine[Any, Any, None]], None]
New = Callable[[asyncio.AbstractEventLoop], Readiness]
BOTH_VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=LOOPS, ids=loop_name)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


@pytest.fixture(params=[LoopReadiness, Reactor])
def new(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[False, True], ids=["client", "server"])
def server(request: pytest.FixtureRequest) -> Any:
    """Which side our end is."""
    return request.param


def new_end(new: New, sock: socket.socket, *, server: bool, **options: Any) -> Owner:
    (owner,) = started(tls_end(new(asyncio.get_running_loop()), sock, server=server, **options))
    return owner


async def secured(new: New, server: bool, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, **options: Any) -> tuple[Owner, RawPeer]:
    """Our end and a raw peer's, over TCP, their handshake done."""
    near, far = tcp_pair()
    owner = new_end(new, near, server=server, **options)
    peer = RawPeer(far, server=not server, version=version)
    await peer.shake()
    await ready(owner)
    return owner, peer


def unread_bytes(fd: int) -> int:
    """How much a socket has received that nobody has read."""
    (size,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return int(size)


def lost_to(owner: Owner, text: str) -> TLSError:
    """The one error that an owner has lost its link to."""
    (error,) = owner.lost
    assert isinstance(error, TLSError) and text in str(error) and error is owner.link.error
    return error


# Handshakes


@pytest.mark.parametrize("version", BOTH_VERSIONS)
def test_both_ends_agree_and_say_so(version: ssl.TLSVersion, new: New, run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        one = new_end(new, near, server=False, context=client_context(maximum_version=version))
        two = new_end(new, far, server=True)
        one.send(b"written before the handshake")
        assert one.link.blocked and two.link.blocked
        await ready(one, two)
        assert one.progress and two.progress and not one.link.blocked
        await two.until(lambda: two.received)
        assert two.received == b"written before the handshake"
        link: Any = one.link
        assert link.engine.version() == version.name.replace("_", ".") and link.engine.getpeercert()
        one.close()
        two.close()

    run(main())


@pytest.mark.parametrize("version", BOTH_VERSIONS)
def test_a_handshake_byte_by_byte(version: ssl.TLSVersion, new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near, server=server)
        peer = RawPeer(far, server=not server, version=version)
        await peer.shake(piece=1)
        await ready(owner)
        owner.send(b"hello")
        assert await peer.receive(5) == b"hello"
        owner.close()
        peer.close()

    run(main())


def test_what_comes_with_the_end_of_the_handshake_waits_for_nothing(new: New, run: Run) -> None:
    """A client's last piece of the handshake and its first data in one packet: no socket becomes readable for the data."""

    async def main() -> None:
        near, far = socket.socketpair()
        one = new_end(new, near, server=False)
        two = tls_end(new(asyncio.get_running_loop()), far, server=True)
        data = pattern(100_000)
        one.send(data)
        started(two)
        await two.until(lambda: len(two.received) == len(data))
        assert two.received == data
        one.close()
        two.close()

    run(main())


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"CONNECT {}\r\nPING\r\n", b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"\xff" * 9999]
)
def test_garbage_instead_of_a_handshake(said: bytes, new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near, server=server)
        owner.send(b"a secret")
        far.sendall(said)
        await owner.until(lambda: owner.lost)
        error = lost_to(owner, "")
        assert isinstance(error.__cause__, ssl.SSLError) and near.fileno() == -1
        far.settimeout(10)
        sent = b""
        try:
            while data := far.recv(1 << 16):
                sent += data
        except ConnectionResetError:
            pass  # what we had not read of the garbage
        assert b"a secret" not in sent
        owner.close()
        far.close()

    run(main())


def test_a_peer_that_goes_during_the_handshake(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near, server=server)
        far.shutdown(socket.SHUT_WR)
        await owner.until(lambda: owner.lost)
        lost_to(owner, "during the handshake")
        owner.close()
        far.close()
        near, far = tcp_pair()
        owner = new_end(new, near, server=server)
        reset(far)
        await owner.until(lambda: owner.lost)
        assert isinstance(owner.lost[0], OSError)
        owner.close()

    run(main())


def test_hundreds_of_handshakes_that_never_end_are_ended_by_their_deadline(new: New, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        readiness = new(loop)
        owners, fars = [], []
        for number in range(200):
            near, far = socket.socketpair()
            owners.append(tls_end(readiness, near, server=True, handshake_timeout=0.2))
            fars.append(far)
            far.send(b"\x16\x03\x01\x02\x00\x01\x00"[: number % 8])
        started(*owners)
        begin = loop.time()
        for owner in owners:
            await owner.until(lambda: owner.lost)  # noqa: B023
            lost_to(owner, "within 0.2 s")
            owner.link.close()
        assert loop.time() - begin >= 0.19
        for far in fars:
            far.close()
        owners[0].close()

    run(main())


def test_a_handshake_in_time_is_not_ended_later(run: Run) -> None:
    async def main() -> None:
        readiness = LoopReadiness(asyncio.get_running_loop())
        near, far = socket.socketpair()
        ends = [tls_end(readiness, near, server=False, handshake_timeout=30), tls_end(readiness, far, server=True, handshake_timeout=30)]
        started(*ends)
        await ready(*ends)
        assert not readiness._timers
        for end in ends:
            end.close()

    run(main())


def test_certificates_that_are_not_accepted(new: New, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        stranger = ssl.create_default_context()
        one, two = new_end(new, near, server=False, context=stranger), new_end(new, far, server=True)
        await one.until(lambda: one.lost)
        await two.until(lambda: two.lost)
        assert isinstance(lost_to(one, "authority that is not known"), CertificateError)
        lost_to(two, "the peer refused the connection: unknown ca")
        one.close()
        two.close()
        near, far = tcp_pair()
        demanding = server_context(verify_mode=ssl.CERT_REQUIRED)
        one, two = new_end(new, near, server=False), new_end(new, far, server=True, context=demanding)
        await one.until(lambda: one.lost)
        await two.until(lambda: two.lost)
        lost_to(one, "the peer refused the connection: certificate required")
        lost_to(two, "peer did not return a certificate")
        one.close()
        two.close()

    run(main())


def test_a_name_that_no_certificate_can_be_for() -> None:
    near, far = socket.socketpair()
    clock: Any = None
    with pytest.raises(ValueError):
        TlsLink(clock, None, near, Outbox(), client_context(), server_hostname="")
    near.close()
    far.close()


def test_pausing_does_not_hold_up_the_handshake(new: New, run: Run) -> None:
    async def main() -> None:
        one, two = joined_tls(new)
        one.link.pause_reading()
        two.link.pause_reading()
        one.send(b"x")
        await ready(one, two)
        await settle()
        assert not two.received
        two.link.resume_reading()
        await two.until(lambda: two.received)
        one.close()
        two.close()

    run(main())


def test_a_plain_link_goes_on_encrypted(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        readiness = new(loop)
        (plain,) = started(socket_end(readiness, near))
        far.setblocking(False)
        plain.send(b"INFO {}\r\n")
        assert await loop.sock_recv(far, 100) == b"INFO {}\r\n"
        await loop.sock_sendall(far, b"in plain text")
        await plain.until(lambda: plain.received)
        link: Any = plain.link
        sock = link.detach()
        with pytest.raises(OSError):
            link.detach()
        link.close()
        await loop.sock_sendall(far, b"")
        (owner,) = started(tls_end(readiness, sock, server=server))
        peer = RawPeer(far, server=not server)
        await peer.shake()
        await ready(owner)
        owner.send(b"answer")
        assert await peer.receive(6) == b"answer"
        await peer.send(peer.writer.record(b"encrypted"))
        await owner.until(lambda: owner.received)
        assert plain.received == b"in plain text" and owner.received == b"encrypted" and plain.lost == []
        owner.close()
        peer.close()

    run(main())


# Records


def test_data_byte_by_byte(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server)
        for byte in peer.writer.record(b"hello") + peer.writer.record(b"") + peer.writer.record(b" world"):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await owner.until(lambda: owner.received == b"hello world")
        owner.close()
        peer.close()

    run(main())


@pytest.mark.parametrize("size", [1, 1000, 16384])
def test_many_records_at_once_leave_nothing_behind(size: int, new: New, server: bool, run: Run) -> None:
    """Records that fit no reading: what a reading leaves is less than a record, always."""

    async def main() -> None:
        owner, peer = await secured(new, server)
        data = pattern(min(1_000_000, size * 3000))
        sealed = b"".join(peer.writer.record(data[start : start + size]) for start in range(0, len(data), size))
        for start in range(0, len(sealed), 333_333):
            await peer.send(sealed[start : start + 333_333])
        await owner.until(lambda: len(owner.received) == len(data))
        assert owner.received == data
        owner.close()
        peer.close()

    run(main())


@pytest.mark.parametrize("version", BOTH_VERSIONS)
def test_small_writes_travel_in_one_record_and_large_ones_in_full_ones(version: ssl.TLSVersion, new: New, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, False, version)
        for _ in range(100):
            owner.outbox.write(b"x" * 100)
        owner.flush()
        await settle()
        sealed = peer.sock.recv(1 << 20, socket.MSG_PEEK)
        assert len(sealed) <= 4096 + 10_000 + 2 * 64, "two blocks of the outbox at most"
        assert await peer.receive(10_000) == b"x" * 10_000
        owner.close()
        peer.close()

    run(main())


def test_the_outbox_tells_what_is_not_sent(new: New, run: Run) -> None:
    """A record of which the socket took only a part: nobody can read it, so nothing of it is sent."""

    async def main() -> None:
        owner, peer = await secured(new, True)
        data = pattern(20_000_000)
        owner.send(data)
        while True:
            before = len(owner.outbox)
            await settle()
            if len(owner.outbox) == before:
                break
        assert owner.link.blocked
        sent = len(data) - len(owner.outbox)
        assert 0 < sent < len(data)
        owner.close()
        got = bytearray()
        try:
            while piece := await peer.receive(1 << 14):
                got += piece
        except (ssl.SSLEOFError, ConnectionResetError):
            pass  # it was cut in the middle of a record
        assert len(got) <= sent and data.startswith(got)
        peer.close()

    run(main())


def test_a_broken_record_after_good_ones(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server)
        bad = bytearray(peer.writer.record(b"good") * 1 + peer.writer.record(b"bad"))
        bad[-1] ^= 1
        await peer.send(bytes(bad))
        await owner.until(lambda: owner.lost)
        assert owner.received == b"good"
        lost_to(owner, "bad record mac")
        owner.close()
        peer.close()

    run(main())


def test_plain_text_after_the_handshake_is_an_error(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server)
        await peer.send(b"PING\r\n" * 10)
        await owner.until(lambda: owner.lost)
        lost_to(owner, "not TLS")
        assert owner.received == b""
        owner.close()
        peer.close()

    run(main())


# What is neither data nor an end


@pytest.mark.parametrize("request_ours", [False, True])
def test_key_updates(request_ours: bool, new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server)
        owner.send(b"before")
        assert await peer.receive(6) == b"before"
        for number in range(3):
            await peer.send(peer.writer.record(b"%d" % number) + peer.writer.key_update(request_ours) + peer.writer.record(b"!"))
            await owner.until(lambda: owner.received.endswith(b"%d!" % number))  # noqa: B023
        owner.send(b"after")
        assert await peer.receive(5) == b"after", "with our new keys, if they were asked for"
        assert owner.received == b"0!1!2!" and not owner.lost
        owner.close()
        peer.close()

    run(main())


def test_a_key_update_between_what_is_blocked(new: New, server: bool, run: Run) -> None:
    """Our answer to it goes in line with the data that waits."""

    async def main() -> None:
        owner, peer = await secured(new, server)
        data = pattern(10_000_000)
        owner.send(data)
        assert owner.link.blocked
        await peer.send(peer.writer.key_update(True) + peer.writer.record(b"x"))
        await owner.until(lambda: owner.received)
        assert await peer.receive(len(data)) == data
        await owner.until(lambda: not owner.link.blocked)
        owner.send(b"end")
        assert await peer.receive(3) == b"end"
        owner.close()
        peer.close()

    run(main())


def test_a_peer_that_asks_for_answers_and_reads_none_is_read_no_more(new: New, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        owner = new_end(new, near, server=True)
        peer = RawPeer(far, server=False)
        await peer.shake()
        await ready(owner)
        link: Any = owner.link
        flood = b"".join(peer.writer.key_update(True) + b"".join(map(peer.writer.record, [b"x"] * 16)) for _ in range(2_500))
        sending = asyncio.ensure_future(peer.send(flood))
        while link.watched & READ:
            await settle()
        unread = unread_bytes(near.fileno())
        await settle()
        assert unread_bytes(link.fd) >= unread > 0 and not owner.lost
        reading = asyncio.ensure_future(peer.receive(3))
        await sending
        owner.send(b"end")
        assert await reading == b"end"
        owner.close()
        peer.close()

    run(main())


def test_a_flood_of_key_updates_holds_up_nobody_for_long(new: New, run: Run) -> None:
    """Each costs us more than many records with data, and nothing of it reaches the owner."""

    async def main() -> None:
        owner, peer = await secured(new, True)
        await peer.send(peer.writer.record(b"good") + b"".join(peer.writer.key_update() for _ in range(2000)))
        before = time.thread_time()
        await owner.until(lambda: owner.lost)
        assert time.thread_time() - before < 0.03, "a few milliseconds"
        assert owner.received == b"good"
        lost_to(owner, "records without data")
        owner.close()
        peer.close()

    run(main())


# Ends


@pytest.mark.parametrize("version", BOTH_VERSIONS)
def test_a_peer_that_ends_its_side_still_gets_what_waits(version: ssl.TLSVersion, new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server, version)
        data = pattern(5_000_000)
        owner.send(data)
        await peer.close_notify()
        await owner.until(lambda: owner.lost)
        assert owner.lost == [None] and owner.link.error is None
        assert await peer.receive(len(data)) == data and owner.lost == [None]
        owner.close()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await peer.receive(1)
            raise ssl.SSLZeroReturnError
        peer.close()

    run(main())


def test_data_and_the_end_at_once(new: New, server: bool, run: Run) -> None:
    """The end comes with the data, and no socket becomes readable for it; a reader that pauses hears of it later."""

    async def main() -> None:
        for pauses in (False, True):
            owner, peer = await secured(new, server)
            if pauses:
                owner.link.pause_reading()
            await peer.send(peer.writer.record(b"last words") + peer.writer.record(b"\x01\x00", ALERT))
            if pauses:
                await settle()
                assert not owner.received and not owner.lost
                owner.link.resume_reading()
            await owner.until(lambda: owner.lost)  # noqa: B023
            assert owner.received == b"last words" and owner.lost == [None]
            owner.close()
            peer.close()

    run(main())


class PausingAtOnce(Owner):
    """Wants nothing more once it has something, until it is asked."""

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self.link.pause_reading()
        return super().link_received(chunk, size)


def test_an_owner_that_pauses_before_the_end_hears_of_it_after(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server)
        owner.__class__ = PausingAtOnce
        await peer.send(peer.writer.record(b"last words") + peer.writer.record(b"\x01\x00", ALERT))
        await owner.until(lambda: owner.received)
        await settle()
        assert owner.lost == []
        owner.link.resume_reading()
        owner.link.pause_reading()
        await settle()
        assert owner.lost == []
        owner.link.resume_reading()
        await owner.until(lambda: owner.lost)
        assert owner.lost == [None]
        owner.close()
        peer.close()

    run(main())


@pytest.mark.parametrize("cut", [0, 1, 7, -1])
def test_a_connection_that_is_cut_is_no_end(cut: int, new: New, server: bool, run: Run) -> None:
    """Without a close_notify: between two records, in the middle of one."""

    async def main() -> None:
        owner, peer = await secured(new, server)
        good, last = peer.writer.record(b"good"), peer.writer.record(b"the last one")
        await peer.send(good + last[:cut])
        peer.sock.shutdown(socket.SHUT_WR)
        await owner.until(lambda: owner.lost)
        assert owner.received == b"good"
        lost_to(owner, "it may have been cut")
        await settle()
        assert len(owner.lost) == 1
        owner.close()
        peer.close()

    run(main())


def test_closing_says_so(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server)
        owner.send(b"last words")
        owner.close()
        assert await peer.receive(1000) == b"last words", "then a close_notify"
        peer.close()

    run(main())


def test_closing_during_the_handshake(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near, server=server, handshake_timeout=30)
        owner.send(b"a secret")
        owner.close()
        far.settimeout(10)
        sent = b""
        while data := far.recv(1 << 16):
            sent += data
        assert b"a secret" not in sent and owner.lost == [] and near.fileno() == -1
        far.close()

    run(main())


def test_closing_what_is_blocked_does_not_wait(new: New, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, True, write_deadline=30)
        owner.send(b"x" * 10_000_000)
        assert owner.link.blocked
        begin = time.perf_counter()
        owner.close()
        assert time.perf_counter() - begin < 1
        peer.close()

    run(main())


def test_a_reset_is_an_error(new: New, server: bool, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, server)
        reset(peer.sock)
        await owner.until(lambda: owner.lost)
        assert isinstance(owner.lost[0], (ConnectionResetError, BrokenPipeError)) and owner.lost == [owner.link.error]
        owner.send(b"y")
        await settle()
        assert len(owner.lost) == 1
        owner.close()

    run(main())


def test_what_a_client_said_before_it_went_is_read(run: Run) -> None:
    """It has closed before it read our session tickets: that these cannot be sent does not matter yet."""

    async def main() -> None:
        near, far = socket.socketpair()
        one = new_end(LoopReadiness, near, server=False)
        two = tls_end(LoopReadiness(asyncio.get_running_loop()), far, server=True)
        started(two)
        await ready(one)
        one.send(b"last words")
        one.close()
        await two.until(lambda: two.lost)
        assert two.received == b"last words" and two.lost == [None]
        two.close()

    run(main())


def test_the_write_deadline(new: New, run: Run) -> None:
    async def main() -> None:
        owner, peer = await secured(new, True, write_deadline=0.05)
        owner.send(b"x" * 10_000_000)
        await owner.until(lambda: owner.stuck)
        assert owner.stuck == 1 and owner.lost == []
        owner.close()
        peer.close()

    run(main())


def test_an_owner_may_close_from_within_any_call(new: New, run: Run) -> None:
    async def main() -> None:
        for call in ("link_received", "link_progress", "link_lost"):
            one, two = joined_tls(new)
            setattr(two, call, lambda *_: bool(two.close()) or True)  # noqa: B023
            one.send(b"x" * 1_000_000)
            if call == "link_lost":
                await ready(one, two)
                one.close()
            else:
                await one.until(lambda: one.lost)  # noqa: B023
            await settle()
            assert two.lost == []
            one.close()
            two.close()

    run(main())


# Forked copies


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_closing_ends_the_connection_although_a_forked_child_has_a_copy() -> None:
    run_forking("""
        from ends import joined_tls, ready
        one, two = joined_tls(new)
        await ready(one, two)
        end = fork()
        one.send(b"last words")
        one.close()
        await two.until(lambda: two.lost)
        assert two.received == b"last words" and two.lost == [None]
        two.close()
        end()
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_a_child_abandons_goes_on_in_the_parent() -> None:
    """The child's copy of the keys says nothing: a close_notify of its own would end the parent's connection."""
    run_forking("""
        from ends import joined_tls, ready
        one, two = joined_tls(new)
        await ready(one, two)
        two.link.pause_reading()
        one.send(b"x" * 3_000_000)
        assert one.link.blocked
        def in_the_child():
            one.link.abandon()
            if new is Reactor:
                one.readiness.abandon()
            one.link.flush()
            one.close()
            assert one.lost == []
        end = fork(in_the_child)
        two.link.resume_reading()
        await two.until(lambda: len(two.received) == 3_000_000)
        two.send(b"hello")
        await one.until(lambda: one.received == b"hello")
        one.close()
        two.close()
        end()
    """)
