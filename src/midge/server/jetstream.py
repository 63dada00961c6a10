"""JetStream in the server: the driver of the pure engine, and what the engine asks of the server around it.

The engine does its work at the end of each turn (``step``, called by ``Turns``), a bounded piece at a time and after what clients are owed:
core messages do not wait for the API. Then the store directory may begin to write what has come together (``begin``); its threads wake the
loop when it is written, and what waited for that leaves. One timer of the reactor serves all of the engine's.

The engine knows accounts by name, because a reload makes them anew: ``renew`` subscribes what was not carried over.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter_ns, time_ns
from typing import Any

from midge.engine.batch_limits import BatchLimits
from midge.engine.engine import MAX_CONSUMERS, Engine, Settings
from midge.engine.metadata import API_LEVEL
from midge.engine.outside import Eye, Receive
from midge.engine.statistics import consumer_row, stream_row
from midge.model.account import AccountLimits
from midge.nuid import Nuid
from midge.server.account import Account
from midge.server.agreements import agree
from midge.server.client_info import describe
from midge.server.damage_log import DamageLog
from midge.server.gotext import duration, size
from midge.server.hub import Hub
from midge.server.info import NATS_VERSION
from midge.server.inlet import Inlet
from midge.server.options import ServerOptions
from midge.server.route import Route
from midge.server.sublist import Subscription
from midge.server.thread import is_own_loop
from midge.server.turns import Turns
from midge.server.watch import Watch
from midge.store.directory import StoreDirectory
from midge.transform import is_subset
from midge.wire.publication import Publication

__all__ = ["JetStream"]

log = logging.getLogger("midge.server")

WORK_MESSAGE = 512  # what a stream does with a message, in deliveries (see ``Hub``), in its turn and when it is acknowledged
WORK_ACK = 16  # what a consumer does with an acknowledgement,
_CHEAP = (b"$JS.ACK.>", b"$JS.FC.*.*.*")
WORK_LOOKUP = 32  # what a direct get costs at least,
WORK_REQUEST = 256  # and what becomes of any other request
_LOOKUPS = b"$JS.API.DIRECT.GET."
SKEW = 1.0  # seconds by which the clock may seem to be elsewhere: it is read twice, and not in the same moment
GATHER = 0.002  # seconds: about as long as a sync takes
REPEAT = 60.0  # seconds in which the same failure is logged once,
FAILURES = 100  # and no more of them than so many


class _Ear:
    """One subscription of the engine's, which outlives the account that it is in."""

    __slots__ = ("account", "inlet", "subject", "subscription")

    def __init__(self, account: str, subject: bytes, inlet: Inlet) -> None:
        self.account = account
        self.subject = subject
        self.inlet = inlet
        self.subscription: Subscription | None = None


class _Eye:
    """One watch of the engine's, which outlives the account that it is in.

    Attributes:
        interested: what was told last, or seen at first.
    """

    __slots__ = ("account", "interested", "queue", "subject", "told", "watch")

    def __init__(self, account: str, subject: bytes, queue: bytes | None, told: Callable[[bool], None]) -> None:
        self.account = account
        self.subject = subject
        self.queue = queue
        self.told = told
        self.interested = False
        self.watch: Watch | None = None


