"""KeyValueManager: makes, changes, lists and removes buckets; it is a part of JetStream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Unpack, cast

from midge.jetstream.bucket_names import check_bucket
from midge.jetstream.errors import StreamNameInUseError, StreamNotFoundError
from midge.jetstream.key_value.bucket import KeyValue
from midge.jetstream.key_value.config import (
    PREFIX,
    KeyValueConfig,
    KeyValueKeywords,
    key_value_config,
    stream_changes,
    stream_config,
    stream_name,
)
from midge.jetstream.key_value.errors import BucketExistsError, BucketNotFoundError, LimitMarkersNotSupportedError
from midge.jetstream.key_value.status import KeyValueStatus
from midge.jetstream.setup import differences

if TYPE_CHECKING:
    from midge.jetstream.context import JetStream

__all__ = ["KeyValueManager"]


class KeyValueManager:
    """The buckets of an account."""

    __slots__ = ()

    def key_value(self, bucket: str) -> KeyValue:
        """Return the bucket of this name, without asking whether there is one; await what is returned to ask.

        Raises:
            InvalidSubjectError: it cannot be a name.
        """
        return KeyValue(self._context, check_bucket(bucket))

    async def create_key_value(
        self, bucket: str | KeyValueConfig, /, *, timeout: float | None = None, **keywords: Unpack[KeyValueKeywords]
    ) -> KeyValue:
        """Create a bucket, from its name and keywords, or a KeyValueConfig. Where there is the same already, that is it.

        Raises:
            BucketExistsError: there is one of this name with another configuration.
            LimitMarkersNotSupportedError: ``limit_marker_ttl`` is given, and the server is too old.
            InvalidSubjectError, ValueError, TypeError: something cannot be what it is.
            JetStreamError: it was refused for another reason.
        """
        config = key_value_config(bucket, keywords)
        await self._check_markers(config, timeout)
        try:
            stream = await self._context.create_stream(stream_config(config), timeout=timeout)
        except StreamNameInUseError:
            raise BucketExistsError(config.bucket) from None
        return KeyValue(self._context, config.bucket, stream.last_info)

    async def update_key_value(
        self, bucket: str | KeyValueConfig, /, *, timeout: float | None = None, **keywords: Unpack[KeyValueKeywords]
    ) -> KeyValue:
        """Change what is given of a bucket, and leave the rest as it is.

        Raises:
            BucketNotFoundError: there is none of this name.
            Others: as ``create_key_value``.
        """
        config = key_value_config(bucket, keywords)
        await self._check_markers(config, timeout)
        try:
            info = await self._context.stream(stream_name(config.bucket)).update(stream_changes(config), timeout=timeout)
        except StreamNotFoundError:
            raise BucketNotFoundError(config.bucket) from None
        return KeyValue(self._context, config.bucket, info)

    async def ensure_key_value(
        self, bucket: str | KeyValueConfig, /, *, timeout: float | None = None, **keywords: Unpack[KeyValueKeywords]
    ) -> KeyValue:
        """Return the bucket with everything that is given here: it is created, updated where something differs, or left.

        What is not given is not looked at.

        Raises: as ``create_key_value``.
        """
        config = key_value_config(bucket, keywords)
        try:
            info = await self._context.stream(stream_name(config.bucket)).info(timeout=timeout)
        except StreamNotFoundError:
            return await self.create_key_value(config, timeout=timeout)
        if differences(info.config, stream_changes(config)):
            return await self.update_key_value(config, timeout=timeout)
        return KeyValue(self._context, config.bucket, info)

    async def delete_key_value(self, bucket: str, *, timeout: float | None = None) -> None:
        """Delete a bucket with everything in it.

        Raises:
            BucketNotFoundError: there is none of this name.
        """
        try:
            await self._context.delete_stream(stream_name(check_bucket(bucket)), timeout=timeout)
        except StreamNotFoundError:
            raise BucketNotFoundError(bucket) from None

    async def key_values(self, *, timeout: float | None = None) -> AsyncIterator[KeyValueStatus]:
        """Iterate over the buckets: what they are and hold."""
        async for info in self._context.streams(timeout=timeout):
            if info.config.name is not None and info.config.name.startswith(PREFIX):
                yield KeyValueStatus.of(info)

    async def key_value_names(self, *, timeout: float | None = None) -> AsyncIterator[str]:
        """Iterate over their names."""
        async for name in self._context.stream_names(timeout=timeout):
            if name.startswith(PREFIX):
                yield name.removeprefix(PREFIX)

    @property
    def _context(self) -> JetStream:
        return cast("JetStream", self)

    async def _check_markers(self, config: KeyValueConfig, timeout: float | None) -> None:
        if config.limit_marker_ttl is not None and (await self._context.account_info(timeout=timeout)).api.level < 1:
            raise LimitMarkersNotSupportedError
