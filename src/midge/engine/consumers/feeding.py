"""Feeding: the durable consumer that a stream makes of an origin whose messages go when they are acknowledged (ADR-60).

It has the name and the configuration that nats-server's streams ask for, so that one server finds the other's; who looks at the origin's
consumers sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from midge.engine.consumers import roster
from midge.engine.consumers.api import decide
from midge.engine.consumers.pull import DELETED
from midge.engine.identity import short_name
from midge.model.consumer import ConsumerConfig
from midge.model.stream import StreamSource

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.stream import Stream

__all__ = ["config_of", "make", "name_of", "remove"]

_SECOND: Final = 1_000_000_000
_ACK_WAIT, _INACTIVE = 22 * 3_600 * _SECOND, 10 * _SECOND

Made = Callable[["Consumer", "OSError | None"], None]


def name_of(stream: Stream, source: StreamSource, index_name: str) -> str:
    """Return the name of the consumer by which a stream follows another.

    Args:
        index_name: what tells the source from others, where the stream has several of one name.
    """
    engine = stream.engine
    id = short_name(" ".join([stream.name, stream.account.name] + ([engine.domain] if engine.domain else [])))
    if stream.config.mirror is not None:
        return f"JS_MIRROR_{id}"
    is_one_of_several = sum(each.name == source.name for each in stream.config.sources) > 1
    return f"JS_SRC_{short_name(f'{id} {index_name}' if is_one_of_several else id)}"


def config_of(stream: Stream, source: StreamSource, name: str, start: int, old: ConsumerConfig | None) -> ConsumerConfig:
    """Return how a stream asks for its consumer.

    Args:
        start: the first sequence of the origin that is wanted.
        old: of the one that is there; where it delivers may stay.
    """
    is_mirror = stream.config.mirror is not None
    engine = stream.engine
    origin = "mirror" if is_mirror else "src"
    metadata = {f"_nats.{origin}.stream": stream.name, f"_nats.{origin}.acc": stream.account.name}
    if engine.domain:
        metadata[f"_nats.{origin}.domain"] = engine.domain
    subjects = [each.src for each in source.subject_transforms] or ([source.filter_subject] if source.filter_subject else [])
    is_single = not source.subject_transforms or (is_mirror and len(subjects) == 1)
    return ConsumerConfig(
        name=name,
        deliver_subject=old.deliver_subject if old is not None else f"$JS.{'M' if is_mirror else 'S'}.{short_name(engine.nuid())}",
        deliver_policy="by_start_sequence" if start > 1 else "all",
        opt_start_seq=start if start > 1 else 0,
        ack_wait=_ACK_WAIT,
        max_deliver=1,
        idle_heartbeat=_SECOND,
        flow_control=True,
        direct=True,
        sourcing=True,
        inactive_threshold=_INACTIVE,
        metadata=metadata,
        filter_subject=subjects[0] if subjects and is_single else "",
        filter_subjects=[] if is_single else subjects,
    )


def make(origin: Stream, config: ConsumerConfig, made: Made) -> None:
    """Make a consumer, or let the one of that name be configured so; it is told, with the reason where it could not be, when that is safe.

    Raises:
        ApiError: it may not be.
    """
    wall = origin.engine.wall
    decision = decide(origin, config, "", pedantic=False)
    if decision.is_new:
        consumer = roster.add(origin, decision.config, decision.name, wall)
        roster.keep(consumer, lambda error: made(consumer, error))
    else:
        consumer = origin.consumers[decision.name]
        roster.change(consumer, decision.config, wall, lambda error: made(consumer, error))


def remove(consumer: Consumer) -> None:
    """Delete one that was made."""
    roster.remove(consumer, DELETED)
