"""Elastic groups: members that come and go, with nothing lost and each key in order, and what becomes of them otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import pytest
from group_worlds import PARTITIONS, Record, write
from js_worlds import World, until, world
from nodes import Node, started
from servers import find_nats_server

import midge
from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.errors import ConsumerExistsError, ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.message import StreamMessage
from midge.jetstream.partitioned.config import ElasticGroupConfig, MemberMapping, PartitioningFilter
from midge.jetstream.partitioned.elastic_group import ElasticGroup
from midge.jetstream.partitioned.errors import GroupChangedError, GroupExistsError, GroupNotFoundError, InvalidGroupError

QUICK = ConsumerConfig(ack_wait=1.0)


async def create(here: World, *members: str, **more: Any) -> ElasticGroup:
    by_key = [PartitioningFilter(filter=f"{here.name}.*", partitioning_wildcards=[1])]
    group = await here.js.create_elastic_group(here.name, "G", max_members=PARTITIONS, **({"partitioning_filters": by_key} | more))
    if members:
        await group.add_members(*members)
    return group


async def remove(here: World) -> None:
    await here.js.delete_elastic_group(here.name, "G")


class Busy:
    """Callbacks of members: no two have the same key at a time, whoever they are."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.running: dict[str, str] = {}

    def callback(self, who: str, seconds: float = 0.001) -> Any:
        async def handle(message: StreamMessage) -> None:
            assert message.subject not in self.running, f"{who} has {message.subject} at the same time as {self.running[message.subject]}"
            self.running[message.subject] = who
            await asyncio.sleep(seconds)
            self.record.callback(who)(message)
            del self.running[message.subject]

        return handle


@pytest.mark.cluster
async def test_members_come_and_go_and_nothing_is_lost(url: str) -> None:
    """While messages come, a member is added, a third one, and the first dropped: every key is consumed in order, by one at a time."""
    record = Record()
    busy = Busy(record)
    async with world(url) as here:
        group = await create(here, "m1")
        async with (
            group.consume("m1", busy.callback("m1"), QUICK) as m1, group.consume("m2", busy.callback("m2"), QUICK) as m2,
            group.consume("m3", busy.callback("m3"), QUICK) as m3,
        ):  # fmt: skip
            assert m1.is_consuming and not m2.is_consuming
            await write(here, range(100))
            await until(lambda: len(record.numbers) >= 50)
            assert await group.add_members("m2") == ["m1", "m2"]
            await write(here, range(100, 200))
            await until(lambda: m2.is_consuming and m2.is_pinned, 10)
            await group.add_members("m3")
            await write(here, range(200, 300))
            await until(lambda: m3.is_pinned, 10)
            assert await group.drop_members("m1") == ["m2", "m3"]
            await write(here, range(300, 400))
            await until(lambda: not m1.is_consuming and len(record.numbers) == 400, 10)
            assert sorted(await group.active_members()) == ["m2", "m3"]
            assert {who for who, _, number in record.rows if number >= 390} == {"m2", "m3"}
        assert m1.errors == m2.errors == m3.errors == 0
        await remove(here)
    assert record.is_in_order() and record.numbers == set(range(400))
    assert {who for who, _, _ in record.rows} == {"m1", "m2", "m3"}


async def test_many_changes_one_after_the_other_lose_nothing(url: str) -> None:
    """Members, two instances of one of them, and mappings; nobody waits until the others have followed."""
    record, dice = Record(), random.Random(7)
    busy = Busy(record)
    async with world(url) as here, contextlib.AsyncExitStack() as stack:
        group = await create(here, "m0")
        names = ["m0", "m1", "m2", "m0"]
        here_too = [await stack.enter_async_context(group.consume(name, busy.callback(name), QUICK)) for name in names]
        for step in range(20):
            await write(here, range(step * 20, step * 20 + 20))
            chosen = dice.sample(["m0", "m1", "m2"], dice.randrange(4))
            config = await group.config()
            if dice.random() < 0.3:
                shares = [list(range(index, PARTITIONS, 3)) for index in range(3)]
                await group.set_mappings([MemberMapping(member=f"m{i}", partitions=share) for i, share in enumerate(shares)])
            elif config.member_mappings:
                await group.delete_mappings()
            elif chosen:
                await (group.add_members if dice.random() < 0.5 else group.drop_members)(*chosen)
            await asyncio.sleep(dice.random() * 0.05)
        await group.delete_mappings()
        await group.add_members("m0", "m1", "m2")
        await until(lambda: len(record.numbers) == 400, 30)
        assert sum(each.errors for each in here_too) == 0
        await remove(here)
    assert record.is_in_order()


