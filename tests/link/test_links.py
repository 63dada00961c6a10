"""What every link promises, whatever carries its bytes: they arrive whole and in order, a peer that does not read holds the sender back,
every end is heard of once. By the event loop's readiness and by a reactor's, on asyncio's loop and on uvloop's.

No sleeps: a test waits for an owner to have been told something.
"""

import gc
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from ends import (
    LOOPS,
    Owner,
    joined_memory,
    joined_sockets,
    joined_tls,
    joined_websockets,
    loop_name,
    pattern,
    ready,
    run_in,
    settle,
)  # fmt: skip

from midge.link.memory import UNDER_WAY
from midge.link.reactor import Reactor

Run = Callable[[Coroutine[Any, Any, None]], None]
Joined = Callable[[], tuple[Owner, ...]]
JOINED: dict[str, Joined] = {
    "memory": joined_memory,
    "sockets": joined_sockets,
    "memory-reactor": partial(joined_memory, Reactor),
    "sockets-reactor": partial(joined_sockets, Reactor),
    "tls": joined_tls,
    "tls-reactor": partial(joined_tls, Reactor),
    "websockets": joined_websockets,
    "websockets-reactor": partial(joined_websockets, Reactor),
    "websockets-memory": partial(joined_websockets, below="memory"),
    "websockets-tls": partial(joined_websockets, below="tls"),
    "websockets-deflated": partial(joined_websockets, compress=True),
    "websockets-deflated-reactor": partial(joined_websockets, Reactor, compress=True),
}


@pytest.fixture(params=LOOPS, ids=loop_name)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


@pytest.fixture(params=JOINED)
def joined(request: pytest.FixtureRequest) -> Joined:
    return JOINED[request.param]


def close(*owners: Owner) -> None:
    for owner in owners:
        owner.close()


def test_bytes_arrive_whole_and_in_order_both_ways(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        data = pattern(3_000_000)
        for start in range(0, len(data), 300_000):
            one.send(data[start : start + 300_000])
            two.send(data[start : start + 300_000])
        await one.until(lambda: len(one.received) == len(data))
        await two.until(lambda: len(two.received) == len(data))
        assert one.received == two.received == data and not len(one.outbox) and not one.link.blocked
        close(one, two)

    run(main())


def test_a_reader_that_pauses_holds_the_sender_back_and_loses_nothing(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.link.pause_reading()
        data = pattern(5_000_000)
        for start in range(0, len(data), 100_000):
            one.send(data[start : start + 100_000])
        await settle()
        assert one.link.blocked and not two.received
        under_way = len(data) - len(one.outbox)
        assert 0 < under_way < UNDER_WAY + (1 << 18), "the rest waits in the outbox, where its owner sees it"
        two.link.resume_reading()
        await two.until(lambda: len(two.received) == len(data))
        await one.until(lambda: not one.link.blocked)
        assert two.received == data and one.progress > 0
        close(one, two)

    run(main())


def test_what_is_begun_is_sent_and_nothing_that_was_cut_off_behind_it(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        await ready(one, two)
        two.link.pause_reading()
        data = pattern(5_000_000)
        for start in range(0, len(data), 100_000):
            one.send(data[start : start + 100_000])
        await settle()
        begun = one.link.begun()
        assert one.link.blocked and 0 <= begun < len(one.outbox)
        expected = data[: len(data) - len(one.outbox) + begun] + b"the last"
        one.outbox.cut(begun)
        one.send(b"the last")
        two.link.resume_reading()
        await two.until(lambda: len(two.received) >= len(expected))
        await one.until(lambda: not one.link.blocked)
        assert two.received == expected and one.link.begun() == 0
        close(one, two)

    run(main())


def test_pausing_twice_and_resuming_twice(joined: Joined, run: Run) -> None:
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


def test_a_reader_that_keeps_what_it_got_gets_the_next_in_another_buffer(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.keeps = True
        data = pattern(1_000_000)
        for start in range(0, len(data), 100_000):
            one.send(data[start : start + 100_000])
        await two.until(lambda: len(two.received) == len(data))
        kept = b"".join(bytes(chunk[:size]) for chunk, size in zip(two.kept, two.pieces))
        assert kept == data and len({id(chunk) for chunk in two.kept}) == len(two.kept)
        for chunk in two.kept:
            two.readiness.give_back(chunk)
        two.keeps = False
        one.send(b"more")
        await two.until(lambda: two.received.endswith(b"more"))
        close(one, two)

    run(main())


class Pausing(Owner):
    """Wants nothing more once it has something, until it is asked."""

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self.link.pause_reading()
        return super().link_received(chunk, size)


def test_a_reader_may_pause_in_the_middle_and_go_on_later(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.__class__ = Pausing
        data = pattern(700_000)
        one.send(data)
        while len(two.received) < len(data):
            pieces = len(two.pieces)
            await two.until(lambda: len(two.pieces) > pieces)  # noqa: B023
            await settle()
            assert len(two.pieces) == pieces + 1
            two.link.resume_reading()
        assert two.received == data
        close(one, two)

    run(main())


def test_what_was_sent_before_the_close_arrives_then_the_end(joined: Joined, run: Run) -> None:
    async def main() -> None:
        for first in (0, 1):
            owners = joined()
            closing, hearing = owners[first], owners[1 - first]
            await ready(*owners)
            closing.send(b"last words")
            close(closing)
            await hearing.until(lambda: hearing.lost)
            assert hearing.received == b"last words" and hearing.lost == [None] and closing.lost == []
            close(hearing)
            await settle()
            assert closing.lost == [] and hearing.lost == [None], "the one that closes hears nothing more"

    run(main())


def test_the_end_is_heard_of_also_by_a_reader_that_paused(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        await ready(one, two)
        two.link.pause_reading()
        one.send(b"x")
        close(one)
        await settle()
        assert not two.received and not two.lost
        two.link.resume_reading()
        await two.until(lambda: two.lost)
        assert two.received == b"x"
        two.link.pause_reading()
        two.link.resume_reading()
        await settle()
        assert two.lost == [None], "once"
        close(two)

    run(main())


def test_closing_while_the_other_is_blocked_on_it(joined: Joined, run: Run) -> None:
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


def test_both_close_at_once(joined: Joined, run: Run) -> None:
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

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self.link.close()
        return super().link_received(chunk, size)


def test_an_owner_may_close_from_within_a_call(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.__class__ = Closing
        one.send(b"x" * 3 * UNDER_WAY)
        await one.until(lambda: one.lost)
        close(one)
        await settle()
        assert len(two.pieces) == 1 and two.lost == []
        close(two)

    run(main())


class Echoing(Owner):
    """Sends back what comes, from within the call."""

    def link_received(self, chunk: bytearray, size: int) -> bool:
        self.send(bytes(chunk[:size]))
        return super().link_received(chunk, size)


def test_an_owner_may_send_from_within_a_call(joined: Joined, run: Run) -> None:
    async def main() -> None:
        one, two = joined()
        two.__class__ = Echoing
        data = pattern(3_000_000)
        one.send(data)
        await one.until(lambda: len(one.received) == len(data))
        assert one.received == data
        close(one, two)

    run(main())


def test_a_closed_link_keeps_nobody_alive(joined: Joined, run: Run) -> None:
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
            assert not [thing for link in links for thing in gc.get_referents(link) if isinstance(thing, (Owner, type(link)))]
        finally:
            gc.enable()

    run(main())
