"""OrderedConsumer: a stream's messages in order and without a gap, once each, for who only reads (ADR-17, 37).

Nothing is acknowledged. The server's consumer is a means that comes and goes: where one is lost, or a message is missing, another one is
made that begins behind the last message that was taken. It is kept in memory there, and goes when it is not used.

What was sent through a link that is lost is lost, and only the next message would tell, so another link means another consumer; so does
silence: the consumer may be on a server of a cluster that is down, and another one could be made elsewhere.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypedDict

from midge.errors import ConnectionClosedError, DisconnectedError, JetStreamError, MidgeError, MidgeTimeoutError
from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.consumer import Consumer
from midge.jetstream.consumer_setup import create_consumer
from midge.jetstream.consuming import Consuming, leave_from_anywhere
from midge.jetstream.entity import from_json
from midge.jetstream.errors import ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.infos import ConsumerInfo, StreamInfo
from midge.jetstream.message import StreamMessage
from midge.jetstream.requests import Requests, info_of
from midge.nuid import Nuid

__all__ = ["OrderedConsumer", "OrderedOptions"]

FIRST_DELAY, LAST_DELAY = 1.0, 10.0  # seconds before another attempt to make a consumer
INACTIVE = 300.0
HEARTBEAT = 5.0


class OrderedOptions(TypedDict, total=False):
    """What to read, and how.

    Attributes:
        filter_subjects: messages whose subject matches one of these; all without.
        deliver_policy: where to begin: "all" unless something else is asked for, see ConsumerConfig.
        opt_start_seq, opt_start_time: for the policies that need it.
        replay_policy: "instant" or "original".
        headers_only: without payloads.
        inactive_threshold: seconds after which the server forgets a consumer that nobody uses, 300.
        metadata: for the server's consumer.
        max_messages, max_bytes: how much may be on its way and at hand; see ConsumeOptions.
    """

    filter_subjects: list[str]
    deliver_policy: str
    opt_start_seq: int
    opt_start_time: datetime
    replay_policy: str
    headers_only: bool
    inactive_threshold: float | timedelta
    metadata: dict[str, str]
    max_messages: int
    max_bytes: int


class OrderedConsuming(Consuming):
    """Messages of one consumer for as long as nothing happens that may have lost one.

    Attributes:
        is_lost_with_link: it has ended because its link did.
    """

    is_lost_with_link = False

    def _relink(self) -> None:
        if self._has_begun:
            self.is_lost_with_link = True
            self._finish()

    def _look_for_it(self) -> None:
        self._finish()

    def _miss(self) -> None:
        self.missed_heartbeats += 1
        self._finish()


class OrderedConsumer:
    """The messages of a stream in order; made by ``Stream.ordered_consumer``. Iterate over it, or call ``next``.

    Attributes:
        resets: how often another consumer had to be made.
        last_seq: the sequence in the stream of the last message that was taken, 0 before the first.
        last_info: what the server said of the consumer when it was made: ``num_pending`` is how much there was to read then.
    """

    def __init__(self, requests: Requests, stream: str, options: OrderedOptions) -> None:
        self._requests = requests
        self._stream = stream
        given: dict[str, Any] = dict(options)
        self._bounds: Any = {name: given.pop(name) for name in ("max_messages", "max_bytes") if name in given}
        self._config = ConsumerConfig(**given)
        self._prefix = Nuid().next()
        self._serial = 0
        self._consuming: OrderedConsuming | None = None
        self._vain = 0  # consumers in a row that were of no use
        self._begun_at = 0.0  # when the present one was made
        self._expected = 0  # the next delivery's number
        self._floor = -1  # "new" is what is behind this sequence, also for another consumer than the first
        self._stopping = asyncio.Event()
        self._lock = asyncio.Lock()
        self.resets = 0
        self.last_seq = 0
        self.last_info: ConsumerInfo | None = None

    def __repr__(self) -> str:
        return f"<OrderedConsumer of stream {self._stream!r}>"

    async def __aenter__(self) -> OrderedConsumer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __aiter__(self) -> OrderedConsumer:
        return self

    async def __anext__(self) -> StreamMessage:
        """Return the next message, however long that takes.

        Raises:
            StopAsyncIteration: it was stopped, or the connection was closed or drained.
            StreamNotFoundError: the stream is gone, or was made anew and has not come as far yet.
            ConnectionClosedError: the connection was lost for good.
        """
        while not self._is_stopped:
            consuming = self._consuming or await self.begin()
            try:
                message = await consuming.__anext__()
            except (ConsumerNotFoundError, StopAsyncIteration):
                if self._requests.client.is_closed or self._requests.client.is_draining or self._is_stopped:
                    break
                await self._reset(consuming)
                continue
            stream_seq, consumer_seq = message.sequences
            if consumer_seq != self._expected:
                await self._reset(consuming)
                continue
            self._expected += 1
            self.last_seq = stream_seq
            return message
        raise StopAsyncIteration

    @property
    def _is_stopped(self) -> bool:
        return self._stopping.is_set()

    @property
    def at_hand(self) -> int:
        """How many messages are here that nobody has taken."""
        return 0 if self._consuming is None else self._consuming.pending

    @property
    def delivered(self) -> int:
        """How many messages of the server's present consumer were taken."""
        return max(self._expected - 1, 0)

    async def next(self, timeout: float | None = None) -> StreamMessage:
        """Return the next message.

        Raises:
            MidgeTimeoutError: none came in time; nothing is lost.
            StreamNotFoundError, ConnectionClosedError: as the loop.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self.__anext__()
        except StopAsyncIteration:
            raise ConnectionClosedError(f"{self!r} has been stopped") from None
        except TimeoutError as error:
            if isinstance(error, MidgeError):
                raise
            raise MidgeTimeoutError(f"a message of {self!r}", timeout) from None

    async def begin(self) -> OrderedConsuming:
        """Make the server's consumer, where there is none; goes on trying as long as that may help.

        Raises:
            StopAsyncIteration: it was stopped.
            StreamNotFoundError: the stream is not there.
            JetStreamError: it was refused.
            ConnectionClosedError: the connection is closed.
        """
        async with self._lock:  # two may wait for messages
            if self._consuming is not None:
                return self._consuming
            info = await self._make()
            if self.last_info is None and self._config.deliver_policy == "new":
                self._floor = info.delivered.stream_seq
            self.last_info = info
            self._expected, self._begun_at = 1, asyncio.get_running_loop().time()
            consumer = Consumer(self._requests, info)
            consuming = OrderedConsuming(consumer, consumer.new_pull(), None, self._bounds | {"heartbeat": HEARTBEAT})
            consuming.begin()
            self._consuming = consuming
            return consuming

    async def stop(self) -> None:
        """Take nothing more, and let go of the server's consumer."""
        self._stopping.set()
        consuming, self._consuming = self._consuming, None
        if consuming is not None:
            await consuming.stop()
            _delete(self._requests, self._stream, consuming.consumer.name)

    def __del__(self) -> None:
        """The loop was left. It may be gone in another thread, where the garbage collector happened to run."""
        consuming = getattr(self, "_consuming", None)
        if consuming is not None:
            leave_from_anywhere(consuming, partial(_delete, self._requests, self._stream, consuming.consumer.name))

    # Inside

    async def _make(self) -> ConsumerInfo:
        """Return what the server says of the consumer that it has made. Raises as ``begin``."""
        delay = FIRST_DELAY
        while not self._is_stopped:
            config = self._next_config()
            assert config.name is not None
            info: ConsumerInfo | None = None
            try:
                info = await create_consumer(self._requests, self._stream, config)
                if self.last_info and config.opt_start_seq:
                    await self._check_stream(config.opt_start_seq - 1)
                if not self._is_stopped:
                    return info
                _delete(self._requests, self._stream, config.name)
            except JetStreamError as error:
                if info is not None:
                    _delete(self._requests, self._stream, config.name)
                if isinstance(error, StreamNotFoundError) or error.code < 500 or not self.last_info:
                    raise  # else a leader may be elected, or a server started
            except BaseException as error:
                _delete(self._requests, self._stream, config.name)  # it may be there, and nobody will use it
                if not isinstance(error, (MidgeTimeoutError, DisconnectedError)) or not self.last_info:
                    raise
            await self._pause(delay)
            delay = min(2 * delay, LAST_DELAY)
        raise StopAsyncIteration

    async def _check_stream(self, seq: int) -> None:
        """See that the stream has come as far as this one has: another one of its name would be silent until it has.

        Raises:
            StreamNotFoundError: it is gone, or is another one by now.
        """
        answer = await self._requests.ask(f"STREAM.INFO.{self._stream}")
        last = from_json(StreamInfo, info_of(answer)).state.last_seq
        if last < seq:
            raise StreamNotFoundError(404, 10059, f"stream not found: it was made anew, as its last message is {last}, and {seq} was read")

    async def _pause(self, seconds: float) -> None:
        """Wait for so long, or until it is stopped."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _reset(self, consuming: OrderedConsuming) -> None:
        """Go on with another consumer: soon, unless the last ones have ended at once and have brought nothing, and so may the next."""
        if self._consuming is not consuming:
            return  # somebody else has seen to it
        self._consuming = None
        self.resets += 1
        is_vain = self._expected <= 1 and not consuming.is_lost_with_link
        is_vain = is_vain and asyncio.get_running_loop().time() < self._begun_at + FIRST_DELAY
        self._vain = self._vain + 1 if is_vain else 0
        await consuming.stop()
        _delete(self._requests, self._stream, consuming.consumer.name)
        if self._vain > 1:
            await self._pause(min(FIRST_DELAY * 2 ** min(self._vain - 2, 9), LAST_DELAY))

    def _next_config(self) -> ConsumerConfig:
        """Return the configuration of the next consumer, which begins behind what was taken."""
        self._serial += 1
        given = {name: getattr(self._config, name) for name in self._config.__struct_fields__}
        given |= {
            "name": f"{self._prefix}_{self._serial}",
            "ack_policy": "none",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": self._config.inactive_threshold or INACTIVE,
            "deliver_policy": self._config.deliver_policy or "all",
        }
        if self.last_seq or self._floor >= 0:
            first = max(self.last_seq, self._floor) + 1
            given |= {"deliver_policy": "by_start_sequence", "opt_start_seq": first, "opt_start_time": None}
        return ConsumerConfig(**given)


def _delete(requests: Requests, stream: str, name: str) -> None:
    """Let the server forget a consumer; nobody waits for that, and it would by itself."""
    client = requests.client
    if client.is_connected:
        client.publish(f"{requests.prefix}.CONSUMER.DELETE.{stream}.{name}")
