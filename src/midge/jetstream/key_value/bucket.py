"""KeyValue: one bucket: values by key, the revisions of each, and what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.errors import JetStreamNotEnabledError, MessageNotFoundError, NoStreamError, StreamNotFoundError, WrongLastError
from midge.jetstream.infos import StreamInfo
from midge.jetstream.key_value.codecs import KeyCodec, ValueCodec, encode_filter
from midge.jetstream.key_value.config import stream_name
from midge.jetstream.key_value.entry import Entry, operation_of, value_size
from midge.jetstream.key_value.errors import BucketNotFoundError, CodecError, KeyExistsError, KeyNotFoundError, WrongRevisionError
from midge.jetstream.key_value.keys import check_filters, check_key, is_key
from midge.jetstream.key_value.places import Places
from midge.jetstream.key_value.status import KeyValueStatus
from midge.jetstream.key_value.watcher import KeyWatcher
from midge.jetstream.publish_options import PublishOptions
from midge.jetstream.stored_message import StoredMessage
from midge.message import Headers

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["KeyValue"]

CREATE_TRIES = 8  # of who creates a key that others create and delete at the same time
OLD_MARKER_SECONDS = 1_800.0
Value = bytes | bytearray | memoryview | str


class KeyValue:
    """One bucket; made by ``JetStream.key_value``, ``create_key_value`` and the like.

    It costs nothing to make. What kind of bucket it is, it asks when it is used first; ``await`` it to ask at once.

    Attributes:
        bucket: its name.
        stream: the stream that it is.
    """

    def __init__(
        self, js: JetStream, bucket: str, info: StreamInfo | None = None, keys: KeyCodec | None = None, values: ValueCodec | None = None
    ) -> None:
        self._js = js
        self.bucket = bucket
        self.stream = js.stream(stream_name(bucket))
        self._places = None if info is None else Places.of(info.config, js.prefix)
        self._keys, self._values = keys, values

    def __repr__(self) -> str:
        return f"<KeyValue {self.bucket!r}>"

    def __await__(self) -> Generator[Any, None, KeyValue]:
        """Ask for the bucket, and return this.

        Raises:
            BucketNotFoundError: there is none.
        """
        yield from self.places().__await__()
        return self

    def with_codecs(self, keys: KeyCodec | None = None, values: ValueCodec | None = None) -> KeyValue:
        """Return the same bucket with keys and values that are written in another way; see ``codecs``."""
        result = KeyValue(self._js, self.bucket, None, keys, values)
        result._places = self._places
        return result

    # Values

    async def get(self, key: str, revision: int | None = None, *, timeout: float | None = None) -> Entry:
        """Return the value of a key.

        A server of a cluster that is a little behind may answer, so what somebody else has just put may not be there yet. What was put
        by the same JetStream context is, as long as it is among the last 1,024 keys that were.

        Args:
            revision: this one instead of the latest.

        Raises:
            KeyNotFoundError: it has none, or this is none of its revisions, or it is deleted.
            InvalidSubjectError: it cannot be a key.
            CodecError: the codec cannot decode the value.
            BucketNotFoundError: there is no such bucket.
        """
        stored = await self._stored(key, revision, timeout)
        if operation_of(stored.headers) != "PUT":
            raise KeyNotFoundError(self.bucket, key, stored.seq)
        return self.entry(key, stored.data, stored.headers, stored.seq, stored.time, 0)

    async def put(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Give a key a value, whatever it had, and return the revision.

        Raises:
            InvalidSubjectError: it cannot be a key.
            BucketNotFoundError: there is no such bucket.
            JetStreamError: it was refused; the bucket is full, for example.
            MidgeTimeoutError: nobody knows whether it was stored.
        """
        return await self._publish(key, self._encoded(key, value), None, {}, timeout)

    async def create(self, key: str, value: Value, *, ttl: float | timedelta | None = None, timeout: float | None = None) -> int:
        """Give a key a value that has none, never had or not any more, and return the revision.

        Args:
            ttl: seconds from 1 on that it stays; the bucket needs a ``limit_marker_ttl``.

        Raises:
            KeyExistsError: it has one.
            Others: as ``put``.
        """
        data, expected = self._encoded(key, value), 0
        for tries in range(CREATE_TRIES, -1, -1):
            try:
                return await self._publish(key, data, None, {"expected_last_subject_seq": expected, "ttl": ttl}, timeout)
            except WrongLastError as error:
                marker = await self._marker(key, timeout)
                if marker is None or not tries:
                    raise KeyExistsError(error, self.bucket, key) from None
                expected = marker
        raise AssertionError("the last attempt returns or raises")

    async def update(self, key: str, value: Value, last_revision: int, *, timeout: float | None = None) -> int:
        """Give a key another value, where its last revision still is this, and return the new one.

        Args:
            last_revision: what ``get``, ``put`` and the like gave; 0 for none at all.

        Raises:
            WrongRevisionError: it is another one.
            TypeError: it is no revision.
            Others: as ``put``.
        """
        if last_revision is None:
            raise TypeError("last_revision is a revision, not None: put asks for none")
        with self._expecting(key):
            return await self._publish(key, self._encoded(key, value), None, {"expected_last_subject_seq": last_revision}, timeout)

    async def delete(self, key: str, *, last_revision: int | None = None, timeout: float | None = None) -> int:
        """Put a marker where a key's value was, which stays as history, and return the marker's revision.

        Args:
            last_revision: only where its last revision is this.

        Raises:
            WrongRevisionError: it is another one.
            Others: as ``put``.
        """
        with self._expecting(key):
            return await self._publish(key, b"", {"KV-Operation": "DEL"}, {"expected_last_subject_seq": last_revision}, timeout)

    async def purge(
        self, key: str, *, last_revision: int | None = None, ttl: float | timedelta | None = None, timeout: float | None = None
    ) -> int:
        """Remove a key's value with its history, leave a marker, and return that one's revision.

        Args:
            last_revision: only where its last revision is this.
            ttl: seconds from 1 on that the marker stays; the bucket needs a ``limit_marker_ttl``.

        Raises:
            WrongRevisionError: its last revision is another one.
            Others: as ``put``.
        """
        options: PublishOptions = {"expected_last_subject_seq": last_revision, "ttl": ttl, "rollup": "sub"}
        with self._expecting(key):
            return await self._publish(key, b"", {"KV-Operation": "PURGE"}, options, timeout)

    # Many of them

    async def keys(self, *filters: str) -> AsyncIterator[str]:
        """Iterate over the keys that have a value, each once, or over those that match one of the filters.

        Raises:
            InvalidSubjectError: a filter cannot be one.
            CodecError: the codec cannot decode a key.
            BucketNotFoundError: there is no such bucket.
        """
        found: dict[str, None] = {}  # one that is put meanwhile comes again, and one that is deleted meanwhile goes
        async with self.watch(*filters, meta_only=True) as watcher:
            async for entry in watcher:
                if entry is CAUGHT_UP:
                    break
                if entry.is_deleted:
                    found.pop(entry.key, None)
                else:
                    found[entry.key] = None
        for key in found:
            yield key

    async def history(self, key: str) -> list[Entry]:
        """Return all that is kept of a key, with its markers, the oldest first.

        Raises:
            KeyNotFoundError: there is nothing.
            InvalidSubjectError, CodecError, BucketNotFoundError: as ``get``.
        """
        stored_key = self.encoded_key(key)  # no filter: what a codec makes a key of may have the looks of one
        entries = []
        async with KeyWatcher(self, [stored_key], "all", None, ignore_deletes=False, meta_only=False) as watcher:
            async for entry in watcher:
                if entry is CAUGHT_UP:
                    break
                entries.append(entry)
        if not entries:
            raise KeyNotFoundError(self.bucket, key)
        return entries

    def watch(
        self,
        *filters: str,
        include_history: bool = False,
        updates_only: bool = False,
        ignore_deletes: bool = False,
        meta_only: bool = False,
        from_revision: int | None = None,
    ) -> KeyWatcher:
        """Watch what becomes of keys: ``async with kv.watch("orders.>") as watcher: async for entry in watcher``.

        The latest entry of each key comes first, then CAUGHT_UP (``midge.jetstream.caught_up``), then each change, in order, whatever
        happens to connections and servers. After such a loss, keys may come again that were already there; and in a cluster, a key may
        come before CAUGHT_UP with what it had a moment ago, and then with what it has.

        Args:
            filters: keys in which ``*`` stands for a token, and ``>`` at the end for one or more; without any, all keys.
            include_history: all that is kept of each key, instead of the latest.
            updates_only: nothing that was there before; CAUGHT_UP comes at once.
            ignore_deletes: no markers.
            meta_only: without the values.
            from_revision: only this one and what came after it, with history: where an earlier watch has ended, plus 1.

        Raises:
            InvalidSubjectError: a filter cannot be one.
            CodecError: the codec cannot write wildcards.
            ValueError: what is asked for contradicts itself.
        """
        if self._keys is not None:
            filters = tuple(self._coded(each, "write the filter", encode_filter, self._keys, each) for each in filters)
        if sum((include_history, updates_only, from_revision is not None)) > 1:
            raise ValueError("give one of include_history, updates_only and from_revision")
        if from_revision is not None and from_revision < 1:
            raise ValueError(f"from_revision={from_revision}: expected 1 or more")
        policy = "all" if include_history else "new" if updates_only else "last_per_subject"
        return KeyWatcher(self, check_filters(filters), policy, from_revision, ignore_deletes=ignore_deletes, meta_only=meta_only)

    async def purge_deletes(self, older_than: float | timedelta = OLD_MARKER_SECONDS, *, timeout: float | None = None) -> int:
        """Remove the keys that are deleted, with their history, and return how many entries went.

        Args:
            older_than: markers that are younger than so many seconds stay, for those who watch; their history goes. 0 for none.
                Others stay, too, where what was published is no key, such as ``>``: it would stand for all keys.
        """
        age = older_than if isinstance(older_than, timedelta) else timedelta(seconds=older_than)
        markers: list[Entry] = []
        plain = self.with_codecs()
        async with plain.watch(meta_only=True) as watcher:
            async for entry in watcher:
                if entry is CAUGHT_UP:
                    break
                if entry.is_deleted and is_key(entry.key):
                    markers.append(entry)
        places, limit, count = await self.places(timeout), datetime.now(UTC) - age, 0
        for entry in markers:
            stays = age and entry.created > limit
            first = entry.revision if stays else entry.revision + 1  # what was put meanwhile stays in any case
            count += await self.stream.purge(places.read + entry.key, seq=first, timeout=timeout)
        return count

    async def status(self, *, timeout: float | None = None) -> KeyValueStatus:
        """Return what the bucket is and holds.

        Raises:
            BucketNotFoundError: there is none.
        """
        with self.found():
            return KeyValueStatus.of(await self.stream.info(timeout=timeout))

    # For watchers

    async def places(self, timeout: float | None = None) -> Places:
        """Return the subjects of the keys, asked for where that is not known.

        Raises:
            BucketNotFoundError: there is no such bucket.
        """
        if self._places is None:
            with self.found():
                self._places = Places.of((await self.stream.info(timeout=timeout)).config, self._js.prefix)
        return self._places

    @contextmanager
    def found(self) -> Generator[None, None, None]:
        """What finds no stream, finds no bucket."""
        try:
            yield
        except BucketNotFoundError:
            raise
        except StreamNotFoundError:
            self._places = None  # there may be another one some day
            raise BucketNotFoundError(self.bucket) from None

    def entry(self, key: str, data: bytes, headers: Headers, revision: int, created: datetime, delta: int) -> Entry:
        """Return an entry, its value decoded, of a key as the program knows it."""
        operation, size = operation_of(headers), value_size(headers, data)
        if self._values is not None and operation == "PUT" and (data or not size):
            data = self._coded(key, "decode the value of", self._values.decode_value, data)
        return Entry(self.bucket, key, data, revision, created, delta, operation, size)

    def encoded_key(self, key: str) -> str:
        """Return a key as it is stored."""
        if self._keys is not None:
            key = self._coded(key, "encode the key", self._keys.encode_key, key)
        return check_key(key)

    def decoded_key(self, key: str) -> str:
        """Return a stored key as the program knows it."""
        return key if self._keys is None else self._coded(key, "decode the key", self._keys.decode_key, key)

    # Inside

    def _coded(self, key: str, what: str, convert: Any, *arguments: Any) -> Any:
        """Let a codec do something; what it raises for becomes a CodecError."""
        try:
            return convert(*arguments)
        except CodecError:
            raise
        except Exception as error:
            raise CodecError(key, what) from error

    def _encoded(self, key: str, value: Value) -> Value:
        if self._values is None:
            return value
        data = value.encode() if isinstance(value, str) else bytes(value)
        encoded: bytes = self._coded(key, "encode the value of", self._values.encode_value, data)
        return encoded

    @contextmanager
    def _expecting(self, key: str) -> Generator[None, None, None]:
        try:
            yield
        except WrongLastError as error:
            raise WrongRevisionError(error, self.bucket, key) from None

    async def _publish(
        self, key: str, data: Value, headers: dict[str, str] | None, options: PublishOptions, timeout: float | None
    ) -> int:  # fmt: skip
        stored_key = self.encoded_key(key)
        places = self._places or await self.places(timeout)
        try:
            ack = await self._js.publish(places.write + stored_key, data, headers=headers, timeout=timeout, **options)
        except NoStreamError:
            self._places = None
            await self.places(timeout)
            raise
        if ack.stream == self.stream.name:  # a mirror is behind in any case
            self._js.recent_writes.note(places.read + stored_key, ack.seq)
        return ack.seq

    async def _stored(self, key: str, revision: int | None, timeout: float | None) -> StoredMessage:
        """Return a revision of a key as the stream has it, marker or not; the latest without."""
        stored_key = self.encoded_key(key)
        if revision is not None and revision < 1:
            raise KeyNotFoundError(self.bucket, key)
        places = self._places or await self.places(timeout)
        subject = places.read + stored_key
        try:
            stored = await self._ask_anyone(subject, revision, places.is_direct, timeout)
        except MessageNotFoundError:
            raise KeyNotFoundError(self.bucket, key) from None
        except JetStreamNotEnabledError:  # of direct gets: there is no stream, or none that takes them
            self._places = None
            await self.places(timeout)
            raise
        if stored.subject != subject:
            raise KeyNotFoundError(self.bucket, key)
        return stored

    async def _ask_anyone(self, subject: str, revision: int | None, is_direct: bool, timeout: float | None) -> StoredMessage:
        """Return what any server says, unless that is older than what was written from here: then, what the leader says."""
        recent = self._js.recent_writes
        written = recent.last(subject)
        try:
            stored = await self._ask(subject, revision, is_direct, timeout)
            if revision is not None or stored.seq >= written:
                return stored
        except MessageNotFoundError:
            if not is_direct or (written if revision is None else revision) not in range(1, written + 1):
                raise
        try:
            return await self._ask(subject, revision, False, timeout)
        except MessageNotFoundError:
            if revision is None:
                recent.forget(subject)
            raise

    async def _ask(self, subject: str, revision: int | None, is_direct: bool, timeout: float | None) -> StoredMessage:
        with self.found():
            if revision is not None:
                return await self.stream.get(revision, direct=is_direct, timeout=timeout)
            if not is_direct:
                return await self.stream.get_last(subject, direct=False, timeout=timeout)
            answer = await self._js._requests.send(f"DIRECT.GET.{self.stream.name}.{subject}", timeout=timeout)
            return StoredMessage.from_direct(answer)

    async def _marker(self, key: str, timeout: float | None) -> int | None:
        """Return the revision of the marker that a key has, 0 where it has nothing, None where it has a value; its leader says so."""
        places = await self.places(timeout)
        try:
            stored = await self._ask(places.read + self.encoded_key(key), None, False, timeout)
        except MessageNotFoundError:
            return 0
        return None if operation_of(stored.headers) == "PUT" else stored.seq
