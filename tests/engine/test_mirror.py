"""Mirrors: what they follow, when they do not, and that they are never wrong about it."""

from pathlib import Path
from typing import Any

from disks_of_engines import Disk, closed, opened
from worlds import World

import midge.engine.feed as feed_module
from midge.engine.engine import FEEDS


def mirrored(world: World, name: str = "M", origin: str = "S", **config: Any) -> dict[str, Any]:
    """Create a mirror, let it take what there is, and return what is told of it."""
    source = {"name": origin} | config.pop("source", {})
    answer = world.create(name, **{"subjects": None, "mirror": source} | config)
    assert "error" not in answer, answer
    return told(world, name)


def told(world: World, name: str = "M") -> dict[str, Any]:
    found: dict[str, Any] = world.api(f"STREAM.INFO.{name}")["mirror"]
    return found


def contents(world: World, name: str) -> list[tuple[int, int, bytes, bytes]]:
    """Everything in a stream, without headers."""
    return [(each.sequence, each.time, each.subject, each.payload) for each in world.account.streams[name].store.scan()]


def fill(world: World, count: int, subject: str = "s.a") -> None:
    for number in range(count):
        world.publish(subject, b"%d" % number)
    world.turn()


def test_same_messages_sequences_and_times() -> None:
    world = World()
    world.create()
    fill(world, 3)
    mirrored(world)
    world.wait(5)
    fill(world, 300)
    assert contents(world, "M") == contents(world, "S")
    assert told(world)["lag"] == 0


def test_an_origin_that_comes_later_and_goes() -> None:
    world = World()
    assert mirrored(world)["error"]["err_code"] == 10059
    assert told(world)["active"] == -1
    world.create()
    fill(world, 2)
    assert "error" not in told(world)
    world.wait(2.25)
    assert 0 <= told(world)["active"] < 1_000_000_000
    world.api("STREAM.DELETE.S")
    world.wait(3)
    assert told(world)["error"]["err_code"] == 10059
    assert told(world)["active"] >= 3_000_000_000
    assert world.state("M")["messages"] == 2


def test_another_origin_of_that_name_goes_on_behind() -> None:
    world = World()
    world.create()
    fill(world, 3)
    mirrored(world)
    world.api("STREAM.DELETE.S")
    world.create()
    fill(world, 5, "s.b")
    assert [subject for _, _, subject, _ in contents(world, "M")] == [b"s.a"] * 3 + [b"s.b"] * 2


def test_a_chain_of_mirrors_and_what_it_ends_in() -> None:
    world = World()
    world.create()
    names = ["S", *(f"M{number}" for number in range(5))]
    for origin, name in zip(names, names[1:], strict=False):
        mirrored(world, name, origin)
    fill(world, 100)
    assert all(contents(world, name) == contents(world, "S") for name in names)


def test_what_cannot_be_taken_is_offered_again() -> None:
    world = World()
    world.create()
    mirrored(world, discard="new", max_msgs=2)
    fill(world, 5)
    assert world.state("M")["messages"] == 2
    assert told(world)["lag"] == 3
    assert told(world)["error"]["err_code"] == 10077
    assert world.outside.failures
    world.api("STREAM.PURGE.M")
    world.wait(5)
    assert world.state("M")["last_seq"] == 4
    world.api("STREAM.UPDATE.M", name="M", mirror={"name": "S"}, storage="memory", discard="new", max_msgs=10)
    world.wait(5)
    assert world.state("M")["last_seq"] == 5
    assert "error" not in told(world)


def test_a_slice_in_a_turn(monkeypatch: Any) -> None:
    monkeypatch.setattr(feed_module, "SLICE", 10)
    world = World()
    world.create()
    fill(world, 1000)
    world.publish("$JS.API.STREAM.CREATE.M", b'{"name":"M","mirror":{"name":"S"},"storage":"memory"}', "R")
    before = 0
    while world.engine.step(world.wall):
        stream = world.account.streams.get("M")
        now = stream.store.last if stream is not None else 0
        assert now - before <= 10 * FEEDS
        before = now
    assert world.state("M")["messages"] == 1000


