"""Plays conversations about consumers: many at a time, each in an account of its own, so that those that wait cost little.

A story is a list of moves: requests (the steps of ``jetstream_player``), pulls, subscriptions, acknowledgements of what was delivered, and
time that passes. Everything that comes is kept by the channel (request, pull or subscription) it came on, as it came, subject and reply
too; moves only say when to go on. So two servers may interleave channels as they like, and nothing that comes late is lost.
What is levelled are times, ids and what is random in names.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jetstream_player import Step, levelled, with_storage

PATIENCE = 3.0  # seconds for what should come
SETTLE = 0.06  # seconds in which nats-server has done what it does behind the back of the one who asked
QUIET = 0.15  # seconds in which nothing comes where nothing should
TRIES = 200
UNORDERED = ("events", "metrics")  # what expires at the same moment does so in any order at nats-server
_NUID = rb"[0-9A-Za-z]{22}"
_PLAIN: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"(\$JS\.ACK\.\S+?(?:\.\d+){3})\.\d{19}\."), rb"\1.<time>."),
    (re.compile(rb"(\$JS\.FC\.\S+?)\.\w+(?=[ \r])"), rb"\1.<dice>"),
    (re.compile(rb"(Nats-Pin-Id: )" + _NUID), rb"\1<pin>"),
    (re.compile(rb'("pinned_(?:client_)?id": ?")' + _NUID), rb"\1<pin>"),
    (re.compile(rb'("account": ?")Au\d+'), rb"\1<account>"),
    (re.compile(rb"(Nats-Time-Stamp: )\S+"), rb"\1<time>"),
    (re.compile(rb"(Nats-Stream-Identity: )\w+"), rb"\1<dice>"),
    (re.compile(rb'("(?:pause_remaining|delay|ack_time)":) ?\d+'), rb"\1 0"),
    (re.compile(rb'("active":) ?-?\d+'), rb"\1 0"),
    (re.compile(rb'("lag":) ?\d+'), rb"\1 0"),
    (re.compile(rb'("client":) ?\{[^{}]*\}'), rb"\1 {}"),
)


@dataclass(frozen=True)
class Listen:
    """Subscribe; ``channel`` is what comes called by. Two may share one."""

    subject: str
    channel: str = "push"
    queue: str = ""


@dataclass(frozen=True)
class Unlisten:
    """Unsubscribe all of a channel, at once or after so many messages."""

    channel: str = "push"
    after: int = 0


@dataclass(frozen=True)
class Pull:
    """Ask a consumer for messages, and wait for ``until`` of them, or for the end of the request where that is None; 0 leaves it open."""

    body: bytes = b""
    consumer: str = "C"
    stream: str = "S"
    until: int | None = None
    channel: str = ""


@dataclass(frozen=True)
class Expect:
    """Wait until so many more have come on a channel, or where none is named on that of the latest subscription."""

    count: int = 1
    channel: str = ""


@dataclass(frozen=True)
class Pass:
    """Let time pass."""

    seconds: float = QUIET


@dataclass(frozen=True)
class Ack:
    """Acknowledge the message that was delivered as the so-maniest, in any way, and have it confirmed or not."""

    number: int = -1
    body: bytes = b"+ACK"
    confirmed: bool = True
    until: int = 1  # answers, where it is confirmed


@dataclass(frozen=True)
class Again:
    """Ask until the answer has this in it; only that one is kept."""

    step: Step
    text: str


@dataclass(frozen=True)
class Drop:
    """Close the connection and come back on a new one."""


Move = Step | Listen | Unlisten | Pull | Expect | Pass | Ack | Again | Drop


@dataclass(frozen=True)
class Story:
    """Moves that begin and end without streams; ``kinds`` are the storages with which they are played."""

    name: str
    moves: tuple[Move, ...]
    storages: tuple[str, ...] = ("memory",)


def story(name: str, *moves: Move | Sequence[Move], storages: tuple[str, ...] = ("memory",)) -> Story:
    flat: list[Move] = []
    for each in moves:
        flat.extend(each if isinstance(each, (list, tuple)) else [each])  # type: ignore[arg-type]
    return Story(name, tuple(flat), storages)


def both(name: str, *moves: Move | Sequence[Move]) -> Story:
    """A story for which it matters where streams are kept."""
    return story(name, *moves, storages=("memory", "file"))


@dataclass
class Message:
    """What came."""

    subject: bytes
    reply: bytes
    header: bytes
    payload: bytes

    @property
    def status(self) -> bytes:
        """The code of a status message; empty for others."""
        return self.header[9:12] if self.header.startswith(b"NATS/1.0 ") else b""


@dataclass
class Transcript:
    """What came on each channel; ``bodies`` are the JSON answers as they came."""

    channels: dict[str, list[bytes]] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)


class Teller:
    """One connection, as a user of its own."""

    def __init__(self, host: str, port: int, user: str) -> None:
        self.address = host, port
        self.user = user

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self.address, limit=1 << 24)
        await self.reader.readline()
        options = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "protocol": 1,
            "user": self.user,
            "pass": "p",
        }
        self.writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        line = await self.reader.readline()
        assert line == b"PONG\r\n", line
        self.sids: dict[bytes, str] = {}
        self.number = 0
        self.task = asyncio.create_task(self._read())

    async def close(self) -> None:
        self.task.cancel()
        self.writer.close()
        await asyncio.gather(self.task, return_exceptions=True)

    async def play(self, tale: Story, storage: str) -> Transcript:
        """Play it, and remove what it leaves behind."""
        self.came: dict[str, list[Message]] = {}
        self.looked: dict[str, int] = {}
        self.delivered: list[Message] = []
        self.names: dict[bytes, bytes] = {}
        self.pin = b""
        self.latest = ""
        self.live = False  # somebody waits for messages
        self.news = asyncio.Event()
        self.requests = 0
        await self.open()
        try:
            for together, run in itertools.groupby(tale.moves, is_publish):
                if together:
                    await self._publish_all(list(run))
                else:
                    for move in run:
                        await self._move(with_storage(move, storage) if isinstance(move, Step) else move)
            await asyncio.sleep(SETTLE)
            return self._transcript()
        finally:
            await self._tidy()
            await self.close()

    async def _publish_all(self, run: list[Move]) -> None:
        """Publish; a publish is acknowledged before consumers know of it, and what they say is pending depends on the moment."""
        if not self.live:
            await asyncio.gather(*map(self._move, run))
            await asyncio.sleep(SETTLE / 2)
            return
        for move in run:
            await self._move(move)
            await asyncio.sleep(SETTLE / 2)

    async def _tidy(self) -> None:
        for channel in list(self.came):
            self._unlisten(channel, 0)
        answer = await self._ask(Step("$JS.API.STREAM.NAMES"), "tidy")
        for name in json.loads(answer[0].payload)["streams"] or [] if answer else []:
            await self._ask(Step(f"$JS.API.STREAM.DELETE.{name}"), "tidy")

    async def _move(self, move: Move) -> None:
        match move:
            case Step():
                self.requests += 1
                await self._persist(move, f"{self.requests} {move.subject}")
            case Pull():
                await self._pull(move)
            case Listen():
                self.latest, self.live = move.channel, True
                self._listen(move.subject, move.channel, move.queue)
                await self._flush()
            case Unlisten():
                self._unlisten(move.channel, move.after)
                await self._flush()
            case Expect():
                await self._expect(move.channel or self.latest, move.count)
            case Pass():
                await asyncio.sleep(move.seconds)
            case Ack():
                await self._ack(move)
            case Again():
                await self._again(move)
            case Drop():
                await self.close()
                await self.open()

    async def _persist(self, step: Step, channel: str) -> None:
        """Ask; again where nats-server is still removing the files of a stream of that name."""
        for _ in range(TRIES):
            answers = await self._ask(step, channel)
            if not answers or b"error creating store for stream" not in answers[-1].payload:
                return
            self.came[channel].clear()
            await asyncio.sleep(0.02)

    async def _again(self, move: Again) -> None:
        self.requests += 1
        channel = f"{self.requests} {move.step.subject}"
        end = time.monotonic() + PATIENCE
        while True:
            answers = await self._ask(move.step, channel)
            if (answers and move.text.encode() in answers[-1].payload) or time.monotonic() > end:
                self.came[channel] = answers[-1:]
                return
            await asyncio.sleep(0.02)

    async def _ask(self, step: Step, channel: str) -> list[Message]:
        """Return the answers: one, those up to a status, or none that comes within ``QUIET``."""
        reply = self._inbox(channel)
        begin = len(self.came[channel])
        self._publish(self._filled(step.subject), reply if step.until != "tell" else "", step.headers, self._filled_bytes(step.payload))

        def over() -> bool:
            found = self.came[channel][begin:]
            return bool(found) and (step.until != "status" or bool(found[-1].status))

        if step.until == "tell":
            await self._flush()
        else:
            await self._until(over, QUIET if step.until == "none" else PATIENCE)
        self._learn(step, self.came[channel][begin:])
        return self.came[channel][begin:]

    def _learn(self, step: Step, answers: list[Message]) -> None:
        """Remember the names that the server made up."""
        if not step.subject.startswith("$JS.API.CONSUMER.CREATE.") or not answers:
            return
        name = json.loads(answers[-1].payload).get("name", "") if answers[-1].payload.startswith(b"{") else ""
        if name and name not in step.subject and f'"{name}"'.encode() not in step.payload and name.encode() not in self.names:
            self.names[name.encode()] = b"<name%d>" % len(self.names)

    def _filled(self, text: str) -> str:
        return self._filled_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def _filled_bytes(self, text: bytes) -> bytes:
        """Put in what the server made up: names and the pin."""
        for name, label in self.names.items():
            text = text.replace(label, name)
        return text.replace(b"<pin>", self.pin)

    async def _pull(self, move: Pull) -> None:
        self.requests += 1
        channel = move.channel or f"{self.requests} pull {move.body.decode()}"
        reply = self._inbox(channel)
        begin = len(self.came[channel])
        self._publish(self._filled(f"$JS.API.CONSUMER.MSG.NEXT.{move.stream}.{move.consumer}"), reply, (), self._filled_bytes(move.body))
        if move.until is None:
            batch = wanted(move.body)

            def over() -> bool:
                found = [each for each in self.came[channel][begin:] if each.status != b"100"]
                return len(found) >= batch or (bool(found) and bool(found[-1].status))

            await self._until(over, PATIENCE)
        elif move.until:
            await self._until(lambda: len(self.came[channel]) - begin >= (move.until or 0), PATIENCE)
        else:
            self.live = True
            await self._flush()
            await asyncio.sleep(SETTLE)
        self.looked[channel] = len(self.came[channel])

    async def _expect(self, channel: str, count: int) -> None:
        goal = self.looked.get(channel, 0) + count
        await self._until(lambda: len(self.came.get(channel, ())) >= goal, PATIENCE)
        self.looked[channel] = goal

    async def _ack(self, move: Ack) -> None:
        if not -len(self.delivered) <= move.number < len(self.delivered):
            return  # the one it is about did not come, which the comparison tells
        subject = self.delivered[move.number].reply.decode()
        body = self._filled_bytes(move.body)
        if not move.confirmed:
            self._publish(subject, "", (), body)
            await self._flush()
            await asyncio.sleep(SETTLE)
            return
        self.requests += 1
        channel = f"{self.requests} ack {move.body.decode()}"
        self._publish(subject, self._inbox(channel), (), body)
        await self._until(lambda: len(self.came[channel]) >= max(1, move.until), PATIENCE if move.until else QUIET)

    async def _flush(self) -> None:
        self._inbox("flush")
        before = len(self.came["flush"])
        self._publish(f"F.{self.number}", "", (), b"")
        await self._until(lambda: len(self.came["flush"]) > before, PATIENCE)

    async def _until(self, satisfied: Callable[[], bool], patience: float) -> None:
        end = time.monotonic() + patience
        while not satisfied():
            left = end - time.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self.news.wait(), left)  # of those who wait each keeps the event that was the news when it looked
            except TimeoutError:
                return

    def _inbox(self, channel: str) -> str:
        self.number += 1
        subject = f"{'F' if channel == 'flush' else 'R'}.{self.number}"
        self._listen(subject, channel)
        return subject

    def _listen(self, subject: str, channel: str, queue: str = "") -> None:
        self.came.setdefault(channel, [])
        sid = f"{len(self.sids) + 1}"
        self.sids[sid.encode()] = channel
        self.writer.write(f"SUB {subject} {queue} {sid}\r\n".encode())

    def _unlisten(self, channel: str, after: int) -> None:
        for sid, name in self.sids.items():
            if name == channel:
                self.writer.write(b"UNSUB %b %b\r\n" % (sid, b"%d" % after if after else b""))

    def _publish(self, subject: str, reply: str, headers: Iterable[tuple[str, str]], payload: bytes) -> None:
        block = b""
        if pairs := "".join(f"{name}: {value}\r\n" for name, value in headers):
            block = f"NATS/1.0\r\n{pairs}\r\n".encode("utf-8", "surrogateescape")
        sizes = f"{len(block)} {len(block) + len(payload)}" if block else f"{len(payload)}"
        line = f"{'HPUB' if block else 'PUB'} {subject} {reply} {sizes}\r\n".encode("utf-8", "surrogateescape")
        self.writer.write(line + block + payload + b"\r\n")

    async def _read(self) -> None:
        while line := await self.reader.readline():
            words = line.split()
            if words[0] in (b"MSG", b"HMSG"):
                size, head = int(words[-1]), int(words[-2]) if words[0] == b"HMSG" else 0
                data = await self.reader.readexactly(size + 2)
                replied = len(words) == (6 if head else 5)
                message = Message(words[1], words[3] if replied else b"", data[:head], data[head:size])
                self._take(self.sids[words[2]], message)
            elif words[0] == b"PING":
                self.writer.write(b"PONG\r\n")
            elif words[0] == b"-ERR":
                self._take("errors", Message(b"", b"", b"", line))

    def _take(self, channel: str, message: Message) -> None:
        self.came.setdefault(channel, []).append(message)
        if message.reply.startswith(b"$JS.ACK."):
            self.delivered.append(message)
        if found := re.search(rb"Nats-Pin-Id: (\w+)", message.header):
            self.pin = found[1]
        news, self.news = self.news, asyncio.Event()
        news.set()

    def _transcript(self) -> Transcript:
        told = Transcript()
        for channel, messages in sorted(self.came.items()):
            if channel in ("flush", "tidy"):
                continue
            told.bodies.extend(each.payload for each in messages if each.payload.startswith(b'{"'))
            lines = [self._plain(each) for each in messages]
            if channel in UNORDERED:
                lines.sort()
            beats = [b"100 Idle Heartbeat" in line for line in lines]
            told.channels[channel] = [line for n, line in enumerate(lines) if not (n and beats[n] and beats[n - 1])]
        return told

    def _plain(self, message: Message) -> bytes:
        """Return a message as it is compared. How often a heart has beaten depends on the moment: beats in a row are one."""
        payload = levelled(message.payload)
        if payload.startswith(b'{"'):
            payload = json.dumps(json.loads(payload), sort_keys=True).encode() if b'"type"' in payload else payload
        text = b" ".join((re.sub(rb"^[RF]\.\d+$", b"<inbox>", message.subject), message.reply, b"|", message.header, b"|", payload))
        for name, label in self.names.items():
            text = text.replace(name, label)
        for pattern, plain in _PLAIN:
            text = pattern.sub(plain, text)
        return text


def is_publish(move: Move) -> bool:
    return isinstance(move, Step) and not move.subject.startswith("$JS.") and move.until == "one"


def wanted(body: bytes) -> int:
    """How many messages a pull asks for."""
    if body.isdigit():
        return max(1, min(int(body), 1 << 30))
    try:
        found = json.loads(body)
    except ValueError:
        return 1
    batch = found.get("batch", 1) if isinstance(found, dict) else 1
    return max(1, batch) if isinstance(batch, int) else 1


async def play_all(address: tuple[str, int], users: Sequence[str], cases: Sequence[tuple[Story, str]]) -> dict[tuple[str, str], Transcript]:
    """Play all of them on one server, as many at a time as there are users."""
    told: dict[tuple[str, str], Transcript] = {}
    waiting = list(reversed(cases))

    async def work(user: str) -> None:
        while waiting:
            tale, storage = waiting.pop()
            try:
                told[tale.name, storage] = await Teller(*address, user).play(tale, storage)
            except (OSError, EOFError, ValueError) as error:  # a server that answers nonsense fails this story, not all of them
                told[tale.name, storage] = Transcript({"broken": [repr(error).encode()]})

    jobs: list[Coroutine[Any, Any, None]] = [work(user) for user in users]
    await asyncio.gather(*jobs)
    return told
