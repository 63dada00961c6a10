"""Opening: the consumers of a stream are there again as they were kept, and agree with what the stream has; also when it goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.consumers.consumer import Consumer
from midge.engine.consumers.dump import load
from midge.engine.consumers.lasts import SLICE
from midge.engine.consumers.ledger import Ledger
from midge.engine.consumers.roster import enter
from midge.engine.consumers.seeking import forget, seek
from midge.engine.consumers.start import left, start_of
from midge.engine.consumers.state import state_of
from midge.model.base import decode
from midge.model.consumer import ConsumerConfig
from midge.store.base import Store
from midge.store.state import ConsumerRow

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["admit", "go_back", "open_consumers"]


def open_consumers(stream: Stream, rows: list[ConsumerRow], wall: int) -> None:
    """Have the consumers again that are kept. One that cannot be opened does not keep others from it; but then no message goes."""
    admit(stream, rows, wall)
    if stream.retention is not None:
        stream.retention.opened()


def admit(stream: Stream, rows: list[ConsumerRow], wall: int) -> None:
    """Let a stream have consumers as they were kept."""
    for row in rows:
        try:
            consumer = Consumer(stream, decode(ConsumerConfig, row.config), row.created, row.name)
            load(consumer.ledger, row.state, wall)
            _agree(consumer.ledger, stream.store)
        except Exception as error:
            stream.unopened.add(row.name)
            if stream.retention is not None:
                stream.retention.is_held = True
            what = f"opening consumer {row.name} of stream {stream.name} of account {stream.account.name}"
            stream.engine.outside.failed(what, error)
            continue
        if consumer.ledger.resume and stream.store.subjects > SLICE and stream.retention is None:
            seek(consumer)
        elif consumer.ledger.resume:  # few, or the stream has to know at once what it need not keep
            consumer.delivery.skip(left(stream.store, consumer.filters, consumer.ledger))
        consumer.state = state_of(consumer, row.id)
        enter(consumer)
        consumer.open(wall)


def go_back(consumer: Consumer) -> None:
    """What the stream had not committed is gone: pass by nothing that comes in its place.

    A consumer has delivered none of it, but may have begun behind it, or gone on there because of a purge that is undone, too. Where the
    last messages of subjects come first, and some of them are gone, those that are the last ones now do.
    """
    ledger, delivery, store = consumer.ledger, consumer.delivery, consumer.stream.store
    end = max(store.last + 1, consumer.config.opt_start_seq)  # it may begin with what is still to come
    delivery.doubt()
    if ledger.next <= end and ledger.resume <= store.last:
        return
    ledger.next = min(ledger.next, end)
    ledger.last, ledger.resume = min(ledger.last, end - 1), min(ledger.resume, store.last)
    ledger.stream_floor = min(ledger.stream_floor, end - 1)
    ledger.told_stream_floor = min(ledger.told_stream_floor, end - 1)
    if delivery.skips is not None:
        forget(consumer)
        if not ledger.delivered:
            start = start_of(store, consumer.config, consumer.filters, keeps_one=False)
            ledger.next, ledger.resume = start.next, start.resume
        delivery.skip(left(store, consumer.filters, ledger))
    delivery.touch()
    consumer.wake()


def _agree(ledger: Ledger, store: Store) -> None:
    """Let what was delivered agree with what the stream has: messages may have gone without it, and where a disk lost what it had
    promised, there may be fewer than were delivered.
    """
    if ledger.next > store.last + 1:
        ledger.next = store.last + 1
        ledger.last = min(ledger.last, store.last)
        ledger.stream_floor = min(ledger.stream_floor, store.last)
    ledger.resume = min(ledger.resume, store.last)
    for sequence in [*ledger.sequences(), *ledger.exceeded]:
        if not store.time_of(sequence):
            ledger.ack(sequence)
