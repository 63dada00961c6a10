"""Target: who gets what a consumer delivers: those who pull (``pull.Pull``) or a subject that is pushed to (``push.Push``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.model.consumer import ConsumerConfig

__all__ = ["Target"]


class Target(Protocol):
    """What a consumer and its ``Delivery`` ask of it. It sets ``delivery.wanted``, and calls ``consumer.wake()`` when that becomes true.

    Times are wall nanoseconds. Only ``work``, ``choose``, ``served``, ``rested`` and ``handle_timeout`` may send anything: they are called
    at the end of a turn, never while messages are routed.
    """

    def work(self, wall: int) -> None:
        """Take in what has come since the last turn. Called before each run of the delivery."""
        ...

    def choose(self, size: int) -> Any:
        """Return the route (see ``Outside.route``) of a message of so many bytes; None where nobody wants it: not now, or not that long."""
        ...

    def served(self, size: int) -> None:
        """A message went to the route that was chosen last."""
        ...

    def followed(self, messages: int, size: int) -> None:
        """So many more messages, of so many bytes, went there, as it has let them by ``delivery.granted`` and ``room``."""
        ...

    def crowded(self, wall: int) -> bool:
        """So much waits for who got the last message that it should rest. True where the target sees to that, and others may have more."""
        ...

    def lost(self) -> None:
        """Nobody was there at the route that was chosen last. Next: ``choose`` again, unless ``wanted`` is False."""
        ...

    def decorated(self, publication: Publication) -> Publication:
        """Return a message as it goes to the route that was chosen last; asked for where ``delivery.decorated``."""
        ...

    def rested(self, wall: int, stalled: bool) -> None:
        """A run has ended as there is nothing more to deliver, or, stalled, too much waits to be acknowledged."""
        ...

    def next_deadline(self) -> int:
        """Return when ``handle_timeout`` is to be called, 0 for never."""
        ...

    def handle_timeout(self, wall: int) -> None:
        """Do what is due."""
        ...

    def set_clock(self, by: int) -> None:
        """The clock was set, by so many nanoseconds: move all times."""
        ...

    def update(self, config: ConsumerConfig, wall: int) -> None:
        """Go on with another configuration."""
        ...

    def stop(self, status: bytes) -> None:
        """It ends: tell those who wait, as ``409 Consumer Deleted`` says it."""
        ...

    @property
    def waiting(self) -> int:
        """How many requests wait (``num_waiting``)."""
        ...
