"""MemoryLink: what only it does: pieces, one a turn, and two threads' loops that may end at any time."""

import asyncio
import gc
import threading
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ends import LOOPS, Owner, joined_memory, loop_name, memory_pair, pattern, run_in, settle

from midge.link.memory import UNDER_WAY
from midge.link.readiness import LoopReadiness
from midge.wire.outbox import LARGE_BLOCK, SMALL_BLOCK


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


@pytest.fixture(params=LOOPS, ids=loop_name)
def loops(request: pytest.FixtureRequest) -> Iterator[tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]]:
    with loop_thread(request.param) as one, loop_thread(asyncio.new_event_loop) as two:
        yield one, two


Loops = tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]


def test_between_two_threads(loops: Loops) -> None:
    one, two = memory_pair(*map(LoopReadiness, loops))
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
    one, two = memory_pair(*map(LoopReadiness, loops))
    data = pattern(10_000_000)
    call(loops[1], start(two))
    call(loops[1], act(two.link.pause_reading))
    call(loops[0], start(one))
    call(loops[0], act(one.send, data))
    assert one.link.blocked and UNDER_WAY // 2 <= len(data) - len(one.outbox) <= UNDER_WAY + LARGE_BLOCK
    call(loops[1], act(two.link.resume_reading))
    call(loops[1], two.until(lambda: len(two.received) == len(data)))
    assert two.received == data
    call(loops[1], act(two.link.close))
    call(loops[0], one.until(lambda: one.lost))
    call(loops[0], act(one.link.close))


def test_what_was_sent_arrives_even_if_the_senders_loop_is_closed_meanwhile(loops: Loops) -> None:
    """asyncio.run ends, and its loop with it, as soon as the client is closed."""
    one, two = memory_pair(*map(LoopReadiness, loops))
    data = pattern(700_000)
    call(loops[1], start(two))
    call(loops[1], act(two.link.pause_reading))
    call(loops[0], start(one))
    for at in range(0, len(data), 250_000):
        call(loops[0], act(one.send, data[at : at + 250_000]))
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
    one, two = memory_pair(*map(LoopReadiness, loops))
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
    one, two = memory_pair(*map(LoopReadiness, loops))
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
        one, two = memory_pair(LoopReadiness(loop), LoopReadiness(loop))
        one.send(b"x")
        one.close()
        two.close()
        loop.close()
        del one, two
        gc.collect()


def test_one_piece_a_turn_and_none_is_large() -> None:
    async def main() -> None:
        one, two = joined_memory()
        one.send(pattern(UNDER_WAY))
        turns = 0
        while len(two.received) < UNDER_WAY:
            pieces = len(two.pieces)
            await asyncio.sleep(0)
            turns += 1
            assert len(two.pieces) <= pieces + 1
        assert turns >= UNDER_WAY // LARGE_BLOCK and max(two.pieces) <= LARGE_BLOCK
        one.close()
        two.close()

    run_in(asyncio.new_event_loop, main())


def test_many_small_pieces_hold_the_sender_back_by_the_memory_they_take() -> None:
    """A piece is a whole block, however little is in it."""

    async def main() -> None:
        one, two = joined_memory()
        two.link.pause_reading()
        sent = 0
        while not one.link.blocked:
            one.send(b"x" * 16)
            sent += 1
            assert sent <= UNDER_WAY // SMALL_BLOCK + 1
        await settle()
        two.link.resume_reading()
        await two.until(lambda: len(two.received) == 16 * sent)
        assert not one.link.blocked and max(two.pieces) <= 32
        one.close()
        two.close()

    run_in(asyncio.new_event_loop, main())


class Interrupted(Owner):
    """The user stops the program in the middle of the first piece."""

    def link_received(self, chunk: bytearray, size: int) -> bool:
        super().link_received(chunk, size)
        if len(self.pieces) == 1:
            raise KeyboardInterrupt
        return True


def test_an_interrupt_loses_nothing_that_had_not_been_handed_over() -> None:
    loop = asyncio.new_event_loop()
    one, two = memory_pair(LoopReadiness(loop), LoopReadiness(loop))
    two.__class__ = Interrupted
    one.link.start(one)
    two.link.start(two)
    one.send(pattern(LARGE_BLOCK * 3))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_until_complete(two.until(lambda: len(two.received) == LARGE_BLOCK * 3))
    assert two.received == pattern(LARGE_BLOCK * 3)
    one.close()
    two.close()
    loop.close()


def test_abandoning_tells_nobody() -> None:
    async def main() -> None:
        one, two = joined_memory()
        one.send(b"x")
        two.link.abandon()
        two.link.abandon()
        two.send(b"y")
        await settle()
        assert two.received == one.received == b"" and one.lost == two.lost == []
        two.close()
        one.close()

    run_in(asyncio.new_event_loop, main())


class ByHand(LoopReadiness):
    """Turns are made by hand, also inside of one another."""

    def __init__(self) -> None:
        super().__init__(asyncio.new_event_loop())
        self.loop.close()
        self.calls: deque[Callable[[], None]] = deque()

    def defer(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self) -> None:
        while self.calls:
            self.calls.popleft()()


def test_what_comes_while_the_owner_is_busy_waits() -> None:
    """It may run the event loop inside our call, and has not done with the piece."""
    readiness = ByHand()
    one, two = memory_pair(readiness, readiness)
    told: list[bytes] = []

    def received(chunk: bytearray, size: int) -> bool:
        told.append(bytes(chunk[:size]))
        if told == [b"one"]:
            one.send(b"three")
            readiness.run()
            told.append(b"end of one")
        return True

    two.link_received = received  # type: ignore[method-assign]
    for owner in (one, two):
        owner.link.start(owner)
    for piece in (b"one", b"two"):
        one.send(piece)
    readiness.run()
    assert told == [b"one", b"end of one", b"two", b"three"]
    one.close()
    two.close()


def test_a_peer_that_closes_frees_who_waits_for_it_even_if_that_one_reads_nothing() -> None:
    async def main() -> None:
        one, two = joined_memory()
        two.link.pause_reading()
        one.send(pattern(2 * UNDER_WAY))
        one.link.pause_reading()
        await settle()
        assert one.link.blocked and not one.progress
        two.close()
        await settle()
        assert not one.link.blocked and one.progress and one.lost == []
        one.link.resume_reading()
        await settle()
        assert one.lost == [None]
        one.close()

    run_in(asyncio.new_event_loop, main())
