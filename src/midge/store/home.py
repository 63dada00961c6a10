"""Home: what a store in files needs of the directory that it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from midge.store.files import Files
from midge.store.handles import Handles
from midge.store.haste import Haste
from midge.store.recovery import Damage
from midge.store.tail import Block

if TYPE_CHECKING:
    from midge.store.log import FileStore

__all__ = ["Home"]


class Home(Protocol):
    """What a store needs of its directory."""

    files: Files
    always: bool
    segment_size: int
    handles: Handles
    haste: Haste

    def changed(self, store: FileStore) -> None:
        """The store has something that waits."""

    def hold(self, store: FileStore, block: Block) -> None:
        """The store has a block more in memory; ``release`` gets it when that is too much."""

    def submit(self, call: Callable[[], object], done: Callable[[object], None]) -> None:
        """Run a call in a worker."""

    def report(self, damage: Damage) -> None:
        """Something was found damaged."""

    def failed(self, store: FileStore) -> None:
        """The store needs ``repair``, later."""

    def forget(self, store: FileStore) -> None:
        """The store is closed: settle what waits, and then ``release_files``; waits for the disk."""

    def discard(self, store: FileStore, told: Callable[[], None]) -> None:
        """The store is deleted: remove its files when nobody uses them, after ``release_files``; tell when it cannot come back."""
