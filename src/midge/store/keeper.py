"""Keeper: writes what changes of streams and consumers to the state's file, many in one transaction, in a worker: no loop waits for it.

Who is kept says once that it has changed (``changed``), and is asked for its bytes when they are written: with all others that have
changed, and so seldom that no more than ``_RATE`` bytes a second are written, and at most every ``_INTERVAL``. What somebody waits for
(``put``, ``remove``, ``confirm``) is written at once, together with all that comes while the transaction before it is under way.

Where the file cannot be written, nothing that was changed is forgotten: it is tried again, with more and more time between; ``complain``
is called once until it has worked. ``confirm`` waits for that; ``put`` and ``remove`` are told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import NamedTuple, Protocol

from midge.errors import StoreDamagedError
from midge.store.commit import tell_all
from midge.store.state import ConsumerRow, mark_of, progress_mark

__all__ = ["Keeper", "Kept"]

_INTERVAL = 100_000_000  # nanoseconds between two writes that nobody waits for
_RATE = 10_000_000  # bytes a second that these write in the long run
_FIRST_DELAY, _LAST_DELAY = 100_000_000, 5_000_000_000  # nanoseconds between attempts to write again
_BATCH, _BATCH_SIZE = 1_000, 4 << 20  # consumers and bytes in one transaction
_PATIENCE = 100_000  # confirmations that wait; more are never told
_PATIENT = 10.0  # seconds that a transaction waits for another one

_PUT = """
INSERT OR REPLACE INTO consumers SELECT ?, ?, ?, ?, ?, ?, ?
 WHERE EXISTS (SELECT 1 FROM streams WHERE account = ? AND name = ? AND created = ?)
