"""Publishing to a stream: options, refusals, retries, and what the caller's headers look like afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from js_worlds import lying, until, world

import midge
from midge.jetstream.context import JetStream
from midge.jetstream.errors import JetStreamUnavailableError, NoStreamError, WrongLastError
from midge.jetstream.schedule import Schedule


async def test_a_stream_says_what_it_has(url: str) -> None:
    async with world(url) as here:
        ack = await here.js.publish(here.subject(), b"one")
        assert (ack.stream, ack.seq, ack.duplicate, ack.value) == (here.name, 1, False, None)
        assert (await here.stream.get(1)).data == b"one"


async def test_a_message_id_is_stored_once(url: str) -> None:
    async with world(url) as here:
        first = await here.js.publish(here.subject(), b"one", msg_id="42")
        again = await here.js.publish(here.subject(), b"one", msg_id="42")
        assert (first.duplicate, again.duplicate, again.seq) == (False, True, first.seq)


@pytest.mark.cluster
@pytest.mark.parametrize(
    "options",
    [
        {"expected_last_seq": 5},
        {"expected_last_subject_seq": 5},
        {"expected_last_msg_id": "other"},
        {"expected_last_subject_seq": 7, "expected_last_subject_seq_subject": "SELF.*"},
    ],
    ids=lambda options: "+".join(options),
)
async def test_what_is_not_the_last_is_refused_as_such(url: str, options: dict[str, Any]) -> None:
    async with world(url) as here:
        await here.js.publish(here.subject(), b"one", msg_id="1")
        if "expected_last_subject_seq_subject" in options:
            options = options | {"expected_last_subject_seq_subject": here.subject("*")}
        with pytest.raises(WrongLastError) as caught:
            await here.js.publish(here.subject(), b"two", **options)
        assert isinstance(caught.value, ValueError) and caught.value.last == "1"


async def test_what_is_the_last_is_taken(url: str) -> None:
    async with world(url) as here:
        await here.js.publish(here.subject(), msg_id="1", expected_stream=here.name, expected_last_seq=0, expected_last_subject_seq=0)
        ack = await here.js.publish(here.subject(), expected_last_msg_id="1", expected_last_seq=1)
        assert ack.seq == 2
        with pytest.raises(midge.JetStreamError) as caught:
            await here.js.publish(here.subject(), expected_stream="OTHER")
        assert caught.value.err_code == 10060


async def test_a_message_lives_as_long_as_it_is_told(url: str) -> None:
    async with world(url, allow_msg_ttl=True, allow_rollup_hdrs=True) as here:
        await here.js.publish(here.subject(), ttl=timedelta(hours=1))
        await here.js.publish(here.subject(), ttl="never")
        assert [message.headers["Nats-TTL"] for message in await here.stream.get_batch(batch=5)] == ["1h0m0s", "never"]
        await here.js.publish(here.subject(), rollup="sub")
        assert (await here.stream.info()).state.messages == 1


async def test_a_ttl_on_a_stream_that_has_none_is_refused(url: str) -> None:
    async with world(url) as here:
        with pytest.raises(midge.JetStreamError):
            await here.js.publish(here.subject(), ttl=10)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ttl": 0.5}, ValueError),
        ({"ttl": float("nan")}, ValueError),
        ({"ttl": True}, TypeError),
        ({"rollup": "everything"}, ValueError),
        ({"expected_last_seq": -1}, ValueError),
        ({"expected_last_seq": "1"}, TypeError),
        ({"expected_last_subject_seq": True}, TypeError),
        ({"msg_id": 42}, TypeError),
        ({"msg_id": "a\r\nNats-Rollup: all"}, midge.InvalidHeaderError),
        ({"schedule": "@daily"}, TypeError),
        ({"message_id": "42"}, TypeError),
    ],
    ids=str,
)
async def test_an_option_that_makes_no_sense_sends_nothing(url: str, options: dict[str, Any], error: type[Exception]) -> None:
    async with world(url) as here:
        with pytest.raises(error):
            await here.js.publish(here.subject(), **options)
        with pytest.raises(error):
            await here.js.publish_async(here.subject(), **options)
        assert (await here.stream.info()).state.messages == 0


async def test_the_headers_of_the_caller_stay_as_they_are(url: str) -> None:
    """nats-py writes its own into them."""
    async with world(url) as here:
        plain = {"X": "1"}
        own = midge.Headers({"X": "1"})
        await here.js.publish(here.subject(), headers=plain, msg_id="1")
        await here.js.publish(here.subject(), headers=own, msg_id="2")
        await (await here.js.publish_async(here.subject(), headers=own, msg_id="3"))
        assert plain == {"X": "1"} and own == midge.Headers({"X": "1"})
        assert dict((await here.stream.get(1)).headers) == {"X": "1", "Nats-Msg-Id": "1"}


async def test_a_subject_that_no_stream_takes_is_said_so(url: str) -> None:
    async with world(url) as here:
        with pytest.raises(NoStreamError, match="no stream takes subject 'nobody.here'") as caught:
            await here.js.publish("nobody.here")
        assert isinstance(caught.value, midge.NoRespondersError)


async def test_a_publish_that_nobody_takes_is_tried_again() -> None:
    """A leader may be elected just then."""
    async with midge.Server(port=0, listen=False) as server, midge.connect(server) as nc, midge.connect(server) as other:
        publishing = asyncio.create_task(JetStream(nc).publish("orders", b"1"))
        later = await JetStream(nc).publish_async("orders", b"2")
        await until(lambda: nc.stats.in_msgs >= 2)
        assert not publishing.done() and not later.is_done
        await other.subscribe("orders", callback=lambda message: message.respond(b'{"stream":"S","seq":%b}' % message.data))
        assert (await publishing).seq == 1
        assert (await later).seq == 2


async def said(js: JetStream, how: str, subject: str) -> midge.PubAck:
    """Publish in one of the two ways."""
    return await js.publish(subject, b"1") if how == "publish" else await (await js.publish_async(subject, b"1"))


UNAVAILABLE = {"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}
BOTH = pytest.mark.parametrize("how", ["publish", "publish_async"])


@BOTH
@pytest.mark.parametrize("says", [{"total": 1, "streams": ["S"]}, UNAVAILABLE], ids=["there-is-a-stream", "the-cluster-has-no-leader"])
async def test_a_publish_that_nobody_takes_is_tried_again_for_longer_where_there_is_a_stream(how: str, says: dict[str, Any]) -> None:
    """A leader is elected, which takes longer than a few attempts. Where there is no stream, nobody waits for one."""
    async with lying() as (nc, liar):
        liar.answers["STREAM.NAMES"] = lambda body: says if body["subject"] == "orders.new" else {"total": 0, "streams": None}
        js = nc.jetstream(retry_wait=0.01)
        publishing = asyncio.create_task(said(js, how, "orders.new"))
        await until(lambda: len(liar.asked) >= 3)
        assert not publishing.done()
        await liar.nc.subscribe("orders.new", callback=lambda message: message.respond(b'{"stream":"S","seq":7}'))
        assert (await publishing).seq == 7
        with pytest.raises(NoStreamError):
            await said(js, how, "orders.old")


@BOTH
async def test_a_publish_whose_stream_gets_no_leader_says_so(how: str) -> None:
    async with lying() as (nc, liar):
        liar.answers["STREAM.NAMES"] = {"total": 1, "streams": ["S"]}
        with pytest.raises(JetStreamUnavailableError, match="'orders': its stream has no leader") as caught:
            await said(nc.jetstream(retry_time=0.1, retry_wait=0.02), how, "orders")
        assert not isinstance(caught.value, LookupError)


async def test_a_publish_is_over_when_its_time_is_also_while_it_is_asked_whether_there_is_a_stream() -> None:
    async with lying() as (nc, liar):
        await liar.nc.subscribe("$JS.API.STREAM.NAMES", callback=lambda message: None)
        liar.subscription.unsubscribe()
        await liar.nc.flush()
        begun = time.monotonic()
        with pytest.raises(JetStreamUnavailableError):
            await nc.jetstream(retry_wait=0.01).publish("orders", timeout=0.3)
        assert time.monotonic() < begun + 0.9


@BOTH
async def test_how_long_a_publish_is_tried_again_can_be_said(how: str) -> None:
    async with lying() as (nc, liar):
        with pytest.raises(NoStreamError):
            await said(nc.jetstream(retry_time=0), how, "orders")
        assert nc.stats.out_msgs == 1 and not liar.asked
        for wrong in ({"retry_time": -1}, {"retry_wait": 0}, {"retry_wait": float("nan")}, {"retry_time": float("inf")}):
            with pytest.raises(ValueError, match="retry_"):
                nc.jetstream(**wrong)
        with pytest.raises(TypeError, match="retry_time"):
            nc.jetstream(retry_time="1")  # type: ignore[arg-type]


async def test_a_publish_that_is_not_answered_says_what_it_waited_for() -> None:
    async with midge.Server(port=0, listen=False) as server, midge.connect(server) as nc:
        await nc.subscribe("orders")
        with pytest.raises(midge.MidgeTimeoutError, match="publish on 'orders'.*no acknowledgement came"):
            await nc.jetstream().publish("orders", timeout=0.05)
        with pytest.raises(midge.MidgeTimeoutError):
            await nc.jetstream(timeout=0.05).publish("orders")


async def test_an_answer_that_is_no_streams_is_an_error() -> None:
    async with lying() as (nc, _):
        await nc.subscribe("orders", callback=lambda message: message.respond(b"thanks"))
        with pytest.raises(ValueError, match="is no stream: b'thanks'"):
            await nc.jetstream().publish("orders")
        with pytest.raises(ValueError, match="is no stream: b'thanks'"):
            await (await nc.jetstream().publish_async("orders"))


async def test_a_domain_or_a_prefix_leads_elsewhere() -> None:
    async with lying() as (nc, _):
        assert nc.jetstream(domain="hub").prefix == "$JS.hub.API"
        assert nc.jetstream(prefix="js.of.other.").prefix == "js.of.other"
        with pytest.raises(ValueError, match="not both"):
            nc.jetstream(domain="hub", prefix="js")
        with pytest.raises(midge.InvalidSubjectError):
            nc.jetstream(domain="a.b")
        for wrong in (0, True, 1.5):
            with pytest.raises((ValueError, TypeError)):
                nc.jetstream(max_pending=wrong)  # type: ignore[arg-type]


async def test_where_there_is_no_jetstream_it_is_said_so() -> None:
    async with midge.Server(port=0, listen=False) as server, midge.connect(server) as nc:
        with pytest.raises(midge.JetStreamError, match=r"nobody answers under \$JS.API: JetStream is not enabled"):
            await nc.jetstream().account_info()


async def test_a_schedule_is_stored_and_what_it_sends_reaches_who_waits(url: str) -> None:
    async with world(url, allow_msg_schedules=True, allow_msg_ttl=True) as here:
        consumer = await here.consumer(filter_subject=here.subject("out"))
        fetching = asyncio.create_task(consumer.next(5))
        schedule = Schedule.at(datetime.now(UTC) + timedelta(milliseconds=100), here.subject("out"), ttl=60)
        await here.js.publish(here.subject("plan"), b"tick", schedule=schedule)
        message = await fetching
        assert message.data == b"tick" and message.headers["Nats-Scheduler"] == here.subject("plan")
        assert message.headers["Nats-TTL"] == "1m0s"
        await here.js.publish(here.subject("plan"), b"tick", schedule=Schedule.every(60, here.subject("out")))
        await here.js.publish(
            here.subject("plan"), b"tick", schedule=Schedule.cron("@daily", here.subject("out"), time_zone="Europe/Berlin")
        )
        assert (await here.stream.get_last(here.subject("plan"))).headers["Nats-Schedule-Time-Zone"] == "Europe/Berlin"


@pytest.mark.parametrize("make", [lambda: Schedule.at(datetime(2030, 1, 1), "a"), lambda: Schedule.every(0.5, "a")])
def test_a_schedule_that_makes_no_sense_is_refused(make: Callable[[], Schedule]) -> None:
    with pytest.raises(ValueError, match=r"time zone|a second"):
        make()
