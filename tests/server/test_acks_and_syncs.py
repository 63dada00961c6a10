"""No acknowledgement leaves the server before the sync that covers it: publishes, deletes, purges, confirmed acknowledgements of consumers.

A whole server, a client at a socket, and below the streams a disk in memory that writes down each call; there and in front of the
transactions of consumers is a gate, where each sync waits until the test lets it through. While one waits, what the server has sent
is looked at, and for each acknowledgement the disk is made as a power cut would leave it that keeps nothing but what was synced.
Last, without a gate, whatever comes as it likes; ``MIDGE_LONG`` makes that ten thousand trials.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from raw import PATIENCE, Raw
from store.disks import LoneHome, PowerCut, RecordingFiles
from trials import LONG, trials

from midge.link.reactor import ALONE
from midge.server.jetstream import JetStream
from midge.server.server import Server
from midge.store.folder import Folder
from midge.store.haste import Haste
from midge.store.keeper import Keeper
from midge.store.log import FileStore
from midge.wire.publication import Publication

TRIALS = trials(60)
LIVES = 50  # trials of one server: each look at its disk goes through all that was written
_ANSWER = re.compile(rb"MSG R\.(\d+) 1 \d+\r\n(.*?)\r\n", re.DOTALL)


class Gate:
    """Where calls wait, one after another, while it is closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = True
        self._waiting = self._passes = 0

    def go(self) -> None:
        """Go through, in whatever thread."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._open or self._passes, PATIENCE)
            self._passes -= not self._open
            self._waiting -= 1

    def close(self) -> None:
        with self._changed:
            self._open = False

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def arrived(self) -> None:
        """Wait until somebody waits."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._waiting > self._passes, PATIENCE)

    def let_one_through(self) -> None:
        with self._changed:
            self._passes += 1
            self._changed.notify_all()


