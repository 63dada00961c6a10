"""What happens to a client, told to whoever listens: each event is a frozen value that says what, and holds what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "Closed", "Connected", "Disconnected", "Draining", "ErrorOccurred", "Event", "LameDuck", "ReconnectFailed", "Reconnected",
    "ServersDiscovered", "SlowConsumer", "SubscriptionEnded",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a client.

    Attributes:
        kind: what, as a word for logs and metrics; each class has its own.
    """

    kind: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """The client is connected for the first time; ``url`` holds no credentials."""

    kind: ClassVar[str] = "connected"
    url: str


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The connection is lost.

    Attributes:
        url: the server that it led to.
        error: why, as far as is known.
        lost: publishes that were half sent, and so are neither sent again nor known to have arrived.
    """

    kind: ClassVar[str] = "disconnected"
    url: str
    error: Exception | None = None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Reconnected(Event):
    """The client is connected again, and has subscribed and sent what had waited.

    Attributes:
        url: the server that it leads to now.
        attempts: how many it took, this one included.
        seconds: since the connection was lost.
    """

    kind: ClassVar[str] = "reconnected"
    url: str
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReconnectFailed(Event):
    """An attempt to connect again has failed; ``attempt`` counts from 1 for each loss."""

    kind: ClassVar[str] = "reconnect_failed"
    url: str
    error: Exception
    attempt: int


@dataclass(frozen=True, slots=True)
class ServersDiscovered(Event):
    """A server told of others that were not known."""

    kind: ClassVar[str] = "servers_discovered"
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LameDuck(Event):
    """The server is about to shut down: it will close its connections one after the other."""

    kind: ClassVar[str] = "lame_duck"
    url: str


@dataclass(frozen=True, slots=True)
class SlowConsumer(Event):
    """A subscription's buffer was full and a message was dropped, for the first time since one fitted; ``dropped`` counts all so far."""

    kind: ClassVar[str] = "slow_consumer"
    subject: str
    sid: int
    dropped: int


@dataclass(frozen=True, slots=True)
class SubscriptionEnded(Event):
    """Nothing more will come for a subscription; ``error`` is None where that was asked for."""

    kind: ClassVar[str] = "subscription_ended"
    subject: str
    sid: int
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class ErrorOccurred(Event):
    """An error that no caller can be given; ``where`` says what it belongs to, "" where the error says it."""

    kind: ClassVar[str] = "error"
    error: Exception
    where: str = ""


@dataclass(frozen=True, slots=True)
class Draining(Event):
    """The application drains the connection."""

    kind: ClassVar[str] = "draining"


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The connection has ended, and with it the events; ``error`` is None where the application ended it."""

    kind: ClassVar[str] = "closed"
    error: Exception | None = None
