"""Terms: what a consumer's configuration has to agree with: its stream and that stream's others, the limits of account and server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midge.engine.errors import ApiError
from midge.model.account import AccountLimits
from midge.model.consumer import ConsumerConfig
from midge.model.stream import StreamConfig

if TYPE_CHECKING:
    from midge.engine.consumers.taken import Taken

__all__ = ["ConsumerTerms", "is_feeding"]


def _nobody(subject: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerTerms:
    """What there is, as it is now.

    Attributes:
        stream: the configuration of the stream.
        consumers: those of its consumers by name; looked at, never changed.
        taken: the subjects that they have of a work queue, where somebody knows that.
        account: what the account may use; -1 is no limit.
        max_ack_pending, max_request_batch: the server's limits; 0 for any number.
        max_consumers: how many the stream may have, where neither it nor its account says; 0 for any number.
        is_listened: tells whether anybody listens to a subject.
    """

    stream: StreamConfig
    consumers: Mapping[str, ConsumerConfig] = field(default_factory=dict)
    taken: Taken | None = None
    account: AccountLimits = field(default_factory=AccountLimits)
    max_ack_pending: int = 0
    max_request_batch: int = 0
    max_consumers: int = 0
    is_listened: Callable[[str], bool] = _nobody

    def check_number(self) -> None:
        """Refuse a consumer more than there may be. All limits count those of this stream, and none that feeds another stream.

        Raises:
            ApiError: 10026.
        """
        most, allowed = self.stream.max_consumers, self.account.max_consumers
        if most <= 0 or 0 < allowed < most:
            most = allowed
        if most <= 0:
            most = self.max_consumers
        if 0 < most <= len(self.consumers) and most <= sum(not is_feeding(each) for each in self.consumers.values()):
            raise ApiError(10026)


def is_feeding(config: ConsumerConfig) -> bool:
    """True for a consumer that feeds another stream: it is not counted, and no work queue has to be shared with it."""
    return config.direct or config.sourcing
