"""Membership: one instance of a member, which consumes what is the member's, and follows what becomes of the group.

    start ──► configuration read, watched ──► consumer created ──► MemberConsuming ──► callback
                                │
                                └──► one task: entries of the bucket, the end of consuming, a time to try again

Instances of the same member share a consumer, of which the server pins one. What the two kinds of groups do when something changes is
theirs; here is how it is heard, and how it ends.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar

from midge.errors import MidgeError
from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.consumer import Consumer
from midge.jetstream.entity import merged
from midge.jetstream.errors import ConsumerExistsError, ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.infos import ConsumerInfo
from midge.jetstream.key_value.entry import Entry
from midge.jetstream.key_value.errors import BucketNotFoundError
from midge.jetstream.key_value.watcher import KeyWatcher
from midge.jetstream.names import check_name
from midge.jetstream.partitioned.config import GroupConfig
from midge.jetstream.partitioned.member_consuming import MIN_SECONDS, MemberConsuming, MemberOptions, check_options
from midge.jetstream.partitioned.names import PRIORITY_GROUP
from midge.jetstream.partitioned.partitions import filters_of
from midge.jetstream.partitioned.store import GroupStore
from midge.jetstream.stream import Stream

__all__ = ["GRACE", "Membership", "log", "pinned_id"]

log = logging.getLogger("midge.jetstream")

ACK_WAIT = 5.0
GRACE = 2.0  # seconds that the news of a group that is deleted may take, when what belongs to it is gone already
_OURS = ("durable_name", "name", "filter_subject", "filter_subjects", "priority_groups", "priority_policy", "priority_timeout")
_PUSH = ("deliver_subject", "deliver_group")
ConfigT = TypeVar("ConfigT", bound=GroupConfig)


class Membership(Generic[ConfigT]):
    """One instance of a member of a group; made by ``StaticGroup.consume`` and ``ElasticGroup.consume``. It is for one block.

    The block begins when the group is known and its configuration watched, and ends with ``drain``, or with ``stop`` where it is left by
    an error. Consuming goes on by itself after whatever passes: a reconnect, another leader, a consumer that was deleted.

    Attributes:
        member: its name.
        config: the group's configuration, as it was last heard of; None before it has begun.
        last_error: what went wrong last, and is tried again, or has ended it.
    """

    config: ConfigT | None = None
    last_error: BaseException | None = None

    def __init__(
        self, store: GroupStore[ConfigT], stream: Stream, member: str, callback: Any, wanted: ConsumerConfig | None, options: MemberOptions
    ) -> None:
        self.member = check_name(member, "member name")
        if not callable(callback):
            raise TypeError(f"a callback is a function, not {type(callback).__name__}")
        self._store = store
        self._stream = stream
        self._callback = callback
        self._options = check_options(options)
        self._wanted = _checked(wanted)
        self._ack_wait = _seconds(self._wanted.ack_wait)
        self._filters: list[str] = []
        self._watcher: KeyWatcher | None = None
        self._task: asyncio.Task[None] | None = None
        self._consuming: MemberConsuming | None = None
        self._working: asyncio.Task[None] | None = None  # until what is consumed has come to its end
        self._again_at: float | None = None
        self._errors = 0  # of what is consumed no more
        self._over = asyncio.Event()
        self._error: Exception | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.member!r} in group {self._store.group!r} of stream {self._store.stream!r}>"

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, kind: object, *_: object) -> None:
        await (self.drain() if kind is None else self.stop())

    @property
    def is_consuming(self) -> bool:
        """True while it takes part: its member has a consumer, and it is the pinned instance or one that waits to be."""
        return self._consuming is not None and not self._consuming.is_over

    @property
    def is_pinned(self) -> bool:
        """True if messages came to this instance last, as far as it knows."""
        return self._consuming is not None and self._consuming.pin != ""

    @property
    def errors(self) -> int:
        """How many messages the callback has raised for."""
        return self._errors + (0 if self._consuming is None else self._consuming.errors)

    async def start(self) -> Self:
        """Begin, for those who have no block for it; end with ``drain`` or ``stop``.

        Raises:
            GroupNotFoundError: there is no such group.
            InvalidGroupError: its configuration makes no sense.
            NotAMemberError: the static group has no such member.
            JetStreamError: the consumer was refused.
            RuntimeError: it has begun before.
        """
        if self._watcher is not None or self._over.is_set():
            raise RuntimeError(f"{self!r} has begun before")
        self._watcher = self._store.watch()
        try:
            self.config = await self._store.get()
            await self._watcher
            await self._begin()
        except BaseException:
            self._over.set()
            await self._halt()
            raise
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def stop(self) -> None:
        """Take nothing more, now. A callback that runs is cancelled; what was not worked on is delivered again after ``ack_wait``."""
        await self._forsake()
        if self._consuming is not None:
            await self._consuming.stop()
        self._settle()

    async def drain(self) -> None:
        """Ask for nothing more, and return when all that is at hand has been worked on; another instance may go on at once then."""
        await self._forsake()
        if self._consuming is not None:
            await self._consuming.drain()
            await self._hand_over(self._consuming)
        self._settle()

    async def wait(self) -> None:
        """Return when it is over: it was stopped or drained, the group was deleted, or the connection closed.

        Raises:
            InvalidGroupError, GroupChangedError: what was made of the group has ended it.
            JetStreamError, ConnectionClosedError: what else has.
        """
        await self._over.wait()
        if self._error is not None:
            raise self._error

    # What each kind of group does

    async def _begin(self) -> None:
        """Join, where the member has something to consume."""
        raise NotImplementedError

    async def _accept(self, config: ConfigT) -> None:
        """The configuration was written anew."""
        raise NotImplementedError

    async def _retry(self) -> None:
        """It is the time that ``_again_at`` has said."""
        raise NotImplementedError

    async def _lose(self, error: MidgeError) -> None:
        """The consumer, or its stream, is gone."""
        raise NotImplementedError

    async def _leave(self) -> None:
        """The group is deleted, or of no use any more: end, and leave nothing."""
        await self._let_go()

    # For them

    @property
    def _known(self) -> ConfigT:
        assert self.config is not None
        return self.config

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _template(self) -> ConsumerConfig:
        """Return the member's consumer as it is to be, but for its name."""
        own = ConsumerConfig(
            ack_policy=self._wanted.ack_policy or "explicit",
            ack_wait=self._ack_wait,
            filter_subjects=self._filters,
            priority_groups=[PRIORITY_GROUP],
            priority_policy="pinned_client",
            priority_timeout=max(self._ack_wait, MIN_SECONDS),
        )
        return merged(self._wanted, own)

    def _find_filters(self) -> bool:
        """Look what is the member's in the configuration, and return whether there is anything."""
        self._filters = filters_of(self._known, self.member)
        return bool(self._filters)

    def _is_same(self, info: ConsumerInfo) -> bool:
        """True if a consumer delivers just what is the member's, as a member's does."""
        config = info.config
        filters = config.filter_subjects or [config.filter_subject or ">"]
        return sorted(filters) == sorted(self._filters) and PRIORITY_GROUP in (config.priority_groups or []) and config.ack_policy == (
            self._wanted.ack_policy or "explicit"
        )  # fmt: skip

    async def _create(self, wanted: ConsumerConfig) -> Consumer:
        """Create the member's consumer. One that another instance has made with other settings, but the same filters, will do.

        Raises:
            ConsumerExistsError: there is one with other filters.
            JetStreamError: it was refused.
        """
        try:
            return await self._stream.create_consumer(wanted)
        except ConsumerExistsError:
            consumer = self._stream.consumer(wanted.durable_name or wanted.name or "")
            if not self._is_same(await consumer.info()):
                raise
            return consumer

    def _consume(self, consumer: Consumer) -> None:
        self._consuming = MemberConsuming(consumer, self._callback, self._options, self._ack_wait)
        self._consuming.start()
        self._working = asyncio.get_running_loop().create_task(self._consuming.wait())
        self._again_at = None

    async def _let_go(self) -> None:
        """Take nothing more, and return when the callback that runs has returned; it is cancelled when its message comes again anyway."""
        consuming, working = self._consuming, self._working
        if consuming is None or working is None:
            return
        consuming.leave()
        await asyncio.wait([working], timeout=self._ack_wait)
        await consuming.stop()
        await asyncio.wait([working])
        self._note(working)
        self._forget()

    def _note(self, working: asyncio.Task[None]) -> MidgeError | None:
        """Return what has ended the consuming, None for nothing special."""
        error = None if working.cancelled() else working.exception()
        assert error is None or isinstance(error, MidgeError)
        self.last_error = error or self.last_error
        return error

    def _forget(self) -> None:
        self._errors = self.errors
        self._consuming = self._working = None

    # The task

    async def _run(self) -> None:
        try:
            await self._follow()
        except Exception as error:
            self._error = self.last_error = error
            log.error("%r has ended: %s", self, error)
            await self._let_go()
        finally:
            try:
                await self._halt()
            finally:
                if self._task is asyncio.current_task():
                    self._task = None
                    self._over.set()

    async def _follow(self) -> None:
        """Do what is to be done, one after the other, until the group is gone or the connection is closed."""
        loop = asyncio.get_running_loop()
        coming = loop.create_task(self._next())
        try:
            while True:
                timeout = None if self._again_at is None else max(0.0, self._again_at - self._now)
                waiting = [coming] if self._working is None else [coming, self._working]
                await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    entry = coming.result()
                    if entry is None:
                        return
                    coming = loop.create_task(self._next())
                    if not await self._hear(entry):
                        return
                elif self._working is not None and self._working.done():
                    if not await self._look_why():
                        return
                elif self._again_at is not None and self._again_at <= self._now:
                    self._again_at = None
                    await self._retry()
        except BucketNotFoundError:
            await self._leave()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _next(self) -> Entry | None:
        """Return the next configuration that is written; None when the connection is closed."""
        assert self._watcher is not None
        try:
            while (found := await self._watcher.__anext__()) is CAUGHT_UP:
                pass
        except StopAsyncIteration:
            return None
        return found

    async def _hear(self, entry: Entry) -> bool:
        """Do as an entry of the bucket says, and return whether to go on."""
        if entry.is_deleted:
            await self._leave()
            return False
        try:
            await self._accept(self._store.read(entry.value))
        except MidgeError:
            await self._leave()
            raise
        return True

    async def _look_why(self) -> bool:
        """Consuming has ended: do something about it, and return whether to go on."""
        assert self._working is not None
        error = self._note(self._working)
        self._forget()
        if error is None:  # the client is drained or closed
            return False
        if not isinstance(error, (ConsumerNotFoundError, StreamNotFoundError)):
            raise error
        await self._lose(error)
        return True

    async def _forsake(self) -> None:
        """Follow nothing any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _hand_over(self, consuming: MemberConsuming) -> None:
        """Be the pinned instance no more, unless a callback still runs, which is who has asked for the end."""
        if consuming.is_busy or not consuming.pin or not self._store.js.client.is_connected:
            return
        try:
            if pinned_id(await consuming.consumer.info()) == consuming.pin:
                await consuming.consumer.unpin(PRIORITY_GROUP)
        except MidgeError as error:
            self.last_error = error  # so it takes as long as ack_wait

    def _settle(self) -> None:
        if self._working is not None:  # it is done, unless the callback itself has asked for the end
            self._working.add_done_callback(self._note)
        self._forget()
        self._over.set()

    async def _halt(self) -> None:
        if self._watcher is not None:
            await self._watcher.stop()


def _checked(wanted: ConsumerConfig | None) -> ConsumerConfig:
    if wanted is None:
        return ConsumerConfig()
    if not isinstance(wanted, ConsumerConfig):
        raise TypeError(f"expected a ConsumerConfig, not {wanted!r}")
    for name in (*_OURS, *_PUSH):
        if getattr(wanted, name) is not None:
            raise ValueError(f"{name}={getattr(wanted, name)!r}: the group decides that")
    return wanted


def pinned_id(info: ConsumerInfo) -> str:
    """Return the id of the instance that is pinned, "" for none."""
    return next((each.pinned_client_id for each in info.priority_groups if each.group == PRIORITY_GROUP), "")


def _seconds(duration: float | timedelta | None) -> float:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return seconds if seconds is not None and seconds > 0 else ACK_WAIT
