"""Store: the messages of one stream, numbered from 1, kept in memory or in files. What each verb promises, whoever keeps it.

Changes take effect at once, for who asks the same store, and become as safe as the store promises later, all that waits together:
``settle`` tells when. Nobody outside may be told of a change before, and no message be shown that is not ``committed``: a crash could
undo it. Where a round of changes cannot be written, all of it is undone and ``settle``'s callbacks get the error.

One thread uses a store. Nothing here waits for a disk but ``read``, ``scan`` and ``close``: ``peek`` answers from memory, and
``load`` reads in a thread and calls back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.store.sight import Sight

__all__ = ["ELSEWHERE", "Elsewhere", "Store", "Stored", "Total"]


class Stored(NamedTuple):
    """A message as it was stored: sequence, nanoseconds since the epoch, and the bytes; ``header`` is empty where it has none."""

    sequence: int
    time: int
    subject: bytes
    header: bytes
    payload: bytes


class Total(NamedTuple):
    """What there is of one subject: how many messages, and the first and last sequence of them."""

    messages: int
    first: int
    last: int


class Elsewhere(Enum):
    """The one value of ``ELSEWHERE``."""

    ELSEWHERE = "the message is not in memory: load it"


ELSEWHERE: Final = Elsewhere.ELSEWHERE


class Store(ABC):
    """The messages of one stream.

    Attributes:
        messages: how many there are.
        size: what they count for in limits; see ``size_of``.
        first: the sequence of the first message; that of the next one, where there is none but there have been some; 0 in the beginning.
        last: the highest sequence that was ever used.
        first_time, last_time: nanoseconds since the epoch; ``first_time`` is 0 where there is no message, ``last_time`` stays.
        committed: the highest sequence that may be shown.
        subjects: how many different subjects the messages have.
        failure: why nothing can be stored at present, None as long as it can.
        is_pending: something has changed, and is not as safe yet as promised.
        sight: shows messages where they are.
    """

    messages: int
    size: int
    first: int
    last: int
    first_time: int
    last_time: int
    committed: int
    subjects: int
    failure: Exception | None
    is_pending: bool
    sight: Sight

    # Changes

    @abstractmethod
    def append(self, publication: Publication, time: int) -> int:
        """Store a message and return its sequence, ``last + 1``.

        Args:
            publication: subject, header and payload; copied.
            time: nanoseconds since the epoch; a store never goes back: an earlier one becomes ``last_time``.

        Raises:
            OSError: ``failure``; nothing was stored.
        """

    @abstractmethod
    def append_all(self, publications: list[Publication], time: int) -> int:
        """Store messages of which either all or none will be there after a crash, and return the sequence of the last one.

        Raises:
            ValueError: there are none.
            OSError: as ``append``; nothing was stored.
        """

    @abstractmethod
    def skip(self, sequence: int, time: int) -> None:
        """Use up all sequences up to this one without a message, as a gap; nothing where they are used."""

    @abstractmethod
    def remove(self, sequence: int) -> bool:
        """Remove a message. False where there is none of that sequence."""

    @abstractmethod
    def erase(self, sequence: int) -> bool:
        """Remove a message and overwrite what was kept of it. False where there is none."""

    @abstractmethod
    def drop(self, below: int) -> int:
        """Remove all messages before a sequence, which may be past the last one; return how many. The way of limits: whole segments go."""

    @abstractmethod
    def purge(self, filter: bytes | None = None, below: int = 0, keep: int = 0) -> int:
        """Remove messages, of those whose subject matches the filter, and return how many.

        Args:
            filter: a subject, which may have wildcards; None for all.
            below: only those before this sequence; 0 for any.
            keep: but not the last ones, so many.
        """

    @abstractmethod
    def settle(self, call: Callable[[Exception | None], None]) -> None:
        """Call back when all changes so far are as safe as promised, with None, or with why they were undone. Never within this call."""

    # What there is

    @abstractmethod
    def peek(self, sequence: int) -> Stored | Elsewhere | None:
        """Return a message, None where there is none, or ELSEWHERE where finding out would wait for a disk."""

    @abstractmethod
    def compose(self, sequence: int, head: bytes, count: int, delivery: int, left: int) -> Publication | Elsewhere | None:
        """Return a message as a consumer delivers it, None where there is none, or ELSEWHERE where finding out would wait for a disk.

        Its reply subject is head, and with dots between count, sequence, delivery, the time of the message, left.
        """

    @abstractmethod
    def load(self, sequences: list[int], call: Callable[[list[Stored | None] | Exception], None]) -> None:
        """Read messages away from this thread and call back in it: None for what is not there, or an error in place of all."""

    @abstractmethod
    def read(self, sequence: int) -> Stored | None:
        """Return a message, however long that takes."""

    @abstractmethod
    def scan(self, start: int = 1) -> Iterator[Stored]:
        """Return all messages from a sequence on, in order, read in runs."""

    @abstractmethod
    def subject_of(self, sequence: int) -> bytes | None:
        """Return the subject of a message, None where there is none; never reads a file."""

    @abstractmethod
    def time_of(self, sequence: int) -> int:
        """Return when a message was stored, 0 where there is none; never reads a file."""

    @abstractmethod
    def size_of(self, sequence: int) -> int:
        """Return what a message counts for in ``size``, 0 where there is none (nats-server's: see ``weight`` of each kind)."""

    @abstractmethod
    def weight(self, subject: int, header: int, payload: int) -> int:
        """Return what a message with parts of so many bytes counts for."""

    @abstractmethod
    def at_time(self, time: int) -> int:
        """Return the sequence of the first message that was stored at this time or later; ``last + 1`` where there is none."""

    @abstractmethod
    def next(self, filters: tuple[bytes, ...], start: int) -> int:
        """Return the sequence of the first message at or after start whose subject matches one of the filters, 0 where there is none.

        No filter is every subject. No payload is read, and no message is looked at that the index knows not to match.
        """

    @abstractmethod
    def previous(self, filters: tuple[bytes, ...], start: int) -> int:
        """Return the sequence of the last such message at or before start, 0 where there is none."""

    @abstractmethod
    def total(self, subject: bytes) -> Total | None:
        """Return what there is of one literal subject."""

    @abstractmethod
    def totals(self, filter: bytes, place: int, count: int) -> tuple[list[tuple[bytes, int]], int]:
        """Return some of the subjects that match, in no order, each with how many messages it has, and the place to go on with.

        The store may change in between: a subject that is there all the time is returned once, another one perhaps.

        Args:
            place: 0 in the beginning, and then what was returned, until that is -1.
            count: subjects at most.
        """

    @abstractmethod
    def prepare(self, filters: tuple[bytes, ...], start: int = 0) -> bool:
        """Do some of the work that the first question with these filters takes where there are many subjects. True where it is done.

        Who may take several turns calls this in each until it is done, and then asks; nobody has to.

        Args:
            start: the lowest sequence that will be asked from.
        """

    @abstractmethod
    def pending(self, filters: tuple[bytes, ...], start: int, *, last_per_subject: bool = False) -> int:
        """Return how many messages at or after start match; of each subject only the last one, where that is asked for."""

    @abstractmethod
    def lasts(self, filters: tuple[bytes, ...], up_to: int = 0) -> list[int]:
        """Return the sequence of the last message of every matching subject, sorted; of those at or before ``up_to``, unless 0."""

    @abstractmethod
    def some_lasts(self, filters: tuple[bytes, ...], place: int, count: int, up_to: int) -> tuple[list[int], int]:
        """Return of some of the subjects that match the last sequence at or before ``up_to``, in no order, and the place to go on with.

        The store may change in between. A subject that has none so early is left out.

        Args:
            place: 0 in the beginning, and then what was returned, until that is -1.
            count: subjects that are looked at, at most.
        """

    @abstractmethod
    def gaps(self, start: int = 1) -> Iterable[tuple[int, int]]:
        """Return the ranges (first, last) of sequences between ``first`` and ``last`` that have no message, from start on."""

    @property
    @abstractmethod
    def deleted(self) -> int:
        """How many sequences between ``first`` and ``last`` have no message."""

    # The end

    @abstractmethod
    def close(self) -> None:
        """Settle what waits and let go of all files. Nothing else may be asked then."""

    @abstractmethod
    def delete(self, told: Callable[[], None]) -> None:
        """Let go of it, and remove it for good: nothing is there from now on.

        Args:
            told: when it cannot come back and what is under way is over; within this call where nothing has to be waited for.
        """
