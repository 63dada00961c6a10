"""ObjectReader: the bytes of one object, chunk by chunk, with the digest checked at their end."""

from __future__ import annotations

import hashlib
import io
from base64 import b64decode
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from midge.errors import MidgeError, MidgeTimeoutError
from midge.jetstream.object_store.errors import ObjectDamagedError, ObjectNotFoundError
from midge.jetstream.object_store.info import ObjectInfo
from midge.jetstream.ordered import OrderedConsumer

if TYPE_CHECKING:
    from midge.jetstream.object_store.store import ObjectStore

__all__ = ["ObjectReader"]

AT_HAND = 8 << 20  # bytes that may be on their way and at hand
AT_HAND_CHUNKS = 1_000  # where they are small
TRIES = 3  # to read an object that is replaced meanwhile
DIGEST = "SHA-256="


class ObjectReader:
    """What is read of one object; made by ``ObjectStore.get``. A block, in which it is iterated over, once; or await it first.

    Attributes:
        info: what describes the object; of a link, what it leads to. It is there from the beginning of the block.
    """

    info: ObjectInfo

    def __init__(self, store: ObjectStore, name: str, *, show_deleted: bool, timeout: float | None) -> None:
        self._store = store
        self._name = name
        self._show_deleted = show_deleted
        self._timeout = timeout
        self._consumer: OrderedConsumer | None = None
        self._hash = hashlib.sha256()
        self._size = self._count = 0
        self._has_begun = self._is_over = False
        self._whole: io.BytesIO | None = None  # what ``read`` has, until it returns

    def __repr__(self) -> str:
        return f"<ObjectReader of {self._name!r} in {self._store!r}>"

    def __await__(self) -> Generator[Any, None, ObjectReader]:
        """Find the object, and return this.

        Raises:
            ObjectNotFoundError: it is not there.
            ObjectLinkError: it is a link to a store, or leads nowhere.
            BucketNotFoundError: there is no such store.
        """
        yield from self._begin().__await__()
        return self

    async def __aenter__(self) -> ObjectReader:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __aiter__(self) -> ObjectReader:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk.

        Raises:
            StopAsyncIteration: that was all, and it is what was put.
            ObjectDamagedError: it is not; what came before is of no use.
            MidgeTimeoutError: none came within the time that an answer may take.
            ConnectionClosedError: the connection was closed.
        """
        await self._begin()
        if self._is_over:
            raise StopAsyncIteration
        if self._count >= self.info.chunks:
            self._finish()
            await self.stop()
            raise StopAsyncIteration
        assert self._consumer is not None
        message = await self._next()
        data: bytes = message.data
        self._hash.update(data)
        self._count += 1
        self._size += len(data)
        if self._size > self.info.size:
            raise self._damaged(f"it has more than {self.info.size} bytes")
        return data

    async def read(self) -> bytes:
        """Return all that has not been read yet, in memory. Raises what the loop raises.

        Where it is cancelled, or a chunk is late, nothing is lost: called again, it returns that with what had come by then.
        """
        if self._whole is None:
            self._whole = io.BytesIO()  # the memory of a chunk is used again, which saves the time that fresh pages take
        whole = self._whole
        async for chunk in self:
            whole.write(chunk)
        self._whole = None
        return whole.getvalue()

    async def stop(self) -> None:
        """Read nothing more."""
        self._is_over = True
        if self._consumer is not None:
            await self._consumer.stop()

    # Inside

    async def _begin(self) -> None:
        if self._has_begun:
            return
        await self._find()
        self._has_begun = True

    async def _find(self) -> None:
        """Find the object, and begin to read it."""
        for tries in range(TRIES, 0, -1):
            self._store, self.info = await self._store.resolve(self._name, show_deleted=self._show_deleted, timeout=self._timeout)
            self._name = self.info.name
            if not self.info.chunks:
                return
            if not self.info.nuid:
                raise self._damaged("nobody knows where its chunks are")
            chunk_size = max(-(-self.info.size // self.info.chunks), 1)
            self._consumer = self._store.stream.ordered_consumer(
                filter_subjects=[self._store.chunk_subject(self.info.nuid)], max_messages=min(max(AT_HAND // chunk_size, 2), AT_HAND_CHUNKS)
            )
            with self._store.found():
                await self._consumer.begin()
            assert self._consumer.last_info is not None
            found = self._consumer.last_info.num_pending
            if found < self.info.chunks and self._consumer.last_info.cluster is not None:
                found = await self._chunks_of_leader()  # the consumer's server may be behind: they will come
            if found >= self.info.chunks:
                return
            await self._consumer.stop()
            if tries == 1:
                raise self._damaged(f"{found} of its {self.info.chunks} chunks are there")

    async def _chunks_of_leader(self) -> int:
        """Return how many chunks the stream's leader has."""
        subjects = self._store.stream.subjects(self._store.chunk_subject(self.info.nuid), timeout=self._timeout)
        return sum([count async for _, count in subjects])

    async def _next(self) -> Any:
        """Return the next chunk's message; where none comes, the object may be gone."""
        assert self._consumer is not None
        if self._consumer.at_hand:
            return await self._consumer.__anext__()
        timeout = self._store.timeout if self._timeout is None else self._timeout
        try:
            return await self._consumer.next(timeout)
        except MidgeTimeoutError:
            try:
                now = await self._store.info(self._name, timeout=self._timeout)
            except ObjectNotFoundError:
                raise self._damaged("it was deleted meanwhile") from None
            except MidgeError:
                now = self.info
            if now.nuid != self.info.nuid:
                raise self._damaged("it was replaced meanwhile") from None
            raise

    def _finish(self) -> None:
        """See that what came is what was put.

        Raises:
            ObjectDamagedError: it is not.
        """
        if self._size != self.info.size:
            raise self._damaged(f"it has {self._size} bytes instead of {self.info.size}")
        digest = self.info.digest
        if not digest and not self.info.chunks:
            return
        if not digest.startswith(DIGEST):
            raise self._damaged(f"nobody knows its digest {digest!r}")
        try:
            expected = b64decode(digest[len(DIGEST) :] + "==", b"-_")
        except ValueError:
            raise self._damaged(f"its digest {digest!r} is none") from None
        if self._hash.digest() != expected:
            raise self._damaged("its digest is another one")

    def _damaged(self, reason: str) -> ObjectDamagedError:
        return ObjectDamagedError(self._store.bucket, self._name, reason)
