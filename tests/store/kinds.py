"""The kinds of stores that the one suite and the model are run with. Another kind joins by a class here and a line in ``KINDS``."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from midge.store.base import Store
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


KINDS: dict[str, Callable[[Path], Shop]] = {"memory": MemoryShop}