class GatedFiles(RecordingFiles):
    """A disk whose syncs wait at a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def fdatasync(self, fd: int) -> None:
        self._gate.go()
        super().fdatasync(fd)


class Watched:
    """A server, its only client, and the gate.

    Attributes:
        answers: number of a request: what came, and how many calls of the disk there had been.
    """

    def __init__(self, server: Server, files: RecordingFiles, gate: Gate, path: Path) -> None:
        self.raw = Raw(server, headers=True, no_responders=True)
        self.raw.sync(b"SUB R.* 1\r\n")
        self.files = files
        self.gate = gate
        self.path = path
        self.number = 0
        self.answers: dict[int, tuple[bytes, int]] = {}

    def request(self, subject: str, payload: bytes = b"") -> bytes:
        self.number += 1
        return b"PUB %b R.%d %d\r\n%b\r\n" % (subject.encode(), self.number, len(payload), payload)

    def look(self, send: bytes = b"") -> int:
        """Send, note every answer that has left until the server has taken that, and return how many there were."""
        found = _ANSWER.findall(self.raw.sync(send))
        for number, answer in found:
            assert b'"error"' not in answer, answer
            self.answers[int(number)] = answer, len(self.files.ops)
        return len(found)

    def ask(self, subject: str, body: dict[str, object] | bytes = b"") -> bytes:
        """Ask with the gate open."""
        send = self.request(subject, body if isinstance(body, bytes) else json.dumps(body).encode())
        while not self.look(send):
            send = b""
        return self.answers.pop(self.number)[0]

    def held(self, send: bytes) -> None:
        """Send requests, of which none is answered while the first sync waits; then let syncs through, one by one, until all are."""
        expected = self.number
        self.gate.close()
        assert self.look(send) == 0
        self.gate.arrived()
        assert self.look() == 0
        while expected not in self.answers:
            self.gate.let_one_through()
            while not self._waits() and expected not in self.answers:
                self.look()
            self.look()
        self.gate.open()

    def _waits(self) -> bool:
        with self.gate._changed:
            return self.gate._waiting > self.gate._passes

    def kept(self, calls: int) -> set[int]:
        """The messages that are there when the power goes after so many calls, and nothing is kept that was not synced."""
        disk = PowerCut(self.files.ops[:calls], 0.0, random.Random(0)).disk()
        (path,) = {name.rpartition("/")[0] for name in disk.paths if name.endswith("/store.json")}
        return {stored.sequence for stored in FileStore(LoneHome(disk), Folder(disk, path), 1).scan()}

    def progress(self) -> bytes:
        """What is committed of the consumer."""
        with closing(sqlite3.connect(self.path / "state.db")) as base:
            return bytes(base.execute("SELECT state FROM progress").fetchone()[0])


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    gate = Gate()
    files = GatedFiles(gate)
    write = Keeper._write

    def gated(keeper: Keeper, batch: object) -> None:
        gate.go()
        write(keeper, batch)  # type: ignore[arg-type]
        assert keeper._base is not None and keeper._base.execute("PRAGMA synchronous").fetchone() == (2,)

    monkeypatch.setattr("midge.store.directory.Files", lambda: files)
    monkeypatch.setattr(Haste, "may_wait", lambda _: False)  # what waits at the gate is a worker
    monkeypatch.setattr(Keeper, "_write", gated)
    with Server(port=0, store_dir=tmp_path) as server:
        found = Watched(server, files, gate, tmp_path)
        found.ask("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
        try:
            yield found
        finally:
            gate.open()
            found.raw.close()


def test_publishes(watched: Watched) -> None:
    for _ in range(6):
        first = watched.number + 1
        watched.held(b"".join(watched.request("s.a", b"%d" % number) for number in range(5)))
        for number in range(first, watched.number + 1):
            answer, calls = watched.answers[number]
            assert json.loads(answer)["seq"] == number - 1
            assert number - 1 in watched.kept(calls)
    watched.held(b"".join(watched.request("s.a", bytes(30_000)) for _ in range(40)))  # several blocks
    _, calls = watched.answers[watched.number]
    assert watched.kept(calls) == set(range(1, 71))


def test_deletes_and_purges(watched: Watched) -> None:
    for number in range(10):
        watched.ask("s.a" if number % 2 else "s.b", b"<%d>" % number)
    for subject, body, gone in (
        ("STREAM.MSG.DELETE.S", {"seq": 3}, {3}),
        ("STREAM.MSG.DELETE.S", {"seq": 4, "no_erase": True}, {3, 4}),
        ("STREAM.PURGE.S", {"filter": "s.b"}, {1, 3, 4, 5, 7, 9}),
        ("STREAM.PURGE.S", {"seq": 7}, {1, 2, 3, 4, 5, 6, 7, 9}),
        ("STREAM.PURGE.S", None, set(range(1, 11))),
    ):
        watched.held(watched.request(f"$JS.API.{subject}", b"" if body is None else json.dumps(body).encode()))
        answer, calls = watched.answers[watched.number]
        assert json.loads(answer)["success"] and watched.kept(calls) == set(range(1, 11)) - gone, subject
        if gone == {3}:
            cut = PowerCut(watched.files.ops[:calls], 0.0, random.Random(0)).disk()
            assert not [content for content in cut.contents.values() if b"<2>" in content], "what is erased is overwritten"


def test_confirmed_acks_of_consumers(watched: Watched) -> None:
    config = {"durable_name": "C", "ack_policy": "explicit"}
    watched.ask("$JS.API.CONSUMER.CREATE.S.C", {"stream_name": "S", "config": config})
    for number in range(6):
        watched.ask("s.a", b"%d" % number)
    watched.raw.send(b'SUB D 2\r\nPUB $JS.API.CONSUMER.MSG.NEXT.S.C D 11\r\n{"batch":6}\r\n')
    replies: list[str] = []
    while len(replies) < 6:
        replies += [reply.decode() for reply in re.findall(rb"MSG s\.a 2 (\S+) ", watched.raw.sync())]
    for acks in (replies[:1], replies[1:3], replies[3:]):
        before = watched.progress()
        watched.gate.close()
        send = b"".join(watched.request(reply, b"+ACK") for reply in acks)
        assert watched.look(send) == 0
        watched.gate.arrived()
        assert watched.look() == 0 and watched.progress() == before
        watched.gate.open()
        while watched.number not in watched.answers:
            watched.look()
        assert watched.progress() != before
    info = json.loads(watched.ask("$JS.API.CONSUMER.INFO.S.C"))
    assert (info["num_ack_pending"], info["ack_floor"]["stream_seq"]) == (0, 6)


def test_publishes_whose_sync_the_loop_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = RecordingFiles()
    let_go: list[tuple[int, int]] = []  # the sequence of an acknowledgement, and how many calls of the disk there had been
    waits: list[bool] = []
    answer, may_wait = JetStream.answer, Haste.may_wait

    def noted(jetstream: JetStream, account: str, answers: list[Publication]) -> None:
        let_go.extend((json.loads(each.payload())["seq"], len(files.ops)) for each in answers)
        answer(jetstream, account, answers)

    def asked(haste: Haste) -> bool:
        waits.append(may_wait(haste))
        return waits[-1]

    monkeypatch.setattr("midge.store.directory.Files", lambda: files)
    monkeypatch.setattr(Haste, "may_wait", asked)
    monkeypatch.setattr("midge.store.haste.QUICK", 10**15)
    with Server(port=0, store_dir=tmp_path) as server:
        watched = Watched(server, files, Gate(), tmp_path)
        watched.ask("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
        monkeypatch.setattr(JetStream, "answer", noted)
        for number in range(3 * ALONE):
            watched.raw.send(watched.request("s.a", b"%d" % number))
            assert watched.raw.line().startswith(b"MSG R.") and b'"seq"' in watched.raw.line()
        assert not waits[0] and sum(waits) >= ALONE
        assert [sequence for sequence, _ in let_go] == list(range(1, 3 * ALONE + 1))
        for sequence, calls in let_go:
            assert watched.kept(calls) == set(range(1, sequence + 1))
        watched.raw.close()


class Traffic:
    """What one client does at random, and what it was told when: how many calls of the disk there had been."""

    def __init__(self, watched: Watched, dice: random.Random) -> None:
        self._watched, self._dice = watched, dice
        self.asked: dict[str, int] = {}  # what a delete of a message names, 0 for a publish
        self.told: list[tuple[str, bytes, int]] = []
        self.stored: list[int] = []
        self.doomed: set[int] = set()

    def burst(self) -> None:
        """Ask a few things at once, wait for all answers, and look at the disk as it was before each."""
        expected = len(self.told) + self._dice.choice([1, 1, 2, 20])
        begun = len(self.told)
        send = b"".join(self._request() for _ in range(expected - begun))
        self._watched.raw.send(send)
        while len(self.told) < expected:
            self._watched.raw.sync()
        kept = {calls: self._watched.kept(calls) for _, _, calls in self.told[begun:]}
        for number, payload, calls in self.told[begun:]:
            body = json.loads(payload)
            assert "error" not in body, body
            if self.asked[number]:
                assert self.asked[number] not in kept[calls]
            else:
                self.stored.append(body["seq"])
                assert body["seq"] in kept[calls]

    def _request(self) -> bytes:
        watched, dice = self._watched, self._dice
        left = [sequence for sequence in self.stored if sequence not in self.doomed]
        if left and dice.random() < 0.1:
            gone = dice.choice(left)
            self.doomed.add(gone)
            send = watched.request("$JS.API.STREAM.MSG.DELETE.S", json.dumps({"seq": gone, "no_erase": dice.random() < 0.5}).encode())
        else:
            gone = 0
            send = watched.request("s.a", dice.randbytes(dice.choice([0, 10, 100, 3_000])).hex().encode())
        self.asked[f"R.{watched.number}"] = gone
        return send


@pytest.mark.timeout(36_000 if LONG else 60)
def test_whatever_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]) -> None:
    answer = JetStream.answer
    files = RecordingFiles()
    traffic: Traffic | None = None

    def noted(jetstream: JetStream, account: str, answers: list[Publication]) -> None:
        if traffic is not None:
            traffic.told.extend((each.subject().decode(), each.payload(), len(files.ops)) for each in answers)
        answer(jetstream, account, answers)

    monkeypatch.setattr("midge.store.directory.Files", lambda: files)
    monkeypatch.setattr("midge.store.haste.QUICK", 10**15)  # the loop may sync what is small and by itself
    monkeypatch.setattr(JetStream, "answer", noted)
    count = 0
    for life in range(0, TRIALS, LIVES):
        dice = random.Random(life)
        files, traffic = RecordingFiles(), None
        with Server(port=0, store_dir=tmp_path / str(life)) as server:
            watched = Watched(server, files, Gate(), tmp_path)
            watched.ask("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
            traffic = Traffic(watched, dice)
            for _ in range(min(LIVES, TRIALS - life)):
                traffic.burst()
            count += len(traffic.told)
            watched.raw.close()
    figure(f"{TRIALS} bursts, {count} answers")
