"""ObjectWatcher: what becomes of the objects of a store, in order and without a gap, on an ordered consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from midge.errors import ConnectionClosedError, MidgeTimeoutError
from midge.jetstream.caught_up import CAUGHT_UP, Mark
from midge.jetstream.following import Following
from midge.jetstream.object_store.info import ObjectInfo, read_info

if TYPE_CHECKING:
    from midge.jetstream.object_store.store import ObjectStore

__all__ = ["ObjectWatcher"]


class ObjectWatcher:
    """What describes the objects of a store as they stand, CAUGHT_UP, and then as they change; made by ``ObjectStore.watch``.

    As a block, the server's consumer is there from its beginning and goes at its end. Without one, await it or begin to iterate, and
    call ``stop``.
    """

    def __init__(self, store: ObjectStore, policy: str, *, ignore_deletes: bool) -> None:
        self._store = store
        self._ignore_deletes = ignore_deletes
        self._following = Following(store.stream, filter_subjects=[f"$O.{store.bucket}.M.>"], deliver_policy=policy)

    def __repr__(self) -> str:
        return f"<ObjectWatcher of {self._store!r}>"

    def __await__(self) -> Generator[Any, None, ObjectWatcher]:
        """Begin, and return this: nothing that happens from now on is missed.

        Raises:
            BucketNotFoundError: there is no such store.
        """
        with self._store.found():
            yield from self._following.begin().__await__()
        return self

    async def __aenter__(self) -> ObjectWatcher:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __aiter__(self) -> ObjectWatcher:
        return self

    async def __anext__(self) -> ObjectInfo | Mark:
        """Return what describes the next object, or CAUGHT_UP.

        Raises:
            StopAsyncIteration: it was stopped, or the connection was closed.
            BucketNotFoundError: the store is gone.
            ObjectDamagedError: what describes an object makes no sense; the next call goes on behind it.
            ConnectionClosedError: the connection was lost for good.
        """
        while True:
            with self._store.found():
                found = await self._following.next()
            if found is CAUGHT_UP:
                return found
            message, metadata = found
            info = read_info(self._store.bucket, message.subject, message.data, metadata.timestamp)
            if not (self._ignore_deletes and info.deleted):
                return info

    async def next(self, timeout: float | None = None) -> ObjectInfo | Mark:
        """Return what describes the next object, or CAUGHT_UP.

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
            raise MidgeTimeoutError(f"a change of {self._store!r}", timeout) from error

    async def stop(self) -> None:
        """End it; who waits is told so."""
        await self._following.stop()
