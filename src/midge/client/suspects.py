"""Suspects: which feeds the server has refused, as far as an -ERR lets us know.

A server answers in order. So an -ERR that is about a SUB is about one that was sent after the last PING that is answered and before
the next: its *window*, from one sid to another. Among those in the window

    a text with a subject           means the oldest with this subject and queue group
    "maximum subscriptions" means   the newest, most likely, but any of them where UNSUBs were on their way, too

Where the window holds none with the subject, an older one is meant: the server has taken it back, because permissions have changed.
What is said of the number of subscriptions ends the newest and all that somebody waits to have confirmed: rather one too many, which
is told and unsubscribed, than one that seems to be there and is not. Of the next refusals in that window, as many are already done.
"""

from __future__ import annotations

import asyncio

from midge.client.interest import Feed, Interest
from midge.client.refusals import Refusal
from midge.errors import TooManySubscriptionsError

__all__ = ["Suspects"]

LINGER = 1.0  # seconds that the index is kept

Name = tuple[str, str | None]  # a subject and a queue group


class Suspects:
    """Finds those who were refused among however many feeds.

    It has an index by name that is made for the first refusal, costs each further one only what was subscribed since, and is dropped
    after a while: clients that are refused nothing do without.

    Args:
        interest: the client's.

    Attributes:
        confirming: by sid, the feeds that somebody waits to have confirmed.
    """

    def __init__(self, interest: Interest) -> None:
        self.confirming: dict[int, Feed] = {}
        self._interest = interest
        self._timer: asyncio.TimerHandle | None = None
        self._window = 0, 0
        self._surplus = 0  # how many more were ended in the window than the server has refused so far
        self._first = 0  # feeds from this sid on may be in a window: they are the young ones
        self._indexed = 0  # those below are in the index
        self._young: dict[Name, list[Feed]] = {}
        self._old: dict[Name, list[Feed]] = {}
        self._queues: dict[str, dict[str, None]] = {}  # those of each subject, for texts that name none

    def find(self, refusal: Refusal, first: int, stop: int) -> list[Feed]:
        """Return the feeds to end; first and stop are the window."""
        if isinstance(refusal.error, TooManySubscriptionsError):
            return self._find_newest(first, stop)
        if refusal.sid is not None:
            found = self._interest.feeds.get(refusal.sid)
        elif refusal.subject is not None:
            found = self._find_by_name(refusal, refusal.subject, first, stop)
        else:
            found = None
        return [] if found is None else [found]

    # Private

    def _find_newest(self, first: int, stop: int) -> list[Feed]:
        if self._window != (first, stop):
            self._window = first, stop
            self._surplus = 0
        if self._surplus:
            self._surplus -= 1
            return []
        found = {feed.sid: feed for feed in self.confirming.values() if first <= feed.sid < stop and not feed.has_ended}
        for feed in reversed(self._interest.feeds.values()):
            if feed.sid < stop:
                if feed.sid >= first:
                    found[feed.sid] = feed
                break
        for sid in found:
            self.confirming.pop(sid, None)
        self._surplus = max(len(found) - 1, 0)
        return list(found.values())

    def _find_by_name(self, refusal: Refusal, subject: str, first: int, stop: int) -> Feed | None:
        if first < self._first:  # another server, which was told of all feeds anew
            self._forget()
        self._first = first
        self._index()
        if not refusal.any_queue:
            return self._oldest((subject, refusal.queue), stop)
        queues = (None, *self._queues.get(subject, ()))
        return next((feed for queue in queues if (feed := self._oldest((subject, queue), stop)) is not None), None)

    def _index(self) -> None:
        """Add what was subscribed since the last call."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._forget)
        new: list[Feed] = []
        for feed in reversed(self._interest.feeds.values()):
            if feed.sid < self._indexed:
                break
            new.append(feed)
        self._indexed = self._interest.next_sid
        for feed in reversed(new):
            self._young.setdefault((feed.subject, feed.queue), []).append(feed)
            if feed.queue is not None:
                self._queues.setdefault(feed.subject, {})[feed.queue] = None

    def _oldest(self, name: Name, stop: int) -> Feed | None:
        """Return the oldest in the window, else the oldest of all."""
        young, old = self._young.get(name), self._old.get(name)
        while young and (young[0].has_ended or young[0].sid < self._first):
            feed = young.pop(0)
            if not feed.has_ended:
                if old is None:
                    old = self._old[name] = []
                old.append(feed)
        if young and young[0].sid < stop:
            return young[0]
        while old and old[0].has_ended:
            old.pop(0)
        return old[0] if old else None

    def _forget(self) -> None:
        """Drop the index."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._first = self._indexed = 0
        self._young, self._old, self._queues = {}, {}, {}
