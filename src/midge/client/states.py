"""What a session and a connection can be, and what can happen to them. The words of the client, each with its one meaning:

attempt    one try to reach one server: it gives a driver (a session and its link) or an error
driver     what joins a session to its link, for one socket; a connection outlives its drivers
refuse     to say no: the server by -ERR, we by raising
lose       to be left without a driver that was still wanted
part       with a driver: to keep of it what the next one needs
search     for a driver: one attempt after the other;  give up: to search no more
backlog    what is published between two drivers
drain      to finish what was begun, then to close
close      what the application asks of a connection, and what is done with a session and a link when they are no longer wanted
end        of a subscription or a wait: nothing more will come
stop       of a subscription that drains: UNSUB is sent, what the server sent before it still comes
cut        of a driver: its link is closed without sending what is left
take       of messages: to remove from a buffer;  discard: to forget them there
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

__all__ = [
    "Ended", "Event", "Failed", "Greeted", "Happening", "Informed", "Interrupted", "Opened", "Ponged", "Refused", "SessionState", "Slow",
    "State",
]  # fmt: skip


class SessionState(IntEnum):
    """What a session waits for, in order: INFO, PONG, messages, nothing."""

    GREETING = 0
    HANDSHAKE = 1
    OPEN = 2
    CLOSED = 3


class State(Enum):
    """What a connection is. RECONNECTING and, for a while, DRAINING are without a driver, but not ended: another is looked for."""

    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    DRAINING = "draining"
    CLOSED = "closed"


class Event(Enum):
    """What happens to a connection; its table of states says what comes of it."""

    OPENED = "an attempt has succeeded"
    LOST = "there is no link, and another is looked for"
    GIVEN_UP = "there is no link, and none is looked for any more"
    DRAIN = "the application drains"
    DRAINED = "what was begun is finished, or never will be"
    CLOSE = "the application closes"


# What happens in a session that is not a message. A driver takes these with ``Session.take_events``, in order.


@dataclass(frozen=True, slots=True)
class Greeted:
    """The first INFO came; it is in ``Session.info``, and the server waits for CONNECT."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The server has let us in."""


@dataclass(frozen=True, slots=True)
class Ponged:
    """The PINGs up to this number are answered."""

    number: int


@dataclass(frozen=True, slots=True)
class Informed:
    """An INFO came after the first; it is in ``Session.info``."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An -ERR came, with this text. If it is about a SUB, then of a feed whose sid is from ``first`` on and below ``stop``: sent after
    the last PING that is answered and before the next one."""

    text: str
    first: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A feed's callback raised."""

    feed: Any
    error: BaseException


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A callback raised what is not its own error, but means to end the program: KeyboardInterrupt or SystemExit."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Slow:
    """A feed's buffer was full, and a message was dropped, for the first time since one fitted."""

    feed: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will come for a feed."""

    feed: Any


Happening = Greeted | Opened | Ponged | Informed | Refused | Failed | Interrupted | Slow | Ended
