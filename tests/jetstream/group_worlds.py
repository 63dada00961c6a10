"""What the tests of partitioned groups share: a stream of keys, and members that note what they get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from js_worlds import World, world

from midge.jetstream.configs import SubjectTransform
from midge.jetstream.message import StreamMessage

__all__ = ["PARTITIONS", "Record", "partitioned_world", "write"]

PARTITIONS = 4


class Record:
    """What came: (who got it, subject, number) in the order in which callbacks ended."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, int]] = []

    def callback(self, who: str) -> Any:
        def note(message: StreamMessage) -> None:
            self.rows.append((who, message.subject, int(message.data)))

        return note

    def of(self, subject: str) -> list[int]:
        """The numbers that a subject has had, each when it came first."""
        return list(dict.fromkeys(number for _, named, number in self.rows if named == subject))

    def who(self, subject: str) -> list[str]:
        """Who had a subject, one after the other."""
        return list(dict.fromkeys(who for who, named, _ in self.rows if named == subject))

    def is_in_order(self) -> bool:
        return all(self.of(subject) == sorted(self.of(subject)) for subject in {subject for _, subject, _ in self.rows})

    @property
    def numbers(self) -> set[int]:
        return {number for _, _, number in self.rows}


@asynccontextmanager
async def partitioned_world(url: Any, **more: Any) -> AsyncIterator[World]:
    """A stream with the partition before its subjects, as static groups need it."""
    async with world(url, **more) as here:
        await here.stream.update(
            subject_transform=SubjectTransform(
                src=f"{here.name}.*", dest=f"{{{{Partition({PARTITIONS},1)}}}}.{here.name}.{{{{Wildcard(1)}}}}"
            ),
            subjects=[f"{here.name}.*"],
        )
        yield here


async def write(here: World, numbers: range, keys: int = 8) -> None:
    """Publish numbers under so many keys in turn."""
    for number in numbers:
        await here.js.publish_async(here.subject(f"k{number % keys}"), b"%d" % number)
    await here.js.publish_async_done(10)
