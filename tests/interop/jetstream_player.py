"""Plays conversations with JetStream against a server, over one raw socket, and levels what two correct servers must differ in.

A step is a request with a reply subject of its own; its answers are kept as they came, header and payload. What is levelled are times, ids,
the server's name and version, and in answers of the API the order of the fields. Acknowledgements have to be the same byte for byte.
"""

import json
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import schemas
from received import Received
from servers import need_nats_server, running_nats_server

import midge

PATIENCE = 5.0
TRIES = 5_000
PAUSE = 0.02  # seconds between two questions for what a server does by itself
QUIET = 0.15  # seconds in which nothing comes where nothing should: nats-server answers the API from other threads
_TIME = re.compile(rb'(?<=["\s])(?!0001-01-01T00:00:00Z)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)')
_LEVELLED = (
    (re.compile(rb'("_nats\.(?:ver|level)":)"[^"]*"'), rb'\1"?"'),
    (re.compile(rb'("(?:leader|server|id)":)"[^"]*"'), rb'\1"?"'),
    (re.compile(rb'("api":\{"level":)\d+,"total":\d+,"errors":\d+'), rb"\g<1>0"),
)


@dataclass(frozen=True)
class Step:
    """One request: until says what ends the answers: "one", "status" (a status header), "none", "all" (those before the next message's),
    "found" (asked again until it is no error), "bound" (until somebody listens to a consumer), "gone" (until there is none).

    The reply subject ends in ``place``, unless that is empty.
    """

    subject: str
    payload: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    until: str = "one"
    place: str = ""


@dataclass(frozen=True)
class Conversation:
    """Steps that begin and end without streams."""

    name: str
    steps: tuple[Step, ...]
    storages: tuple[str, ...] = ("memory", "file")


@dataclass
class Talk:
    """What was said: the answers of each step."""

    answers: list[tuple[str, list[bytes]]] = field(default_factory=list)


