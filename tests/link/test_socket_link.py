"""SocketLink: what only it does: half-closed peers, resets, the write deadline, forked copies of its socket."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from ends import LOOPS, Owner, joined_sockets, loop_name, pattern, reset, run_in, settle, socket_end, started, tcp_pair

from midge.link import READ, WRITE, Readiness, Watched
from midge.link.reactor import Reactor
from midge.link.readiness import LoopReadiness

Run = Callable[[Coroutine[Any, Any, None]], None]
New = Callable[[asyncio.AbstractEventLoop], Readiness]


@pytest.fixture(params=LOOPS, ids=loop_name)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


@pytest.fixture(params=[LoopReadiness, Reactor])
def new(request: pytest.FixtureRequest) -> Any:
    return request.param


def new_end(new: New, sock: socket.socket, write_deadline: float | None = None) -> Owner:
    (owner,) = started(socket_end(new(asyncio.get_running_loop()), sock, write_deadline))
    return owner


def test_a_half_closed_peer_still_gets_what_waits(new: New, run: Run) -> None:
    """The owner decides when it is over; nc and nats-server's own tests work that way."""

    async def main() -> None:
        near, far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        owner = new_end(new, near)
        data = pattern(1_000_000)
        owner.send(data)
        far.sendall(b"bye")
        far.shutdown(socket.SHUT_WR)
        await owner.until(lambda: owner.lost)
        assert owner.received == b"bye" and owner.lost == [None] and owner.link.blocked
        owner.link.resume_reading()
        far.setblocking(False)
        received = b""
        loop = asyncio.get_running_loop()
        while len(received) < len(data):
            received += await loop.sock_recv(far, 1 << 16)
        assert received == data and owner.lost == [None]
        owner.close()
        far.close()

    run(main())


def test_a_half_closed_peer_that_breaks_is_told_of_as_progress(new: New, run: Run) -> None:
    """Its owner knows that it is lost; it may only be waiting for the rest to be sent, and that is never going to be."""

    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near)
        owner.send(b"x" * 10_000_000)
        far.shutdown(socket.SHUT_WR)
        await owner.until(lambda: owner.lost)
        assert owner.link.blocked and owner.link.error is None
        progress = owner.progress
        reset(far)
        await owner.until(lambda: owner.link.error)
        assert owner.progress > progress and owner.lost == [None] and not owner.link.blocked
        owner.close()

    run(main())


@pytest.mark.parametrize("blocked", [False, True])
def test_a_reset_is_an_error(blocked: bool, new: New, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near)
        if blocked:
            owner.link.pause_reading()
            owner.send(b"x" * 10_000_000)
            assert owner.link.blocked
        reset(far)
        await owner.until(lambda: owner.lost)
        assert isinstance(owner.lost[0], (ConnectionResetError, BrokenPipeError)) and owner.lost == [owner.link.error]
        owner.send(b"y")
        await settle()
        assert len(owner.lost) == 1 and near.fileno() == -1, "it is closed"
        owner.close()

    run(main())


def test_a_flush_that_finds_the_peer_gone_tells_nobody_before_the_next_turn(new: New, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near)
        owner.link.pause_reading()
        reset(far)
        owner.send(b"a")  # Owner.send would notice a call from inside the flush
        error = owner.link.error
        assert isinstance(error, OSError) and not owner.link.blocked and owner.lost == []
        owner.send(b"b")
        await owner.until(lambda: owner.lost)
        await settle()
        assert owner.lost == [error]
        owner.close()

    run(main())


