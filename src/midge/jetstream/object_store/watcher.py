"""ObjectWatcher: what becomes of the objects of a store, in order and without a gap, on an ordered consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.jetstream.caught_up import CAUGHT_UP, Mark
from midge.jetstream.following import Following
from midge.jetstream.object_store.info import ObjectInfo, read_info
from midge.jetstream.watching import Watcher

if TYPE_CHECKING:
    from midge.jetstream.object_store.store import ObjectStore

__all__ = ["ObjectWatcher"]


class ObjectWatcher(Watcher[ObjectInfo]):
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

    @property
    def awaited(self) -> str:
        return f"a change of {self._store!r}"

    async def begin(self) -> None:
        with self._store.found():
            await self._following.begin()

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

    async def stop(self) -> None:
        """End it; who waits is told so."""
        await self._following.stop()
