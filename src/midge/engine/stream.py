"""Stream: one stream of an account, from being created or opened to being deleted.

It joins what each has a file of its own: the way in (``intake``, ``admission``), the messages (the store), what is remembered of ids
(``dedupe``) and what ends by itself (``expiry``). The engine owns the timers and the answers.

Invariant: nobody outside is told of a change before the store has settled it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.engine.admission import admit
from midge.engine.batches import Batches
from midge.engine.consumers import purges
from midge.engine.consumers.hunger import Hunger
from midge.engine.consumers.opening import go_back
from midge.engine.dedupe import Dedupe
from midge.engine.errors import ApiError
from midge.engine.expiry import Expiry
from midge.engine.headers import is_delete_marker, nats_values
from midge.engine.ingest import Ingest
from midge.engine.intake import Intake
from midge.engine.mirror import Mirror
from midge.engine.renaming import Renaming
from midge.engine.reports import republished
from midge.engine.retention import Retention
from midge.engine.schedule import NEXT, SCHEDULER
from midge.engine.schedules import Schedules
from midge.engine.single import Lookup
from midge.engine.sources import Sources
from midge.engine.timers import Timer
from midge.engine.trimming import trim_subjects
from midge.engine.ttl import parse_ttl
from midge.model.stream import StreamConfig
from midge.store.base import Store
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.account import Account
    from midge.engine.consumers.consumer import Consumer
    from midge.engine.consumers.taken import Taken
    from midge.engine.feed import Feed
    from midge.engine.purging import Purging
    from midge.engine.requests import ApiRequest

__all__ = ["Stream"]

SHUTDOWN = b"409 Server Shutdown"
AGAIN = 1_000_000_000  # nanoseconds after which a store that fails is tried again
TRIM = 2_000  # messages that limits remove one by one in one call


class Stream:
    """One stream.

    Args:
        account: whose it is.
        config: checked already.
        created: wall nanoseconds.
        store: its messages.

    Attributes:
        intake: the way in.
        batches, ingest: the batches that are open, atomic and fast ones.
        counted: what its messages count for in the account's usage.
        origins: where it takes messages from beside its subjects; None for nowhere.
        followers: those that take messages from it.
        consumers: by name; ``hungry`` are those that somebody waits for, ``unopened`` the names of those that cannot be opened.
        retention: what messages are kept for; None where limits alone say.
        setbacks: how often the store went back to what is safe.
        taken: which subjects of a work queue its consumers have; None where nobody has asked.
        purging: the purge that is under way.
        trims_to: the limit of messages per subject that is being seen to; 0 for none.
    """

    __slots__ = (
        "_direct", "_forgetting", "_input", "_output", "_subscriptions", "_trimming", "account", "batches", "config", "consumers",
        "counted", "created", "dedupe", "engine", "expiry", "followers", "hungry", "ingest", "intake", "name", "origins", "purging",
        "raw_name", "retention", "schedules", "setbacks", "store", "taken", "trims_to", "unopened",
    )  # fmt: skip

    def __init__(self, account: Account, config: StreamConfig, created: int, store: Store) -> None:
        self.account = account
        self.engine = account.engine
        self.config = config
        self.name: str = config.name
        self.raw_name = _raw(config.name)
        self.created = created
        self.store = store
        self.counted = 0
        self.dedupe = Dedupe(config.duplicate_window)
        self.intake = Intake(self, store, self.dedupe)
        self.expiry = Expiry(self)
        self.batches = Batches(self)
        self.ingest = Ingest(self)
        self.schedules = Schedules(self)
        self._forgetting: Timer | None = None
        self._trimming: Timer | None = None
        self.trims_to = self.setbacks = 0
        self._input: Renaming | None = None
        self._output: Renaming | None = None
        self._subscriptions: dict[str, object] = {}
        self._direct: list[object] = []
        self.origins: Mirror | Sources | None = None
        self.followers: dict[Feed, None] = {}
        self.consumers: dict[str, Consumer] = {}
        self.unopened: set[str] = set()
        self.retention: Retention | None = None
        self.taken: Taken | None = None
        self.hungry = Hunger(store)
        self.purging: Purging | None = None
        self._apply()

    def start(self, wall: int) -> None:
        """Listen, and let begin what depends on time."""
        if self.store.last:
            self._remember_stored(wall)
        self._subscribe()
        self.expiry.arm()
        if self.config.allow_msg_schedules:
            self.schedules.learn_stored()
        self.changed()
        self._follow()
        for following in self.account.followings.get(self.name, ()):
            following.connect(self)

    def update(self, config: StreamConfig) -> None:
        """Go on with another configuration, which is checked already and durable."""
        was_for_interest = self.retention is not None
        self.config = config
        self.dedupe.window = config.duplicate_window
        self._apply()
        if self.retention is not None and not was_for_interest:
            self.retention.recheck()
        if not config.allow_atomic:
            self.batches.stop()
        if not config.allow_batched:
            self.ingest.stop()
        self._subscribe()
        self.trim()
        self.expiry.arm()
        self.changed()
        self._follow()
        for following in self.account.followings.get(self.name, ()):
            following.review()

    def stop_consumers(self) -> None:
        """Deliver nothing more; who waits is told that the server shuts down, as nats-server does."""
        for consumer in self.consumers.values():
            consumer.stop(SHUTDOWN)

    def stop(self) -> None:
        """Listen no more; nothing of it happens afterwards. Next: close the store, or delete it."""
        self.intake.closed = True
        self.stop_consumers()
        if self.retention is not None:
            self.retention.close()
        if self.origins is not None:
            self.origins.close()
        for feed in list(self.followers):
            feed.disconnect()
        self.expiry.stop()
        self.batches.stop()
        self.ingest.stop()
        self.schedules.stop()
        self.engine.timers.cancel(self._forgetting)
        self.engine.timers.cancel(self._trimming)
        for token in (*self._subscriptions.values(), *self._direct):
            self.engine.outside.unsubscribe(token)
        self._subscriptions.clear()
        self._direct.clear()

    def set_clock(self, by: int, wall: int) -> None:
        """The clock was set, by so many nanoseconds, and the timers were moved with it."""
        self.expiry.arm()
        self.schedules.arm(wall)
        self.dedupe.set_clock(by)
        for consumer in self.consumers.values():
            consumer.set_clock(by)

    # What the intake asks

    def admit(self, publication: Publication, wall: int) -> None:
        """Take a message that needs care."""
        admit(self, publication, wall)

    def appended(self, publication: Publication, sequence: int) -> None:
        """A message was stored: see to the limits, and to what expires."""
        config, store = self.config, self.store
        if self.purging is not None and self.intake.limited:
            self.purging.finish()
        if config.max_msgs_per_subject > 0:
            total = store.total(publication.subject())
            while total is not None and total.messages > config.max_msgs_per_subject and store.remove(total.first):
                total = store.total(publication.subject())
        if config.discard == "old":
            self._drop_first()
        if self.intake.timed:
            self.expiry.arm()
        if self.account.limited:
            self.account.recount(self)
        if self.origins is not None:
            self.origins.removed()

    def advanced(self) -> None:
        """More may be committed: those who follow the stream want to know."""
        for feed in self.followers:
            feed.wake()
        if self.hungry:
            self.hungry.feed()

    def see_who_follows(self) -> None:
        """Those who follow the stream have become more or fewer: let the intake know whether there are any, and what they want."""
        self.intake.followed = bool(self.followers or self.consumers)
        self._see_to_care()

    def answer(self, answers: list[Publication]) -> None:
        """Send what may leave."""
        self.engine.outside.answer(self.account.name, answers)

    def note(self, intake: Intake) -> None:
        """The intake has something to let go of at the end of this turn."""
        self.engine.dirty.append(intake)

    def refusal(self, error: ApiError) -> bytes:
        """Return what a publisher is told."""
        return b'{"error":%b,"stream":%b,"seq":0}' % (error.as_json(), _quoted(self.name))

    def undone(self, error: Exception) -> None:
        """What the store had not committed is gone."""
        last = self.store.last
        self.setbacks += 1
        self.purging = None
        self.dedupe.forget_after(last)
        self.expiry.forget_after(last)
        if self.config.allow_msg_schedules:
            self.schedules.learn_stored()
        self.ingest.undone(last, ApiError(10077, err=error))
        self.intake.last_id = b""
        self.trims_to = 0  # what is back may be behind it
        self.trim_later()
        for consumer in self.consumers.values():
            go_back(consumer)
        if self.retention is not None:
            self.retention.undone()
        if self.origins is not None:
            self.origins.undone()
        self.changed()
        self.engine.outside.failed(f"storing in stream {self.name}", error)

    # What admission asks

    def transformed(self, subject: bytes) -> bytes:
        """Return the subject that a message is stored with."""
        return subject if self._input is None else self._input.of(subject) or subject

    def republished(self, subject: bytes) -> bytes | None:
        """Return the subject that a stored message is republished with, None where it is not."""
        return None if self._output is None else self._output.of(subject)

    def republish(self, subject: bytes, stored: Publication, sequence: int, before: int) -> None:
        """Send a message that was just stored, when it is safe; before is the last sequence of its subject until then."""
        config = self.config.republish
        assert config is not None
        self.intake.send(republished(self.raw_name, subject, stored, sequence, self.store.last_time, before, config.headers_only))

    def last_of(self, subject: bytes) -> int:
        """Return the last sequence of a subject, which may have wildcards; 0 where there is none."""
        total = self.store.total(subject)
        if total is not None:
            return total.last
        return self.store.previous((subject,), self.store.last) if b"*" in subject or b">" in subject else 0

    def remember(self, id: bytes, sequence: int, time: int) -> None:
        """A message with an id was stored at a time, which is not the store's where the clock was set back."""
        self.dedupe.add(id, sequence, time)
        if self._forgetting is None or self._forgetting.call is None:
            self._forget(time)

    def see_to_schedules(self, sequence: int, subject: bytes, values: dict[bytes, bytes]) -> None:
        """A message was stored that may be a schedule, or be sent by one, or end one."""
        if values.get(NEXT) == b"purge" and SCHEDULER in values:
            self.purge(values[SCHEDULER], 0, 0)
        self.schedules.learn(sequence, self.store.last_time, subject, values, self.engine.wall)
        self.schedules.arm(self.engine.wall)

    def is_unwanted(self, subject: bytes) -> bool:
        """True where the stream keeps only what consumers are interested in, and none is."""
        return self.retention is not None and not self.retention.is_wanted(subject)

    def purge(self, filter: bytes, below: int, keep: int) -> int:
        """Remove messages as a purge does; nothing is answered yet. An empty filter, and ``>``, are all subjects."""
        store = self.store
        if below == 1:
            purged = 0
        elif filter not in (b"", b">"):
            purged = store.purge(filter, below, keep)
        elif below:
            purged = store.drop(below)
        elif keep:
            purged = store.purge(None, 0, keep)
        else:
            purged = store.drop(store.last + 1)
        self.purged(filter)
        return purged

    def purged(self, filter: bytes) -> None:
        """A purge is over, of what matches a filter: empty for all."""
        if self.consumers:
            purges.purged(self, filter, self.engine.wall)
        self.changed()

    def trim(self) -> None:
        """See to limits that have become smaller, all that is there and a slice at a time; while the store fails, when it works again."""
        try:
            self._trim()
        except OSError:  # the store says so itself
            self.trim_later()

    def _trim(self) -> None:
        if self.config.discard == "old":
            self._drop_first()  # before those of the subjects, as nats-server: what goes by the one does not count for the other
        if 0 < self.config.max_msgs_per_subject != self.trims_to:
            self.engine.jobs.start(self.store, trim_subjects(self))

    def changed(self) -> None:
        """Messages came or went, and not by the short way: let them settle, and count them."""
        self.account.recount(self)
        if self.origins is not None:
            self.origins.removed()
        if not self.intake.dirty and not self.intake.closed:
            self.intake.dirty = True
            self.note(self.intake)

    def settled(self, request: ApiRequest, respond: Callable[[], None]) -> None:
        """Answer a request when everything is safe that was changed so far, or say that it could not be made so."""

        def tell(error: Exception | None) -> None:
            if error is None:
                respond()
            else:
                request.refuse(ApiError(10051, err=error))

        self.store.settle(tell)

    # Inside

    def _apply(self) -> None:
        """Let the configuration say which way messages take."""
        config, intake = self.config, self.intake
        domain = self.engine.domain
        head = b'{"stream":%b' % _quoted(self.name)
        intake.set_head(head + (b',"domain":%b,"seq":' % _quoted(domain) if domain else b',"seq":'))
        self._input = self._output = None
        if config.subject_transform is not None and config.subject_transform.dest:  # without that it is none
            self._input = Renaming(config.subject_transform.src, config.subject_transform.dest, self.engine.choose)
        if config.republish is not None and config.republish.dest:
            self._output = Renaming(config.republish.src, config.republish.dest, self.engine.choose)
        intake.acks = not config.no_ack
        intake.max_size = config.max_msg_size
        intake.timed = config.max_age > 0 or config.allow_msg_ttl
        intake.limited = config.max_msgs > 0 or config.max_bytes > 0 or config.max_msgs_per_subject > 0
        intake.renames = self._input is not None
        intake.republishes = self._output is not None
        intake.metered = self.account.limited
        self._retain()
        self._see_to_care()

    def _retain(self) -> None:
        """Keep messages for consumers where the configuration says so."""
        retains = self.config.retention != "limits"
        if not retains and self.retention is not None:
            self.retention.close()
            self.retention = None
        elif retains:
            self.retention = self.retention or Retention(self)
            self.retention.renew()
        for consumer in self.consumers.values():
            consumer.delivery.retains = retains

    def _see_to_care(self) -> None:
        """Say whether every message takes the long way in."""
        config, intake = self.config, self.intake
        intake.choosy = self.retention is not None and self.retention.is_choosy
        special = intake.renames or intake.republishes or intake.choosy or intake.metered
        intake.careful = special or config.sealed or config.allow_msg_counter or config.discard == "new"
        intake.careful = intake.careful or config.allow_msg_schedules

    def _subscribe(self) -> None:
        """Listen to the subjects of the configuration, and to no others."""
        outside, account = self.engine.outside, self.account.name
        for subject in self._subscriptions.keys() - set(self.config.subjects):
            outside.unsubscribe(self._subscriptions.pop(subject))
        for subject in self.config.subjects:
            if subject not in self._subscriptions:
                self._subscriptions[subject] = outside.subscribe(account, _raw(subject), self.intake.receive)
        if self.config.allow_direct and not self._direct:
            prefix, receive = b"$JS.API.DIRECT.GET." + self.raw_name, Lookup(self).receive
            self._direct = [outside.subscribe(account, prefix, receive), outside.subscribe(account, prefix + b".>", receive)]
        elif not self.config.allow_direct:
            for token in self._direct:
                outside.unsubscribe(token)
            self._direct = []

    def _follow(self) -> None:
        """Take messages from where the configuration says, and from nowhere else."""
        kind = Mirror if self.config.mirror is not None else Sources if self.config.sources else None
        if self.origins is not None and type(self.origins) is not kind:
            self.origins.leave()
            self.origins.close()
            self.origins = None
        if kind is not None and self.origins is None:
            self.origins = kind(self)
        if self.origins is not None:
            self.origins.update()

    def _drop_first(self) -> None:
        """Drop messages from the front until the limits hold; a slice of them, the timer goes on with the rest."""
        config, store = self.config, self.store
        first, left = store.first, TRIM
        messages, size = store.messages, store.size
        while left and ((0 < config.max_msgs < messages) or (0 < config.max_bytes < size)):
            messages -= 1
            size -= store.size_of(first)
            first = store.next((), first + 1) or store.last + 1
            left -= 1
        if first > store.first:
            store.drop(first)
        if not left:
            self.engine.timers.add(0, lambda _: None if self.intake.closed else self._go_on_dropping())

    def _go_on_dropping(self) -> None:
        try:
            self._drop_first()
        except OSError:
            self.trim_later()
        self.changed()

    def trim_later(self) -> None:
        """See to limits again when the disk may work."""
        if self._trimming is None or self._trimming.call is None:
            self._trimming = self.engine.timers.add(self.engine.wall + AGAIN, self._trim_again)

    def _trim_again(self, wall: int) -> None:
        if self.store.failure is not None:
            self.trim_later()
        else:
            self.trim()
            self.changed()

    def _forget(self, wall: int) -> None:
        """Let ids go that are older than the window, and come back when the next one is."""
        self.dedupe.expire(wall)
        due = self.dedupe.next_expiry()
        self._forgetting = None if due is None else self.engine.timers.add(max(due, wall + 1_000_000_000), self._forget)

    def _remember_stored(self, wall: int) -> None:
        """Learn from the stored messages what is kept in memory only: ids within the window, times to live, the last id."""
        store = self.store
        by = min(wall - store.last_time, 0)  # the clock was set back since then, by that at least: ids are remembered no longer for it
        since = wall - by - self.dedupe.window
        start = store.at_time(since) if self.dedupe.window else store.last + 1
        if self.config.allow_msg_ttl:
            start = store.first
        for stored in store.scan(start) if start <= store.last else ():
            self.intake.last_id = b""
            if not stored.header:
                continue
            values = nats_values(stored.header)
            if id := values.get(b"Nats-Msg-Id"):
                self.intake.last_id = id
                if stored.time > since:
                    self.dedupe.add(id, stored.sequence, stored.time + by)
            if self.config.allow_msg_ttl:
                if is_delete_marker(stored.header):
                    self.expiry.mark(stored.sequence)
                self._remember_ttl(stored.sequence, stored.time, values)
        if len(self.dedupe):
            self._forget(wall)

    def _remember_ttl(self, sequence: int, time: int, values: dict[bytes, bytes]) -> None:
        try:
            if b"Nats-TTL" in values:
                self.expiry.add(sequence, time, parse_ttl(values[b"Nats-TTL"]))
        except ApiError:
            return  # it was stored before the stream had TTLs, and nobody read it then


def _quoted(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
