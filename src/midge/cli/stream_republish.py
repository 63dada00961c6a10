"""Copying a stream by publishing its messages again: for a destination that cannot restore a snapshot, or has another name for it.

Subjects, payloads, headers and the order stay; the times are new, and so are the sequences where messages are missing in between. What a
server would make of a message that is published now (send it on, change its subject, drop it as a duplicate) is switched off until all are
there. Metadata mark the stream as a copy under way, so that one that was cut off can be told from a stream, and can be resumed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice
from typing import Any

from midge.cli.jetstream import Api
from midge.cli.render import Advance
from midge.cli.stream_digest import is_condition, messages
from midge.errors import JetStreamError, MidgeError
from midge.jetstream.async_publisher import PendingAck
from midge.jetstream.errors import StreamNotFoundError
from midge.message import Headers, Message

__all__ = ["Republishing", "unfit"]

MARK = "midge.copy.of"
_WINDOW = 1_000  # messages whose acknowledgements are not waited for
_DUPLICATES = 100_000_000  # nanoseconds: the shortest window that a server takes
_PAUSE = 0.15  # seconds between two messages of one id
_LATER = ("republish", "subject_transform")
_MSG_ID = "Nats-Msg-Id"


def unfit(config: dict[str, Any]) -> str:
    """Return why the messages of a stream cannot be published again, "" if they can."""
    if config.get("mirror") or config.get("sources"):
        return "it takes its messages from other streams"
    if config.get("retention") == "interest":
        return "it drops what nobody is interested in"
    if config.get("allow_msg_counter"):
        return "it counts, and would count again"
    return "its messages are scheduled, and would be again" if config.get("allow_msg_schedules") else ""


class Republishing:
    """One copy.

    Args:
        source, target: both servers.
        info: the source stream, as its server describes it.
        config: the configuration of the destination when all is there.
    """

    def __init__(self, source: Api, target: Api, info: dict[str, Any], config: dict[str, Any]) -> None:
        self._source = source
        self._target = target
        self._info = info
        self._config = config
        self._name: str = config["name"]
        self._mark = f"{info['config']['name']} to {info['state']['last_seq']}"
        self._ids: dict[str, float] = {}

    async def begin(self, *, resume: bool) -> int:
        """Make the stream, or find the one that was begun; return how many messages it has, and copy up to which sequence.

        Raises:
            MidgeError: there is such a stream, which is no copy under way, or is and nobody has said that it is to be resumed.
        """
        try:
            found = await self._target.stream_info(self._name)
        except StreamNotFoundError:
            await self._target.ask(f"STREAM.CREATE.{self._name}", self._meanwhile())
            return 0
        mark = (found["config"].get("metadata") or {}).get(MARK, "")
        if not mark.startswith(f"{self._info['config']['name']} to "):
            raise MidgeError(f"stream {self._name} is there already, and no copy of {self._info['config']['name']} that was cut off")
        if not resume:
            raise MidgeError(f"stream {self._name} is a copy that was cut off: --resume it, or remove it")
        self._mark = mark
        return int(found["state"]["messages"])

    @property
    def last(self) -> int:
        """The last sequence of the source that is copied."""
        return int(self._mark.rpartition(" ")[2])

    async def run(self, skip: int, advance: Advance) -> None:
        """Publish all messages but so many.

        Raises:
            MidgeError: one was refused.
        """
        under_way: deque[PendingAck] = deque()
        async for _, message in messages(self._source, self._info, self.last):
            advance(1)
            if skip:
                skip -= 1
                continue
            headers = Headers.of_wire([pair for pair in message.headers.multi_items() if not is_condition(pair[0])])
            if self._is_recent(headers.get(_MSG_ID)):
                await self._settle(under_way, 0)
                await asyncio.sleep(_PAUSE)
            under_way.append(await self._send(message, headers))
            await self._settle(under_way, _WINDOW)
        await self._settle(under_way, 0)

    async def finish(self) -> None:
        """Give the stream the configuration that it shall have."""
        found = (await self._target.stream_info(self._name))["config"]
        await self._target.ask(f"STREAM.UPDATE.{self._name}", self._config | {"first_seq": found.get("first_seq", 0)})

    def _meanwhile(self) -> dict[str, Any]:
        """Return the configuration while messages come."""
        config = {name: value for name, value in self._config.items() if name not in _LATER}
        config |= {"no_ack": False, "sealed": False, "duplicate_window": _DUPLICATES}
        first = self._info["state"]["first_seq"]
        return config | {"metadata": (config.get("metadata") or {}) | {MARK: self._mark}} | ({"first_seq": first} if first > 1 else {})

    async def _send(self, message: Message, headers: Headers) -> PendingAck:
        return await self._target.js.publish_async(message.subject, message.data, headers=headers if len(headers) else None)

    async def _settle(self, under_way: deque[PendingAck], count: int) -> None:
        """Wait until no more than so many acknowledgements are on their way."""
        while len(under_way) > count:
            ack = await under_way.popleft()
            if ack.stream != self._name:
                raise MidgeError(f"stream {ack.stream} of the destination takes the messages, and not {self._name}")
            if ack.duplicate:
                raise JetStreamError(400, 0, f"message {ack.seq} was taken for a duplicate")

    def _is_recent(self, message_id: str | None) -> bool:
        """True if a message of this id was sent a moment ago; notes it."""
        if message_id is None:
            return False
        now = time.monotonic()
        recent = now - self._ids.pop(message_id, -_PAUSE) < _PAUSE
        self._ids[message_id] = now
        for old in list(islice(self._ids, 2)):  # the oldest first: two go for each that comes
            if now - self._ids[old] >= _PAUSE:
                del self._ids[old]
        return recent
