"""Streams of many subjects: who asks for them, or for what matches a pattern, holds up nobody else."""

import json
from pathlib import Path
from typing import Any

import pytest
from disks_of_engines import Disk, closed, opened
from worlds import SECOND, World

from midge.engine.consumers.lasts import _ordered
from midge.engine.stream_info import SLICE
from midge.store.base import Store
from midge.wire.publication import Publication

MANY = 60_000  # subjects, more than are compared in one turn


def stored(world: World, count: int, *, each: int = 1) -> Store:
    """Store so many messages of each of so many subjects."""
    store = world.account.streams["S"].store
    for number in range(count * each):
        store.append(Publication.compose(b"s.%d.%d" % (number // each % 7, number // each), b"", b"", b"%d" % number), number)
    return store


@pytest.fixture
def wide() -> World:
    world = World()
    world.create(allow_direct=True)
    stored(world, MANY)
    return world


def step(world: World) -> None:
    """One turn."""
    calls, world.outside.calls = world.outside.calls, []
    for call in calls:
        call()
    world.engine.step(world.wall)


def answer(world: World, subject: str, body: dict[str, Any]) -> tuple[list[tuple[bytes, bytes]], int]:
    """Ask, and return what is answered, and after how many turns."""
    world.outside.sent.clear()
    world.publish(subject, json.dumps(body).encode(), "R.x")
    turns = 0
    while not world.outside.sent:
        step(world)
        turns += 1
        assert turns < 1_000
    world.turn()
    return [(header, payload) for to, header, payload in world.outside.sent if to == b"R.x"], turns


def info(world: World, filter: str = ">", offset: int = 0) -> dict[str, Any]:
    answers, turns = answer(world, "$JS.API.STREAM.INFO.S", {"subjects_filter": filter, "offset": offset})
    assert len(answers) == 1 and turns >= world.account.streams["S"].store.subjects // SLICE
    found: dict[str, Any] = json.loads(answers[0][1])
    return found


def test_a_page_of_subjects_is_counted_in_slices(wide: World) -> None:
    found = info(wide)
    assert found["total"] == MANY and found["limit"] == 100_000 and found["offset"] == 0
    assert found["state"]["subjects"] == {f"s.{number % 7}.{number}": 1 for number in range(MANY)}
    few, turns = answer(wide, "$JS.API.STREAM.INFO.S", {"subjects_filter": "s.3.*"})
    assert json.loads(few[0][1])["total"] == len(range(3, MANY, 7)) and turns > 3
    none, _ = answer(wide, "$JS.API.STREAM.INFO.S", {"subjects_filter": "t.>"})
    assert "total" not in json.loads(none[0][1]) or json.loads(none[0][1])["total"] == 0


def test_several_pages_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.engine.stream_info.SUBJECTS", 2_500)
    world = World()
    world.create()
    stored(world, 6_000)
    names: list[str] = []
    for offset in (0, 2_500, 5_000, 7_000):
        found = info(world, offset=offset)
        assert found["total"] == 6_000
        names += sorted(found["state"].get("subjects") or {})
    assert names == sorted(f"s.{number % 7}.{number}" for number in range(6_000))


def test_what_comes_and_goes_meanwhile(wide: World) -> None:
    wide.outside.sent.clear()
    wide.publish("$JS.API.STREAM.INFO.S", b'{"subjects_filter":">"}', "R.x")
    for _ in range(20):
        step(wide)
    store = wide.account.streams["S"].store
    for sequence in range(1, MANY, 2):
        store.remove(sequence)
    for number in range(5_000):
        store.append(Publication.compose(b"s.new.%d" % number, b"", b"", b""), number)
    wide.turn()
    found = json.loads(wide.outside.sent[0][2])["state"]["subjects"]
    assert {f"s.{number % 7}.{number}" for number in range(1, MANY, 2)} <= found.keys()


def test_a_stream_that_goes_meanwhile(wide: World) -> None:
    config = {"durable_name": "C", "ack_policy": "explicit", "filter_subject": "s.*.7"}
    wide.outside.sent.clear()
    wide.publish("$JS.API.STREAM.INFO.S", b'{"subjects_filter":">"}', "R.x")
    wide.publish("$JS.API.CONSUMER.CREATE.S.C", json.dumps({"stream_name": "S", "config": config}).encode(), "R.x")
    step(wide)
    wide.engine.remove_stream(wide.account.streams["S"], lambda error: None)
    wide.turn()
    told = [json.loads(payload) for to, _, payload in wide.outside.sent if to == b"R.x"]
    assert [each["error"]["err_code"] for each in told] == [10059, 10059]
    assert wide.engine.jobs.active == 0 and not wide.outside.failures


def test_a_pattern_is_compared_in_slices(wide: World) -> None:
    for body in ({"last_by_subj": "s.*.7"}, {"next_by_subj": "*.*.7"}, {"seq": 3, "next_by_subj": "*.0.7"}):
        direct, turns = answer(wide, "$JS.API.DIRECT.GET.S", body)
        assert turns >= 2 and [payload for _, payload in direct] == [b"7"]
        assert answer(wide, "$JS.API.DIRECT.GET.S", body)[1] == 1  # it is known then
    for body in ({"last_by_subj": "s.*.8"}, {"next_by_subj": "*.*.8"}):
        get, turns = answer(wide, "$JS.API.STREAM.MSG.GET.S", body)
        assert turns >= 2 and json.loads(get[0][1])["message"]["seq"] == 9
    for body in ({"seq": 1, "next_by_subj": "s.*.9", "batch": 5}, {"multi_last": ["s.*.9", "t.>"]}):
        answers, turns = answer(wide, "$JS.API.DIRECT.GET.S", body)
        assert turns >= 2 and [payload for _, payload in answers] == [b"9", b""]
    answers, turns = answer(wide, "$JS.API.STREAM.PURGE.S", {"filter": "s.*.10"})
    assert turns >= 2 and json.loads(answers[0][1])["purged"] == 1
    config = {"durable_name": "C", "ack_policy": "explicit", "filter_subject": "s.*.11"}
    answers, turns = answer(wide, "$JS.API.CONSUMER.CREATE.S.C", {"stream_name": "S", "config": config})
    assert turns >= 2 and json.loads(answers[0][1])["num_pending"] == 1
    late = config | {"durable_name": "N", "filter_subject": "s.*.12", "deliver_policy": "new"}
    assert answer(wide, "$JS.API.CONSUMER.CREATE.S.N", {"stream_name": "S", "config": late})[1] == 1  # it looks at what comes


LAST: dict[str, Any] = {"durable_name": "C", "ack_policy": "none", "deliver_policy": "last_per_subject", "filter_subjects": ["s.>"]}


def begin_with_lasts(world: World, turns: int, **more: Any) -> None:
    """Ask for a consumer that begins with the last message of each subject, and let that be looked for in so many turns."""
    world.outside.sent.clear()
    world.publish("$JS.API.CONSUMER.CREATE.S.C", json.dumps({"stream_name": "S", "config": LAST | more}).encode(), "R.x")
    for _ in range(turns):
        step(world)
    assert not world.outside.sent


def taken(world: World) -> list[int]:
    """All that the consumer delivers, in order."""
    world.outside.delivered.clear()
    world.publish("$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":1000000,"no_wait":true}', "I.x")
    world.turn()
    return [int(message.reply.split(b".")[5]) for message in world.outside.delivered if message.reply]


@pytest.fixture
def shuffled(monkeypatch: pytest.MonkeyPatch) -> World:
    """Messages of many subjects, of which the last ones are in another order than the subjects."""
    monkeypatch.setattr("midge.engine.consumers.api.SLICE", 64)
    monkeypatch.setattr("midge.engine.consumers.lasts.SLICE", 64)
    world = World()
    world.create()
    store = world.account.streams["S"].store
    for number in [*range(1_000), *range(0, 1_000, 3), *range(999, 0, -2)]:
        store.append(Publication.compose(b"s.%d.%d" % (number % 7, number), b"", b"", b"%d" % number), number)
    return world


def test_the_last_message_of_each_subject_is_found_in_slices(shuffled: World) -> None:
    store = shuffled.account.streams["S"].store
    for filters in ((b">",), (b"s.3.*",), (b"s.3.*", b"s.5.>", b"s.1.1")):
        config = LAST | {"filter_subjects": [each.decode() for each in filters]}
        answers, turns = answer(shuffled, "$JS.API.CONSUMER.CREATE.S.C", {"stream_name": "S", "config": config})
        expected = store.lasts(filters)
        assert turns >= 2 * len(expected) // 64 and json.loads(answers[0][1])["num_pending"] == len(expected)
        assert taken(shuffled) == expected
        assert shuffled.api("CONSUMER.INFO.S.C")["num_pending"] == 0
        assert shuffled.api("CONSUMER.DELETE.S.C")["success"]


def test_no_slice_orders_many_more_than_another() -> None:
    """However they lie: here each piece is full of what comes before the next, and all of them are of the same numbers."""
    for pieces in ([list(range(at * 4_096, (at + 1) * 4_096)) for at in range(30)], [list(range(at, 122_880, 30)) for at in range(30)]):
        job, sizes, expected = _ordered(pieces), [], sorted(each for piece in pieces for each in piece)
        left = len(expected)
        try:
            while True:
                next(job)
                sizes.append(left - sum(map(len, pieces)))
                left -= sizes[-1]
        except StopIteration as stop:
            assert stop.value == expected[::-1]
        assert max(sizes) <= 4_096 + 30 * 64


def test_what_is_stored_and_removed_while_the_last_messages_are_looked_for(shuffled: World) -> None:
    """What is stored since is behind; what is removed is passed by, or, where its subject was not looked at yet, the one before counts."""
    store = shuffled.account.streams["S"].store
    last, expected = store.last, store.lasts((b"s.*.*",))
    begin_with_lasts(shuffled, 5, filter_subjects=["s.*.*"])
    for number in (0, 500, 999, 2_000):
        shuffled.publish(f"s.{number % 7}.{number}")
    shuffled.publish("s.other")
    before = store.previous((store.subject_of(expected[500]) or b"",), expected[500] - 1)
    for sequence in (expected[0], expected[-1], expected[500]):
        store.remove(sequence)
    shuffled.publish("$JS.API.STREAM.PURGE.S", b'{"filter":"s.3.>"}', "R.purge")  # it waits
    shuffled.turn()
    created, purged = (json.loads(payload) for to, _, payload in shuffled.outside.sent if to in (b"R.x", b"R.purge"))
    assert created["num_pending"] >= len(expected) + 4 - 3 and purged["success"]
    rest = [sequence for sequence in [*sorted([*expected, before]), *range(last + 1, last + 5)] if store.time_of(sequence)]
    assert before and taken(shuffled) == rest and shuffled.api("CONSUMER.INFO.S.C")["num_pending"] == 0


def test_a_disk_that_fails_while_the_last_messages_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored in the place of what is gone is not behind the consumer."""
    monkeypatch.setattr("midge.engine.consumers.api.SLICE", 64)
    monkeypatch.setattr("midge.engine.consumers.lasts.SLICE", 64)
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create(storage="file")
    stored(world, 500)
    world.turn()
    disk.full = True
    for number in range(20):
        world.publish(f"s.late.{number}")
    begin_with_lasts(world, 3)
    world.turn()
    store = world.account.streams["S"].store
    assert store.failure is not None and store.last == 500
    disk.full = False
    world.wall += SECOND
    world.directory.handle_timeout(world.wall)
    world.turn()
    assert store.failure is None and world.ack("s.new") == '{"stream":"S","seq":501}'
    assert taken(world) == list(range(1, 502))
    closed(world)


def test_a_stream_that_goes_while_the_last_messages_are_looked_for(shuffled: World) -> None:
    begin_with_lasts(shuffled, 3)
    shuffled.engine.remove_stream(shuffled.account.streams["S"], lambda error: None)
    shuffled.turn()
    (told,) = [json.loads(payload) for to, _, payload in shuffled.outside.sent if to == b"R.x"]
    assert told["error"]["err_code"] == 10059 and shuffled.engine.jobs.active == 0 and not shuffled.outside.failures


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[World, list[int]]:
    """A consumer that has still to deliver some of the last messages of subjects, opened again; and what it has."""
    for module in ("api", "lasts", "opening"):
        monkeypatch.setattr(f"midge.engine.consumers.{module}.SLICE", 64)
    world = opened(tmp_path)
    world.create(storage="file")
    stored(world, 500, each=2)
    begin_with_lasts(world, 0)
    world.turn()
    world.publish("$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":100}', "I.x")
    world.turn()
    world.publish("s.new")
    world.turn()
    assert len(world.outside.delivered) == 100
    closed(world)
    return opened(tmp_path), [*range(202, 1_001, 2), 1_001]


def test_what_is_left_of_the_last_messages_is_found_in_slices(begun: tuple[World, list[int]]) -> None:
    world, left = begun
    consumer = world.account.streams["S"].consumers["C"]
    world.publish("$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":1000,"no_wait":true}', "I.x")
    world.publish("$JS.API.CONSUMER.INFO.S.C", b"", "R.x")
    for _ in range(500 // 64):
        step(world)
        assert consumer.search is not None and not world.outside.delivered and not world.outside.sent
    world.turn()
    assert [int(message.reply.split(b".")[5]) for message in world.outside.delivered if message.reply] == left
    ((_, _, told),) = [each for each in world.outside.sent if each[0] == b"R.x"]
    assert json.loads(told)["num_pending"] in (0, len(left)) and consumer.info(world.wall).num_pending == 0
    closed(world)


def test_who_has_to_know_what_is_left_knows_it_at_once(begun: tuple[World, list[int]]) -> None:
    world, left = begun
    consumer = world.account.streams["S"].consumers["C"]
    step(world)
    assert consumer.search is not None and consumer.info(world.wall).num_pending == len(left) and consumer.search is None
    assert taken(world) == left and world.engine.jobs.active == 0 and not world.outside.failures
    closed(world)


@pytest.mark.parametrize("what", ["CONSUMER.DELETE.S.C", "STREAM.DELETE.S"])
def test_who_goes_while_what_is_left_is_looked_for(begun: tuple[World, list[int]], what: str) -> None:
    world, _ = begun
    step(world)
    assert world.api(what)["success"] and world.engine.jobs.active == 0 and not world.outside.failures
    closed(world)


def test_a_limit_of_each_subject_that_becomes_smaller_is_met_in_slices() -> None:
    world = World()
    world.create()
    store = stored(world, 1_000, each=5)
    world.outside.sent.clear()
    config = {"name": "S", "subjects": ["s.>"], "storage": "memory", "max_msgs_per_subject": 1}
    world.publish("$JS.API.STREAM.UPDATE.S", json.dumps(config).encode(), "R.x")
    messages = store.messages
    while store.messages > store.subjects:  # the first turn has two slices
        step(world)
        assert messages - 400 <= store.messages < messages
        messages = store.messages
    world.turn()
    assert world.account.used["memory"] == store.size and store.lasts((b">",)) == list(range(5, 5_001, 5))


def test_a_limit_is_seen_to_once_however_often_a_configuration_is_changed_meanwhile() -> None:
    world = World()
    world.create(max_msgs_per_subject=2)
    stored(world, 20_000, each=1)
    for number in range(50):
        config = {"name": "S", "subjects": ["s.>"], "storage": "memory", "max_msgs_per_subject": 2, "description": str(number)}
        world.publish("$JS.API.STREAM.UPDATE.S", json.dumps(config).encode(), "R.x")
    for _ in range(10):
        step(world)
        assert world.engine.jobs.active == 1
    world.turn()
    assert world.engine.jobs.active == 0 and world.account.streams["S"].trims_to == 0


def test_another_limit_takes_its_place() -> None:
    world = World()
    world.create()
    store = stored(world, 1_000, each=5)
    for limit in (1, 3):
        config = {"name": "S", "subjects": ["s.>"], "storage": "memory", "max_msgs_per_subject": limit}
        world.publish("$JS.API.STREAM.UPDATE.S", json.dumps(config).encode(), "R.x")
        step(world)
    world.turn()
    assert 2_000 < store.messages < 3_000  # some had one left when it was changed


def test_a_limit_is_met_when_the_disk_is_well_again(tmp_path: Path) -> None:
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create(storage="file")
    for number in range(50):
        world.publish(f"s.{number % 5}")
    world.turn()
    store = world.account.streams["S"].store
    disk.full = True
    world.publish("s.1")
    world.turn()
    assert store.failure is not None
    world.outside.failures.clear()
    stream = world.account.streams["S"]
    stream.config.max_msgs_per_subject = 2
    stream.trim()
    world.turn()
    assert store.messages == 50 and not world.outside.failures
    disk.full = False
    world.directory.handle_timeout(world.wall + 100 * SECOND)
    world.wait(10)
    assert store.messages == 10
    closed(world)


def test_the_last_ones_of_many_subjects_are_found_in_slices(wide: World) -> None:
    """Where they are too many, that is known before all were looked at; those at or before a sequence may be few."""
    many, turns = answer(wide, "$JS.API.DIRECT.GET.S", {"multi_last": ["s.>"]})
    assert [header for header, _ in many] == [b"NATS/1.0 413 Too Many Results\r\n\r\n"]
    few, turns = answer(wide, "$JS.API.DIRECT.GET.S", {"multi_last": ["s.>"], "up_to_seq": 3})
    assert [payload for _, payload in few] == [b"0", b"1", b"2", b""] and turns >= MANY // 4_096
    assert b"Nats-Num-Pending: 0\r\nNats-Last-Sequence: 3\r\nNats-UpTo-Sequence: 3" in few[-1][0]


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_gaps_are_listed_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str) -> None:
    monkeypatch.setattr("midge.engine.stream_info.LISTED", 100)
    monkeypatch.setattr("midge.engine.stream_info.GAPS", 1_050)
    world = opened(tmp_path)
    world.create(storage=storage)
    store = stored(world, 4_000)
    for sequence in (*range(11, 311), *range(500, 2_000, 2), *range(3_990, 4_001)):
        store.remove(sequence)
    world.turn()
    world.outside.sent.clear()
    world.publish("$JS.API.STREAM.INFO.S", b'{"deleted_details":true}', "R.x")
    turns = 0
    while not world.outside.sent:
        step(world)
        turns += 1
    world.turn()
    state = json.loads(world.outside.sent[0][2])["state"]
    assert state["deleted"] == [*range(11, 311), *range(500, 2_000, 2)] and turns >= 10
    assert state["num_deleted"] == 1_050 + 11
    both = world.api("STREAM.INFO.S", deleted_details=True, subjects_filter="s.0.0")
    assert both["state"]["subjects"] == {"s.0.0": 1} and len(both["state"]["deleted"]) == 1_050
    closed(world)


def test_gaps_of_a_stream_that_changes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.engine.stream_info.LISTED", 10)
    world = World()
    world.create()
    store = stored(world, 200)
    for sequence in range(2, 200, 2):
        store.remove(sequence)
    world.publish("$JS.API.STREAM.INFO.S", b'{"deleted_details":true}', "R.x")
    step(world)
    store.remove(151)  # is seen,
    store.drop(60)  # and what is not listed yet is no gap any more
    world.turn()
    (found,) = [payload for to, _, payload in world.outside.sent if to == b"R.x"]
    deleted = json.loads(found)["state"]["deleted"]
    assert deleted == [*range(2, 42, 2), *range(62, 152, 2), 151, *range(152, 200, 2)]


def test_a_stream_that_goes_while_its_gaps_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.engine.stream_info.LISTED", 10)
    world = World()
    world.create()
    store = stored(world, 100)
    for sequence in range(2, 100, 2):
        store.remove(sequence)
    world.publish("$JS.API.STREAM.INFO.S", b'{"deleted_details":true}', "R.x")
    step(world)
    world.engine.remove_stream(world.account.streams["S"], lambda error: None)
    world.turn()
    (found,) = [payload for to, _, payload in world.outside.sent if to == b"R.x"]
    assert json.loads(found)["error"]["err_code"] == 10059