async def test_a_group_is_there_until_it_is_deleted(url: str) -> None:
    async with world(url) as here:
        group = await create(here, max_buffered_messages=100)
        again = await create(here, max_buffered_messages=100)
        assert repr(again) == repr(group) == f"<ElasticGroup 'G' of stream '{here.name}'>"
        info = await group.stream.info()
        assert (info.config.name, info.config.retention, info.config.max_msgs, info.config.discard, info.config.storage) == (
            f"{here.name}-G", "workqueue", 100, "new", "memory"
        )  # fmt: skip
        with pytest.raises(GroupExistsError):
            await create(here)
        assert [name async for name in here.js.elastic_group_names(here.name)] == ["G"]
        assert await group.active_members() == []
        assert await group.add_members("a", "b", "a") == ["a", "b"]
        assert await group.add_members("b") == ["a", "b"]
        assert await group.drop_members("a", "x") == ["b"]
        with pytest.raises(InvalidGroupError):
            await group.set_mappings([MemberMapping(member="a", partitions=[0])])
        with pytest.raises(InvalidGroupError):
            await group.set_mappings([])
        mapped = [MemberMapping(member="a", partitions=[0, 3]), MemberMapping(member="b", partitions=[1, 2])]
        await group.set_mappings(mapped)
        config = await group.config()
        assert (config.members, config.member_mappings) == ([], mapped)
        for change in (group.add_members("c"), group.drop_members("a")):
            with pytest.raises(InvalidGroupError, match="mapped"):
                await change
        await group.delete_mappings()
        assert (await group.config()).member_names == []
        with pytest.raises(ConsumerNotFoundError):
            await group.step_down("a")
        await remove(here)
        for asked in (here.js.delete_elastic_group(here.name, "G"), group.config(), group.add_members("a")):
            with pytest.raises(GroupNotFoundError):
                await asked


async def test_what_is_left_of_a_group_can_be_deleted_and_nothing_else(url: str) -> None:
    async with world(url) as here:
        group = await create(here)
        await here.js.key_value("elastic-consumer-groups").delete(f"{here.name}.G")
        await remove(here)
        with pytest.raises(StreamNotFoundError):
            await group.stream.info()
        other = await here.js.create_stream(name=f"{here.name}-G", subjects=[f"{here.name}-other"], storage="memory")
        with pytest.raises(GroupNotFoundError):
            await remove(here)
        await other.delete()


async def test_mappings_say_who_gets_what(url: str) -> None:
    record = Record()
    async with world(url) as here:
        group = await create(here)
        await group.set_mappings([MemberMapping(member="a", partitions=[0, 1, 2]), MemberMapping(member="b", partitions=[3])])
        async with group.consume("a", record.callback("a"), QUICK) as a, group.consume("b", record.callback("b"), QUICK):
            await write(here, range(40))
            await until(lambda: len(record.rows) == 40)
            shares = {who: {subject for named, subject, _ in record.rows if named == who} for who in "ab"}
            assert len(shares["a"]) + len(shares["b"]) == 8
            await group.set_mappings([MemberMapping(member="a", partitions=[3]), MemberMapping(member="b", partitions=[0, 1, 2])])
            await until(lambda: a._filters == ["3.>"] and a.is_consuming, 10)
            await write(here, range(40, 80))
            await until(lambda: len(record.numbers) == 80, 10)
            assert {subject for who, subject, number in record.rows if who == "a" and number >= 40} == shares["b"]
            assert {subject for who, subject, number in record.rows if who == "b" and number >= 40} == shares["a"]
        assert record.is_in_order()
        await remove(here)


async def test_a_callback_that_runs_finishes_before_its_partition_changes_hands(url: str) -> None:
    """What was at hand behind it is not worked on here any more."""
    record, began, go_on = Record(), asyncio.Event(), asyncio.Event()

    async def slowly(message: StreamMessage) -> None:
        began.set()
        await go_on.wait()
        record.callback("a")(message)

    async with world(url) as here:
        group = await create(here, "a")
        async with group.consume("a", slowly) as a, group.consume("b", record.callback("b")) as b:
            await write(here, range(8))
            await began.wait()
            await group.drop_members("a")
            await group.add_members("b")
            await until(lambda: not a.is_consuming)
            await until(lambda: b.last_error is not None)
            assert record.rows == [] and not b.is_consuming
            go_on.set()
            await until(lambda: len(record.rows) == 8, 10)
            assert [who for who, _, _ in record.rows] == ["a", *"bbbbbbb"]
            assert record.numbers == set(range(8))
        await remove(here)


