"""What a stream takes and what it does with it: headers, limits, counters, republishing. Told by the answers, as a client sees them.

Which answers are right is compared with nats-server in tests/interop/test_streams.py; here is what only a clock in the hand shows, and
what it does inside.
"""

import json

import pytest
from worlds import SECOND, World

ACK = '{{"stream":"S","seq":{}}}'
DUPLICATE = '{{"stream":"S","seq":{},"duplicate": true}}'


def refusal(code: int, err_code: int, text: str) -> str:
    error = {"code": code, "err_code": err_code, "description": text}
    return json.dumps({"error": error, "stream": "S", "seq": 0}, separators=(",", ":"))


@pytest.fixture
def world() -> World:
    world = World()
    assert world.create(allow_direct=True)["did_create"]
    return world


def test_an_acknowledgement_has_the_domain() -> None:
    world = World(domain="hub")
    world.create()
    assert world.ack("s.a") == '{"stream":"S","domain":"hub","seq":1}'
    assert world.api("INFO")["domain"] == "hub"
    ((_, answer),) = world.ask("$JS.hub.API.STREAM.NAMES")
    assert json.loads(answer)["streams"] == ["S"]


def test_acknowledgements_keep_the_order_of_what_they_answer(world: World) -> None:
    for number in range(5):
        world.publish("s.a", b"x", f"R.a{number}")
        world.publish("s.a", b"x", f"R.b{number}", Nats_Expected_Last_Sequence="99")
    world.turn()
    assert [subject for subject, _, _ in world.outside.sent[-10:]] == [f"R.{kind}{number}".encode() for number in range(5) for kind in "ab"]


def test_an_id_is_a_duplicate_until_the_window_is_over(world: World) -> None:
    assert world.ack("s.a", Nats_Msg_Id="1") == ACK.format(1)
    world.wait(119)
    assert world.ack("s.a", Nats_Msg_Id="1") == DUPLICATE.format(1)
    world.wait(1)
    assert world.ack("s.a", Nats_Msg_Id="1") == ACK.format(2)


def test_ids_are_forgotten_though_nobody_asks(world: World) -> None:
    stream = world.account.streams["S"]
    for number in range(10):
        world.ack("s.a", Nats_Msg_Id=str(number))
    world.wait(200)
    assert len(stream.dedupe) == 0 and world.engine.next_deadline() is None


def test_what_has_a_reply_is_answered_and_what_has_none_is_stored(world: World) -> None:
    sent = len(world.outside.sent)
    assert world.publish("s.a")
    world.turn()
    assert len(world.outside.sent) == sent
    assert world.state()["messages"] == 1


def test_the_stored_message_does_not_share_memory_with_what_came() -> None:
    from midge.wire.publication import Publication

    world = World()
    world.create()
    publication = Publication.compose(b"s.a", b"", b"", b"payload")
    world.account.streams["S"].intake.receive(publication, world.wall)
    publication.buf[:] = b"?" * len(publication.buf)
    stored = world.account.streams["S"].store.read(1)
    assert stored is not None and (stored.subject, stored.payload) == (b"s.a", b"payload")


def test_republish_tells_where_it_was_stored() -> None:
    world = World()
    world.create(republish={"src": "s.>", "dest": "copy.>"})
    world.ack("s.a", b"one")
    world.ack("s.a", b"two", A="1")
    (first, second) = [(header, payload) for subject, header, payload in world.outside.sent if subject == b"copy.a"]
    assert first[0].startswith(b"NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: s.a\r\nNats-Sequence: 1\r\nNats-Time-Stamp: 20")
    assert first[0].endswith(b"Nats-Last-Sequence: 0\r\n\r\n") and first[1] == b"one"
    assert second[0].startswith(b"NATS/1.0\r\nA: 1\r\nNats-Stream: S\r\n") and second[0].endswith(b"Nats-Last-Sequence: 1\r\n\r\n")


def test_republish_of_headers_only() -> None:
    world = World()
    world.create(republish={"src": "s.>", "dest": "copy.>", "headers_only": True})
    world.ack("s.a", b"four")
    ((header, payload),) = [(header, payload) for subject, header, payload in world.outside.sent if subject == b"copy.a"]
    assert header.endswith(b"Nats-Msg-Size: 4\r\n\r\n") and payload == b""


def test_request_info_is_not_stored(world: World) -> None:
    world.ack("s.a", b"x", Nats_Request_Info="secret", A="1")
    stored = world.account.streams["S"].store.read(1)
    assert stored is not None and stored.header == b"NATS/1.0\r\nA: 1\r\n\r\n"


