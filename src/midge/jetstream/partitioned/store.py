"""GroupStore: where the configuration of one group is kept: a key of a bucket, which members watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from midge.jetstream.key_value.errors import (
    BucketExistsError,
    BucketNotFoundError,
    KeyExistsError,
    KeyNotFoundError,
    WrongRevisionError,
)
from midge.jetstream.key_value.watcher import KeyWatcher
from midge.jetstream.partitioned.config import GroupConfig, checked, read_config, write_config
from midge.jetstream.partitioned.errors import GroupNotFoundError
from midge.jetstream.partitioned.names import group_key

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["GroupStore"]

CHANGE_TRIES = 8  # of who changes a group that others change at the same time
ConfigT = TypeVar("ConfigT", bound=GroupConfig)


class GroupStore(Generic[ConfigT]):
    """The configuration of a group.

    Raises:
        InvalidSubjectError: the names of stream and group cannot be those of a group.
    """

    __slots__ = ("_key", "_kind", "group", "js", "kv", "stream")

    def __init__(self, js: JetStream, bucket: str, kind: type[ConfigT], stream: str, group: str) -> None:
        self._key = group_key(stream, group)
        self._kind = kind
        self.js = js
        self.kv = js.key_value(bucket)
        self.kv.encoded_key(self._key)  # a name may be one of a stream and not a part of a key
        self.stream = stream
        self.group = group

    async def get(self, timeout: float | None = None) -> ConfigT:
        """Return the configuration.

        Raises:
            GroupNotFoundError: there is none.
            InvalidGroupError: it makes no sense.
        """
        return (await self._get(timeout))[0]

    async def exists(self, timeout: float | None = None) -> bool:
        """Return whether there is a configuration, whatever it says."""
        try:
            await self.kv.get(self._key, timeout=timeout)
        except (KeyNotFoundError, BucketNotFoundError):
            return False
        return True

    async def create(self, config: ConfigT, replicas: int | None, timeout: float | None = None) -> ConfigT:
        """Write a configuration where there is none, and return what is there then. The bucket is created where it is not there.

        Raises:
            InvalidGroupError: the one that is there makes no sense.
        """
        try:
            await self.kv.places(timeout)
        except BucketNotFoundError:
            try:
                await self.js.create_key_value(self.kv.bucket, replicas=replicas, storage="file", timeout=timeout)
            except BucketExistsError:
                pass  # somebody else has just created it, in another way
        try:
            await self.kv.create(self._key, write_config(config), timeout=timeout)
        except KeyExistsError:
            return await self.get(timeout)
        return config

    async def change(self, change: Callable[[ConfigT], ConfigT], timeout: float | None = None) -> ConfigT:
        """Write what a function makes of the configuration, and return it; again where somebody else was faster.

        Raises:
            GroupNotFoundError: there is none.
            InvalidGroupError: it makes no sense, before or after.
            WrongRevisionError: others are always faster.
        """
        for tries in range(CHANGE_TRIES, -1, -1):
            config, revision = await self._get(timeout)
            before = write_config(config)
            changed = checked(change(config), self.stream, self.group)
            after = write_config(changed)
            if after == before:
                return changed
            try:
                await self.kv.update(self._key, after, revision, timeout=timeout)
            except WrongRevisionError:
                if not tries:
                    raise
            else:
                return changed
        raise AssertionError("the last attempt returns or raises")

    async def delete(self, timeout: float | None = None) -> None:
        """Delete it; its members hear of that, and end."""
        await self.kv.delete(self._key, timeout=timeout)

    def watch(self) -> KeyWatcher:
        """Return what tells what becomes of it."""
        return self.kv.watch(self._key)

    def read(self, data: bytes) -> ConfigT:
        """Return the configuration that a watcher has told of. Raises InvalidGroupError."""
        return read_config(self._kind, self.stream, self.group, data)

    async def _get(self, timeout: float | None) -> tuple[ConfigT, int]:
        try:
            entry = await self.kv.get(self._key, timeout=timeout)
        except (KeyNotFoundError, BucketNotFoundError):
            raise GroupNotFoundError(self.stream, self.group) from None
        return self.read(entry.value), entry.revision
