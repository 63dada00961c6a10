"""Counter: numbers that many add to without reading them first (ADR-49), as Python ints of any size.

Each subject of the stream is a number; the stream needs ``allow_msg_counter`` and ``allow_direct``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from midge.jetstream.errors import MessageNotFoundError
from midge.jetstream.stored_message import StoredMessage
from midge.jetstream.stream import Stream

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["Counter", "CounterEntry"]


class CounterEntry(NamedTuple):
    """One number.

    Attributes:
        subject: whose it is.
        value: what it comes to.
        incremented_by: what was added last.
        sources: what other streams have added, by stream and subject, where this one collects from them.
    """

    subject: str
    value: int
    incremented_by: int
    sources: dict[str, dict[str, int]]


class Counter:
    """The numbers of one stream; made by ``JetStream.counter``."""

    __slots__ = ("_jetstream", "stream")

    def __init__(self, jetstream: JetStream, stream: Stream) -> None:
        self._jetstream = jetstream
        self.stream = stream

    async def add(self, subject: str, amount: int = 1, *, timeout: float | None = None) -> int:
        """Add to a number, less than 0 too, and return what it comes to.

        Raises:
            JetStreamError: the stream counts nothing, or refused it for another reason.
            NoStreamError: no stream takes the subject.
        """
        if isinstance(amount, bool) or not isinstance(amount, int):
            raise TypeError(f"a counter adds whole numbers, not {amount!r}")
        ack = await self._jetstream.publish(subject, headers={"Nats-Incr": f"{amount:+d}"}, timeout=timeout)
        if ack.value is None:
            raise ValueError(f"stream {ack.stream!r} has stored the message, but counts nothing")
        return ack.value

    async def get(self, subject: str, *, timeout: float | None = None) -> CounterEntry:
        """Return a number.

        Raises:
            MessageNotFoundError: nothing was ever added to it.
        """
        return _entry(await self.stream.get_last(subject, direct=True, timeout=timeout))

    async def value(self, subject: str, *, timeout: float | None = None) -> int:
        """Return what a number comes to; 0 where nothing was ever added to it."""
        try:
            return (await self.get(subject, timeout=timeout)).value
        except MessageNotFoundError:
            return 0

    async def get_many(self, subjects: Sequence[str], *, timeout: float | None = None) -> list[CounterEntry]:
        """Return all numbers whose subjects match one of these; at most 1,024."""
        return [_entry(message) for message in await self.stream.get_last_for(subjects, timeout=timeout)]


def _entry(message: StoredMessage) -> CounterEntry:
    """Read what a counter stores.

    Raises:
        ValueError: it is none.
    """
    try:
        value = int(msgspec.json.decode(message.data)["val"])
        sources: dict[str, dict[str, Any]] = msgspec.json.decode(message.headers.get("Nats-Counter-Sources") or "{}")
        numbers = {stream: {subject: int(each) for subject, each in found.items()} for stream, found in sources.items()}
        return CounterEntry(message.subject, value, int(message.headers.get("Nats-Incr", "0")), numbers)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"message {message.seq} on {message.subject!r} is no counter's: {message.data[:100]!r}") from error
