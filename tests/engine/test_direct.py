"""Direct gets: in slices, and from what is not in memory. What is answered: tests/interop/test_streams.py."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from worlds import World

from midge.store.base import ELSEWHERE
from midge.store.directory import StoreDirectory


def test_a_long_batch_does_not_come_in_one_turn() -> None:
    world = World()
    world.create(allow_direct=True)
    for number in range(1_000):
        world.publish("s.a", b"%d" % number)
    world.turn()
    world.outside.sent.clear()
    world.publish("$JS.API.DIRECT.GET.S", b'{"batch":1000,"seq":1}', "R.x")
    assert 0 < len(world.account.answers) <= 64
    assert world.engine.step(world.wall)
    world.turn()
    assert [payload for _, _, payload in world.outside.sent] == [b"%d" % number for number in range(1_000)] + [b""]
    assert world.outside.sent[-1][1] == b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 1000\r\n\r\n"


def test_too_many_results() -> None:
    world = World()
    world.create(allow_direct=True)
    for number in range(1_025):
        world.publish(f"s.{number}")
    world.turn()
    assert world.ask("$JS.API.DIRECT.GET.S", b'{"multi_last":["s.*"]}') == [(b"NATS/1.0 413 Too Many Results\r\n\r\n", b"")]
    world.api("STREAM.MSG.DELETE.S", seq=1)
    assert len(world.ask("$JS.API.DIRECT.GET.S", b'{"multi_last":["s.*"]}')) == 1_025


def test_batches_that_are_under_way_are_bounded() -> None:
    world = World()
    world.create(allow_direct=True)
    for _ in range(200):
        world.publish("s.a")
    world.turn()
    world.outside.sent.clear()
    for number in range(1_030):
        world.publish("$JS.API.DIRECT.GET.S", b'{"batch":200,"seq":1}', f"R.{number}")
    refused = [answer.subject() for answer in world.account.answers if answer.header().startswith(b"NATS/1.0 429")]
    assert refused == [b"R.%d" % number for number in range(1_024, 1_030)]
    world.turn()
    assert world.engine.jobs.active == 0


def test_a_stream_that_is_deleted_meanwhile_costs_nobody_anything(tmp_path: Path) -> None:
    world = World(StoreDirectory(str(tmp_path), wake=lambda: None, workers=0))
    world.create(storage="file", allow_direct=True)
    for _ in range(500):
        world.publish("s.a")
    world.turn()
    world.publish("$JS.API.DIRECT.GET.S", b'{"batch":500,"seq":1}', "R.x")
    world.engine.remove_stream(world.account.streams["S"], lambda error: None)
    world.turn()
    assert world.engine.jobs.active == 0
    assert world.api("STREAM.NAMES")["streams"] is None
    world.engine.close()
    world.directory.close()


def test_a_message_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.create()
    world.ack("s.a")
    store = world.account.streams["S"].store

    def fail(sequences: list[int], call: Callable[[Exception], None]) -> None:
        world.outside.call_soon(lambda: call(OSError("broken")))

    broken = SimpleNamespace(peek=lambda _: ELSEWHERE, load=fail, committed=1, last=1, at_time=store.at_time)
    world.account.streams["S"].store = broken  # type: ignore[assignment]
    assert world.api("STREAM.MSG.GET.S", seq=1)["error"]["err_code"] == 10051
    world.account.streams["S"].store = store
    assert world.api("STREAM.MSG.GET.S", seq=1)["message"]["seq"] == 1


def test_a_request_without_a_reply_is_nothing() -> None:
    world = World()
    world.create(allow_direct=True)
    world.outside.sent.clear()
    assert world.publish("$JS.API.DIRECT.GET.S", b'{"seq":1}')
    world.turn()
    assert world.outside.sent == []


def test_messages_that_are_on_disk_only(tmp_path: Path) -> None:
    world = World(StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, memory=0))
    world.create(storage="file", allow_direct=True)
    payload = b"x" * 100_000
    for number in range(20):
        world.publish("s.a", b"%d" % number + payload)
    world.turn()
    answers = world.ask("$JS.API.DIRECT.GET.S", b'{"batch":100,"seq":1}')
    assert [answer for _, answer in answers] == [b"%d" % number + payload for number in range(20)] + [b""]
    assert world.api("STREAM.MSG.GET.S", seq=3)["message"]["seq"] == 3
    world.engine.close()
    world.directory.close()


def test_many_subjects_are_looked_up_and_too_many_patterns_refused() -> None:
    world = World()
    world.create(allow_direct=True)
    for number in range(4_000):
        world.publish(f"s.{number}", b"x")
    world.turn()
    for some in range(20):
        wanted = [f"s.{number}" for number in range(3_990, 12_000)] + ["s.3999", f"s.{some}"]
        assert len(world.ask("$JS.API.DIRECT.GET.S", json.dumps({"multi_last": wanted}).encode())) == 12
    for number in range(100):  # the selections are kept, and new subjects compared with them
        world.publish(f"s.1{number}.new", b"x")
    assert world.ask("$JS.API.DIRECT.GET.S", json.dumps({"multi_last": [f"z.{number}.*" for number in range(10_000)]}).encode()) == [
        (b"NATS/1.0 413 Too Many Results\r\n\r\n", b"")
    ]


def test_a_selection_of_many_patterns_sees_new_subjects() -> None:
    world = World()
    world.create(allow_direct=True)
    body = json.dumps({"multi_last": [f"s.{number}.*" for number in range(100)]}).encode()
    assert [header[:12] for header, _ in world.ask("$JS.API.DIRECT.GET.S", body)] == [b"NATS/1.0 404"]
    for number in (5, 50, 500):
        world.ack(f"s.{number}.a")
        world.ack(f"s.{number}.b")
    assert len(world.ask("$JS.API.DIRECT.GET.S", body)) == 5


@pytest.mark.parametrize("headers", [{}, {"Nats_Msg_Id": "1"}])
def test_the_short_way_answers_as_the_long_one(headers: dict[str, str]) -> None:
    world = World()
    world.create(allow_direct=True)
    for number in range(20):
        world.publish("s.a", b"%d" % number, **({name: value + str(number) for name, value in headers.items()}))
        world.wait(0.123456789)
    for sequence in (1, 7, 20):
        short = world.ask("$JS.API.DIRECT.GET.S", b'{"seq":%d}' % sequence)
        assert short == world.ask("$JS.API.DIRECT.GET.S", b'{ "seq" : %d }' % sequence)
        assert b"Nats-Sequence: %d\r\n" % sequence in short[0][0]
        assert short[0][1] == b"%d" % (sequence - 1)
    last = world.ask("$JS.API.DIRECT.GET.S", b'{ "last_by_subj" : "s.a" }')
    assert world.ask("$JS.API.DIRECT.GET.S", b'{"last_by_subj":"s.a"}') == world.ask("$JS.API.DIRECT.GET.S.s.a") == last
    assert b"Nats-Sequence: 20\r\n" in last[0][0]
    assert world.ask("$JS.API.DIRECT.GET.S.s.*") == last


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"seq":0}', b"408 Empty Request"), (b'{"seq":21}', b"404 Message Not Found"), (b'{"seq":07}', b"408 Malformed Request"),
        (b'{"seq":9999999999}', b"404 Message Not Found"), (b'{"seq":}', b"408 Malformed Request"),
        (b'{"last_by_subj":"s.b"}', b"404 Message Not Found"), (b'{"last_by_subj":""}', b"408 Empty Request"),
        (b'{"last_by_subj":"\\"}', b"408 Malformed Request"), (b'{"last_by_subj":"s.a","}', b"408 Malformed Request"),
        (b'{"seq": 0}', b"408 Empty Request"), (b'{"seq": 07}', b"408 Malformed Request"), (b'{"seq": }', b"408 Malformed Request"),
        (b'{"seq":1]', b"408 Malformed Request"), (b'{"seq":-1}', b"408 Malformed Request"),
    ],
)  # fmt: skip
def test_what_the_short_way_leaves_alone(body: bytes, status: bytes) -> None:
    world = World()
    world.create(allow_direct=True)
    world.publish("s.a", b"x")
    world.turn()
    assert world.ask("$JS.API.DIRECT.GET.S", body) == [(b"NATS/1.0 %b\r\n\r\n" % status, b"")]
    assert world.ask("$JS.API.DIRECT.GET.S.s.a", b'{"seq":1}') == [(b"NATS/1.0 408 Bad Request\r\n\r\n", b"")]


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_a_message_get_by_the_short_way_answers_as_the_long_one(tmp_path: Path, storage: str) -> None:
    world = World(StoreDirectory(str(tmp_path), wake=lambda: None, workers=0))
    world.create(storage=storage)
    world.publish("s.a", b"plain")
    world.publish("s.a", b"with a header", Nats_Msg_Id="1")
    world.publish("s.<&>", b"an odd subject")
    world.publish("s.b")
    world.turn()
    for sequence in range(1, 6):
        short = world.ask("$JS.API.STREAM.MSG.GET.S", b'{"seq":%d}' % sequence)
        assert short == world.ask("$JS.API.STREAM.MSG.GET.S", b'{ "seq" : %d }' % sequence)
        assert (b'"error"' in short[0][1]) == (sequence == 5)
    for subject in (b"s.a", b"s.<&>", b"s.b", b"s.*", b"s.c", b">"):
        short = world.ask("$JS.API.STREAM.MSG.GET.S", b'{"last_by_subj": "%b"}' % subject)
        assert short == world.ask("$JS.API.STREAM.MSG.GET.S", b'{ "last_by_subj" : "%b" }' % subject)
    world.engine.close()
    world.directory.close()


def test_many_answers_leave_in_one_piece() -> None:
    world = World()
    world.create(allow_direct=True)
    world.publish("s.a", b"x")
    world.turn()
    pieces: list[int] = []
    answer = world.outside.answer
    world.outside.answer = lambda account, answers: (pieces.append(len(answers)), answer(account, answers))  # type: ignore[method-assign,func-returns-value,assignment]
    for number in range(50):
        world.publish("$JS.API.DIRECT.GET.S", b'{"seq":1}', f"R.{number}")
    world.turn()
    assert pieces == [50]


def test_what_is_large_costs_its_sender_more() -> None:
    world = World()
    world.create(allow_direct=True)
    world.publish("s.a", b"x")
    world.publish("s.a", bytes(1 << 20))
    world.turn()
    world.ask("$JS.API.DIRECT.GET.S", b'{"seq":1}')
    assert world.outside.spent == 0
    world.ask("$JS.API.DIRECT.GET.S", b'{"seq":2}')
    assert world.outside.spent >= (1 << 20) // 512
