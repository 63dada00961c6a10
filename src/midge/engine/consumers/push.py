"""Push: a consumer that sends what it has to its deliver subject, while somebody listens there.

What may hold it back: nobody is interested, the window of flow control is full, a rate limit, the gaps of a replay. Heartbeats are sent
while somebody listens and nothing else is, whatever the reason: they say how far it has come, and what has to be answered before it goes
on. All of it goes the way of the messages and in one order with them: a heartbeat counts what came before it, and nothing else.

Whether somebody listens is told by a watch, in the middle of other things; it is only noted then, and seen to at the end of the turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.engine.consumers.pace import Bucket, moved
from midge.engine.consumers.window import Window
from midge.engine.headers import value_of
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.outside import Eye
    from midge.model.consumer import ConsumerConfig

__all__ = ["FLOW_CONTROL", "Push"]

FLOW_CONTROL = b"$JS.FC."
_HEARTBEAT = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\nNats-Last-Stream: %d\r\n"
_QUESTION = b"NATS/1.0 100 FlowControl Request\r\n\r\n"
_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DICE = 4  # digits of a question
_ANY = 1 << 40  # messages or bytes: as many as there are
_RETRY = 1_000_000_000  # nanoseconds until it is tried again where somebody listens whom nothing reaches


class Push:
    """Where a push consumer's messages go; see ``target.Target`` for what is asked of it.

    Attributes:
        waiting: 0; who listens is not counted.
    """

    __slots__ = (
        "_beaten", "_bucket", "_consumer", "_delivery", "_eye", "_heartbeat", "_held", "_interested", "_key", "_outside", "_route",
        "_window",
    )  # fmt: skip

    waiting = 0

    def __init__(self, consumer: Consumer, config: ConsumerConfig, wall: int) -> None:
        self._consumer = consumer
        self._delivery = consumer.delivery
        self._outside = consumer.engine.outside
        self._heartbeat = config.idle_heartbeat
        self._window = Window() if config.flow_control else None
        self._bucket: Bucket | None = None
        self._held = 0  # until when nothing leaves, 0 for now
        self._beaten = wall  # the last heartbeat, or what counts as one
        self._interested = False
        self._eye: Eye | None = None
        self._key: tuple[bytes, bytes | None] = (b"", None)
        self._route: Any = None
        self._limit(config, wall)
        self._listen(config)

    @property
    def bound(self) -> bool:
        """True if somebody listens."""
        return self._eye is not None and self._eye.interested

    # What the consumer and its delivery ask

    def work(self, wall: int) -> None:
        """See whether somebody listens, and whether something may leave."""
        bound = self.bound
        if bound != self._interested:
            self._interested = bound
            self._held = 0
            self._beaten = wall
            self._consumer.bound(bound, wall)
        if self._held and self._held <= wall:
            self._held = 0
        self._delivery.wanted = bound and not self._held and (self._window is None or not self._window.is_full)

    def choose(self, size: int) -> Any:
        """Return the route to the deliver subject; None where a message of so many bytes may not leave yet."""
        if self._bucket is not None:
            wall = self._delivery.wall
            due = self._bucket.due(size, wall)
            if due > wall:
                self.hold(due)
                return None
        return self._route

    def hold(self, until: int) -> None:
        """Nothing leaves before that time."""
        self._held = until
        self._delivery.wanted = False

    def served(self, size: int) -> None:
        """A message has left: ask the receiver to say how far it has come, where that is due."""
        if self._bucket is not None:
            self._bucket.took(size, self._delivery.wall)
        delivery, window = self._delivery, self._window
        if window is None:
            if self._bucket is None:
                delivery.granted = delivery.room = _ANY
            return
        if window.add(size) or (not window.question and self._is_waiting_for_answer()):
            self._ask(window)
        if window.is_full:
            delivery.wanted = False
        elif self._bucket is None and self._consumer.config.ack_policy != "flow_control":
            delivery.granted, delivery.room = _ANY, window.room()

    def followed(self, messages: int, size: int) -> None:
        """More has left, within the window."""
        if self._window is not None:
            self._window.sent += size

    def crowded(self, wall: int) -> bool:
        """There is nobody else."""
        return False

    def lost(self) -> None:
        """Nothing reaches those who listen: try again later, unless they are gone by then."""
        self.hold(self._delivery.wall + _RETRY)

    def decorated(self, publication: Publication) -> Publication:
        """Nothing is added to what is pushed."""
        return publication

    def rested(self, wall: int, stalled: bool) -> None:
        """There is nothing to be told to anybody who waits."""

    def next_deadline(self) -> int:
        """Return when the next heartbeat is due, or when something may leave again; 0 for never."""
        if not self._interested:
            return 0
        beat = max(self._beaten, self._delivery.sent) + self._heartbeat if self._heartbeat else 0
        return min(beat, self._held) if beat and self._held else beat or self._held

    def handle_timeout(self, wall: int) -> None:
        """Send a heartbeat where one is due; what was held back is seen to by ``work``."""
        if self._heartbeat and self._interested and max(self._beaten, self._delivery.sent) + self._heartbeat <= wall:
            self._beaten = wall
            self._beat()

    def set_clock(self, by: int) -> None:
        self._held, self._beaten = moved(self._held, by), moved(self._beaten, by)
        if self._bucket is not None:
            self._bucket.set_clock(by)

    def update(self, config: ConsumerConfig, wall: int) -> None:
        """Go on with another configuration: elsewhere, where it says so, with everything that is not acknowledged."""
        if config.rate_limit_bps != self._consumer.config.rate_limit_bps:
            self._limit(config, wall)
        if self._key != _key(config):
            if self._key[0] != config.deliver_subject.encode():
                for sequence in self._delivery.ledger.expire_all(wall):
                    self._consumer.exceeded(sequence, config.max_deliver)
            self._listen(config)
        self._consumer.wake()

    def stop(self, status: bytes) -> None:
        """Listen no more. Nobody is told, as with nats-server."""
        self._delivery.wanted = False
        if self._eye is not None:
            self._outside.unwatch(self._eye)
            self._eye = None

    # Flow control

    def answered(self, publication: Publication) -> bool:
        """Somebody has published to a subject of this consumer's flow control. False where it has none."""
        if self._window is None:
            return False
        if not self._window.answer(publication.subject()):
            return True
        self._consumer.wake()
        if self._consumer.config.ack_policy == "flow_control" and publication.header_size > 0:
            header = publication.header()
            sequence = _number(value_of(header, b"Nats-Last-Stream"))
            if sequence > 0:
                self._delivery.heard = self._consumer.engine.wall
                self._delivery.ack(sequence, max(_number(value_of(header, b"Nats-Last-Consumer")), 0))
        return True

    def _is_waiting_for_answer(self) -> bool:
        """True if answers are what acknowledges, and nothing more may leave without."""
        delivery = self._delivery
        return self._consumer.config.ack_policy == "flow_control" and 0 < delivery.max_pending <= delivery.ledger.pending

    def _ask(self, window: Window) -> None:
        choose = self._consumer.engine.choose
        dice = bytes(_DIGITS[choose(len(_DIGITS))] for _ in range(_DICE))
        window.ask(b"%b%b.%b.%b" % (FLOW_CONTROL, self._consumer.stream.raw_name, self._consumer.raw_name, dice))
        self._send(window.question, _QUESTION)

    # Inside

    def _beat(self) -> None:
        ledger, window = self._delivery.ledger, self._window
        header = _HEARTBEAT % (ledger.delivered, ledger.next - 1)
        if window is not None and window.question:
            header += b"Nats-Consumer-Stalled: %b\r\n" % window.question
        self._send(b"", header + b"\r\n")
        if window is not None and not window.question and ledger.pending and self._consumer.config.ack_policy == "flow_control":
            self._ask(window)

    def _send(self, reply: bytes, header: bytes) -> None:
        self._outside.deliver(self._route, Publication.compose(self._key[0], reply, header, b""))

    def _limit(self, config: ConsumerConfig, wall: int) -> None:
        """Let the configuration say how fast messages may leave; a burst is the largest message that there may be."""
        stream = self._consumer.stream
        burst = stream.config.max_msg_size if stream.config.max_msg_size > 0 else self._consumer.engine.max_payload
        self._bucket = Bucket(config.rate_limit_bps, burst, wall) if config.rate_limit_bps else None

    def _listen(self, config: ConsumerConfig) -> None:
        """Watch the deliver subject."""
        if self._eye is not None:
            self._outside.unwatch(self._eye)
        account = self._consumer.stream.account.name
        self._key = subject, queue = _key(config)
        self._route = self._outside.route(account, subject)
        self._eye = self._outside.watch(account, subject, queue, lambda _: self._consumer.wake())


def _key(config: ConsumerConfig) -> tuple[bytes, bytes | None]:
    return config.deliver_subject.encode(), config.deliver_group.encode() or None


def _number(text: bytes) -> int:
    """Return a number, -1 where it is none."""
    return int(text) if 0 < len(text) <= 18 and text.isdigit() else -1
