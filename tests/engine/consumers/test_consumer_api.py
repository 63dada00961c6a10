"""The API's requests about consumers: pages, names, limits, what is counted and who is told. Texts: the stories of tests/interop."""

from __future__ import annotations

import json
from typing import Any

import pytest
from consuming import Consuming
from schemas import checked
from worlds import ACCOUNT, SECOND, World

from midge.model.account import AccountLimits

EVENT = "$JS.EVENT.ADVISORY.CONSUMER."


def make(world: World, name: str, stream: str = "S", action: str = "", **config: Any) -> dict[str, Any]:
    return checked(made(world, name, stream, action, **config))


def made(world: World, name: str, stream: str = "S", action: str = "", **config: Any) -> dict[str, Any]:
    """What ``make`` answers, and nobody looks at its schema: for those who make a thousand."""
    request = {"stream_name": stream, "config": config} | ({"action": action} if action else {})
    return world.api(f"CONSUMER.CREATE.{stream}.{name}" if name else f"CONSUMER.CREATE.{stream}", **request)


def told(world: World, *subjects: str) -> list[tuple[str, dict[str, Any]]]:
    """What was told to those who listen to these subjects. (Of groups less than their schema wants: see test_consumer_advisories.)"""
    heard = [(subject.decode(), json.loads(payload)) for subject, _, payload in world.outside.sent]
    return [(subject, body if "group" in body else checked(body)) for subject, body in heard if subject in subjects]


def test_names_and_lists_come_in_pages_by_name() -> None:
    world = World(max_consumers=0)
    world.create()
    for number in range(1_030):
        assert made(world, f"C{number:04d}")["name"] == f"C{number:04d}"
    make(world, "D", deliver_subject="d", direct=True)
    every = [f"C{number:04d}" for number in range(1_030)]
    pages = [checked(world.api("CONSUMER.NAMES.S", offset=offset)) for offset in (0, 1_024, 5_000, -7)]
    assert [(page["total"], page["offset"], page["limit"]) for page in pages] == [(1_030, at, 1_024) for at in (0, 1_024, 1_030, 0)]
    assert [page["consumers"] for page in pages] == [every[:1_024], every[1_024:], [], every[:1_024]]
    page = checked(world.api("CONSUMER.LIST.S", offset=1_000))
    assert (page["total"], page["offset"], page["limit"]) == (1_030, 1_000, 256)
    assert [each["name"] for each in page["consumers"]] == every[1_000:]
    assert len(world.api("CONSUMER.LIST.S")["consumers"]) == 256


def test_direct_consumers_are_not_shown_but_belong_to_the_account() -> None:
    world = World()
    world.create()
    make(world, "A")
    make(world, "D", deliver_subject="d", direct=True)
    assert world.state()["consumer_count"] == 1
    assert world.api("INFO")["consumers"] == 2
    assert checked(world.api("CONSUMER.INFO.S.D"))["config"]["direct"]