def test_an_owner_that_closes_a_broken_link_hears_nothing(new: New, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        owner = new_end(new, near)
        owner.link.pause_reading()
        reset(far)
        owner.send(b"a")
        assert owner.link.error is not None
        owner.close()
        await settle()
        assert owner.lost == []

    run(main())


class Spreading(Owner):
    """One of many who each tell all others when they are lost, as a server does with what a client leaves behind."""

    others: list["Spreading"]

    def link_lost(self, error: OSError | None) -> None:
        super().link_lost(error)
        self.link.close()
        for other in self.others:
            other.send(b"gone")


def test_three_hundred_resets_in_one_turn_are_three_hundred_short_calls(new: New, run: Run) -> None:
    """No owner finds itself inside another one's call: nested, these would be deeper than Python goes."""

    async def main() -> None:
        pairs = [tcp_pair() for _ in range(300)]
        readiness = new(asyncio.get_running_loop())
        owners: list[Any] = [socket_end(readiness, near) for near, _ in pairs]
        for owner in owners:
            owner.__class__ = Spreading
            owner.others = owners
            owner.link.start(owner)
        for _, far in pairs:
            reset(far)
        owners[0].send(b"a message to everybody")
        await owners[-1].until(lambda: owners[-1].lost)
        await settle()
        assert [len(owner.lost) for owner in owners] == [1] * 300
        for owner in owners:
            owner.close()

    run(main())


def test_a_peer_that_takes_nothing_is_reported_once_each_deadline(new: New, run: Run) -> None:
    async def main() -> None:
        one, two = joined_sockets(new, write_deadline=0.02)
        two.link.pause_reading()
        one.send(b"x" * 1_000_000)
        await one.until(lambda: one.stuck)
        assert one.stuck == 1 and one.link.blocked and one.lost == []
        one.close()
        two.close()

    run(main())


class FakeReadiness:
    """A readiness whose time is moved by hand; what is watched is read by the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: dict[Callable[[], None], float] = {}
        self.set = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        self.timers[call] = when
        self.set += 1

    def cancel(self, call: Callable[[], None]) -> None:
        self.timers.pop(call, None)

    def watch(self, link: Watched, read: bool, write: bool) -> None:
        link.watched = (READ if read else 0) | (WRITE if write else 0)

    def forget(self, link: Watched) -> None:
        link.watched = 0

    def move_to(self, now: float) -> None:
        """Let the time pass, and call what is due."""
        self.now = now
        due = [call for call, when in self.timers.items() if when <= now]
        for call in due:
            del self.timers[call]
            call()


def test_any_progress_puts_the_write_deadline_off() -> None:
    clock: Any = FakeReadiness()
    near, far = socket.socketpair()
    owner = socket_end(clock, near, 10.0)
    link: Any = owner.link
    link.start(owner)
    owner.send(b"x")
    assert clock.set == 0, "a link that is not blocked has no timer"
    owner.send(b"x" * 10_000_000)
    assert link.blocked and link.watched == READ | WRITE and len(clock.timers) == 1
    for now in (109.0, 118.0, 127.0):
        far.recv(1 << 20)
        clock.now = now
        link.on_writable()
        clock.move_to(now)
    assert owner.stuck == 0 and owner.progress == 3
    assert clock.set <= 4, "it is set anew when it has run out, not whenever there is progress"
    clock.move_to(130.0)
    assert owner.stuck == 0
    link.on_writable()  # a wake-up without progress
    clock.move_to(136.9)
    assert owner.stuck == 0
    clock.move_to(137.0)
    assert owner.stuck == 1
    link.close()
    far.close()
    assert not clock.timers and link.watched == 0


def test_a_link_that_is_not_blocked_any_more_has_no_timer() -> None:
    clock: Any = FakeReadiness()
    near, far = socket.socketpair()
    owner = socket_end(clock, near, 10.0)
    link: Any = owner.link
    link.start(owner)
    owner.send(b"x" * 1_000_000)
    while link.blocked:
        far.recv(1 << 20)
        link.on_writable()
    assert not clock.timers and link.watched == READ
    link.close()
    far.close()


def test_a_socket_that_is_gone_already_is_an_oserror(run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        near.close()
        with pytest.raises(OSError):
            socket_end(LoopReadiness(asyncio.get_running_loop()), near)
        far.close()

    run(main())


def test_a_link_can_be_closed_after_its_loop(new: New) -> None:
    near, far = socket.socketpair()

    async def main() -> Owner:
        owner = new_end(new, near, 10.0)
        owner.send(b"x" * 10_000_000)
        assert owner.link.blocked
        return owner

    owner = asyncio.run(main())
    owner.close()
    assert near.fileno() == -1
    far.close()


def test_a_link_that_breaks_after_its_loop_was_closed(new: New) -> None:
    near, far = tcp_pair()

    async def main() -> Owner:
        return new_end(new, near)

    owner = asyncio.run(main())
    reset(far)
    owner.send(b"x")
    assert owner.link.error is not None and owner.lost == []
    owner.close()


class Nesting(Owner):
    """Runs whatever is ready inside its call, as a callback that runs the event loop itself does."""

    inner: Callable[[], None]
    depth = 0

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self.depth += 1
        assert self.depth == 1, "called from inside its own call"
        before = bytes(chunk[:size])
        self.inner()
        assert bytes(chunk[:size]) == before, "somebody else has read into this chunk"
        self.depth -= 1
        return super().link_received(chunk, size)


def test_an_event_loop_inside_a_call_neither_overtakes_nor_overwrites(run: Run) -> None:
    async def main() -> None:
        reactor = Reactor(asyncio.get_running_loop())
        ends = [socket.socketpair() for _ in range(2)]
        outer, other = (socket_end(reactor, near) for near, _ in ends)
        outer.__class__ = Nesting
        outer.inner = lambda: [ends[0][1].send(b"second"), ends[1][1].send(b"other"), reactor._turn()]  # type: ignore[attr-defined, list-item]
        started(outer, other)
        ends[0][1].send(b"first")
        await outer.until(lambda: outer.received)
        outer.inner = lambda: None  # type: ignore[attr-defined]
        assert outer.received == b"first" and other.received == b"other"
        await outer.until(lambda: outer.received == b"firstsecond")
        for owner in (outer, other):
            owner.close()
        for _, far in ends:
            far.close()

    run(main())


def test_an_idle_link_is_small() -> None:
    """A socket, a link and its registration; the kernel's share is not ours."""
    import tracemalloc

    async def main() -> None:
        count = 300
        reactor = Reactor(asyncio.get_running_loop())
        fars = []
        owners = []
        gc.collect()
        tracemalloc.start()
        for _ in range(count):
            near, far = socket.socketpair()
            fars.append(far)
            owners.append(socket_end(reactor, near))
        del near, far
        started(*owners)
        filters = [tracemalloc.Filter(True, f"*midge{os.sep}link{os.sep}*"), tracemalloc.Filter(True, socket.__file__)]
        used = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(filters).traces)
        tracemalloc.stop()
        assert used / count < 700
        for owner in owners:
            owner.link.close()
        reactor.close()
        for far in fars:
            far.close()

    run_in(asyncio.new_event_loop, main())


