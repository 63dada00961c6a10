"""An engine without a server: a world of one account, whose clock is turned by hand and whose messages go into lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from midge.engine.engine import Engine, Settings
from midge.model.account import AccountLimits
from midge.wire.publication import Publication

START = 1_800_000_000_000_000_000  # wall nanoseconds
SECOND = 1_000_000_000
ACCOUNT = "A"


class FakeEye:
    """Somebody who watches a subject."""

    def __init__(self, key: tuple[bytes, bytes | None], told: Callable[[bool], None], interested: bool) -> None:
        self.key = key
        self.told = told
        self.interested = interested


INBOX = b"I."


class Delivered(NamedTuple):
    """A message that went to a consumer's receiver; ``to`` is where."""

    to: bytes
    subject: bytes
    reply: bytes
    header: bytes
    payload: bytes


class FakeOutside:
    """What the engine asks for, kept in lists."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes, bytes]] = []  # subject, header, payload
        self.ears: dict[object, tuple[bytes, Callable[[Publication, int], bool]]] = {}
        self.calls: list[Callable[[], None]] = []
        self.failures: list[str] = []
        self.listeners: list[bytes] = []  # subjects that somebody listens to
        self.delivered: list[Delivered] = []
        self.deaf: set[bytes] = set()  # where nobody listens; inboxes have somebody unless they are here
        self.crowded: set[bytes] = set()  # where much waits to be sent
        self.wall = START
        self.spent = 0  # deliveries, beside what everything costs
        self.client: dict[str, object] | None = None
        self.attending: set[object] = set()  # the ears that hear what consumers deliver
        self.interest: set[tuple[bytes, bytes | None]] = set()  # deliver subjects, and queue groups, that somebody subscribed to
        self.eyes: list[FakeEye] = []

    def emit(self, account: str, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> bool:
        self.sent.append((subject, header, payload))
        if subject.startswith(b"$JS.FC."):
            self.calls.append(lambda: self.pass_on(Publication.compose(subject, reply, header, payload)))
        return True

    def answer(self, account: str, answers: list[Publication]) -> None:
        self.sent += [(each.subject(), each.header() if each.header_size > 0 else b"", each.payload()) for each in answers]

    def subscribe(self, account: str, subject: bytes, receive: Callable[[Publication, int], bool]) -> object:
        token = object()
        self.ears[token] = subject, receive
        return token

    def attend(self, account: str, subject: bytes, receive: Callable[[Publication, int], bool]) -> object:
        token = self.subscribe(account, subject, receive)
        self.attending.add(token)
        self.bind(subject.decode())
        return token

    def unsubscribe(self, token: object) -> None:
        subject, _ = self.ears.pop(token)
        if token in self.attending:
            self.attending.discard(token)
            self.bind(subject.decode(), gone=True)

    def pass_on(self, publication: Publication) -> bool:
        """Let those hear a publication who listen to its subject."""
        subject = publication.subject()
        return any([receive(publication, self.wall) for pattern, receive in list(self.ears.values()) if matches(pattern, subject)])

    def route(self, account: str, subject: bytes) -> bytes:
        return subject

    def deliver(self, route: bytes, publication: Publication) -> int:
        if route in self.deaf:
            return 0
        header = publication.header() if publication.header_size > 0 else b""
        for token in [token for token in self.attending if self.ears[token][0] == route]:
            self.ears[token][1](publication, self.wall)
        self.delivered.append(Delivered(route, publication.subject(), publication.reply(), header, publication.payload()))
        return 2 if route in self.crowded else 1

    def has_interest(self, account: str, subject: bytes) -> bool:
        return subject in self.listeners or (subject, None) in self.interest or (subject.startswith(INBOX) and subject not in self.deaf)

    def watch(self, account: str, subject: bytes, queue: bytes | None, told: Callable[[bool], None]) -> "FakeEye":
        eye = FakeEye((subject, queue), told, (subject, queue) in self.interest)
        self.eyes.append(eye)
        return eye

    def unwatch(self, eye: "FakeEye") -> None:
        self.eyes.remove(eye)

    def bind(self, subject: str, queue: str = "", *, gone: bool = False) -> None:
        """Somebody subscribes to a subject, or is gone."""
        key = (subject.encode(), queue.encode() or None)
        (self.interest.discard if gone else self.interest.add)(key)
        for eye in list(self.eyes):
            if eye.key == key and eye.interested == gone:
                eye.interested = not gone
                eye.told(not gone)

    def sender(self) -> dict[str, object] | None:
        return self.client

    def spend(self, work: int) -> None:
        self.spent += work

    def call_soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def failed(self, what: str, error: Exception) -> None:
        self.failures.append(f"{what}: {error}")


class World:
    """An engine, its outside and the time."""

    def __init__(self, directory: Any = None, limits: AccountLimits | None = AccountLimits(), wall: int = START, **settings: Any) -> None:
        self.outside = FakeOutside()
        self.wall = wall
        self.directory = directory
        self.engine = Engine(
            Settings("here", "2.11.0", **settings), directory, self.outside, nuid=lambda: "ID", choose=lambda _: 0, wall=wall
        )
        self.account = self.engine.open_account(ACCOUNT, limits)
        self.number = 0

    def turn(self) -> None:
        """Let everything happen that can."""
        more = True
        self.outside.wall = self.wall
        while more or self.outside.calls:
            calls, self.outside.calls = self.outside.calls, []
            for call in calls:
                call()
            more = self.engine.step(self.wall)
            if self.directory is not None:
                self.directory.begin()
                self.directory.finish()
                engine = self.engine
                workers = self.directory._workers
                more = more or (workers._count == 0 and workers._under_way > 0)  # finished at once, and not told yet
                more = more or any((engine.asking, engine.answering, engine.dirty, engine.ready, len(engine.jobs), len(engine.feeding)))

    def wait(self, seconds: float) -> None:
        """Turn the clock on, and let happen what is due on the way."""
        until = self.wall + int(seconds * SECOND)
        self.turn()
        while (due := self.engine.next_deadline()) is not None and due <= until:
            self.wall = max(self.wall, due)
            self.engine.handle_timeout(self.wall)
            self.turn()
        self.wall = until

    def publish(self, subject: str, payload: bytes = b"", reply: str = "", **headers: str) -> bool:
        """Publish to whoever listens; True if anybody does. Nothing else happens yet."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        header = f"NATS/1.0\r\n{lines}\r\n".encode() if headers else b""
        publication = Publication.compose(subject.encode(), reply.encode(), header, payload)
        self.outside.wall = self.wall
        return self.outside.pass_on(publication)

    def ask(self, subject: str, payload: bytes = b"", **headers: str) -> list[tuple[bytes, bytes]]:
        """Publish, let everything happen, and return header and payload of the answers."""
        self.number += 1
        reply = f"R.{self.number}"
        self.publish(subject, payload, reply, **headers)
        self.turn()
        return [(header, answer) for to, header, answer in self.outside.sent if to == reply.encode()]

    def ack(self, subject: str, payload: bytes = b"", **headers: str) -> str:
        """Publish to a stream; return the one answer."""
        ((_, answer),) = self.ask(subject, payload, **headers)
        return answer.decode()

    def api(self, subject: str, **body: Any) -> dict[str, Any]:
        """Ask the API; return the one answer."""
        ((_, answer),) = self.ask(f"$JS.API.{subject}", json.dumps(body).encode() if body else b"")
        found: dict[str, Any] = json.loads(answer)
        return found

    def create(self, name: str = "S", **config: Any) -> dict[str, Any]:
        """Create a stream, in memory unless it says something else."""
        return self.api(f"STREAM.CREATE.{name}", **{"name": name, "subjects": ["s.>"], "storage": "memory"} | config)

    def state(self, name: str = "S", **body: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.api(f"STREAM.INFO.{name}", **body)["state"]
        return found


def matches(pattern: bytes, subject: bytes) -> bool:
    mine, its = pattern.split(b"."), subject.split(b".")
    if mine[-1] == b">":
        return len(its) >= len(mine) and matches(b".".join(mine[:-1]), b".".join(its[: len(mine) - 1])) if len(mine) > 1 else True
    return len(mine) == len(its) and all(a in (b"*", b) for a, b in zip(mine, its, strict=True))
