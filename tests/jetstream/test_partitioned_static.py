"""Static groups: what members get and in which order, two instances of one member, and what ends them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from group_worlds import PARTITIONS, Record, partitioned_world, write
from js_worlds import World, until

import midge
from midge.errors import InvalidSubjectError
from midge.jetstream.configs import ConsumerConfig
from midge.jetstream.errors import ConsumerNotFoundError, StreamNotFoundError
from midge.jetstream.partitioned.config import MemberMapping, StaticGroupConfig
from midge.jetstream.partitioned.errors import (
    GroupChangedError,
    GroupExistsError,
    GroupNotFoundError,
    InvalidGroupError,
    NotAMemberError,
)
from midge.jetstream.partitioned.static_group import StaticGroup

QUICK = ConsumerConfig(ack_wait=1.0)


async def create(here: World, *members: str, **more: Any) -> StaticGroup:
    return await here.js.create_static_group(here.name, "G", max_members=PARTITIONS, members=members or ("m1", "m2"), **more)


@pytest.mark.cluster
async def test_each_key_goes_to_one_member_in_order(url: str) -> None:
    record = Record()
    async with partitioned_world(url) as here:
        group = await create(here)
        async with group.consume("m1", record.callback("m1")) as m1, group.consume("m2", record.callback("m2"), QUICK):
            await write(here, range(100))
            await until(lambda: len(record.numbers) == 100, 10)
            assert m1.is_consuming and m1.is_pinned and m1.config == StaticGroupConfig(max_members=PARTITIONS, members=["m1", "m2"])
            assert sorted(await group.active_members()) == ["m1", "m2"]
        assert not m1.is_consuming
        await m1.wait()
    assert record.is_in_order() and len(record.rows) == 100
    assert {subject for _, subject, _ in record.rows} == {here.subject(f"k{i}") for i in range(8)}
    assert all(len(record.who(here.subject(f"k{i}"))) == 1 for i in range(8))
    assert {who for who, _, _ in record.rows} == {"m1", "m2"}


async def test_a_group_is_there_until_it_is_deleted(url: str) -> None:
    async with partitioned_world(url) as here:
        with pytest.raises(GroupNotFoundError):
            await here.js.static_group(here.name, "G").config()
        mapped = [MemberMapping(member="a", partitions=[0, 1, 2]), MemberMapping(member="b", partitions=[3])]
        group = await here.js.create_static_group(here.name, "G", max_members=4, member_mappings=mapped)
        again = await here.js.create_static_group(here.name, "G", max_members=4, member_mappings=mapped)
        assert repr(again) == repr(group) == f"<StaticGroup 'G' of stream '{here.name}'>"
        assert (await group.config()).member_names == ["a", "b"]
        assert [name async for name in here.js.static_group_names(here.name)] == ["G"]
        assert [name async for name in here.js.static_group_names("other")] == []
        with pytest.raises(GroupExistsError):
            await here.js.create_static_group(here.name, "G", max_members=5)
        with pytest.raises(NotAMemberError):
            await group.consume("c", print).start()
        await here.js.delete_static_group(here.name, "G")
        for asked in (here.js.delete_static_group(here.name, "G"), group.config(), group.consume("a", print).start()):
            with pytest.raises(GroupNotFoundError):
                await asked
        assert [name async for name in here.js.static_group_names(here.name)] == []
        with pytest.raises(StreamNotFoundError):
            await here.js.create_static_group("no-such-stream", "G", max_members=5)


async def test_what_cannot_be_is_refused_at_once(url: str) -> None:
    async with partitioned_world(url) as here:
        with pytest.raises(InvalidSubjectError):
            here.js.static_group(here.name, "a.b")
        with pytest.raises(InvalidSubjectError):
            here.js.static_group(here.name, "ä")
        with pytest.raises(InvalidGroupError):
            await here.js.create_static_group(here.name, "G", max_members=0)
        with pytest.raises(TypeError):
            await here.js.create_static_group(here.name, "G", max_members=2, members="m1")
        group = here.js.static_group(here.name, "G")
        with pytest.raises(InvalidSubjectError):
            group.consume("a b", print)
        with pytest.raises(TypeError, match="no option 'max_concurrency'"):
            group.consume("a", print, max_concurrency=2)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="a callback is a function"):
            group.consume("a", 7)
        with pytest.raises(ValueError, match="the group decides that"):
            group.consume("a", print, ConsumerConfig(name="x"))


async def test_one_instance_of_a_member_gets_the_messages_and_then_the_other(url: str) -> None:
    """The second one is there from the beginning, has nothing, and goes on when the first one ends."""
    record = Record()
    async with partitioned_world(url) as here:
        group = await create(here, "m")
        first = await group.consume("m", record.callback("first")).start()
        await write(here, range(10))
        await until(lambda: len(record.rows) == 10)
        second = await group.consume("m", record.callback("second")).start()
        await write(here, range(10, 40))
        await until(lambda: len(record.rows) == 40)
        assert {who for who, _, _ in record.rows} == {"first"}
        await first.drain()
        await write(here, range(40, 60))
        await until(lambda: len(record.rows) == 60, 4)  # at once, and not when the pin has run out
        assert second.is_pinned and record.is_in_order()
        await second.stop()


async def test_another_instance_goes_on_when_one_falls_silent(url: str) -> None:
    """What was on its way to the one that is gone comes to the other, before what comes behind it."""
    record, strictly = Record(), ConsumerConfig(ack_wait=1.0, max_ack_pending=1)
    async with partitioned_world(url) as here:
        group = await create(here, "m")
        async with midge.connect(url) as nc:
            await nc.jetstream().static_group(here.name, "G").consume("m", record.callback("first"), strictly).start()
            await write(here, range(10))
            await until(lambda: len(record.rows) == 10)
            async with group.consume("m", record.callback("second"), strictly):
                await nc.close()
                await write(here, range(10, 20))
                await until(lambda: len(record.numbers) == 20, 10)
    assert record.is_in_order() and {who for who, _, number in record.rows if number >= 10} == {"second"}


async def test_the_pinned_instance_steps_down(url: str) -> None:
    record = Record()
    async with partitioned_world(url) as here:
        group = await create(here, "m")
        with pytest.raises(ConsumerNotFoundError):
            await group.step_down("m")
        async with group.consume("m", record.callback("a"), QUICK):
            await write(here, range(4))
            await until(lambda: len(record.rows) == 4)
            async with group.consume("m", record.callback("b"), QUICK):
                consumer = here.stream.consumer("G-m")
                async with asyncio.timeout(5):
                    while (await consumer.info()).num_waiting < 2:
                        await asyncio.sleep(0.01)
                number = 4
                async with asyncio.timeout(10):
                    while {who for who, _, _ in record.rows} != {"a", "b"}:
                        await group.step_down("m")
                        await write(here, range(number, number + 4))
                        number += 4
                await until(lambda: len(record.numbers) == number, 10)


@pytest.mark.parametrize("what", ["deleted", "changed", "malformed", "purged"])
async def test_what_becomes_of_a_group_ends_its_members(url: str, what: str) -> None:
    """They delete their consumers, and say why it ended unless the group was deleted."""
    record = Record()
    async with partitioned_world(url) as here:
        group = await create(here)
        async with group.consume("m1", record.callback("m1")) as m1, group.consume("m2", record.callback("m2")) as m2:
            kv, key = here.js.key_value("static-consumer-groups"), f"{here.name}.G"
            if what == "deleted":
                await here.js.delete_static_group(here.name, "G")
            elif what == "purged":
                await kv.purge(key)
            else:
                await kv.put(key, b'{"max_members":2,"members":["m1"]}' if what == "changed" else b'{"max_members":-2}')
            for each in (m1, m2):
                async with asyncio.timeout(5):
                    if what in ("deleted", "purged"):
                        await each.wait()
                        assert each.last_error is None or isinstance(each.last_error, ConsumerNotFoundError)
                    else:
                        with pytest.raises(GroupChangedError if what == "changed" else InvalidGroupError):
                            await each.wait()
                assert not each.is_consuming
            assert [name async for name in here.stream.consumer_names()] == []
        assert here.subscriptions() <= 1


async def test_who_writes_the_same_again_disturbs_nobody(url: str) -> None:
    record = Record()
    async with partitioned_world(url) as here:
        group = await create(here, "m")
        async with group.consume("m", record.callback("m")) as m:
            kv, key = here.js.key_value("static-consumer-groups"), f"{here.name}.G"
            await kv.put(key, (await kv.get(key)).value)
            await write(here, range(20))
            await until(lambda: len(record.rows) == 20)
            assert m.is_consuming


async def test_a_consumer_that_is_deleted_by_somebody_ends_its_member(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midge.jetstream.partitioned.static_membership.GRACE", 0.1)
    async with partitioned_world(url) as here:
        group = await create(here, "m")
        async with group.consume("m", print) as m:
            async with asyncio.timeout(5):
                while await group.active_members() != ["m"]:
                    await asyncio.sleep(0.01)
            await here.stream.delete_consumer("G-m")
            with pytest.raises(ConsumerNotFoundError):
                async with asyncio.timeout(5):
                    await m.wait()


async def test_a_member_too_many_waits_for_nothing(url: str) -> None:
    async with partitioned_world(url) as here:
        group = await create(here, *(f"m{i}" for i in range(6)))
        async with group.consume("m5", print) as m5:
            assert not m5.is_consuming and await group.active_members() == []


async def test_a_callback_may_end_it(url: str) -> None:
    record = Record()
    async with partitioned_world(url) as here:
        group = await create(here, "m")

        async def handle(message: Any) -> None:
            record.callback("m")(message)
            await m.drain()

        m = group.consume("m", handle, max_messages=1)
        await m.start()
        with pytest.raises(RuntimeError):
            await m.start()
        await write(here, range(5))
        async with asyncio.timeout(5):
            await m.wait()
        assert len(record.rows) >= 1


async def test_a_client_that_closes_or_drains_ends_it(url: str) -> None:
    async with partitioned_world(url) as here:
        group = await create(here)
        for end in ("drain", "close"):
            async with midge.connect(url) as nc:
                mine = nc.jetstream().static_group(here.name, "G")
                consuming = await mine.consume("m1", print, QUICK).start()
                await getattr(nc, end)()
                async with asyncio.timeout(5):
                    await consuming.wait()
                    await consuming.stop()
        assert (await group.config()).max_members == PARTITIONS
