"""ObjectStore: one store of objects: large things by name, in chunks, with what describes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from midge.errors import JetStreamError, LocalProtocolError
from midge.jetstream.bucket_names import check_bucket
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.errors import MessageNotFoundError, NoStreamError, StreamNotFoundError, WrongLastError
from midge.jetstream.key_value.errors import BucketNotFoundError
from midge.jetstream.object_store.config import stream_name
from midge.jetstream.object_store.errors import ObjectDamagedError, ObjectExistsError, ObjectLinkError, ObjectNotFoundError
from midge.jetstream.object_store.info import ObjectInfo, ObjectLink, ObjectOptions, encoded_name, info_bytes, read_info
from midge.jetstream.object_store.reader import ObjectReader
from midge.jetstream.object_store.source import Source
from midge.jetstream.object_store.status import ObjectStoreStatus
from midge.jetstream.object_store.target import save
from midge.jetstream.object_store.upload import Upload
from midge.jetstream.object_store.watcher import ObjectWatcher
from midge.jetstream.stored_message import StoredMessage
from midge.nuid import Nuid

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["ObjectStore"]

CHUNK_SIZE = 128 * 1024
MAX_LINKS = 8  # that lead to one another
TRIES = 8  # to replace what others replace at the same time


class ObjectStore:
    """One store; made by ``JetStream.object_store``, ``create_object_store`` and the like. It costs nothing to make.

    Attributes:
        bucket: its name.
        stream: the stream that it is.
        timeout: seconds that an answer may take, where a call says nothing.
    """

    def __init__(self, js: JetStream, bucket: str) -> None:
        self._js = js
        self.bucket = bucket
        self.stream = js.stream(stream_name(bucket))
        self.timeout = js.timeout
        self._nuid = Nuid()

    def __repr__(self) -> str:
        return f"<ObjectStore {self.bucket!r}>"

    def __await__(self) -> Generator[Any, None, ObjectStore]:
        """Ask for the store, and return this.

        Raises:
            BucketNotFoundError: there is none.
        """
        yield from self.status().__await__()
        return self

    # Objects

    async def put(
        self,
        name: str,
        source: Source,
        *,
        description: str = "",
        headers: Mapping[str, str | Sequence[str]] | None = None,
        metadata: Mapping[str, str] | None = None,
        chunk_size: int = CHUNK_SIZE,
        timeout: float | None = None,
    ) -> ObjectInfo:
        """Store an object, whatever its name had before, and return what describes it.

        It is there as a whole or not at all: nobody sees it before all of it is stored, and where that fails, what there was before is
        still there, and the chunks are removed. No more than a few MiB of it are in memory at a time.

        Args:
            source: bytes, a Path, a file that is open in binary mode, or what gives bytes, such as an async generator.
            description, headers, metadata: see ObjectInfo.
            chunk_size: bytes in each message.
            timeout: seconds that one answer may take, not all of it.

        Raises:
            TypeError, OSError: the source is none, or cannot be read.
            TypeError, ValueError: what describes it cannot be written as JSON.
            BucketNotFoundError: there is no such store.
            JetStreamError: it was refused: the store is full or sealed, for example.
            DisconnectedError, MidgeTimeoutError, ConnectionClosedError: the connection was lost meanwhile; put it again.
        """
        if chunk_size < 1:
            raise ValueError(f"chunk_size={chunk_size}: expected 1 or more")
        info = ObjectInfo(
            name=_checked(name),
            description=description,
            headers=_lists(headers),
            metadata=None if metadata is None else dict(metadata),
            options=ObjectOptions(max_chunk_size=chunk_size),
            bucket=self.bucket,
            nuid=self._nuid.next(),
        )
        info_bytes(info)  # raises where it cannot be stored, before anything is
        timeout = self.timeout if timeout is None else timeout
        upload = Upload(self._js, self.stream, self.chunk_subject(info.nuid), chunk_size, timeout)
        is_told = False
        try:
            with self.found():
                await self._send(upload, source, timeout)
            info.size, info.chunks, info.digest = upload.size, upload.count, upload.digest
            found = await self._last_stored(name, timeout)
            is_told = True
            replaced = await self._describe(info, found, timeout)
        except BaseException as error:
            if is_told and not isinstance(error, (JetStreamError, LocalProtocolError)):
                error.add_note(f"nobody knows whether object {name!r} is there: see its info, or put it again")
            else:
                await upload.undo(error)
            raise
        await self._remove_chunks(replaced, timeout)
        return info

    def get(self, name: str, *, show_deleted: bool = False, timeout: float | None = None) -> ObjectReader:
        """Read an object: ``async with store.get(name) as reader: async for chunk in reader``. A link leads to its object.

        Args:
            show_deleted: a deleted object is one without bytes.
            timeout: seconds that one chunk may take.
        """
        return ObjectReader(self, _checked(name), show_deleted=show_deleted, timeout=timeout)

    async def get_bytes(self, name: str, *, timeout: float | None = None) -> bytes:
        """Return an object as it is, all of it in memory.

        Raises:
            ObjectNotFoundError: it is not there.
            ObjectDamagedError: it is not what was put.
            ObjectLinkError: it is a link to a store, or leads nowhere.
            BucketNotFoundError, MidgeTimeoutError, ConnectionClosedError: as ``info``.
        """
        async with self.get(name, timeout=timeout) as reader:
            return await reader.read()

    async def get_file(self, name: str, target: Path | IO[bytes], *, timeout: float | None = None) -> ObjectInfo:
        """Write an object to a path, or to a file that is open in binary mode, and return what describes it.

        What is at the path is replaced when all of it is there, and stays where that fails; an open file may have some of it then.

        Raises:
            OSError: it cannot be written.
            Others: as ``get_bytes``.
        """
        async with self.get(name, timeout=timeout) as reader:
            await save(reader, target)
            return reader.info

    async def info(self, name: str, *, show_deleted: bool = False, timeout: float | None = None) -> ObjectInfo:
        """Return what describes an object, or a link.

        Raises:
            ObjectNotFoundError: it is not there, or deleted and ``show_deleted`` is False.
            ObjectDamagedError: what describes it makes no sense.
            BucketNotFoundError: there is no such store.
        """
        found = await self._last_info(_checked(name), timeout)
        if found is None or (found[0].deleted and not show_deleted):
            raise ObjectNotFoundError(self.bucket, name)
        return found[0]

    async def delete(self, name: str, *, timeout: float | None = None) -> ObjectInfo:
        """Delete an object, and return what is left to describe it. A link goes, not what it leads to; of what is damaged, only its name.

        Raises:
            ObjectNotFoundError: it was never there.
            BucketNotFoundError: there is no such store.
        """
        timeout = self.timeout if timeout is None else timeout
        found = await self._last_stored(_checked(name), timeout)
        if found is None:
            raise ObjectNotFoundError(self.bucket, name)
        known = self._read_sound(found) or ObjectInfo(name=name, bucket=self.bucket, nuid=self._nuid.next())
        info = msgspec.structs.replace(known, deleted=True, size=0, chunks=0, digest="")
        replaced = await self._describe(info, found, timeout)
        if replaced is not None and replaced.nuid:
            await self.stream.purge(self.chunk_subject(replaced.nuid), timeout=timeout)
        return info

    async def update_meta(
        self,
        name: str,
        *,
        new_name: str | None = None,
        description: str | None = None,
        headers: Mapping[str, str | Sequence[str]] | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ObjectInfo:
        """Change what is given of what describes an object, and return that; the object stays.

        Raises:
            ObjectNotFoundError: it is not there.
            ObjectExistsError: there is an object of the new name.
            WrongLastError: somebody else changed it at the same time.
        """
        found = await self._last_info(_checked(name), timeout)
        if found is None or found[0].deleted:
            raise ObjectNotFoundError(self.bucket, name)
        info, last = found
        if description is not None:
            info.description = description
        if headers is not None:
            info.headers = _lists(headers)
        if metadata is not None:
            info.metadata = dict(metadata)
        if new_name is not None and new_name != name:
            other = await self._last_info(_checked(new_name), timeout)
            if other is not None and not other[0].deleted:
                raise ObjectExistsError(self.bucket, new_name)
            info.name, last = new_name, 0 if other is None else other[1]
        await self._publish(info, last, timeout)
        if info.name != name:
            await self.stream.purge(self.info_subject(name), timeout=timeout)
        return info

    # Links

    async def add_link(self, name: str, target: ObjectInfo, *, timeout: float | None = None) -> ObjectInfo:
        """Store a link to an object, in this store or in another one.

        Args:
            target: what ``info`` or ``put`` gave.

        Raises:
            ObjectLinkError: it leads to a link, or to what is deleted.
            ObjectExistsError: there is an object of this name, which is no link.
        """
        if not isinstance(target, ObjectInfo):
            raise TypeError(f"a link leads to an ObjectInfo, not {target!r}")
        if target.deleted:
            raise ObjectLinkError(target.bucket, target.name, "it is deleted, so no link can lead there")
        if target.link is not None:
            raise ObjectLinkError(target.bucket, target.name, "it is a link, so no link can lead there")
        return await self._add_link(name, ObjectLink(bucket=target.bucket, name=_checked(target.name)), timeout)

    async def add_bucket_link(self, name: str, target: ObjectStore | str, *, timeout: float | None = None) -> ObjectInfo:
        """Store a link to another store.

        Raises:
            ObjectExistsError: there is an object of this name, which is no link.
        """
        bucket = target.bucket if isinstance(target, ObjectStore) else check_bucket(target)
        return await self._add_link(name, ObjectLink(bucket=bucket), timeout)

    # All of them

    async def list(self, *, show_deleted: bool = False) -> AsyncIterator[ObjectInfo]:
        """Iterate over what describes the objects and links.

        Raises:
            BucketNotFoundError: there is no such store.
            ObjectDamagedError: behind all others: what describes one makes no sense.
        """
        damaged: ObjectDamagedError | None = None
        async with self.watch(ignore_deletes=not show_deleted) as watcher:
            while True:
                try:
                    info = await anext(watcher)
                except StopAsyncIteration:
                    break
                except ObjectDamagedError as error:
                    damaged = damaged or error
                    continue
                if info is CAUGHT_UP:
                    break
                yield info
        if damaged is not None:
            raise damaged

    def watch(self, *, ignore_deletes: bool = False, updates_only: bool = False, include_history: bool = False) -> ObjectWatcher:
        """Watch what becomes of objects: ``async with store.watch() as watcher: async for info in watcher``.

        What describes each object comes first, then CAUGHT_UP (``midge.jetstream.caught_up``), then each change.

        Args:
            ignore_deletes: nothing of what is deleted.
            updates_only: nothing that was there before; CAUGHT_UP comes at once.
            include_history: all that the stream has. It keeps one message for each object, so that is the same today.
        """
        if include_history and updates_only:
            raise ValueError("give include_history or updates_only, not both")
        policy = "new" if updates_only else "all" if include_history else "last_per_subject"
        return ObjectWatcher(self, policy, ignore_deletes=ignore_deletes)

    async def seal(self, *, timeout: float | None = None) -> ObjectStoreStatus:
        """Let nothing be changed any more, ever, and return the status.

        Raises:
            BucketNotFoundError: there is no such store.
        """
        with self.found():
            return ObjectStoreStatus.of(await self.stream.update(sealed=True, timeout=timeout))

    async def status(self, *, timeout: float | None = None) -> ObjectStoreStatus:
        """Return what the store is and holds.

        Raises:
            BucketNotFoundError: there is none.
        """
        with self.found():
            return ObjectStoreStatus.of(await self.stream.info(timeout=timeout))

    # For readers and watchers

    def chunk_subject(self, nuid: str) -> str:
        """Return the subject of an object's chunks."""
        return f"$O.{self.bucket}.C.{nuid}"

    def info_subject(self, name: str) -> str:
        """Return the subject of what describes an object."""
        return f"$O.{self.bucket}.M.{encoded_name(name)}"

    @contextmanager
    def found(self) -> Generator[None, None, None]:
        """What finds no stream, finds no store."""
        try:
            yield
        except BucketNotFoundError:
            raise
        except StreamNotFoundError:
            raise BucketNotFoundError(self.bucket) from None

    async def resolve(self, name: str, *, show_deleted: bool, timeout: float | None) -> tuple[ObjectStore, ObjectInfo]:
        """Return an object's own store and what describes it, by whatever links lead there.

        Raises:
            ObjectLinkError: they lead to a store, or in circles.
            ObjectNotFoundError: they lead nowhere.
        """
        store = self
        for _ in range(MAX_LINKS):
            info = await store.info(name, show_deleted=show_deleted, timeout=timeout)
            link = info.link
            if link is None:
                return store, info
            if not link.name:
                raise ObjectLinkError(store.bucket, name, f"it is a link to the whole store {link.bucket!r}")
            name = link.name
            if link.bucket != store.bucket:
                store = ObjectStore(self._js, check_bucket(link.bucket))
        raise ObjectLinkError(self.bucket, name, f"more than {MAX_LINKS} links lead to one another")

    # Inside

    async def _send(self, upload: Upload, source: Source, timeout: float | None) -> None:
        try:
            await upload.send(source)
        except NoStreamError:
            await self.stream.info(timeout=timeout)  # which says what is missing
            raise

    async def _last_stored(self, name: str, timeout: float | None) -> StoredMessage | None:
        """Return what describes an object as it is stored; the stream's leader says so."""
        try:
            with self.found():
                return await self.stream.get_last(self.info_subject(name), direct=False, timeout=timeout)
        except MessageNotFoundError:
            return None

    async def _last_info(self, name: str, timeout: float | None) -> tuple[ObjectInfo, int] | None:
        """Return what describes an object and its sequence. Raises ObjectDamagedError where it makes no sense."""
        stored = await self._last_stored(name, timeout)
        return None if stored is None else (read_info(self.bucket, self.info_subject(name), stored.data, stored.time), stored.seq)

    def _read_sound(self, stored: StoredMessage | None) -> ObjectInfo | None:
        """Return what describes an object, None where there is nothing, or nothing that makes sense."""
        try:
            return None if stored is None else read_info(self.bucket, stored.subject, stored.data, stored.time)
        except ObjectDamagedError:
            return None

    async def _publish(self, info: ObjectInfo, last: int, timeout: float | None) -> None:
        """Store what describes an object in place of what has done so. Raises what ``JetStream.publish`` raises."""
        subject = self.info_subject(info.name)
        await self._js.publish(subject, info_bytes(info), rollup="sub", expected_last_subject_seq=last, timeout=timeout)
        info.mtime = datetime.now(UTC)

    async def _describe(self, info: ObjectInfo, found: StoredMessage | None, timeout: float | None) -> ObjectInfo | None:
        """Store what describes an object, whatever was there, and return what that was: nobody else will see to its chunks.

        Args:
            found: what was there a moment ago; it may be damaged, of which nothing is returned.
        """
        for tries in range(TRIES, -1, -1):
            try:
                await self._publish(info, 0 if found is None else found.seq, timeout)
            except WrongLastError:
                if not tries:
                    raise
                found = await self._last_stored(info.name, timeout)
                continue
            return self._read_sound(found)
        raise AssertionError("the last attempt returns or raises")

    async def _remove_chunks(self, replaced: ObjectInfo | None, timeout: float | None) -> None:
        """Remove the chunks of what was replaced."""
        if replaced is not None and not replaced.deleted and replaced.link is None and replaced.nuid:
            await self.stream.purge(self.chunk_subject(replaced.nuid), timeout=timeout)

    async def _add_link(self, name: str, link: ObjectLink, timeout: float | None) -> ObjectInfo:
        found = await self._last_info(_checked(name), timeout)
        if found is not None and not found[0].deleted and found[0].link is None:
            raise ObjectExistsError(self.bucket, name)
        info = ObjectInfo(name=name, options=ObjectOptions(link=link), bucket=self.bucket, nuid=self._nuid.next())
        await self._publish(info, 0 if found is None else found[1], timeout)
        return info


def _checked(name: object) -> str:
    """Return the name of an object: any text but none."""
    if not isinstance(name, str):
        raise TypeError(f"the name of an object is a str, not {name!r}")
    if not name:
        raise ValueError("the name of an object is empty")
    return name


def _lists(headers: Mapping[str, str | Sequence[str]] | None) -> dict[str, list[str]] | None:
    """Return headers as they are stored."""
    return None if headers is None else {key: [value] if isinstance(value, str) else list(value) for key, value in headers.items()}
