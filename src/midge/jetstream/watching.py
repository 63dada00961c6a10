"""Watcher: what the watchers of buckets and of object stores share: how one is begun, iterated, asked for one more, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, Self, TypeVar

from midge.errors import ConnectionClosedError, MidgeTimeoutError
from midge.jetstream.caught_up import Mark

__all__ = ["Watcher"]

T = TypeVar("T")


class Watcher(Generic[T]):
    """What was there, CAUGHT_UP, and then what changes.

    As a block, the server's consumer is there from its beginning and goes at its end. Without one, await it or begin to iterate, and
    call ``stop``.
    """

    @property
    def awaited(self) -> str:
        """What ``next`` waits for, in the text of an error."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, Self]:
        """Begin, and return this: nothing that happens from now on is missed.

        Raises:
            BucketNotFoundError: there is no such bucket.
        """
        yield from self.begin().__await__()
        return self

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T | Mark:
        """Return the next one, or CAUGHT_UP. A subclass says what it raises."""
        raise NotImplementedError

    async def next(self, timeout: float | None = None) -> T | Mark:
        """Return the next one, or CAUGHT_UP.

        Raises:
            MidgeTimeoutError: none came in time; nothing is lost.
            Others: as the loop.
        """
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self.__anext__()
        except StopAsyncIteration:
            raise ConnectionClosedError(f"{self!r} has been stopped") from None
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise MidgeTimeoutError(self.awaited, timeout) from error

    async def stop(self) -> None:
        """End it; who waits is told so."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Have the server's consumer made, if it is not there yet."""
        raise NotImplementedError
