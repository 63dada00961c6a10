"""Log: a stream's messages in files: segments, the index of what is in them, and what waits to be written.

A change is encoded into the tail and noted in the index at once. ``start`` makes a round of everything that waits, which a worker writes
and syncs; one round is under way at a time, and ``finished`` takes its outcome: what it held is ``committed``. Where it could not be
written, the store forgets everything behind the last round that was, by reading its files again, and refuses changes until ``repair``
has begun another segment. The directory calls all four.

What was written last stays in memory as it was written, in blocks that the directory bounds; older messages are read from the files.
Every read is checked, and what is damaged is reported and missing, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from midge.store.base import Elsewhere, Stored
from midge.store.commit import Gate, Part, Round, carry_out, tell_all
from midge.store.erasures import Erasures
from midge.store.folder import Folder
from midge.store.home import Home
from midge.store.index import LAST_SEQUENCE, MAX_SIZE, Index
from midge.store.indexed import IndexedStore, doomed
from midge.store.reader import Reader
from midge.store.record import DROP, MORE, OVERWRITE, REMOVE, SKIP, length
from midge.store.recovery import Recovery
from midge.store.removals import Removals
from midge.store.restart import Restart
from midge.store.segment import HEAD_SIZE, Head, Segment
from midge.store.shelf import Shelf
from midge.store.tail import Block, Tail, weight
from midge.store.upkeep import Upkeep
from midge.wire.publication import Publication

__all__ = ["FileStore", "SEGMENT_SIZE"]

SEGMENT_SIZE = 64 << 20
_LONGEST = (1 << 32) - 2 * HEAD_SIZE  # bytes of a batch: places have 32 bits
_FIRST_BLOCK, _LAST_BLOCK = 4 << 10, 256 << 10
_FREED = 1 << 20  # an empty store does not keep a longer segment


class FileStore(IndexedStore):
    """The messages of one stream, in files.

    Args:
        home: the directory that it belongs to.
        folder: of its own files, which is there.
        seed: for the checks of a new store.

    Attributes:
        gate: what the next round waits for.

    Raises:
        OSError: the files cannot be read; StoreVersionError: a later version wrote them.
    """

    def __init__(self, home: Home, folder: Folder, seed: int) -> None:
        self._home = home
        self._folder = folder
        self._shelf = Shelf()
        self._upkeep = Upkeep(home, folder.path, self._shelf, self.settle, self._replaced)
        self._removals = Removals(self._shelf, self._upkeep.waste)
        self.sight = self._reader = Reader(home.files, folder.path, self._shelf, home.submit, home.report, home.handles)
        self._unsent: list[tuple[Segment, Block]] = []
        self._waiting: list[Callable[[Exception | None], None]] = []
        self._erasures = Erasures(self._shelf)
        self._unsynced: list[Segment] = []
        self._floor = self._noted_floor = 0
        self._durable = (0, HEAD_SIZE)
        self._round: Round | None = None
        self.gate: Gate | None = None
        self._dirty = self._closed = self._wants_sync = self._is_stale = self._is_going_back = self._is_unfinished = self._is_gone = False
        self.failure = None
        self._recover(Recovery(home.files, folder.path, seed))
        if folder.is_new:
            self._upkeep.name(folder)

    # Changes

    def append(self, publication: Publication, time: int) -> int:
        sequence = self._tail.append(publication, time, 0)
        if sequence == 0:
            self._make_room(length(publication.subject_end - publication.subject_start + publication.size()))
            sequence = self._tail.append(publication, time, 0)
        if not self._dirty:
            self._change()
        return sequence

    def append_all(self, publications: list[Publication], time: int) -> int:
        if not publications:
            raise ValueError("no messages")
        sizes = [each.subject_end - each.subject_start + each.size() for each in publications]
        if (total := sum(map(length, sizes))) > _LONGEST or max(sizes) > MAX_SIZE - weight(0, True):
            raise ValueError(f"a batch of {total} bytes, the longest of {max(sizes)}: the most is {_LONGEST}, and of one {MAX_SIZE}")
        self._make_room(total)  # in one segment, and in one round as all happens in one turn
        for publication in publications[:-1]:
            self._tail.append(publication, time, MORE)
        return self.append(publications[-1], time)

    def skip(self, sequence: int, time: int) -> None:
        self._refuse_while_failing()
        if sequence > self._index.last:
            self._index.skip(sequence, time)
            self._note(SKIP, 0, [])

    def remove(self, sequence: int) -> bool:
        self._refuse_while_failing()
        if not self._forget(sequence):
            return False
        self._remove_later(sequence)
        return True

    def erase(self, sequence: int) -> bool:
        self._refuse_while_failing()
        if not self._index.has(sequence):
            return False
        self._upkeep.cancel_copy()
        self._erasures.add(sequence, self._index.place_of(sequence))
        self._forget(sequence)
        self._note(REMOVE, OVERWRITE, [sequence, sequence])
        self._upkeep.waste.owe(self._shelf.end[0], self._shelf.segment_of(sequence).head.number, length(16))
        return True

    def drop(self, below: int) -> int:
        self._refuse_while_failing()
        below = min(below, LAST_SEQUENCE)
        dropped = self._index.drop(below)
        if below > self._floor:
            self._floor = below  # one record of it is written with the round, however often this happens
            self._change()
            if not self._index.messages and self._tail.block.base + self._tail.block.fill > _FREED:
                self._roll()
        return dropped

    def purge(self, filter: bytes | None = None, below: int = 0, keep: int = 0) -> int:
        self._refuse_while_failing()
        index = self._index
        if filter is None and not keep:
            return self.drop(min(below, index.last + 1) if below else index.last + 1)
        removed = 0
        for sequence in doomed(index, filter, below, keep):
            self._forget(sequence)
            self._remove_later(sequence)
            removed += 1
        return removed

    def settle(self, call: Callable[[Exception | None], None]) -> None:
        self._waiting.append(call)
        self._change()

    # Rounds, for the directory

    @property
    def is_dirty(self) -> bool:
        """True if something waits for a round."""
        return self._dirty

    @property
    def is_busy(self) -> bool:
        """True while a round is under way."""
        return self._round is not None or self._is_going_back

    @property
    def is_pending(self) -> bool:  # type: ignore[override]
        return self._dirty or self._round is not None

    @property
    def is_loading(self) -> bool:
        """True while something is read."""
        return self._shelf.readers > (self._round is not None)

    def want_sync(self) -> None:
        """Sync with the next round what was only written so far."""
        if self._unsynced:
            self._wants_sync = True
            self._change()

    @property
    def is_unsynced(self) -> bool:
        """True if something has been written and not synced."""
        return bool(self._unsynced)

    def start(self) -> None:
        """Give everything that waits to a worker, as one round. Nothing is under way."""
        if self.failure is not None:
            self._dirty = False
            waiting, self._waiting = self._waiting, []
            tell_all(waiting, self.failure)
            return
        self._note_removals()
        if self._shelf.may_trim(self._index.first, self._durable[0]):
            self._floor = max(self._floor, self._index.first)  # said before a segment goes, so that one that is missing is missed
        if self._floor > self._noted_floor:
            self._note(DROP, 0, [self._floor])
            self._noted_floor = self._floor
        self._dirty = False  # what was noted until here goes with this round
        sync = self._home.always or self._wants_sync or bool(self._erasures)
        erasures = self._erasures.take()
        parts = []
        for segment, block in self._unsent:
            start, stop = block.take(), block.fill
            if stop > start:
                parts.append(Part(segment, block.base + start, block.buf, start, stop))
                segment.end = block.base + stop
        self._unsent = self._unsent[-1:]
        unsynced = self._unsynced if sync else []
        last, floor = self._index.last, self._noted_floor
        self._round = Round(self._folder, parts, unsynced, erasures, sync, last, floor, self._waiting)
        self._waiting, self._wants_sync = [], False
        self._unsynced = [] if sync else list(dict.fromkeys([*self._unsynced, *(part.segment for part in parts)]))
        self._home.handles.lend(self._round.segments())
        self._shelf.readers += 1
        gate, self.gate = self.gate, None
        carry_out(self._round, self._home, gate, self.finished)

    def finished(self, result: object) -> None:
        """Take the outcome of a round: None, or the exception."""
        round, self._round = self._round, None
        assert round is not None
        self._home.handles.take_back(round.segments())
        self._shelf.readers -= 1
        if isinstance(result, BaseException) and not (isinstance(result, OSError) and round.is_logged):
            self._erasures.undo()
            self._fail(result if isinstance(result, OSError) else OSError(str(result)), round.waiting + self._waiting)
            if not isinstance(result, OSError):
                raise result
            return
        self.committed = round.last
        if round.parts:
            self._home.haste.note(round.took)
            last = round.parts[-1]
            self._durable = (last.segment.head.number, last.offset + last.stop - last.start)
        if self._shelf.may_trim(round.floor, self._durable[0]):
            self._upkeep.cancel()
            self._trim(round.floor)
        waiting: list[Callable[[Exception | None], None]] = []
        if result is not None:  # what was to be overwritten was not: that is tried again, and told when it is done
            self._erasures.delay(round.waiting)
            self._home.failed(self)
        else:
            waiting = self._erasures.done(round.erasures, round.waiting)
            self._maintain()
        if self._dirty:
            self._home.changed(self)
        tell_all(waiting, None)

    def checkpoint(self) -> None:
        """Write down what the index knows, so that the store is opened sooner. Nothing is under way, and nothing waits."""
        if self.failure is None and not self._erasures.is_overdue:
            self._upkeep.note(self._index, self._floor)

    def release(self, block: Block) -> bool:
        """Let go of a block's memory. False where it is still needed."""
        if not self._shelf.holds(block):
            return True
        if block.fill > block.written or block.fill == 0 or self._round is not None and self._round.writes(block.buf):
            return False
        self._shelf.drop(block)
        if block is self._tail.block:
            self._tail.block = Block(self._shelf.end[0], block.base + block.fill, 0)
            self._unsent = []
        return True

    # Failure

    def _fail(self, error: OSError, waiting: list[Callable[[Exception | None], None]]) -> None:
        """Go back to what is on disk, unless nobody wants that any more, and tell those who wait."""
        if self._is_gone:
            tell_all(waiting, error)
            return
        self.failure = error
        self._waiting, self._tail.block = [], Block(*self._shelf.end, 0)  # without room: who appends is refused
        self._erasures.forget()
        self._removals.clear()
        self._upkeep.cancel()
        self._home.failed(self)
        self._go_back(lambda: tell_all(waiting, error))

    def _go_back(self, told: Callable[[], None]) -> None:
        """Forget what was not committed, by reading the files in a worker; later, where they cannot be read at present."""
        unsynced = {segment.head.number for segment in self._unsynced}
        limit = None if self._is_unfinished else self._durable
        recovery = Recovery(self._home.files, self._folder.path, self._tail.seed, limit)

        def done(result: object) -> None:
            self._shelf.readers -= 1
            self._is_going_back = False
            if self._is_gone:
                recovery.close()
                told()
                return
            self._is_stale = isinstance(result, BaseException)
            if isinstance(result, BaseException):
                recovery.close()
                self.failure = result if isinstance(result, OSError) else OSError(str(result))
            else:
                self._take(recovery, limit)
                self._unsynced = [segment for segment in self._shelf.segments if segment.head.number in unsynced]
            if self._dirty:
                self._home.changed(self)
            told()

        self._is_going_back = True
        self._shelf.readers += 1
        self._home.submit(recovery.run, done)

    def repair(self, done: Callable[[bool], None]) -> None:
        """Try whether writing works again; in a worker, by cutting off what was not committed and beginning another segment."""
        if self.failure is None:  # only something to be overwritten
            self._change()
            done(True)
        elif self._is_going_back:
            done(False)
        elif self._is_unfinished:
            self._go_back(lambda: self._opened(done))
        elif self._is_stale:
            self._go_back(lambda: done(False) if self._is_stale else self._begin_anew(done))
        else:
            self._begin_anew(done)

    def _opened(self, done: Callable[[bool], None]) -> None:
        """What opening had left as it was has been tried again."""
        if not self._is_stale:
            self.failure = None
        done(not self._is_stale)

    def _begin_anew(self, done: Callable[[bool], None]) -> None:
        number = self._durable[0] + 1
        fresh = Segment(self._home.files, self._folder.path, self._next_head(number))

        def begun(error: OSError | None) -> None:
            self.failure = error
            if error is None:
                self._add_segment(fresh)
                self._durable = (number, HEAD_SIZE)
            done(error is None)

        Restart(self._home, self._folder, self._shelf, self._durable, fresh, begun).begin()

    def _refuse_while_failing(self) -> None:
        if self.failure is not None:
            raise OSError(getattr(self.failure, "errno", None), str(self.failure)) from self.failure

    # What there is

    def peek(self, sequence: int) -> Stored | Elsewhere | None:
        return self._reader.peek(sequence)

    def load(self, sequences: list[int], call: Callable[[list[Stored | None] | Exception], None]) -> None:
        self._reader.load(sequences, call)

    def read(self, sequence: int) -> Stored | None:
        return self._reader.read(sequence)

    def scan(self, start: int = 1) -> Iterator[Stored]:
        return self._reader.scan(start)

    # The end

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._upkeep.cancel()
            self._home.forget(self)

    def delete(self, told: Callable[[], None]) -> None:
        if not self._closed:
            self._upkeep.cancel()
            self._home.discard(self, told)
            self._closed, self._is_gone, self._dirty = True, True, False
            self._index = self._reader.index = Index()

    def release_files(self) -> None:
        """Close all files. Nothing is under way."""
        self._shelf.close()

    # Inside

    def _recover(self, recovery: Recovery) -> None:
        """Read the files, and go on behind what they hold."""
        try:
            recovery.run()
        except BaseException:
            recovery.close()
            raise
        self._take(recovery, None)
        if self.failure is not None:
            self._home.failed(self)

    def _take(self, recovery: Recovery, limit: tuple[int, int] | None) -> None:
        """Have what was read of the files in place of all that was known."""
        recovery.close()  # until somebody needs them
        self._shelf.fill(recovery.segments)
        self._shelf.let_go()
        self._index = self._reader.index = recovery.index
        self._floor = self._noted_floor = recovery.floor
        self._upkeep.begin_again(self._index)
        self._removals = Removals(self._shelf, self._upkeep.waste)
        self._unsent = []
        self.committed = self._index.last
        for damage in recovery.damages:
            self._home.report(damage)
        self._tail = Tail(self._index, recovery.seed, Block(*self._shelf.end, 0))  # one without room, which the first record replaces
        self._is_unfinished = recovery.failure is not None
        if recovery.failure is not None:
            self._is_stale, self.failure = True, recovery.failure
        if limit is not None:
            self._shelf.cut(*limit)
        elif self._shelf.segments:
            self._durable = self._shelf.end
        else:
            self._add_segment(Segment(self._home.files, self._folder.path, self._next_head(1)))

    def _next_head(self, number: int) -> Head:
        index = self._index
        return Head(number, self._tail.seed, index.last + 1, max(self._floor, 0), index.last_time)

    def _add_segment(self, segment: Segment) -> None:
        self._upkeep.sealed(self._shelf.end[0])
        self._shelf.add(segment)
        self._tail.block = Block(self._shelf.end[0], HEAD_SIZE, 0)

    def _make_room(self, size: int) -> None:
        """Have a block that so many bytes fit in."""
        self._refuse_while_failing()
        block = self._tail.block
        end = block.base + block.fill
        if end + size > self._home.segment_size and end > HEAD_SIZE:
            self._roll()
            block, end = self._tail.block, HEAD_SIZE
        if block.fill + size <= len(block.buf):
            return
        room = min(max(2 * len(block.buf), _FIRST_BLOCK), _LAST_BLOCK, self._home.segment_size - end)
        fresh = Block(self._shelf.end[0], end, max(room, size))
        self._tail.block = fresh
        self._shelf.hold(fresh)
        self._unsent.append((self._shelf.segments[-1], fresh))
        self._home.hold(self, fresh)

    def _roll(self) -> None:
        """Begin another segment; its file is made by the round that writes to it."""
        self._add_segment(Segment(self._home.files, self._folder.path, self._next_head(self._shelf.end[0] + 1)))

    def _note(self, kind: int, flags: int, numbers: list[int]) -> None:
        """Append a record that is no message."""
        payload = b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
        if not self._tail.note(kind, flags, self._index.last_time, payload):
            self._make_room(length(len(payload)))
            self._tail.note(kind, flags, self._index.last_time, payload)
        if kind != REMOVE:
            self._upkeep.waste.add(self._shelf.end[0], length(len(payload)))
        self._change()

    def _change(self) -> None:
        if not self._dirty and not self._is_gone:
            self._dirty = True
            self._home.changed(self)

    def _trim(self, floor: int) -> None:
        """Remove the segments at the head that hold nothing from ``floor`` on, which is on disk."""
        victims = self._shelf.trim(floor, self._durable[0])  # that one says what is the last sequence
        self._unsynced = [segment for segment in self._unsynced if segment not in victims]
        self._upkeep.remove(victims)

    def _forget(self, sequence: int) -> bool:
        """Remove a message from the index, and count it for its segment. False where there is none."""
        size = self._index.size_of(sequence)
        if not self._index.remove(sequence):
            return False
        self._upkeep.waste.add(self._shelf.segment_of(sequence).head.number, length(size))
        return True

    def _remove_later(self, sequence: int) -> None:
        """Note with the round that a message was removed; many of them together."""
        if self._removals.add(sequence):
            self._note_removals()
        self._change()

    def _note_removals(self) -> None:
        """Append records of what was removed, or of the floor where everything below is."""
        if self._removals:
            if self._removals.lowest < self._index.first:
                self._floor = max(self._floor, self._index.first)
            for record in self._removals.records(self._index, self._floor):
                self._note(REMOVE, 0, record)

    def _maintain(self) -> None:
        """Let what is worth it be done for the files."""
        if self._closed or self._erasures or self.failure is not None:
            return
        block = self._tail.block
        if self._upkeep.should_roll(self._shelf.segments[-1]):
            self._roll()
        self._upkeep.work(self._index, self._durable, (self._shelf.end[0], block.base + block.fill), self._noted_floor)

    def _replaced(self, segment: Segment) -> None:
        """A copy has taken the place of a segment."""
        self._unsynced = [each for each in self._unsynced if each is not segment]
        self._change()  # the next one is looked for when a round has ended, and not while this one is cancelled
