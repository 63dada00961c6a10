"""ElasticMembership: an instance of a member of an elastic group, which comes and goes as the group's members do.

No two consumers of a work queue may have filters that overlap: so nobody has a partition before who had it has let go of it, and the
instance that is pinned does that when its callback has returned. Whoever is too early tries again.
"""

from __future__ import annotations

import random

from midge.errors import JetStreamError, MidgeError
from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.errors import ConsumerExistsError, ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.partitioned.config import ElasticGroupConfig
from midge.jetstream.partitioned.errors import GroupChangedError
from midge.jetstream.partitioned.membership import GRACE, Membership, log, pinned_id
from midge.jetstream.partitioned.partitions import filters_of

__all__ = ["ElasticMembership"]

FIRST_DELAY = 0.1  # seconds before it tries again to have its partitions; twice as long each time, up to that after ack_wait
MARGIN = 0.5
FLUSH_SECONDS = 1.0
PROGRESS = b"+WPI"
STAND_BACK = (0.4, 0.5)  # seconds for the pinned instance to be the first
_SELF, _NOBODY, _OTHER = "this instance", "nobody", "another one"
_TAKEN = (10099, 10100)  # another consumer has partitions of these


class ElasticMembership(Membership[ElasticGroupConfig]):
    """One instance of a member of an elastic group; see Membership. It need not be a member yet, or any more: it waits to be one."""

    _delay = 0.0
    _joined_at = 0.0
    _theirs_until = 0.0  # until then, another instance may still be handling what its consumer has delivered
    _missing: MidgeError | None = None

    async def _begin(self) -> None:
        try:
            await self._stream.info()
            await self._join()
        except JetStreamError as error:
            if error.err_code not in _TAKEN:
                raise
            self._put_off(error)

    async def _accept(self, config: ElasticGroupConfig) -> None:
        if _fixed(config) != _fixed(self._known):
            raise GroupChangedError(self._store.stream, self._store.group)
        self.config = config
        if self.is_consuming and filters_of(config, self.member) == self._filters:
            return
        if not self.is_consuming and not self._filters and not self._find_filters():
            return
        self._delay = 0.0
        self._theirs_until = self._now + self._ack_wait
        pinned, consuming = await self._who_is_pinned(), self._consuming
        await self._let_go()
        if pinned == _SELF and consuming is not None:
            await self._flush_acks(consuming.last_reply)
        is_out = not self._find_filters()
        if pinned == _SELF or (pinned == _NOBODY and is_out):
            await self._delete()
        self._again_at = None if is_out else self._now + (random.uniform(*STAND_BACK) if pinned == _OTHER else 0.0)

    async def _retry(self) -> None:
        if self._missing is not None:
            raise self._missing
        try:
            await self._join()
        except StreamNotFoundError as error:
            await self._lose(error)
        except (JetStreamError, MidgeError) as error:
            self._put_off(error)

    async def _lose(self, error: MidgeError) -> None:
        """Without a stream it is an error, unless the group is being deleted; a consumer is made again."""
        if isinstance(error, StreamNotFoundError):
            self._missing = error
            self._again_at = self._now + GRACE
        else:
            if self._now - self._joined_at > self._ack_wait:
                self._delay = 0.0
            self._put_off(error)

    # Inside

    async def _join(self) -> None:
        """Have the member's consumer, where it has partitions, and consume.

        Raises:
            JetStreamError: another member still has one of its partitions, another instance has other ones, or it was refused.
        """
        if not self._find_filters():
            return
        wanted = self._template()
        wanted.name = self.member
        wanted.inactive_threshold = self._ack_wait
        try:
            consumer = await self._create(wanted)
        except ConsumerExistsError:
            if await self._is_theirs(wanted):
                raise
            await self._delete()
            consumer = await self._create(wanted)
        self._joined_at = self._now
        self._consume(consumer)

    async def _is_theirs(self, wanted: ConsumerConfig) -> bool:
        """True if the consumer is one of the time before, and who is pinned may still be handling what it has delivered."""
        if self._now >= self._theirs_until:
            return False
        try:
            info = await self._stream.consumer(wanted.name or "").info()
        except ConsumerNotFoundError:
            return False
        return pinned_id(info) != "" and info.num_ack_pending > 0

    def _put_off(self, error: MidgeError) -> None:
        """Try again in a while. That others are slower than this is how it is; anything else is told."""
        is_expected = isinstance(error, ConsumerNotFoundError) or (isinstance(error, JetStreamError) and error.err_code in _TAKEN)
        if not is_expected and str(error) != str(self.last_error):
            log.warning("%r tries again: %s", self, error)
        self.last_error = error
        self._delay = min(max(2 * self._delay, FIRST_DELAY), self._ack_wait + MARGIN)
        self._again_at = self._now + self._delay * random.uniform(0.8, 1.0)

    async def _who_is_pinned(self) -> str:
        """Return who the server lets have the member's messages, as far as it says so."""
        if self._consuming is None:
            return _NOBODY
        consuming = self._consuming
        try:
            pinned = pinned_id(await consuming.consumer.info())
        except ConsumerNotFoundError:
            return _NOBODY
        except MidgeError as error:
            self.last_error = error
            return _OTHER
        return _NOBODY if not pinned else _SELF if pinned == consuming.pin else _OTHER

    async def _flush_acks(self, reply: str) -> None:
        """Return when the consumer has taken all acknowledgements: it answers to a word about the last message after those before."""
        client = self._store.js.client
        if not reply or not client.is_connected:
            return
        try:
            await client.request(reply, PROGRESS, timeout=FLUSH_SECONDS)
        except MidgeError as error:
            self.last_error = error  # so what was handled last may come again, to its new owner

    async def _delete(self) -> None:
        try:
            await self._stream.delete_consumer(self.member)
        except (ConsumerNotFoundError, StreamNotFoundError):
            pass  # another instance was faster, or the group is being deleted
        except MidgeError as error:
            self.last_error = error  # it goes by itself, for nobody asks it for messages


def _fixed(config: ElasticGroupConfig) -> tuple[object, ...]:
    """Return what never changes of a group."""
    filters = [(each.filter, tuple(each.partitioning_wildcards)) for each in config.partitioning_filters]
    return config.max_members, filters, config.max_buffered_msg, config.max_buffered_bytes