async def test_instances_of_one_member_go_through_changes_together(url: str) -> None:
    record = Record()
    async with world(url) as here:
        group = await create(here, "m")
        async with group.consume("m", record.callback("one"), QUICK) as one, group.consume("m", record.callback("two"), QUICK) as two:
            await write(here, range(20))
            await until(lambda: len(record.rows) == 20)
            assert len({who for who, _, _ in record.rows}) == 1
            await group.add_members("n")
            async with group.consume("n", record.callback("n"), QUICK) as n:
                await until(lambda: all(each.is_consuming and len(each._filters) == 2 for each in (one, two, n)), 10)
                await write(here, range(20, 60))
                await until(lambda: len(record.numbers) == 60, 10)
                assert one.is_pinned + two.is_pinned == 1
            await group.drop_members("n")
            await write(here, range(60, 80))
            await until(lambda: len(record.numbers) == 80, 10)
        assert record.is_in_order()
        await remove(here)


async def test_an_instance_lets_the_pinned_one_finish(url: str) -> None:
    """Both hear that a member has come; the one that waits to be pinned does not delete the consumer under the other's callback."""
    record, began, go_on = Record(), asyncio.Event(), asyncio.Event()

    async def slowly(message: StreamMessage) -> None:
        began.set()
        await go_on.wait()
        record.callback("one")(message)

    async with world(url) as here:
        group = await create(here, "m")
        async with group.consume("m", slowly), group.consume("m", record.callback("two")) as two:
            await write(here, range(8))
            await began.wait()
            await group.add_members("n")
            await until(lambda: isinstance(two.last_error, ConsumerExistsError))
            assert record.rows == [] and (await group.stream.consumer("m").info()).num_ack_pending == 8
            async with group.consume("n", record.callback("n")):
                go_on.set()
                await until(lambda: len(record.rows) == 8, 10)
        assert record.is_in_order()
        await remove(here)


async def test_stopping_cancels_the_callback_and_what_it_had_comes_again(url: str) -> None:
    record, began = Record(), asyncio.Event()

    async def forever(message: StreamMessage) -> None:
        began.set()
        await asyncio.sleep(60)

    async with world(url) as here:
        group = await create(here, "m")
        with pytest.raises(KeyError):
            async with group.consume("m", forever, QUICK) as first:
                await write(here, range(8))
                await began.wait()
                raise KeyError
        await first.wait()
        async with group.consume("m", record.callback("m"), QUICK):
            await until(lambda: len(record.numbers) == 8, 10)
        await remove(here)


async def test_what_a_callback_raises_for_comes_again(url: str) -> None:
    """And the order within a key stays, where no more than one message is under way."""
    record, failed = Record(), set[int]()

    def handle(message: StreamMessage) -> None:
        number = int(message.data)
        if number % 3 == 0 and number not in failed:
            failed.add(number)
            raise ValueError(number)
        record.callback("m")(message)

    async with world(url) as here:
        group = await create(here, "m")
        async with group.consume("m", handle, ConsumerConfig(max_ack_pending=1), backoff=[0.01]) as m:
            await write(here, range(20))
            await until(lambda: len(record.rows) == 20, 10)
            assert m.errors == 7
            await group.add_members("n")
            await until(lambda: m._filters == ["0." + here.subject("*"), "1." + here.subject("*")] and m.is_consuming)
            assert m.errors == 7
        assert record.is_in_order()
        await remove(here)


async def test_a_consumer_that_is_deleted_is_made_again(url: str) -> None:
    record = Record()
    async with world(url) as here:
        group = await create(here, "m")
        async with group.consume("m", record.callback("m"), QUICK):
            await write(here, range(10))
            await until(lambda: len(record.rows) == 10)
            await group.stream.delete_consumer("m")
            await write(here, range(10, 20))
            await until(lambda: len(record.numbers) == 20, 10)
        await remove(here)


async def test_other_settings_of_another_instance_do_no_harm(url: str) -> None:
    record = Record()
    async with world(url) as here:
        group = await create(here, "m")
        careful = ConsumerConfig(ack_wait=2.0, max_ack_pending=1)
        async with group.consume("m", record.callback("m"), QUICK), group.consume("m", record.callback("m"), careful) as second:
            await write(here, range(20))
            await until(lambda: len(record.rows) == 20)
            assert second.is_consuming and second.last_error is None
        await remove(here)


