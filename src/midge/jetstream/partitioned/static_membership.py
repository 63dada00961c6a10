"""StaticMembership: an instance of a member of a static group: it consumes as long as the group is as it was."""

from __future__ import annotations

from midge.errors import MidgeError
from midge.jetstream.errors import ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.partitioned.config import StaticGroupConfig, write_config
from midge.jetstream.partitioned.errors import GroupChangedError, NotAMemberError
from midge.jetstream.partitioned.membership import GRACE, Membership, log
from midge.jetstream.partitioned.names import static_consumer

__all__ = ["StaticMembership"]


class StaticMembership(Membership[StaticGroupConfig]):
    """One instance of a member of a static group; see Membership."""

    _lost: MidgeError | None = None

    async def _begin(self) -> None:
        if self.member not in self._known.member_names:
            raise NotAMemberError(self._store.stream, self._store.group, self.member)
        if self._find_filters():
            wanted = self._template()
            wanted.durable_name = static_consumer(self._store.group, self.member)
            self._consume(await self._create(wanted))

    async def _accept(self, config: StaticGroupConfig) -> None:
        if write_config(config) != write_config(self._known):
            raise GroupChangedError(self._store.stream, self._store.group)

    async def _lose(self, error: MidgeError) -> None:
        """It is an error, unless the group is being deleted: the bucket will say so soon."""
        self._lost = error
        self._again_at = self._now + GRACE

    async def _retry(self) -> None:
        if self._lost is not None:
            raise self._lost

    async def _leave(self) -> None:
        """The consumer goes, too: with other filters, that of the same name would be in the way."""
        await self._let_go()
        try:
            await self._stream.delete_consumer(static_consumer(self._store.group, self.member))
        except (ConsumerNotFoundError, StreamNotFoundError):
            pass
        except MidgeError as error:
            log.warning("%r leaves its consumer behind: %s", self, error)
