"""One subscription against two queues: whatever is interleaved, no message is lost, doubled or out of order.

Hypothesis draws what happens: messages come, somebody calls ``next`` and may be cancelled, bounds change, the subscription is unsubscribed,
with a limit or without, or drained, somebody flushes. The model knows which numbers the client was sent, and by the rules of a policy
which of them the application has to get next; each reader compares the moment it has its message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from fakes import msg, opened, turns
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

import midge
from midge.client.interest import ON_FULL, OnFull
from midge.errors import SlowConsumerError, SubscriptionClosedError

Step = tuple[str, int]
ENDS: st.SearchStrategy[Step] = st.tuples(st.sampled_from(["unsubscribe", "drain"]), st.just(0)) | st.tuples(
    st.just("limit"), st.integers(1, 15)
)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("come"), st.integers(1, 6)),
    st.tuples(st.just("come"), st.integers(1, 6)),
    st.tuples(st.just("next"), st.integers(0, 2)),
    st.tuples(st.just("next"), st.integers(0, 2)),
    st.tuples(st.just("cancel"), st.integers(0, 2)),
    st.tuples(st.just("turns"), st.integers(1, 3)),
    st.tuples(st.just("bound"), st.integers(1, 5)),
    st.tuples(st.just("flush"), st.just(0)),
    ENDS,
)
NO_LIMIT = 1 << 30


class Model:
    """What the application has to get, in order.

    Where the policy is to block, this is all that was sent, whether it is in the buffer already or the connection is held; else it is what
    the buffer holds, for then everything is parsed at once.
    """

    def __init__(self, on_full: OnFull, bound: int) -> None:
        self.on_full = on_full
        self.bound = bound
        self.next: deque[int] = deque()
        self.received = 0  # for a policy that does not block
        self.dropped = 0
        self.limit = NO_LIMIT
        self.has_ended = self.has_overrun = False

    def come(self, number: int) -> None:
        if self.has_ended:
            return
        self.received += 1
        self.has_ended = self.received >= self.limit
        if self.on_full == "block" or len(self.next) < self.bound:
            self.next.append(number)
        elif self.on_full == "drop_old":
            while len(self.next) >= self.bound:
                self.next.popleft()
                self.dropped += 1
            self.next.append(number)
        else:
            self.dropped += 1
            if self.on_full == "error":
                self.has_ended = self.has_overrun = True

    def unsubscribe(self, limit: int, received: int, pending: int) -> None:
        """It is unsubscribed, having received and holding so many; what is not parsed by then does not come."""
        if limit > received:
            self.limit = limit
            surplus = max(self.received - limit, 0)  # sent, but not parsed
            self.received -= surplus
        else:
            self.has_ended = True
            surplus = len(self.next) - pending + (max(0, min(pending, received - self.dropped - limit)) if limit else 0)
        self.has_ended = self.has_ended or self.received >= limit > 0
        for _ in range(max(surplus, 0)):
            self.next.pop()


class Play:
    """A subscription, its model, and the tasks that read."""

    def __init__(self, nc: midge.Client, link: Any, on_full: OnFull, bound: int) -> None:
        self.nc = nc
        self.link = link
        self.sub = nc.subscribe("a", pending_msgs=bound, on_full=on_full)
        self.model = Model(on_full, bound)
        self.sent = 0
        self.drains = False
        self.got: list[int] = []
        self.readers: list[asyncio.Task[None]] = []

    async def step(self, name: str, value: int) -> None:
        sub, model = self.sub, self.model
        if name == "come":
            for number in range(self.sent, self.sent + value):
                model.come(number)
            self.link.come(*(msg("a", 1, b"%d" % number) for number in range(self.sent, self.sent + value)))
            self.sent += value
        elif name == "next":
            self.readers.append(asyncio.ensure_future(self.read()))
            await turns(value)
        elif name == "cancel":
            for task in self.readers[value::2]:
                task.cancel()
        elif name == "turns":
            await turns(value)
        elif name == "bound":
            sub.set_pending_limits(value, -1)
            model.bound = value
        elif name == "flush":
            await self.nc.flush()
        elif name == "drain" and not sub.is_closed:
            self.drains = True
            await sub.drain()
            model.has_ended = True
        elif name == "unsubscribe" or (name == "limit" and model.limit == NO_LIMIT):  # another limit may ask for what was not wanted before
            if not sub.is_closed:
                model.unsubscribe(value, sub.received, sub.pending)
            sub.unsubscribe(value or None)
        self.check()

    async def read(self) -> None:
        try:
            number = int((await self.sub.next()).data)
        except (SubscriptionClosedError, SlowConsumerError):
            assert not self.model.next and (self.model.has_ended or self.drains)
            return
        assert number == self.model.next.popleft()
        self.got.append(number)

    def check(self) -> None:
        sub, model = self.sub, self.model
        assert sub.received == sub.delivered + sub.dropped + sub.discarded + sub.pending
        assert sub.dropped == model.dropped
        if model.on_full != "block":
            assert (sub.pending, sub.is_closed) == (len(model.next), model.has_ended)

    async def finish(self) -> None:
        """Read what is left, and see that there is nothing else."""
        sub, model = self.sub, self.model
        await turns(10)
        for task in self.readers:
            task.cancel()
        for done in await asyncio.gather(*self.readers, return_exceptions=True):
            assert done is None or isinstance(done, asyncio.CancelledError), repr(done)
        while model.next:
            await asyncio.wait_for(self.read(), 5)
        await turns(5)
        self.check()
        assert (
            sub.pending == 0 and len(self.got) == sub.delivered and self.got == sorted(set(self.got)) and sub.is_closed == model.has_ended
        )
        if model.has_ended:
            try:
                await sub.next()
            except (SlowConsumerError, SubscriptionClosedError) as error:
                assert isinstance(error, SlowConsumerError) is model.has_overrun
        assert self.nc.is_connected and not self.link.paused
        await self.nc.flush()
        event(f"{model.on_full}: {'ended' if model.has_ended else 'goes on'}")


async def play(on_full: OnFull, bound: int, steps: list[Step]) -> None:
    nc, link = await opened()
    link.answers = True
    played = Play(nc, link, on_full, bound)
    try:
        for name, value in steps:
            await played.step(name, value)
        await played.finish()
    finally:
        await nc.close()


@settings(max_examples=300, deadline=None)
@given(on_full=st.sampled_from(ON_FULL), bound=st.integers(1, 5), steps=st.lists(STEPS, max_size=25))
@example(on_full="block", bound=2, steps=[("come", 6), ("next", 1), ("limit", 4), ("come", 3)])
@example(on_full="block", bound=2, steps=[("come", 6), ("drain", 0)])
@example(on_full="error", bound=1, steps=[("come", 2), ("next", 0), ("cancel", 0), ("come", 1)])
def test_no_message_is_lost_doubled_or_out_of_order(on_full: OnFull, bound: int, steps: list[Step]) -> None:
    asyncio.run(play(on_full, bound, steps))
