"""ObjectInfo: what describes an object: its name, what people say of it, and how it is stored."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Any

import msgspec

from midge.jetstream.entity import Entity, from_json, to_json
from midge.jetstream.object_store.errors import ObjectDamagedError

__all__ = ["ObjectInfo", "ObjectLink", "ObjectOptions", "encoded_name", "info_bytes", "read_info"]

_NUID = re.compile(r"[^\s.*>]*")  # a token of a subject: a wildcard would stand for the chunks of all objects


class ObjectLink(Entity):
    """Where a link leads: to an object, or without a name to a whole store."""

    bucket: str = ""
    name: str = ""


class ObjectOptions(Entity):
    """How an object is stored: in chunks of so many bytes, or not at all, because it is a link."""

    link: ObjectLink | None = None
    max_chunk_size: int | None = None


class ObjectInfo(Entity):
    """What describes an object.

    Attributes:
        name, bucket: where it is.
        description: for people.
        headers: values by name, for programs.
        metadata: texts by name.
        options: how it is stored.
        nuid: what its chunks are stored under.
        size: its bytes.
        chunks: how many they are in.
        digest: "SHA-256=" and the digest in base64 for URLs.
        deleted: it is gone, and only this is left.
        mtime: when this was stored; of what was just put, when that was.
    """

    name: str = ""
    description: str = ""
    headers: dict[str, list[str]] | None = None
    metadata: dict[str, str] | None = None
    options: ObjectOptions | None = None
    bucket: str = ""
    nuid: str = ""
    size: int = 0
    mtime: datetime | None = None
    chunks: int = 0
    digest: str = ""
    deleted: bool = False

    @property
    def link(self) -> ObjectLink | None:
        """Where it leads, None where it is no link."""
        return None if self.options is None else self.options.link


def encoded_name(name: str) -> str:
    """Return a name as it stands in a subject."""
    return urlsafe_b64encode(name.encode("utf-8", "surrogateescape")).decode()


def info_bytes(info: ObjectInfo) -> bytes:
    """Return what is stored of it; the time is that of the message."""
    body = to_json(info)
    body.pop("mtime", None)
    for name in ("description", "digest"):
        if not body[name]:
            del body[name]
    if not info.deleted:
        del body["deleted"]
    link = body.get("options", {}).get("link")
    if link is not None and not link["name"]:
        del link["name"]
    return msgspec.json.encode(body)


def read_info(bucket: str, subject: str, data: bytes, time: datetime) -> ObjectInfo:
    """Return what was stored. Where it is, and so its name, the subject says: what was stored may name another object.

    Raises:
        ObjectDamagedError: it makes no sense.
    """
    try:
        body: dict[str, Any] = msgspec.json.decode(data, type=dict)
        body.pop("mtime", None)  # of whoever stored it, if anything: nats-py writes ""
        headers = body.get("headers")
        if headers is not None:
            body["headers"] = {name: [value] if isinstance(value, str) else list(value) for name, value in headers.items()}
        info = msgspec.convert(msgspec.to_builtins(from_json(ObjectInfo, body)), ObjectInfo)
        if not _NUID.fullmatch(info.nuid) or info.size < 0 or info.chunks < 0:
            raise ValueError(f"nuid={info.nuid!r:.80}, size={info.size}, chunks={info.chunks}")
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ObjectDamagedError(bucket, subject.rpartition(".")[2], f"what describes it makes no sense: {error}") from error
    info.name, info.bucket, info.mtime = _name_in(subject) or info.name, bucket, time
    return info


def _name_in(subject: str) -> str:
    """Return the name that a subject has, "" where it is not written as names are."""
    try:
        return urlsafe_b64decode(subject.rpartition(".")[2]).decode()
    except ValueError:
        return ""
