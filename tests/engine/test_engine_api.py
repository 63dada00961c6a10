"""The API: whom it answers, in which order, how many at a time, and what it tells those who watch. Texts: tests/interop/test_streams.py."""

import json

from schemas import checked
from worlds import ACCOUNT, World

from midge.model.account import AccountLimits


def test_one_account_cannot_hold_up_another() -> None:
    world = World()
    other = world.engine.open_account("B", AccountLimits())
    for _ in range(100):
        world.publish("$JS.API.INFO", b"", "R.x")  # both accounts hear it here
    assert (len(world.account.requests), len(other.requests)) == (100, 100)
    world.engine.step(world.wall)
    assert len(world.account.requests) == len(other.requests) < 100


def test_a_turn_answers_few_requests() -> None:
    world = World()
    for number in range(100):
        world.publish("$JS.API.INFO", b"", f"R.{number}")
    assert world.engine.step(world.wall)
    assert 0 < len(world.outside.sent) <= 8
    world.turn()
    assert [subject for subject, _, _ in world.outside.sent] == [b"R.%d" % number for number in range(100)]


def test_requests_that_wait_are_bounded_and_who_listens_is_told() -> None:
    world = World()
    world.outside.listeners.append(b"$JS.EVENT.ADVISORY.API.LIMIT_REACHED")
    for _ in range(10_000 + 5):
        world.publish("$JS.API.INFO", b"", "R.x")
    assert len(world.account.requests) == 10_000
    told = [json.loads(payload) for subject, _, payload in world.outside.sent if subject == b"$JS.EVENT.ADVISORY.API.LIMIT_REACHED"]
    assert [each["dropped"] for each in told] == [1] * 5


def test_an_account_without_jetstream_is_told() -> None:
    world = World(limits=None)
    assert world.api("INFO")["error"]["err_code"] == 10039
    assert world.create()["error"]["err_code"] == 10039
    assert world.api("STREAM.NAMES")["streams"] is None


def test_advisories_are_made_for_those_who_listen_only() -> None:
    world = World()
    world.create()
    assert len(world.outside.sent) == 1
    subjects = [b"$JS.EVENT.ADVISORY.API", *(b"$JS.EVENT.ADVISORY.STREAM.%b.T" % what for what in (b"CREATED", b"UPDATED", b"DELETED"))]
    world.outside.listeners += subjects
    world.outside.client = {"user": "me", "acc": ACCOUNT, "start": "2026-01-01T00:00:00Z", "id": 5}
    world.create("T", subjects=["t"])
    world.api("STREAM.UPDATE.T", name="T", subjects=["t"], storage="memory", max_msgs=5)
    world.api("STREAM.DELETE.T")
    told = [(subject, json.loads(payload)) for subject, _, payload in world.outside.sent if subject in subjects]
    assert [subject for subject, _ in told] == [subjects[1], subjects[0], subjects[2], subjects[0], subjects[3], subjects[0]]
    assert [body["action"] for _, body in told if "action" in body] == ["create", "modify", "delete"]
    for _, body in told:
        checked(body)
    audit = told[1][1]
    assert audit["client"]["user"] == "me" and audit["subject"] == "$JS.API.STREAM.CREATE.T"
    assert json.loads(audit["response"])["did_create"] and json.loads(audit["request"])["name"] == "T"


def test_requests_are_counted() -> None:
    world = World()
    world.create()
    world.api("STREAM.INFO.T")
    assert world.api("INFO")["api"] == {"level": world.engine.api_level, "total": 2, "errors": 1}


def test_a_fault_of_ours_is_answered_and_costs_nobody_else_anything(monkeypatch: object) -> None:
    world = World()
    world.create()
    world.account.streams["S"].store = None  # type: ignore[assignment]
    assert world.api("STREAM.PURGE.S")["error"]["err_code"] == 10051
    assert world.outside.failures
    assert world.api("STREAM.NAMES")["streams"] == ["S"]


def test_what_is_not_supported_is_refused() -> None:
    world = World()
    origin = {"external": {"api": "$JS.hub.API"}}
    for config in ({"mirror": {"name": "T"} | origin, "subjects": None}, {"sources": [{"name": "T"} | origin]}):
        error = world.create(**config)["error"]
        assert error["err_code"] == 10052 and "not supported" in error["description"]


def test_closing_lets_go_of_everything() -> None:
    world = World()
    world.create(allow_direct=True, max_age=10_000_000_000)
    world.ack("s.a")
    world.engine.close()
    assert not world.outside.ears and world.engine.next_deadline() is None


def test_streams_do_not_share_what_is_counted() -> None:
    world = World()
    world.create()
    world.create("T", subjects=["t"])
    world.ack("s.a", b"x" * 100)
    world.ack("t", b"x" * 50)
    used = world.api("INFO")["memory"]
    sizes = [world.account.streams[name].store.size for name in "ST"]
    assert used == sum(sizes) == world.engine.used["memory"]
    world.api("STREAM.DELETE.T")
    assert world.api("INFO")["memory"] == sizes[0]


def test_requests_that_wait_are_bounded_in_bytes_too() -> None:
    world = World(max_pending=1_000_000)
    for _ in range(100):
        world.publish("$JS.API.INFO", bytes(100_000), "R.x")
    assert len(world.account.requests) == 10
    world.turn()
    assert len(world.outside.sent) == 10
    assert world.api("INFO")["streams"] == 0


def test_sequences_and_depths_that_nobody_means_harm_nobody() -> None:
    world = World()
    world.create(allow_direct=True)
    world.ack("s.a")
    for sequence in (2**63, 2**64 - 1):
        assert world.create("F", subjects=["f"], first_seq=sequence)["error"]["err_code"] == 10052
        assert world.api("STREAM.PURGE.S", seq=sequence)["error"]["err_code"] == 10003
    assert world.ask("$JS.API.DIRECT.GET.S", b'{"x":' + b"[" * 100_000) == [(b"NATS/1.0 408 Malformed Request\r\n\r\n", b"")]
    assert world.ack("s.a") == '{"stream":"S","seq":2}'
    assert world.outside.failures == []


def test_an_account_that_is_closed_uses_nothing() -> None:
    world = World()
    world.create()
    world.ack("s.a")
    assert world.engine.used["memory"] > 0
    world.engine.limit_account(ACCOUNT, None)
    assert world.engine.used == {"memory": 0, "file": 0}
    assert not world.publish("s.a", b"x", "R.x"), "nobody stores for an account that has no JetStream"
    assert world.api("INFO")["error"]["err_code"] == 10039
    world.engine.limit_account(ACCOUNT, AccountLimits())
    assert world.api("INFO")["streams"] == 0
    assert world.create()["did_create"]


def test_limits_that_become_smaller_are_seen_to_in_order() -> None:
    """All messages first, those of a subject then: as nats-server."""
    world = World()
    world.create()
    for subject in ("s.a", "s.b", "s.a", "s.a", "s.a", "s.a", "s.a"):
        world.publish(subject)
    world.turn()
    world.api("STREAM.UPDATE.S", name="S", subjects=["s.>"], storage="memory", max_msgs=5, max_msgs_per_subject=1)
    assert [each.sequence for each in world.account.streams["S"].store.scan()] == [7]
