"""Upkeep: what happens to a consumer by itself, apart from delivering: it goes on after a pause, a pin is lost, nobody uses it any more.

Like a target it says when something is due and is called then; the consumer has one timer for all of it. What happens with each message
costs nothing here: when a consumer was used is read from where it is noted anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.consumers import advisories
from midge.engine.consumers.inactivity import Inactivity, patience
from midge.engine.consumers.pace import moved
from midge.engine.consumers.pull import DELETED, Pull
from midge.model.base import time_of

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.model.consumer import ConsumerConfig

__all__ = ["Upkeep"]


class Upkeep:
    """The upkeep of one consumer. Times are wall nanoseconds, 0 for never.

    Attributes:
        paused_until: when it goes on.
    """

    __slots__ = ("_consumer", "_inactivity", "paused_until")

    def __init__(self, consumer: Consumer, config: ConsumerConfig) -> None:
        self._consumer = consumer
        self._inactivity = Inactivity(self._patience(config), 0)
        self.paused_until = 0

    def start(self, wall: int) -> None:
        """Begin: from now on it has to be used."""
        self._inactivity.used = wall
        self._pause(self._consumer.config, wall)

    def update(self, config: ConsumerConfig, wall: int) -> None:
        """Go on with another configuration; the consumer's own is the one before it."""
        before = self._consumer.config
        if config.pause_until != before.pause_until:
            self._pause(config, wall)
        if config.inactive_threshold != before.inactive_threshold:
            is_held = self._inactivity.is_held
            self._inactivity = Inactivity(self._patience(config), wall)
            self._inactivity.is_held = is_held

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds."""
        self._inactivity.used = moved(self._inactivity.used, by)

    def bound(self, is_bound: bool, wall: int) -> None:
        """Somebody listens to the deliver subject from now on, or nobody does any more."""
        if is_bound:
            self._inactivity.is_held = True
        else:
            self._inactivity.release(wall)

    def next_deadline(self) -> int:
        """Return when ``handle_timeout`` is to be called, 0 for never."""
        due = self.paused_until
        self._see_use()
        for each in (self._inactivity.due or 0, self._pin_due()):
            if each and (each < due or not due):
                due = each
        return due

    def handle_timeout(self, wall: int) -> None:
        """Do what is due; the consumer may be deleted."""
        consumer = self._consumer
        if 0 < self.paused_until <= wall:
            self.paused_until = 0
            advisories.paused(consumer, wall)
        if 0 < self._pin_due() <= wall:
            assert isinstance(consumer.target, Pull) and consumer.target.groups is not None
            advisories.unpinned(consumer, consumer.target.groups.group, "timeout")
            consumer.target.groups.unpin()
        self._see_use()
        due = self._inactivity.due
        if due is not None and due <= wall and self._is_unused(wall):
            consumer.engine.remove_consumer(consumer, DELETED)

    # Inside

    def _pause(self, config: ConsumerConfig, wall: int) -> None:
        until = 0 if config.pause_until is None else time_of(config.pause_until)
        self.paused_until = until if until > wall else 0

    def _patience(self, config: ConsumerConfig) -> int:
        return patience(config.inactive_threshold, bool(config.durable_name), bool(config.deliver_subject), self._consumer.engine.choose)

    def _pin_due(self) -> int:
        target = self._consumer.target
        groups = target.groups if isinstance(target, Pull) else None
        return 0 if groups is None or groups.due is None else groups.due

    def _see_use(self) -> None:
        """Let requests, deliveries and acknowledgements have been use."""
        consumer = self._consumer
        asked = consumer.target.asked if isinstance(consumer.target, Pull) else 0
        self._inactivity.used = max(self._inactivity.used, consumer.delivery.heard, asked)

    def _is_unused(self, wall: int) -> bool:
        """True if nobody waits for messages nor may be working on one; else it is looked at again later."""
        consumer, inactivity = self._consumer, self._inactivity
        if not isinstance(consumer.target, Pull):
            return inactivity.is_over(wall, 0)
        consumer.target.look_through(wall)  # those whom nobody waits for any more are let go
        if consumer.target.waiting:
            inactivity.used = wall
            return False
        ledger = consumer.ledger
        longest = max(ledger.backoff, default=ledger.ack_wait)
        return inactivity.is_over(wall, max(consumer.delivery.sent, consumer.delivery.heard) + longest if ledger.pending else 0)
