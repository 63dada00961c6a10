"""A JetStream that answers nonsense: whatever it says becomes an error of midge's own, in time, and nothing is stuck afterwards."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from js_worlds import lying, until

import midge
from midge.errors import JetStreamError, MidgeError
from midge.jetstream import requests
from midge.jetstream.errors import ConsumerNotFoundError, MalformedAnswerError
from midge.message import Headers

HUGE = "9" * 400
NONSENSE = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"7",
    b'{"config":7}',
    b'{"config":{"name":7,"max_age":"1h"},"state":{"messages":"many"}}',
    b'{"config":{"subjects":"one"}}',
    b'{"config":{"subjects":[1]}}',
    b'{"state":{"first_ts":7}}',
    b'{"created":"yesterday"}',
    b'{"num_pending":"x","delivered":[1]}',
    b'{"error":{"code":"x","err_code":[],"description":7}}',
    b'{"error":{"code":1e300,"err_code":null}}',
    b'{"error":"no"}',
    b'{"message":7}',
    b'{"message":{"subject":"a","seq":1,"data":"%%%","time":"x"}}',
    b'{"message":{"seq":"1"}}',
    b'{"streams":7,"consumers":{"a":1}}',
    b'{"streams":[7],"consumers":[7],"total":"x"}',
    b'{"purged":"x","reset_seq":[]}',
    b'{"purged":1e300,"api":7,"limits":{"max_memory":"x"}}',
    b'{"state":{"messages":' + HUGE.encode() + b"}}",
    b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
]


class Always(dict[str, Any]):
    """The same answer to all that is asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def get(self, name: str, default: Any = None) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: repr(answer[:40]))
async def test_an_answer_of_the_api_that_makes_no_sense(answer: bytes) -> None:
    async with lying() as (nc, liar):
        liar.answers = Always(answer)
        js = nc.jetstream(timeout=1)
        stream = js.stream("S")
        consumer = stream.consumer("C")

        async def listed(rows: Any) -> list[Any]:
            return [row async for row in rows]

        calls: list[Any] = [
            lambda: js.account_info(),
            lambda: js.create_stream(name="S"),
            lambda: js.ensure_stream(name="S", max_msgs=1),
            lambda: stream.info(),
            lambda: stream.update(max_msgs=1),
            lambda: stream.purge(),
            lambda: stream.get(1, direct=False),
            lambda: stream.get(1, direct=True),
            lambda: stream.get_last_for(["a"], timeout=0.05),
            lambda: stream.create_consumer(name="C"),
            lambda: consumer.info(),
            lambda: consumer.reset(),
            lambda: listed(js.streams()),
            lambda: listed(stream.consumers()),
            lambda: stream.ordered_consumer().begin(),
            lambda: js.key_value("B").get("a"),
            lambda: js.object_store("B").info("a"),
        ]
        for call in calls:
            try:
                await asyncio.wait_for(call(), 3)
            except MidgeError:
                pass  # what makes sense enough is taken


ACKS = [
    b"",
    b"+OK",
    b"[]",
    b'{"stream":7}',
    b'{"stream":"S"}',
    b'{"stream":"S","seq":"1"}',
    b'{"seq":1}',
    b'{"error":"no"}',
    b'{"error":7,"seq":1}',
]


@pytest.mark.parametrize("answer", ACKS, ids=repr)
async def test_an_acknowledgement_that_makes_no_sense(answer: bytes) -> None:
    async with lying() as (nc, liar):
        js = nc.jetstream(timeout=1)
        await liar.nc.subscribe("a", callback=lambda message: message.respond(answer))
        await nc.flush()
        with pytest.raises(MalformedAnswerError):
            await js.publish("a")
        pending = await js.publish_async("a")
        with pytest.raises(MalformedAnswerError, match="'a' is no stream"):
            await pending
        await js.publish_async_done(1)


async def test_an_acknowledgement_with_an_error_and_a_sequence_is_an_error() -> None:
    async with lying() as (nc, liar):
        js = nc.jetstream(timeout=1)
        both = b'{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":7}'

        def twice(message: midge.Message) -> None:
            message.respond(both)
            message.respond(b'{"stream":"S","seq":8}')

        await liar.nc.subscribe("a", callback=twice)
        for _ in range(3):
            with pytest.raises(JetStreamError, match="maximum messages"):
                await js.publish("a")
            with pytest.raises(JetStreamError, match="maximum messages"):
                await (await js.publish_async("a"))
        assert js.publish_async_pending == 0


@pytest.mark.parametrize("number", [HUGE * 12, "99999999999999999999", "-1", "x"], ids=lambda number: number[:5])
async def test_a_status_with_numbers_that_make_no_sense_ends_a_request(number: str) -> None:
    """Compiled, it has to fit into 64 bits."""
    async with lying() as (nc, liar):
        replies: list[str] = []
        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=lambda message: replies.append(message.reply))
        fetching = asyncio.create_task(nc.jetstream().stream("S").consumer("C").fetch(5, timeout=5))
        await until(lambda: replies)
        headers = {"Nats-Pending-Messages": number, "Nats-Pending-Bytes": number}
        await liar.nc.publish(replies[0], headers=Headers(headers, status=408, description="Request Timeout"))
        assert await asyncio.wait_for(fetching, 1) == []


