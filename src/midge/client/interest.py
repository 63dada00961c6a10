"""What outlives a socket: who wants which messages, who waits for answers, and what was counted.

A *feed* is what one subscription receives: a plain function is called with each message at once, or the messages wait in a bounded
buffer. Requests share one feed, subscribed to ``<inbox>.*``; the last token of an answer's subject names the request.

Nothing here knows a socket, a clock or an event loop. A session looks feeds up here by sid; a new session's outbox is given
``resubscribe``, the lines that make a server send again what the last one sent.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from midge.client.encoder import check_names
from midge.subject import check_queue, check_subscribe

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.message import Message
    from cython.cimports.midge.wire.encoder import put_line
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.message import Message
    from midge.wire.encoder import put_line
    from midge.wire.outbox import Outbox

__all__ = ["DEFAULT_PENDING_BYTES", "DEFAULT_PENDING_MSGS", "ON_FULL", "Counters", "Feed", "Interest", "OnFull"]

DEFAULT_PENDING_MSGS = 500_000
DEFAULT_PENDING_BYTES = 64 << 20
OnFull = Literal["drop_new", "drop_old", "block", "error"]
ON_FULL: tuple[OnFull, ...] = ("drop_new", "drop_old", "block", "error")
NO_BOUND = sys.maxsize
_DROP_OLD, _BLOCK, _ERROR = 1, 2, 3  # places in ON_FULL
_SURPLUS_MSGS = DEFAULT_PENDING_MSGS  # what a feed that blocks takes beyond its bounds, at most
_SURPLUS_BYTES = DEFAULT_PENDING_BYTES


class Counters:
    """What went through a connection: messages, and bytes of header and payload; and how many header blocks were malformed."""

    __slots__ = ("in_bytes", "in_msgs", "malformed", "out_bytes", "out_msgs")

    def __init__(self) -> None:
        self.in_msgs = self.in_bytes = self.out_msgs = self.out_bytes = self.malformed = 0


class Feed:
    """What one subscription receives. Its buffer is made when the first message waits.

    What comes of a message that finds the buffer full is said by ``on_full``:

        drop_new    it is dropped
        drop_old    as many of the oldest are dropped as it needs; itself only where it never fits
        block       it is kept, with the one that made the buffer full, and the feed *holds* the connection: its driver parses no
                    more until half the buffer is free. While somebody waits for the connection itself, the driver goes on all the same,
                    and the feed takes what comes: up to 500,000 messages or 64 MiB beyond its bounds, then it has *overrun*
        error       it is dropped, and the feed has overrun: it ends with what the buffer holds

    Raises:
        InvalidSubjectError: its subject or queue group is not valid.

    Attributes:
        sid: the subscription's id on the wire, 0 before it has one.
        subject, queue: what was subscribed to.
        callback: a plain function that is called with each message at once, or None for the buffer.
        buffered: bytes of header and payload that wait to be taken.
        limit: how many messages end the subscription, 0 for no limit.
        received: how many messages came.
        earlier: how many of them had come before the present server was told of it, which does not count them.
        dropped: how many of them were dropped because the buffer was full.
        discarded: how many of them were forgotten because the application wanted no more.
        holds: it holds the connection.
        has_overrun: it ends, or has ended, because it could not take a message.
        has_ended: nothing more will come.
        woken: it is in the session's list of those that messages have come for.
    """

    __slots__ = (
        "_buffer", "_last_subject", "_last_text", "_max_bytes", "_max_msgs", "_policy", "_slow", "_top_bytes", "_top_msgs", "buffered",
        "callback", "discarded", "dropped", "earlier", "has_ended", "has_overrun", "holds", "limit", "queue", "received", "sid",
        "subject", "woken",
    )  # fmt: skip

    def __init__(self, subject: str, queue: str | None, callback: Callable[[Message], Any] | None) -> None:
        names = check_subscribe(subject)
        self.subject = names.decode("utf-8", "surrogateescape")
        self.queue: str | None = None
        if queue is not None:
            group = check_queue(queue)
            self.queue = group.decode("utf-8", "surrogateescape")
            names += b" " + group
        check_names(self.subject, len(names), "subject")
        self.sid = 0
        self.callback = callback
        self._buffer: deque[tuple[Message, int]] | None = None
        self.buffered = 0
        self._max_msgs = self._max_bytes = NO_BOUND
        self._policy = 0
        self._top_msgs = self._top_bytes = 0
        self.limit = 0
        self.received = self.dropped = self.discarded = self.earlier = 0
        self.holds = self.has_overrun = False
        self.has_ended = False
        self.woken = False
        self._slow = False
        self._last_subject = b""
        self._last_text = ""

    def set_limits(self, max_msgs: int, max_bytes: int, on_full: OnFull) -> None:
        """Bound the buffer in messages and bytes, -1 for no bound, and say what comes of a message that finds it full."""
        self._policy = ON_FULL.index(on_full)
        self._max_msgs = NO_BOUND if max_msgs < 0 else max_msgs
        self._max_bytes = NO_BOUND if max_bytes < 0 else max_bytes
        if self._policy == _BLOCK and self._max_msgs != NO_BOUND:
            self._max_msgs -= 1  # the one that makes the buffer full is where to stop
        if self.holds:
            self._let_go()

    @property
    def on_full(self) -> OnFull:
        """What comes of a message that finds the buffer full."""
        return ON_FULL[self._policy]

    def waiting(self) -> int:
        """Return how many messages wait to be taken."""
        return 0 if self._buffer is None else len(self._buffer)

    def taken(self) -> int:
        """Return how many messages were taken from the buffer, or given to the callback."""
        return self.received - self.dropped - self.discarded - self.waiting()

    def note_top(self) -> None:
        """Note how much has waited, before it becomes less: called now and then, not for each message."""
        self._top_msgs = max(self._top_msgs, self.waiting())
        self._top_bytes = max(self._top_bytes, self.buffered)

    def top(self) -> tuple[int, int]:
        """Return how many messages and bytes have waited at most."""
        self.note_top()
        return self._top_msgs, self._top_bytes

    def take(self) -> Message:
        """Remove and return the oldest message; IndexError where there is none."""
        if self._buffer is None:
            raise IndexError("no message waits")
        entry = self._buffer.popleft()
        self.buffered -= entry[1]
        if self.holds:
            self._let_go()
        message: Message = entry[0]
        return message

    def put(self, message: Message, size: int) -> bool:
        """Append a message. False where the session has something to do about it: tell that one was dropped, stop parsing, or end the feed.

        That one was dropped is told once, until one fits.
        """
        if self._buffer is None:
            self._buffer = deque()
        if self._fits(size):
            self._buffer.append((message, size))
            self.buffered += size
            self._slow = False
            return True
        return self._put_full(message, size)

    def discard(self, limit: int) -> None:
        """Forget the newest messages that wait, as far as more than limit messages came in all."""
        self.note_top()
        surplus = self.received - self.dropped - self.discarded - limit
        while surplus > 0 and self._buffer:
            self.buffered -= self._buffer.pop()[1]
            self.discarded += 1
            surplus -= 1
        if self.holds:
            self._let_go()

    def on_let_go(self) -> None:
        """It holds the connection no longer: for who has to go on then."""

    def _fits(self, size: int) -> bool:
        assert self._buffer is not None
        return len(self._buffer) < self._max_msgs and size <= self._max_bytes - self.buffered

    def _put_full(self, message: Message, size: int) -> bool:
        buffer = self._buffer
        assert buffer is not None
        if (
            self._policy == _BLOCK
            and len(buffer) - _SURPLUS_MSGS < self._max_msgs
            and self.buffered - _SURPLUS_BYTES + size <= self._max_bytes
        ):
            buffer.append((message, size))
            self.buffered += size
            self.holds = not self.has_ended
            return self.has_ended
        if self._policy == _DROP_OLD and size <= self._max_bytes:
            self.note_top()
            while not self._fits(size):
                self.take()
                self.dropped += 1
            buffer.append((message, size))
            self.buffered += size
        else:
            self.dropped += 1
            self.has_overrun = self._policy >= _BLOCK
        if self._slow:
            return True
        self._slow = True
        return False

    def _let_go(self) -> None:
        """Hold the connection no longer, if that is no longer right."""
        has_room = self.waiting() <= self._max_msgs // 2 and self.buffered <= self._max_bytes // 2
        if self.has_ended or self._policy != _BLOCK or has_room:
            self.holds = False
            self.on_let_go()


class Interest:
    """The feeds and the requests of one client.

    Args:
        inbox: the prefix of reply subjects, unique to this client.

    Attributes:
        feeds: by sid, those that have not ended; in the order in which they were added.
        requests: those under way, by token; each has a ``receive`` that is called with its answer, and says whether it wants more.
        next_sid: the sid of the next feed.
        answers: the feed that all requests share, None before the first.
    """

    __slots__ = ("_dropped", "_holders", "_inbox", "_inbox_bytes", "_next_token", "answers", "feeds", "next_sid", "requests")

    def __init__(self, inbox: str) -> None:
        self._dropped = 0
        self._inbox = inbox
        self._inbox_bytes = check_subscribe(inbox)
        self.next_sid = 1
        self._next_token = 1
        self.feeds: dict[int, Feed] = {}
        self.requests: dict[str, Any] = {}
        self.answers: Feed | None = None
        self._holders: set[Feed] = set()

    # Feeds

    def add(self, feed: Feed) -> None:
        """Give the feed its sid."""
        feed.sid = self.next_sid
        self.next_sid += 1
        self.feeds[feed.sid] = feed

    def remove(self, feed: Feed) -> bool:
        """Deliver nothing more to the feed; what its buffer holds stays there. False where it was removed already."""
        feed.has_ended = True
        self._holders.discard(feed)
        if feed.holds:
            feed._let_go()
        if feed is self.answers:
            self.answers = None
        if self.feeds.pop(feed.sid, None) is None:
            return False
        self._dropped += feed.dropped
        return True

    def hold(self, feed: Feed) -> None:
        """The feed has begun to hold the connection."""
        self._holders.add(feed)

    def is_held(self) -> bool:
        """True while a feed holds the connection."""
        if self._holders:
            self._holders = {feed for feed in self._holders if feed.holds}
        return len(self._holders) > 0

    def dropped(self) -> int:
        """Return how many messages were dropped because a buffer was full, those of feeds that have ended included."""
        return self._dropped + sum([feed.dropped for feed in self.feeds.values()])

    def clear(self) -> list[Feed]:
        """Remove and return all feeds."""
        feeds = list(self.feeds.values())
        for feed in feeds:
            self.remove(feed)
        return feeds

    def subscribe(self, feed: Feed, outbox: Outbox) -> None:
        """Write the lines that subscribe a feed, with what remains of its limit."""
        feed.earlier = feed.received
        queue = b"" if feed.queue is None else _encode(feed.queue) + b" "
        put_line(outbox, b"SUB %b %b%d" % (_encode(feed.subject), queue, feed.sid))
        if feed.limit:
            put_line(outbox, b"UNSUB %d %d" % (feed.sid, feed.limit - feed.received))

    def resubscribe(self, outbox: Outbox) -> None:
        """Write the lines that subscribe every feed, for a server that knows none of them; that of the answers first."""
        if self.answers is not None:
            self.subscribe(self.answers, outbox)
        for feed in self.feeds.values():
            if feed is not self.answers:
                self.subscribe(feed, outbox)

    def unsubscribe(self, outbox: Outbox) -> None:
        """Write the lines that unsubscribe every feed, for a server that is no longer needed."""
        for sid in self.feeds:
            put_line(outbox, b"UNSUB %d" % sid)

    # Requests

    def make_answers(self) -> Feed | None:
        """Return the feed that answers come by, where it has just been added and must be subscribed; None where it was there."""
        if self.answers is not None:
            return None
        self.answers = Feed(f"{self._inbox}.*", None, self.receive)
        self.add(self.answers)
        return self.answers

    def is_request(self, frame: bytes) -> bool:
        """True if this PUB or HPUB frame is a request: its reply subject is ours."""
        fields = frame[: frame.index(b"\r")].split(b" ")
        return len(fields) == (5 if fields[0] == b"HPUB" else 4) and fields[2].startswith(self._inbox_bytes + b".")

    def is_forgotten(self, frame: bytes) -> bool:
        """True if this PUB or HPUB frame is a request that nobody waits for any more."""
        return (
            self.is_request(frame)
            and frame.split(b" ", 3)[2][len(self._inbox_bytes) + 1 :].decode("utf-8", "surrogateescape") not in self.requests
        )

    def next_token(self) -> str:
        """Return the name of the next request."""
        token = self._next_token
        self._next_token += 1
        return str(token)

    def reply_subject(self, token: str) -> bytes:
        """Return where the answer to a request goes."""
        return self._inbox_bytes + b"." + token.encode()

    def receive(self, message: Message) -> None:
        """An answer came: give it to its request, if that still waits."""
        subject, token = message.subject, ""
        place = 0 if subject.startswith(self._inbox) else subject.find(self._inbox)
        if place >= 0:  # where it is not 0, a subject mapping put something before it
            token = subject[place + len(self._inbox) + 1 :]
        elif len(self.requests) == 1:
            # A subject mapping rewrote the reply; with one request under way there is no doubt whose it is (as in nats.go).
            token = next(iter(self.requests))
        waiter = self.requests.pop(token, None)
        if waiter is not None and waiter.receive(message):
            self.requests[token] = waiter


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
