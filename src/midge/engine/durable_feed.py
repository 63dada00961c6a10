"""Durable feed: how a stream follows another one of its account through a durable consumer of that, for a mirror or a source (ADR-60).

The consumer is somebody else's, or one that is made where none is named (``consumers.feeding``). It says what is taken, and in which
order. It is reset, the feed listens on its deliver subject, and what comes is handed on while the delivery sequences have no gap. Where
they have one, or what comes cannot be taken, nothing more is listened to and all of that begins anew: the consumer goes back to its
acknowledgement floor, and what is had already is passed over. The questions of its flow control are answered with what is stored when
that is safe, and this is what acknowledges: a crash leaves no message out.

Who resets it without an end (two that share a consumer) does so a few times a second. Where nothing was heard for a while, neither message
nor heartbeat, it is tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from midge.engine.config_sources import index_name
from midge.engine.consumers import feeding
from midge.engine.consumers.feeding import config_of, name_of
from midge.engine.errors import ApiError
from midge.engine.feed import FIRST_DELAY, LAST_DELAY, Taker
from midge.engine.headers import value_of
from midge.engine.selection import Selection
from midge.engine.timers import Timer
from midge.model.stream import StreamSource, StreamSourceInfo
from midge.store.base import Stored
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.stream import Stream

__all__ = ["DurableFeed"]

SILENCE = 10_000_000_000  # nanoseconds without a word after which it is tried again, as nats-server does
_CONTROL = b"NATS/1.0 100 "
_POSITION = b"NATS/1.0\r\nNats-Last-Consumer: %d\r\nNats-Last-Stream: %d\r\n\r\n"
_TOKENS = 9  # of a delivery's reply subject: $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<number>.<time>.<pending>


class _Delivery(NamedTuple):
    """What a delivery's reply subject says."""

    stream: bytes
    consumer: bytes
    deliveries: int
    sequence: int
    number: int
    time: int
    pending: int