# Forked copies


FORKING = """
import asyncio, os, socket, sys
sys.path[:0] = {path!r}
from ends import Owner, socket_end, started, settle, tcp_pair
from midge.link.reactor import Reactor
from midge.link.readiness import LoopReadiness

def fork(in_the_child=lambda: None):
    "Return a function that ends the child and waits for it. The child has nothing to do with the event loop."
    reader, writer = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(writer)
            in_the_child()
            os.write(tell, b"x")
            os.read(reader, 1)
            code = 0
        finally:
            os._exit(code)
    os.read(told, 1)
    def end():
        os.close(writer)
        assert os.waitpid(child, 0)[1] == 0
    return end

async def main(new):
{body}

for new in (LoopReadiness, Reactor):
    asyncio.run(main(new))
"""


def run_forking(body: str) -> None:
    script = FORKING.format(
        path=[os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))], body=textwrap.indent(textwrap.dedent(body), "    ")
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_closing_ends_the_connection_although_a_forked_child_has_a_copy() -> None:
    run_forking("""
        near, far = tcp_pair()
        (owner,) = started(socket_end(new(asyncio.get_running_loop()), near))
        end = fork()
        owner.send(b"last words")
        owner.close()
        far.settimeout(10)
        assert far.recv(100) == b"last words"
        assert far.recv(100) == b""
        end()
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_a_child_abandons_goes_on_in_the_parent() -> None:
    """Also where it is blocked and about to be watched for more: the child must not touch what is watched."""
    run_forking("""
        near, far = tcp_pair()
        (owner,) = started(socket_end(new(asyncio.get_running_loop()), near, 10.0))
        owner.send(b"x" * 10_000_000)
        assert owner.link.blocked
        def in_the_child():
            owner.link.abandon()
            if new is Reactor:
                owner.readiness.abandon()
            owner.link.flush()
            owner.close()
            assert owner.lost == [] and near.fileno() == -1
        end = fork(in_the_child)
        far.setblocking(False)
        size = 0
        while size < 10_000_000:
            size += len(await asyncio.get_running_loop().sock_recv(far, 1 << 20))
        await owner.until(lambda: not owner.link.blocked)
        far.send(b"hello")
        await owner.until(lambda: owner.received == b"hello")
        owner.close()
        assert await asyncio.get_running_loop().sock_recv(far, 10) == b""
        end()
    """)
