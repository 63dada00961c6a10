"""link: bytes arrive whole and in order, a peer that does not read holds the sender back, and every end is heard of.

No sleeps: a test waits for an owner to have been told something. Each runs on asyncio's event loop and on uvloop's.
"""

import asyncio
import gc
import socket
import struct
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from midge.link import CHUNK_SIZE, MEMORY_HIGH, PIECE_SIZE, Link, MemoryLink, SocketLink
from midge.wire.outbox import Outbox

try:
    from uvloop import new_event_loop as new_uvloop
except ImportError:
    new_uvloop = None

LOOPS = [asyncio.new_event_loop] + ([new_uvloop] if new_uvloop is not None else [])
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS, ids=lambda factory: factory.__module__.partition(".")[0])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end; what it leaves in the event loop is an error."""

    def run_it(main: Coroutine[Any, Any, None]) -> None:
        problems: list[dict[str, Any]] = []

        async def with_handler() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
            await main

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(with_handler())
        assert not problems

    return run_it


class Owner:
    """One side's owner: notes what it is told, and lets a test wait for it."""

    def __init__(self, link: Link, outbox: Outbox) -> None:
        self.link = link
        self.outbox = outbox
        self.received = bytearray()
        self.pieces: list[int] = []
        self.progress = 0
        self.stuck = 0
        self.lost: list[OSError | None] = []
        self._told = asyncio.Event()

    def link_received(self, chunk: bytearray, size: int) -> None:
        self.received += memoryview(chunk)[:size]
        self.pieces.append(size)
        self._told.set()

    def link_progress(self) -> None:
        self.progress += 1
        self._told.set()

    def link_stuck(self) -> None:
        self.stuck += 1
        self._told.set()

    def link_lost(self, error: OSError | None) -> None:
        self.lost.append(error)
        self._told.set()

    def send(self, data: bytes) -> None:
        self.outbox.write(data)
        self.link.flush()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is looked at whenever the owner is told something."""
        while not condition():
            await self._told.wait()
            self._told.clear()


async def settle() -> None:
    """Let the loop do what is ready, for as many turns as one piece needs to go there and be acknowledged."""
    for _ in range(20):
        await asyncio.sleep(0)


def pattern(size: int) -> bytes:
    """Bytes in which a lost or repeated part shows."""
    return b"".join(struct.pack(">I", number) for number in range(size // 4 + 1))[:size]


def memory_pair(one: asyncio.AbstractEventLoop, other: asyncio.AbstractEventLoop) -> tuple[Owner, Owner]:
    links = MemoryLink.pair(one, other)
    owners = []
    for link in links:
        outbox = Outbox()
        link.carry(outbox)
        owners.append(Owner(link, outbox))
    return owners[0], owners[1]


def joined_memory() -> tuple[Owner, Owner]:
    """Two started ends in this loop."""
    loop = asyncio.get_running_loop()
    owners = memory_pair(loop, loop)
    for owner in owners:
        owner.link.start(owner)
    return owners


def joined_sockets(write_deadline: float | None = None, buffer: int = 4096) -> tuple[Owner, Owner]:
    """Two started ends, over a connected pair of sockets with small buffers."""
    owners = []
    for sock in socket.socketpair():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        outbox = Outbox()
        link = SocketLink(asyncio.get_running_loop(), sock, outbox, bytearray(CHUNK_SIZE), write_deadline)
        owners.append(Owner(link, outbox))
    for owner in owners:
        owner.link.start(owner)
    return owners[0], owners[1]


def close(*owners: Owner) -> None:
    for owner in owners:
        owner.link.close()
        owner.link.close()


JOINED = pytest.mark.parametrize("joined", [joined_memory, joined_sockets])


# Both kinds


@JOINED
def test_bytes_arrive_whole_and_in_order_both_ways(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        data = pattern(3_000_000)
        for start in range(0, len(data), 300_000):
            one.send(data[start : start + 300_000])
            two.send(data[start : start + 300_000])
        await one.until(lambda: len(one.received) == len(data))
        await two.until(lambda: len(two.received) == len(data))
        assert one.received == two.received == data and not len(one.outbox) and not one.link.blocked
        assert max(one.pieces) <= PIECE_SIZE, "nobody else waits long for their turn"
        close(one, two)

    run(main())


@JOINED
def test_a_reader_that_pauses_holds_the_sender_back_and_loses_nothing(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.link.pause_reading()
        data = pattern(5_000_000)
        for start in range(0, len(data), 100_000):
            one.send(data[start : start + 100_000])
        await settle()
        assert one.link.blocked and not two.received
        under_way = len(data) - len(one.outbox)
        assert 0 < under_way < MEMORY_HIGH + PIECE_SIZE, "the rest waits in the outbox, where its owner sees it"
        two.link.resume_reading()
        await two.until(lambda: len(two.received) == len(data))
        await one.until(lambda: not one.link.blocked)
        assert two.received == data and one.progress > 0
        close(one, two)

    run(main())


@JOINED
def test_pausing_twice_and_resuming_twice(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.link.pause_reading()
        two.link.pause_reading()
        one.send(b"abc")
        await settle()
        assert not two.received
        two.link.resume_reading()
        two.link.resume_reading()
        await two.until(lambda: two.received == b"abc")
        close(one, two)
        two.link.resume_reading()
        two.link.pause_reading()
        two.send(b"too late")
        await settle()
        assert one.received == b""

    run(main())


@JOINED
def test_what_was_sent_before_the_close_arrives_then_the_end(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        for first in (0, 1):
            owners = joined()
            closing, hearing = owners[first], owners[1 - first]
            closing.send(b"last words")
            close(closing)
            await hearing.until(lambda: hearing.lost)
            assert hearing.received == b"last words" and hearing.lost == [None] and closing.lost == []
            close(hearing)
            await settle()
            assert closing.lost == [] and hearing.lost == [None], "the one that closes hears nothing more"

    run(main())


@JOINED
def test_the_end_is_heard_of_also_by_a_reader_that_paused(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.link.pause_reading()
        one.send(b"x")
        close(one)
        await settle()
        assert not two.received and not two.lost
        two.link.resume_reading()
        await two.until(lambda: two.lost)
        assert two.received == b"x"
        close(two)

    run(main())


@JOINED
def test_closing_while_the_other_is_blocked_on_it(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.link.pause_reading()
        one.send(pattern(3_000_000))
        await settle()
        assert one.link.blocked
        close(two)
        await one.until(lambda: one.lost)
        close(one)

    run(main())


@JOINED
def test_both_close_at_once(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        one.send(b"x")
        two.send(b"y")
        close(one, two)
        await settle()
        assert not one.lost and not two.lost and not one.received and not two.received

    run(main())


class Closing(Owner):
    """Closes its link as soon as anything comes."""

    def link_received(self, chunk: bytearray, size: int) -> None:
        super().link_received(chunk, size)
        self.link.close()


@JOINED
def test_an_owner_may_close_from_within_a_call(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.__class__ = Closing
        one.send(b"x" * 3 * PIECE_SIZE)
        await one.until(lambda: one.lost)
        close(one)
        await settle()
        assert len(two.pieces) == 1 and two.lost == []

    run(main())


@JOINED
def test_a_closed_link_keeps_nobody_alive(joined: Callable[[], tuple[Owner, Owner]], run: Run) -> None:
    """Without the garbage collector: connections come and go by the thousand."""

    async def main() -> None:
        gc.disable()
        try:
            owners = joined()
            owners[0].send(b"x")
            await owners[1].until(lambda: owners[1].received)
            close(*owners)
            await settle()
            links = [owner.link for owner in owners]
            assert not [thing for link in links for thing in gc.get_referents(link) if isinstance(thing, Owner)]
        finally:
            gc.enable()

    run(main())


# SocketLink


def test_a_half_closed_peer_still_gets_what_waits(run: Run) -> None:
    """The owner decides when it is over; nc and nats-server's own tests work that way."""

    async def main() -> None:
        near, far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        outbox = Outbox()
        owner = Owner(SocketLink(asyncio.get_running_loop(), near, outbox, bytearray(CHUNK_SIZE), None), outbox)
        owner.link.start(owner)
        data = pattern(1_000_000)
        owner.send(data)
        far.sendall(b"bye")
        far.shutdown(socket.SHUT_WR)
        await owner.until(lambda: owner.lost)
        assert owner.received == b"bye" and owner.lost == [None] and owner.link.blocked
        far.setblocking(False)
        received = b""
        loop = asyncio.get_running_loop()
        while len(received) < len(data):
            received += await loop.sock_recv(far, 1 << 16)
        assert received == data and owner.lost == [None]
        owner.link.close()
        far.close()

    run(main())


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    return near, far


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("blocked", [False, True])
def test_a_reset_is_an_error(blocked: bool, run: Run) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        outbox = Outbox()
        owner = Owner(SocketLink(asyncio.get_running_loop(), near, outbox, bytearray(CHUNK_SIZE), None), outbox)
        owner.link.start(owner)
        if blocked:
            owner.link.pause_reading()
            owner.send(b"x" * 10_000_000)
            assert owner.link.blocked
        reset(far)
        await owner.until(lambda: owner.lost)
        assert isinstance(owner.lost[0], (ConnectionResetError, BrokenPipeError)) and len(owner.lost) == 1
        owner.send(b"y")
        assert near.fileno() == -1, "it is closed"
        owner.link.close()

    run(main())


