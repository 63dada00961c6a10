"""KeyWatcher: what becomes of keys, in order and without a gap, on an ordered consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from midge.errors import ConnectionClosedError, MidgeTimeoutError
from midge.jetstream.caught_up import CAUGHT_UP, Mark
from midge.jetstream.following import Following
from midge.jetstream.key_value.entry import Entry
from midge.jetstream.ordered import OrderedOptions

if TYPE_CHECKING:
    from midge.jetstream.key_value.bucket import KeyValue

__all__ = ["KeyWatcher"]


class KeyWatcher:
    """Entries of a bucket as they stand, CAUGHT_UP, and then as they change; made by ``KeyValue.watch``.

    As a block, the server's consumer is there from its beginning and goes at its end. Without one, await it or begin to iterate, and
    call ``stop``.
    """

    def __init__(
        self, kv: KeyValue, filters: list[str], policy: str, from_revision: int | None, *, ignore_deletes: bool, meta_only: bool
    ) -> None:
        self._kv = kv
        self._filters = filters
        self._options: OrderedOptions = {"deliver_policy": policy}
        if from_revision is not None:
            self._options = {"deliver_policy": "by_start_sequence", "opt_start_seq": from_revision}
        if meta_only:
            self._options["headers_only"] = True
        self._ignore_deletes = ignore_deletes
        self._skip = 0  # characters of a subject before the key
        self._following: Following | None = None
        self._is_stopped = False

    def __repr__(self) -> str:
        return f"<KeyWatcher of {', '.join(self._filters)} in bucket {self._kv.bucket!r}>"

    def __await__(self) -> Generator[Any, None, KeyWatcher]:
        """Begin, and return this: nothing that happens from now on is missed.

        Raises:
            BucketNotFoundError: there is no such bucket.
        """
        yield from self._begin().__await__()
        return self

    async def __aenter__(self) -> KeyWatcher:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __aiter__(self) -> KeyWatcher:
        return self

    async def __anext__(self) -> Entry | Mark:
        """Return the next entry, or CAUGHT_UP.

        Raises:
            StopAsyncIteration: it was stopped, or the connection was closed.
            BucketNotFoundError: the bucket is gone.
            CodecError: the codec cannot decode a key or value; the next call goes on behind it.
            ConnectionClosedError: the connection was lost for good.
        """
        following = self._following or await self._begin()
        while True:
            with self._kv.found():
                found = await following.next()
            if found is CAUGHT_UP:
                return found
            message, metadata = found
            headers = message.headers
            key = self._kv.decoded_key(message.subject[self._skip :])
            entry = self._kv.entry(key, message.data, headers, metadata.stream_seq, metadata.timestamp, metadata.pending)
            if not (self._ignore_deletes and entry.is_deleted):
                return entry

    async def next(self, timeout: float | None = None) -> Entry | Mark:
        """Return the next entry, or CAUGHT_UP.

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
            raise MidgeTimeoutError(f"an entry of {self!r}", timeout) from error

    async def stop(self) -> None:
        """End it; who waits for an entry is told so."""
        self._is_stopped = True
        if self._following is not None:
            await self._following.stop()

    async def _begin(self) -> Following:
        if self._is_stopped:
            raise StopAsyncIteration
        if self._following is None:
            places = await self._kv.places()
            if self._is_stopped:
                raise StopAsyncIteration
            self._skip = len(places.read)
            self._options["filter_subjects"] = [places.read + each for each in self._filters]
            self._following = Following(self._kv.stream, **self._options)
        try:
            with self._kv.found():
                await self._following.begin()
        except BaseException:
            self._following = None  # the next attempt asks for the places again
            raise
        return self._following