def test_a_consumer_without_a_name_gets_one_that_nobody_has() -> None:
    world = World()
    world.create()
    names = {make(world, "")["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(len(name) == 8 and name.isalnum() for name in names)
    assert all("name" not in each.config.metadata and not each.config.name for each in world.account.streams["S"].consumers.values())


def test_a_stream_has_a_thousand_unless_somebody_says_how_many() -> None:
    world = World(max_consumers=3)
    for name, limit in (("S", -1), ("T", 5)):
        world.create(name, subjects=[name], max_consumers=limit)
    for name, count in (("S", 3), ("T", 5)):
        errors = [make(world, f"C{number}", name).get("error") for number in range(6)]
        assert [error is None for error in errors] == [True] * count + [False] * (6 - count)
        assert errors[-1]["err_code"] == 10026
    assert "error" not in make(world, "D", deliver_subject="d", direct=True)
    assert World().engine.settings.max_consumers == 1_000


def test_the_account_says_how_many_a_stream_may_have() -> None:
    world = World(limits=AccountLimits(max_consumers=2), max_consumers=1)
    world.create(max_consumers=1)
    world.create("T", subjects=["t"])
    assert [make(world, f"C{number}").get("error") is None for number in range(2)] == [True, False]
    assert [make(world, f"C{number}", "T").get("error") is None for number in range(3)] == [True, True, False]


def test_who_changes_a_consumer_changes_the_one_that_is_there() -> None:
    world = Consuming()
    created = make(world, "C", durable_name="C", ack_policy="explicit")
    consumer = world.stream.consumers["C"]
    world.store("s.a")
    world.pull()
    changed = make(world, "C", durable_name="C", ack_policy="explicit", description="new", ack_wait=5 * SECOND)
    assert world.stream.consumers["C"] is consumer and changed["created"] == created["created"]
    assert (changed["config"]["description"], changed["num_ack_pending"]) == ("new", 1)
    assert consumer.ledger.ack_wait == 5 * SECOND
    assert make(world, "C", durable_name="C", ack_policy="explicit", action="create")["error"]["err_code"] == 10148
    assert make(world, "D", action="update")["error"]["err_code"] == 10149


def test_a_deliver_subject_changes_while_nobody_listens() -> None:
    world = World()
    world.create()
    make(world, "C", deliver_subject="d")
    world.outside.listeners.append(b"d")
    assert make(world, "C", deliver_subject="e")["error"]["err_code"] == 10013
    world.outside.listeners.clear()
    assert make(world, "C", deliver_subject="e")["config"]["deliver_subject"] == "e"


def test_requests_that_wait_are_told_when_a_consumer_or_its_stream_goes() -> None:
    world = Consuming()
    for name in "CD":
        make(world, name, durable_name=name)
        world.pull(5, name, to=f"I.{name}", expires=60 * SECOND)
    assert checked(world.api("CONSUMER.DELETE.S.C"))["success"]
    assert [each.header for each in world.news()] == [b"NATS/1.0 409 Consumer Deleted\r\n\r\n"]
    assert checked(world.api("CONSUMER.DELETE.S.C"))["error"]["err_code"] == 10014
    world.api("STREAM.DELETE.S")
    assert [(each.to, each.header) for each in world.news()] == [(b"I.D", b"NATS/1.0 409 Consumer Deleted\r\n\r\n")]
    assert world.engine.next_deadline() is None


def test_advisories_tell_of_consumers_that_come_and_go() -> None:
    world = World()
    world.create()
    subjects = [f"{EVENT}{what}.S.C" for what in ("CREATED", "DELETED", "PAUSE", "UNPINNED")]
    world.outside.listeners += [subject.encode() for subject in subjects]
    group = {"priority_policy": "pinned_client", "priority_groups": ["g"]}
    make(world, "C", pause_until="2100-01-01T00:00:00Z", **group)
    world.api("CONSUMER.PAUSE.S.C")
    world.api("CONSUMER.PAUSE.S.C")
    world.api("CONSUMER.UNPIN.S.C", group="g")
    world.api("STREAM.DELETE.S")
    found = told(world, *subjects)
    assert [subject.split(".")[4] for subject, _ in found] == ["CREATED", "PAUSE", "PAUSE", "UNPINNED", "DELETED"]
    assert [body["paused"] for _, body in found if "paused" in body] == [True, False]
    assert found[3][1]["reason"] == "admin" and found[3][1]["account"] == ACCOUNT


def test_a_pause_needs_a_higher_level_of_the_api() -> None:
    world = World()
    world.create()
    make(world, "C", durable_name="C")
    answer = checked(world.api("CONSUMER.PAUSE.S.C", pause_until="2100-01-01T02:00:00+02:00"))
    assert (answer["paused"], answer["pause_until"]) == (True, "2100-01-01T00:00:00Z") and answer["pause_remaining"] > 0
    config = checked(world.api("CONSUMER.INFO.S.C"))["config"]
    assert (config["pause_until"], config["metadata"]["_nats.req.level"]) == ("2100-01-01T00:00:00Z", "1")
    assert make(world, "C", durable_name="C", pause_until="2030-01-01T00:00:00Z")["config"]["pause_until"] == "2100-01-01T00:00:00Z"
    assert checked(world.api("CONSUMER.PAUSE.S.C")) == {
        "type": "io.nats.jetstream.api.v1.consumer_pause_response", "paused": False, "pause_until": "0001-01-01T00:00:00Z",
    }  # fmt: skip
    config = world.api("CONSUMER.INFO.S.C")["config"]
    assert "pause_until" not in config and config["metadata"]["_nats.req.level"] == "0"


@pytest.mark.parametrize(
    ("config", "sequence", "begins"),
    [
        ({}, 0, 3), ({}, 5, 5), ({}, 1, 1), ({"deliver_policy": "new"}, 2, "not allowed"), ({"deliver_policy": "new"}, 0, 6),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 2}, 1, "below start seq"),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 2}, 2, 2),
        ({"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}, 1, 1),
        ({"deliver_policy": "by_start_time", "opt_start_time": "2100-01-01T00:00:00Z"}, 2, "below start time"),
    ],
)  # fmt: skip
def test_a_reset_begins_behind_the_floor_or_where_the_policy_lets_it(config: dict[str, Any], sequence: int, begins: int | str) -> None:
    world = Consuming()
    world.store(*["s.a"] * 5)
    make(world, "C", durable_name="C", ack_policy="explicit", **config)
    if not config:
        for message in world.pull(2):
            world.reply(message)
        world.pull(1)
    total = world.api("INFO")["api"]["total"]
    answer = world.api("CONSUMER.RESET.S.C", **({"seq": sequence} if sequence else {}))
    checked(answer)
    assert world.api("INFO")["api"]["total"] == total + 1  # it is the consumer that answers
    if isinstance(begins, str):
        assert answer["error"] == {"code": 400, "err_code": 10204, "description": f"invalid reset: {begins}"}
        return
    assert answer["reset_seq"] == begins
    assert (answer["delivered"]["stream_seq"], answer["ack_floor"]["stream_seq"], answer["num_ack_pending"]) == (begins - 1, begins - 1, 0)
    if begins <= 5:
        assert [each.reply.split(b".")[4:7] for each in world.pull(1)] == [[b"1", b"%d" % begins, b"1"]]


