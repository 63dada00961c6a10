"""What outlives a socket: who wants which messages, who waits for answers, and what was counted.

A *feed* is what one subscription receives: a plain function is called with each message at once, or the messages wait in a bounded
buffer. Requests share one feed, subscribed to ``<inbox>.*``; the last token of an answer's subject names the request.

Nothing here knows a socket, a clock or an event loop. A session looks feeds up here by sid; a new session's outbox is given
``resubscribe``, the lines that make a server send again what the last one sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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

__all__ = ["Counters", "Feed", "Interest"]


class Counters:
    """What went through a connection: messages, and bytes of header and payload."""

    __slots__ = ("in_bytes", "in_msgs", "out_bytes", "out_msgs")

    def __init__(self) -> None:
        self.in_msgs = self.in_bytes = self.out_msgs = self.out_bytes = 0


class Feed:
    """What one subscription receives. Its buffer is made when the first message waits.

    Raises:
        InvalidSubjectError: its subject or queue group is not valid.

    Attributes:
        sid: the subscription's id on the wire, 0 before it has one.
        subject, queue: what was subscribed to.
        callback: a plain function that is called with each message at once, or None for the buffer.
        buffered: bytes of header and payload that wait to be taken.
        limit: how many messages end the subscription, 0 for no limit.
        received, dropped: how many messages came, and how many of them were dropped because the buffer was full.
        has_ended: nothing more will come.
        woken: it is in the session's list of those that messages have come for.
    """

    __slots__ = (
        "_buffer", "_last_subject", "_last_text", "_slow", "buffered", "callback", "drop_oldest", "dropped", "has_ended", "limit",
        "max_bytes", "max_msgs", "queue", "received", "sid", "subject", "woken",
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
        self.max_msgs = 0
        self.max_bytes = 0
        self.drop_oldest = False
        self.limit = 0
        self.received = 0
        self.dropped = 0
        self.has_ended = False
        self.woken = False
        self._slow = False
        self._last_subject = b""
        self._last_text = ""

    def set_limits(self, max_msgs: int, max_bytes: int, drop_oldest: bool) -> None:
        """Bound the buffer in messages and bytes, 0 for no bound, and say which message goes when it is full."""
        self.max_msgs = max_msgs
        self.max_bytes = max_bytes
        self.drop_oldest = drop_oldest

    def waiting(self) -> int:
        """Return how many messages wait to be taken."""
        return 0 if self._buffer is None else len(self._buffer)

    def take(self) -> Message:
        """Remove and return the oldest message; IndexError where there is none."""
        if self._buffer is None:
            raise IndexError("no message waits")
        entry = self._buffer.popleft()
        self.buffered -= entry[1]
        message: Message = entry[0]
        return message

    def put(self, message: Message, size: int) -> bool:
        """Append a message. False where the buffer became full with this one, for the first time since one fitted."""
        if self._buffer is None:
            self._buffer = deque()
        if self._fits(size):
            self._buffer.append((message, size))
            self.buffered += size
            self._slow = False
            return True
        if self.drop_oldest and (self.max_bytes == 0 or size <= self.max_bytes):
            while not self._fits(size):
                self.take()
                self.dropped += 1
            self._buffer.append((message, size))
            self.buffered += size
        else:
            self.dropped += 1
        if self._slow:
            return True
        self._slow = True
        return False

    def discard(self, limit: int) -> None:
        """Forget the newest messages that wait, as far as more than limit messages came in all."""
        surplus = self.received - self.dropped - limit
        while surplus > 0 and self._buffer:
            self.buffered -= self._buffer.pop()[1]
            surplus -= 1

    def _fits(self, size: int) -> bool:
        if self.max_msgs and self.waiting() >= self.max_msgs:
            return False
        return self.max_bytes == 0 or self.buffered + size <= self.max_bytes


class Interest:
    """The feeds and the requests of one client.

    Args:
        inbox: the prefix of reply subjects, unique to this client.

    Attributes:
        feeds: by sid, those that have not ended; in the order in which they were added.
        requests: those under way, by token; each has a ``receive`` that is called with its answer.
        next_sid: the sid of the next feed.
        answers: the feed that all requests share, None before the first.
    """

    __slots__ = ("_inbox", "_inbox_bytes", "_next_token", "answers", "feeds", "next_sid", "requests")

    def __init__(self, inbox: str) -> None:
        self._inbox = inbox
        self._inbox_bytes = check_subscribe(inbox)
        self.next_sid = 1
        self._next_token = 1
        self.feeds: dict[int, Feed] = {}
        self.requests: dict[str, Any] = {}
        self.answers: Feed | None = None

    # Feeds

    def add(self, feed: Feed) -> None:
        """Give the feed its sid."""
        feed.sid = self.next_sid
        self.next_sid += 1
        self.feeds[feed.sid] = feed

    def remove(self, feed: Feed) -> bool:
        """Deliver nothing more to the feed; what its buffer holds stays there. False where it was removed already."""
        feed.has_ended = True
        if feed is self.answers:
            self.answers = None
        return self.feeds.pop(feed.sid, None) is not None

    def find(self, subject: str, queue: str | None) -> Feed | None:
        """Return the oldest feed with this subject and queue group."""
        for feed in self.feeds.values():
            if feed.subject == subject and feed.queue == queue:
                return feed
        return None

    def clear(self) -> list[Feed]:
        """Remove and return all feeds."""
        feeds = list(self.feeds.values())
        for feed in feeds:
            self.remove(feed)
        return feeds

    def subscribe(self, feed: Feed, outbox: Outbox) -> None:
        """Write the lines that subscribe a feed, with what remains of its limit."""
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
        waiter = None
        if message.subject.startswith(self._inbox):
            waiter = self.requests.pop(message.subject[len(self._inbox) + 1 :], None)
        elif len(self.requests) == 1:
            # A subject mapping rewrote the reply; with one request under way there is no doubt whose it is (as in nats.go).
            waiter = self.requests.popitem()[1]
        if waiter is not None:
            waiter.receive(message)


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
