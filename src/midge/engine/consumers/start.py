"""Start: where in the stream a consumer begins (nats-server's ``selectStartingSeqNo``). No message is read, and none is walked past."""

from __future__ import annotations

from typing import NamedTuple

from midge.engine.consumers.ledger import Ledger
from midge.model.base import time_of
from midge.model.consumer import ConsumerConfig
from midge.store.base import Store

__all__ = ["LAST_START", "Start", "begins_with_lasts", "filters_of", "left", "looks_from", "start_of", "start_with"]

LAST_START = 1 << 62  # where a consumer begins that is asked to begin behind it: no stream gets there


class Start(NamedTuple):
    """Where to begin.

    Attributes:
        next: the first sequence to look at.
        skips: the sequences to deliver before, the last first; None where all is delivered from ``next`` on.
        resume: the sequence behind which it goes on then.
    """

    next: int
    skips: list[int] | None = None
    resume: int = 0


def filters_of(config: ConsumerConfig) -> tuple[bytes, ...]:
    """Return the filters of a configuration, none for all subjects."""
    subjects = config.filter_subjects or ([config.filter_subject] if config.filter_subject else [])
    return () if ">" in subjects else tuple(subject.encode("utf-8", "surrogateescape") for subject in subjects)


def looks_from(store: Store, config: ConsumerConfig) -> int:
    """Return the lowest sequence that is looked at for a consumer that begins."""
    if config.opt_start_seq:
        return min(config.opt_start_seq, LAST_START)
    return store.last + 1 if config.deliver_policy == "new" else 1


def begins_with_lasts(config: ConsumerConfig, *, keeps_one: bool) -> bool:
    """True if a consumer begins with the last message of each subject.

    Args:
        keeps_one: the stream has one message of each subject at most: then that is what all are.
    """
    return config.deliver_policy == "last_per_subject" and not keeps_one and not config.opt_start_seq


def start_of(store: Store, config: ConsumerConfig, filters: tuple[bytes, ...], *, keeps_one: bool) -> Start:
    """Return where a consumer begins.

    Args:
        filters: its filters, empty for all subjects.
        keeps_one: see ``begins_with_lasts``.
    """
    if begins_with_lasts(config, keeps_one=keeps_one):
        return start_with(store, config, store.lasts(filters)[::-1], store.last)
    return Start(_clamped(store, config, _wanted(store, config, filters)))


def start_with(store: Store, config: ConsumerConfig, lasts: list[int], up_to: int) -> Start:
    """Return where a consumer begins that begins with the last message of each subject.

    Args:
        lasts: of those up to a sequence, the last one first.
    """
    return Start(_clamped(store, config, lasts[-1] if lasts else up_to), lasts or None, up_to)


def left(store: Store, filters: tuple[bytes, ...], ledger: Ledger) -> list[int]:
    """Return what a consumer has still to deliver of the last messages of subjects, as they were when it began, the last first."""
    return [sequence for sequence in reversed(store.lasts(filters, ledger.resume)) if sequence >= ledger.next]


def _wanted(store: Store, config: ConsumerConfig, filters: tuple[bytes, ...]) -> int:
    if config.opt_start_seq:
        return min(config.opt_start_seq, LAST_START)
    match config.deliver_policy:
        case "all" | "last_per_subject":
            return store.first
        case "last":
            return store.previous(filters, store.last) if filters else store.last
        case "by_start_time" if config.opt_start_time is not None:
            return _at_time(store, store.at_time(time_of(config.opt_start_time)), filters)
        case _:
            return store.last + 1


def _at_time(store: Store, sequence: int, filters: tuple[bytes, ...]) -> int:
    """Return a sequence, or the first that matches where none before it does."""
    nearest = min((found for each in filters if (found := store.next((each,), store.first)) >= sequence), default=0)
    return nearest if sequence < nearest < store.last else sequence


def _clamped(store: Store, config: ConsumerConfig, sequence: int) -> int:
    if store.first == 0 and not config.opt_start_seq:
        return 1
    if sequence > store.last and not config.opt_start_seq:
        return store.last + 1
    return max(sequence, store.first)