def test_a_counter_of_any_size() -> None:
    world = World()
    world.create(allow_msg_counter=True)
    big = "9" * 3000
    assert world.ack("s.a", Nats_Incr=big) == f'{{"stream":"S","seq":1,"val":"{big}"}}'
    assert world.ack("s.a", Nats_Incr="1") == f'{{"stream":"S","seq":2,"val":"1{"0" * 3000}"}}'
    assert world.ack("s.a", Nats_Incr="9" * 5000) == refusal(400, 10171, "message counter increment is invalid")


def test_a_broken_counter_is_told() -> None:
    world = World()
    world.create(allow_msg_counter=False)
    world.ack("s.a", b"junk")
    stream = world.account.streams["S"]
    stream.config.allow_msg_counter = True
    stream.update(stream.config)
    assert "10172" in world.ack("s.a", Nats_Incr="1")


def test_max_messages_keeps_the_newest() -> None:
    world = World()
    world.create(max_msgs=3)
    for _ in range(10):
        world.ack("s.a")
    assert {name: world.state()[name] for name in ("messages", "first_seq", "last_seq")} == {"messages": 3, "first_seq": 8, "last_seq": 10}


def test_a_limit_that_becomes_much_smaller_is_met_in_slices() -> None:
    world = World()
    world.create()
    for _ in range(5_000):
        world.publish("s.a")
    world.turn()
    world.api("STREAM.UPDATE.S", name="S", subjects=["s.>"], storage="memory", max_msgs=10)
    assert world.account.streams["S"].store.messages == 3_000
    world.wait(1)
    assert world.state()["messages"] == 10


def test_an_account_may_not_have_more_than_it_may() -> None:
    from midge.model.account import AccountLimits

    world = World(limits=AccountLimits(max_memory=200))
    world.create()
    assert world.ack("s.a", b"x" * 100) == ACK.format(1)
    assert world.ack("s.a", b"x" * 100) == refusal(400, 10002, "resource limits exceeded for account")
    world.api("STREAM.PURGE.S")
    assert world.ack("s.a", b"x" * 100) == ACK.format(2)
    assert world.api("INFO")["memory"] == world.account.streams["S"].store.size


def test_the_server_may_be_full() -> None:
    world = World(max_memory=200)
    world.create()
    assert world.ack("s.a", b"x" * 150) == ACK.format(1)
    assert world.ack("s.a", b"x" * 150) == ACK.format(2)
    assert world.ack("s.a") == refusal(503, 10023, "insufficient resources")


def test_a_deleted_stream_takes_nothing(world: World) -> None:
    intake = world.account.streams["S"].intake
    world.api("STREAM.DELETE.S")
    assert not world.publish("s.a", b"x", "R.x")
    from midge.wire.publication import Publication

    assert not intake.receive(Publication.compose(b"s.a", b"R.x", b"", b""), world.wall)
    assert world.engine.next_deadline() is None


def test_times_never_go_back(world: World) -> None:
    world.ack("s.a")
    world.wall -= 5 * SECOND
    world.ack("s.a")
    store = world.account.streams["S"].store
    assert store.time_of(2) >= store.time_of(1)


@pytest.mark.parametrize(
    "header", [b"x", b"NATS/1.0", b"NATS/1.0\r\n", b"NATS/1.0 503\r\n\r\n", b"Nats-Msg-Id: 1", b"\xff" * 9, b"NATS/1.0\r\nNats-Msg-Id"]
)
def test_a_header_block_that_is_none_is_kept_or_dropped_but_does_no_harm(world: World, header: bytes) -> None:
    from midge.wire.publication import Publication

    publication = Publication.compose(b"s.a", b"R.x", header, b"payload")
    assert world.account.streams["S"].intake.receive(publication, world.wall)
    world.turn()
    assert world.outside.sent[-1] == (b"R.x", b"", ACK.format(1).encode())
    stored = world.account.streams["S"].store.read(1)
    assert stored is not None and stored.payload == b"payload"


CASES: list[dict[str, str]] = [
    {"Nats_Msg_Id": "a"}, {"Nats_Msg_Id": "a"}, {"Nats_Msg_Id": "b", "Nats_Expected_Last_Sequence": "1"}, {"Nats_Msg_Id": ""},
    {"Nats_Expected_Last_Sequence": "99"}, {"Nats_Expected_Last_Sequence": "x"}, {"Nats_Expected_Last_Sequence": "3"}, {"Other": "1"},
    {"Nats_Expected_Last_Msg_Id": "b"}, {"Nats_Msg_Id": "c"}, {"Nats_Expected_Last_Msg_Id": "c"}, {"Nats_Msg_Id": "c", "Other": "2"},
]  # fmt: skip


def test_the_short_way_does_what_the_long_one_does(world: World) -> None:
    other = World()
    other.create(max_msg_size=1 << 20)  # which changes nothing but the way
    assert [world.ack("s.a", b"x", **case) for case in CASES] == [other.ack("s.a", b"x", **case) for case in CASES]
    assert world.state()["messages"] == other.state()["messages"] == 7
