"""The client's side of a connection: pure, without a socket and without a clock.

Theory of operation
-------------------
The server speaks first: INFO. The session answers CONNECT and PING; the PONG makes it *open*. Then publishes and subscriptions
go straight into ``outbox`` and what arrives goes to *feeds*, one per subscription: to a plain function at once, or into the
feed's bounded buffer. Requests share one subscription to ``<inbox>.*``; the last token of an answer's subject names the request.

What the driver must do: after every call send ``outbox``; after ``receive`` also take ``take_events()``: what happened that is not
a message, in order. ``publish`` returns 0 where nothing need be done, because the driver has set ``scheduled`` and little waits.

PONGs answer PINGs in order, so a flush is a number: it is done when ``pongs`` has reached what ``ping()`` returned.

Messages for a feed that was unsubscribed but not yet closed are still delivered: that is what makes draining lossless.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from midge.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    InvalidSubjectError,
    LocalProtocolError,
    MaxPayloadError,
    OutboundFullError,
    RemoteProtocolError,
)
from midge.message import Headers
from midge.subject import check_publish, check_queue

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.message import Message
    from cython.cimports.midge.wire.encoder import put_line, put_publish
    from cython.cimports.midge.wire.octets import ERR, HMSG, INFO, MSG, NEED_DATA, PING, PONG, cut, number, same
    from cython.cimports.midge.wire.outbox import Outbox
    from cython.cimports.midge.wire.parser import Parser
else:
    from midge.message import Message
    from midge.wire.encoder import put_line, put_publish
    from midge.wire.octets import ERR, HMSG, INFO, MSG, NEED_DATA, PING, PONG, cut, number, same
    from midge.wire.outbox import Outbox
    from midge.wire.parser import Parser

__all__ = ["READY", "Feed", "Ready", "ServerInfo", "Session"]

FLUSH_AT = 65536  # bytes that wait for the end of the loop's turn at most
SUBJECT_CACHE = 1024
MAX_SERVER_PAYLOAD = 64 << 20  # what a server may send us in one message, whatever max_payload it announced

# The states of a session, in order.
GREETING, HANDSHAKE, OPEN, DRAINING, CLOSED = range(5)
_OPEN = OPEN  # these, declared in the .pxd, cost nothing on the message path
_CLOSED = CLOSED
_FLUSH_AT = FLUSH_AT

# The kinds of events.
OPENED, PONGED, INFORMED, REFUSED, FAILED, SLOW, ENDED = "opened", "ponged", "informed", "refused", "failed", "slow", "ended"


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself in INFO; fields that we do not know are ignored."""

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    proto: int = 0
    host: str = ""
    port: int = 0
    headers: bool = False
    auth_required: bool = False
    tls_required: bool = False
    tls_available: bool = False
    max_payload: int = 1 << 20
    jetstream: bool = False
    client_id: int = 0
    client_ip: str = ""
    nonce: str | None = None
    cluster: str | None = None
    domain: str | None = None
    connect_urls: list[str] | None = None
    ldm: bool = False
    connect_info: bool = False
    remote_account: str | None = None


class Ready:
    """An awaitable that is done already: one instance serves every publish that need not wait.

    Its iterator is an exhausted one, which says so without raising.
    """

    __slots__ = ("_exhausted",)

    def __init__(self) -> None:
        self._exhausted: Iterator[Any] = iter(())

    def __await__(self) -> Generator[Any, Any, None]:
        return self._exhausted  # type: ignore[return-value]


READY = Ready()


