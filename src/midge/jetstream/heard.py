"""HeardSubscription: a subscription of JetStream's own, whose owner gets each message inside the read and is told when it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from midge.client.subscription import Subscription
from midge.errors import MidgeError
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.client import Client

__all__ = ["HeardSubscription", "Hearer"]


class Hearer(Protocol):
    """Who owns such a subscription."""

    def receive(self, message: Message) -> None:
        """A message came. Called inside the read."""

    def end(self, error: Callable[[], MidgeError]) -> None:
        """Nothing more will come, for this reason."""


class HeardSubscription(Subscription):
    """What it receives is not bounded: its owner asks for what it gets."""

    __slots__ = ("_hearer",)

    def __init__(self, client: Client, subject: str, hearer: Hearer, queue: str | None = None) -> None:
        self._hearer = hearer
        super().__init__(client._connection, subject, queue, hearer.receive, -1, -1, "drop_new", 1)

    def end(self, error: Callable[[], MidgeError] | None = None) -> None:
        super().end(error)
        if self._end_error is not None:
            self._hearer.end(self._end_error)
