"""Account: what JetStream is to one account: its streams, what they use, and its requests, which are answered one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from midge.engine.advisories import audit, limit_reached
from midge.engine.consumers.acks import Acks
from midge.engine.consumers.push import FLOW_CONTROL, Push
from midge.engine.queue import Answer, Queue
from midge.engine.requests import ApiRequest
from midge.engine.stream import Stream
from midge.model.account import AccountLimits
from midge.model.stream import StreamConfig
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.engine import Engine
    from midge.engine.following import Following

__all__ = ["Account"]

_TOLD = (b"$JS.API.STREAM.SNAPSHOT.", b"$JS.API.STREAM.RESTORE.")  # who asks for these is told about later
_NEXT = b"$JS.API.CONSUMER.MSG.NEXT."  # what consumers are asked for; all of an account's by one subscription
_NOT_OURS = (b"$JS.API.DIRECT.GET.", _NEXT)  # heard of by subscriptions of their own


class Transfer(Protocol):
    """A stream on its way out of an account, or into it."""

    def close(self) -> None:
        """Give it up; nobody is told."""


class Account:
    """One account.

    Args:
        engine: the engine.
        name: the account's name.
        limits: what it may use, None where JetStream is not for it: then its requests are refused.

    Attributes:
        streams: by name.
        followings: those that follow a stream of this name, which need not be there.
        limited: what it stores has to be counted with each message.
        used: bytes, by kind of storage.
        total, errors: how many requests were answered, and how many of them with an error.
        acks: where consumers' acknowledgements come in.
        answers: what is sent at the end of this turn.
        requests: those that wait, and that are being answered.
        restores: the configurations of streams that are being made or restored, whose names and subjects are taken.
        transfers: the snapshots that are being sent, and the restores.
        unopened: names of streams that are there and cannot be opened.
    """

    __slots__ = (
        "_tokens", "acks", "answers", "engine", "errors", "followings", "is_asking", "limited", "limits", "name", "requests", "restores",
        "streams", "total", "transfers", "unopened", "used",
    )  # fmt: skip

    def __init__(self, engine: Engine, name: str, limits: AccountLimits | None) -> None:
        self.engine = engine
        self.name = name
        self.limits = limits
        self.limited = limits is not None and (limits.max_memory >= 0 or limits.max_storage >= 0)
        self.streams: dict[str, Stream] = {}
        self.followings: dict[str, dict[Following, None]] = {}
        self.restores: dict[str, StreamConfig] = {}
        self.transfers: dict[Transfer, None] = {}
        self.unopened: set[str] = set()
        self.used = {"memory": 0, "file": 0}
        self.total = self.errors = 0
        self.requests = Queue()
        self.is_asking = False  # the engine knows that a request can begin
        self.acks = Acks(engine.domain, name)
        self.answers: list[Publication] = []
        prefixes = [b"$JS.API."] + ([b"$JS.%b.API." % engine.domain.encode()] if engine.domain else [])
        self._tokens = [engine.outside.subscribe(name, prefix + b">", self.receive) for prefix in prefixes]
        self._tokens += [engine.outside.subscribe(name, prefix + b"CONSUMER.MSG.NEXT.*.*", self.receive_pull) for prefix in prefixes]
        self._tokens.append(engine.outside.subscribe(name, b"$JS.ACK.>", self.acks.receive))
        self._tokens.append(engine.outside.subscribe(name, FLOW_CONTROL + b"*.*.*", self.receive_flow))

    def close(self) -> None:
        """Listen no more, and let go of the streams."""
        for token in self._tokens:
            self.engine.outside.unsubscribe(token)
        self.requests.clear()
        for transfer in list(self.transfers):
            transfer.close()
        for stream in self.streams.values():
            stream.stop()
        self.limits = None  # what is being created is too late from here on
        while self.streams:  # closing one waits for workers, and tells who waits for them, too
            _, stream = self.streams.popitem()
            self.engine.used[stream.config.storage] -= stream.counted
            stream.store.close()

    def limit(self, limits: AccountLimits) -> None:
        """It may use something else than before; what it has stays."""
        self.limits = limits
        self.limited = limits.max_memory >= 0 or limits.max_storage >= 0
        for stream in self.streams.values():
            stream.update(stream.config)

    # Requests

    def receive(self, publication: Publication, wall: int) -> bool:
        """Take a request. False where it is for nobody here, and others may have it."""
        subject = publication.subject()
        if not subject.startswith(b"$JS.API."):
            subject = b"$JS." + subject.split(b".", 2)[2]
        if subject.startswith(_NOT_OURS):
            return False
        if len(self.requests) >= self.engine.settings.max_requests or self.requests.size > self.engine.max_pending:
            limit_reached(self.engine, self.name, 1)
            return True
        header = publication.header() if publication.header_size > 0 else b""
        request = ApiRequest(self, subject, publication.reply(), header, publication.payload(), wall)
        request.is_audited = self.engine.outside.has_interest(self.name, b"$JS.EVENT.ADVISORY.API")
        if request.is_audited or subject.startswith(_TOLD):
            request.client = self.engine.outside.sender()
        self.requests.add(request)
        self.ask()
        return True

    def receive_pull(self, publication: Publication, wall: int) -> bool:
        """Take a pull request. False where there is no such consumer."""
        stream, consumer = publication.subject().decode("utf-8", "surrogateescape").split(".")[-2:]
        found = self.streams.get(stream)
        wanted = None if found is None else found.consumers.get(consumer)
        if wanted is None:
            return False
        header = publication.header() if publication.header_size > 0 else b""
        wanted.ask(publication.reply(), header, publication.payload(), wall)
        return True

    def receive_flow(self, publication: Publication, wall: int) -> bool:
        """Take an answer of flow control. False where there is no such consumer, or it has none."""
        stream, consumer = publication.subject().decode("utf-8", "surrogateescape").split(".")[2:4]
        found = self.streams.get(stream)
        asked = None if found is None else found.consumers.get(consumer)
        return asked is not None and isinstance(asked.target, Push) and asked.target.answered(publication)

    def ask(self) -> None:
        """Let the engine begin with the next request, where that can begin."""
        if not self.is_asking and self.requests.is_ready:
            self.is_asking = True
            self.engine.asking.append(self)

    def take(self) -> ApiRequest | None:
        """Return the next request, which is being answered from now on; None where it has to wait."""
        self.is_asking = False
        return self.requests.take() if self.requests.is_ready else None

    def begun(self, request: ApiRequest) -> None:
        """A request that was taken has begun: it is answered, or waits for the disk, and the next one may not have to wait for it."""
        if not request.is_answered:
            self.requests.set_aside(request)
            self.ask()

    def answered(self, request: ApiRequest, payload: bytes, header: bytes, is_error: bool) -> None:
        """A request has its answer: send it when those before it have theirs, and go on with the next one."""
        for each, answer in self.requests.answered(request, Answer(payload, header, is_error)):
            self.total += 1
            self.errors += answer.is_error
            self.send(each, answer.payload, answer.header)
            if each.is_audited:
                audit(self.engine, each, answer.payload)
            self.ignore(each)
        self.ask()

    def send(self, request: ApiRequest, payload: bytes, header: bytes) -> None:
        """Send an answer, where one is wanted."""
        if request.reply:
            self.put(Publication.compose(request.reply, b"", header, payload))

    def put(self, answer: Publication) -> None:
        """Send an answer, together with the others of this turn."""
        if not self.answers:
            self.engine.answering.append(self)
        self.answers.append(answer)

    def flush(self) -> None:
        """Let go of the answers."""
        answers, self.answers = self.answers, []
        self.engine.outside.answer(self.name, answers)

    def ignore(self, request: ApiRequest) -> None:
        """A request is done with."""
        self.requests.done(request)
        self.ask()

    # What is used

    def recount(self, stream: Stream) -> None:
        """A stream may have grown or shrunk."""
        change = stream.store.size - stream.counted
        if change:
            stream.counted += change
            self.used[stream.config.storage] += change
            self.engine.used[stream.config.storage] += change

    def would_exceed(self, storage: str, size: int) -> bool:
        """True if the account may not have so many bytes more."""
        assert self.limits is not None
        limit = self.limits.max_memory if storage == "memory" else self.limits.max_storage
        return 0 <= limit < self.used[storage] + size

    def reserved(self, storage: str) -> int:
        """Return the bytes that its streams may have for themselves."""
        return sum(max(config.max_bytes, 0) for config in self.configs().values() if config.storage == storage)

    def configs(self) -> dict[str, StreamConfig]:
        """Return the configurations of its streams, those that are being restored too, by name."""
        return {name: stream.config for name, stream in self.streams.items()} | self.restores

    def sorted_streams(self) -> Iterator[Stream]:
        """Return its streams by name."""
        return (self.streams[name] for name in sorted(self.streams))
