"""The messages of a stream one after the other, and a digest over them: what tells whether a copy is one.

A stream without limits to who reads is read with an ordered consumer. A work queue takes no such consumer, and in a stream that keeps what
somebody is interested in one would be interested: those are read by gets, which nobody notices.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from midge.cli.jetstream import Api
from midge.cli.render import Advance
from midge.jetstream.caught_up import Mark
from midge.jetstream.errors import MalformedAnswerError, MessageNotFoundError
from midge.jetstream.following import Following
from midge.message import HeadersLike, Message

__all__ = ["Digest", "digest_of", "is_condition", "messages"]

_AT_HAND_BYTES = 8 << 20
_BATCH = 256
_CONDITIONS = ("nats-expected-", "nats-batch-")


class Digest(NamedTuple):
    """What a stream holds: how many messages, between which sequences, and the SHA-256 of their subjects, headers and payloads."""

    messages: int
    first_seq: int
    last_seq: int
    sha256: str


def is_condition(header: str) -> bool:
    """True for a header that said when its message was to be stored; it means nothing for the message that is."""
    return header.lower().startswith(_CONDITIONS)


async def messages(api: Api, info: dict[str, Any], last: int) -> AsyncIterator[tuple[int, Message]]:
    """Iterate over the messages of a stream up to a sequence, each with its own.

    Args:
        info: what the server says of the stream.
    """
    stream = info["config"]["name"]
    if not info["state"]["messages"]:
        return
    if info["config"].get("retention", "limits") != "limits":
        async for pair in _got(api, stream, last, is_direct=bool(info["config"].get("allow_direct"))):
            yield pair
        return
    following = Following(api.js.stream(stream), max_bytes=_AT_HAND_BYTES)
    try:
        while True:
            found = await following.next()
            if isinstance(found, Mark):
                return
            message, at = found
            if at.stream_seq > last:
                return
            yield at.stream_seq, message
    finally:
        await following.stop()


async def digest_of(api: Api, stream: str, last: int | None, advance: Advance) -> Digest:
    """Read a stream, up to a sequence or to its end, and return its digest."""
    info = await api.stream_info(stream)
    last = info["state"]["last_seq"] if last is None else last
    digest, count, first, seq = hashlib.sha256(), 0, 0, 0
    async for seq, message in messages(api, info, last):
        digest.update(_packed(message))
        first = first or seq
        count += 1
        advance(1)
    return Digest(count, first, seq, digest.hexdigest())


def _packed(message: Message) -> bytes:
    headers = [pair for pair in _pairs(message.headers) if not is_condition(pair[0])]
    texts = [message.subject, *(text for pair in headers for text in pair)]
    parts = [text.encode("utf-8", "surrogateescape") for text in texts] + [message.data]
    return b"%d " % len(headers) + b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return list(headers.multi_items())


async def _got(api: Api, stream: str, last: int, *, is_direct: bool) -> AsyncIterator[tuple[int, Message]]:
    handle, seq = api.js.stream(stream), 1
    while seq <= last:
        if is_direct:
            found = await handle.get_batch(batch=_BATCH, seq=seq, max_bytes=_AT_HAND_BYTES)
        else:
            try:
                found = [await handle.get(seq, next_by_subject=">")]
            except MessageNotFoundError:
                return
        if not found:
            return
        if found[-1].seq < seq:
            raise MalformedAnswerError(f"message {found[-1].seq} of stream {stream!r} came where {seq} or a later one was asked for")
        for stored in found:
            if stored.seq > last:
                return
            headers: HeadersLike = stored.headers
            yield stored.seq, Message(stored.subject, stored.data, headers=headers)
        seq = found[-1].seq + 1
