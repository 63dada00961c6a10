"""Group commit: all that waits is one round, written and synced by a worker thread; then those who wait are told.

``Workers`` is the only place of the store with threads. A call runs in one of them; what it returned or raised is taken by the one
thread that everything else belongs to, in ``finish``. With no threads, calls run at once in ``submit``: then a test decides what happens
when. A round touches nothing but the files: the blocks that it writes are not changed by anybody while it runs, but behind what it writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from midge.store.files import Files
from midge.store.folder import Folder
from midge.store.record import ERASED, GOOD, HEAD, SHORT, Record, encode, length
from midge.store.segment import Segment

if TYPE_CHECKING:
    from midge.store.home import Home

__all__ = ["Erasure", "Gate", "Part", "Round", "Workers", "carry_out", "erase_record", "outcome", "tell_all"]

T = TypeVar("T")
_LIGHT = 16 << 10  # bytes that are written without a worker, where nothing is synced or the disk is quick


class Part(NamedTuple):
    """Bytes of a block that go to a segment: ``buf[start:stop]`` to ``offset`` of its file."""

    segment: Segment
    offset: int
    buf: bytearray
    start: int
    stop: int


class Erasure:
    """A message that is to be overwritten where it stands: its segment, the place in it, its sequence.

    Attributes:
        found: the bytes of subject, header and payload, and its time, since somebody has looked; None where it is not there. A write that
            failed may have left anything, and is made again as a whole.
    """

    __slots__ = ("_found", "_has_looked", "place", "segment", "sequence")

    def __init__(self, segment: Segment, place: int, sequence: int) -> None:
        self.segment = segment
        self.place = place
        self.sequence = sequence
        self._has_looked = False
        self._found: tuple[int, int] | None = None

    def run(self) -> None:
        """Put a record of zeros there. In a worker, which syncs."""
        files, fd, seed = self.segment.files, self.segment.opened(), self.segment.head.seed
        if not self._has_looked:
            self._found = _measure(files, fd, self.place, seed, self.sequence)
            self._has_looked = True
        if self._found is not None:
            _blank(files, fd, self.place, seed, self.sequence, *self._found)


class Round:
    """What one sync serves.

    Args:
        folder: of the segments.
        parts: what is written, in the order of the log.
        unsynced: segments that were written by earlier rounds and not synced.
        erasures: what is overwritten, after what is written has been synced.
        sync: wait for the disk.
        last: the last sequence when the round was begun.
        floor: all messages below it are dropped, which the round says where none before has.
        waiting: who is told.

    Attributes:
        is_logged: what was to be written is as safe as it was to be; what was to be overwritten may not have been.
        took: nanoseconds that the last sync took, 0 where there was none.
    """

    def __init__(
        self, folder: Folder, parts: list[Part], unsynced: list[Segment], erasures: list[Erasure], sync: bool, last: int,
        floor: int, waiting: list[Callable[[Exception | None], None]],
    ) -> None:  # fmt: skip
        self.folder = folder
        self.parts = parts
        self.unsynced = unsynced
        self.erasures = erasures
        self.sync = sync
        self.last = last
        self.floor = floor
        self.waiting = waiting
        self.is_logged = False
        self.took = 0

    def run(self) -> None:
        """Write and sync. In a worker.

        Raises:
            OSError: not all of it is on disk.
        """
        written: list[Segment] = list(self.unsynced)
        for segment, offset, buf, start, stop in self.parts:
            if segment.space == 0:
                self._sync(written)  # so that no segment is there whose forerunner is not whole
                segment.make(self.folder)
            segment.opened()
            segment.reserve(offset + stop - start)
            with memoryview(buf) as view, view[start:stop] as piece:
                segment.files.pwrite(segment.fd, piece, offset)
            if segment not in written:
                written.append(segment)
        self._sync(written)
        self.is_logged = True
        for erasure in self.erasures:
            erasure.run()
        for segment in {erasure.segment for erasure in self.erasures}:
            segment.files.fdatasync(segment.opened())

    @property
    def is_light(self) -> bool:
        """True if it only copies a little to the system's memory, and syncs one file at most: a worker would take longer to begin."""
        size = 0
        for segment, offset, _, start, stop in self.parts:
            size += stop - start
            if segment.fd < 0 or offset + stop - start > segment.space or segment is not self.parts[0].segment:
                return False
        return 0 < size <= _LIGHT and not self.erasures and not self.unsynced

    def segments(self) -> list[Segment]:
        """Return all whose files it uses."""
        return [*self.unsynced, *(part.segment for part in self.parts), *(erasure.segment for erasure in self.erasures)]

    def writes(self, buf: bytearray) -> bool:
        """True if it writes from this buffer."""
        return any(part.buf is buf for part in self.parts)

    def _sync(self, written: list[Segment]) -> None:
        if self.sync:
            for segment in written:
                begin = perf_counter_ns()
                segment.files.fdatasync(segment.opened())
                self.took = perf_counter_ns() - begin
            written.clear()