async def test_consuming_goes_on_after_an_answer_that_makes_no_sense(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody takes its request, and whether the consumer is there is answered with nonsense: it asks again."""
    async with lying() as (nc, liar):
        liar.answers["CONSUMER.INFO.S.C"] = b"nonsense"
        asked: list[str] = []

        def refuse(message: midge.Message) -> None:
            asked.append(message.reply)

        await liar.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.S.C", callback=refuse)
        consuming = nc.jetstream(timeout=1).stream("S").consumer("C").consume()
        taking = asyncio.create_task(anext(aiter(consuming)))  # type: ignore[arg-type]
        await until(lambda: asked)
        await liar.nc.publish(asked[0], headers=Headers(status=503))
        await until(lambda: isinstance(consuming.last_error, MalformedAnswerError))
        await until(lambda: len(asked) == 2)
        liar.answers["CONSUMER.INFO.S.C"] = {"error": {"code": 404, "err_code": 10014, "description": "consumer not found"}}
        await liar.nc.publish(asked[1], headers=Headers(status=503))
        with pytest.raises(ConsumerNotFoundError):
            await asyncio.wait_for(taking, 2)


async def test_a_fast_batch_that_is_told_nonsense() -> None:
    async with lying() as (nc, liar):
        for said in (
            b"nonsense",
            b"[]",
            b'{"type":"ack"}',
            b'{"type":"gap","seq":"x"}',
            b'{"type":"err"}',
            json.dumps({"type": "err", "error": 7}).encode(),
        ):
            subscription = await liar.nc.subscribe("a", callback=lambda message, said=said: message.respond(said))
            ingest = nc.jetstream(timeout=1).fast_ingest()
            with pytest.raises(MalformedAnswerError):
                await ingest.add("a", b"1")
            ingest.leave()
            subscription.unsubscribe()
            await liar.nc.flush()


# Lists that do not end


class Endless(dict[str, Any]):
    """The answers of a server whose lists have always another page.

    Args:
        page: returns the entries of the page from an offset on.
        total: returns how many there are in all, as it says there.
    """

    def __init__(self, page: Any, total: Any) -> None:
        self.page = page
        self.total = total

    def get(self, name: str, default: Any = None) -> Any:
        return lambda body: self.answer(name, body["offset"])

    def answer(self, name: str, offset: int) -> Any:
        names = self.page(offset)
        if name == "STREAM.INFO.S":
            return {"state": {"subjects": dict.fromkeys(names, offset + 1)}, "total": self.total(offset)}
        field = "consumers" if name.startswith("CONSUMER") else "streams"
        rows = [{"stream_name": "S", "name": each, "config": {"name": each}, "num_pending": offset} for each in names]
        return {field: names if "NAMES" in name else rows, "total": self.total(offset)}


def numbered(size: int) -> Any:
    return lambda offset: [f"N{number}" for number in range(offset, offset + size)]


LISTS: dict[str, Any] = {
    "streams": lambda js: js.streams(),
    "stream names": lambda js: js.stream_names(),
    "consumers": lambda js: js.stream("S").consumers(),
    "consumer names": lambda js: js.stream("S").consumer_names(),
    "subjects": lambda js: js.stream("S").subjects(),
}
HOSTILE = {
    "the same page": (lambda offset: ["A", "B"], lambda offset: 10**18),
    "more and more": (numbered(4_000), lambda offset: offset + 5_000),
    "one at a time": (numbered(1), lambda offset: 10**18),
}


@pytest.mark.parametrize("list_of", LISTS)
@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_list_that_does_not_end(monkeypatch: pytest.MonkeyPatch, list_of: str, hostile: str) -> None:
    monkeypatch.setattr(requests, "_MOST_PAGES", 50)
    async with lying() as (nc, liar):
        liar.answers = Endless(*HOSTILE[hostile])
        with pytest.raises(MalformedAnswerError, match="does not end"):
            async with asyncio.timeout(20):
                async for _ in LISTS[list_of](nc.jetstream(timeout=5)):
                    pass
        assert len(liar.asked) <= 50


@pytest.mark.parametrize("list_of", LISTS)
async def test_a_list_that_changes_while_it_is_read(list_of: str) -> None:
    """What is new on the way is there, and a page that begins with what was the last one before is no repetition."""
    names = [f"N{number}" for number in range(9)]

    async with lying() as (nc, liar):
        liar.answers = Endless(lambda offset: names[max(offset - 1, 0) :][:3], lambda offset: min(7 + offset, 10))
        found = [row async for row in LISTS[list_of](nc.jetstream(timeout=5))]
        assert len(found) >= 9 and len(liar.asked) == 4


async def test_a_page_without_anything_ends_a_list() -> None:
    async with lying() as (nc, liar):
        liar.answers = Endless(lambda offset: ["A"] if not offset else [], lambda offset: 10**18)
        assert [name async for name in nc.jetstream(timeout=5).stream_names()] == ["A"]
        assert len(liar.asked) == 2
