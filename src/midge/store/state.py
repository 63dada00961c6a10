"""State: what is small and changes as a whole, in one SQLite file: which directory a stream has, the configurations, consumers' progress.

Each change is one transaction, on disk when the call returns (write-ahead log, synchronous=FULL). What somebody asks for is written by
``store.keeper``, away from this thread: streams that are made, changed and deleted, and all of a consumer. Messages are never here.
SQLite does not see a byte that the disk has changed inside of a value, so every row has a check, ``mark``. Where the disk is so full
that SQLite cannot even begin its log, the file is only read, until there is room.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple
from urllib.parse import quote

from midge.errors import StoreDamagedError, StoreVersionError

__all__ = [
    "ConsumerRow", "SourceRow", "State", "StreamRow", "add_store", "forget_gone", "mark_of", "progress_mark", "put_stream", "remove_stream",
]  # fmt: skip

_VERSION = 2  # 1 had no consumers
_TABLES = """
CREATE TABLE IF NOT EXISTS stores (id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, stream TEXT NOT NULL, seed INTEGER NOT NULL,
                                   mark INTEGER NOT NULL, UNIQUE (account, stream));
CREATE TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS streams (account TEXT NOT NULL, name TEXT NOT NULL, config BLOB NOT NULL, created INTEGER NOT NULL,
                                    mark INTEGER NOT NULL, PRIMARY KEY (account, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (account TEXT NOT NULL, stream TEXT NOT NULL, name TEXT NOT NULL, through INTEGER NOT NULL,
                                    sequence INTEGER NOT NULL, identity TEXT NOT NULL, mark INTEGER NOT NULL,
                                    PRIMARY KEY (account, stream, name, through)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumers (id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, stream TEXT NOT NULL,
                                      name TEXT NOT NULL, config BLOB NOT NULL, created INTEGER NOT NULL, mark INTEGER NOT NULL,
                                      UNIQUE (account, stream, name));
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY, state BLOB NOT NULL, mark INTEGER NOT NULL);
"""
_TAKE_AWAY = """
INSERT OR IGNORE INTO gone SELECT id FROM stores WHERE account = ? AND stream = ?
"""
_PUT_SOURCE = """
INSERT OR REPLACE INTO sources SELECT ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM streams WHERE account = ? AND name = ?)
"""
_ITS_CONSUMERS = "SELECT id FROM consumers WHERE account = ? AND stream = ?"


class StreamRow(NamedTuple):
    """A stream's configuration: JSON as the engine wrote it, and nanoseconds since the epoch."""

    account: str
    name: str
    config: bytes
    created: int


class ConsumerRow(NamedTuple):
    """A consumer: its configuration as the engine wrote it, nanoseconds since the epoch, and the bytes that say how far it has come.

    ``id`` is never given to another one, also not to one of the same name.
    """

    id: int
    account: str
    stream: str
    name: str
    config: bytes
    created: int
    state: bytes


class SourceRow(NamedTuple):
    """How far a stream has read one of its sources, as of a sequence of its own: what it has stored behind that may say more.

    It holds only if the stream's last sequence is that or higher.
    """

    name: str
    sequence: int
    identity: str
    through: int


class State:
    """The file.

    Raises:
        StoreDamagedError: it cannot be read; StoreVersionError: a later version wrote it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._base: sqlite3.Connection | None = None
        self._is_full = False  # and so the file is only read
        try:
            with self._guarded():
                try:
                    base = self._base = _connected(path)
                except sqlite3.OperationalError:
                    self._is_full, base = True, _reading(path)
                    self._base = base
                (version,) = base.execute("PRAGMA user_version").fetchone()
                if version > _VERSION:
                    raise StoreVersionError(path, version, _VERSION)
                (answer,) = base.execute("PRAGMA quick_check(1)").fetchone()
                if answer != "ok":
                    raise sqlite3.DatabaseError(answer)
                if version < _VERSION:
                    base.executescript(_TABLES)
                    base.execute(f"PRAGMA user_version={_VERSION}")
                for table, check in _CHECKS.items():
                    for *values, mark in base.execute(f"SELECT * FROM {table}"):
                        if mark != check(*values):
                            raise sqlite3.DatabaseError(f"a row of {table} is not what was written")
                if base.execute("SELECT 1 FROM consumers WHERE id NOT IN (SELECT id FROM progress) LIMIT 1").fetchone():
                    raise sqlite3.DatabaseError("how far a consumer has come is missing")
        except BaseException:
            self.close()
            raise

    # Directories of streams

    def store(self, account: str, stream: str) -> tuple[int, int] | None:
        """Return the id and the seed of a stream's store, None where it has none."""
        with self._guarded() as base:
            row = base.execute("SELECT id, seed FROM stores WHERE account = ? AND stream = ?", (account, stream)).fetchone()
            return None if row is None else (row[0], row[1])

    def add_store(self, account: str, stream: str, seed: int, id: int) -> None:
        """Note a store."""
        with self._changing() as base:
            add_store(base, account, stream, seed, id)

    def next_id(self) -> int:
        """Return an id above all that there have been."""
        with self._guarded() as base:
            row = base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'stores'").fetchone()
            return 1 if row is None else int(row[0]) + 1

    def gone(self) -> set[int]:
        """Return the ids of the stores whose files are to be removed."""
        with self._guarded() as base:
            return {row[0] for row in base.execute("SELECT id FROM gone")}

    def forget_gone(self, id: int) -> None:
        """Do what the function of this name does."""
        with self._changing() as base:
            forget_gone(base, id)

    def store_ids(self) -> set[int]:
        """Return all ids that are in use."""
        with self._guarded() as base:
            return {row[0] for row in base.execute("SELECT id FROM stores")}

    def stores(self) -> dict[int, tuple[str, str]]:
        """Return the account and the stream of every id."""
        with self._guarded() as base:
            return {row[0]: (row[1], row[2]) for row in base.execute("SELECT id, account, stream FROM stores")}

    # Configurations

    def streams(self, account: str | None = None) -> list[StreamRow]:
        """Return all streams, or those of an account, by account and name."""
        where, values = ("", ()) if account is None else (" WHERE account = ?", (account,))
        with self._guarded() as base:
            rows = base.execute(f"SELECT account, name, config, created FROM streams{where} ORDER BY account, name", values)
            return [StreamRow(*row) for row in rows]

    def birth(self, account: str, name: str) -> int:
        """Return when a stream was created; a moment that is never over where there is none."""
        with self._guarded() as base:
            row = base.execute("SELECT created FROM streams WHERE account = ? AND name = ?", (account, name)).fetchone()
            return (1 << 63) - 1 if row is None else int(row[0])

    def put_stream(self, account: str, name: str, config: bytes, created: int) -> None:
        """Note a stream, or change what is noted."""
        with self._changing() as base:
            put_stream(base, StreamRow(account, name, config, created))

    def remove_stream(self, account: str, name: str) -> None:
        """Do what the function of this name does."""
        with self._changing() as base:
            remove_stream(base, account, name)

    # Consumers

    def consumers(self, account: str, stream: str) -> list[ConsumerRow]:
        """Return a stream's consumers, by name."""
        columns = "id, account, stream, name, config, created, state"
        query = f"SELECT {columns} FROM consumers JOIN progress USING (id) WHERE account = ? AND stream = ? ORDER BY name"
        with self._guarded() as base:
            return [ConsumerRow(*row) for row in base.execute(query, (account, stream))]

    def last_consumer(self) -> int:
        """Return an id that is not below any consumer's there has been."""
        with self._guarded() as base:
            row = base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'consumers'").fetchone()
            return 0 if row is None else int(row[0])

    # Positions

    def sources(self, account: str, stream: str) -> list[SourceRow]:
        """Return what is noted of a stream's sources."""
        with self._guarded() as base:
            rows = base.execute("SELECT name, sequence, identity, through FROM sources WHERE account = ? AND stream = ?", (account, stream))
            return [SourceRow(*row) for row in rows]

    def close(self) -> None:
        if self._base is not None:
            self._base.close()
            self._base = None

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Several changes as one."""
        with self._guarded() as base:
            if self._is_full:
                raise OSError(errno.ENOSPC, f"{self._path}: {os.strerror(errno.ENOSPC)}")
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
                base.execute("COMMIT")
            except BaseException:
                if base.in_transaction:
                    base.execute("ROLLBACK")
                raise

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        """SQLite's errors as ours: a damaged file is not an error of the caller's, and a full disk is an OSError as everywhere."""
        try:
            if self._is_full:
                self._try_to_write()
            yield self._base  # type: ignore[misc]
        except sqlite3.OperationalError as error:
            if self._base is not None and self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise OSError(f"{self._path}: {error}") from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            if self._base is not None:
                self._base.close()
            raise StoreDamagedError(self._path, str(error)) from error

    def _try_to_write(self) -> None:
        """Go on as always where there is room again."""
        with suppress(sqlite3.OperationalError):
            base = _connected(self._path)
            if self._base is not None:
                self._base.close()
            self._base, self._is_full = base, False


def add_store(base: sqlite3.Connection, account: str, stream: str, seed: int, id: int) -> None:
    """Note a store, unless it is noted already; another one of this stream is gone. A part of a transaction."""
    base.execute("INSERT OR IGNORE INTO gone SELECT id FROM stores WHERE account = ? AND stream = ? AND id != ?", (account, stream, id))
    base.execute("DELETE FROM stores WHERE account = ? AND stream = ? AND id != ?", (account, stream, id))
    base.execute("INSERT OR IGNORE INTO stores VALUES (?, ?, ?, ?, ?)", (id, account, stream, seed, mark_of(id, account, stream, seed)))


def add_draft(base: sqlite3.Connection, account: str, stream: str, seed: int, id: int) -> None:
    """Note a store that the next start removes, unless ``put_draft`` comes before; a part of a transaction."""
    add_store(base, account, stream, seed, id)
    base.execute("INSERT OR IGNORE INTO gone VALUES (?)", (id,))


def put_draft(base: sqlite3.Connection, row: StreamRow, consumers: Collection[ConsumerRow]) -> None:
    """Note the stream that a draft has become, whose store stays from then on, and its consumers; a part of a transaction."""
    put_stream(base, row)
    base.execute("DELETE FROM gone WHERE id IN (SELECT id FROM stores WHERE account = ? AND stream = ?)", (row.account, row.name))
    for each in consumers:
        base.execute("INSERT INTO consumers VALUES (?, ?, ?, ?, ?, ?, ?)", (*each[:-1], mark_of(*each[:-1])))
        base.execute("INSERT INTO progress VALUES (?, ?, ?)", (each.id, each.state, progress_mark(each.id, each.state)))


def remove_store(base: sqlite3.Connection, id: int) -> None:
    """Forget a store, whose files are to be removed; a part of a transaction."""
    base.execute("INSERT OR IGNORE INTO gone SELECT id FROM stores WHERE id = ?", (id,))
    base.execute("DELETE FROM stores WHERE id = ?", (id,))


def put_stream(base: sqlite3.Connection, row: StreamRow) -> None:
    """Note a stream, or change what is noted; a part of a transaction."""
    base.execute("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?)", (*row, mark_of(*row)))


def remove_stream(base: sqlite3.Connection, account: str, name: str) -> None:
    """Forget a stream's configuration and its consumers, and at the same moment its store; a part of a transaction.

    Its files are removed by the store's ``delete``, or at the next start.
    """
    base.execute("DELETE FROM sources WHERE account = ? AND stream = ?", (account, name))
    base.execute(f"DELETE FROM progress WHERE id IN ({_ITS_CONSUMERS})", (account, name))
    base.execute("DELETE FROM consumers WHERE account = ? AND stream = ?", (account, name))
    base.execute("DELETE FROM streams WHERE account = ? AND name = ?", (account, name))
    base.execute(_TAKE_AWAY, (account, name))
    base.execute("DELETE FROM stores WHERE account = ? AND stream = ?", (account, name))


def put_sources(
    base: sqlite3.Connection, account: str, stream: str, rows: Collection[SourceRow], gone: Collection[SourceRow] | None
) -> None:
    """Note how far a stream has read sources, and forget rows: None for all that are noted. None of one that is gone.

    A part of a transaction.
    """
    if gone is None:
        base.execute("DELETE FROM sources WHERE account = ? AND stream = ?", (account, stream))
    else:
        keys = [(account, stream, row.name, row.through) for row in gone]
        base.executemany("DELETE FROM sources WHERE account = ? AND stream = ? AND name = ? AND through = ?", keys)
    values = [(account, stream, row.name, row.through, row.sequence, row.identity) for row in rows]
    base.executemany(_PUT_SOURCE, [(*each, mark_of(*each), account, stream) for each in values])


def forget_gone(base: sqlite3.Connection, id: int) -> None:
    """Note that there are no files of a store any more; nor is it one, where it was a draft. A part of a transaction."""
    base.execute("DELETE FROM stores WHERE id = ?", (id,))
    base.execute("DELETE FROM gone WHERE id = ?", (id,))


def _make(path: str) -> None:
    """Make the file as a whole, under another name first, so that nothing but that has to be waited for."""
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    with closing(sqlite3.connect(new, isolation_level=None)) as base:
        base.execute("PRAGMA synchronous=OFF")
        base.execute("PRAGMA journal_mode=WAL")
        base.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={_VERSION}; COMMIT")
    fd = os.open(new, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(new, path)


def _connected(path: str) -> sqlite3.Connection:
    if not os.path.exists(path):
        _make(path)
    base = sqlite3.connect(path, isolation_level=None)
    try:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("PRAGMA user_version")
    except BaseException:
        base.close()
        raise
    return base


def _reading(path: str) -> sqlite3.Connection:
    """Open a file that nobody can write, because the disk is full.

    Raises:
        sqlite3.OperationalError: it has a log, which would have to be read with it.
    """
    if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal"):
        raise sqlite3.OperationalError("its log cannot be read")
    return sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True, isolation_level=None)


def mark_of(*values: object) -> int:
    """Return the check of a row."""
    return zlib.crc32(repr(values).encode())


def progress_mark(id: int, state: bytes) -> int:
    """Return the check of a row of ``progress``, whose bytes may be many."""
    return zlib.crc32(state, id & 0xFFFFFFFF)


_CHECKS: dict[str, Callable[..., int]] = {
    "stores": mark_of, "streams": mark_of, "sources": mark_of, "consumers": mark_of, "progress": progress_mark,
}  # fmt: skip
