"""Consumers in snapshots: each goes on where it was, also where the engine stops behind the restore; what cannot be is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from archives import archive, entries
from consuming import Consuming, numbers
from transfers import sent, taken
from worlds import SECOND, World

import midge.engine.snapshots.draft as draft_module
from midge.engine.snapshots.archive import Entry
from midge.model.account import AccountLimits
from midge.store.directory import StoreDirectory

CONFIG = {"durable_name": "C", "ack_policy": "explicit"}


def directory(path: Path) -> StoreDirectory:
    return StoreDirectory(str(path), wake=lambda: None, workers=0)


def used(world: Consuming) -> None:
    """Have three of six messages acknowledged, not in their order, and one delivered twice."""
    world.consume("C", durable_name="C")
    world.store(*(f"s.{number}" for number in range(9)))
    messages = world.pull(6)
    for place in (0, 1, 3):
        world.reply(messages[place])
    world.reply(messages[4], b"-NAK")
    world.pull(1)


def told(world: World, name: str = "C") -> dict[str, Any]:
    info = world.api(f"CONSUMER.INFO.S.{name}")
    for part in ("delivered", "ack_floor"):
        info[part].pop("last_active", None)
    return {name: info[name] for name in ("delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_pending")}


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_a_consumer_goes_on_where_it_was(storage: str, tmp_path: Path) -> None:
    world = Consuming(directory(tmp_path), storage=storage)
    used(world)
    world.consume("E", inactive_threshold=3600 * SECOND)
    before = told(world)
    data, _ = taken(world)
    world.api("STREAM.DELETE.S")
    assert sent(world, data, storage=storage)["state"]["consumer_count"] == 2
    assert told(world) == before
    if storage == "file":  # all of it was safe when the sender was told
        world.engine.close()
        world.directory.close()
        world = Consuming(directory(tmp_path))
        assert told(world) == before and told(world, "E")["delivered"]["consumer_seq"] == 0
    assert numbers(world.pull(4)) == [(1, 7, 8, 2), (1, 8, 9, 1), (1, 9, 10, 0)]
    world.wait(11)
    assert sorted(each[:2] for each in numbers(world.pull(6, to="I.2"))) == [(2, 3), (2, 6), (2, 7), (2, 8), (2, 9), (3, 5)]
    world.engine.close()
    world.directory.close()


def test_what_a_snapshot_leaves_out() -> None:
    """Consumers where none are wanted, and what they did with messages behind its end."""
    world = Consuming()
    used(world)
    data, _ = taken(world, no_consumers=True)
    assert json.loads(entries(data)[0].payload)["consumer_count"] == 0
    answer = world.api("STREAM.SNAPSHOT.S", deliver_subject="box")
    assert answer["state"]["consumer_count"] == 1


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_was_acknowledged_does_not_come_again(retention: str) -> None:
    world = Consuming(retention=retention)
    used(world)
    data, _ = taken(world)
    world.api("STREAM.DELETE.S")
    answer = sent(world, data, retention=retention)
    world.turn()
    assert answer["state"]["messages"] == 6, answer
    assert world.account.streams["S"].consumers["C"].ledger.pending == 3
    world.wait(11)
    assert sorted(each[1] for each in numbers(world.pull(6))) == [3, 5, 6, 7, 8, 9]


def consumer(state: Any = None, name: str = "C", **config: Any) -> Entry:
    numbers = {"consumer_seq": 0, "stream_seq": 0}
    kept = {"config": CONFIG | config, "state": {"delivered": numbers, "ack_floor": numbers} if state is None else state}
    return Entry(b"consumers/%b" % name.encode(), 1, 0, b"", json.dumps(kept).encode())


def places(delivered: tuple[int, int], floor: tuple[int, int], **more: Any) -> dict[str, Any]:
    keys = ("consumer_seq", "stream_seq")
    return {"delivered": dict(zip(keys, delivered, strict=True)), "ack_floor": dict(zip(keys, floor, strict=True))} | more


REFUSED = {
    "twice": [consumer(), consumer()],
    "another name": [consumer(name="D")],
    "no configuration that may be": [consumer(max_waiting=5, deliver_subject="x.*")],
    "a floor above what was delivered": [consumer(places((1, 1), (2, 1)))],
    "a number that is none": [consumer(places((1, 1), (0, 0), pending={"x": {}}))],
    "a number that is too large": [consumer(places((1 << 63, 1), (0, 0)))],
    "too many": [consumer(), consumer(name="D", durable_name="D"), consumer(name="E", durable_name="E")],
}


@pytest.mark.parametrize("entries", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_leaves_nothing(entries: list[Entry]) -> None:
    world = World(limits=AccountLimits(max_consumers=2))
    answer = sent(world, archive(*entries, state={"consumer_count": len(entries), "first_seq": 0, "last_seq": 0, "messages": 0}))
    assert answer["error"]["err_code"] in (10062, 10026, 10081, 10083, 10079), answer
    assert not world.account.streams and not world.account.transfers


def test_no_more_is_pending_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "MAX_PENDING", 3)
    pending = {str(number): {"Sequence": number, "Timestamp": 5} for number in range(1, 5)}
    world = World()
    entry = consumer(places((9, 9), (0, 0), pending=pending))
    answer = sent(world, archive(entry, state={"consumer_count": 1, "first_seq": 0, "last_seq": 0, "messages": 0}))
    assert "more than 3 messages are pending" in answer["error"]["description"]


def test_odd_numbers_lose_nothing() -> None:
    """What is acknowledged or comes anyway is not pending; what has no sequence of the consumer's own gets one."""
    pending = {str(number): {"Sequence": number - 1, "Timestamp": -5} for number in (1, 2, 3, 8)}
    messages = [Entry(b"s.a", number, number, b"", b"x") for number in range(1, 9)]
    entry = consumer(places((3, 4), (0, 0), pending=pending, redelivered={"2": 1, "1": 3, "4": 2}))
    world = Consuming()
    world.api("STREAM.DELETE.S")
    answer = sent(world, archive(entry, *messages, state={"consumer_count": 1, "first_seq": 1, "last_seq": 8, "messages": 8}))
    assert "error" not in answer, answer
    ledger = world.account.streams["S"].consumers["C"].ledger
    assert ledger.sequences() == [1, 2, 3] and ledger.exceeded == {4: 2}
    assert [each[:2] for each in numbers(world.pull(20))][3:] == [(1, 5), (1, 6), (1, 7), (1, 8)]  # the three come again, as they expired
