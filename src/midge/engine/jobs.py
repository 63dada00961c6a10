"""Jobs: work that takes more than one turn, such as reading many messages. Each is a generator, and has a slice of a turn at a time.

A generator yields None where its slice is over, or a list of sequences that it wants to have read: it is sent the messages, None for those
that are not there, or is thrown the error. One store is read at a time by each job, so what is in memory is bounded by what it asks for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING

from midge.store.base import ELSEWHERE, Store, Stored

if TYPE_CHECKING:
    from midge.engine.outside import Outside

__all__ = ["Job", "Jobs", "fetch", "finish", "prepared", "run_of"]

AHEAD = 64  # messages that are loaded at once
AHEAD_SIZE = 1 << 20  # or so many bytes
Found = list[Stored | None]
Job = Generator[list[int] | None, Found, None]


class Jobs:
    """The jobs of one engine.

    Attributes:
        active: how many there are that have not ended.
    """

    __slots__ = ("_outside", "_ready", "active")

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.active = 0
        self._ready: deque[tuple[Store, Job, Found | Exception | None]] = deque()

    def __len__(self) -> int:
        """How many could go on now."""
        return len(self._ready)

    def start(self, store: Store, job: Job) -> None:
        """Begin a job, with its first slice at once."""
        self.active += 1
        self._go_on(store, job, None)

    def add(self, store: Store, job: Job) -> None:
        """Begin a job when its turn comes."""
        self.active += 1
        self._ready.append((store, job, None))

    def run(self, count: int) -> None:
        """Let so many slices be done, of each job one at most."""
        for _ in range(min(count, len(self._ready))):
            self._go_on(*self._ready.popleft())

    def work(self, count: int) -> None:
        """Let so many slices be done, of the jobs in turn; of few jobs several."""
        while count and self._ready:
            count -= 1
            self._go_on(*self._ready.popleft())

    def _go_on(self, store: Store, job: Job, found: Found | Exception | None) -> None:
        try:
            if isinstance(found, Exception):
                wanted = job.throw(found)
            elif found is None:
                wanted = next(job)
            else:
                wanted = job.send(found)
        except StopIteration:
            self.active -= 1
            return
        except Exception as error:  # the safety net: the stream may be gone, and others have their turn yet
            self.active -= 1
            self._outside.failed("reading messages", error)
            return
        if wanted is None:
            self._ready.append((store, job, None))
        else:
            store.load(wanted, lambda loaded: self._ready.append((store, job, loaded)))


def run_of(store: Store, filters: tuple[bytes, ...], sequence: int, last: int) -> list[int]:
    """Return what is loaded at once, from a message on that matches: it and those that follow and match, up to a last one."""
    wanted, size = [sequence], store.size_of(sequence)
    while len(wanted) < AHEAD and size < AHEAD_SIZE:
        sequence = store.next(filters, sequence + 1)
        if not sequence or sequence > last:
            break
        wanted.append(sequence)
        size += store.size_of(sequence)
    return wanted


def fetch(store: Store, sequence: int) -> Generator[list[int] | None, Found, Stored | None]:
    """Get one message: at once where it is in memory. None where there is none."""
    found = store.peek(sequence)
    return (yield [sequence])[0] if found is ELSEWHERE else found


def prepared(store: Store, filters: tuple[bytes, ...], start: int = 0) -> Job:
    """Find out what filters match, a part in each slice: the first question asked of a million subjects would hold up everybody."""
    while not store.prepare(filters, start):
        yield None


def finish(store: Store, job: Job) -> None:
    """Do a whole job at once, however long that takes: for what is known to be short, and has to be done before anything else is.

    Raises:
        OSError: a message cannot be read.
    """
    for wanted in job:
        while wanted is not None:
            try:
                wanted = job.send([store.read(sequence) for sequence in wanted])
            except StopIteration:
                return
