"""State: what of a consumer outlives the process: its row in the store directory's state, which ``store.keeper`` writes.

A consumer whose stream is in memory, or that says so itself (``mem_storage``), has none. What was confirmed is in the row before it is
told; everything else gets there a little later, so after a crash there may be deliveries again, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.engine.consumers.dump import dump
from midge.model.base import encode
from midge.store.keeper import Keeper
from midge.store.state import ConsumerRow

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.model.consumer import ConsumerConfig

__all__ = ["ConsumerState", "state_of"]


class ConsumerState:
    """The row of one consumer.

    Args:
        consumer: whose it is.
        keeper: who writes it.
        id: of the row, where there is one already.

    Attributes:
        id: of the row.
        is_noted: the keeper will write it.
    """

    __slots__ = ("_consumer", "_keeper", "id", "is_noted")

    def __init__(self, consumer: Consumer, keeper: Keeper, id: int = 0) -> None:
        self._consumer = consumer
        self._keeper = keeper
        self.id = id or keeper.next_id()
        self.is_noted = False

    def dump(self) -> bytes:
        """Return how far the consumer has come; what happens from now on has to be noted."""
        self._consumer.delivery.changed = False
        return dump(self._consumer.ledger, self._consumer.engine.wall)

    def note(self) -> None:
        """Something has changed: have it written, some time."""
        if not self.is_noted:
            self._keeper.changed(self)

    def put(self, config: ConsumerConfig, told: Callable[[OSError | None], None]) -> None:
        """Have the consumer written with a configuration; tell when that is safe, or why it is not."""
        consumer = self._consumer
        stream = consumer.stream
        row = ConsumerRow(self.id, stream.account.name, stream.name, consumer.name, encode(config), consumer.created, self.dump())
        self._keeper.put(row, stream.created, told)

    def remove(self, told: Callable[[OSError | None], None]) -> None:
        """Have the row removed; tell of each attempt, of which there are as many as it takes."""
        self._keeper.remove(self, told)

    def forget(self) -> None:
        """The row goes with those of the stream."""
        self._keeper.forget(self)

    def confirm(self, told: Callable[[], None]) -> None:
        """Tell when all that has happened so far is safe: now, where it is."""
        if self._keeper.is_safe(self):
            told()
        else:
            self._keeper.confirm(self, told)


def state_of(consumer: Consumer, id: int = 0) -> ConsumerState | None:
    """Return the state of a consumer; None where it is in memory only."""
    directory, stream = consumer.engine.directory, consumer.stream
    if directory is None or stream.config.storage != "file" or consumer.config.mem_storage:
        return None
    return ConsumerState(consumer, directory.keeper, id)