class Feed:
    """What one subscription receives.

    Attributes:
        sid: the subscription's id on the wire.
        subject, queue: what was subscribed to.
        callback: a plain function that is called with each message at once, or None for the buffer.
        buffer: the messages that wait to be taken, and their sizes in bytes.
        limit: how many messages end the subscription, 0 for no limit.
        received, dropped: how many messages came, and how many of them were dropped because the buffer was full.
        owner: the face that the user sees; the session only carries it.
    """

    __slots__ = (
        "_last_subject", "_last_text", "_slow", "buffer", "buffered", "callback", "drop_oldest", "dropped", "limit", "max_bytes",
        "max_msgs", "owner", "queue", "received", "sid", "subject", "woken",
    )  # fmt: skip

    def __init__(self, subject: str, queue: str | None, callback: Callable[[Message], Any] | None, owner: Any) -> None:
        self.sid = 0
        self.subject = subject
        self.queue = queue
        self.callback = callback
        self.owner = owner
        self.buffer: deque[tuple[Message, int]] = deque()
        self.buffered = 0
        self.max_msgs = 0
        self.max_bytes = 0
        self.drop_oldest = False
        self.limit = 0
        self.received = 0
        self.dropped = 0
        self.woken = False
        self._slow = False
        self._last_subject = b""
        self._last_text = ""

    def set_limits(self, max_msgs: int, max_bytes: int, drop_oldest: bool) -> None:
        """Bound the buffer in messages and bytes, 0 for no bound, and say which message goes when it is full."""
        self.max_msgs = max_msgs
        self.max_bytes = max_bytes
        self.drop_oldest = drop_oldest

    def take(self) -> Message:
        """Remove and return the oldest message; IndexError where there is none."""
        entry = self.buffer.popleft()
        self.buffered -= entry[1]
        message: Message = entry[0]
        return message

    def put(self, message: Message, size: int) -> bool:
        """Append a message. False where the buffer became full with this one, for the first time since one fitted."""
        if (self.max_msgs == 0 or len(self.buffer) < self.max_msgs) and (self.max_bytes == 0 or self.buffered + size <= self.max_bytes):
            self.buffer.append((message, size))
            self.buffered += size
            self._slow = False
            return True
        self.dropped += 1
        if self.drop_oldest and self.buffer:
            self.take()
            self.buffer.append((message, size))
            self.buffered += size
        if self._slow:
            return True
        self._slow = True
        return False


