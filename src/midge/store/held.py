"""Held: what all stores of a directory have in memory of what they wrote last, and who lets go first where that is too much.

The oldest block goes first, unless it is needed yet. A store that goes takes its own along, however many others have.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from midge.store.tail import Block

if TYPE_CHECKING:
    from midge.store.log import FileStore

__all__ = ["Held"]

_TRIES = 64  # blocks that are looked at to free memory


class Held:
    """The blocks that are in memory.

    Args:
        memory: bytes that they have together, unless more are needed.

    Attributes:
        size: the bytes that they have.
    """

    def __init__(self, memory: int) -> None:
        self.size = 0
        self._memory = memory
        self._stores: OrderedDict[Block, FileStore] = OrderedDict()  # whose they are, the oldest first
        self._of: dict[FileStore, dict[Block, None]] = {}

    def __len__(self) -> int:
        return len(self._stores)

    def hold(self, store: FileStore, block: Block) -> None:
        """A store has a block more; let go of old ones, where that is too much."""
        self._stores[block] = store
        self._of.setdefault(store, {})[block] = None
        self.size += len(block.buf)
        tries = _TRIES
        while self.size > self._memory and tries and len(self._stores) > 1:
            tries -= 1
            oldest, owner = next(iter(self._stores.items()))
            if owner.release(oldest):
                self._forget(oldest)
                its_own = self._of[owner]
                del its_own[oldest]
                if not its_own:
                    del self._of[owner]
            else:
                self._stores.move_to_end(oldest)

    def let_go(self, store: FileStore) -> None:
        """A store has none any more."""
        for block in self._of.pop(store, ()):
            self._forget(block)

    def _forget(self, block: Block) -> None:
        del self._stores[block]
        self.size -= len(block.buf)