class JetStream:
    """JetStream of one running server.

    Args:
        turns: the server's turns; ``step`` is to be called at the end of each.
        directory: the StoreDirectory that file streams are kept in, None where all streams are in memory.
        limits: what each account may use, by name; an account that is not there has no JetStream.
    """

    def __init__(self, turns: Turns, directory: Any, limits: dict[str, AccountLimits], settings: Settings) -> None:
        self._turns = turns
        self._hub = turns.hub
        self.deliver: Callable[[Any, Publication], int] = self._hub.carry  # see engine.outside; each message is, so nothing is between
        self._directory = directory
        self._ears: dict[_Ear, None] = {}
        self._eyes: dict[_Eye, None] = {}
        self._calls: list[Callable[[], None]] = []
        self._due: int | None = None
        self._gathers_since = 0.0  # when what waits for a round began to wait for the rest of a chunk, 0.0 where nothing does
        self._epoch = time_ns() - int(turns.time() * 1e9)  # what the wall clock said when the loop's said 0
        self._told: dict[str, float] = {}
        self._silent = -REPEAT  # when it was last said that there are too many
        self._damages = None if directory is None else DamageLog(directory.quarantine)
        before = perf_counter_ns()
        self.engine = Engine(settings, directory, self, nuid=Nuid().next, choose=self._hub.chance.below, wall=time_ns())
        for name in self._served(limits):
            self.engine.open_account(name, limits.get(name))
        self._hub.info.announce({"jetstream": True, "api_lvl": API_LEVEL} | ({"domain": settings.domain} if settings.domain else {}))
        turns.jetstream = self
        self._took = perf_counter_ns() - before

    def announce(self) -> None:
        """Log what nats-server logs, as far as other programs wait for it."""
        log.info("Starting JetStream")
        log.info("---------------- JETSTREAM ----------------")
        log.info("  Strict:          %s", "true" if self.engine.settings.strict else "false")
        log.info("  Max Memory:      %s", size(self.engine.limits["memory"]))
        log.info("  Max Storage:     %s", size(self.engine.limits["file"]))
        if self._directory is not None:
            log.info('  Store Directory: "%s"', self._directory.path)
        if self.engine.domain:
            log.info("  Domain:          %s", self.engine.domain)
        log.info("  API Level:       %d", API_LEVEL)
        log.info("-------------------------------------------")
        if self._damages is not None:
            self._damages.tell(self._turns.time())
        log.info("Took %s to start JetStream", duration(self._took))

    @property
    def path(self) -> str:
        """Where streams are kept, empty where they are in memory only."""
        return "" if self._directory is None else str(self._directory.path)

    @staticmethod
    def stream_row(stream: Any) -> dict[str, Any]:
        """Return what monitoring shows of one of the engine's streams."""
        return stream_row(stream)

    @staticmethod
    def consumer_row(consumer: Any) -> dict[str, Any]:
        """Return what monitoring shows of one of their consumers."""
        return consumer_row(consumer)

    def step(self) -> bool:
        """Do a piece of the engine's work. True where there is more."""
        more = False
        calls, self._calls = self._calls, []
        for call in calls:
            self._try("a deferred call", call)
        try:
            more = self.engine.step(self._clock())
            if self._damages is not None:
                if self._may_begin():
                    self._directory.begin()
                if len(self._damages.found) > self._damages.seen:
                    self._damages.tell(self._turns.time())
            self._arm()
        except Exception as error:  # the safety net: core messages are sent after this
            self.failed("at the end of a turn", error)
        return more or bool(self._calls) or self.engine.has_more

    def _may_begin(self) -> bool:
        """False in the middle of a chunk, for GATHER seconds at most: what is left of it is to go with the same round."""
        now = self._turns.time() if self._turns.unfinished else 0.0
        if self._gathers_since == 0.0:
            self._gathers_since = now
        if 0.0 < now < self._gathers_since + GATHER:
            return False
        self._gathers_since = 0.0
        return True

    @staticmethod
    def open(turns: Turns, options: ServerOptions) -> JetStream:
        """Return the JetStream of a server with these options, and its streams.

        Raises:
            OSError: the store directory cannot be used, or somebody else uses it (StoreLockedError).
        """
        settings = _settings(turns.hub, options)
        limits = _limits(options)
        assert options.jetstream is not None
        if not options.store_dir:
            return JetStream(turns, None, limits, settings)
        waiting: list[JetStream] = []
        loop = turns.reactor.loop

        def committed() -> None:
            for jetstream in waiting:  # none where that is not there yet: the next time sees to it
                jetstream.committed()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(committed)

        is_alone = turns.reactor.is_alone if is_own_loop(loop) else None
        sync = options.jetstream.sync_interval
        directory = StoreDirectory(options.store_dir, sync=sync, wake=wake, is_alone=is_alone, clock=perf_counter_ns)
        try:
            jetstream = JetStream(turns, directory, limits, settings)
        except BaseException:
            directory.close()
            raise
        waiting.append(jetstream)
        return jetstream

    def committed(self) -> None:
        """The directory has written something: called in the loop."""
        if self._turns.jetstream is not self:
            return  # closed meanwhile
        self._try("when something was written", self._directory.finish)
        self._turns.reactor.schedule()

    def renew(self) -> None:
        """The options are new, and the accounts may have been made anew: listen in them."""
        options = self._hub.options
        for ear in self._ears:
            self._listen(ear)
        for eye in list(self._eyes):
            self._tell(eye, self._look(eye))
        limits = _limits(options)
        names = self._served(limits)
        for name in [name for name in self.engine.accounts if name not in names]:
            self.engine.accounts.pop(name).close()
        for name in names:
            self.engine.limit_account(name, limits.get(name))
        settings = _settings(self._hub, options)
        self.engine.limit(settings.max_memory, settings.max_storage)

    def close(self) -> None:
        """Let go of the streams; what is written is safe when it returns."""
        log.info("Initiating JetStream Shutdown...")
        self._turns.jetstream = None
        self._turns.reactor.cancel(self._on_timer)
        try:
            self.engine.close()
        finally:
            if self._directory is not None:
                self._directory.close()
        log.info("JetStream Shutdown")

    # What the engine asks: see engine.outside

    def emit(self, account: str, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> bool:
        found = self._hub.accounts.get(account)
        self._turns.reactor.schedule()
        return found is not None and self._hub.emit(found, subject, reply, header, payload)

    def answer(self, account: str, answers: list[Publication]) -> None:
        found = self._hub.accounts.get(account)
        if found is not None:
            self._hub.answer(found, answers)

    def route(self, account: str, subject: bytes) -> Route:
        return Route(account, subject)

    def subscribe(self, account: str, subject: bytes, receive: Receive) -> object:
        pattern = subject.decode("utf-8", "surrogateescape") if subject.startswith(b"$JS.") else ""
        return self._hear(account, subject, Inlet(receive, _work_of(subject), pattern))

    def attend(self, account: str, subject: bytes, receive: Receive) -> object:
        def take(publication: Publication, wall: int) -> bool:
            return self._hub.producer is None and receive(publication, wall)

        return self._hear(account, subject, Inlet(take, WORK_MESSAGE))

    def unsubscribe(self, token: Any) -> None:
        del self._ears[token]
        found = self._hub.accounts.get(token.account)
        if found is not None and token.subscription is not None:
            found.unsubscribe(token.subscription)

    def has_interest(self, account: str, subject: bytes) -> bool:
        found: Account | None = self._hub.accounts.get(account)
        if found is None:
            return False
        result = found.sublist.match_uncached(subject)
        return bool(result.nodes) or bool(result.groups)

    def watch(self, account: str, subject: bytes, queue: bytes | None, told: Callable[[bool], None]) -> Eye:
        eye = _Eye(account, subject, queue, told)
        self._eyes[eye] = None
        eye.interested = self._look(eye)
        return eye

    def unwatch(self, eye: Any) -> None:
        del self._eyes[eye]
        if eye.watch is not None:
            eye.watch.cancel()

    def sender(self) -> dict[str, object] | None:
        session: Any = self._hub.producer
        return None if session is None or session.closing is not None else describe(session, self._hub.server_name, self._hub.epoch)

    def spend(self, work: int) -> None:
        self._hub.can_spend(work)

    def call_soon(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._turns.reactor.schedule()

    def failed(self, what: str, error: Exception) -> None:
        text = f"{what}: {error}"
        now = self._turns.time()
        if self._told.get(text, -REPEAT) + REPEAT > now:
            return
        if len(self._told) >= FAILURES:
            self._told = {each: when for each, when in self._told.items() if when + REPEAT > now}
        if len(self._told) < FAILURES:
            self._told[text] = now
            log.error("JetStream failed %s", text, exc_info=None if isinstance(error, OSError) else error)
        elif self._silent + REPEAT <= now:
            self._silent = now
            log.error("JetStream failed in more than %d other ways: no more of them are logged for now", FAILURES)

    # Inside

    def _served(self, limits: dict[str, AccountLimits]) -> list[str]:
        """Return the accounts that requests are heard in: not one without JetStream that has another account answer them."""
        options = self._hub.options
        elsewhere = {name for name, routes in agree(options.accounts).services.items() if any(_hides_ours(each.local) for each in routes)}
        return [name for name in self._hub.accounts if name != options.system_account and (name in limits or name not in elsewhere)]

    def _clock(self) -> int:
        """Return the wall time; where it was set meanwhile, let those know who wait for something."""
        wall, time = time_ns(), self._turns.time()
        if abs(wall / 1e9 - self._hub.epoch - time) > SKEW:
            self._turns.set_clock()  # or what is received and what is due would have different times
        by = wall - int(time * 1e9) - self._epoch
        if abs(by) > SKEW * 1e9:
            self._epoch += by
            self.engine.set_clock(by, wall)
            if self._directory is not None:
                self._directory.set_clock(by)
        return wall

    def _try(self, what: str, call: Callable[[], None]) -> None:
        """Make a call whose failure is nobody else's."""
        try:
            call()
        except Exception as error:
            self.failed(what, error)

    def _hear(self, account: str, subject: bytes, inlet: Inlet) -> _Ear:
        ear = _Ear(account, subject, inlet)
        self._ears[ear] = None
        self._listen(ear)
        return ear

    def _listen(self, ear: _Ear) -> None:
        account: Account | None = self._hub.accounts.get(ear.account)
        if account is None:
            ear.subscription = None
        elif ear.subscription is None:  # else it is carried over to the account that follows
            ear.subscription = account.subscribe(ear.inlet, ear.subject)

    def _look(self, eye: _Eye) -> bool:
        """Watch in the account that there is now; return whether there is interest."""
        if eye.watch is not None:
            eye.watch.cancel()
        account: Account | None = self._hub.accounts.get(eye.account)
        eye.watch = None
        if account is None:
            return False
        eye.watch = account.sublist.watch(eye.subject, lambda interested: self._tell(eye, interested), eye.queue)
        return eye.watch.interested

    def _tell(self, eye: _Eye, interested: bool) -> None:
        if interested != eye.interested and eye in self._eyes:
            eye.interested = interested
            eye.told(interested)
            self._turns.reactor.schedule()

    def _arm(self) -> None:
        """Set the timer for what is due next."""
        due = self.engine.next_deadline()
        if self._directory is not None:
            other = self._directory.next_deadline()
            due = other if due is None or (other is not None and other < due) else due
        if due != self._due:
            self._due = due
            reactor = self._turns.reactor
            reactor.cancel(self._on_timer)
            if due is not None:
                reactor.call_at(reactor.time() + max(due - time_ns(), 0) / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        self._due = None
        wall = self._clock()
        self._try("at a timer", lambda: self.engine.handle_timeout(wall))
        if self._directory is not None:
            self._directory.handle_timeout(wall)
        self._arm()


def _hides_ours(local: str) -> bool:
    """True if an import stands for the API, for which one request does: nats-server, too, asks for this one only."""
    return is_subset("$JS.API.INFO", local)


def _work_of(subject: bytes) -> int:
    """Return what a message to a subject of the engine's may cost, in deliveries."""
    if not subject.startswith(b"$JS."):
        return WORK_MESSAGE
    if subject in _CHEAP:
        return WORK_ACK
    return WORK_LOOKUP if subject.startswith(_LOOKUPS) else WORK_REQUEST


def _settings(hub: Hub, options: ServerOptions) -> Settings:
    """Return what the engine has to know of the options."""
    jetstream = options.jetstream
    assert jetstream is not None
    memory, storage, limits = jetstream.max_memory_store, jetstream.max_file_store, jetstream.limits
    return Settings(
        hub.server_name,
        NATS_VERSION,
        domain=jetstream.domain,
        max_memory=_memory_of_machine() // 4 * 3 if memory < 0 else memory,
        max_storage=_room_at(options.store_dir) // 4 * 3 if storage < 0 else storage,
        max_payload=options.max_payload,
        max_pending=options.max_pending,
        max_requests=jetstream.request_queue_limit,
        max_ack_pending=limits.max_ack_pending,
        max_request_batch=limits.max_request_batch,
        max_consumers=max(limits.default_max_consumers or MAX_CONSUMERS, 0),
        max_window=int(jetstream.limits.duplicate_window * 1e9),
        strict=jetstream.strict,
        batches=BatchLimits(
            limits.max_batch_inflight_per_stream,
            limits.max_batch_inflight_total,
            limits.max_batch_size,
            int(limits.max_batch_timeout * 1e9),
        ),
    )


def _limits(options: ServerOptions) -> dict[str, AccountLimits]:
    """Return what each account may use that has JetStream."""
    return {
        name: AccountLimits(
            max_memory=each.max_memory,
            max_storage=each.max_store,
            max_streams=each.max_streams,
            max_consumers=each.max_consumers,
            max_ack_pending=each.max_ack_pending,
            memory_max_stream_bytes=each.memory_max_stream_bytes,
            storage_max_stream_bytes=each.store_max_stream_bytes,
            max_bytes_required=each.max_bytes_required,
        )
        for name, each in options.jetstream_accounts().items()
    }


def _memory_of_machine() -> int:
    """Return its bytes; 0 where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _room_at(path: str) -> int:
    """Return how many bytes a disk has left; 0 where it does not say, or nothing is kept there."""
    try:
        return shutil.disk_usage(path).free if path else 0
    except OSError:
        return 0
