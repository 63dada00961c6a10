"""One socket's side of a conversation with a server: pure, without a socket and without a clock, and thrown away with the socket.

Theory of operation
-------------------
The server speaks first: INFO, and the session says ``Greeted``. Whoever opens it may then secure the link and ask for credentials, and
has it ``say_connect``, with a PING behind; the PONG makes it *open*. Then publishes and subscriptions go straight into ``outbox``, and
what arrives goes to the feeds of ``interest``: to a plain function at once, or into the feed's bounded buffer.

What the driver must do: after every call send ``outbox``; ``receive`` parses a slice of what came and says whether there is more, then
``parse`` until there is not; after each also ``take_events()``, what happened that is not a message, in order, and wake the
feeds in ``woken``. A slice ends after some messages, where the outbox is past its high-water mark, where a callback was interrupted, and
where a feed holds the connection: no chunk, however large, keeps the event loop from its other work or fills a buffer without bound.

``publish`` returns 0 where nothing need be done, because the driver has set ``scheduled`` and little waits.

PONGs answer PINGs in order, so a flush is a number: it is done when ``pongs`` has reached what ``ping()`` returned.

A session may also be *waiting*: it has no socket, and what is published stays in its outbox, where there is nothing else. It holds what
is said between two links.

A feed that is *stopped* still gets what the server sent before it had the UNSUB, and ends by itself at the PONG behind it: that is
what makes draining lossless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from midge.client.handshake import ServerInfo, read_info
from midge.client.room import Answer
from midge.client.states import Ended, Failed, Greeted, Happening, Informed, Interrupted, Opened, Ponged, Refused, SessionState, Slow
from midge.errors import ConnectionClosedError, DisconnectedError, MidgeError, RemoteProtocolError

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.client.encoder import PublishEncoder
    from cython.cimports.midge.client.interest import Counters, Feed, Interest
    from cython.cimports.midge.client.room import Ready
    from cython.cimports.midge.message import Message
    from cython.cimports.midge.wire.encoder import put_line
    from cython.cimports.midge.wire.octets import ERR, HMSG, INFO, MSG, NEED_DATA, PING, PONG, cut, number, same
    from cython.cimports.midge.wire.outbox import Outbox
    from cython.cimports.midge.wire.parser import Parser
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.client.encoder import PublishEncoder
    from midge.client.interest import Counters, Feed, Interest
    from midge.client.room import Ready
    from midge.message import Message
    from midge.wire.encoder import put_line
    from midge.wire.octets import ERR, HMSG, INFO, MSG, NEED_DATA, PING, PONG, cut, number, same
    from midge.wire.outbox import Outbox
    from midge.wire.parser import Parser
    from midge.wire.publication import Publication

__all__ = ["FLUSH_AT", "HIGH_WATER", "SLICE", "Session"]

FLUSH_AT = 65536  # bytes that wait for the end of the loop's turn at most
HIGH_WATER = 1 << 20  # bytes that may wait before publishing really waits, and before no more is parsed
SLICE = 64  # operations that are parsed before the driver looks at the clock
MAX_SERVER_PAYLOAD = 64 << 20  # what a server may send us in one message, whatever max_payload it announced
MAX_REFUSAL = 1 << 14  # bytes of an -ERR that are kept: it may hold the names of one protocol line, every byte of them escaped
MAX_SERVER_LINE = 1 << 20  # a MSG line is longer than the PUB line that it comes from, and some servers allow long ones

_GREETING = SessionState.GREETING  # these, declared in the .pxd, cost nothing on the message path
_HANDSHAKE = SessionState.HANDSHAKE
_OPEN = SessionState.OPEN
_CLOSED = SessionState.CLOSED
_FLUSH_AT = FLUSH_AT
_HIGH_WATER = HIGH_WATER
_SLICE = SLICE


class Session:
    """One socket's state.

    Args:
        interest: who wants messages and answers.
        encoder: checks and writes publishes; it is told what the server takes.
        counters: counts messages.
        publisher: what messages answer through; has a ``publish``.
    """

    __slots__ = (
        "_confirmed", "_events", "_feeds", "_interrupted", "_is_full", "_last_feed", "_marks", "_publisher", "_stopping", "cause",
        "counters", "encoder", "info", "interest", "is_waiting", "outbox", "parser", "pings", "pongs", "scheduled", "state", "woken",
    )  # fmt: skip

    def __init__(self, interest: Interest, encoder: PublishEncoder, counters: Counters, publisher: Any) -> None:
        self._publisher = publisher
        self._feeds = interest.feeds
        self._events: list[Happening] = []
        self._last_feed: Feed | None = None
        self._interrupted = self._is_full = False
        self._stopping: deque[tuple[int, list[Feed]]] = deque()
        self._confirmed = 0  # an -ERR that comes now is about no SUB of a lower sid, nor of one that was sent after the next PING:
        self._marks: deque[int] = deque()  # the sids that were next when each unanswered PING was sent
        self.interest = interest
        self.encoder = encoder
        self.counters = counters
        self.state: int = SessionState.GREETING
        self.cause: Exception | None = None
        self.info = ServerInfo()
        self.parser = Parser(False, MAX_SERVER_LINE, MAX_SERVER_PAYLOAD)
        self.outbox = Outbox()
        self.woken: list[Feed] = []
        self.scheduled = False
        self.is_waiting = False
        self.pings = self.pongs = 0

    def wait(self, info: ServerInfo, keeps_publishes: bool) -> None:
        """Wait for another session that has a socket. The info is the last server's; publishes are kept, or refused."""
        self.info = info
        self.is_waiting = True
        if keeps_publishes:
            self.state = _OPEN

    def say_connect(self, line: bytes) -> None:
        """Answer the server's INFO with CONNECT, whose JSON this is, and a PING."""
        put_line(self.outbox, b"CONNECT " + line)
        self.ping()

    # What the application says

    def publish(self, subject: str, data: Any, reply: str | None, headers: Any) -> int:
        """Queue a message. Returns 0, or how many bytes wait where the driver has something to do about it.

        Raises:
            ConnectionClosedError: the session is not open.
            MidgeError, TypeError: what ``PublishEncoder.encode`` raises.
        """
        if self.state != _OPEN:
            raise self.closed_error()
        if reply is None:
            size = self.encoder.encode_reply(self.outbox, subject, data, None, headers)
        else:
            size = self.encoder.encode(self.outbox, subject, data, reply, headers)
        counters, outbox = self.counters, self.outbox
        counters.out_msgs += 1
        counters.out_bytes += size
        waiting = outbox.before + outbox.fill - outbox.start
        return 0 if self.scheduled and waiting < _FLUSH_AT else waiting

    def answer(self, subject: str, data: bytes) -> int:
        """Queue a message to a subject that a server sent; otherwise as ``publish``."""
        if self.state != _OPEN:
            raise self.closed_error()
        size = self.encoder.encode_answer(self.outbox, subject.encode("utf-8", "surrogateescape"), data)
        counters, outbox = self.counters, self.outbox
        counters.out_msgs += 1
        counters.out_bytes += size
        waiting = outbox.before + outbox.fill - outbox.start
        return 0 if self.scheduled and waiting < _FLUSH_AT else waiting

    def subscribe(self, feed: Feed) -> None:
        """Queue a SUB for the feed and give it its sid.

        Raises:
            ConnectionClosedError: the session is not open.
        """
        if self.is_waiting and self.state != _CLOSED:
            self.interest.add(feed)
            return
        if self.state != _OPEN:
            raise self.closed_error()
        self.interest.add(feed)
        self.interest.subscribe(feed, self.outbox)

    def unsubscribe(self, feed: Feed, limit: int = 0) -> None:
        """Queue an UNSUB; with a limit, end the feed when it has received that many messages in all."""
        if self.state == _CLOSED or feed.sid not in self._feeds:
            return
        if limit > feed.received:
            feed.limit = limit
            if not self.is_waiting:
                put_line(self.outbox, b"UNSUB %d %d" % (feed.sid, limit - feed.earlier))
            return
        if limit:
            feed.discard(limit)
        if not self.is_waiting:
            put_line(self.outbox, b"UNSUB %d" % feed.sid)
        self.end(feed)

    def stop(self, feeds: list[Feed]) -> int:
        """Unsubscribe feeds without losing what is on its way: they end when ``pongs`` has reached the number returned.

        They end at once where nothing is on its way to a waiting session; the number is reached already.
        """
        if self.state == _CLOSED:
            raise self.closed_error()
        if self.is_waiting:
            for feed in feeds:
                self.end(feed)
            return self.pongs
        for feed in feeds:
            if feed.sid in self._feeds:
                put_line(self.outbox, b"UNSUB %d" % feed.sid)
        number = self.ping()
        self._stopping.append((number, feeds))
        return number

    def has_stopped(self) -> bool:
        """True if feeds are stopped and have not ended yet."""
        return len(self._stopping) > 0

    def end_stopped(self) -> None:
        """End the feeds that are stopped, without what was on its way: the link is lost."""
        while self._stopping:
            for feed in self._stopping.popleft()[1]:
                self.end(feed)

    def end(self, feed: Feed) -> None:
        """Deliver nothing more to the feed; what its buffer holds stays there."""
        if self.interest.remove(feed):
            self._events.append(Ended(feed))

    def request(self, subject: str, data: Any, headers: Any, waiter: Any) -> str:
        """Queue a request; ``waiter.receive(message)`` is called with the answer. Returns its token in ``interest.requests``.

        Raises:
            ConnectionClosedError: the session is not open.
            MidgeError, TypeError: what ``PublishEncoder.encode`` raises.
        """
        if self.state != _OPEN:
            raise self.closed_error()
        interest = self.interest
        answers = interest.make_answers()
        if answers is not None and not self.is_waiting:
            interest.subscribe(answers, self.outbox)
        token = interest.next_token()
        size = self.encoder.encode_reply(self.outbox, subject, data, interest.reply_subject(token), headers)
        self.counters.out_msgs += 1
        self.counters.out_bytes += size
        interest.requests[token] = waiter
        return token

    def ping(self) -> int:
        """Queue a PING; it is answered when ``pongs`` has reached the number returned."""
        if self.state == _CLOSED:
            raise self.closed_error()
        self.pings += 1
        self._marks.append(self.interest.next_sid if self.state == _OPEN else 0)  # this server knows no feed before it has let us in
        put_line(self.outbox, b"PING")
        return self.pings

    def forget_feeds(self) -> None:
        """Deliver nothing more: another session does that from now on."""
        self._feeds = {}
        self._last_feed = None

    def close(self, cause: Exception | None = None) -> None:
        """Refuse everything from now on, because of the cause if there is one."""
        self.state = _CLOSED
        self.cause = cause
        self._last_feed = None
        self._stopping.clear()

    def closed_error(self) -> MidgeError:
        """Return the error for those who come too early or too late, or between two links."""
        if self.state != _CLOSED:
            return DisconnectedError() if self.is_waiting else ConnectionClosedError("not connected yet")
        error = ConnectionClosedError("the connection is closed" if self.cause is None else f"the connection was lost: {self.cause}")
        error.__cause__ = self.cause
        return error

    # What the network says

    def receive(self, chunk: bytearray, stop: int) -> bool:
        """Take chunk[:stop] from the server and parse a slice of it; see ``parse``.

        Raises:
            RemoteProtocolError: the server broke the protocol.
        """
        self.parser.receive(chunk, stop)
        return self.parse()

    def parse(self) -> bool:
        """Parse a slice of what was received. True where there is more: call again, and leave the chunk alone until then."""
        parser = self.parser
        publication = parser.publication
        outbox = self.outbox
        self._interrupted = self._is_full = False
        left = _SLICE
        while self.state != _CLOSED:
            op = parser.next()
            if op == MSG or op == HMSG:
                self._deliver(publication)
            elif op == NEED_DATA:
                return False
            else:
                self._handle(op)
            left -= 1
            if left == 0 or self._interrupted or outbox.waiting() >= _HIGH_WATER:
                return True
        return False

    def was_interrupted(self) -> bool:
        """True if the slice ended because a callback was interrupted, or the server has just greeted us."""
        return self._interrupted and not self._is_full  # that a feed is full need not be the end of what the driver parses now

    def receive_data(self, data: bytes) -> None:
        """Take bytes that are not the driver's reusable buffer, all of them."""
        more = self.receive(bytearray(data), len(data))
        while more:
            more = self.parse()

    def data_to_send(self) -> bytes:
        """Return and forget what waits to be sent."""
        return self.outbox.take_all()

    def take_events(self) -> list[Happening]:
        """Return what happened since the last call."""
        events = self._events
        if events:
            self._events = []
        return events

    # Private

    def _deliver(self, publication: Publication) -> None:
        buf = publication.buf
        size = publication.payload_end - publication.payload_start
        self.counters.in_msgs += 1
        self.counters.in_bytes += size
        sid = number(buf, publication.sid_start, publication.sid_end)
        feed = self._last_feed
        if feed is None or feed.sid != sid or feed.has_ended:
            feed = self._find(sid if sid >= 0 else _long_number(cut(buf, publication.sid_start, publication.sid_end)))
            if feed is None:
                return  # unsubscribed: the server did not know yet
            self._last_feed = feed
        message = Message.__new__(Message)
        if not same(buf, publication.subject_start, publication.subject_end, feed._last_subject):
            feed._last_subject = cut(buf, publication.subject_start, publication.subject_end)
            feed._last_text = feed._last_subject.decode("utf-8", "surrogateescape")
        message._subject = feed._last_text
        message._reply = publication.reply().decode("utf-8", "surrogateescape") if publication.reply_end else ""
        message._headers = None
        message._publisher = self._publisher
        if publication.header_size > 0:
            message._block = cut(buf, publication.payload_start, publication.payload_start + publication.header_size)
            message._data = cut(buf, publication.payload_start + publication.header_size, publication.payload_end)
        else:
            message._block = None
            message._data = cut(buf, publication.payload_start, publication.payload_end)
        feed.received += 1
        if feed.limit and feed.received >= feed.limit:
            self.end(feed)
        if feed.callback is None:
            if not feed.put(message, size):
                self._note_full(feed)
            if not feed.woken:
                feed.woken = True
                self.woken.append(feed)
            return
        try:
            result = feed.callback(message)
        except BaseException as error:
            self._note_failure(feed, error)
            return
        if result is not None and not isinstance(result, Ready):
            self._check_result(feed, result)

    def _find(self, sid: int) -> Feed | None:
        if self.state == _GREETING:
            self._refuse_unless_greeted()
        return self._feeds.get(sid)

    def _note_full(self, feed: Feed) -> None:
        """The feed's buffer was full: it holds the connection, or dropped the message and may have to end."""
        if feed.holds and not feed.has_overrun:
            self.interest.hold(feed)
            self._interrupted = self._is_full = True
            return
        self._events.append(Slow(feed))
        if feed.has_overrun:
            self.unsubscribe(feed)

    def _note_failure(self, feed: Feed, error: BaseException) -> None:
        """A callback has raised; that keeps nothing from the others, not even where it is a CancelledError."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._interrupted = True
            self._events.append(Interrupted(error))
        else:
            self._events.append(Failed(feed, error))

    def _check_result(self, feed: Feed, result: Any) -> None:
        if isinstance(result, Coroutine) and not isinstance(result, Answer):
            result.close()
            self._events.append(Failed(feed, TypeError("a callback that returns a coroutine must be declared with async def")))

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
            text = self.parser.line()[:MAX_REFUSAL].decode("utf-8", "surrogateescape").strip()
            stop = self._marks[0] if self._marks else self.interest.next_sid
            self._events.append(Refused(text.strip("'"), self._confirmed, stop))

    def _take_pong(self) -> None:
        if self.pongs == self.pings:
            return  # nobody asked: counted, it would answer the next PING too early
        self.pongs += 1
        self._confirmed = self._marks.popleft()
        if self.state == _HANDSHAKE:
            self.state = _OPEN
            self._events.append(Opened())
        while self._stopping and self._stopping[0][0] <= self.pongs:
            for feed in self._stopping.popleft()[1]:
                self.end(feed)
        self._events.append(Ponged(self.pongs))

    def _take_info(self, line: bytes) -> None:
        self.info = read_info(line)
        self.encoder.max_payload = self.info.max_payload
        self.encoder.has_headers = self.info.headers
        if self.state != _GREETING:
            self._events.append(Informed())
            return
        self.state = _HANDSHAKE
        self._events.append(Greeted())
        self._interrupted = True  # what follows waits until it is decided how the connection goes on

    def _refuse_unless_greeted(self) -> None:
        if self.state == _GREETING:
            raise RemoteProtocolError("the server did not begin with INFO")


def _long_number(digits: bytes) -> int:
    """Return a sid of more digits than any usual one has: a client that lives long subscribes often."""
    return int(digits) if digits.isdigit() and len(digits) <= 18 else -1
