"""The client's side of a connection: pure, without a socket and without a clock.

Theory of operation
-------------------
The server speaks first: INFO. The session answers CONNECT and PING; the PONG makes it *open*. Then publishes and subscriptions
go straight into ``outbox`` and what arrives goes to *feeds*, one per subscription: to a plain function at once, or into the
feed's bounded buffer. Requests share one subscription to ``<inbox>.*``; the last token of an answer's subject names the request.

What the driver must do: after every call send ``outbox``; after ``receive`` also take ``take_events()``: what happened that is not
a message, in order. ``publish`` returns 0 where nothing need be done, because the driver has set ``scheduled`` and little waits.

PONGs answer PINGs in order, so a flush is a number: it is done when ``pongs`` has reached what ``ping()`` returned.

A feed that is *stopped* still gets what the server sent before it had the UNSUB, and ends by itself at the PONG behind it: that is
what makes draining lossless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any

from midge.client.checks import check_length, encode_headers, encode_payload
from midge.client.info import ServerInfo, read_info
from midge.errors import ConnectionClosedError, ConnectionDrainingError, MaxPayloadError, OutboundFullError, RemoteProtocolError
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
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.message import Message
    from midge.wire.encoder import put_line, put_publish
    from midge.wire.octets import ERR, HMSG, INFO, MSG, NEED_DATA, PING, PONG, cut, number, same
    from midge.wire.outbox import Outbox
    from midge.wire.parser import Parser
    from midge.wire.publication import Publication

__all__ = ["READY", "Feed", "Ready", "Session"]

FLUSH_AT = 65536  # bytes that wait for the end of the loop's turn at most
SUBJECT_CACHE = 1024
MAX_SERVER_PAYLOAD = 64 << 20  # what a server may send us in one message, whatever max_payload it announced
MAX_SERVER_LINE = 1 << 20  # a MSG line is longer than the PUB line that it comes from, and some servers allow long ones

# The states of a session, in order.
GREETING, HANDSHAKE, OPEN, DRAINING, CLOSED = range(5)
_OPEN = OPEN  # these, declared in the .pxd, cost nothing on the message path
_CLOSED = CLOSED
_FLUSH_AT = FLUSH_AT

# The kinds of events.
OPENED, PONGED, INFORMED, REFUSED, FAILED, SLOW, ENDED = "opened", "ponged", "informed", "refused", "failed", "slow", "ended"


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

    Raises:
        InvalidSubjectError: its subject or queue group is not valid.

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
        "_last_subject", "_last_text", "_names", "_slow", "buffer", "buffered", "callback", "drop_oldest", "dropped", "limit", "max_bytes",
        "max_msgs", "owner", "queue", "received", "sid", "subject", "woken",
    )  # fmt: skip

    def __init__(self, subject: str, queue: str | None, callback: Callable[[Message], Any] | None, owner: Any) -> None:
        self._names = check_publish(subject)
        self.sid = 0
        self.subject = self._names.decode("utf-8", "surrogateescape")
        self.queue: str | None = None
        if queue is not None:
            group = check_queue(queue)
            self._names += b" " + group
            self.queue = group.decode("utf-8", "surrogateescape")
        check_length(subject, len(self._names), "subject")
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
        if self._fits(size):
            self.buffer.append((message, size))
            self.buffered += size
            self._slow = False
            return True
        if self.drop_oldest and (self.max_bytes == 0 or size <= self.max_bytes):
            while not self._fits(size):
                self.take()
                self.dropped += 1
            self.buffer.append((message, size))
            self.buffered += size
        else:
            self.dropped += 1
        if self._slow:
            return True
        self._slow = True
        return False

    def trim(self, limit: int) -> None:
        """Forget the newest messages that wait, as far as more than limit messages came in all."""
        surplus = self.received - self.dropped - limit
        while surplus > 0 and self.buffer:
            self.buffered -= self.buffer.pop()[1]
            surplus -= 1

    def _fits(self, size: int) -> bool:
        if self.max_msgs and len(self.buffer) >= self.max_msgs:
            return False
        return self.max_bytes == 0 or self.buffered + size <= self.max_bytes


class Session:
    """One connection's state.

    Args:
        connect: makes the JSON of the CONNECT line from what the server said of itself.
        inbox: the prefix of reply subjects, unique to this client.
        publisher: what messages answer through; has a ``publish``.
        outbound_limit: bytes that may wait to be sent before a publish fails.
    """

    __slots__ = (
        "_connect", "_events", "_inbox", "_last_feed", "_max_payload", "_mux", "_next_sid", "_next_token", "_outbound_limit",
        "_publisher", "_stopping", "_subjects",
        "cause", "feeds", "in_bytes", "in_msgs", "info", "out_bytes", "out_msgs", "outbox", "parser", "pings", "pongs", "requests",
        "scheduled", "state", "woken",
    )  # fmt: skip

    def __init__(self, connect: Callable[[ServerInfo], bytes], inbox: str, publisher: Any, outbound_limit: int) -> None:
        self._connect = connect
        self._inbox = inbox
        self._publisher = publisher
        self._outbound_limit = outbound_limit
        self._max_payload = 1 << 20
        self._events: list[tuple[str, Any, Any]] = []
        self._subjects: dict[str, bytes] = {}
        self._last_feed: Feed | None = None
        self._mux: Feed | None = None
        self._stopping: deque[tuple[int, list[Feed]]] = deque()
        self._next_sid = 1
        self._next_token = 0
        self.state = GREETING
        self.cause: BaseException | None = None
        self.info = ServerInfo()
        self.parser = Parser(False, MAX_SERVER_LINE, MAX_SERVER_PAYLOAD)
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
            LocalProtocolError: it has headers and the server does not know them.
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
            data = encode_payload(data)
        answer_to = None
        if reply is not None and reply != "":
            answer_to = check_publish(reply, "reply subject")
            check_length(reply, len(encoded) + len(answer_to), "reply subject")
        size = len(data)
        header = None
        if headers is not None:
            header = encode_headers(headers, self.info.headers)
            if header is not None:
                size += len(header)
        if size > self._max_payload:
            raise MaxPayloadError(size, self._max_payload)
        waiting = self.outbox.before + self.outbox.fill - self.outbox.start
        if waiting + size > self._outbound_limit and waiting:
            raise OutboundFullError(waiting, self._outbound_limit)
        put_publish(self.outbox, encoded, answer_to, header, data)
        self.out_msgs += 1
        self.out_bytes += size
        waiting = self.outbox.before + self.outbox.fill - self.outbox.start
        return 0 if self.scheduled and waiting < _FLUSH_AT else waiting

    def subscribe(self, feed: Feed) -> None:
        """Queue a SUB for the feed and give it its sid.

        Raises:
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
        if limit:
            feed.trim(limit)
        put_line(self.outbox, b"UNSUB %d" % feed.sid)
        self.end(feed)

    def stop(self, feeds: list[Feed]) -> int:
        """Unsubscribe feeds without losing what is on its way: they end when ``pongs`` has reached the number returned."""
        for feed in feeds:
            if feed.sid in self.feeds:
                put_line(self.outbox, b"UNSUB %d" % feed.sid)
        number = self.ping()
        self._stopping.append((number, feeds))
        return number

    def end(self, feed: Feed) -> None:
        """Deliver nothing more to the feed; what its buffer holds stays there."""
        if self.feeds.pop(feed.sid, None) is not None:
            self._last_feed = None
            if feed is self._mux:
                self._mux = None
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
            raise self.closed_error()
        self.pings += 1
        put_line(self.outbox, b"PING")
        return self.pings

    def drain(self) -> None:
        """Refuse new subscriptions from now on; publishing and requests go on, for those who have messages to answer."""
        if self.state == OPEN:
            self.state = DRAINING

    def close(self, cause: BaseException | None = None) -> None:
        """Refuse everything from now on, because of the cause if there is one, and forget the feeds."""
        self.state = CLOSED
        self.cause = cause
        self._last_feed = None
        self._mux = None
        self._stopping.clear()
        self.feeds.clear()

    def closed_error(self) -> ConnectionClosedError:
        """Return the error for those who come too late."""
        error = ConnectionClosedError("the connection is closed" if self.cause is None else f"the connection was lost: {self.cause}")
        error.__cause__ = self.cause
        return error

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
                self._deliver(parser.publication)
            elif op == NEED_DATA:
                return
            else:
                self._handle(op)

    def receive_data(self, data: bytes) -> None:
        """Take bytes that are not the driver's reusable buffer."""
        self.receive(bytearray(data), len(data))

    def data_to_send(self) -> bytes:
        """Return and forget what waits to be sent."""
        return self.outbox.take_all()

    def take_events(self) -> list[tuple[str, Any, Any]]:
        """Return what happened since the last call: (kind, what, more)."""
        events = self._events
        if events:
            self._events = []
        return events

    def _add(self, feed: Feed) -> None:
        feed.sid = self._next_sid
        self._next_sid += 1
        self.feeds[feed.sid] = feed
        put_line(self.outbox, b"SUB %b %d" % (feed._names, feed.sid))

    def _deliver(self, publication: Publication) -> None:
        buf = publication.buf
        size = publication.payload_end - publication.payload_start
        self.in_msgs += 1
        self.in_bytes += size
        sid = number(buf, publication.sid_start, publication.sid_end)
        feed = self._last_feed
        if feed is None or feed.sid != sid:
            feed = self.feeds.get(sid)
            if feed is None:
                self._refuse_unless_greeted()
                return  # unsubscribed: the server did not know yet
            self._last_feed = feed
        message = Message.__new__(Message)
        if not same(buf, publication.subject_start, publication.subject_end, feed._last_subject):
            feed._last_subject = cut(buf, publication.subject_start, publication.subject_end)
            feed._last_text = feed._last_subject.decode("utf-8", "surrogateescape")
        message.subject = feed._last_text
        message.reply = publication.reply().decode("utf-8", "surrogateescape") if publication.reply_end else ""
        message._headers = None
        message._publisher = self._publisher
        if publication.header_size > 0:
            message._block = cut(buf, publication.payload_start, publication.payload_start + publication.header_size)
            message.data = cut(buf, publication.payload_start + publication.header_size, publication.payload_end)
        else:
            message._block = None
            message.data = cut(buf, publication.payload_start, publication.payload_end)
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
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a CancelledError, too, must not keep the rest of the chunk from the others
            self._events.append((FAILED, feed, error))
            return
        if result is not None and result is not READY and isinstance(result, Coroutine):
            result.close()
            self._events.append((FAILED, feed, TypeError("a callback that returns a coroutine must be declared with async def")))

    def _handle(self, op: int) -> None:
        if op == INFO:
            self._take_info(self.parser.line())
            return
        if op != ERR:
            self._refuse_unless_greeted()
        if op == PING:
            put_line(self.outbox, b"PONG")
        elif op == PONG:
            self._take_pong()
        elif op == ERR:
            text = self.parser.line().decode("utf-8", "surrogateescape").strip()
            self._events.append((REFUSED, text.strip("'"), None))

    def _take_pong(self) -> None:
        if self.pongs == self.pings:
            return  # nobody asked: counted, it would answer the next PING too early
        self.pongs += 1
        if self.state == HANDSHAKE:
            self.state = OPEN
            self._events.append((OPENED, None, None))
        while self._stopping and self._stopping[0][0] <= self.pongs:
            for feed in self._stopping.popleft()[1]:
                self.end(feed)
        self._events.append((PONGED, None, None))

    def _take_info(self, line: bytes) -> None:
        self.info = read_info(line)
        self._max_payload = self.info.max_payload
        if self.state != GREETING:
            self._events.append((INFORMED, None, None))
            return
        if self.info.tls_required:
            raise RemoteProtocolError("the server requires TLS, which is not supported yet")
        self.state = HANDSHAKE
        put_line(self.outbox, b"CONNECT " + self._connect(self.info))
        self.ping()

    def _answer(self, message: Message) -> None:
        """An answer came to the shared inbox: give it to its request, if that still waits."""
        waiter = None
        if message.subject.startswith(self._inbox):
            waiter = self.requests.pop(message.subject[len(self._inbox) + 1 :], None)
        elif len(self.requests) == 1:
            # A subject mapping rewrote the reply; with one request under way there is no doubt whose it is (as in nats.go).
            waiter = self.requests.popitem()[1]
        if waiter is not None:
            waiter.receive(message)

    def _encode_subject(self, subject: Any, what: str) -> bytes:
        """Check a subject and remember it: most programs use few."""
        encoded = check_publish(subject, what)
        check_length(subject, len(encoded), what)
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
        if self.state == CLOSED:
            raise self.closed_error()
        raise ConnectionClosedError("not connected yet")

    def _refuse_unless_greeted(self) -> None:
        if self.state == GREETING:
            raise RemoteProtocolError("the server did not begin with INFO")