class Gate:
    """What a round waits for that relies on something else: it is written when that is safe.

    Attributes:
        is_open: it is.
    """

    __slots__ = ("_call", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._call: Callable[[], None] | None = None

    def pass_by(self, call: Callable[[], None]) -> None:
        """Call it when it is open: now, or then."""
        if self.is_open:
            call()
        else:
            self._call = call

    def open(self) -> None:
        """Let pass who waits, and whoever comes."""
        self.is_open = True
        call, self._call = self._call, None
        if call is not None:
            call()


def carry_out(round: Round, home: Home, gate: Gate | None, done: Callable[[object], None]) -> None:
    """Let a round be written, by whoever has it done the soonest; tell its outcome, perhaps within this call.

    Args:
        gate: what it waits for; None for nothing.
    """

    def begin() -> None:
        if round.is_light and (not round.sync or home.haste.may_wait()):
            done(outcome(round.run))
        elif round.segments():
            home.submit(round.run, done)
        else:
            done(None)

    if gate is None:
        begin()
    else:
        gate.pass_by(begin)


def outcome(call: Callable[[], Any]) -> Any:
    """Run a call, and return what it returned or raised: nothing is lost, who waits for the call gets it."""
    try:
        return call()
    except BaseException as error:
        return error


def tell_all(waiting: Iterable[Callable[[T], None]], what: T) -> None:
    """Tell everybody who waits; what one of them raises keeps nobody from being told, and the first is raised then."""
    failed: Exception | None = None
    for call in waiting:
        try:
            call(what)
        except Exception as error:
            failed = failed or error
    if failed is not None:
        raise failed


def erase_record(files: Files, fd: int, place: int, seed: int, sequence: int) -> None:
    """Put a record of zeros where a message is; nothing where it is not there any more. The caller syncs."""
    found = _measure(files, fd, place, seed, sequence)
    if found is not None:
        _blank(files, fd, place, seed, sequence, *found)


def _measure(files: Files, fd: int, place: int, seed: int, sequence: int) -> tuple[int, int] | None:
    """Return the size and the time of a message; None where it is not there."""
    record = Record()
    data = files.pread(fd, HEAD, place)
    if record.decode(data, 0, len(data), seed) in (GOOD, SHORT) and record.sequence == sequence:
        return record.size(), record.time
    return None


def _blank(files: Files, fd: int, place: int, seed: int, sequence: int, size: int, time: int) -> None:
    buf = bytearray(length(size))
    encode(buf, 0, seed, ERASED, 0, sequence, time, b"", b"", bytes(size))
    files.pwrite(fd, buf, place)


class Workers:
    """A few threads that wait for the disk.

    Args:
        count: how many; 0 for none: calls run in ``submit``.
        wake: called when something is finished, in whatever thread that happened; must not raise.
    """

    def __init__(self, count: int, wake: Callable[[], None]) -> None:
        self._count = count
        self._wake = wake
        self._calls: SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Callable[[Any], None], Any]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0

    def submit(self, call: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run a call, and give what it returned or raised to ``done`` in ``finish``."""
        self._under_way += 1
        if self._count == 0:
            self._run(call, done)
            return
        if len(self._threads) < min(self._count, self._under_way):
            thread = threading.Thread(target=self._work, name=f"midge-store-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads: those there are do it, or nobody does but this one
                if not self._threads:
                    self._run(call, done)
                    return
            else:
                self._threads.append(thread)
        self._calls.put((call, done))

    def finish(self) -> None:
        """Tell of everything that is finished.

        Raises:
            Exception: what one that was told raised; all were told.
        """
        failed: Exception | None = None
        while True:
            try:
                done, result = self._results.get_nowait()
            except Empty:
                break
            self._under_way -= 1
            try:
                done(result)
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def wait(self) -> bool:
        """Wait until something is finished, and tell of it. False where nothing is under way."""
        if self._under_way == 0:
            return False
        done, result = self._results.get()
        self._under_way -= 1
        done(result)
        return True

    def close(self) -> None:
        """End the threads. Nothing is under way."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            self._run(*item)

    def _run(self, call: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._results.put((done, outcome(call)))
        self._wake()
