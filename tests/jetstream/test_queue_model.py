"""A work queue beside a model of what is left of it, whatever is done to it and whoever works; on all servers.

``MIDGE_LONG=1`` tries 400 histories each time.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from js_worlds import world

from midge.jetstream.consumer import Consumer
from midge.jetstream.message import StreamMessage

LONG = os.environ.get("MIDGE_LONG", "") not in ("", "0")
STEPS = st.lists(
    st.tuples(st.sampled_from(["publish", "publish", "take", "ack", "nak", "term", "progress", "close"]), st.integers(1, 4), st.booleans()),
    max_size=14,
)
PATIENCE = 5.0


class Queue:
    """The model: the numbers that are in the queue, by where they are. One is in one place, and what is done is nowhere.

    Attributes:
        waiting: with the server, or on the way.
        taken: in hand of a worker, with the message.
        done: acknowledged, or given up.
        deliveries: how often each came.
    """

    def __init__(self) -> None:
        self.waiting: set[int] = set()
        self.taken: dict[int, StreamMessage] = {}
        self.done: set[int] = set()
        self.deliveries: dict[int, int] = {}
        self.last = 0

    def note(self, message: StreamMessage) -> None:
        number = int(message.data)
        assert number in self.waiting, f"{number} is not there to be taken: {self.waiting}, {sorted(self.taken)}, {self.done}"
        self.waiting.discard(number)
        self.taken[number] = message
        self.deliveries[number] = self.deliveries.get(number, 0) + 1
        assert message.metadata.delivered == self.deliveries[number] and message.metadata.stream_seq == number

    def hand(self, count: int) -> list[StreamMessage]:
        """Take some out of the workers' hands, the oldest first."""
        return [self.taken.pop(number) for number in sorted(self.taken)[:count]]


async def take(queue: Queue, worker: Consumer, count: int) -> None:
    """As many as asked for come, where there are as many; each once."""
    wanted = min(count, len(queue.waiting))
    came = 0
    async with asyncio.timeout(PATIENCE):
        while came < wanted:  # a little later, where what was refused has to get there first
            for message in await worker.fetch(wanted - came, timeout=0.5):
                queue.note(message)
                came += 1
    if not queue.waiting:
        assert await worker.fetch(max(count, 1), no_wait=True) == []


async def play(url: str, steps: list[tuple[str, int, bool]]) -> None:
    queue = Queue()
    async with world(url, retention="workqueue") as here:
        workers = [await here.consumer(ack_wait=60), here.stream.consumer("C")]
        for what, count, is_second in steps:
            worker = workers[is_second]
            if what == "publish":
                for _ in range(count):
                    queue.last += 1
                    assert (await here.js.publish(here.subject(), b"%d" % queue.last)).seq == queue.last
                    queue.waiting.add(queue.last)
            elif what == "take":
                await take(queue, worker, count)
            elif what == "close":
                worker.close()  # holds nothing here; the next call subscribes anew
            elif what == "progress":
                for message in list(queue.taken.values())[:count]:
                    message.in_progress()
            else:
                for message in queue.hand(count):
                    number = int(message.data)
                    if what == "ack":
                        await message.ack_sync(timeout=PATIENCE)
                    elif what == "nak":
                        await message.nak()
                    else:
                        await message.term("given up")
                    (queue.waiting if what == "nak" else queue.done).add(number)
        await take(queue, workers[0], len(queue.waiting))
        for message in queue.hand(len(queue.taken)):
            await message.ack_sync(timeout=PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while (await here.stream.info()).state.messages:  # what was given up is removed a moment later
                await asyncio.sleep(0.005)
        assert sorted(queue.deliveries) == list(range(1, queue.last + 1)) and not queue.waiting


@pytest.mark.cluster
@pytest.mark.timeout(1_800 if LONG else 60)
@settings(
    max_examples=400 if LONG else 12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS)
def test_a_work_queue_gives_everything_out_and_ends_empty(url: str, steps: list[tuple[str, int, bool]]) -> None:
    asyncio.run(play(url, steps))