def test_a_peer_that_takes_nothing_is_reported_once_each_deadline(run: Run) -> None:
    async def main() -> None:
        one, two = joined_sockets(write_deadline=0.02)
        two.link.pause_reading()
        one.send(b"x" * 1_000_000)
        await one.until(lambda: one.stuck)
        assert one.stuck == 1 and one.link.blocked and one.lost == []
        close(one, two)

    run(main())


class Clock:
    """An event loop's time and timers, moved by hand; readiness is called by hand as well."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.writer: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> "Clock":
        self.timers.append((when, call))
        return self

    def call_later(self, delay: float, call: Callable[[], None]) -> "Clock":
        return self.call_at(self.now + delay, call)

    def cancel(self) -> None:
        self.timers.clear()

    def add_reader(self, _fd: int, _call: Callable[[], None]) -> None: ...

    def remove_reader(self, _fd: int) -> None: ...

    def add_writer(self, _fd: int, call: Callable[[], None]) -> None:
        self.writer = call

    def remove_writer(self, _fd: int) -> None:
        self.writer = None

    def is_closed(self) -> bool:
        return False

    def move_to(self, now: float) -> None:
        """Let the time pass, and call what is due."""
        self.now = now
        due, self.timers = [timer for timer in self.timers if timer[0] <= now], [timer for timer in self.timers if timer[0] > now]
        for _, call in due:
            call()


def test_any_progress_puts_the_write_deadline_off() -> None:
    clock = Clock()
    near, far = socket.socketpair()
    outbox = Outbox()
    link = SocketLink(clock, near, outbox, bytearray(CHUNK_SIZE), 10.0)  # type: ignore[arg-type]
    owner = Owner(link, outbox)
    link.start(owner)
    owner.send(b"x" * 10_000_000)
    assert link.blocked and clock.writer is not None and len(clock.timers) == 1
    for now in (109.0, 118.0, 127.0):
        far.recv(1 << 20)
        clock.now = now
        clock.writer()
        clock.move_to(now)
    assert owner.stuck == 0 and owner.progress == 3 and len(clock.timers) == 1, "one timer, however often there is progress"
    clock.move_to(130.0)
    assert owner.stuck == 0
    clock.writer()  # a wake-up without progress
    clock.move_to(136.9)
    assert owner.stuck == 0
    clock.move_to(137.0)
    assert owner.stuck == 1
    link.close()
    far.close()
    assert not clock.timers and clock.writer is None


def test_a_socket_that_is_gone_already_is_an_oserror() -> None:
    near, far = tcp_pair()
    near.close()
    with pytest.raises(OSError):
        SocketLink(Clock(), near, Outbox(), bytearray(1), None)  # type: ignore[arg-type]
    far.close()


def test_a_socket_link_can_be_closed_after_its_loop() -> None:
    near, far = socket.socketpair()
    outbox = Outbox()

    async def main() -> SocketLink:
        link = SocketLink(asyncio.get_running_loop(), near, outbox, bytearray(1), 10.0)
        link.start(Owner(link, outbox))
        outbox.write(b"x" * 10_000_000)
        link.flush()
        assert link.blocked
        return link

    link = asyncio.run(main())
    link.close()
    assert near.fileno() == -1
    far.close()


# MemoryLink between two threads


@contextmanager
def loop_thread(factory: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = factory()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def call(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in the other thread's loop and return what it returns."""
    return asyncio.run_coroutine_threadsafe(main, loop).result()


