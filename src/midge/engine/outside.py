"""Outside: what the engine asks of the server around it. The server implements it over its accounts; tests do it with a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from midge.wire.publication import Publication

__all__ = ["Eye", "Outside", "Receive"]

Receive = Callable[[Publication, int], bool]  # a message and the time; False where nobody has taken it


class Eye(Protocol):
    """Somebody who wants to know whether a subject has interest. Returned by ``Outside.watch``."""

    @property
    def interested(self) -> bool:
        """True if there is some."""
        ...


class Outside(Protocol):
    """The network, as the engine sees it. Accounts are named."""

    def emit(self, account: str, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> bool:
        """Send a message, soon. False where too much waits already: it is not sent."""
        ...

    def route(self, account: str, subject: bytes) -> Any:
        """Return the way to those who listen to a subject, for ``deliver``. Keep it where more will be delivered."""
        ...

    def deliver(self, route: Any, publication: Publication) -> int:
        """Send a message to those at the end of a route, whatever its own subject; in the order of the calls, and at once.

        Not while messages are routed: not by who is called by ``subscribe`` or ``watch``.

        Returns:
            0 where nobody is there, 1, or 2 where so much waits for one of them that the next should wait.
        """
        ...

    def answer(self, account: str, answers: list[Publication]) -> None:
        """Send messages whose subjects are published to once, soon, in this order."""
        ...

    def subscribe(self, account: str, subject: bytes, receive: Receive) -> object:
        """Let a function hear what is published; the publication is valid during the call only. Returns what ``unsubscribe`` takes."""
        ...

    def attend(self, account: str, subject: bytes, receive: Receive) -> object:
        """Let a function hear what consumers deliver to a subject, whatever the message's own, and nothing that clients publish there.

        Returns:
            what ``unsubscribe`` takes.
        """
        ...

    def unsubscribe(self, token: Any) -> None:
        """End a subscription."""
        ...

    def has_interest(self, account: str, subject: bytes) -> bool:
        """True if a message to the subject would reach anybody."""
        ...

    def watch(self, account: str, subject: bytes, queue: bytes | None, told: Callable[[bool], None]) -> Eye:
        """Tell when somebody subscribes to exactly this subject, in a queue group or in none, and when nobody does any more.

        It is told in the middle of something: no more should be done then than noting it.
        """
        ...

    def unwatch(self, eye: Any) -> None:
        """End a watch."""
        ...

    def sender(self) -> dict[str, object] | None:
        """Describe the client whose message is being received, for advisories; None where it is none."""
        ...

    def spend(self, work: int) -> None:
        """What was just received costs so much more than it seemed to, in deliveries: let its sender do less in this turn."""
        ...

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call it later in this thread."""
        ...

    def failed(self, what: str, error: Exception) -> None:
        """Something went wrong that nobody can be told of: for the log."""
        ...
