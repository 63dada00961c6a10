"""engine.expiry: messages end when they are too old or when their own time has come, and markers take the place of the last ones."""

import pytest
from worlds import World


def test_max_age() -> None:
    world = World()
    world.create(max_age=10_000_000_000)
    for _ in range(3):
        world.ack("s.a")
        world.wait(4)
    assert world.state()["messages"] == 2
    world.wait(4)
    assert world.state() | {"ts": 0} == world.state() | {"messages": 1, "first_seq": 3, "ts": 0}
    world.wait(10)
    assert world.state()["messages"] == 0
    assert world.engine.next_deadline() is None


def test_a_max_age_that_comes_later() -> None:
    world = World()
    world.create()
    world.ack("s.a")
    world.wait(60)
    world.api("STREAM.UPDATE.S", name="S", subjects=["s.>"], storage="memory", max_age=10_000_000_000)
    world.wait(0)
    assert world.state()["messages"] == 0


@pytest.mark.parametrize("ttl", ["5", "5s"])
def test_a_message_with_its_own_time(ttl: str) -> None:
    world = World()
    world.create(allow_msg_ttl=True)
    world.ack("s.a", Nats_TTL=ttl)
    world.ack("s.a")
    world.wait(4.9)
    assert world.state()["messages"] == 2
    world.wait(0.1)
    assert world.state()["messages"] == 1
    assert world.state()["first_seq"] == 2


def test_a_message_that_never_expires() -> None:
    world = World()
    world.create(allow_msg_ttl=True, max_age=10_000_000_000)
    world.ack("s.a", Nats_TTL="never")
    world.ack("s.a")
    world.wait(20)
    assert world.state()["messages"] == 1
    world.ack("s.b")
    world.wait(20)
    assert world.state(subjects_filter=">")["subjects"] == {"s.a": 1}


def test_the_shortest_time_comes_first() -> None:
    world = World()
    world.create(allow_msg_ttl=True)
    for ttl in (30, 10, 20):
        world.ack(f"s.{ttl}", Nats_TTL=str(ttl))
    seen = []
    for _ in range(3):
        world.wait(10)
        seen.append(sorted(world.state(subjects_filter=">").get("subjects", {})))
    assert seen == [["s.20", "s.30"], ["s.30"], []]


def test_a_marker_takes_the_place_of_the_last_message() -> None:
    world = World()
    world.create(subject_delete_marker_ttl=3600_000_000_000, max_age=10_000_000_000)
    world.ack("s.a")
    world.ack("s.a")
    world.wait(10)
    (stored,) = world.account.streams["S"].store.scan()
    assert (stored.sequence, stored.payload) == (3, b"")
    assert stored.header == b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1h0m0s\r\nNats-Rollup: sub\r\n\r\n"


def test_a_marker_leaves_none() -> None:
    world = World()
    world.create(subject_delete_marker_ttl=2_000_000_000)
    world.ack("s.a", Nats_TTL="5s")
    world.wait(5)
    assert world.state()["last_seq"] == 2 and world.state()["messages"] == 1
    world.wait(2.2)
    assert world.state()["messages"] == 0 and world.state()["last_seq"] == 2
    assert not world.account.streams["S"].expiry.markers


@pytest.mark.parametrize("batched", [False, True])
def test_a_purged_key_leaves_no_marker(batched: bool) -> None:
    """As with nats-server, the purge of a key says already what a marker would say; also after a restart."""
    world = World()
    world.create(subject_delete_marker_ttl=30_000_000_000, max_msgs_per_subject=1, allow_atomic=True)
    batch = {"Nats_Batch_Id": "b", "Nats_Batch_Sequence": "1", "Nats_Batch_Commit": "1"} if batched else {}
    world.ack("s.a", KV_Operation="PURGE", Nats_TTL="1s", **batch)
    world.ack("s.b", KV_Operation="DEL", Nats_TTL="1s")
    world.wait(2)
    assert (world.state()["messages"], world.state()["last_seq"]) == (1, 3)  # the one of s.b


def test_only_the_last_message_leaves_a_marker() -> None:
    world = World()
    world.create(subject_delete_marker_ttl=3600_000_000_000, max_msgs_per_subject=5)
    world.ack("s.a", Nats_TTL="1h")
    world.ack("s.a")
    world.wait(3600)
    assert [stored.sequence for stored in world.account.streams["S"].store.scan()] == [2]


def test_what_is_gone_is_not_remembered() -> None:
    world = World()
    world.create(allow_msg_ttl=True, max_msgs_per_subject=1)
    for _ in range(20_000):
        world.publish("s.a", Nats_TTL="1h")
    world.turn()
    assert len(world.account.streams["S"].expiry._heap) <= 4_097


def test_many_at_once_end_in_slices() -> None:
    world = World()
    world.create(allow_msg_ttl=True)
    for _ in range(2_500):
        world.publish("s.a", Nats_TTL="1s")
    world.turn()
    world.wall += 1_000_000_000
    world.engine.handle_timeout(world.wall)
    assert world.account.streams["S"].store.messages == 1_500
    world.wait(1)
    assert world.state()["messages"] == 0


def test_messages_that_never_expire_are_looked_at_once() -> None:
    world = World()
    world.create(max_age=10_000_000_000, allow_msg_ttl=True)
    for _ in range(3_000):
        world.publish("s.never", Nats_TTL="never")
    world.turn()
    looked = 0
    store = world.account.streams["S"].store
    following = store.next

    def counted(filters: tuple[bytes, ...], start: int) -> int:
        nonlocal looked
        looked += 1
        return following(filters, start)

    store.next = counted  # type: ignore[method-assign]
    for _ in range(10):
        world.publish("s.a")
    assert looked < 100
    world.wait(11)
    assert (world.state()["messages"], looked < 200) == (3_000, True)
    world.publish("s.a")
    world.wait(11)
    assert world.state()["messages"] == 3_000


def test_what_says_that_it_is_a_marker_is_not_remembered_for_ever() -> None:
    world = World()
    world.create("T", subjects=["t"], max_msgs=10, allow_msg_ttl=True)
    world.create(max_msgs=10)
    for _ in range(10_000):
        world.publish("s.a", Nats_Marker_Reason="MaxAge")
        world.publish("t", Nats_Marker_Reason="MaxAge")
    assert len(world.account.streams["S"].expiry.markers) == 0
    assert len(world.account.streams["T"].expiry.markers) < 5_000


def test_what_cannot_be_ended_is_ended_later() -> None:
    world = World()
    world.create(max_age=10_000_000_000)
    world.ack("s.a")
    store = world.account.streams["S"].store
    drop = store.drop

    def fail(below: int) -> int:
        store.drop = drop  # type: ignore[method-assign]
        raise OSError("no")

    store.drop = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no"):
        world.wait(11)
    world.wait(1)
    assert world.state()["messages"] == 0
