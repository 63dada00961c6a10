"""Streams, consumers and the account: made, found, changed and removed; and what a newer server may add to them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from js_worlds import filled, lying, world

import midge
from midge.jetstream.configs import ConsumerConfig, ConsumerLimits, StreamConfig, StreamSource, SubjectTransform
from midge.jetstream.errors import (
    ConsumerExistsError,
    ConsumerNotFoundError,
    JetStreamNotEnabledError,
    MessageNotFoundError,
    NoStreamError,
    StreamNameInUseError,
    StreamNotFoundError,
)


async def test_a_stream_is_made_from_a_configuration_or_from_keywords(url: str) -> None:
    async with world(url) as here:
        config = StreamConfig(name=here.name + "x", subjects=[here.name + "x.>"], storage="memory", max_age=60)
        stream = await here.js.create_stream(config, description="of keywords, too", duplicate_window=timedelta(seconds=30))
        assert stream.config.max_age == 60.0 and stream.config.duplicate_window == 30.0 and stream.config.description == "of keywords, too"
        assert stream.last_info.created is not None and stream.last_info.created.tzinfo is not None
        again = await here.js.create_stream(stream.config)
        assert again.name == stream.name
        with pytest.raises(StreamNameInUseError) as caught:
            await here.js.create_stream(name=stream.name, subjects=["other.>"])
        assert isinstance(caught.value, ValueError) and caught.value.err_code == 10058
        await stream.delete()
        with pytest.raises(StreamNotFoundError) as gone:
            await stream.info()
        assert isinstance(gone.value, LookupError)
        with pytest.raises(StreamNotFoundError):
            await here.js.delete_stream(stream.name)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a>", "*", "a/b", "a\\b", "a\r\nb"])
async def test_a_name_that_cannot_be_one_is_refused(url: str, name: str) -> None:
    async with world(url) as here:
        with pytest.raises(midge.InvalidSubjectError):
            await here.js.create_stream(name=name)
        with pytest.raises(midge.InvalidSubjectError):
            here.js.stream(name)
        with pytest.raises(midge.InvalidSubjectError):
            here.stream.consumer(name)
        with pytest.raises(midge.InvalidSubjectError):
            await here.stream.create_consumer(name=name)


async def test_a_field_that_is_none_is_refused(url: str) -> None:
    async with world(url) as here:
        with pytest.raises(TypeError, match="has no field 'max_ages'"):
            await here.js.create_stream(name="X", max_ages=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="list of subjects"):
            await here.js.create_stream(name="X", subjects="x.>")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="list of subjects"):
            await here.stream.create_consumer(filter_subjects="x.>")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await here.js.create_stream({"name": "X"})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="number of seconds"):
            await here.js.create_stream(name="X", max_age="1h")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="time zone"):
            await here.stream.create_consumer(deliver_policy="by_start_time", opt_start_time=datetime(2026, 1, 1))


async def test_an_update_changes_what_is_given_and_nothing_else(url: str) -> None:
    async with world(url, max_msgs=5, description="before", consumer_limits=ConsumerLimits(max_ack_pending=100)) as here:
        await here.stream.update(description="after", consumer_limits=ConsumerLimits(inactive_threshold=60))
        config = (await here.stream.info()).config
        assert (config.description, config.max_msgs, config.allow_direct) == ("after", 5, True)
        assert config.consumer_limits is not None
        assert (config.consumer_limits.inactive_threshold, config.consumer_limits.max_ack_pending) == (60.0, 100)
        whole = await here.js.update_stream(name=here.name, subjects=[f"{here.name}.>"], storage="memory", max_msgs=7)
        assert whole.config.max_msgs == 7 and not whole.config.description
        with pytest.raises(StreamNotFoundError):
            await here.js.update_stream(name="NONE")
        with pytest.raises(StreamNotFoundError):
            await here.js.stream("NONE").update(max_msgs=1)
        with pytest.raises(midge.JetStreamError):
            await here.stream.update(storage="file")


async def test_a_stream_is_updated_or_made(url: str) -> None:
    async with world(url) as here:
        name = here.name + "x"
        stream = await here.js.create_or_update_stream(name=name, subjects=[name], storage="memory")
        assert (await here.js.create_or_update_stream(name=name, subjects=[name], storage="memory", max_msgs=1)).config.max_msgs == 1
        await stream.delete()


STREAMS: list[dict[str, Any]] = [
    {},
    {
        "max_age": 3600,
        "duplicate_window": 60,
        "max_msgs": -1,
        "max_bytes": 0,
        "compression": "none",
        "discard": "old",
        "retention": "limits",
    },
    {"duplicate_window": 0, "num_replicas": 0, "storage": "file", "deny_delete": False, "max_msg_size": 0, "no_ack": False},
    {"metadata": {"owner": "me"}, "description": "", "consumer_limits": ConsumerLimits(inactive_threshold=60)},
    {"subject_transform": SubjectTransform(src="in.*", dest="out.{{wildcard(1)}}"), "allow_rollup_hdrs": True, "first_seq": 5},
    {
        "max_msgs_per_subject": 10,
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs": 100,
        "allow_direct": True,
        "persist_mode": "default",
    },
]


@pytest.mark.parametrize("given", STREAMS, ids=lambda given: "+".join(given))
async def test_a_stream_that_is_as_it_should_be_is_left(url: str, given: dict[str, Any]) -> None:
    """A harmless difference, such as what the server fills in, is none; nor is what somebody else has set."""
    async with world(url) as here:
        name = here.name + "x"
        wanted = {"name": name, "subjects": [f"{name}.b", f"{name}.a"]} | given
        stream = await here.js.ensure_stream(**wanted)
        try:
            await stream.update(metadata=(stream.config.metadata or {}) | {"of": "somebody else"}, max_consumers=None)
            created = (await stream.info()).created
            before = await advised(here, name)
            again = await here.js.ensure_stream(StreamConfig(**wanted))
            assert again.config.metadata is not None and again.config.metadata["of"] == "somebody else"
            await here.js.ensure_stream(**(wanted | {"subjects": [f"{name}.a", f"{name}.b"]}))
            assert (await stream.info()).created == created
            assert await advised(here, name) == before
            changed = await here.js.ensure_stream(**(wanted | {"max_bytes": 100_000, "metadata": {"new": "1"}}))
            config = (await changed.info()).config
            assert config.max_bytes == 100_000 and config.metadata is not None
            assert (config.metadata["new"], config.metadata["of"]) == ("1", "somebody else")
        finally:
            await stream.delete()


async def advised(here: Any, name: str) -> int:
    """How often the server has said that a stream was changed: it is asked to watch from the first call on."""
    if not hasattr(here, "advice"):
        here.advice = []
        await here.nc.subscribe(f"$JS.EVENT.ADVISORY.*.*.{name}", callback=here.advice.append)
        await here.nc.subscribe(f"$JS.EVENT.ADVISORY.*.*.{name}.*", callback=here.advice.append)
    await here.nc.flush()
    await here.js.account_info()
    return len([each for each in here.advice if json.loads(each.data).get("action") == "modify"])


CONSUMERS: list[dict[str, Any]] = [
    {},
    {"ack_wait": 5, "max_deliver": 3, "max_ack_pending": 0, "max_waiting": 0, "replay_policy": "instant", "deliver_policy": "all"},
    {"backoff": [1, 5], "max_deliver": 5, "ack_wait": 30},
    {"filter_subjects": ["S.b", "S.a"], "inactive_threshold": 300},
    {"filter_subject": "S.a", "headers_only": False, "metadata": {"owner": "me"}},
    {"ack_policy": "none", "max_deliver": 0, "sample_freq": "100"},
    {"priority_groups": ["jobs"], "priority_policy": "overflow"},
    {"deliver_subject": "there", "flow_control": True, "idle_heartbeat": 5, "max_ack_pending": 10},
]


@pytest.mark.parametrize("given", CONSUMERS, ids=lambda given: "+".join(given))
async def test_a_consumer_that_is_as_it_should_be_is_left(url: str, given: dict[str, Any]) -> None:
    async with world(url) as here:
        for name in ("filter_subject", "filter_subjects"):
            if name in given:
                own = given[name]
                moved = [here.subject(each[2:]) for each in own] if isinstance(own, list) else here.subject(own[2:])
                given = given | {name: moved}
        wanted = {"durable_name": "C"} | given
        consumer = await here.stream.ensure_consumer(**wanted)
        assert consumer.config.ack_policy == given.get("ack_policy", "explicit")
        asked: list[str] = []
        watching = await here.nc.subscribe("$JS.API.CONSUMER.CREATE.>", callback=lambda message: asked.append(message.subject))
        await here.stream.ensure_consumer(**wanted)
        await here.stream.ensure_consumer(ConsumerConfig(**wanted))
        if "filter_subjects" in wanted:
            await here.stream.ensure_consumer(**(wanted | {"filter_subjects": wanted["filter_subjects"][::-1]}))
        await here.nc.flush()
        assert asked == []
        await here.stream.ensure_consumer(**(wanted | {"description": "other"}))
        assert (await consumer.info()).config.description == "other"
        await here.nc.flush()
        assert len(asked) == 1
        watching.unsubscribe()


async def test_a_filter_may_become_several_and_one_again(url: str) -> None:
    async with world(url) as here:
        consumer = await here.consumer(filter_subject=here.subject("a"))
        several = [here.subject("a"), here.subject("b")]
        await consumer.update(filter_subjects=several)
        assert (await consumer.info()).config.filter_subjects == several and not consumer.config.filter_subject
        await consumer.update(filter_subject=here.subject("c"))
        assert (await consumer.info()).config.filter_subject == here.subject("c") and not consumer.config.filter_subjects


async def test_what_a_newer_server_adds_is_kept_and_sent_back() -> None:
    config = {
        "name": "S", "subjects": ["s.>"], "retention": "by_moon", "storage": "cloud", "max_age": 10**9, "glow": {"colour": "red"},
        "sources": [{"name": "O", "speed": 7}],
    }  # fmt: skip
    own = {"durable_name": "C", "name": "C", "ack_policy": "flow_control", "mood": ["good"], "ack_wait": 10**9, "priority_policy": "newest"}
    async with lying() as (nc, liar):
        liar.answers["STREAM.INFO.S"] = {
            "config": config,
            "state": {"messages": 3, "shine": 1},
            "created": "2026-01-01T00:00:00Z",
            "halo": True,
        }
        liar.answers["STREAM.UPDATE.S"] = lambda body: {"config": body, "state": {}, "did_create": False}
        info = {"stream_name": "S", "name": "C", "config": own, "aura": 3}
        liar.answers["CONSUMER.INFO.S.C"] = info
        liar.answers["CONSUMER.CREATE.S.C"] = lambda body: info | {"config": body["config"]}
        liar.answers["CONSUMER.LIST.S"] = {"total": 1, "offset": 0, "limit": 256, "consumers": [info]}
        stream = nc.jetstream().stream("S")
        found = await stream.info()
        assert found.config.retention == "by_moon" and found.unknown == {"halo": True} and found.state.unknown == {"shine": 1}
        await stream.update(description="new")
        assert liar.asked[-1] == ("STREAM.UPDATE.S", config | {"description": "new"})
        consumer = stream.consumer("C")
        await consumer.update(max_deliver=2)
        assert liar.asked[-1][1]["config"] == own | {"max_deliver": 2} and liar.asked[-1][1]["action"] == "update"
        (listed,) = [each async for each in stream.consumers()]
        assert listed.config.ack_policy == "flow_control" and listed.unknown == {"aura": 3}


async def test_pages_are_turned_to_the_last_one() -> None:
    names = [f"S{number}" for number in range(10)]

    def page(body: dict[str, Any]) -> dict[str, Any]:
        offset = body["offset"]
        return {"total": 10, "offset": offset, "limit": 3, "streams": names[offset : offset + 3]}

    def subjects(body: dict[str, Any]) -> dict[str, Any]:
        offset = body["offset"]
        part = {name: 1 for name in names[offset : offset + 4]}
        return {"total": 10, "offset": offset, "limit": 4, "config": {"name": "S"}, "state": {"subjects": part}}

    async with lying() as (nc, liar):
        js = nc.jetstream()
        liar.answers["STREAM.NAMES"] = page
        assert [name async for name in js.stream_names()] == names
        assert [body["offset"] for _, body in liar.asked] == [0, 3, 6, 9]
        assert [name async for name in js.stream_names("orders.>")] == names and liar.asked[-1][1]["subject"] == "orders.>"
        liar.answers["STREAM.INFO.S"] = subjects
        assert dict([pair async for pair in js.stream("S").subjects()]) == dict.fromkeys(names, 1)
        liar.answers["STREAM.NAMES"] = {"total": 10, "offset": 0, "limit": 3, "streams": None}  # fewer by now than there were
        assert [name async for name in js.stream_names()] == []
        with pytest.raises(NoStreamError):
            await js.stream_name_of("orders")


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b"null", b'"text"'])
async def test_an_answer_that_is_none_is_an_error(answer: bytes) -> None:
    async with lying() as (nc, liar):
        liar.answers["INFO"] = answer or b" "
        with pytest.raises(ValueError):
            await nc.jetstream().account_info()


async def test_an_error_is_told_by_its_number() -> None:
    kinds: list[tuple[int, type[Exception]]] = [
        (10059, StreamNotFoundError), (10014, ConsumerNotFoundError), (10037, MessageNotFoundError), (10058, StreamNameInUseError),
        (10148, ConsumerExistsError), (10039, JetStreamNotEnabledError), (10076, JetStreamNotEnabledError), (19999, midge.JetStreamError),
    ]  # fmt: skip
    async with lying() as (nc, liar):
        for number, kind in kinds:
            liar.answers["INFO"] = {"error": {"code": 400, "err_code": number, "description": "so it is"}}
            with pytest.raises(kind) as caught:
                await nc.jetstream().account_info()
            assert isinstance(caught.value, midge.JetStreamError) and caught.value.err_code == number and "so it is" in str(caught.value)
        liar.answers["INFO"] = None
        with pytest.raises(midge.MidgeTimeoutError, match="the JetStream request INFO"):
            await nc.jetstream(timeout=0.05).account_info()


async def test_streams_are_found_by_what_they_take(url: str) -> None:
    async with world(url) as here, world(url) as other:
        assert await here.js.stream_name_of(here.subject("x")) == here.name
        assert [name async for name in here.js.stream_names(here.subject(">"))] == [here.name]
        names = {info.config.name async for info in here.js.streams()}
        assert {here.name, other.name} <= names
        account = await here.js.account_info()
        assert account.streams >= 2 and account.limits.max_streams == -1 and account.api.level >= 1


async def test_messages_are_read_where_they_are(url: str) -> None:
    async with filled(url, 5) as (here, _):
        await here.js.publish(here.subject("b"), b"six", headers={"X": "1"})
        for direct in (True, False, None):
            message = await here.stream.get(6, direct=direct)
            assert (message.subject, message.seq, message.data, dict(message.headers)) == (here.subject("b"), 6, b"six", {"X": "1"})
            assert message.stream == here.name and abs((datetime.now(UTC) - message.time).total_seconds()) < 60
            assert (await here.stream.get(1, next_by_subject=here.subject("b"), direct=direct)).seq == 6
            assert (await here.stream.get_last(here.subject("a"), direct=direct)).data == b"5"
            with pytest.raises(MessageNotFoundError):
                await here.stream.get(7, direct=direct)
            with pytest.raises(MessageNotFoundError):
                await here.stream.get_last(here.subject("none"), direct=direct)
        assert [message.seq for message in await here.stream.get_batch(here.subject("a"), batch=3, seq=2)] == [2, 3, 4]
        assert await here.stream.get_batch(here.subject("none"), batch=3) == []
        assert [message.seq for message in await here.stream.get_batch(batch=9, start_time=datetime.now(UTC) - timedelta(hours=1))] == [
            1,
            2,
            3,
            4,
            5,
            6,
        ]
        assert [message.seq for message in await here.stream.get_last_for([here.subject("*")])] == [5, 6]
        assert [message.seq for message in await here.stream.get_last_for([here.subject("*")], up_to_seq=4)] == [4]
        assert await here.stream.get_last_for([here.subject("none")]) == []
        with pytest.raises(TypeError):
            await here.stream.get_last_for("a")
        assert dict([pair async for pair in here.stream.subjects()]) == {here.subject("a"): 5, here.subject("b"): 1}


async def test_a_direct_get_that_nobody_answers_says_why(url: str) -> None:
    async with world(url, allow_direct=False) as here:
        await here.fill(1)
        assert (await here.stream.get(1)).data == b"1"
        with pytest.raises(midge.JetStreamError, match="allow_direct"):
            await here.stream.get(1, direct=True)
        with pytest.raises(midge.JetStreamError, match="allow_direct"):
            await here.stream.get_batch(batch=1)


async def test_messages_are_removed(url: str) -> None:
    async with filled(url, 10) as (here, _):
        await here.fill(2, "b")
        await here.stream.delete_message(1)
        await here.stream.delete_message(2, erase=False)
        info = await here.stream.info(deleted=True)
        assert info.state.messages == 10 and info.state.first_seq == 3
        with pytest.raises(midge.JetStreamError):
            await here.stream.delete_message(1)
        assert await here.stream.purge(here.subject("a"), keep=3) == 5
        assert await here.stream.purge(seq=12) == 4
        assert await here.stream.purge() == 1
        with pytest.raises(ValueError, match="not both"):
            await here.stream.purge(seq=1, keep=1)


@pytest.mark.cluster
async def test_consumers_are_made_changed_and_removed(url: str) -> None:
    async with filled(url, 3) as (here, consumer):
        assert await here.stream.create_consumer(durable_name="C") is not None
        with pytest.raises(ConsumerExistsError) as caught:
            await here.stream.create_consumer(durable_name="C", max_deliver=2)
        assert isinstance(caught.value, ValueError)
        with pytest.raises(ConsumerNotFoundError):
            await here.stream.update_consumer(durable_name="D")
        updated = await here.stream.create_or_update_consumer(durable_name="C", max_deliver=4)
        assert updated.config.max_deliver == 4
        await here.stream.create_or_update_consumer(durable_name="D")
        unnamed = await here.stream.create_consumer(inactive_threshold=60)
        assert {name async for name in here.stream.consumer_names()} == {"C", "D", unnamed.name}
        assert {info.name async for info in here.stream.consumers()} == {"C", "D", unnamed.name}
        await consumer.pause(datetime.now(UTC) + timedelta(hours=1))
        async with asyncio.timeout(5):
            while not (info := await consumer.info()).paused:
                pass  # in a cluster, it is agreed on first
        assert 3500 < info.pause_remaining < 3601
        assert await consumer.fetch(1, timeout=0.1) == []
        await consumer.resume()
        assert len(await consumer.fetch(3, timeout=20)) == 3
        assert await consumer.reset(2) == 2
        assert (await consumer.next(20)).data == b"2"
        await consumer.delete()
        with pytest.raises(ConsumerNotFoundError):
            await consumer.info()
        with pytest.raises(ConsumerNotFoundError):
            await here.stream.delete_consumer("C")
        with pytest.raises(StreamNotFoundError):
            await here.js.stream("NONE").create_consumer(durable_name="C")


async def test_a_mirror_and_a_source_say_how_far_they_are(url: str) -> None:
    async with world(url) as here:
        await here.fill(3)
        mirror = await here.js.create_stream(name=here.name + "m", storage="memory", mirror=StreamSource(name=here.name))
        ensured = await here.js.ensure_stream(name=here.name + "m", mirror=StreamSource(name=here.name))
        info = await ensured.info()
        assert info.mirror is not None and info.mirror.name == here.name
        await mirror.delete()


async def test_what_needs_a_cluster_is_refused_without_one(url: str) -> None:
    async with world(url) as here:
        consumer = await here.consumer()
        cluster = (await here.stream.info()).cluster
        if cluster is not None and cluster.replicas:
            pytest.skip("there is one")
        for call in (here.stream.step_down, lambda: here.stream.remove_peer("n1"), consumer.step_down):
            with pytest.raises(midge.JetStreamError, match="clustering support required"):
                await call()
