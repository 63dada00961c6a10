"""Engine: JetStream of one server: its accounts, their streams, and what happens when.

What the driver must do: call ``step`` at the end of each turn of its loop, and again in the next one while it returns True; call
``handle_timeout(wall)`` at ``next_deadline()``. Times are wall nanoseconds. ``step`` answers a bounded number of requests and lets the
streams send what has become safe; messages come in by what the engine subscribes to through its ``Outside``.

With a store directory file streams are kept there, and are there again when the engine is made; without one every stream is in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from midge.engine.account import Account
from midge.engine.api import dispatch
from midge.engine.batch_limits import BatchLimits, BatchUse
from midge.engine.consumers import roster
from midge.engine.consumers.opening import admit, open_consumers
from midge.engine.errors import ApiError
from midge.engine.jobs import Jobs
from midge.engine.metadata import API_LEVEL
from midge.engine.outside import Outside
from midge.engine.stream import Stream
from midge.engine.timers import Timers
from midge.model.account import AccountLimits
from midge.model.base import decode, encode
from midge.model.consumer import ConsumerConfig
from midge.model.stream import StreamConfig
from midge.store.base import Store
from midge.store.memory import MemoryStore
from midge.store.state import ConsumerRow, StreamRow

if TYPE_CHECKING:
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.intake import Intake
    from midge.engine.requests import ApiRequest
    from midge.engine.retention import Retention

__all__ = ["MAX_CONSUMERS", "Engine", "Settings"]

REQUESTS = 64  # what the requests cost together that are answered in one step: most of them 8, see ``api``
SLICES = 8  # of jobs in one step
FEEDS = 4  # slices of what streams take from others
CONSUMERS = 16  # slices of what consumers deliver
DUE = 64  # timers served in one call
MAX_CONSUMERS = 1_000  # of a stream, unless somebody says how many


class Settings(NamedTuple):
    """What the server tells its engine.

    Attributes:
        server_name, server_version: as in INFO.
        domain: the JetStream domain, empty for none.
        max_memory, max_storage: bytes that all streams in memory, or in files, may hold; 0 for any number.
        max_payload: of the server.
        max_pending: bytes that may wait for a client: what one request may ask for, unless it says less.
        max_requests: API requests of an account that may wait.
        max_ack_pending: messages that a consumer may leave without an ack; 0 for any number.
        max_request_batch: messages that one request to a consumer may ask for; 0 for any number.
        max_consumers: of a stream, where neither it nor its account says how many; 0 for any number.
        max_window: nanoseconds of the longest window for duplicates; 0 for any.
        strict: requests may have no fields that are unknown.
        batches: how many batches may be open.
    """

    server_name: str
    server_version: str
    domain: str = ""
    max_memory: int = 0
    max_storage: int = 0
    max_payload: int = 1 << 20
    max_pending: int = 64 << 20
    max_requests: int = 10_000
    max_ack_pending: int = 0
    max_request_batch: int = 0
    max_consumers: int = MAX_CONSUMERS
    max_window: int = 0
    strict: bool = True
    batches: BatchLimits = BatchLimits()


class Engine:
    """JetStream of one server.

    Args:
        settings: what the server tells.
        directory: the StoreDirectory, None where nothing is kept.
        outside: the server around it.
        nuid: returns a new unique id.
        choose: returns a random number below the one that is given.
        wall: the time.

    Attributes:
        accounts: by name; ``open_account`` adds one.
        dirty: the ways into streams that have something to let go of.
        asking: accounts with a request that could be answered.
        ready: consumers that have something to do.
        acknowledged: what streams keep messages for, where some have been acknowledged.
        answering: accounts that have answers to what was asked in this turn.
        used: bytes in all streams, by kind of storage.
        batches, ingests: the open batches of all streams, atomic and fast ones.
        wall: the time, as far as the engine knows it.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Any,
        outside: Outside,
        *,
        nuid: Callable[[], str],
        choose: Callable[[int], int],
        wall: int,
    ) -> None:
        self.settings = settings
        self.server_name = settings.server_name
        self.api_level = API_LEVEL
        self.version = settings.server_version
        self.domain = settings.domain
        self.limits = {"memory": settings.max_memory, "file": settings.max_storage}
        self._full = {"memory": False, "file": False}
        self.max_payload = settings.max_payload
        self.max_pending = settings.max_pending
        self.directory = directory
        self.outside = outside
        self.nuid = nuid
        self.choose = choose
        self.wall = wall
        self.timers = Timers()
        self.batches = BatchUse(settings.batches, per_stream=50, total=1_000)
        self.ingests = BatchUse(settings.batches, per_stream=1_000, total=50_000)
        self.jobs = Jobs(outside)
        self.feeding = Jobs(outside)  # what streams take from others: not held up by those who ask, nor holding them up
        self.accounts: dict[str, Account] = {}
        self.dirty: list[Intake] = []
        self.asking: deque[Account] = deque()
        self.ready: deque[Consumer] = deque()
        self.acknowledged: list[Retention] = []
        if directory is not None:
            directory.keeper.complain = lambda error: outside.failed("writing down how far consumers have come", error)
        self.answering: list[Account] = []
        self.used = {"memory": 0, "file": 0}

    def open_account(self, name: str, limits: AccountLimits | None) -> Account:
        """Serve an account, whose streams are there again; without limits it is told that JetStream is not for it."""
        account = self.accounts[name] = Account(self, name, limits)
        if limits is None or self.directory is None:
            return account
        for row in self.directory.streams(name):  # changes that waited are told of within this call, and find the account
            if row.name in account.streams:  # it was just being created
                continue
            try:
                stream = self.add_stream(account, decode(StreamConfig, row.config), row.created)
                open_consumers(stream, self.directory.consumers(name, row.name), self.wall)
            except Exception as error:  # the others do not depend on it
                account.unopened.add(row.name)
                self._abandon(account, row.name)
                self.outside.failed(f"opening stream {row.name} of account {name}", error)
        return account

    def limit_account(self, name: str, limits: AccountLimits | None) -> None:
        """An account may use something else than before; one that was not there is opened.

        Where JetStream is no longer for it, its streams are closed: those in files are there again when it is.
        """
        account = self.accounts.get(name)
        if account is None:
            self.open_account(name, limits)
        elif (account.limits is None) != (limits is None):
            account.close()
            self.open_account(name, limits)
        elif limits is not None and account.limits != limits:
            account.limit(limits)

    def limit(self, max_memory: int, max_storage: int) -> None:
        """All streams together may hold something else than before."""
        self.limits = {"memory": max_memory, "file": max_storage}
        self._see_what_is_full()

    def take_leave(self) -> None:
        """Deliver nothing more, and tell who waits for messages that the server shuts down. Next: send that, and close."""
        for account in self.accounts.values():
            for stream in account.streams.values():
                stream.stop_consumers()

    def close(self) -> None:
        """Let go of everything. Next: close the directory."""
        for account in self.accounts.values():
            account.close()
        self.accounts.clear()

    # Turns

    def step(self, wall: int) -> bool:
        """Do some of what there is to do. True where there is more that could be done now."""
        self.wall = wall
        if self.acknowledged:
            acknowledged, self.acknowledged = self.acknowledged, []
            for retention in acknowledged:
                retention.flush()
        left = REQUESTS
        while self.asking and left > 0:
            account = self.asking.popleft()
            request = account.take()
            left -= 1 if request is None else self._begin(request)
        self.jobs.run(SLICES)
        self.feeding.work(FEEDS)
        answering, self.answering = self.answering, []
        for account in answering:
            account.flush()
        dirty, self.dirty = self.dirty, []
        for intake in dirty:
            try:
                intake.flush()
            except Exception as error:  # the safety net: the others have their turn yet
                self.outside.failed(f"answering the publishers of stream {intake.stream.name}", error)
            intake.stream.account.recount(intake.stream)
        if dirty:
            self._see_what_is_full()
        for _ in range(min(CONSUMERS, len(self.ready))):
            self._let_work(self.ready.popleft())
        more = self.asking or self.answering or self.dirty or self.ready or self.acknowledged
        return bool(more) or len(self.jobs) > 0 or len(self.feeding) > 0

    @property
    def has_more(self) -> bool:
        """True if something has come up since the last step that could be done now."""
        return bool(self.answering) or bool(self.dirty) or bool(self.ready)

    def _let_work(self, consumer: Consumer) -> None:
        try:
            consumer.work()
        except Exception as error:  # the safety net: the others have their turn yet
            self.outside.failed(f"delivering to consumer {consumer.name} of stream {consumer.stream.name}", error)

    def _begin(self, request: ApiRequest) -> int:
        """Answer a request, or begin to; return what that costs."""
        cost = dispatch(self, request)
        request.account.begun(request)
        return cost

    def next_deadline(self) -> int | None:
        """Return when ``handle_timeout`` must be called, or None."""
        return self.timers.next()

    def handle_timeout(self, wall: int) -> None:
        """Do what is due. Next: ``step``, and see ``next_deadline``."""
        self.wall = wall
        self.timers.run(wall, DUE)

    def set_clock(self, by: int, wall: int) -> None:
        """The clock was set, by so many nanoseconds: what waits for a while waits no shorter nor longer for that.

        What waits for a moment, as messages that expire, or the end of a pause, does so by the new time.
        """
        self.wall = wall
        self.timers.shift(by)
        for account in self.accounts.values():
            for stream in account.streams.values():
                stream.set_clock(by, wall)

    # Streams

    def create_stream(self, account: Account, config: StreamConfig, created: int, made: Callable[[Stream | Exception], None]) -> None:
        """Make a stream whose configuration is checked, when that is safe; where that fails nothing is left of it.

        Args:
            made: gets the stream, or why there is none; within this call for one in memory. Never called where the account has gone, or
                JetStream is not for it any more.
        """
        if self.directory is None or config.storage != "file":
            made(self._made(account, config, created))
            return

        def kept(error: OSError | None) -> None:
            account.restores.pop(config.name, None)
            current = self.accounts.get(account.name)
            if error is not None:
                made(error)
                return
            if current is None or current.limits is None:
                return
            try:
                stream = current.streams.get(config.name) or self._made(current, config, created)
            except Exception as failure:  # told to who has asked
                made(failure)
            else:
                made(stream)

        self.directory.create(StreamRow(account.name, config.name, encode(config), created), kept)
        account.restores[config.name] = config

    def _made(self, account: Account, config: StreamConfig, created: int) -> Stream:
        try:
            return self.add_stream(account, config, created)
        except BaseException:
            self._abandon(account, config.name)
            if self.directory is not None and config.storage == "file":
                self.directory.state.remove_stream(account.name, config.name)
            raise

    def update_stream(self, stream: Stream, config: StreamConfig, told: Callable[[Stream | Exception], None]) -> None:
        """Let a stream go on with another configuration, which is checked, when that is safe; else it stays as it is.

        Args:
            told: gets the stream, or why it has not changed; within this call for one in memory.
        """

        def kept(error: OSError | None) -> None:
            current = self._current(stream)
            if error is not None or current is None:
                told(error or ApiError(10059))
                return
            before = current.config
            try:
                current.update(config)
            except Exception as failure:  # told to who has asked, when the next start would not see it either
                refusal = failure
                try:
                    current.update(before)
                finally:
                    note(before, lambda error: told(error or refusal))
            else:
                told(current)

        def note(config: StreamConfig, noted: Callable[[OSError | None], None]) -> None:
            if self.directory is None or stream.config.storage != "file":
                noted(None)
            else:
                self.directory.change(StreamRow(stream.account.name, stream.name, encode(config), stream.created), noted)

        note(config, kept)

    def _current(self, stream: Stream) -> Stream | None:
        """Return the stream that there is now, where its account was closed and opened meanwhile; None where it is gone."""
        account = self.accounts.get(stream.account.name)
        current = None if account is None else account.streams.get(stream.name)
        is_same = current is not None and current.created == stream.created and not current.intake.closed
        return current if is_same else None

    def add_stream(self, account: Account, config: StreamConfig, created: int) -> Stream:
        """Make a stream whose configuration is checked, and durable where it has to be; or open one that is there."""
        stream = Stream(account, config, created, self._open_store(account, config))
        account.streams[config.name] = stream
        stream.intake.full = self._full[config.storage]
        stream.start(self.wall)
        return stream

    def open_draft(self, account: Account, config: StreamConfig, opened: Callable[[Store | Exception], None]) -> None:
        """Make the store of a stream that is being filled, and that nobody sees: ``commit_draft`` or ``discard_draft`` is next.

        Args:
            opened: gets it, or why there is none; within this call for one in memory. Never called where the account has gone.
        """
        if self.directory is None or config.storage != "file":
            opened(MemoryStore(self.outside.call_soon))
            return

        def kept(error: OSError | None) -> None:
            if error is not None:
                opened(error)
            elif self.accounts.get(account.name) is not account:
                self.directory.drop_draft(account.name, config.name)
            else:
                try:
                    store = self.directory.open(account.name, config.name)
                except Exception as failure:  # told to who has asked
                    self.directory.drop_draft(account.name, config.name)
                    opened(failure)
                else:
                    opened(store)

        self.directory.prepare_draft(account.name, config.name, kept)

    def commit_draft(self, stream: Stream, consumers: list[ConsumerRow], told: Callable[[Exception | None], None]) -> None:
        """Let a stream that was filled, and is settled, be one of its account's, with consumers that have no ids yet.

        Args:
            told: when it is, or with why it is a draft yet; within this call for one in memory. Where the account has gone meanwhile, it
                is there when that comes again, or not at all, and nobody is told.
        """
        account, config = stream.account, stream.config
        if self.directory is None or config.storage != "file":
            told(self._let_in(stream, consumers))
            return
        consumers = [row._replace(id=self.directory.keeper.next_id()) for row in consumers]

        def kept(error: OSError | None) -> None:
            if self.accounts.get(account.name) is not account:
                (self.discard_draft if error is not None else self._put_away)(stream)
            else:
                told(error or self._let_in(stream, consumers))

        rows = [row for row in consumers if not decode(ConsumerConfig, row.config).mem_storage]
        self.directory.commit_draft(StreamRow(account.name, config.name, encode(config), stream.created), rows, kept)

    def _let_in(self, stream: Stream, consumers: list[ConsumerRow]) -> Exception | None:
        """Let a draft that is noted be a stream of its account. Returns why that cannot be: then nothing is noted of it any more."""
        account, config = stream.account, stream.config
        account.streams[config.name] = stream
        stream.intake.full = self._full[config.storage]
        try:
            stream.start(self.wall)
            stream.trim()
            admit(stream, consumers, self.wall)
        except Exception as error:
            del account.streams[config.name]
            if self.directory is not None and config.storage == "file":
                self.directory.remove(account.name, config.name, lambda _: None)
            return error
        if stream.retention is not None:
            stream.retention.recheck()
        return None

    def _put_away(self, stream: Stream) -> None:
        """Close a stream whose account has gone: it is noted."""
        self._uncount(stream)
        stream.stop()
        stream.store.close()

    def discard_draft(self, stream: Stream) -> None:
        """Leave nothing of a stream that is being filled."""
        self._uncount(stream)
        stream.stop()
        stream.store.delete(lambda: None)

    def remove_stream(self, stream: Stream, told: Callable[[Exception | None], None]) -> None:
        """Delete a stream and everything in it. It is there until that is noted.

        Args:
            told: when it is gone and nothing of it is under way, or with why nothing has changed; within this call for one in memory.
        """

        def noted(error: OSError | None) -> None:
            current = self._current(stream)
            if error is not None or current is None:
                told(error)
            else:
                self._take_away(current, lambda: told(None))

        if self.directory is None or stream.config.storage != "file":
            noted(None)
        else:
            self.directory.remove(stream.account.name, stream.name, noted)

    def _take_away(self, stream: Stream, told: Callable[[], None]) -> None:
        """Let a stream go, of which nothing is noted any more."""
        if stream.origins is not None:
            stream.origins.forget()
        roster.remove_all(stream)
        if stream.origins is not None:
            stream.origins.leave()
        stream.stop()
        del stream.account.streams[stream.name]
        self._uncount(stream)
        stream.store.delete(told)

    def remove_consumer(self, consumer: Consumer, status: bytes) -> None:
        """Delete a consumer, whose waiting requests get the status; those who listen are told."""
        roster.remove(consumer, status)

    def _uncount(self, stream: Stream) -> None:
        """What a stream holds counts no more."""
        stream.account.used[stream.config.storage] -= stream.counted
        self.used[stream.config.storage] -= stream.counted
        stream.counted = 0

    def _abandon(self, account: Account, name: str) -> None:
        """Stop a stream that could not be made as a whole."""
        stream = account.streams.pop(name, None)
        if stream is not None:
            stream.stop()
            stream.store.close()

    def _see_what_is_full(self) -> None:
        """Let streams refuse messages where all of their storage is used; seen to once a turn."""
        for storage, limit in self.limits.items():
            is_full = 0 < limit < self.used[storage]
            if is_full != self._full[storage]:
                self._full[storage] = is_full
                for account in self.accounts.values():
                    for stream in account.streams.values():
                        stream.intake.full = self._full[stream.config.storage]

    def _open_store(self, account: Account, config: StreamConfig) -> Store:
        if config.storage == "file" and self.directory is not None:
            store: Store = self.directory.open(account.name, config.name)
            if config.first_seq > 1 and store.last == 0:
                store.skip(config.first_seq - 1, 0)
            return store
        return MemoryStore(self.outside.call_soon, max(config.first_seq, 1))
