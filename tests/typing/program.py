"""A program as a user writes it, which type checkers must accept at their strictest, with the types that it asserts.

``test_typing.py`` gives it to mypy and to pyright; it also runs. A line that ends in ``# error`` is one that they must refuse.
"""

import asyncio
from collections.abc import Iterator
from typing import assert_type

import midge


def on_error(error: Exception) -> None:
    print(error)


async def on_event(event: midge.events.Event) -> None:
    match event:
        case midge.events.SlowConsumer(subject, sid, dropped):
            print(subject, sid, dropped)
        case midge.events.Closed(error):
            assert_type(error, Exception | None)
        case _:
            assert_type(event.kind, str)


async def connect() -> None:
    nc = await midge.connect("nats://127.0.0.1:4222")
    assert_type(nc, midge.Client)


async def listen(nc: midge.Client) -> None:
    async for event in nc.events():
        assert_type(event, midge.events.Event)
        await on_event(event)


def count(message: midge.Message) -> None:
    print(message.subject)


async def double(message: midge.Message) -> None:
    await message.respond(b"%d" % (2 * int(message.data)), headers={"By": "double"})


def given(headers: midge.HeadersLike | None) -> midge.Headers:
    return midge.Headers(headers)


def headers() -> None:
    found = midge.Headers({"Trace": "1", "Tag": ["a", "b"]})
    assert_type(found.get("trace"), str | None)
    assert_type(found.get("trace", "none"), str)
    assert_type(found.get("trace", 7), str | int)
    assert_type(found["trace"], str)
    assert_type(found.get_all("tag"), list[str])
    assert_type(found.multi_items(), list[tuple[str, str]])
    assert_type(dict(found), dict[str, str])
    found["a"] = "1"
    found.update({"b": ["2", "3"]}, c="4")
    del found["a"]
    midge.Message("a", b"", "", found)
    midge.Message("a", headers=[("a", "1"), ("a", "2")])
    for one in (given(found), given({"a": "1", "b": ["2"]}), given([("a", "1")]), given(None)):
        assert_type(one, midge.Headers)


def name(message: midge.Message) -> str:
    match message:
        case midge.Message(subject, b"", reply=""):
            return subject
        case midge.Message(_, data):
            return data.decode()


async def main() -> None:
    async with midge.Server(port=0) as server, midge.connect(server, name="typed", error_callback=on_error, event_callback=on_event) as nc:
        listening = asyncio.create_task(listen(nc))
        assert_type(nc.last_error, Exception | None)
        assert_type(nc, midge.Client)
        sub = await nc.subscribe("a", queue="q", on_full="drop_old")
        assert_type(sub, midge.Subscription)
        await nc.subscribe("b", callback=count)
        await nc.subscribe("math.double", callback=double, max_concurrency=4)
        await nc.publish("a", b"1", headers={"Trace": "1"})
        nc.publish("a", "2", headers=[("a", "1"), ("a", "2")])
        assert_type(await sub.next(timeout=1.0), midge.Message)
        async for message in sub:
            assert_type(message, midge.Message)
            print(message.data, message.headers["a"], name(message))
            break
        answer = await nc.request("math.double", b"21", timeout=2.0)
        assert_type(answer.data, bytes)
        assert_type(answer.reply, str)
        assert_type(answer.status, int | None)
        async for reply in nc.request_many("math.double", "21", timeout=2.0, max_msgs=1, sentinel=lambda last: last.data == b"0"):
            assert_type(reply, midge.Message)
        async with nc.request_many("math.double", b"21", stall=0.1, sentinel=None) as replies:
            assert_type(replies, midge.Replies)
            print([reply.size async for reply in replies], replies.reason)
        assert_type(await nc.rtt(), float)
    await listening


def wrong(nc: midge.Client, message: midge.Message) -> Iterator[object]:
    """Never called."""
    yield nc.publish("a", 7)  # error
    yield nc.subscribe("a", "queue")  # error
    yield nc.subscribe("a", on_full="newest")  # error
    yield midge.Message("a", None)  # error
    yield midge.Message(b"a")  # error
    message.data = b""  # error
    midge.Headers()["a"] = 7  # error


if __name__ == "__main__":
    headers()
    asyncio.run(main())
