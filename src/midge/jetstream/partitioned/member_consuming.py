"""MemberConsuming: the messages of one member's consumer, by the subjects they had before they were shared out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

from midge.errors import MidgeError
from midge.jetstream.consuming import ConsumeOptions, Consuming, ConsumingLoop
from midge.jetstream.message import StreamMessage, with_subject
from midge.jetstream.partitioned.names import PRIORITY_GROUP
from midge.jetstream.partitioned.partitions import bare_subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midge.jetstream.consumer import Consumer

__all__ = ["MIN_SECONDS", "MemberConsuming", "MemberOptions", "check_options"]

MIN_SECONDS = 1.0  # that a request lasts, and that nobody else is pinned while the pinned one is silent
AT_HAND = 100  # messages: each has to be handled within ack_wait from when it came


class MemberOptions(TypedDict, total=False):
    """How a member consumes: see ConsumeOptions. At most 100 messages are on their way and at hand unless ``max_messages`` says otherwise:
    what waits longer than ``ack_wait`` for its turn is delivered again.
    """

    max_messages: int
    max_bytes: int
    threshold: int
    auto_ack: bool
    auto_progress: bool
    backoff: Sequence[float]
    dead_letter: str
    dead_letter_after: int


class MemberConsuming(Consuming):
    """What a member's consumer delivers, until somebody changes that; made by a Membership.

    Attributes:
        last_reply: where the message that the callback got last is acknowledged.
    """

    def __init__(self, consumer: Consumer, callback: Any, options: MemberOptions, ack_wait: float) -> None:
        wanted = cast("ConsumeOptions", {**options, "group": PRIORITY_GROUP, "expires": max(ack_wait / 2, MIN_SECONDS)})
        if "max_bytes" not in options:
            wanted.setdefault("max_messages", AT_HAND)
        super().__init__(consumer, consumer.new_pull(), callback, wanted)
        self.last_reply = ""

    async def __anext__(self, loop: ConsumingLoop | None = None) -> StreamMessage:
        """Return the next message, without its partition. Raises what ``Consuming`` raises."""
        message = await super().__anext__(loop)
        self.last_reply = message.reply
        return with_subject(message, bare_subject(message.subject))

    @property
    def pin(self) -> str:
        """The id that the server has given to this instance, "" where another one is pinned, or none."""
        return self._pull.pin

    @property
    def is_busy(self) -> bool:
        """True while the callback may have something to do."""
        return self._handling is not None and self._handling.is_busy

    def _fail(self, error: MidgeError) -> None:
        """The consumer is gone: what is at hand will be delivered by another one, and is not for here."""
        super()._fail(error)
        self._pull.forget()


def check_options(options: MemberOptions) -> MemberOptions:
    """Return options that a member may have.

    Raises:
        TypeError: one is none.
    """
    if unknown := sorted(options.keys() - MemberOptions.__annotations__.keys()):
        raise TypeError(f"consume of a group has no option {unknown[0]!r}")
    return options