class DurableFeed:
    """What one stream gets from another's consumer.

    Args:
        stream: the one that follows.
        source: whom, and by which consumer, unless that is to be made.
        taker: gets the messages.

    Attributes:
        was_even: the stream had everything once that the consumer had for it then.
    """

    __slots__ = (
        "_consumer_name", "_delay", "_error", "_heard", "_names", "_number", "_old_names", "_reached", "_round", "_selection",
        "_sequence", "_source", "_taker", "_timer", "_token", "stream", "was_even",
    )  # fmt: skip

    def __init__(self, stream: Stream, source: StreamSource, taker: Taker) -> None:
        self.stream = stream
        self.was_even = False
        self._source = source
        self._taker = taker
        self._consumer_name = _consumer_of(stream, source)
        self._names = tuple(each.encode("utf-8", "surrogateescape") for each in (source.name, self._consumer_name))
        self._old_names: set[str] = set()  # of consumers that go when this one's is there
        self._selection = Selection(source, stream.engine.choose)
        self._token: object | None = None  # while it listens
        self._round = 0  # counts how often it began anew: what belongs to an earlier round is nobody's any more
        self._sequence = 0  # the last of the origin that is had,
        self._number = self._reached = 0  # and the last delivery, with its sequence: which may be one that was had before
        self._error: ApiError | None = None
        self._heard = 0  # when the last word came
        self._delay = 0
        self._timer: Timer | None = None

    @property
    def is_misnamed(self) -> bool:
        """True if the consumer has another name by now: the stream has got another source of that name, or has lost it."""
        return self._consumer_name != _consumer_of(self.stream, self._source)

    def open(self) -> None:
        """Follow the consumer, now or as soon as it is there."""
        self.restart()

    def close(self) -> None:
        """Follow it no more."""
        self._forget()

    def leave(self) -> None:
        """Nobody will follow it again: delete the consumer if it was made. Next: ``close``."""
        self._remove(self._made_names())

    def replace(self, old: DurableFeed) -> None:
        """Take over from one, which is closed, whose consumer may have another name: then that is deleted, if it was made.

        Where the origin keeps what somebody is interested in not before this one's is there, or what is still to be taken would go with it.
        """
        names = old._made_names() - {self._consumer_name}
        origin = self._origin()
        if origin is not None and origin.config.retention == "interest":
            self._old_names = names
        else:
            self._remove(names)

    def connect(self, _: Stream) -> None:
        """The origin is there; its consumers may not be yet."""
        self._delay = 0
        self.restart()

    def restart(self) -> None:
        """Begin anew, when what is going on just now is over."""
        self._forget()
        self._try_at(self.stream.engine.wall)

    def describe(self, wall: int) -> StreamSourceInfo:
        """Return how far it has come."""
        source, consumer = self._source, self._consumer() if self._token is not None else None
        return StreamSourceInfo(
            name=source.name,
            lag=0 if consumer is None else consumer.delivery.count(),
            active=max(wall - self._heard, 0) if self._heard else -1,
            error=None if self._error is None else self._error.body(),
            filter_subject=source.filter_subject,
            subject_transforms=source.subject_transforms,
        )

    # Beginning

    def _forget(self) -> None:
        """Nothing that is under way goes on."""
        self._round += 1
        engine = self.stream.engine
        engine.timers.cancel(self._timer)
        self._timer = None
        if self._token is not None:
            engine.outside.unsubscribe(self._token)
            self._token = None

    def _try_at(self, when: int) -> None:
        self.stream.engine.timers.cancel(self._timer)
        self._timer = self.stream.engine.timers.add(when, self._try)

    def _try_later(self, error: ApiError | None) -> None:
        """Come back after a while."""
        self._forget()
        self._error = error
        self._delay = min(max(2 * self._delay, FIRST_DELAY), LAST_DELAY)
        self._try_at(self.stream.engine.wall + self._delay)

    def _try(self, wall: int) -> None:
        """Reset the consumer and listen, unless it is not there; or go on, where it is heard of."""
        self._timer = None
        if self._token is not None:
            if wall < self._heard + SILENCE:
                self._try_at(self._heard + SILENCE)
                return
            self._forget()
        origin, consumer, wanted = self._origin(), self._consumer(), self._source.consumer
        if wanted is None and origin is not None:
            self._make(origin, consumer)
        elif origin is None or consumer is None or wanted is None:
            self._try_later(ApiError(10059) if wanted is None else None)
        else:
            self._begin(origin, consumer, wanted.deliver_subject)

    def _make(self, origin: Stream, old: Consumer | None) -> None:
        """Have the consumer made, or configured as is wanted now, and begin when it is."""
        round = self._round

        def made(consumer: Consumer, error: OSError | None) -> None:
            if round != self._round:
                return
            if error is not None:
                self._try_later(ApiError(10051, err=error))
                return
            self._remove(self._old_names)
            self._old_names = set()
            self._begin(origin, consumer, consumer.config.deliver_subject)

        try:
            start, before = self._taker.begin(origin), None if old is None else old.config
            feeding.make(origin, config_of(self.stream, self._source, self._consumer_name, start, before), made)
        except ApiError as error:
            self._try_later(error)
        except OSError as error:
            self._try_later(ApiError(10077, err=error))

    def _begin(self, origin: Stream, consumer: Consumer, subject: str) -> None:
        """Reset the consumer, and listen."""
        if consumer.config.ack_policy != "flow_control":
            self._try_later(ApiError(10214 if self.stream.config.mirror is not None else 10217))
            return
        engine = self.stream.engine
        self._error = None
        consumer.reset(consumer.ledger.stream_floor + 1, engine.wall)
        self._number = 0
        self._reached = consumer.ledger.last
        try:
            self._sequence = self._taker.resume(origin, self._reached)
        except OSError as error:
            self._try_later(ApiError(10077, err=error))
            return
        self.was_even = self.was_even or not consumer.delivery.count()
        self._heard = engine.wall
        self._token = engine.outside.attend(self.stream.account.name, subject.encode("utf-8", "surrogateescape"), self._receive)
        self._try_at(engine.wall + SILENCE)

    def _origin(self) -> Stream | None:
        return self.stream.account.streams.get(self._source.name)

    def _made_names(self) -> set[str]:
        """Return the names of the consumers that are there for this alone."""
        return {self._consumer_name} | self._old_names if self._source.consumer is None else set()

    def _remove(self, names: set[str]) -> None:
        """Delete those of the origin's consumers that were made for this."""
        origin = self._origin()
        for consumer in [] if origin is None else [origin.consumers.get(name) for name in names]:
            if consumer is not None and consumer.config.sourcing:
                feeding.remove(consumer)

    def _consumer(self) -> Consumer | None:
        origin = self._origin()
        return None if origin is None else origin.consumers.get(self._consumer_name)

    # What is delivered

    def _receive(self, publication: Publication, wall: int) -> bool:
        """Take what comes on the deliver subject."""
        if self._token is None:
            return False
        header = publication.header() if publication.header_size > 0 else b""
        payload, reply = publication.payload(), publication.reply()
        delivery = _parsed(reply)
        if delivery is None and not payload and header.startswith(_CONTROL):
            self._heard = wall
            self._answer(header, reply)
        if delivery is None or delivery.deliveries > 1 or (delivery.stream, delivery.consumer) != self._names:
            return True  # others may deliver to the same subject, or be asked to
        self._heard = wall
        if delivery.number != self._number + 1:
            self._try_later(None)
        elif delivery.sequence <= self._sequence or self._took(
            Stored(delivery.sequence, delivery.time, publication.subject(), header, payload)
        ):
            self._number, self._reached = delivery.number, delivery.sequence
            self._sequence = max(self._sequence, delivery.sequence)
            self.was_even = self.was_even or not delivery.pending
        return True

    def _took(self, message: Stored) -> bool:
        """Hand over a message. False where it was refused, or all begins anew."""
        round = self._round
        try:
            self._taker.take(message, self._selection.renamed(message.subject))
        except Exception as error:  # a refusal, the store's, or a subject that a transform has made too long: told, and tried again
            refusal = error if isinstance(error, ApiError) else ApiError(10077, err=error)
            self._try_later(refusal)
            what = f"taking messages of stream {self._source.name} into stream {self.stream.name}"
            self.stream.engine.outside.failed(what, refusal)
            return False
        self._delay = 0
        self.stream.changed()
        self.stream.intake.see_to_settling()
        return round == self._round

    def _answer(self, header: bytes, reply: bytes) -> None:
        """See to a question of flow control, or to a heartbeat, which may repeat a question."""
        number = value_of(header, b"Nats-Last-Consumer")
        if not reply and number.isdigit() and int(number[:20]) != self._number:
            self._try_later(None)  # something was lost on the way
            return
        question = reply or value_of(header, b"Nats-Consumer-Stalled")
        if question:
            account, outside = self.stream.account.name, self.stream.engine.outside
            position, round = _POSITION % (self._number, self._reached), self._round

            def tell(error: Exception | None) -> None:
                if error is None and round == self._round:
                    outside.emit(account, question, b"", position, b"")

            self.stream.store.settle(tell)


def _consumer_of(stream: Stream, source: StreamSource) -> str:
    return source.consumer.name if source.consumer is not None else name_of(stream, source, index_name(source))


def _parsed(reply: bytes) -> _Delivery | None:
    """Return what a reply subject says, None where it is not a delivery's."""
    tokens = reply.split(b".")
    if len(tokens) != _TOKENS or tokens[:2] != [b"$JS", b"ACK"] or not all(each.isdigit() and len(each) <= 20 for each in tokens[4:]):
        return None
    return _Delivery(tokens[2], tokens[3], *map(int, tokens[4:]))