"""
_PUT_STATE = "INSERT OR REPLACE INTO progress SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM consumers WHERE id = ?)"

Told = Callable[[OSError | None], None]
_Submit = Callable[[Callable[[], object], Callable[[object], None]], None]


class Kept(Protocol):
    """Who is kept.

    Attributes:
        id: of its row; 0 for none.
        is_noted: the keeper knows that it has changed.
    """

    id: int
    is_noted: bool

    def dump(self) -> bytes:
        """Return the bytes that say how far it has come."""
        ...


class _Change(NamedTuple):
    write: Callable[[sqlite3.Connection], None]
    told: Told


class _Put(NamedTuple):
    row: ConsumerRow
    birth: int  # of the stream, which may be gone, or another one of this name
    told: Told


class _Batch(NamedTuple):
    """What one transaction writes, and who waits for it."""

    streams: list[_Change]
    removals: dict[int, Told]
    puts: dict[int, _Put]
    states: dict[int, tuple[Kept, bytes]]
    confirmations: list[tuple[Kept, Callable[[], None]]]

    def tell(self, error: OSError | None) -> None:
        """Tell who has put or removed something how that went."""
        waiting = [stream.told for stream in self.streams] + [put.told for put in self.puts.values()]
        tell_all(waiting + list(self.removals.values()), error)


class Keeper:
    """What writes consumers.

    Args:
        path: of the state's file, which is there.
        sync: a transaction is over when it is synced; else the system decides when it is.
        submit: runs a call in a worker, and gives what it returned or raised to the second one, in this thread.
        last_id: no id up to this one is given to anybody.

    Attributes:
        complain: told when writing fails, once until it works again.
        failure: why the last attempt has failed, None where it has not.
    """

    def __init__(
        self, path: str, *, sync: bool, submit: Callable[[Callable[[], object], Callable[[object], None]], None], last_id: int
    ) -> None:
        self.complain: Callable[[OSError], None] = lambda error: None
        self.failure: OSError | None = None
        self._path = path
        self._sync = sync
        self._submit = submit
        self._last_id = last_id
        self._now = 0
        self._delay = 0
        self._due: int | None = None  # when what nobody waits for is written
        self._earliest = 0
        self._retry: int | None = None
        self._is_asked = False  # somebody wants to be told at once, also where writing fails
        self._written = 0  # bytes since ``_due`` was the last time
        self._streams: list[_Change] = []
        self._removals: dict[int, Told] = {}
        self._puts: dict[int, _Put] = {}
        self._urgent: dict[int, Kept] = {}
        self._sweep: dict[int, Kept] = {}  # what is being written since ``_due``
        self._changed: dict[int, Kept] = {}
        self._confirmations: list[tuple[Kept, Callable[[], None]]] = []
        self._batch: _Batch | None = None
        self._base: sqlite3.Connection | None = None

    # Changes

    def next_id(self) -> int:
        """Return an id for somebody new."""
        self._last_id += 1
        return self._last_id

    def change_streams(self, write: Callable[[sqlite3.Connection], None], told: Told) -> None:
        """Change what is noted of streams; tell when that is safe, whatever the sync mode, or why it is not: then nothing has changed.

        Args:
            write: makes the change within a transaction, in a worker.
            told: never called within this call.
        """
        self._streams.append(_Change(write, told))
        self._is_asked = True

    @property
    def changes_streams(self) -> bool:
        """True if some of those changes wait, or are being made."""
        return bool(self._streams) or (self._batch is not None and bool(self._batch.streams))

    def put(self, row: ConsumerRow, birth: int, told: Told) -> None:
        """Note a consumer, new or configured anew, with its state; tell when it is safe, or why it is not: then nothing has changed.

        Args:
            row: whose id is the consumer's for good.
            birth: when its stream was created: nothing is noted where that is gone.
            told: never called within this call.
        """
        self._puts[row.id] = _Put(row, birth, told)
        self._is_asked = True

    def remove(self, kept: Kept, told: Told) -> None:
        """Forget a consumer; tell of each attempt, of which there are as many as it takes."""
        id = kept.id
        self.forget(kept)
        self._removals[id] = told
        self._is_asked = True

    def forget(self, kept: Kept) -> None:
        """Write nothing more of a consumer: its stream is removed, and its rows with it."""
        for each in (self._changed, self._sweep):
            each.pop(kept.id, None)
        self._puts.pop(kept.id, None)
        if self._urgent.pop(kept.id, None) is not None:  # as long as somebody waits for it to be written
            self._confirmations = [each for each in self._confirmations if each[0] is not kept]

    def changed(self, kept: Kept) -> None:
        """A consumer has changed; ``is_noted`` is true until it is asked for its bytes."""
        kept.is_noted = True
        self._changed[kept.id] = kept
        if self._due is None and not self._sweep:
            self._due = self._earliest

    def is_safe(self, kept: Kept) -> bool:
        """True if nothing of a consumer has changed since what was written of it is safe."""
        batch = self._batch
        return (
            not kept.is_noted
            and kept.id not in self._urgent
            and (batch is None or (kept.id not in batch.states and kept.id not in batch.puts))
        )

    def confirm(self, kept: Kept, told: Callable[[], None]) -> None:
        """Tell when all of a consumer's changes so far are safe, however long that takes. Never within this call."""
        if len(self._confirmations) < _PATIENCE:
            self._confirmations.append((kept, told))
            self._urgent[kept.id] = kept

    # The driver: see ``StoreDirectory``

    @property
    def is_ready(self) -> bool:
        """True if there is something that has to be written now, and nothing is under way."""
        if self._batch is not None or (self._retry is not None and not self._is_asked):
            return False
        return bool(self._streams or self._urgent or self._puts or self._removals or self._sweep)

    def begin(self) -> None:
        """Start a transaction, where ``is_ready``."""
        if self.is_ready:
            self._start()

    def next_deadline(self) -> int | None:
        """Return when to call ``handle_timeout``; None for never."""
        if self._retry is not None or self._batch is not None:
            return self._retry
        return self._due

    def handle_timeout(self, now: int) -> None:
        """Let be written what is due. Then call ``begin``."""
        self._now = now
        if self._retry is not None and now >= self._retry:
            self._retry = None
        if self._due is not None and now >= self._due and not self._sweep:
            self._due = None
            self._written = 0
            self._sweep, self._changed = self._changed, {}

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds."""
        self._now += by
        self._earliest += by
        self._due = None if self._due is None else self._due + by
        self._retry = None if self._retry is None else self._retry + by

    def flush(self, wait: Callable[[], object]) -> None:
        """Write all that is left, in this thread, and let the rest of the world wait for it.

        Args:
            wait: waits until a worker has finished something, and takes it.
        """
        while self._batch is not None:
            wait()
        self._retry = None
        self._sweep.update(self._changed)
        self._changed = {}
        submit, self._submit = self._submit, lambda call, done: done(_outcome(call))
        while self.is_ready:
            self._start()
        self._submit = submit

    def let_go(self) -> None:
        """Close the file as it is."""
        if self._base is not None:
            self._base.close()
            self._base = None

    # Inside

    def _start(self) -> None:
        """Begin a transaction."""
        self._is_asked = False
        self._retry = None
        states: dict[int, tuple[Kept, bytes]] = {}
        size = 0
        for waiting in (self._urgent, self._sweep):
            for id in list(islice(waiting, _BATCH - len(states))):
                if size >= _BATCH_SIZE:
                    break
                kept = waiting.pop(id)
                if id not in states:
                    kept.is_noted = False
                    self._changed.pop(id, None)
                    states[id] = kept, kept.dump()
                    size += len(states[id][1])
        self._written += size
        ready = [each for each in self._confirmations if each[0].id in states]
        if ready:
            self._confirmations = [each for each in self._confirmations if each[0].id not in states]
        batch = self._batch = _Batch(self._streams, self._removals, self._puts, states, ready)
        self._streams, self._removals, self._puts = [], {}, {}
        self._submit(lambda: self._write(batch), self._finished)

    def _finished(self, result: object) -> None:
        batch, self._batch = self._batch, None
        assert batch is not None
        if isinstance(result, BaseException):
            self._failed(batch, result if isinstance(result, OSError) else OSError(str(result)))
            return
        self.failure, self._delay = None, 0
        try:
            for _, told in batch.confirmations:
                told()
            batch.tell(None)
        finally:
            self._rest()
            self.begin()

    def _rest(self) -> None:
        """Say when the next is due, where all that was is written."""
        if not self._sweep:
            self._earliest = self._now + max(_INTERVAL, self._written * 1_000_000_000 // _RATE)
            if self._changed and self._due is None:
                self._due = self._earliest

    def _failed(self, batch: _Batch, error: OSError) -> None:
        """Have everything back that was to be written, and come back later."""
        for id, (kept, _) in batch.states.items():
            kept.is_noted = True
            self._sweep[id] = kept
        self._urgent.update({kept.id: kept for kept, _ in batch.confirmations})
        self._confirmations = batch.confirmations + self._confirmations
        self._removals = {**batch.removals, **self._removals}
        self._delay = min(2 * self._delay, _LAST_DELAY) or _FIRST_DELAY
        self._retry = self._now + self._delay
        is_new, self.failure = self.failure is None, error
        if is_new:
            self.complain(error)
        batch.tell(error)

    def _write(self, batch: _Batch) -> None:
        """In a worker.

        Raises:
            OSError: nothing was written; StoreDamagedError: the file is not what it was.
        """
        try:
            base = self._base = self._base or self._connected()
            if batch.streams and not self._sync:
                base.execute("PRAGMA synchronous=FULL")  # a stream is there for good, however its messages are written
            base.execute("BEGIN IMMEDIATE")
            try:
                for change in batch.streams:
                    change.write(base)
                for id in batch.removals:
                    base.execute("DELETE FROM consumers WHERE id = ?", (id,))
                    base.execute("DELETE FROM progress WHERE id = ?", (id,))
                for (id, account, stream, name, config, created, state), birth, _ in batch.puts.values():
                    columns = (id, account, stream, name, config, created)
                    base.execute(_PUT, (*columns, mark_of(*columns), account, stream, birth))
                    base.execute(_PUT_STATE, (id, state, progress_mark(id, state), id))
                rows = [(state, progress_mark(id, state), id) for id, (_, state) in batch.states.items()]
                base.executemany("UPDATE progress SET state = ?, mark = ? WHERE id = ?", rows)
                base.execute("COMMIT")
            except BaseException:
                if base.in_transaction:
                    base.execute("ROLLBACK")
                raise
            finally:
                if batch.streams and not self._sync:
                    base.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.OperationalError as error:
            raise OSError(f"{self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreDamagedError(self._path, str(error)) from error

    def _connected(self) -> sqlite3.Connection:
        base = sqlite3.connect(self._path, timeout=_PATIENT, isolation_level=None, check_same_thread=False)
        try:
            with closing(base.execute("PRAGMA journal_mode=WAL")):
                base.execute(f"PRAGMA synchronous={'FULL' if self._sync else 'NORMAL'}")
        except BaseException:
            base.close()
            raise
        return base


def _outcome(call: Callable[[], object]) -> object:
    """Run a call, and return what it returned or raised."""
    try:
        return call()
    except Exception as error:
        return error
