"""Snapshots and restores: what comes out goes in again, nobody is overrun, and what is not whole leaves nothing."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archives import DATA, NEW, OLD, archive, entries, packed, unpacked
from disks_of_engines import Disk, closed, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transfers import sent, taken
from worlds import SECOND, START, World

import midge.engine.snapshots.restore as restore_module
from midge.engine.snapshots.archive import Entry
from midge.model.account import AccountLimits
from midge.model.consumer import ConsumerConfig
from midge.store import state
from midge.store.directory import StoreDirectory

PATIENCE = 20.0  # seconds that a test waits for a thread, which is ready at once
Message = tuple[int, int, bytes, bytes, bytes]


def contents(world: World, name: str = "S") -> list[Message]:
    return [tuple(each) for each in world.account.streams[name].store.scan()]


def filled(world: World, count: int = 300, **config: Any) -> World:
    world.create(**config)
    for number in range(count):
        world.wall += 1_000
        headers = {"Number": str(number)} if number % 3 == 0 else {}
        world.publish(f"s.{number % 7}", b"payload %d" % number * (number % 5), **headers)
    world.turn()
    for sequence in (1, 2, 5, 6, 7, 100, count):
        world.api("STREAM.MSG.DELETE.S", seq=sequence)
    return world


def message(sequence: int, subject: bytes = b"s.a", header: bytes = b"", payload: bytes = b"x", time: int = START) -> Entry:
    return Entry(subject, time, sequence, header, payload)


def is_nothing_left(world: World, name: str = "S") -> bool:
    account = world.account
    listens = [pattern for pattern, _ in world.outside.ears.values() if pattern.startswith(b"$JS.SNAPSHOT")]
    nothing = not (account.streams or account.restores or account.transfers or listens or any(account.used.values()))
    if world.directory is not None:
        nothing = nothing and not world.directory.state.stores() and not world.directory.state.gone()
    return nothing and not world.engine.jobs.active and "error" in world.api(f"STREAM.INFO.{name}")


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_what_comes_out_goes_in_again(storage: str, tmp_path: Path) -> None:
    world = opened(tmp_path)
    filled(world, storage=storage)
    expected, state = contents(world), world.state()
    data, end = taken(world)
    assert end == b"NATS/1.0 204\r\n\r\n"
    world.api("STREAM.DELETE.S")
    answer = sent(world, data, storage=storage)
    assert answer["type"].endswith("stream_create_response"), answer
    assert contents(world) == expected
    assert answer["state"] == world.state() == state
    assert json.loads(world.ack("s.new"))["seq"] == 301
    closed(world)
    again = opened(tmp_path)
    if storage == "file":
        assert contents(again)[:-1] == expected
    closed(again)


def test_a_snapshot_is_what_nats_server_makes() -> None:
    """But for when it was made."""
    theirs = entries((DATA / NEW).read_bytes())
    world = World()
    sent(world, (DATA / NEW).read_bytes())
    ours = entries(taken(world)[0])
    assert [each for each in ours if each.sequence] == [each for each in theirs if each.sequence]
    assert ours[-1] == theirs[-1]
    said = json.loads(theirs[0].payload) | {"bytes": world.state()["bytes"]}
    assert json.loads(ours[0].payload) == said
    assert ours[1].name == theirs[1].name == b"consumers/C"
    kept, meant = (json.loads(each[1].payload) for each in (ours, theirs))
    for each in (kept, meant):  # what has expired meanwhile counts from now on
        for message in each["state"]["pending"].values():
            message.pop("Timestamp")
    assert kept == meant


@pytest.mark.parametrize("name", [NEW, OLD])
def test_what_nats_server_has_made(name: str) -> None:
    world = World()
    answer = sent(world, (DATA / name).read_bytes(), size=100)
    assert "error" not in answer, answer
    assert world.state(deleted_details=True)["deleted"] == [5, 6, 7, 100, 300]
    found = contents(world)
    assert [each[0] for each in found[:3]] == [3, 4, 8] and len(found) == 293
    for sequence, _, subject, header, payload in found:
        number = sequence - 1
        assert subject == b"s.%d" % (number % 7)
        assert payload == b"payload %d" % number * (number % 5 + 1)
        assert header == (b"NATS/1.0\r\nA: %d\r\n\r\n" % number if number % 3 == 0 else b"")
    info = world.api("CONSUMER.INFO.S.C")
    assert (info["delivered"], info["ack_floor"]) == ({"consumer_seq": 10, "stream_seq": 15}, {"consumer_seq": 5, "stream_seq": 10})
    assert (info["num_ack_pending"], info["num_pending"]) == (5, 283)
    assert {*info["config"]} <= {*ConsumerConfig.__struct_fields__}


def test_streams_without_messages() -> None:
    world = World()
    for count in (0, 3):
        world.create()
        for _ in range(count):
            world.publish("s.a")
        world.turn()
        world.api("STREAM.PURGE.S")
        state = world.state()
        data, _ = taken(world)
        world.api("STREAM.DELETE.S")
        assert sent(world, data)["state"] == state
        world.api("STREAM.DELETE.S")


def test_no_further_ahead_than_was_acknowledged() -> None:
    world = filled(World())
    world.outside.bind("box")
    world.api("STREAM.SNAPSHOT.S", deliver_subject="box", chunk_size=1, window_size=3000)
    world.wait(1)
    chunks = [each for each in world.outside.sent if each[0] == b"box"]
    assert [len(payload) for _, _, payload in chunks] == [1024, 1024]
    (ack,) = (pattern for pattern, _ in world.outside.ears.values() if pattern.startswith(b"$JS.SNAPSHOT.ACK.S."))
    for _ in range(50):  # more than there are chunks
        world.publish(ack[:-1].decode() + "1024.1")
    world.turn()
    assert len([each for each in world.outside.sent if each[0] == b"box"]) == 4
    world.wait(4.7)
    assert not [each for each in world.outside.sent if each[1].startswith(b"NATS/1.0 408")]
    world.wait(0.5)
    assert world.outside.sent[-1] == (b"box", b"NATS/1.0 408 No Flow Response\r\n\r\n", b"")
    assert not world.account.transfers and not world.engine.jobs.active


def test_a_receiver_that_comes_late_and_goes() -> None:
    world = filled(World())
    world.outside.listeners.append(b"$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.S")
    world.api("STREAM.SNAPSHOT.S", deliver_subject="box", chunk_size=1024, window_size=2048)
    world.wait(1)
    assert not [each for each in world.outside.sent if each[0] == b"box"]
    world.outside.bind("box")
    world.wait(0.2)
    assert len([each for each in world.outside.sent if each[0] == b"box"]) == 2
    world.outside.bind("box", gone=True)
    world.wait(0.2)
    end, advisory = world.outside.sent[-2:]
    assert end == (b"box", b"NATS/1.0 408 No Interest\r\n\r\n", b"")
    assert json.loads(advisory[2])["error"] == "no interest"
    assert not world.account.transfers


def test_a_subscription_that_happens_to_match_is_no_receiver() -> None:
    """A client that asks by its one subscription for all answers makes the one for chunks later: what came before would be lost."""
    world = filled(World())
    world.outside.listeners.append(b"box")
    world.api("STREAM.SNAPSHOT.S", deliver_subject="box", chunk_size=1024, window_size=2048)
    world.wait(1)
    assert not [each for each in world.outside.sent if each[0] == b"box"]
    world.outside.bind("box")
    world.turn()  # at once
    assert len([each for each in world.outside.sent if each[0] == b"box"]) == 2
    world.outside.bind("box", gone=True)
    world.turn()
    assert world.outside.sent[-1] == (b"box", b"NATS/1.0 408 No Interest\r\n\r\n", b"")


def test_a_receiver_that_only_matches_gets_it_after_two_seconds() -> None:
    world = filled(World())
    world.outside.listeners.append(b"box")
    world.api("STREAM.SNAPSHOT.S", deliver_subject="box", chunk_size=1024, window_size=2048)
    world.wait(2.2)
    assert len([each for each in world.outside.sent if each[0] == b"box"]) == 2
    world.outside.listeners.remove(b"box")
    world.wait(0.2)
    assert world.outside.sent[-1] == (b"box", b"NATS/1.0 408 No Interest\r\n\r\n", b"")
    assert not world.account.transfers and not world.outside.eyes


def test_a_stream_that_is_deleted_meanwhile() -> None:
    world = filled(World())
    world.outside.bind("box")
    world.api("STREAM.SNAPSHOT.S", deliver_subject="box", chunk_size=1024, window_size=2048)
    world.wait(0.2)
    world.api("STREAM.DELETE.S")
    world.wait(0.2)
    assert world.outside.sent[-1] == (b"box", b"NATS/1.0 500 store is closed\r\n\r\n", b"")
    assert is_nothing_left(world)


def test_what_is_removed_and_added_meanwhile() -> None:
    world = filled(World())
    world.outside.bind("box")
    world.api("STREAM.PURGE.S", keep=100)
    last = world.state()["last_seq"]
    world.publish("$JS.API.STREAM.SNAPSHOT.S", b'{"deliver_subject":"box"}', "R")
    world.engine.step(world.wall)
    world.publish("s.late", b"late")
    world.api("STREAM.PURGE.S", keep=50)
    found = entries(taken(world)[0])
    assert len(found) == 52 and found[-2].sequence == last + 1
    mine = [each for each in world.outside.sent if each[0] == b"box"]
    assert mine


def test_damage_ends_a_snapshot(tmp_path: Path) -> None:
    world = opened(tmp_path)
    filled(world, storage="file")
    closed(world)
    (segment,) = (path for path in tmp_path.rglob("*") if path.is_file() and b"payload 201" in path.read_bytes())
    segment.write_bytes(segment.read_bytes().replace(b"payload 201", b"payload 2?1", 1))
    for each in tmp_path.rglob("*.index"):
        each.unlink()
    world = opened(tmp_path)
    if world.state()["messages"] == 292:  # it was found when the store was opened
        assert "couldn't load" not in taken(world)[1].decode()
    else:
        assert taken(world)[1].startswith(b"NATS/1.0 500 couldn't load message 202")
    closed(world)


def test_requests_that_are_refused() -> None:
    world = filled(World(), 10)
    assert world.api("STREAM.SNAPSHOT.S")["error"]["err_code"] == 10003
    assert world.api("STREAM.SNAPSHOT.N", deliver_subject="x")["error"]["err_code"] == 10059
    for subject in ("", "a.*", "a b", "a..b"):
        assert world.api("STREAM.SNAPSHOT.S", deliver_subject=subject, chunk_size=1)["error"]["err_code"] == 10015
    assert world.api("STREAM.RESTORE.S")["error"]["err_code"] == 10003
    config = {"name": "S", "subjects": ["s.>"], "storage": "memory"}
    assert world.api("STREAM.RESTORE.S", config=config)["error"]["err_code"] == 10130
    assert world.api("STREAM.RESTORE.T", config=config)["error"]["err_code"] == 10056
    assert world.api("STREAM.RESTORE.T", config=config | {"name": "T"})["error"]["err_code"] == 10065
    assert world.api("STREAM.RESTORE.T", config=config | {"name": "", "num_replicas": 3})["error"]["err_code"] == 10074
    assert not world.account.transfers


def test_no_more_at_once_than_may_be() -> None:
    world = filled(World(), 10)
    ears = len(world.outside.ears)
    for _ in range(16):
        assert "error" not in world.api("STREAM.SNAPSHOT.S", deliver_subject="x")
    assert world.api("STREAM.SNAPSHOT.S", deliver_subject="x")["error"]["err_code"] == 10064
    assert world.api("STREAM.RESTORE.T", config={"name": "T", "subjects": ["t"], "storage": "memory"})["error"]["err_code"] == 10062
    world.wait(10)
    assert not world.account.transfers
    assert len(world.outside.ears) == ears


def test_a_name_that_is_being_restored_is_taken() -> None:
    world = World()
    config = {"name": "S", "subjects": ["s.>"], "storage": "memory"}
    subject = world.api("STREAM.RESTORE.S", config=config)["deliver_subject"]
    assert world.create()["error"]["err_code"] == 10058
    assert world.api("STREAM.UPDATE.S", **config)["error"]["err_code"] == 10059
    assert world.api("STREAM.RESTORE.S", config=config)["error"]["err_code"] == 10130
    assert world.create("T", subjects=["s.a"])["error"]["err_code"] == 10065
    assert world.api("STREAM.NAMES")["streams"] is None
    ((_, answer),) = world.ask(subject, b"rubbish, and much of it")
    assert json.loads(answer)["error"] == {"code": 500, "err_code": 10062, "description": "restore failed: s2: corrupt input"}
    assert is_nothing_left(world)
    assert "error" not in world.create()


@pytest.mark.parametrize("storage", ["memory", "file"])
@pytest.mark.parametrize("name", [NEW, OLD])
def test_cut_off_anywhere_leaves_nothing(name: str, storage: str, tmp_path: Path) -> None:
    world = opened(tmp_path)
    data = unpacked((DATA / name).read_bytes())
    for size in (0, 1, 8, 200, 1000, 3000, len(data) // 2, len(data) * 9 // 10, len(data) - 1100 if name == OLD else len(data) - 1):
        answer = sent(world, packed(data[:size]), storage=storage)
        assert answer["error"]["err_code"] == 10062, (size, answer)
        assert is_nothing_left(world)
    raw = (DATA / name).read_bytes()
    for size in (3, 20, len(raw) // 2, len(raw) - 1):
        assert sent(world, raw[:size], storage=storage)["error"]["err_code"] == 10062
        assert is_nothing_left(world)
    assert "error" not in sent(world, raw, storage=storage)
    closed(world)


def test_a_sender_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.outside.listeners.append(b"$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE.S")
    data = (DATA / NEW).read_bytes()
    subject = world.api("STREAM.RESTORE.S", config={"name": "S", "subjects": ["s.>"]})["deliver_subject"]
    assert [each[0] for each in world.outside.sent].count(b"$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE.S") == 1
    world.ask(subject, data[:5000])
    world.wait(4.9)
    assert world.account.transfers
    world.ask(subject, data[5000:6000])
    world.wait(4.9)
    assert world.account.transfers
    world.wait(0.2)
    assert is_nothing_left(world)
    assert world.publish(subject, b"more", "R") is False
    closed(world)


def test_a_process_that_ends_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    world = opened(tmp_path)
    data = (DATA / NEW).read_bytes()
    subject = world.api("STREAM.RESTORE.S", config={"name": "S", "subjects": ["s.>"]})["deliver_subject"]
    world.ask(subject, data[:7000])
    world.turn()
    assert world.directory.state.gone() and world.directory.state.stores()
    world.directory.close()  # all that was written stays, and the engine has no word in it
    again = opened(tmp_path)
    assert is_nothing_left(again)
    assert not [path for path in (tmp_path / "streams").iterdir()]
    assert again.create(storage="file")["state"]["messages"] == 0
    closed(again)


def test_the_end_of_the_engine_leaves_nothing(tmp_path: Path) -> None:
    world = opened(tmp_path)
    subject = world.api("STREAM.RESTORE.S", config={"name": "S", "subjects": ["s.>"]})["deliver_subject"]
    world.ask(subject, (DATA / NEW).read_bytes()[:7000])
    closed(world)
    again = opened(tmp_path)
    assert is_nothing_left(again)
    closed(again)


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path) -> None:
    disk = Disk()
    world = opened(tmp_path, disk)
    data = (DATA / NEW).read_bytes()
    disk.full = True
    answer = sent(world, data, storage="file")
    assert answer["error"]["err_code"] == 10062, answer
    disk.full = False
    world.wait(30)
    assert not world.directory.state.stores() and not world.account.transfers and not world.account.restores
    assert "error" not in sent(world, data, storage="file")
    closed(world)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (packed(b"NATSARC2" + b"x" * 600), "tar"),
        (archive(state={"consumer_count": -1}), "less than no consumers"),
        (archive(state={"first_seq": (1 << 62) + 1}), "first sequence"),
        (archive(state={"last_seq": (1 << 62) + 1}), "last sequence"),
        (archive(message(3), message(3), state={"last_seq": 4}), "out of order"),
        (archive(message(3), message(2), state={"last_seq": 4}), "out of order"),
        (archive(message(1), state={"first_seq": 2, "last_seq": 2}), "out of order"),
        (archive(message((1 << 62) + 1), state={"first_seq": 1, "last_seq": 1}), "is above"),
        (archive(message(1, b"s.*")), "subject"),
        (archive(message(1, b"s a")), "subject"),
        (archive(message(1, b"s\r\nPUB a 0")), "subject"),
        (archive(message(1, b"")), "subject"),
        (archive(message(1, payload=b"x" * (2 << 20))), "maximum payload size"),
        (archive(message(1, payload=b"x" * 200)), "maximum message size"),
        (archive(Entry(b"x", 1, 0, b"", b""), state={"messages": 0}), "expected message sequence"),
        (archive(message(1), state={"consumer_count": 1}), "expected consumer"),
        (archive(Entry(b"consumers/C", 0, 0, b"", b"{"), state={"consumer_count": 1, "messages": 0}), "failed to decode consumer"),
        (archive(message(3), state={"messages": 5}), "exceeds sequence range"),
        (archive(message(3), state={"first_seq": 5}), "inconsistent message count"),
        (archive(message(1), end=False), "EOF"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_archives_that_are_refused(data: bytes, says: str) -> None:
    world = World()
    answer = sent(world, data, size=100_000, max_msg_size=100 if "maximum message" in says else -1)
    assert says in answer["error"]["description"], answer
    assert answer["error"]["err_code"] == 10062
    assert is_nothing_left(world)


def test_each_chunk_needs_a_reply() -> None:
    world = World()
    subject = world.api("STREAM.RESTORE.S", config={"name": "S", "subjects": ["s.>"], "storage": "memory"})["deliver_subject"]
    world.publish(subject, b"chunk")
    world.turn()
    assert is_nothing_left(world)
    assert "requires reply subject" in world.outside.failures[-1]


def test_who_does_not_wait_is_cut_off() -> None:
    world = World(max_pending=10_000)
    subject = world.api("STREAM.RESTORE.S", config={"name": "S", "subjects": ["s.>"], "storage": "memory"})["deliver_subject"]
    for _ in range(11):
        world.publish(subject, b"x" * 1000, "R")
    world.turn()
    assert b"more than was asked for" in world.outside.sent[-1][2]
    assert is_nothing_left(world)


def test_a_message_that_has_lived_its_time_is_a_gap() -> None:
    world = World()
    header = b"NATS/1.0\r\nNats-TTL: 10\r\n\r\n"
    messages = [message(1), message(2, header=header, time=START - 20 * SECOND), message(3, header=header, time=START)]
    answer = sent(world, archive(*messages), allow_msg_ttl=True)
    assert answer["state"]["messages"] == 2 and world.state(deleted_details=True)["deleted"] == [2]
    world.wait(11)
    assert world.state()["messages"] == 1


def test_limits_hold_while_it_is_filled() -> None:
    world = World(limits=AccountLimits(max_memory=100_000))
    big = [message(number, payload=b"x" * 1000) for number in range(1, 200)]
    answer = sent(world, archive(*big), size=10_000)
    assert answer["error"]["err_code"] == 10028
    assert is_nothing_left(world)
    assert sent(world, archive(*big[:5], state={"bytes": 200_000}))["error"]["err_code"] == 10028
    assert is_nothing_left(world)
    assert "error" not in sent(world, archive(*big[:50]), max_msgs=20)
    assert world.state()["messages"] == 20
    assert world.account.used["memory"] == world.state()["bytes"] == world.engine.used["memory"]


def test_it_is_stored_no_faster_than_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_module, "WINDOW", 5_000)
    world = opened(tmp_path)
    big = [message(number, payload=b"x" * 900) for number in range(1, 200)]
    subject = world.api("STREAM.RESTORE.S", config={"name": "S", "subjects": ["s.>"]})["deliver_subject"]
    world.publish(subject, archive(*big), "R")
    world.engine.step(world.wall)
    world.directory.begin()  # the draft is noted
    world.directory.finish()
    for _ in range(100):
        world.engine.step(world.wall)
    (transfer,) = world.account.transfers
    (draft,) = (getattr(transfer, name) for name in ("_draft",))
    assert 5 < draft.stream.store.last < 140
    world.turn()
    assert draft.stream.store.last == 199
    world.ask(subject)
    assert world.state()["messages"] == 199
    closed(world)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from([NEW, OLD]))
def test_whatever_is_sent_does_no_harm(data: st.DataObject, name: str) -> None:
    whole = bytearray(unpacked((DATA / name).read_bytes()))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(whole), 4000)))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    world = World()
    answer = sent(world, packed(bytes(whole)), size=50_000)
    if "error" in answer:
        assert is_nothing_left(world)
    else:
        assert answer["state"]["messages"] == world.state()["messages"] == len(contents(world))


class Held:
    """A step of a restore is noted when the test likes, in a worker: ``add_draft`` or ``put_draft``."""

    def __init__(self, path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.waiting, self.woken = threading.Event(), threading.Event(), threading.Event()
        self.step = getattr(state, step)
        monkeypatch.setattr(f"midge.store.directory.{step}", self.put)
        self.world = World(StoreDirectory(str(path), wake=self.woken.set, workers=2))

    def put(self, *given: Any) -> None:
        self.waiting.set()
        self.woken.set()
        assert self.free.wait(PATIENCE), "whoever should have let it be noted waited for it"
        self.step(*given)

    def until(self, condition: Callable[[], Any]) -> None:
        """Take turns until something is so."""
        self.world.turn()
        while not condition():
            assert self.woken.wait(PATIENCE)
            self.woken.clear()
            self.world.turn()

    def answers(self, reply: str) -> list[bytes]:
        return [payload for to, _, payload in self.world.outside.sent if to == reply.encode()]

    def restore(self) -> None:
        """Send a whole stream, whose restore comes as far as it can."""
        config = {"name": "S", "subjects": ["s.>"], "storage": "file"}
        self.world.publish("$JS.API.STREAM.RESTORE.S", json.dumps({"config": config}).encode(), "R.restore")
        self.until(lambda: self.answers("R.restore"))
        subject = json.loads(self.answers("R.restore")[0])["deliver_subject"]
        self.world.publish(subject, archive(message(1), message(2)), "R.chunk")
        self.world.publish(subject, b"", "R.end")
        self.until(self.waiting.is_set)

    def serves_others(self) -> bool:
        self.world.publish("$JS.API.STREAM.CREATE.M", b'{"name":"M","storage":"memory","subjects":["m"]}', "R.m")
        self.world.turn()
        return bool(self.answers("R.m")) and not self.answers("R.end")


STEPS = ["add_draft", "put_draft"]


@pytest.mark.parametrize("step", STEPS)
def test_nobody_waits_until_a_draft_is_noted_but_its_sender(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(tmp_path / "a", step, monkeypatch)
    held.restore()
    assert held.serves_others() and "S" not in held.world.account.streams
    held.world.publish("$JS.API.STREAM.CREATE.S", b'{"name":"S"}', "R.same")
    held.world.turn()
    assert json.loads(held.answers("R.same")[0])["error"]["err_code"] == 10058, "the name is used"
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    held.free.set()
    held.until(lambda: held.answers("R.end"))
    assert json.loads(held.answers("R.end")[0])["state"]["messages"] == 2
    closed(held.world)
    for name, expected in (("a", 2), ("b", 0)):
        (tmp_path / name / "lock").unlink()
        world = opened(tmp_path / name)
        found = world.account.streams.get("S")
        assert (0 if found is None else found.store.messages) == expected and world.directory.state.gone() == set()
        closed(world)
    assert list((tmp_path / "b" / "streams").iterdir()) == []


@pytest.mark.parametrize("step", STEPS)
def test_an_account_that_goes_and_comes_while_a_draft_is_noted(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is there then, or nothing; and the name can be used."""
    held = Held(tmp_path, step, monkeypatch)
    held.restore()
    held.free.set()
    world = held.world
    world.engine.limit_account("A", None)
    world.engine.limit_account("A", AccountLimits())
    world.account = world.engine.accounts["A"]
    found = world.account.streams.get("S")
    assert (found is not None and found.store.messages == 2) is (step == "put_draft")
    if found is None:
        world.publish("$JS.API.STREAM.CREATE.S", b'{"name":"S","subjects":["s.>"],"storage":"file"}', "R.anew")
        held.until(lambda: held.answers("R.anew"))
    world.publish("s.a", b"", "R.ack")
    held.until(lambda: held.answers("R.ack"))
    closed(world)
    world = opened(tmp_path)
    assert world.state()["messages"] == (3 if step == "put_draft" else 1) and world.directory.state.gone() == set()
    closed(world)


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_stops_while_a_draft_is_noted(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(tmp_path, step, monkeypatch)
    held.restore()
    held.free.set()
    closed(held.world)
    world = opened(tmp_path)
    assert ("S" in world.account.streams) is (step == "put_draft") and world.directory.state.gone() == set()
    assert len(list((tmp_path / "streams").iterdir())) == len(world.account.streams)
    closed(world)


@pytest.mark.parametrize("step", STEPS)
def test_a_draft_that_cannot_be_noted(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender is told, and may try again: whatever of the first attempt is not noted as gone, the second one is not taken for it."""
    world = opened(tmp_path)

    def fail(*given: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as failing:
        failing.setattr(f"midge.store.directory.{step}", fail)
        failing.setattr("midge.store.directory.remove_store", fail)
        assert sent(world, archive(message(1)), storage="file")["error"]["err_code"] == 10062
    assert sent(world, archive(message(1), message(2)), storage="file")["state"]["messages"] == 2
    closed(world)
    world = opened(tmp_path)
    assert world.state()["messages"] == 2 and world.directory.state.gone() == set()
    closed(world)


def test_one_that_is_given_up_before_its_draft_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(tmp_path, "add_draft", monkeypatch)
    held.restore()
    (restore,) = held.world.account.transfers
    restore.close()
    assert "S" in held.world.account.restores
    held.free.set()
    held.until(lambda: not held.world.account.restores)
    held.until(lambda: not held.world.directory.state.stores())
    closed(held.world)
    assert list((tmp_path / "streams").iterdir()) == []
