"""Push: what a push consumer delivers to a subject, taken like that of any other consumer (the older way, for what has it)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from midge.client.interest import DEFAULT_PENDING_BYTES, DEFAULT_PENDING_MSGS
from midge.errors import MidgeError, SlowConsumerError
from midge.jetstream.consuming import ConsumeOptions, Consuming
from midge.jetstream.heard import HeardSubscription
from midge.jetstream.message import StreamMessage
from midge.jetstream.pull import Pull
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.client import Client
    from midge.jetstream.consumer import Consumer

__all__ = ["Push", "PushConsuming"]

STALLED = "Nats-Consumer-Stalled"
ACK = "$JS.ACK."  # what a message is answered on, whatever its headers say


class Push(Pull):
    """The messages of a push consumer: nothing is asked for, and flow control is answered.

    Args:
        deliver_subject, deliver_group: the consumer's.

    Attributes:
        on_overrun: told that more is held than may be; nothing holds back a server without flow control and acknowledgements.
    """

    def __init__(self, client: Client, deliver_subject: str, deliver_group: str | None) -> None:
        super().__init__(client, deliver_subject)
        self._client_of = client
        self._deliver_group = deliver_group
        self.on_overrun: Callable[[MidgeError], None] | None = None
        self._stalled: deque[tuple[int, str]] = deque()  # what is to be answered, once so many messages were taken

    def begin(self) -> None:
        """Subscribe: the server delivers from now on."""
        self.use(HeardSubscription(self._client_of, self.subject, self, self._deliver_group))

    def take(self) -> StreamMessage:
        """Return the oldest message that is held; what waits for it to be taken is answered."""
        message = super().take()
        stalled = self._stalled
        while stalled and stalled[0][0] <= self.received - len(self.held):
            self._client_of.publish(stalled.popleft()[1])
        return message

    def receive(self, message: Message) -> None:
        """A message came, or a status. Called inside the read."""
        if message.status != 100 or message.reply.startswith(ACK):
            super().receive(message)
            if len(self.held) > DEFAULT_PENDING_MSGS or len(self.held) > 1 and self.held_bytes > DEFAULT_PENDING_BYTES:
                self._overrun()
            return
        self.has_heard = True
        stalled = message.reply or message.headers.get(STALLED)  # a request of flow control, or a heartbeat that repeats one
        if not stalled:
            return
        if not self.held:
            self._client_of.publish(stalled)
        elif not self._stalled or self._stalled[-1][1] != stalled:  # the server waits until what came before was taken
            self._stalled.append((self.received, stalled))

    def _overrun(self) -> None:
        if self.on_overrun is not None:
            self.on_overrun(SlowConsumerError(self.subject, 0))


class PushConsuming(Consuming):
    """Messages of one push consumer, as they come; made by ``Consumer.consume``."""

    def __init__(self, consumer: Consumer, push: Push, callback: Any, options: ConsumeOptions) -> None:
        super().__init__(consumer, push, callback, options)
        self._heartbeat = consumer.config.idle_heartbeat or 0.0
        push.counts_bytes = True
        push.on_overrun = self._fail

    def _refill(self) -> None:
        """The server delivers by itself."""

    def _is_owed(self) -> bool:
        return True

    def _miss(self) -> None:
        """Nothing was heard for too long: see whether the consumer is still there."""
        self.missed_heartbeats += 1
        self._look_for_it()