def test_what_waits_to_be_written_is_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(feed_module, "WINDOW", 10_000)
    world = opened(tmp_path)
    world.create()
    for _ in range(100):
        world.publish("s.a", b"x" * 1000)
    world.turn()
    world.publish("$JS.API.STREAM.CREATE.M", b'{"name":"M","mirror":{"name":"S"},"storage":"file"}', "R")
    world.engine.step(world.wall)
    world.directory.begin()
    world.directory.finish()
    for _ in range(100):
        world.engine.step(world.wall)
    assert world.account.streams["M"].store.last <= 11
    world.turn()
    assert world.state("M")["messages"] == 100
    closed(world)


def test_only_what_is_committed_is_followed(tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create(storage="file")
    mirrored(world)
    world.publish("s.a")
    for _ in range(5):
        world.engine.step(world.wall)
    assert world.account.streams["M"].store.last == 0
    world.turn()
    assert world.account.streams["M"].store.last == 1
    closed(world)


def test_goes_on_after_a_restart(tmp_path: Path) -> None:
    world = opened(tmp_path)
    world.create(storage="file")
    fill(world, 3)
    mirrored(world, storage="file")
    fill(world, 2)
    closed(world)
    world = opened(tmp_path)
    world.turn()
    fill(world, 2)
    assert contents(world, "M") == contents(world, "S")
    assert world.state("M")["messages"] == 7
    closed(world)


def test_a_failing_disk_makes_no_gap(tmp_path: Path) -> None:
    disk = Disk()
    world = opened(tmp_path, disk)
    world.create()  # in memory, and so always ahead
    mirrored(world, storage="file")
    fill(world, 3)
    disk.full = True
    fill(world, 3)
    assert world.account.streams["M"].store.last == 3
    assert told(world)["lag"] == 3
    disk.full = False
    for _ in range(20):
        world.wait(1)
        world.directory.handle_timeout(world.wall)
        world.turn()
    assert contents(world, "M") == contents(world, "S")
    closed(world)


def test_a_mirror_that_becomes_a_stream_follows_no_more() -> None:
    world = World()
    world.create()
    mirrored(world)
    fill(world, 2)
    world.api("STREAM.UPDATE.M", name="M", subjects=["m"], storage="memory")
    fill(world, 2)
    assert world.state("M")["last_seq"] == 2
    assert "mirror" not in world.api("STREAM.INFO.M")
    assert not world.account.followings
    assert not world.account.streams["S"].intake.followed


def test_removing_it_lets_go_of_everything() -> None:
    world = World()
    world.create()
    ears = len(world.outside.ears)
    mirrored(world, mirror_direct=True)
    world.api("STREAM.DELETE.M")
    assert len(world.outside.ears) == ears
    assert not world.account.followings and not world.account.streams["S"].followers
    fill(world, 2)


def test_an_account_that_goes_while_it_is_read() -> None:
    world = World()
    world.create()
    mirrored(world)
    world.create("D", subjects=None, sources=[{"name": "S"}])
    for number in range(1000):
        world.publish("s.a", b"%d" % number)
    world.engine.step(world.wall)
    world.account.close()
    for _ in range(10):
        world.engine.step(world.wall)
    assert world.outside.failures == [] and len(world.engine.feeding) == 0 == world.engine.feeding.active


def test_direct_gets_of_the_origin_when_it_is_gone() -> None:
    world = World()
    world.create(allow_direct=True)
    fill(world, 2)
    for name in ("M", "N"):
        assert world.create(name, subjects=None, mirror={"name": "S"})["config"]["mirror_direct"]
    ((header, _),) = world.ask("$JS.API.DIRECT.GET.S", b'{"seq":1}')
    assert b"Nats-Stream: S\r\n" in header
    world.api("STREAM.DELETE.S")
    ((header, _),) = world.ask("$JS.API.DIRECT.GET.S", b'{"seq":1}')
    assert b"Nats-Stream: M\r\n" in header
    ((header, _),) = world.ask("$JS.API.DIRECT.GET.S.s.a")
    assert b"Nats-Stream: M\r\n" in header
    world.api("STREAM.DELETE.M")
    ((header, _),) = world.ask("$JS.API.DIRECT.GET.S", b'{"seq":1}')
    assert b"Nats-Stream: N\r\n" in header


def test_a_mirror_that_never_had_all_answers_for_nobody() -> None:
    world = World()
    world.create("M", subjects=None, mirror={"name": "S"}, mirror_direct=True)
    assert not world.publish("$JS.API.DIRECT.GET.S", b'{"seq":1}', "R")
