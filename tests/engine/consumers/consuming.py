"""A world with consumers: made without the API, asked with pull requests, and acknowledged to."""

from __future__ import annotations

import json
from typing import Any

from worlds import SECOND, START, Delivered, World

from midge.engine.consumers import roster
from midge.engine.consumers.consumer import Consumer
from midge.model.consumer import ConsumerConfig

__all__ = ["Consuming"]


class Consuming(World):
    """A world whose stream ``S`` takes ``s.>``."""

    def __init__(self, directory: Any = None, at: int = START, **config: Any) -> None:
        super().__init__(directory, wall=at)
        if "S" not in self.account.streams:
            self.create(**config)
        self.stream = self.account.streams["S"]
        self.seen = 0

    def consume(self, name: str = "C", **config: Any) -> Consumer:
        """Make a consumer, that acknowledges each message and waits ten seconds for it unless it says something else."""
        whole = {"name": name, "ack_policy": "explicit", "ack_wait": 10 * SECOND, "max_deliver": -1, "max_waiting": 512} | config
        consumer = roster.add(self.stream, ConsumerConfig(**whole), name, self.wall)
        roster.keep(consumer, lambda error: None)
        self.turn()
        return consumer

    def store(self, *subjects: str, payload: bytes = b"x") -> None:
        """Publish one message to each subject."""
        for subject in subjects:
            self.publish(subject, payload)
        self.turn()

    def pull(self, batch: int = 1, name: str = "C", to: str = "I.1", **request: Any) -> list[Delivered]:
        """Send a pull request, and return what comes of it at once."""
        self.publish(f"$JS.API.CONSUMER.MSG.NEXT.S.{name}", json.dumps({"batch": batch} | request).encode(), to)
        self.turn()
        return self.news()

    def news(self) -> list[Delivered]:
        """Return what was delivered since the last time."""
        new = self.outside.delivered[self.seen :]
        self.seen = len(self.outside.delivered)
        return new

    def reply(self, message: Delivered, body: bytes = b"", to: str = "") -> None:
        """Acknowledge a message, or answer something else."""
        self.publish(message.reply.decode(), body, to)
        self.turn()


def numbers(messages: list[Delivered]) -> list[tuple[int, int, int, int]]:
    """Return deliveries, stream and consumer sequence and what is pending, of each message; 0, 0, 0 and the code of a status."""
    found = []
    for each in messages:
        if each.reply:
            count, sequence, delivery, _, left = map(int, each.reply.split(b".")[-5:])
            found.append((count, sequence, delivery, left))
        else:
            found.append((0, 0, 0, int(each.header[9:12])))
    return found
