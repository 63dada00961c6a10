"""ObjectStoreManager: makes, changes, lists and removes object stores; it is a part of JetStream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Unpack, cast

from midge.jetstream.bucket_names import check_bucket
from midge.jetstream.errors import StreamNameInUseError, StreamNotFoundError
from midge.jetstream.key_value.errors import BucketExistsError, BucketNotFoundError
from midge.jetstream.object_store.config import (
    PREFIX,
    ObjectStoreConfig,
    ObjectStoreKeywords,
    object_store_config,
    stream_changes,
    stream_config,
    stream_name,
)
from midge.jetstream.object_store.status import ObjectStoreStatus
from midge.jetstream.object_store.store import ObjectStore
from midge.jetstream.setup import differences

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["ObjectStoreManager"]


class ObjectStoreManager:
    """The object stores of an account."""

    __slots__ = ()

    def object_store(self, bucket: str) -> ObjectStore:
        """Return the store of this name, without asking whether there is one; await what is returned to ask.

        Raises:
            InvalidSubjectError: it cannot be a name.
        """
        return ObjectStore(self._js, check_bucket(bucket))

    async def create_object_store(
        self, bucket: str | ObjectStoreConfig, /, *, timeout: float | None = None, **keywords: Unpack[ObjectStoreKeywords]
    ) -> ObjectStore:
        """Create a store, from its name and keywords, or an ObjectStoreConfig. Where there is the same already, that is it.

        Raises:
            BucketExistsError: there is one of this name with another configuration.
            InvalidSubjectError, TypeError: something cannot be what it is.
            JetStreamError: it was refused for another reason.
        """
        config = object_store_config(bucket, keywords)
        try:
            await self._js.create_stream(stream_config(config), timeout=timeout)
        except StreamNameInUseError:
            raise BucketExistsError(config.bucket) from None
        return ObjectStore(self._js, config.bucket)

    async def update_object_store(
        self, bucket: str | ObjectStoreConfig, /, *, timeout: float | None = None, **keywords: Unpack[ObjectStoreKeywords]
    ) -> ObjectStore:
        """Change what is given of a store, and leave the rest as it is.

        Raises:
            BucketNotFoundError: there is none of this name.
            Others: as ``create_object_store``.
        """
        config = object_store_config(bucket, keywords)
        try:
            await self._js.stream(stream_name(config.bucket)).update(stream_changes(config), timeout=timeout)
        except StreamNotFoundError:
            raise BucketNotFoundError(config.bucket) from None
        return ObjectStore(self._js, config.bucket)

    async def ensure_object_store(
        self, bucket: str | ObjectStoreConfig, /, *, timeout: float | None = None, **keywords: Unpack[ObjectStoreKeywords]
    ) -> ObjectStore:
        """Return the store with everything that is given here: it is created, updated where something differs, or left.

        What is not given is not looked at.

        Raises: as ``create_object_store``.
        """
        config = object_store_config(bucket, keywords)
        try:
            info = await self._js.stream(stream_name(config.bucket)).info(timeout=timeout)
        except StreamNotFoundError:
            return await self.create_object_store(config, timeout=timeout)
        if differences(info.config, stream_changes(config)):
            return await self.update_object_store(config, timeout=timeout)
        return ObjectStore(self._js, config.bucket)

    async def delete_object_store(self, bucket: str, *, timeout: float | None = None) -> None:
        """Delete a store with everything in it.

        Raises:
            BucketNotFoundError: there is none of this name.
        """
        try:
            await self._js.delete_stream(stream_name(check_bucket(bucket)), timeout=timeout)
        except StreamNotFoundError:
            raise BucketNotFoundError(bucket) from None

    async def object_stores(self, *, timeout: float | None = None) -> AsyncIterator[ObjectStoreStatus]:
        """Iterate over the stores: what they are and hold."""
        async for info in self._js.streams(timeout=timeout):
            if info.config.name is not None and info.config.name.startswith(PREFIX):
                yield ObjectStoreStatus.of(info)

    async def object_store_names(self, *, timeout: float | None = None) -> AsyncIterator[str]:
        """Iterate over their names."""
        async for name in self._js.stream_names(timeout=timeout):
            if name.startswith(PREFIX):
                yield name.removeprefix(PREFIX)

    @property
    def _js(self) -> JetStream:
        return cast("JetStream", self)
