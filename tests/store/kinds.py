"""The kinds of stores that the one suite and the model are run with. Another kind joins by a class here and a line in ``KINDS``."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from store.disks import MemoryFiles

from midge.store.base import Store
from midge.store.directory import StoreDirectory
from midge.store.memory import MemoryStore


class Shop(ABC):
    """Opens stores of one kind, and is the loop that they live in.

    Args:
        path: an empty directory for its files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def open(self) -> Store:
        """Return an empty store, one more."""

    @abstractmethod
    def turn(self) -> None:
        """Let everything happen that waits: changes settle, and callbacks are called."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class MemoryShop(Shop):
    """Stores in memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._calls: list[Callable[[], None]] = []

    def open(self) -> Store:
        return MemoryStore(self._calls.append)

    def turn(self) -> None:
        while self._calls:
            self._calls.pop(0)()

    def close(self) -> None:
        self._calls.clear()


class FileShop(Shop):
    """Stores in files, with small segments, so that there are many; the disk is in memory."""

    memory = 64 << 20

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._disk = MemoryFiles()
        self._directory = StoreDirectory(
            str(path), wake=lambda: None, workers=0, segment_size=10_000, memory=self.memory, files=self._disk, dice=bytes
        )
        self._opened = 0

    def open(self) -> Store:
        self._opened += 1
        return self._directory.open("A", f"S{self._opened}")

    def turn(self) -> None:
        for _ in range(3):  # what was removed may lead to a segment that is copied, in calls of its own
            self._directory.begin()
            self._directory.finish()

    def close(self) -> None:
        self._directory.close()


class ColdShop(FileShop):
    """The same with nothing in memory that is in a file."""

    memory = 0


KINDS: dict[str, Callable[[Path], Shop]] = {"memory": MemoryShop, "file": FileShop, "cold file": ColdShop}