@pytest.mark.parametrize("what", ["deleted", "changed", "malformed", "stream"])
async def test_what_becomes_of_a_group_ends_its_members(url: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is no member just now, or whose partition another one has."""
    monkeypatch.setattr("midge.jetstream.partitioned.elastic_membership.GRACE", 0.1)
    record = Record()
    async with world(url) as here:
        group = await create(here, "m1")
        async with group.consume("m1", record.callback("m1"), QUICK) as m1, group.consume("m2", record.callback("m2"), QUICK) as m2:
            await write(here, range(10))
            await until(lambda: len(record.rows) == 10)
            kv, key = here.js.key_value("elastic-consumer-groups"), f"{here.name}.G"
            if what == "deleted":
                await remove(here)
            elif what == "stream":
                await group.add_members("m2")
                await until(lambda: m2.is_consuming)
                await group.stream.delete()
            else:
                await kv.put(key, b'{"max_members":2,"members":["m1"]}' if what == "changed" else b'{"max_members":2,')
            for each in (m1, m2):
                async with asyncio.timeout(5):
                    if what == "deleted":
                        await each.wait()
                    else:
                        kinds = {"changed": GroupChangedError, "malformed": InvalidGroupError, "stream": StreamNotFoundError}
                        with pytest.raises(kinds[what]):
                            await each.wait()
                assert not each.is_consuming
        assert here.subscriptions() <= 1
        if what != "deleted":
            await remove(here)


@pytest.mark.parametrize("value", [b"", b"7", b'{"max_members":1000000000000,"members":["m"]}', b'{"max_members":2,"members":{}}'])
async def test_a_malformed_configuration_is_a_clear_error(url: str, value: bytes) -> None:
    async with world(url) as here:
        group = await create(here, "m")
        await here.js.key_value("elastic-consumer-groups").put(f"{here.name}.G", value)
        for asked in (group.config(), group.add_members("n"), group.consume("m", print).start(), group.active_members(), create(here)):
            with pytest.raises(InvalidGroupError, match="makes no sense"):
                async with asyncio.timeout(5):
                    await asked
        await remove(here)


async def test_a_group_of_all_subjects(url: str) -> None:
    record = Record()
    async with world(url) as here:
        group = await create(here, "m", partitioning_filters=[])
        assert await group.config() == ElasticGroupConfig(max_members=PARTITIONS, members=["m"])
        async with group.consume("m", record.callback("m"), QUICK):
            await write(here, range(40))
            await until(lambda: len(record.rows) == 40)
            assert record.is_in_order() and record.rows[0][1] == here.subject("k0")
        with pytest.raises(ValueError, match="explicit"):
            group.consume("m", print, ConsumerConfig(ack_policy="none"))
        with pytest.raises(ValueError, match="inactive_threshold"):
            group.consume("m", print, ConsumerConfig(inactive_threshold=1.0))
        await remove(here)


@pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")
async def test_members_survive_a_server_that_is_killed(tmp_path: Path) -> None:
    record = Record()
    node = Node(f'jetstream {{ store_dir: "{tmp_path}" }}')
    with started(node):
        async with world(node.url, storage="file", options={"max_reconnects": None}) as here:
            group = await create(here, "m1", "m2")
            async with group.consume("m1", record.callback("m1"), QUICK), group.consume("m2", record.callback("m2"), QUICK):
                await write(here, range(40))
                await until(lambda: len(record.rows) == 40)
                node.kill()
                await until(lambda: not here.nc.is_connected)
                node.start()
                await until(lambda: here.nc.is_connected, 10)
                await write(here, range(40, 80))
                await until(lambda: len(record.numbers) == 80, 10)
                await group.drop_members("m2")
                await write(here, range(80, 120))
                await until(lambda: len(record.numbers) == 120, 10)
            assert record.is_in_order()
            await remove(here)


async def test_a_client_that_closes_ends_it(url: str) -> None:
    async with world(url) as here:
        await create(here, "m1")
        for member in ("m1", "m2"):
            async with midge.connect(url) as nc:
                consuming = await nc.jetstream().elastic_group(here.name, "G").consume(member, print, QUICK).start()
                await nc.close()
                async with asyncio.timeout(5):
                    await consuming.wait()
                    await consuming.drain()
        await remove(here)
