"""Directory: all streams' stores below one path, their workers, their memory, and the lock that keeps a second opener away.

    PATH/lock                    locked while open; holds the process's id
    PATH/state.db                see ``store.state``
    PATH/streams/ID/             a stream's segments, ``quarantine``, and ``store.json``, which says whose they are

The driver calls ``begin`` at the end of each turn of its loop, and ``finish`` after each ``wake``; ``handle_timeout`` when
``next_deadline`` has come. Each of these costs what the stores cost that have something waiting, and never waits for a disk.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import deque
from collections.abc import Callable

from midge.errors import StoreDamagedError, StoreLockedError
from midge.store.commit import Workers
from midge.store.files import Files
from midge.store.log import SEGMENT_SIZE, FileStore
from midge.store.recovery import Damage
from midge.store.state import State
from midge.store.tail import Block

__all__ = ["StoreDirectory"]

_FIRST_DELAY, _LAST_DELAY = 100_000_000, 5_000_000_000  # nanoseconds between attempts to write again
_TRIES = 64  # blocks that are looked at to free memory


class StoreDirectory:
    """The stores below a path.

    Args:
        path: made where it is missing.
        sync: "always": a round is committed when it is synced. Seconds: when it is written; what was written is synced so often.
            "os": when it is written; the system decides when it is synced.
        wake: called in whatever thread something finished; must not raise.
        workers: threads that write; 0 to write in ``begin``.
        memory: bytes of what was written last that stay in memory, of all stores together.
        segment_size: bytes that a segment has at most, unless one message is longer.
        files: the disk.
        dice: gives random bytes.

    Attributes:
        state: the configurations.
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
        self.quarantine: list[Damage] = []
        self._interval = 0 if isinstance(sync, str) else max(1, int(sync * 1e9))
        self._memory = memory
        self._dice = dice
        self._pid = os.getpid()
        self._now = 0
        self._sync_at: int | None = None
        self._stores: dict[int, FileStore] = {}
        self._names: dict[FileStore, tuple[str, str, int]] = {}
        self._dirty: dict[FileStore, None] = {}
        self._failing: dict[FileStore, tuple[int, int]] = {}
        self._held: deque[tuple[FileStore, Block]] = deque()
        self._held_size = 0
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        self._lock = self._locked()
        try:
            self.files.make_directory(f"{self.path}/streams")
            self.state = State(f"{self.path}/state.db")
            self.files.sync_directory(self.path)
            self._tidy()
        except BaseException:
            os.close(self._lock)
            raise
        self._workers = Workers(workers, wake)

    # Stores

    def open(self, account: str, stream: str) -> FileStore:
        """Return a stream's store; made where there is none.

        Raises:
            OSError: its files cannot be read or made; StoreVersionError: a later version wrote them.
            StoreDamagedError: what says whose the files are is damaged.
        """
        row = self.state.store(account, stream)
        if row is None:
            seed = int.from_bytes(self._dice(4), "little")
            row = self._adopted(account, stream) or (self.state.add_store(account, stream, seed), seed)
        id, seed = row
        if id in self._stores:
            return self._stores[id]
        path = self._path_of(id)
        if not self.files.exists(f"{path}/store.json"):
            self._make(path, {"account": account, "seed": seed, "stream": stream, "version": 1})
        store = FileStore(self, path, seed)
        self._stores[id] = store
        self._names[store] = account, stream, id
        return store

    def close(self) -> None:
        """Settle what waits, and let go of all files. In a process that was forked off it only lets go."""
        if self._lock < 0:
            return
        for store in list(self._stores.values()):
            store.close()
        self._workers.close()
        self.state.close()
        os.close(self._lock)
        self._lock = -1

    # The driver

    def begin(self) -> None:
        """Start a round for each store that has something waiting and none under way.

        Raises:
            RuntimeError: in a process that was forked off: the files belong to the other one.
        """
        if not self._dirty:
            return
        if os.getpid() != self._pid:
            raise RuntimeError(f"the store at {self.path} was opened by process {self._pid}, from which this one was forked")
        dirty, self._dirty = self._dirty, {}
        for store in dirty:
            if store.is_busy or not store.is_dirty:
                continue  # ``finished`` puts it here again
            store.start()
            if self._interval and self._sync_at is None and store.is_unsynced:
                self._sync_at = self._now + self._interval

    def finish(self) -> None:
        """Take what the workers have finished, tell those who wait for it, and start the next rounds."""
        self._workers.finish()
        self.begin()

    def next_deadline(self) -> int | None:
        """Return when to call ``handle_timeout``, in nanoseconds since the epoch; None for never."""
        times = [at for at, _ in self._failing.values()]
        if self._sync_at is not None:
            times.append(self._sync_at)
        return min(times, default=None)

    def handle_timeout(self, now: int) -> None:
        """Sync what the interval says, and try whether writing works again where it did not. Then call ``begin``."""
        self._now = now
        if self._sync_at is not None and now >= self._sync_at:
            self._sync_at = None
            for store in self._stores.values():
                store.want_sync()
        for store, (at, delay) in list(self._failing.items()):
            if now >= at:
                self._failing[store] = (now + 10 * _LAST_DELAY, delay)  # while it is under way
                store.repair(lambda repaired, store=store, delay=delay: self._repaired(store, repaired, delay))  # type: ignore[misc]

    # For the stores

    def changed(self, store: FileStore) -> None:
        self._dirty[store] = None

    def hold(self, store: FileStore, block: Block) -> None:
        self._held.append((store, block))
        self._held_size += len(block.buf)
        tries = _TRIES
        while self._held_size > self._memory and tries and len(self._held) > 1:
            tries -= 1
            oldest = self._held.popleft()
            if oldest[0].release(oldest[1]):
                self._held_size -= len(oldest[1].buf)
            else:
                self._held.append(oldest)

    def submit(self, call: Callable[[], object], done: Callable[[object], None]) -> None:
        self._workers.submit(call, done)

    def report(self, damage: Damage) -> None:
        self.quarantine.append(damage)

    def failed(self, store: FileStore) -> None:
        self._failing[store] = (self._now + _FIRST_DELAY, _FIRST_DELAY)

    def forget(self, store: FileStore, *, remove: bool) -> None:
        account, stream, id = self._names[store]
        if os.getpid() == self._pid:
            self._settle(store, write=not remove)
            if not remove:
                store.checkpoint()
        del self._names[store], self._stores[id]
        self._dirty.pop(store, None)
        self._failing.pop(store, None)
        if remove:
            self._remove(account, stream, id)

    def _settle(self, store: FileStore, *, write: bool) -> None:
        """Wait until nothing of a store is under way, and write what waits, unless that is of no use."""
        while store.is_busy or store.is_loading:
            self._workers.wait()
        if write:
            store.want_sync()
            while store.is_dirty:
                store.start()
                while store.is_busy:
                    self._workers.wait()
            while store.is_loading:
                self._workers.wait()

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
        return f"{self.path}/streams/{id:08d}"

    def _locked(self) -> int:
        """Lock the directory; the lock ends with the process, however that ends."""
        fd = os.open(f"{self.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(fd, 20)
            os.close(fd)
            raise StoreLockedError(self.path, int(owner) if owner.strip().isdigit() else 0) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % self._pid, 0)
        return fd

    def _tidy(self) -> None:
        """Remove what is left of stores that were deleted."""
        for name in self.files.names(f"{self.path}/streams"):
            if name.endswith(".gone"):
                self._remove_rest(f"{self.path}/streams/{name}", name.removesuffix(".gone"))

    def _make(self, path: str, names: dict[str, object]) -> None:
        """Make the directory of a store, and wait until it is on disk."""
        files = self.files
        files.make_directory(path)
        if files.exists(f"{path}/store.json.new"):
            files.unlink(f"{path}/store.json.new")
        fd = files.create(f"{path}/store.json.new")
        try:
            files.pwrite(fd, json.dumps(names, sort_keys=True).encode() + b"\n", 0)
            files.fdatasync(fd)
        finally:
            files.close(fd)
        files.rename(f"{path}/store.json.new", f"{path}/store.json")
        files.sync_directory(path)
        files.sync_directory(f"{self.path}/streams")

    def _adopted(self, account: str, stream: str) -> tuple[int, int] | None:
        """Find a stream's files that ``state`` does not know, because it was lost; note them, and return their id and seed."""
        known = self.state.store_ids()
        for name in self.files.names(f"{self.path}/streams"):
            if not name.isdecimal() or int(name) in known:
                continue
            says = self._says(f"{self.path}/streams/{name}/store.json")
            if says is not None and says[:2] == (account, stream):
                self.state.add_store(account, stream, says[2], int(name))
                return int(name), says[2]
        return None

    def _says(self, path: str) -> tuple[str, str, int] | None:
        """Return the account, stream and seed that a store says it has; None where it has said nothing yet."""
        if not self.files.exists(path):
            return None
        fd = self.files.open(path)
        try:
            says = json.loads(self.files.pread(fd, self.files.size(fd), 0))
            return str(says["account"]), str(says["stream"]), int(says["seed"])
        except (ValueError, TypeError, KeyError) as error:
            raise StoreDamagedError(path, "it does not say whose store this is") from error
        finally:
            self.files.close(fd)

    def _remove(self, account: str, stream: str, id: int) -> None:
        """Remove a stream: the name of its directory goes first, so that it is gone as a whole or not at all; see ``_tidy``."""
        path = self._path_of(id)
        self.files.rename(path, f"{path}.gone")
        self.files.sync_directory(f"{self.path}/streams")
        self._forget_stream(account, stream)
        self._empty(f"{path}.gone")

    def _remove_rest(self, path: str, id: str) -> None:
        """Go on with a removal that was interrupted: what is known of the stream goes, too, if that is still this one."""
        says = self._says(f"{path}/store.json")
        if says is not None:
            row = self.state.store(*says[:2])
            if row is not None and f"{row[0]:08d}" == id:
                self._forget_stream(*says[:2])
        self._empty(path)

    def _forget_stream(self, account: str, stream: str) -> None:
        self.state.remove_stream(account, stream)
        self.state.remove_store(account, stream)

    def _empty(self, path: str) -> None:
        for name in self.files.names(path):
            if name == "quarantine":
                self._empty(f"{path}/{name}")
            else:
                self.files.unlink(f"{path}/{name}")
        self.files.remove_directory(path)
