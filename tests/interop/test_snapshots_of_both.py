"""Snapshots between nats-server and ours, over raw sockets: each restores what the other one has made, and both refuse the same.

``MIDGE_LONG=1`` does it with 100,000 messages.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from archives import DATA, NEW, OLD, archive, entries, packed, unpacked
from jetstream_player import Player, Step, api, both_players, create, faults, levelled

from midge.engine.snapshots.archive import Entry

COUNT = 100_000 if os.environ.get("MIDGE_LONG") else 5_000
WINDOW = 100  # messages that are published before one is waited for
PATIENCE = 20.0
STILL_THERE = re.compile("expected sequence does not match store|could not create storage directory")  # what nats-server says for a while
Pair = tuple[Player, Player]


@pytest.fixture(scope="module")
def players() -> Iterator[Pair]:
    with both_players() as pair:
        yield pair


@pytest.fixture(autouse=True)
def without_streams(players: Pair) -> Iterator[None]:
    yield
    for player in players:
        player.request("$JS.API.STREAM.DELETE.S")


def filled(player: Player, count: int, **config: Any) -> None:
    """Make a stream with headers, gaps, and messages that were removed."""
    for _ in range(50):
        if not STILL_THERE.search(str((made := asked(player, create(**config))).get("error"))):
            break
    assert "error" not in made
    lines = []
    for number in range(count):
        payload = b"payload %d " % number * (number % 9)
        header = b"NATS/1.0\r\nNumber: %d\r\n\r\n" % number if number % 3 == 0 else b""
        head = (
            b"HPUB s.%d %d %d" % (number % 50, len(header), len(header) + len(payload))
            if header
            else b"PUB s.%d %d" % (number % 50, len(payload))
        )
        lines.append(b"%b\r\n%b%b\r\n" % (head, header, payload))
        if len(lines) == WINDOW:
            player.socket.sendall(b"".join(lines))
            lines.clear()
    player.socket.sendall(b"".join(lines))
    while asked(player, api("STREAM.INFO.S"))["state"]["last_seq"] < count:
        time.sleep(0.02)
    asked(player, api("STREAM.PURGE.S", {"seq": count // 20}))
    asked(player, api("STREAM.PURGE.S", {"filter": "s.7"}))
    for sequence in (count // 2, count // 2 + 1, count):
        asked(player, api("STREAM.MSG.DELETE.S", {"seq": sequence}))


def asked(player: Player, step: Step) -> dict[str, Any]:
    (answer,) = player.ask(step)
    found: dict[str, Any] = json.loads(answer)
    return found


def taken(player: Player, **wanted: Any) -> tuple[bytes, dict[str, Any]]:
    """Take a snapshot as a client does; return it, and the answer."""
    answer = asked(player, api("STREAM.SNAPSHOT.S", {"deliver_subject": "R.box"} | wanted))
    found = []
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        line = player.received.line()
        words = line.split()
        if words[:1] == [b"HMSG"]:
            header = player.received.take(int(words[-1]))
            player.received.take(2)
            assert header.startswith(b"NATS/1.0 204"), header
            return b"".join(found), answer
        if words[:1] == [b"MSG"]:
            payload = player.received.take(int(words[-1]))
            player.received.take(2)
            if not payload:
                return b"".join(found), answer  # nats-server says nothing of a snapshot that is one chunk
            found.append(payload)
            if len(words) == 5:
                player.socket.sendall(b"PUB %b 0\r\n\r\n" % words[3])
    raise AssertionError("there is no end")


def restored(player: Player, data: bytes, size: int = 100_000, **config: Any) -> dict[str, Any]:
    """Restore a stream as a client does, again while nats-server is still removing the files of another; return the last answer."""
    found: dict[str, Any] = {}
    for _ in range(50):
        was_cut, found = bool(found), restored_once(player, data, size, config)
        if not STILL_THERE.search(str(found.get("error"))):
            if not was_cut or found.get("error", {}).get("err_code") != 10130:
                break
            asked(player, api("STREAM.DELETE.S"))  # half of it was left by the attempt before
    return found


def restored_once(player: Player, data: bytes, size: int, config: dict[str, Any]) -> dict[str, Any]:
    answer = asked(player, api("STREAM.RESTORE.S", {"config": {"name": "S", "subjects": ["s.>"]} | config}))
    if "error" in answer:
        return answer
    for piece in [*(data[at : at + size] for at in range(0, len(data), size)), b""]:
        (got,) = player.ask(Step(answer["deliver_subject"], piece))
        if got or not piece:
            break
    found: dict[str, Any] = json.loads(got)
    assert not faults(got)
    return found


def told(player: Player) -> dict[str, Any]:
    found: dict[str, Any] = asked(player, api("STREAM.INFO.S", {"deleted_details": True}))["state"]
    found.pop("consumer_count")
    return found


@pytest.mark.parametrize("storage", ["file", "memory"])
@pytest.mark.parametrize("source", [0, 1], ids=["of nats-server", "of midge"])
def test_each_restores_what_the_other_has_made(source: int, storage: str, players: Pair) -> None:
    origin, other = players[source], players[1 - source]
    filled(origin, COUNT, storage=storage)
    data, answer = taken(origin)
    state = told(origin)
    assert not faults(json.dumps(answer).encode())
    assert [answer["state"][name] for name in ("messages", "first_seq", "last_seq")] == [
        state[name] for name in ("messages", "first_seq", "last_seq")
    ]
    result = restored(other, data, storage=storage)
    assert "error" not in result, result
    assert told(other) == state | {"last_ts": told(other)["last_ts"]}  # nats-server does not keep when the last one was removed
    again, _ = taken(other)
    assert [each for each in entries(again) if each.sequence] == [each for each in entries(data) if each.sequence]


CONSUMERS: dict[str, dict[str, Any]] = {
    "explicit": {"durable_name": "explicit", "ack_policy": "explicit"},
    "all": {"durable_name": "all", "ack_policy": "all", "filter_subject": "s.3"},
    "none": {"ack_policy": "none", "inactive_threshold": 3600 * 10**9},
    "last": {"durable_name": "last", "ack_policy": "explicit", "deliver_policy": "last_per_subject", "filter_subject": "s.>"},
    "unused": {"durable_name": "unused", "ack_policy": "explicit", "deliver_subject": "box.of.push", "deliver_policy": "by_start_sequence"}
    | {"opt_start_seq": 400},
}


def fetched(player: Player, name: str, count: int) -> list[bytes]:
    """Have a consumer deliver messages; return where they are acknowledged."""
    body = json.dumps({"batch": count}).encode()
    player.socket.sendall(b"PUB $JS.API.CONSUMER.MSG.NEXT.S.%b R.box %d\r\n%b\r\n" % (name.encode(), len(body), body))
    found: list[bytes] = []
    while len(found) < count:
        words = player.received.line().split()
        if words[:1] in ([b"MSG"], [b"HMSG"]):
            player.received.take(int(words[-1]) + 2)
            found.append(words[3])
    return found


def consumed(player: Player) -> None:
    """Make consumers, and have each get as far as it may."""
    for name, config in CONSUMERS.items():
        assert "error" not in asked(player, api(f"CONSUMER.CREATE.S.{name}", {"stream_name": "S", "config": config | {"name": name}}))
    for name, acknowledged in (("explicit", (0, 1, 2, 4, 7)), ("all", (1,)), ("none", ()), ("last", (0, 2))):
        replies = fetched(player, name, 9)
        for place in acknowledged:
            player.ask(Step(replies[place].decode(), b"+ACK"))
        if name == "explicit":  # which is delivered again, and is pending then
            player.ask(Step(replies[5].decode(), b"-NAK"))
            fetched(player, name, 1)


def places(player: Player) -> dict[str, Any]:
    found = {}
    for name in CONSUMERS:
        info = asked(player, api(f"CONSUMER.INFO.S.{name}"))
        assert "error" not in info, info
        for part in ("delivered", "ack_floor"):
            info[part].pop("last_active", None)
        info["config"]["metadata"].pop("_nats.ver")
        found[name] = {each: value for each, value in info.items() if each not in ("ts", "created")}
    return found


@pytest.mark.parametrize("storage", ["file", "memory"])
@pytest.mark.parametrize("source", [0, 1], ids=["of nats-server", "of midge"])
def test_consumers_go_from_one_to_the_other_and_back(source: int, storage: str, players: Pair) -> None:
    origin, other = players[source], players[1 - source]
    filled(origin, 500, storage=storage)
    consumed(origin)
    before, (data, answer) = places(origin), taken(origin)
    assert answer["state"]["consumer_count"] == len(CONSUMERS)
    assert "error" not in restored(other, data, storage=storage)
    assert places(other) == before
    back, _ = taken(other)
    for there, here in zip(entries(data), entries(back), strict=True):
        if there.name.startswith(b"consumers/"):
            continue
        assert there.sequence == here.sequence
    states = []
    for archived in (data, back):
        kept = {each.name: json.loads(each.payload) for each in entries(archived) if each.name.startswith(b"consumers/")}
        for consumer in kept.values():
            for message in consumer["state"].get("pending", {}).values():
                message["Timestamp"] //= 10**6  # which is how exactly we keep them
        states.append(kept)
    assert states[0] == states[1]
    asked(origin, api("STREAM.DELETE.S"))
    assert "error" not in restored(origin, back, storage=storage)
    assert places(origin) == before


@pytest.mark.parametrize("name", [NEW, OLD])
def test_both_make_the_same_of_an_archive(name: str, players: Pair) -> None:
    data = (DATA / name).read_bytes()
    results = [restored(player, data) for player in players]
    for result in results:
        assert "error" not in result, result
        result["state"].pop("consumer_count")
        result["state"].pop("last_ts")
    real, ours = (json.loads(levelled(json.dumps(result, separators=(",", ":")).encode())) for result in results)
    assert real == ours
    real_data, our_data = (entries(taken(player, no_consumers=True)[0]) for player in players)
    assert [each for each in our_data if each.sequence] == [each for each in real_data if each.sequence]


@pytest.mark.parametrize(("chunk", "window"), [(1, 1), (1024, 5000), (1 << 30, 1 << 40), (0, -1), (-5, 0)])
def test_sizes_are_as_there(chunk: int, window: int, players: Pair) -> None:
    sizes = []
    for player in players:
        filled(player, 500)
        answer = asked(player, api("STREAM.SNAPSHOT.S", {"deliver_subject": "R.box", "chunk_size": chunk, "window_size": window}))
        assert "error" not in answer
        found = []
        while True:
            words = player.received.line().split()
            if words[:1] in ([b"MSG"], [b"HMSG"]):
                found.append(int(words[-1]))
                player.received.take(found[-1] + 2)
                if words[0] == b"HMSG" or not found[-1]:
                    break
                if len(words) == 5:
                    player.socket.sendall(b"PUB %b 0\r\n\r\n" % words[3])
        sizes.append(max(found))
    assert sizes[0] == sizes[1] or min(sizes) > 1024  # one compresses, and has one chunk


REFUSED = [
    api("STREAM.SNAPSHOT.S"),
    api("STREAM.SNAPSHOT.S", {}),
    api("STREAM.SNAPSHOT.N", {"deliver_subject": "R.x"}),
    api("STREAM.SNAPSHOT.N", b"{"),
    api("STREAM.SNAPSHOT.S", b"{"),
    api("STREAM.SNAPSHOT.S", {"deliver_subject": ""}),
    api("STREAM.SNAPSHOT.S", {"deliver_subject": "a.*"}),
    api("STREAM.SNAPSHOT.S", {"deliver_subject": "a b"}),
    api("STREAM.SNAPSHOT.S", {"chunk_size": 5}),
    api("STREAM.SNAPSHOT.S", {"deliver_subject": "x", "unknown": 5}),
    api("STREAM.SNAPSHOT.S", {"deliver_subject": "x"}, Nats_Required_Api_Level="99"),
    api("STREAM.RESTORE.S"),
    api("STREAM.RESTORE.S", {}),
    api("STREAM.RESTORE.S", b"{"),
    api("STREAM.RESTORE.S", {"config": {"name": "S", "subjects": ["s.>"]}}),
    api("STREAM.RESTORE.S", {"config": {"name": "T"}}),
    api("STREAM.RESTORE.S", {"config": {}, "unknown": 1}),
    api("STREAM.RESTORE.T", {"config": {"name": "T", "num_replicas": 9}}),
    api("STREAM.RESTORE.T", {"config": {"name": "T", "subjects": ["a..b"]}}),
    api("STREAM.RESTORE.T", {"config": {"name": "T", "subjects": ["a", "a"]}}),
    api("STREAM.RESTORE.T", {"config": {"name": "T", "max_age": 5}}),
    api("STREAM.RESTORE.a/b", {"config": {"name": "a/b"}}),
    api("STREAM.RESTORE.S.T", {"config": {}}, until="none"),
    api("STREAM.SNAPSHOT", {"deliver_subject": "x"}, until="none"),
]


@pytest.mark.parametrize("step", REFUSED, ids=lambda step: f"{step.subject[8:]} {step.payload.decode()}")
def test_both_refuse_the_same(step: Step, players: Pair) -> None:
    for player in players:
        asked(player, create())
    real, ours = ([levelled(answer) for answer in player.ask(step)] for player in players)
    assert real == ours
    assert all(b'"error"' in answer for answer in ours)


SPOILED = {
    "nothing": b"",
    "rubbish": b"rubbish, and more of it",
    "a beginning": b"\xff\x06\x00\x00S2sTwO",
    "nothing in it": packed(b""),
    "some bytes": packed(b"NATS"),
    "magic alone": packed(b"NATSARC1"),
    "another format": packed(b"NATSARC2" + b"x" * 1000),
    "no state": packed(b"NATSARC1" + b"\x05\x00\x00\x00\x00hello"),
    "a state that is none": packed(b"NATSARC1" + b"\x0a\x00\x00\x00\x01state.json{"),
    "cut off": packed(unpacked((DATA / NEW).read_bytes())[:5000]),
    "cut off at the end": packed(unpacked((DATA / NEW).read_bytes())[:-5]),
    "cut off in a chunk": (DATA / NEW).read_bytes()[:5000],
    "out of order": archive(Entry(b"s.a", 1, 2, b"", b""), Entry(b"s.a", 1, 2, b"", b""), state={"last_seq": 3}),
    "no sequence": archive(Entry(b"s.a", 1, 0, b"", b""), state={"first_seq": 1, "last_seq": 1}),
    "too long a message": archive(Entry(b"s.a", 1, 1, b"", b"x" * (2 << 20))),
    "a consumer that is none": archive(Entry(b"consumers/C", 1, 0, b"", b"{"), state={"consumer_count": 1, "first_seq": 1, "last_seq": 1}),
    "no consumer": archive(Entry(b"s.a", 1, 1, b"", b""), state={"consumer_count": 1}),
}


OTHER_WORDS = ("a state that is none", "cut off", "out of order", "a consumer that is none")  # the code is the same


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_spoiled_is_refused_by_both(what: str, players: Pair) -> None:
    real, ours = (restored(player, SPOILED[what]) for player in players)
    if what in OTHER_WORDS:
        for answer in (real, ours):
            answer["error"].pop("description")
    assert real == ours
    assert asked(players[1], api("STREAM.INFO.S"))["error"]["err_code"] == 10059  # nats-server keeps what there was
