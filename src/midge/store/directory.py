"""Directory: all streams' stores below one path, their workers, their memory, and the lock that keeps a second opener away.

    PATH/lock                    locked while open; holds the process's id
    PATH/state.db                see ``store.state``
    PATH/streams/ID/             a stream's segments, ``quarantine``, and ``store.json``, which says whose they are

The driver calls ``begin`` at the end of each turn of its loop, and ``finish`` after each ``wake``; ``handle_timeout`` when
``next_deadline`` has come. Each of these costs what the stores cost that have something waiting, and never waits for a disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from sqlite3 import Connection

from midge.errors import StoreDamagedError
from midge.store.clearing import GONE, Departures, hide
from midge.store.commit import Workers
from midge.store.files import Files
from midge.store.folder import Folder, Owner, folder_name, id_of
from midge.store.handles import Handles
from midge.store.haste import Haste
from midge.store.held import Held
from midge.store.keeper import Keeper
from midge.store.lock import Lock
from midge.store.log import SEGMENT_SIZE, FileStore
from midge.store.recovery import Damage
from midge.store.state import (
    ConsumerRow,
    State,
    StreamRow,
    add_draft,
    add_store,
    forget_gone,
    put_draft,
    put_stream,
    remove_store,
    remove_stream,
)  # fmt: skip
from midge.store.tail import Block

__all__ = ["StoreDirectory"]

_FIRST_DELAY, _LAST_DELAY = 100_000_000, 5_000_000_000  # nanoseconds between attempts to write again


class StoreDirectory:
    """The stores below a path.

    Args:
        path: made where it is missing.
        sync: "always": a round is committed when it is synced. Seconds: when it is written; what was written is synced so often.
            "os": when it is written; the system decides when it is synced.
        wake: called in whatever thread something finished, and where ``begin`` leaves something to begin; must not raise.
        is_alone, clock: see ``Haste``.
        workers: threads that write; 0 to write in ``begin``.
        memory: bytes of what was written last that stay in memory, of all stores together.
        segment_size: bytes that a segment has at most, unless one message is longer.
        files: the disk.
        dice: gives random bytes.

    Attributes:
        state: the configurations.
        keeper: writes consumers.
        quarantine: what was found damaged.

    Raises:
        StoreLockedError: somebody else has it open.
        StoreDamagedError, StoreVersionError: ``state`` cannot be read.
    """

    def __init__(
        self,
        path: str,
        *,
        sync: str | float = "always",
        wake: Callable[[], None],
        is_alone: Callable[[], bool] | None = None,
        clock: Callable[[], int] = lambda: 0,
        workers: int = 4,
        memory: int = 64 << 20,
        segment_size: int = SEGMENT_SIZE,
        files: Files | None = None,
        dice: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if isinstance(sync, str) and sync not in ("always", "os"):
            raise ValueError(f"sync is {sync!r}: expected always, os or seconds")
        self.path = os.path.abspath(path)
        self.files = Files() if files is None else files
        self.always = sync == "always"
        self.segment_size = segment_size
        self.handles = Handles()
        self.haste = Haste(is_alone, clock)
        self.quarantine: list[Damage] = []
        self._interval = 0 if isinstance(sync, str) else max(1, int(sync * 1e9))
        self._wake = wake
        self._dice = dice
        self._pid = os.getpid()
        self._now = self._highest = 0
        self._sync_at: int | None = None
        self._stores: dict[int, FileStore] = {}
        self._names: dict[FileStore, tuple[str, str, int]] = {}
        self._dirty: dict[FileStore, None] = {}
        self._failing: dict[FileStore, tuple[int, int]] = {}
        self._departures = Departures(self.files, self.submit, self._report_left, self._forget_gone)
        self._held = Held(memory)
        self._is_closed = False
        self._orphans: set[int] = set()
        self._leaving: set[int] = set()  # of stores that are of no stream any more, though that may not be noted yet
        self._unsynced = [self.path]  # directories whose new names are synced before a stream is made or shown
        self._make_path(self.path)
        self._lock = Lock(self.path, self._pid)
        try:
            self.files.make_directory(f"{self.path}/streams")
            self.state = State(f"{self.path}/state.db")
            left = self._tidy()
        except BaseException:
            self._lock.let_go()
            raise
        self._workers = Workers(workers, wake)
        for path in left:
            self._departures.finish(path)
        self.keeper = Keeper(f"{self.path}/state.db", sync=self.always, submit=self.submit, last_id=self.state.last_consumer())

    # Stores

    def open(self, account: str, stream: str) -> FileStore:
        """Return a stream's store; made where there is none.

        Raises:
            OSError: its files cannot be read or made; StoreVersionError: a later version wrote them.
            StoreDamagedError: what says whose the files are is damaged.
        """
        self._refuse_in_a_child()
        row = self._known(account, stream)
        if row is None:
            row = self._new_place()
            self.state.add_store(account, stream, row[1], row[0])
        id, seed = row
        if id in self._stores:
            return self._stores[id]
        folder = Folder(self.files, self._path_of(id))
        self._own(folder, (account, stream, seed))
        store = FileStore(self, folder, seed)
        self._stores[id] = store
        self._names[store] = account, stream, id
        return store

    def create(self, row: StreamRow, told: Callable[[OSError | None], None]) -> None:
        """Note a new stream, for which ``open`` is called next; tell when that is safe, or why it is not. Many are noted together.

        Args:
            told: never called within this call.

        Raises:
            OSError: it cannot be noted.
        """
        self._refuse_in_a_child()
        self._sync_names()
        id, seed = self._known(row.account, row.name) or self._new_place()

        def write(base: Connection) -> None:
            add_store(base, row.account, row.name, seed, id)
            put_stream(base, row)

        self.keeper.change_streams(write, told)

    def change(self, row: StreamRow, told: Callable[[OSError | None], None]) -> None:
        """Note what has changed of a stream; told as by ``create``."""
        self._refuse_in_a_child()
        self.keeper.change_streams(lambda base: put_stream(base, row), told)

    def remove(self, account: str, stream: str, told: Callable[[OSError | None], None]) -> None:
        """Note that a stream is gone, with its consumers and its store; told as by ``create``. Next: the store's ``delete``.

        Where the store was closed meanwhile, its files are removed by the next start.
        """
        self._refuse_in_a_child()
        self.keeper.change_streams(lambda base: remove_stream(base, account, stream), told)

    def streams(self, account: str) -> list[StreamRow]:
        """Return an account's streams as they are now: what waits to be noted of streams is written first, where there is any."""
        if self.keeper.changes_streams:
            self.keeper.flush(self._workers.wait)
        return self.state.streams(account)

    def consumers(self, account: str, stream: str) -> list[ConsumerRow]:
        """Return a stream's consumers as they are now: what waits of others is written first, where there is any."""
        self.keeper.flush(self._workers.wait)
        return self.state.consumers(account, stream)

    def prepare_draft(self, account: str, stream: str, told: Callable[[OSError | None], None]) -> None:
        """Note the store of a stream that is being filled, for which ``open`` is called next; told as by ``create``.

        It is removed by the next start, unless ``commit_draft`` comes before.
        """
        self._refuse_in_a_child()
        id, seed = self._known(account, stream) or self._new_place()
        self.keeper.change_streams(lambda base: add_draft(base, account, stream, seed, id), told)

    def commit_draft(self, row: StreamRow, consumers: list[ConsumerRow], told: Callable[[OSError | None], None]) -> None:
        """Note a stream that was filled, and its consumers; told as by ``create``."""
        self._refuse_in_a_child()
        self.keeper.change_streams(lambda base: put_draft(base, row, consumers), told)

    def drop_draft(self, account: str, stream: str) -> None:
        """Forget a draft that was noted, and is not to be opened."""
        if (found := self.state.store(account, stream)) is not None:
            self._leave(found[0])

    def close(self) -> None:
        """Settle what waits, and let go of all files. In a process that was forked off it only lets go."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._settle_all()
        finally:
            self.keeper.let_go()
            self._workers.close()
            self.state.close()
            self._lock.let_go()

    def _settle_all(self) -> None:
        """Write and remove all that waits for it; what one that waits raises keeps consumers from nothing."""
        try:
            for store in list(self._stores.values()):
                store.close()
            while os.getpid() == self._pid and self._departures:
                self._workers.wait()
                self._departures.look()
        finally:
            if os.getpid() == self._pid:
                self.keeper.flush(self._workers.wait)
                self._note_end()

    # The driver

    def begin(self) -> None:
        """Start a round for each store that has something waiting and none under way, and let consumers be written.

        Raises:
            Exception: what one that waited to be told raised; all rounds were started.
            RuntimeError: in a process that was forked off: the files belong to the other one.
        """
        if not self._dirty and not self.keeper.is_ready:
            return
        self._refuse_in_a_child()
        self.keeper.begin()
        dirty, self._dirty = self._dirty, {}
        self.haste.rounds = len(dirty)
        failed: Exception | None = None
        for store in dirty:
            if store.is_busy or not store.is_dirty:
                continue  # ``finished`` puts it here again
            try:
                store.start()
            except Exception as error:  # the others do not wait for that, and the caller is told
                failed = failed or error
            if self._interval and self._sync_at is None and store.is_unsynced:
                self._sync_at = self._now + self._interval
        if self._dirty:  # rounds that were over at once, and made work
            self._wake()
        if failed is not None:
            raise failed

    def finish(self) -> None:
        """Take what the workers have finished, tell those who wait for it, and start the next rounds.

        Raises:
            Exception: as ``begin``.
        """
        try:
            self._workers.finish()
        finally:
            if self._departures:
                self._departures.look()
            self.begin()

    def next_deadline(self) -> int | None:
        """Return when to call ``handle_timeout``, in nanoseconds since the epoch; None for never."""
        times = [at for at, _ in self._failing.values()]
        times += [at for at in (self._sync_at, self.keeper.next_deadline()) if at is not None]
        return min(times, default=None)

    def handle_timeout(self, now: int) -> None:
        """Sync what the interval says, and try whether writing works again where it did not. Then call ``begin``."""
        self._now = now
        self.keeper.handle_timeout(now)
        if self._sync_at is not None and now >= self._sync_at:
            self._sync_at = None
            for store in self._stores.values():
                store.want_sync()
        for store, (at, delay) in list(self._failing.items()):
            if now >= at:
                self._failing[store] = (now + 10 * _LAST_DELAY, delay)  # while it is under way
                store.repair(lambda repaired, store=store, delay=delay: self._repaired(store, repaired, delay))  # type: ignore[misc]

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds: nothing is due sooner or later for that."""
        self._now += by
        self.keeper.set_clock(by)
        if self._sync_at is not None:
            self._sync_at += by
        self._failing = {store: (at + by, delay) for store, (at, delay) in self._failing.items()}

    # For the stores

    def changed(self, store: FileStore) -> None:
        self._dirty[store] = None

    def hold(self, store: FileStore, block: Block) -> None:
        self._held.hold(store, block)

    def submit(self, call: Callable[[], object], done: Callable[[object], None]) -> None:
        self._workers.submit(call, done)

    def report(self, damage: Damage) -> None:
        if damage not in self.quarantine:  # opening may be tried again
            self.quarantine.append(damage)

    def failed(self, store: FileStore) -> None:
        self._failing[store] = (self._now + _FIRST_DELAY, _FIRST_DELAY)

    def forget(self, store: FileStore) -> None:
        if os.getpid() == self._pid:
            self._settle(store)
            store.checkpoint()
        self._let_go(store)
        store.release_files()

    def discard(self, store: FileStore, told: Callable[[], None]) -> None:
        self._refuse_in_a_child()
        account, stream, id = self._names[store]
        if (found := self.state.store(account, stream)) is not None and found[0] == id:
            self._leave(id)
        self._let_go(store)
        self._departures.add(store, id, self._path_of(id), told)

    def _leave(self, id: int) -> None:
        """Let a store be of no stream any more: whoever makes one of its name gets another one, from now on."""
        self._leaving.add(id)
        self.keeper.change_streams(lambda base: remove_store(base, id), lambda error: None)

    def _let_go(self, store: FileStore) -> None:
        """Do nothing more for a store."""
        del self._stores[self._names.pop(store)[2]]
        self._held.let_go(store)
        self._dirty.pop(store, None)
        self._failing.pop(store, None)

    def _settle(self, store: FileStore) -> None:
        """Wait until nothing of a store is under way, and all that waits is written."""
        self._await(store)
        store.want_sync()
        while store.is_dirty:
            store.start()
            self._await(store)

    def _await(self, store: FileStore) -> None:
        while store.is_busy or store.is_loading:
            if not self._workers.wait():  # a round waits for what is not begun to be noted
                self.keeper.flush(self._workers.wait)

    def _repaired(self, store: FileStore, repaired: bool, delay: int) -> None:
        if store not in self._failing:
            return
        if repaired:
            del self._failing[store]
        else:
            delay = min(2 * delay, _LAST_DELAY)
            self._failing[store] = (self._now + delay, delay)

    # Inside

    def _path_of(self, id: int) -> str:
        return f"{self.path}/streams/{folder_name(id)}"

    def _make_path(self, path: str) -> None:
        """Make a directory, and those above it."""
        above = os.path.dirname(path)
        if not os.path.isdir(path):
            if not os.path.isdir(above):
                self._make_path(above)
            with suppress(FileExistsError):
                os.mkdir(path, 0o700)
            self._unsynced.append(above)

    def _refuse_in_a_child(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(f"the store at {self.path} was opened by process {self._pid}, from which this one was forked")

    def _tidy(self) -> list[str]:
        """Look for stores that the state does not know, and return the directories of those that were deleted, which are to be removed."""
        for id in self.state.gone():
            path = self._path_of(id)
            try:
                hide(self.files, path)
                self.state.forget_gone(id)
            except OSError as error:
                self._report_left(path, error)
        names = self.files.names(f"{self.path}/streams")
        if names:  # who made them may have been killed before they were on disk
            self._unsynced.append(f"{self.path}/streams")
        ids = self._ids()
        self._highest = max(ids | {id_of(name.removesuffix(GONE)) or 0 for name in names}, default=0)
        self._orphans = ids - self.state.store_ids()
        for id in sorted(self._orphans):
            why = "nothing is known of the stream that this is of: its configuration is lost"
            self.report(Damage(self._path_of(id), 0, 0, -1, why, self._path_of(id)))
        for id, owner in self.state.stores().items():
            if id not in ids and self.state.birth(*owner) < self._lock.before:  # it has had one
                self.report(Damage(self._path_of(id), 0, 0, -1, "it is missing, and with it all messages of the stream", ""))
        gone = [name for name in names if name.endswith(GONE) and id_of(name.removesuffix(GONE)) is not None]
        return [f"{self.path}/streams/{name}" for name in gone]

    def _ids(self) -> set[int]:
        """Return the ids that have a directory."""
        return {id for name in self.files.names(f"{self.path}/streams") if (id := id_of(name)) is not None}

    def _note_end(self) -> None:
        """Let the time of ``lock`` say, as taking it does, that one of these that is missing when this is opened next is lost."""
        with suppress(OSError):  # then it is not missed
            if self.state.store_ids() <= self._ids():
                self._lock.touch()

    def _own(self, folder: Folder, owner: Owner) -> None:
        """Let a store's directory say whose it is; made where it is missing.

        Raises:
            StoreDamagedError: it is of another stream.
        """
        says = None
        self._sync_names()
        try:
            says = folder.owner()
        except StoreDamagedError:  # the state knows it, and writes it anew
            why = "it did not say whose store this is, and has been written anew"
            self.report(Damage(f"{folder.path}/store.json", 0, 0, -1, why, folder.put_aside()))
        if says is None:
            folder.give_to(owner)
        elif says[:2] != owner[:2]:
            found, expected = (f"{stream!r} of account {account!r}" for account, stream, _ in (says, owner))
            raise StoreDamagedError(folder.path, f"it is of stream {found}, and not of {expected}")

    def _sync_names(self) -> None:
        """Wait until the directories are on disk that were made for this one."""
        for directory in self._unsynced:
            with suppress(PermissionError):  # one that may be written and not be read
                self.files.sync_directory(directory)
        self._unsynced.clear()

    def _known(self, account: str, stream: str) -> tuple[int, int] | None:
        """Return the id and the seed of a stream's store, None where it has none."""
        found = self.state.store(account, stream)
        return self._adopted(account, stream) if found is None or found[0] in self._leaving else found

    def _new_place(self) -> tuple[int, int]:
        """Return an id and a seed for a new store."""
        self._highest = max(self.state.next_id(), self._highest + 1)
        return self._highest, int.from_bytes(self._dice(4), "little")

    def _adopted(self, account: str, stream: str) -> tuple[int, int] | None:
        """Find a stream's files that ``state`` does not know, because it was lost; note them, and return their id and seed."""
        for id in sorted(self._orphans):
            says = None
            with suppress(StoreDamagedError):  # whose it is nobody knows, and it has been reported
                says = Folder(self.files, self._path_of(id)).owner()
            if says is not None and says[:2] == (account, stream):
                self.state.add_store(account, stream, says[2], id)
                self._orphans.remove(id)
                return id, says[2]
        return None

    def _report_left(self, path: str, error: BaseException) -> None:
        self.report(Damage(path, 0, 0, -1, f"what is left of a stream that was deleted cannot be removed: {error}", ""))

    def _forget_gone(self, id: int) -> None:
        """Note that no files of a store are left; where that fails, the next start does it."""

        def told(error: OSError | None) -> None:
            if error is None:
                self._leaving.discard(id)

        self.keeper.change_streams(lambda base: forget_gone(base, id), told)