class Player:
    """A connection to one server."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = Received(self.socket)
        self.number = 0
        self.info = json.loads(self.received.line()[5:])
        self.socket.sendall(
            b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}\r\nSUB R.> 1\r\nPING\r\n'
        )
        while self.received.line() != b"PONG":
            pass

    def close(self) -> None:
        self.socket.close()

    def play(self, conversation: Conversation, storage: str) -> Talk:
        """Play it, and remove what it leaves behind."""
        talk = Talk()
        for step in conversation.steps:
            talk.answers.append((step.subject, [levelled(answer) for answer in self.ask(with_storage(step, storage))]))
        for name in json.loads(self.request("$JS.API.STREAM.NAMES"))["streams"] or []:
            self.request(f"$JS.API.STREAM.DELETE.{name}")
        return talk

    def request(self, subject: str, payload: bytes = b"") -> bytes:
        """Return the payload of the one answer."""
        return self.ask(Step(subject, payload))[0]

    def ask(self, step: Step) -> list[bytes]:
        """Return the answers to a step; asked again where nats-server is still removing the files of a stream of that name."""
        for _ in range(TRIES):
            answers = self._ask(step)
            if step.until == "found" and b'"code":404' in answers[0]:
                time.sleep(PAUSE)
                continue
            if step.until == "bound" and b'"push_bound":true' not in answers[0].replace(b" ", b""):
                time.sleep(PAUSE)
                continue
            if step.until == "gone" and b'"code":404' not in answers[0]:
                time.sleep(PAUSE)
                continue
            if not answers or b"error creating store for stream" not in answers[0]:
                break
        return answers

    def _ask(self, step: Step) -> list[bytes]:
        self.number += 1
        reply = f"R.{self.number}" + (f".{step.place}" if step.place else "")
        header = "".join(f"{name}: {value}\r\n" for name, value in step.headers)
        block = f"NATS/1.0\r\n{header}\r\n".encode("utf-8", "surrogateescape") if step.headers else b""
        size = len(block) + len(step.payload)
        verb = f"HPUB {step.subject} {reply} {len(block)} {size}" if block else f"PUB {step.subject} {reply} {size}"
        self.socket.sendall(verb.encode("utf-8", "surrogateescape") + b"\r\n" + block + step.payload + b"\r\n")
        if step.until == "none":
            return self._nothing(reply)
        if step.until == "all":
            return self._before_refusal(step.subject, reply)
        answers: list[bytes] = []
        while not answers or (step.until == "status" and not answers[-1].startswith(b"NATS/1.0 ")):
            answers.append(self._answer(reply))
        return answers

    def _before_refusal(self, subject: str, reply: str) -> list[bytes]:
        """Return the answers that come before that to another message, which is refused: a stream answers in order."""
        block = b"NATS/1.0\r\nNats-Expected-Stream: nobody\r\n\r\n"
        self.socket.sendall(b"HPUB %b R.end %d %d\r\n%b\r\n" % (subject.encode(), len(block), len(block), block))
        answers: list[bytes] = []
        while True:
            line = self.received.line()
            words = line.split()
            if words[:1] == [b"MSG"]:
                payload = self.received.take(int(words[-1]))
                self.received.take(2)
                if words[1] == b"R.end":
                    return answers
                if words[1] == reply.encode():
                    answers.append(payload)

    def _nothing(self, reply: str) -> list[bytes]:
        self.socket.settimeout(QUIET)
        try:
            return [self._answer(reply)]
        except TimeoutError:
            return []
        finally:
            self.socket.settimeout(PATIENCE)

    def _answer(self, reply: str) -> bytes:
        while True:
            line = self.received.line()
            words = line.split()
            if words[:1] in ([b"MSG"], [b"HMSG"]):
                payload = self.received.take(int(words[-1]))
                self.received.take(2)
                if words[1].decode() == reply:
                    return payload
            elif line == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                return line


@contextmanager
def both_players() -> Iterator[tuple[Player, Player]]:
    """A player on nats-server and one on ours, each server with streams in a directory of its own; skips where there is no nats-server."""
    need_nats_server()
    with ExitStack() as stack:
        directories = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        real = stack.enter_context(running_nats_server(f"jetstream {{ store_dir: {json.dumps(directories[0])} }}"))
        server = stack.enter_context(midge.Server(port=0, jetstream=True, store_dir=directories[1]))
        pair = Player(*real), Player(server.host, server.port)
        for player in pair:
            stack.callback(player.close)
        yield pair


def with_storage(step: Step, storage: str) -> Step:
    """Say where a stream is to be kept, unless the step does."""
    if not step.subject.startswith(("$JS.API.STREAM.CREATE.", "$JS.API.STREAM.UPDATE.")) or not step.payload.startswith(b'{"'):
        return step
    if b'"storage"' in step.payload:
        return step
    body = b'{"storage":"%b",%b' % (storage.encode(), step.payload[1:])
    return replace(step, payload=body)


def levelled(answer: bytes) -> bytes:
    """Return an answer without what depends on the server and the day."""
    answer = _TIME.sub(b"<time>", answer)
    for pattern, plain in _LEVELLED:
        answer = pattern.sub(plain, answer)
    return json.dumps(json.loads(answer), sort_keys=True).encode() if answer.startswith(b'{"type":') else answer


def faults(answer: bytes) -> list[str]:
    """Return what a JSON answer with a ``type`` does that its schema does not allow."""
    return schemas.faults(json.loads(answer)) if answer.startswith(b"{") else []


def api(subject: str, body: Any = None, until: str = "one", **headers: str) -> Step:
    """A request to the API; a body that is no bytes is sent as JSON."""
    payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return Step(f"$JS.API.{subject}", payload, pairs(headers), until)


def create(name: str = "S", until: str = "one", **config: Any) -> Step:
    return api(f"STREAM.CREATE.{name}", {"name": name, "subjects": ["s.>"]} | config, until)


def update(name: str = "S", **config: Any) -> Step:
    return api(f"STREAM.UPDATE.{name}", {"name": name, "subjects": ["s.>"]} | config)


def info(name: str = "S", **body: Any) -> Step:
    return api(f"STREAM.INFO.{name}", body or None)


def get(name: str = "S", **body: Any) -> Step:
    return api(f"STREAM.MSG.GET.{name}", body)


def direct(name: str = "S", until: str = "one", **body: Any) -> Step:
    return api(f"DIRECT.GET.{name}", body, until)


def batch(name: str = "S", **body: Any) -> Step:
    return direct(name, "status", **body)


def pub(subject: str, payload: bytes = b"x", until: str = "one", **headers: str) -> Step:
    """A publish; ``Nats_Msg_Id`` is the header ``Nats-Msg-Id``."""
    return Step(subject, payload, pairs(headers), until)


def pairs(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return headers as steps have them."""
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())
