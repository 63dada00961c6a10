"""PubAck: the stream has a message: under which sequence."""

from __future__ import annotations

import msgspec

from midge.errors import JetStreamError
from midge.jetstream.errors import MalformedAnswerError, NoStreamError
from midge.jetstream.requests import answer_of
from midge.message import Message

__all__ = ["PubAck", "is_unheard", "read_ack"]

_NO_RESPONDERS = 503


class PubAck(msgspec.Struct, frozen=True):
    """What a stream says of a message that it has.

    Attributes:
        stream: its name.
        seq: the message's sequence; of a batch, the last message's.
        domain: where it is, "" for nowhere in particular.
        duplicate: it had the message already, under this sequence.
        val: of a counter, its new value as a text; see ``value``.
        batch, count: of a batch, its id, and how many messages it had.
    """

    stream: str
    seq: int
    domain: str = ""
    duplicate: bool = False
    val: str = ""
    batch: str = ""
    count: int = 0

    @property
    def value(self) -> int | None:
        """The new value of a counter; None where it is none."""
        return int(self.val) if self.val else None


_DECODER = msgspec.json.Decoder(PubAck)


def is_unheard(message: Message) -> bool:
    """True if nobody was there to take what this answers."""
    return not message.data and message.status == _NO_RESPONDERS


def read_ack(subject: str, message: Message) -> PubAck:
    """Return the acknowledgement of what was published to a subject.

    Raises:
        NoStreamError: nobody was there to take it.
        JetStreamError: it was refused.
        MalformedAnswerError: the answer is none of a stream's.
    """
    data = message.data
    if is_unheard(message):
        raise NoStreamError(subject)
    try:
        if b'"error"' in data:
            answer_of(message)
        return _DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        if isinstance(error, JetStreamError):
            raise
        raise MalformedAnswerError(f"what answers on {subject!r} is no stream", data) from error
