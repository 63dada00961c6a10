"""Streams that follow a durable consumer: everything once, in order, acknowledged when it is stored, whatever happens to the consumer."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from disks_of_engines import Disk, closed, opened
from worlds import World

BY_CONSUMER = {"name": "S", "consumer": {"name": "C", "deliver_subject": "to.D"}}


def consumer(world: World, name: str = "C", **config: Any) -> None:
    wanted = {"durable_name": name, "deliver_subject": "to.D", "ack_policy": "flow_control"} | config
    answer = world.api(f"CONSUMER.CREATE.S.{name}", stream_name="S", config=wanted)
    assert "error" not in answer, answer


def follow(world: World, kind: str = "sources", **config: Any) -> None:
    origin = {"sources": [BY_CONSUMER], "mirror": None} if kind == "sources" else {"mirror": BY_CONSUMER}
    answer = world.create("D", **{"subjects": None} | origin | config)
    assert "error" not in answer, answer
    world.wait(0.01)


def fill(world: World, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        world.publish(f"s.{number % 3}", b"%d" % number)
    world.turn()


def payloads(world: World, name: str = "D") -> list[int]:
    return [int(each.payload) for each in world.account.streams[name].store.scan()]


def floor(world: World) -> int:
    found: int = world.api("CONSUMER.INFO.S.C")["ack_floor"]["stream_seq"]
    return found


def origin_of(world: World) -> dict[str, Any]:
    info = world.api("STREAM.INFO.D")
    found: dict[str, Any] = info["sources"][0] if "sources" in info else info["mirror"]
    return found


@pytest.mark.parametrize("kind", ["sources", "mirror"])
@pytest.mark.parametrize("retention", ["limits", "interest", "workqueue"])
def test_everything_once_and_acknowledged(kind: str, retention: str) -> None:
    world = World()
    world.create("S", retention=retention)
    consumer(world)
    fill(world, 50)
    follow(world, kind)
    fill(world, 50, 50)
    assert payloads(world) == list(range(100))
    world.wait(3)
    assert floor(world) == 100
    assert world.state("S")["messages"] == (100 if retention == "limits" else 0)
    assert "error" not in origin_of(world)
    assert origin_of(world)["lag"] == 0


@pytest.mark.parametrize("kind", ["sources", "mirror"])
@pytest.mark.parametrize("retention", ["interest", "workqueue"])
def test_of_a_queue_what_is_taken_is_gone(kind: str, retention: str) -> None:
    world = World()
    world.create("S", retention=retention)
    origin = {"sources": [{"name": "S"}]} if kind == "sources" else {"mirror": {"name": "S"}}
    world.create("D", **{"subjects": None} | origin)
    world.wait(0.1)
    fill(world, 50)
    world.wait(2)
    assert payloads(world) == list(range(50))
    assert world.state("S")["messages"] == 0
    (name,) = world.api("CONSUMER.NAMES.S")["consumers"]
    assert name.startswith("JS_SRC_" if kind == "sources" else "JS_MIRROR_")
    world.api("STREAM.DELETE.D")
    assert world.api("CONSUMER.NAMES.S")["total"] == 0
    assert not world.outside.attending


def test_two_sources_of_one_queue() -> None:
    world = World()
    world.create("S", retention="interest")
    sources = [{"name": "S", "filter_subject": "s.0"}, {"name": "S", "filter_subject": "s.1"}]
    world.create("D", subjects=None, sources=sources[:1])
    world.wait(0.1)
    fill(world, 3)
    before = world.api("CONSUMER.NAMES.S")["consumers"]
    world.api("STREAM.UPDATE.D", name="D", storage="memory", sources=sources)
    world.wait(0.1)
    fill(world, 3, 3)
    world.wait(2)
    assert sorted(payloads(world)) == [0, 3, 4]
    names = world.api("CONSUMER.NAMES.S")["consumers"]
    assert len(names) == 2
    assert before[0] not in names
    world.api("STREAM.UPDATE.D", name="D", storage="memory", subjects=["d"])
    assert world.api("CONSUMER.NAMES.S")["total"] == 0


@pytest.mark.parametrize("retention", ["interest", "workqueue"])
def test_a_source_that_begins_elsewhere_and_is_one_of_several_leaves_no_consumer_behind(retention: str) -> None:
    world = World()
    world.engine.nuid = map(str, count()).__next__  # so that each consumer delivers elsewhere
    world.create("S", retention=retention)
    sources = [{"name": "S", "filter_subject": "s.0"}, {"name": "S", "filter_subject": "s.1"}]
    config: dict[str, Any] = {"name": "D", "subjects": None, "storage": "memory"}
    world.create(**config | {"sources": sources[:1]})
    world.wait(0.1)
    fill(world, 1)
    world.wait(2)
    world.api("STREAM.UPDATE.D", **config | {"sources": [sources[0] | {"opt_start_seq": 1}, sources[1]]})
    world.wait(2)
    fill(world, 2, 3)
    world.wait(2)
    assert sorted(payloads(world)) == [0, 3, 4]
    assert world.state("S")["messages"] == 0
    assert world.api("CONSUMER.NAMES.S")["total"] == 2


def test_an_origin_that_forgets_no_more_is_left_without_the_consumer() -> None:
    world = World()
    world.create("S", retention="interest")
    world.create("D", subjects=None, sources=[{"name": "S"}])
    world.wait(0.1)
    fill(world, 3)
    world.wait(2)
    assert world.api("CONSUMER.NAMES.S")["total"] == 1
    world.api("STREAM.UPDATE.S", name="S", subjects=["s.>"], storage="memory", retention="limits")
    fill(world, 3, 3)
    world.wait(1)
    assert payloads(world) == list(range(6))
    assert world.api("CONSUMER.NAMES.S")["total"] == 0


def test_an_origin_that_begins_to_forget_is_followed_by_a_consumer() -> None:
    world = World()
    world.create("S")
    fill(world, 3)
    world.create("D", subjects=None, sources=[{"name": "S"}])
    world.wait(0.1)
    world.api("STREAM.UPDATE.S", name="S", subjects=["s.>"], storage="memory", retention="interest")
    world.wait(0.1)
    fill(world, 3, 3)
    world.wait(2)
    assert payloads(world) == list(range(6))
    assert world.state("S")["messages"] == 0


@pytest.mark.parametrize("kind", ["sources", "mirror"])
def test_no_more_than_may_be_pending_and_all_in_the_end(kind: str) -> None:
    world = World()
    world.create("S")
    consumer(world, max_ack_pending=7)
    fill(world, 100)
    follow(world, kind)
    assert payloads(world) == list(range(100))
    assert world.wall < world.account.streams["D"].created + 1_000_000_000  # nobody waited for a heartbeat


def test_one_that_comes_later_is_found() -> None:
    world = World()
    follow(world)
    world.create("S")
    fill(world, 3)
    world.wait(3)
    assert payloads(world) == []
    consumer(world)
    world.wait(3)
    assert payloads(world) == [0, 1, 2]


def test_one_with_another_policy_is_refused() -> None:
    world = World()
    world.create("S")
    consumer(world, ack_policy="explicit")
    fill(world, 3)
    follow(world)
    assert origin_of(world)["error"]["err_code"] == 10217
    world.api("CONSUMER.DELETE.S.C")
    consumer(world)
    world.wait(3)
    assert payloads(world) == [0, 1, 2]
    assert "error" not in origin_of(world)


@pytest.mark.parametrize("kind", ["sources", "mirror"])
@pytest.mark.parametrize("sequence", [0, 1, 5, 8])
def test_one_that_somebody_resets_doubles_nothing(kind: str, sequence: int) -> None:
    world = World()
    world.create("S")
    consumer(world)
    follow(world, kind)
    fill(world, 6)
    world.wait(2)
    answer = world.api("CONSUMER.RESET.S.C", seq=sequence)
    assert "error" not in answer
    fill(world, 6, 6)
    world.wait(5)
    expected = list(range(12)) if sequence < 8 else [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]  # sequence 7 was passed over on purpose
    assert payloads(world) == expected
    assert floor(world) == 12


@pytest.mark.parametrize("kind", ["sources", "mirror"])
def test_what_is_had_already_is_acknowledged_as_it_comes(kind: str) -> None:
    """Else it would stop where no more may be pending, before what is new."""
    world = World()
    world.create("S")
    consumer(world, max_ack_pending=3)
    follow(world, kind)
    fill(world, 10)
    assert "error" not in world.api("CONSUMER.RESET.S.C", seq=1)
    fill(world, 1, 10)
    world.wait(5)
    assert payloads(world) == list(range(11))
    assert floor(world) == 11


def test_one_that_is_made_anew_goes_on() -> None:
    world = World()
    world.create("S")
    consumer(world)
    follow(world)
    fill(world, 3)
    world.api("CONSUMER.DELETE.S.C")
    fill(world, 3, 3)
    world.wait(30)
    consumer(world)
    world.wait(3)
    fill(world, 3, 6)
    world.wait(1)
    assert payloads(world) == list(range(9))


def test_a_paused_one_waits() -> None:
    world = World()
    world.create("S")
    consumer(world)
    follow(world)
    world.api("CONSUMER.PAUSE.S.C", pause_until="2099-01-01T00:00:00Z")
    fill(world, 3)
    world.wait(25)
    assert payloads(world) == []
    world.api("CONSUMER.PAUSE.S.C")
    world.wait(1)
    assert payloads(world) == [0, 1, 2]


def test_the_last_of_each_subject() -> None:
    world = World()
    world.create("S")
    fill(world, 9)
    consumer(world, deliver_policy="last_per_subject", filter_subject=">")
    follow(world)
    fill(world, 2, 9)
    assert payloads(world) == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("kind", ["sources", "mirror"])
def test_a_full_stream_takes_the_rest_when_there_is_room(kind: str) -> None:
    world = World()
    world.create("S", retention="workqueue")
    consumer(world)
    follow(world, kind, discard="new", max_msgs=2)
    fill(world, 5)
    found = payloads(world)
    for _ in range(5):
        world.wait(3)
        world.api("STREAM.PURGE.D")
        world.wait(3)
        found += payloads(world)
    assert found == list(range(5))


def test_it_listens_where_the_configuration_says_now() -> None:
    world = World()
    world.create("S")
    consumer(world, deliver_subject="to.E")
    fill(world, 2)
    follow(world)
    assert payloads(world) == []
    elsewhere = {"name": "S", "consumer": {"name": "C", "deliver_subject": "to.E"}}
    answer = world.api("STREAM.UPDATE.D", name="D", storage="memory", sources=[elsewhere])
    assert "error" not in answer
    world.wait(1)
    assert payloads(world) == [0, 1]


def test_what_is_closed_listens_no_more() -> None:
    world = World()
    world.create("S")
    consumer(world)
    follow(world)
    assert world.outside.attending
    world.api("STREAM.DELETE.D")
    assert not world.outside.attending
    assert not world.account.followings
    fill(world, 3)
    world.wait(30)


def test_two_that_share_a_consumer_do_not_spin() -> None:
    world = World()
    world.create("S")
    consumer(world)
    follow(world)
    world.create("E", subjects=None, sources=[BY_CONSUMER])
    fill(world, 20)
    for number in range(20):
        fill(world, 1, 20 + number)
        world.wait(1)
    assert sorted(set(payloads(world))) == payloads(world)
    assert sorted(set(payloads(world, "E"))) == payloads(world, "E")


@pytest.mark.parametrize("kind", ["sources", "mirror"])
def test_nothing_is_acknowledged_that_is_not_written(kind: str, tmp_path: Path) -> None:
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create("S", retention="workqueue")
    consumer(world)
    follow(world, kind, storage="file")
    fill(world, 3)
    world.wait(2)
    disk.full = True
    fill(world, 3, 3)
    world.wait(5)
    assert payloads(world) == [0, 1, 2]
    assert world.state("S")["messages"] == 3
    disk.full = False
    for _ in range(20):
        world.wait(1)
        world.directory.handle_timeout(world.wall)
        world.turn()
    assert payloads(world) == list(range(6))
    assert world.state("S")["messages"] == 0
    closed(world)


@pytest.mark.parametrize("kind", ["sources", "mirror"])
def test_goes_on_after_a_restart(kind: str, tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create("S", storage="file", retention="interest")
    consumer(world)
    follow(world, kind, storage="file")
    fill(world, 3)
    closed(world)
    world = opened(tmp_path)
    world.wait(1)
    fill(world, 2, 3)
    world.wait(2)
    assert payloads(world) == list(range(5))
    assert world.state("S")["messages"] == 0
    closed(world)


@pytest.mark.parametrize("kind", ["sources", "mirror"])
def test_its_own_consumer_is_found_again(kind: str, tmp_path: Path) -> None:
    origin = {"sources": [{"name": "S"}]} if kind == "sources" else {"mirror": {"name": "S"}}
    world = opened(tmp_path)
    world.create("S", storage="file", retention="interest")
    world.create("D", **{"subjects": None, "storage": "file"} | origin)
    world.wait(0.1)
    fill(world, 3)
    before = world.api("CONSUMER.NAMES.S")["consumers"]
    closed(world)
    world = opened(tmp_path)
    fill(world, 2, 3)
    world.wait(3)
    assert payloads(world) == list(range(5))
    assert world.state("S")["messages"] == 0
    assert world.api("CONSUMER.NAMES.S")["consumers"] == before
    closed(world)


def test_what_another_streams_consumer_of_that_name_delivers_is_not_taken() -> None:
    world = World()
    world.create("S")
    world.create("T", subjects=["t.>"])
    consumer(world)
    config = {"durable_name": "C", "deliver_subject": "to.D", "ack_policy": "flow_control"}
    assert "error" not in world.api("CONSUMER.CREATE.T.C", stream_name="T", config=config)
    follow(world, "mirror")
    world.publish("t.1", b"1000")
    world.wait(1)
    fill(world, 1)
    world.wait(3)
    assert payloads(world) == [0]


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_what_is_still_to_be_taken_is_there_when_another_source_of_that_stream_comes_or_goes(storage: str, tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.engine.nuid = map(str, count()).__next__
    world.create("S", storage=storage, retention="interest")
    sources = [{"name": "S", "filter_subject": "s.0"}, {"name": "S", "filter_subject": "s.1"}]
    config: dict[str, Any] = {"name": "D", "subjects": None, "storage": "memory", "discard": "new"}
    world.create(**config | {"sources": sources[:1], "max_msgs": 2})
    world.wait(0.1)
    for number in range(6):
        world.publish("s.0", b"%d" % number)
    world.wait(1)
    assert payloads(world) == [0, 1]
    for sources_now, max_messages in ((2, 2), (1, 2), (2, 2), (1, 10)):
        assert "error" not in world.api("STREAM.UPDATE.D", **config | {"sources": sources[:sources_now], "max_msgs": max_messages})
        world.wait(0.01 if sources_now == 2 else 3)
    assert payloads(world) == list(range(6))
    world.wait(3)
    assert world.state("S")["messages"] == 0
    assert world.api("CONSUMER.NAMES.S")["total"] == 1
    closed(world)


def test_a_mirror_whose_consumer_is_reset_while_the_disk_fails_goes_on(tmp_path: Path) -> None:
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create("S")
    consumer(world)
    follow(world, "mirror", storage="file")
    fill(world, 3)
    world.wait(2)
    disk.full = True
    fill(world, 3, 3)
    world.wait(1)
    assert "error" not in world.api("CONSUMER.RESET.S.C", seq=8)
    world.wait(5)
    assert origin_of(world)["error"]["err_code"] == 10077
    disk.full = False
    fill(world, 3, 6)
    for _ in range(20):
        world.wait(1)
        world.directory.handle_timeout(world.wall)
        world.turn()
    assert payloads(world) == [0, 1, 2, 7, 8]
    closed(world)
