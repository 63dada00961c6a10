"""KeyWatcher: what becomes of keys, in order and without a gap, on an ordered consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.jetstream.caught_up import CAUGHT_UP, Mark
from midge.jetstream.following import Following
from midge.jetstream.key_value.entry import Entry
from midge.jetstream.ordered import OrderedOptions
from midge.jetstream.watching import Watcher

if TYPE_CHECKING:
    from midge.jetstream.key_value.bucket import KeyValue

__all__ = ["KeyWatcher"]


class KeyWatcher(Watcher[Entry]):
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

    @property
    def awaited(self) -> str:
        return f"an entry of {self!r}"

    async def begin(self) -> None:
        await self._begin()

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
