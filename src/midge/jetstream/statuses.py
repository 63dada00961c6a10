"""Statuses: what a server says of a pull request in place of a message (ADR-37), and what is to be done about it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from midge.errors import JetStreamError
from midge.jetstream.errors import ConsumerNotFoundError
from midge.message import Message

__all__ = ["DIGITS", "Kind", "Status", "read_status"]

DIGITS = 18  # of a number that is taken for one: it has to fit into 64 bits


class Kind(Enum):
    """What a status means for who has asked."""

    HEARTBEAT = "the server is there, and has nothing to say"
    END = "the request has ended: nothing came any more in its time, or it brought what fits"
    WARNING = "the request was refused for what it asks for; the next one may not be"
    PIN = "another client is pinned"
    UNPINNED = "nobody can be pinned there: what said so was a message's own header"
    GONE = "the consumer is not there any more, or is none of this kind"
    REFUSED = "the request makes no sense"
    UNHEARD = "nobody was there to take the request"


class Status(NamedTuple):
    """A status.

    Attributes:
        text: as the server says it, with its number.
        msgs, bytes: what the request might still have brought; None where the server does not say.
    """

    kind: Kind
    text: str
    msgs: int | None = None
    bytes: int | None = None

    def error(self) -> JetStreamError | None:
        """Return what the caller is to be told; None where it is no error."""
        code, _, description = self.text.partition(" ")
        if self.kind is Kind.GONE:
            return ConsumerNotFoundError(int(code), 10014, description)
        if self.kind in (Kind.REFUSED, Kind.WARNING):
            return JetStreamError(int(code), 0, description)
        return None


_WARNINGS = ("exceeded maxrequestbatch", "exceeded maxrequestexpires", "exceeded maxrequestmaxbytes", "exceeded maxwaiting")
_UNPINNED = "not a pinned client"
_GONE = ("consumer deleted", "consumer is push based")


def read_status(message: Message) -> Status:
    """Return what a status message says."""
    headers = message.headers
    code, description = headers.status or 0, headers.description
    text = description.lower()
    if code == 100:
        kind = Kind.HEARTBEAT
    elif code == 400:
        kind = Kind.UNPINNED if _UNPINNED in text else Kind.REFUSED
    elif code == 423:
        kind = Kind.PIN
    elif code == 503:
        kind = Kind.UNHEARD
    elif code == 409 and text.startswith(_GONE):
        kind = Kind.GONE
    elif code == 409 and text.startswith(_WARNINGS):
        kind = Kind.WARNING
    else:  # 404, 408, what ends a request early, and what a newer server may say
        kind = Kind.END
    return Status(kind, f"{code} {description}", _number(headers.get("Nats-Pending-Messages")), _number(headers.get("Nats-Pending-Bytes")))


def _number(text: str | None) -> int | None:
    return int(text) if text and len(text) <= DIGITS and text.isdecimal() else None