def test_a_reset_of_nothing_is_not_answered() -> None:
    world = World()
    world.create()
    for subject in ("S.C", "T.C"):
        assert world.ask(f"$JS.API.CONSUMER.RESET.{subject}") == []
    assert world.api("INFO")["streams"] == 1


def test_who_takes_messages_for_another_stream_is_told_which_one_this_is() -> None:
    world = World()
    world.create()
    request = {"stream_name": "S", "config": {"deliver_subject": "d", "direct": True, "sourcing": True}}
    ((header, answer),) = world.ask("$JS.API.CONSUMER.CREATE.S.M", json.dumps(request).encode())
    identity = header.split(b": ")[1].split(b"\r\n")[0].decode()
    assert header.startswith(b"NATS/1.0\r\nNats-Stream-Identity: ") and len(identity) == 8
    assert json.loads(answer)["name"].startswith("M-")
    wrong = world.ask("$JS.API.CONSUMER.CREATE.S.M", json.dumps(request).encode(), Nats_Stream_Identity="another1")
    assert json.loads(wrong[0][1])["error"]["err_code"] == 10225
    right = world.ask("$JS.API.CONSUMER.CREATE.S.M", json.dumps(request).encode(), Nats_Stream_Identity=identity)
    assert "error" not in json.loads(right[0][1])


def test_limits_of_a_stream_may_not_be_narrower_than_its_consumers() -> None:
    world = World()
    world.create()
    make(world, "C", ack_policy="explicit", max_ack_pending=50)
    config = {"name": "S", "subjects": ["s.>"], "storage": "memory"}
    error = world.api("STREAM.UPDATE.S", **config, consumer_limits={"max_ack_pending": 10})["error"]
    assert (error["err_code"], error["description"]) == (10069, "change to limits violates consumers: C")
    assert "error" not in world.api("STREAM.UPDATE.S", **config, consumer_limits={"max_ack_pending": 50})
    assert make(world, "D", ack_policy="explicit", max_ack_pending=51)["error"]["err_code"] == 10121


def test_a_body_is_read_before_the_level_is_looked_at() -> None:
    world = Consuming()
    for subject in ("CONSUMER.CREATE.S.C", "CONSUMER.DURABLE.CREATE.S.C"):
        for body, code in ((b"{", 10025), (b'{"stream_name":"S"}', 10185)):
            ((_, answer),) = world.ask(f"$JS.API.{subject}", body, Nats_Required_Api_Level="99")
            assert json.loads(answer)["error"]["err_code"] == code
