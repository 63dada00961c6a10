"""kill -9 of a server during publish, fetch and acknowledge, again and again: nothing acknowledged by the stream is lost, nothing that was
confirmed comes again, and work queues end empty.

``MIDGE_LONG`` kills ten thousand times.
"""

import asyncio
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from received import Received
from trials import LONG, trials

import midge

TRIALS = trials(6)
pytestmark = pytest.mark.timeout(36_000 if LONG else 120)
PATIENCE = 60.0  # a busy machine
SECOND = 1_000_000_000
CHAPTER = 30  # kills of one store: a stream that only grows takes longer to open each time


class Client:
    """One raw connection. ``confirmed`` and ``stored`` are what the server has promised."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.received = Received(self.socket)
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB R.> 1\r\n')
        self.number = 0

    def publish(self, subject: str, reply: str = "", payload: bytes = b"") -> None:
        self.socket.sendall(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(payload), payload))

    def messages(self, patience: float) -> Iterator[tuple[str, str, bytes]]:
        """Return what comes, subject, reply and payload, until nothing has for so long; or the server is gone."""
        self.socket.settimeout(patience)
        try:
            while True:
                words = self.received.line().split()
                if words[0] in (b"MSG", b"HMSG"):
                    size, head = int(words[-1]), int(words[-2]) if words[0] == b"HMSG" else 0
                    fields = words[1:-2] if head else words[1:-1]
                    data = self.received.take(size + 2)[:-2]
                    yield fields[0].decode(), fields[2].decode() if len(fields) > 2 else "", data[head:]
                elif words[0] == b"PING":
                    self.socket.sendall(b"PONG\r\n")
        except (TimeoutError, ConnectionError):
            return

    def ask(self, subject: str, payload: bytes = b"") -> bytes:
        self.number += 1
        self.publish(subject, f"R.{self.number}", payload)
        for to, _, answer in self.messages(PATIENCE):
            if to == f"R.{self.number}":
                return answer
        raise ConnectionError("no answer")


def serve(path: Path, output: int) -> None:
    """Be a server until killed, and say which port it has."""

    async def main() -> None:
        async with midge.Server(port=0, store_dir=path) as running:
            os.write(output, b"%d" % running.port)
            await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def server(path: Path) -> Iterator[tuple[int, Client]]:
    """Fork off a server, which is killed in the end: a process that need not import anything is soon there."""
    heard, told = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            serve(path, told)
        finally:
            os._exit(1)
    os.close(told)
    try:
        port = os.read(heard, 16)
        assert port, "the server ended by itself"
        client = Client(int(port))
        with client.socket:
            yield process, client
    finally:
        os.close(heard)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


class Promises:
    """What the server has promised: messages that are stored, and for each consumer those that were confirmed; ``seen`` once at least."""

    def __init__(self, consumers: tuple[str, ...]) -> None:
        self.next = 0
        self.stored: set[bytes] = set()
        self.confirmed: dict[str, set[bytes]] = {name: set() for name in consumers}
        self.seen: dict[str, set[bytes]] = {name: set() for name in consumers}


def make(client: Client, retention: str, consumers: tuple[str, ...]) -> None:
    config = {"name": "S", "subjects": ["s.>"], "retention": retention}
    assert b'"error"' not in client.ask("$JS.API.STREAM.CREATE.S", json.dumps(config).encode())
    for name in consumers:
        body = {
            "stream_name": "S",
            "config": {"durable_name": name, "ack_policy": "explicit", "ack_wait": SECOND, "max_ack_pending": 5_000},
        }
        assert b'"error"' not in client.ask(f"$JS.API.CONSUMER.CREATE.S.{name}", json.dumps(body).encode())


def fetch(client: Client, consumers: tuple[str, ...], batch: int) -> None:
    for name in consumers:
        request = json.dumps({"batch": batch, "expires": 2 * SECOND}).encode()
        client.publish(f"$JS.API.CONSUMER.MSG.NEXT.S.{name}", f"R.{name}", request)


def talk(client: Client, promises: Promises, until: float, dice: random.Random) -> None:
    """Publish, fetch and acknowledge, and note what is promised, until that time, or the server is gone."""
    waiting: dict[str, tuple[str, bytes]] = {}
    consumers = tuple(promises.seen)
    try:
        while time.monotonic() < until:
            fetch(client, consumers, dice.choice([1, 10, 100]))
            for _ in range(dice.choice([1, 20, 60])):
                promises.next += 1
                client.publish(f"s.{promises.next % 7}", f"R.pub.{promises.next}", b"%d" % promises.next)
            for subject, reply, payload in client.messages(0.005):
                take(client, promises, waiting, (subject, reply, payload), dice)
    except OSError:
        return


def take(
    client: Client, promises: Promises, waiting: dict[str, tuple[str, bytes]], message: tuple[str, str, bytes], dice: random.Random
) -> None:
    subject, reply, payload = message
    if subject.startswith("R.pub."):
        promises.stored.add(subject[6:].encode())
    elif subject.startswith("R.ack."):
        name, confirmed = waiting.pop(subject)
        promises.confirmed[name].add(confirmed)
    elif reply.startswith("$JS.ACK."):
        name = reply.split(".")[3]
        assert payload not in promises.confirmed[name], f"{name} got {payload!r} again, which was confirmed"
        promises.seen[name].add(payload)
        kind = dice.random()
        if kind < 0.6:
            client.number += 1
            waiting[f"R.ack.{client.number}"] = name, payload
            client.publish(reply, f"R.ack.{client.number}", b"+ACK")
        elif kind < 0.9:
            client.publish(reply, "", b"+ACK")


def drain(client: Client, promises: Promises) -> None:
    """Fetch and confirm until nothing is left; what is pending expires after a second."""
    waiting: dict[str, tuple[str, bytes]] = {}
    always = random.Random(0)
    always.random = lambda: 0.0  # type: ignore[method-assign]
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        fetch(client, tuple(promises.seen), 500)
        for message in client.messages(0.3):
            take(client, promises, waiting, message, always)
        infos = [json.loads(client.ask(f"$JS.API.CONSUMER.INFO.S.{name}")) for name in promises.seen]
        if all(each["num_pending"] == each["num_ack_pending"] == 0 for each in infos):
            return
    pytest.fail(f"not drained: {infos}")


@pytest.mark.parametrize(("retention", "consumers"), [("workqueue", ("C",)), ("interest", ("C", "D")), ("limits", ("C",))])
def test_nothing_is_lost_and_nothing_confirmed_comes_again(
    tmp_path: Path, retention: str, consumers: tuple[str, ...], figure: Callable[[str], None]
) -> None:
    trials = max(TRIALS // 3, 1)
    stored = 0
    for first in range(0, trials, CHAPTER):
        stored += live_and_die(tmp_path / f"store{first}", retention, consumers, range(first, min(first + CHAPTER, trials)))
    figure(f"{trials} kills, {stored} messages acknowledged")


def live_and_die(path: Path, retention: str, consumers: tuple[str, ...], trials: range) -> int:
    """Kill a server so many times, look at what is left in the end, and return how many messages it had acknowledged."""
    promises = Promises(consumers)
    for trial in trials:
        dice = random.Random(trial)
        with server(path) as (process, client):
            if trial == trials[0]:
                make(client, retention, consumers)
            talk(client, promises, time.monotonic() + dice.uniform(0.05, 0.4), dice)
            os.kill(process, signal.SIGKILL)
            for message in client.messages(0.5):  # what it had said before
                if message[0].startswith("R.pub."):
                    promises.stored.add(message[0][6:].encode())
    with server(path) as (_, client):
        drain(client, promises)
        for name in consumers:
            assert promises.stored <= promises.seen[name], f"{name} never got some that were stored"
        state = json.loads(client.ask("$JS.API.STREAM.INFO.S"))["state"]
        assert state["messages"] == 0 or retention == "limits", state
    assert promises.stored
    assert all(promises.confirmed.values())
    return len(promises.stored)