class Session:
    """One connection's state.

    Args:
        connect: the JSON of the CONNECT line.
        inbox: the prefix of reply subjects, unique to this client.
        publisher: what messages answer through; has a ``publish``.
        outbound_limit: bytes that may wait to be sent before a publish fails.
    """

    __slots__ = (
        "_connect", "_events", "_inbox", "_last_feed", "_max_payload", "_mux", "_next_sid", "_next_token", "_outbound_limit",
        "_publisher", "_subjects",
        "feeds", "in_bytes", "in_msgs", "info", "out_bytes", "out_msgs", "outbox", "parser", "pings", "pongs", "requests",
        "scheduled", "state", "woken",
    )  # fmt: skip

    def __init__(self, connect: bytes, inbox: str, publisher: Any, outbound_limit: int) -> None:
        self._connect = connect
        self._inbox = inbox
        self._publisher = publisher
        self._outbound_limit = outbound_limit
        self._max_payload = 1 << 20
        self._events: list[tuple[str, Any, Any]] = []
        self._subjects: dict[str, bytes] = {}
        self._last_feed: Feed | None = None
        self._mux: Feed | None = None
        self._next_sid = 1
        self._next_token = 0
        self.state = GREETING
        self.info = ServerInfo()
        self.parser = Parser(False, 4096, MAX_SERVER_PAYLOAD)
        self.outbox = Outbox()
        self.feeds: dict[int, Feed] = {}
        self.requests: dict[str, Any] = {}
        self.woken: list[Feed] = []
        self.scheduled = False
        self.pings = self.pongs = 0
        self.in_msgs = self.in_bytes = self.out_msgs = self.out_bytes = 0

    # What the application says

    def publish(self, subject: str, data: bytes, reply: str | None, headers: Any) -> int:
        """Queue a message. Returns 0, or how many bytes wait where the driver has something to do about it.

        Raises:
            InvalidSubjectError, InvalidHeaderError, MaxPayloadError: it cannot be sent as it is.
            TypeError: the payload is not bytes.
            OutboundFullError: too much waits to be sent already.
            ConnectionClosedError: the connection is closed.
        """
        if self.state != _OPEN:
            self._refuse_publish()
        encoded = self._subjects.get(subject) if isinstance(subject, str) else None
        if encoded is None:
            encoded = self._encode_subject(subject, "subject")
        if type(data) is not bytes:
            data = _to_bytes(data)
        answer_to = None
        if reply is not None and reply != "":
            answer_to = check_publish(reply, "reply subject")
        size = len(data)
        header = None
        if headers:
            header = headers.encode() if isinstance(headers, Headers) else Headers(headers).encode()
            size += len(header)
        if size > self._max_payload:
            raise MaxPayloadError(size, self._max_payload)
        waiting = self.outbox.fill - self.outbox.start
        if waiting + size > self._outbound_limit and waiting:
            raise OutboundFullError(waiting, self._outbound_limit)
        put_publish(self.outbox, encoded, answer_to, header, data)
        self.out_msgs += 1
        self.out_bytes += size
        waiting = self.outbox.fill - self.outbox.start
        return 0 if self.scheduled and waiting < _FLUSH_AT else waiting

    def subscribe(self, feed: Feed) -> None:
        """Queue a SUB for the feed and give it its sid.

        Raises:
            InvalidSubjectError: its subject or queue group is not valid.
            ConnectionClosedError: the connection is closed or draining.
        """
        self._refuse_unless_open()
        self._add(feed)

    def unsubscribe(self, feed: Feed, limit: int = 0) -> None:
        """Queue an UNSUB; with a limit, end the feed when it has received that many messages in all."""
        if self.state >= CLOSED or feed.sid not in self.feeds:
            return
        if limit > feed.received:
            feed.limit = limit
            put_line(self.outbox, b"UNSUB %d %d" % (feed.sid, limit))
            return
        put_line(self.outbox, b"UNSUB %d" % feed.sid)
        self.end(feed)

    def stop(self, feed: Feed) -> None:
        """Queue an UNSUB but go on delivering what comes before the server has it; ``end`` the feed after the PONG."""
        if self.state < CLOSED and feed.sid in self.feeds:
            put_line(self.outbox, b"UNSUB %d" % feed.sid)

    def end(self, feed: Feed) -> None:
        """Deliver nothing more to the feed; what its buffer holds stays there."""
        if self.feeds.pop(feed.sid, None) is not None:
            self._last_feed = None
            self._events.append((ENDED, feed, None))

    def request(self, subject: str, data: bytes, headers: Any, waiter: Any) -> str:
        """Queue a request; ``waiter.receive(message)`` is called with the answer. Returns its token in ``requests``."""
        self._refuse_publish()
        if self._mux is None:
            mux = Feed(f"{self._inbox}.*", None, self._answer, None)
            self._add(mux)
            self._mux = mux
        self._next_token += 1
        token = str(self._next_token)
        self.publish(subject, data, f"{self._inbox}.{token}", headers)
        self.requests[token] = waiter
        return token

    def ping(self) -> int:
        """Queue a PING; it is answered when ``pongs`` has reached the number returned."""
        if self.state >= CLOSED:
            raise ConnectionClosedError()
        self.pings += 1
        put_line(self.outbox, b"PING")
        return self.pings

    def drain(self) -> None:
        """Refuse new subscriptions from now on; publishing and requests go on, for those who have messages to answer."""
        if self.state == OPEN:
            self.state = DRAINING

    def close(self) -> None:
        """Refuse everything from now on and forget the feeds."""
        self.state = CLOSED
        self._last_feed = None
        self.feeds.clear()

    # What the network says

    def receive(self, chunk: bytearray, stop: int) -> None:
        """Take chunk[:stop] from the server. Next: ``take_events``, ``woken``, then send ``outbox``.

        Raises:
            RemoteProtocolError: the server broke the protocol.
        """
        parser = self.parser
        parser.receive(chunk, stop)
        while self.state != _CLOSED:
            op = parser.next()
            if op == MSG or op == HMSG:
                self._deliver(parser)
            elif op == NEED_DATA:
                return
            else:
                self._handle(op)

    def receive_data(self, data: bytes) -> None:
        """Take bytes that are not the driver's reusable buffer."""
        self.receive(bytearray(data), len(data))

    def data_to_send(self) -> bytes:
        """Return and forget what waits to be sent."""
        return bytes(self.outbox.take())

    def take_events(self) -> list[tuple[str, Any, Any]]:
        """Return what happened since the last call: (kind, what, more)."""
        events = self._events
        if events:
            self._events = []
        return events

    def _add(self, feed: Feed) -> None:
        subject = self._subjects.get(feed.subject) or self._encode_subject(feed.subject, "subject")
        queue = b"" if feed.queue is None else check_queue(feed.queue) + b" "
        feed.sid = self._next_sid
        self._next_sid += 1
        self.feeds[feed.sid] = feed
        put_line(self.outbox, b"SUB %b %b%d" % (subject, queue, feed.sid))

    def _deliver(self, parser: Parser) -> None:
        buf = parser.buf
        size = parser.payload_end - parser.payload_start
        self.in_msgs += 1
        self.in_bytes += size
        sid = number(buf, parser.sid_start, parser.sid_end)
        feed = self._last_feed
        if feed is None or feed.sid != sid:
            feed = self.feeds.get(sid)
            if feed is None:
                return  # unsubscribed: the server did not know yet
            self._last_feed = feed
        message = Message.__new__(Message)
        if not same(buf, parser.subject_start, parser.subject_end, feed._last_subject):
            feed._last_subject = cut(buf, parser.subject_start, parser.subject_end)
            feed._last_text = feed._last_subject.decode("utf-8", "surrogateescape")
        message.subject = feed._last_text
        message.reply = parser.reply().decode("utf-8", "surrogateescape") if parser.reply_end else ""
        message._headers = None
        message._publisher = self._publisher
        if parser.header_size > 0:
            message._block = cut(buf, parser.payload_start, parser.payload_start + parser.header_size)
            message.data = cut(buf, parser.payload_start + parser.header_size, parser.payload_end)
        else:
            message._block = None
            message.data = cut(buf, parser.payload_start, parser.payload_end)
        feed.received += 1
        if feed.limit and feed.received >= feed.limit:
            self.end(feed)
        if feed.callback is None:
            if not feed.put(message, size):
                self._events.append((SLOW, feed, None))
            if not feed.woken:
                feed.woken = True
                self.woken.append(feed)
            return
        try:
            result = feed.callback(message)
        except Exception as error:
            self._events.append((FAILED, feed, error))
            return
        if result is not None and inspect.iscoroutine(result):
            result.close()
            self._events.append((FAILED, feed, TypeError("a callback that returns a coroutine must be declared with async def")))

    def _handle(self, op: int) -> None:
        if op == PING:
            put_line(self.outbox, b"PONG")
        elif op == PONG:
            self.pongs += 1
            if self.state == HANDSHAKE:
                self.state = OPEN
                self._events.append((OPENED, None, None))
            self._events.append((PONGED, None, None))
        elif op == INFO:
            self._take_info(self.parser.line())
        elif op == ERR:
            text = self.parser.line().decode("utf-8", "surrogateescape").strip()
            self._events.append((REFUSED, text.strip("'"), None))

    def _take_info(self, line: bytes) -> None:
        try:
            self.info = msgspec.json.decode(line.decode("utf-8", "replace"), type=ServerInfo)
        except msgspec.MsgspecError as error:
            raise RemoteProtocolError(f"bad INFO: {error}") from error
        self._max_payload = self.info.max_payload
        if self.state != GREETING:
            self._events.append((INFORMED, None, None))
            return
        if self.info.tls_required:
            raise RemoteProtocolError("the server requires TLS, which is not supported yet")
        self.state = HANDSHAKE
        put_line(self.outbox, b"CONNECT " + self._connect)
        self.ping()

    def _answer(self, message: Message) -> None:
        """An answer came to the shared inbox: give it to its request, if that still waits."""
        token = message.subject[len(self._inbox) + 1 :]
        waiter = self.requests.pop(token, None)
        if waiter is None and len(self.requests) == 1 and not message.subject.startswith(self._inbox):
            # A subject mapping rewrote the reply; with one request under way there is no doubt whose it is (as in nats.go).
            waiter = self.requests.popitem()[1]
        if waiter is not None:
            waiter.receive(message)

    def _encode_subject(self, subject: Any, what: str) -> bytes:
        """Check a subject and remember it: most programs use few."""
        encoded = check_publish(subject, what)
        if len(encoded) > 4000:
            raise InvalidSubjectError(subject[:40] + "...", f"{len(encoded)} bytes do not fit in a protocol line", what=what)
        if len(self._subjects) >= SUBJECT_CACHE:
            self._subjects.clear()
        self._subjects[subject] = encoded
        return encoded

    def _refuse_publish(self) -> None:
        if self.state != DRAINING:
            self._refuse_unless_open()

    def _refuse_unless_open(self) -> None:
        if self.state == OPEN:
            return
        if self.state == DRAINING:
            raise ConnectionDrainingError()
        raise ConnectionClosedError("the connection is closed" if self.state == CLOSED else "not connected yet")


def _to_bytes(data: Any) -> bytes:
    if isinstance(data, (bytearray, memoryview, bytes)):
        return bytes(data)
    if isinstance(data, str):
        raise TypeError("a payload is bytes, not str: encode it")
    raise TypeError(f"a payload is bytes, not {type(data).__name__}")


def check_limit(limit: Any) -> int:
    """Return a number of messages.

    Raises:
        LocalProtocolError: it is not an int of 1 or more.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise LocalProtocolError(f"a limit is a number of messages from 1 on, not {limit!r}")
    return limit