async def start(owner: Owner) -> None:
    owner.link.start(owner)


async def act(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


@pytest.fixture(params=LOOPS, ids=lambda factory: factory.__module__.partition(".")[0])
def loops(request: pytest.FixtureRequest) -> Iterator[tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]]:
    with loop_thread(request.param) as one, loop_thread(asyncio.new_event_loop) as two:
        yield one, two


Loops = tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]


def test_between_two_threads(loops: Loops) -> None:
    one, two = memory_pair(*loops)
    data = pattern(8_000_000)

    async def send_all(owner: Owner) -> None:
        for start_at in range(0, len(data), 100_000):
            owner.send(data[start_at : start_at + 100_000])
            await owner.until(lambda: len(owner.outbox) < 1_000_000)
        await owner.until(lambda: len(owner.received) == len(data))

    for loop, owner in zip(loops, (one, two)):
        call(loop, start(owner))
    tasks = [asyncio.run_coroutine_threadsafe(send_all(owner), loop) for loop, owner in zip(loops, (one, two))]
    for task in tasks:
        task.result()
    assert one.received == two.received == data
    call(loops[0], act(one.link.close))
    call(loops[1], two.until(lambda: two.lost))
    call(loops[1], act(two.link.close))
    assert one.lost == [] and two.lost == [None]


def test_a_reader_in_another_thread_that_pauses(loops: Loops) -> None:
    one, two = memory_pair(*loops)
    data = pattern(10_000_000)
    call(loops[1], start(two))
    call(loops[1], act(two.link.pause_reading))
    call(loops[0], start(one))
    call(loops[0], act(one.send, data))
    assert one.link.blocked and MEMORY_HIGH <= len(data) - len(one.outbox) <= MEMORY_HIGH + PIECE_SIZE
    call(loops[1], act(two.link.resume_reading))
    call(loops[1], two.until(lambda: len(two.received) == len(data)))
    assert two.received == data
    call(loops[1], act(two.link.close))
    call(loops[0], one.until(lambda: one.lost))
    call(loops[0], act(one.link.close))


def test_what_was_sent_arrives_even_if_the_senders_loop_is_closed_meanwhile(loops: Loops) -> None:
    """asyncio.run ends, and its loop with it, as soon as the client is closed."""
    one, two = memory_pair(*loops)
    data = pattern(900_000)
    call(loops[1], start(two))
    call(loops[1], act(two.link.pause_reading))
    call(loops[0], start(one))
    for at in range(0, len(data), 100_000):
        call(loops[0], act(one.send, data[at : at + 100_000]))
    call(loops[0], act(one.link.close))
    end(loops[0])
    call(loops[1], act(two.link.resume_reading))
    call(loops[1], two.until(lambda: two.lost))
    assert two.received == data and two.lost == [None]
    call(loops[1], act(two.link.close))


def end(loop: asyncio.AbstractEventLoop) -> None:
    """Stop a loop's thread and close the loop, without any farewell."""
    stopped = threading.Event()

    def stop() -> None:
        loop.stop()
        stopped.set()

    loop.call_soon_threadsafe(stop)
    stopped.wait()
    while loop.is_running():
        pass
    loop.close()


def test_a_peer_whose_loop_was_closed_underneath_it_is_gone(loops: Loops) -> None:
    one, two = memory_pair(*loops)
    for loop, owner in zip(loops, (one, two)):
        call(loop, start(owner))
    call(loops[0], act(one.send, b"before"))
    call(loops[1], two.until(lambda: two.received))
    end(loops[0])
    assert two.lost == []
    call(loops[1], act(two.send, b"hello?"))
    call(loops[1], two.until(lambda: two.lost))
    assert two.lost == [None]
    call(loops[1], act(two.send, b"hello?"))
    call(loops[1], act(two.link.close))


def test_a_blocked_sender_hears_that_its_peers_loop_is_gone_when_it_is_closed(loops: Loops) -> None:
    one, two = memory_pair(*loops)
    call(loops[1], start(two))
    call(loops[1], act(two.link.pause_reading))
    call(loops[0], start(one))
    call(loops[0], act(one.send, b"x" * 3_000_000))
    end(loops[1])
    assert one.link.blocked
    call(loops[0], act(one.link.close))
    assert not one.link.blocked


def test_a_link_that_was_never_started_leaves_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop = asyncio.new_event_loop()
        one, two = memory_pair(loop, loop)
        one.send(b"x")
        close(one)
        close(two)
        loop.close()
        del one, two
        gc.collect()
