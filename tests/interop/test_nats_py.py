"""nats-py, the official client for Python, on our server: what its users do must work as it does on nats-server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import midge

nats = pytest.importorskip("nats")
errors = pytest.importorskip("nats.errors")

PATIENCE = 20.0  # only bounds the wait for what must come


@pytest.fixture
def server() -> Iterator[midge.Server]:
    with midge.Server(port=0) as server:
        yield server


@asynccontextmanager
async def client(server: midge.Server, **options: Any) -> AsyncIterator[Any]:
    """A connected nats-py client that does not reconnect, and closes in the end."""
    nc = nats.NATS()
    try:
        await nc.connect(server.url, allow_reconnect=False, connect_timeout=PATIENCE, **options)
        yield nc
    finally:
        await nc.close()
        if nc._transport is not None:  # it forgets to close it where connecting failed
            nc._transport.close()


async def texts(sub: Any, count: int) -> list[bytes]:
    """The payloads of the next messages."""
    return [(await sub.next_msg(PATIENCE)).data for _ in range(count)]


# Connecting


def test_who_is_connected(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server, name="orders") as nc:
            assert nc.is_connected and nc.max_payload == 1 << 20 and nc.client_id == 1
            assert await nc.rtt() > 0
            assert str(nc.connected_server_version) >= "2.11"
            assert not nc.discovered_servers
        assert nc.is_closed

    asyncio.run(main())


@pytest.mark.parametrize(
    "options, right, wrong",
    [
        ({"user": "bob", "password": "secret"}, {"user": "bob", "password": "secret"}, {"user": "bob", "password": "guess"}),
        ({"user": "bob", "password": "secret"}, {"user": "bob", "password": "secret"}, {"token": "secret"}),
        ({"user": "bob", "password": "secret"}, {"user": "bob", "password": "secret"}, {}),
        ({"token": "t\u00e4"}, {"token": "t\u00e4"}, {"token": "t"}),
        ({"token": "t"}, {"token": "t"}, {}),
        ({}, {"user": "anybody", "password": "x"}, None),
    ],
    ids=str,
)
def test_credentials(options: dict[str, str], right: dict[str, str], wrong: dict[str, str] | None) -> None:
    async def main(server: midge.Server) -> None:
        async with client(server, **right) as nc:
            sub = await nc.subscribe("a")
            await nc.publish("a", b"in")
            assert await texts(sub, 1) == [b"in"]
        if wrong is not None:
            with pytest.raises((errors.AuthorizationError, errors.Error), match="(?i)authorization|no servers"):
                async with client(server, **wrong):
                    pass

    with midge.Server(port=0, **options) as server:  # type: ignore[arg-type]
        asyncio.run(main(server))


def test_credentials_in_the_url() -> None:
    async def main(url: str) -> None:
        nc = await nats.connect(url, allow_reconnect=False)
        await nc.flush(PATIENCE)
        await nc.close()

    with midge.Server(port=0, user="bob", password="secret") as server:
        asyncio.run(main(server.url.replace("nats://", "nats://bob:secret@")))
    with midge.Server(port=0, token="secret") as server:
        asyncio.run(main(server.url.replace("nats://", "nats://secret@")))


def test_the_server_goes_and_comes_back(server: midge.Server) -> None:
    """nats-py reconnects to the same port and subscribes again."""

    async def main() -> None:
        events: asyncio.Queue[str] = asyncio.Queue()

        async def disconnected() -> None:
            await events.put("disconnected")

        async def reconnected() -> None:
            await events.put("reconnected")

        async def no_error(_: Exception) -> None: ...

        nc = await nats.connect(
            server.url, reconnect_time_wait=0.01, max_reconnect_attempts=-1, error_cb=no_error,
            disconnected_cb=disconnected, reconnected_cb=reconnected,
        )  # fmt: skip
        sub = await nc.subscribe("a")
        await nc.flush(PATIENCE)
        await asyncio.to_thread(server.__exit__)
        assert await asyncio.wait_for(events.get(), PATIENCE) == "disconnected"
        await asyncio.to_thread(server.__enter__)
        assert await asyncio.wait_for(events.get(), PATIENCE) == "reconnected"
        await nc.publish("a", b"again")
        assert await texts(sub, 1) == [b"again"]
        await nc.close()

    asyncio.run(main())


# Publish and subscribe


def test_publish_and_subscribe(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as one, client(server) as two:
            sub, every = await one.subscribe("a.b"), await one.subscribe(">")
            await one.flush(PATIENCE)
            await two.publish("a.b", b"1")
            await two.publish("a.c", b"2")
            await two.publish("a.b", b"3", reply="answers")
            assert await texts(sub, 2) == [b"1", b"3"]
            messages = [await every.next_msg(PATIENCE) for _ in range(3)]
            assert [(msg.subject, msg.reply, msg.data) for msg in messages] == [
                ("a.b", "", b"1"), ("a.c", "", b"2"), ("a.b", "answers", b"3"),
            ]  # fmt: skip

    asyncio.run(main())


@pytest.mark.parametrize(
    "pattern, subjects",
    [
        ("a.*", ["a.b", "a.c"]),
        ("*.b", ["a.b", "x.b"]),
        ("a.>", ["a.b", "a.c", "a.b.c", "a.b.c.d"]),
        ("*.*", ["a.b", "a.c", "x.b"]),
        (">", ["a.b", "a.c", "x.b", "a", "a.b.c", "a.b.c.d"]),
        ("a.*.c", ["a.b.c"]),
        ("a.*.>", ["a.b.c", "a.b.c.d"]),
    ],
)
def test_wildcards(pattern: str, subjects: list[str], server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as nc:
            sub = await nc.subscribe(pattern)
            for subject in ("a.b", "a.c", "x.b", "a", "a.b.c", "a.b.c.d"):
                await nc.publish(subject, subject.encode())
            await nc.flush(PATIENCE)
            assert [text.decode() for text in await texts(sub, len(subjects))] == subjects and sub.pending_msgs == 0

    asyncio.run(main())


def test_queue_groups(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as one, client(server) as two, client(server) as publisher:
            members = [await nc.subscribe("jobs.*", queue="workers") for nc in (one, two) for _ in range(2)]
            audit = await one.subscribe("jobs.>", queue="audit")
            plain = await two.subscribe("jobs.new")
            for nc in (one, two):
                await nc.flush(PATIENCE)
            for number in range(200):
                await publisher.publish("jobs.new", b"%d" % number)
            for nc in (publisher, one, two):
                await nc.flush(PATIENCE)
            shares = [member.pending_msgs for member in members]
            assert sum(shares) == 200 and all(shares)
            assert audit.pending_msgs == plain.pending_msgs == 200

    asyncio.run(main())


def test_no_echo(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server, no_echo=True) as nc, client(server) as other:
            mine, theirs = await nc.subscribe("a"), await other.subscribe("a")
            await other.flush(PATIENCE)
            await nc.publish("a", b"x")
            await nc.flush(PATIENCE)
            assert await texts(theirs, 1) == [b"x"] and mine.pending_msgs == 0

    asyncio.run(main())


@pytest.mark.parametrize("size", [0, 1, 4096, 65535, 65536, 65537, 1 << 20])
def test_payloads(size: int, server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as nc:
            sub = await nc.subscribe("a")
            data = bytes(range(256)) * (size // 256 + 1)
            for _ in range(3):
                await nc.publish("a", data[:size])
            assert await texts(sub, 3) == [data[:size]] * 3

    asyncio.run(main())


def test_max_payload() -> None:
    async def main(server: midge.Server) -> None:
        async with client(server) as nc:
            assert nc.max_payload == 1000
            with pytest.raises(errors.MaxPayloadError):
                await nc.publish("a", b"x" * 1001)
            await nc.publish("a", b"x" * 1000)
            await nc.flush(PATIENCE)
            assert nc.is_connected

    with midge.Server(port=0, max_payload=1000) as server:
        asyncio.run(main(server))


def test_many_messages_in_order(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as one, client(server) as two:
            count, received = 20_000, []
            done = asyncio.get_running_loop().create_future()

            async def receive(msg: Any) -> None:
                received.append(int(msg.data))
                if len(received) == count:
                    done.set_result(None)

            await one.subscribe("a", cb=receive)
            await one.flush(PATIENCE)
            for number in range(count):
                await two.publish("a", b"%d" % number)
            await asyncio.wait_for(done, PATIENCE)
            assert received == list(range(count))

    asyncio.run(main())


def test_a_subscriber_with_a_limit_of_its_own(server: midge.Server) -> None:
    async def main() -> None:
        slow: asyncio.Queue[Exception] = asyncio.Queue()
        async with client(server, error_cb=slow.put) as nc, client(server) as publisher:
            held = asyncio.Event()

            async def receive(_: Any) -> None:
                await held.wait()

            await nc.subscribe("a", cb=receive, pending_msgs_limit=5)
            other = await nc.subscribe("a")
            await nc.flush(PATIENCE)
            for number in range(20):
                await publisher.publish("a", b"%d" % number)
            assert isinstance(await asyncio.wait_for(slow.get(), PATIENCE), errors.SlowConsumerError)
            assert await texts(other, 20) == [b"%d" % number for number in range(20)]
            held.set()
            assert nc.is_connected

    asyncio.run(main())


# Unsubscribe and drain


def test_unsubscribe(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as nc:
            sub, other = await nc.subscribe("a"), await nc.subscribe("a")
            await nc.publish("a", b"1")
            assert await texts(other, 1) == [b"1"]  # a flush of nats-py's may return early
            await sub.unsubscribe()
            await nc.publish("a", b"2")
            assert await texts(other, 1) == [b"2"] and sub.pending_msgs <= 1

    asyncio.run(main())


def test_auto_unsubscribe(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as nc, client(server) as one, client(server) as two:
            sub, other = await nc.subscribe("a"), await nc.subscribe("a")
            await sub.unsubscribe(limit=5)
            await nc.flush(PATIENCE)
            received = []
            for number in range(5):
                for publisher in (one, two):
                    await publisher.publish("a", b"%d" % number)
                    await publisher.flush(PATIENCE)
            assert len(await texts(other, 10)) == 10
            while len(received) < 5:
                received.append(await sub.next_msg(PATIENCE))
            assert [msg.data for msg in received] == [b"0", b"0", b"1", b"1", b"2"]
            with pytest.raises(errors.Error):
                await sub.next_msg(0.01)

    asyncio.run(main())


def test_drain(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as publisher:
            nc = await nats.connect(server.url, allow_reconnect=False)
            received = []

            async def receive(msg: Any) -> None:
                await asyncio.sleep(0)
                received.append(msg.data)

            await nc.subscribe("a", cb=receive)
            await nc.flush(PATIENCE)
            for number in range(500):
                await publisher.publish("a", b"%d" % number)
            await publisher.flush(PATIENCE)
            await nc.drain()
            assert len(received) == 500 and nc.is_closed

    asyncio.run(main())


# Requests


@pytest.mark.parametrize("old_style", [False, True])
def test_requests(old_style: bool, server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as asker, client(server) as service:

            async def answer(msg: Any) -> None:
                await msg.respond(msg.data.upper())

            await service.subscribe("svc.echo", queue="q", cb=answer)
            await service.flush(PATIENCE)
            for number in range(50):
                msg = await asker.request("svc.echo", b"x%d" % number, timeout=PATIENCE, old_style=old_style)
                assert msg.data == b"X%d" % number
            together = await asyncio.gather(
                *(asker.request("svc.echo", b"y%d" % number, timeout=PATIENCE, old_style=old_style) for number in range(100))
            )
            assert [msg.data for msg in together] == [b"Y%d" % number for number in range(100)]

    asyncio.run(main())


@pytest.mark.parametrize("old_style", [False, True])
def test_no_responders(old_style: bool, server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as nc:
            for _ in range(3):
                with pytest.raises(errors.NoRespondersError):
                    await nc.request("nobody", b"?", timeout=PATIENCE, old_style=old_style)

    asyncio.run(main())


def test_a_request_that_nobody_answers_in_time(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as nc:
            await nc.subscribe("mute")
            with pytest.raises(errors.TimeoutError):
                await nc.request("mute", b"?", timeout=0.01)

    asyncio.run(main())


# Headers


def test_headers(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server) as nc, client(server) as service:
            sub = await nc.subscribe("a")
            headers = {"Trace": "1", "Content-Type": "text/plain", "Empty": "", "Nats-Msg-Id": "\u00e4"}
            await nc.publish("a", b"data", headers=headers)
            await nc.publish("a", b"", headers={"Only": "header"})
            msg = await sub.next_msg(PATIENCE)
            assert msg.headers == headers and msg.data == b"data"
            msg = await sub.next_msg(PATIENCE)
            assert msg.headers == {"Only": "header"} and msg.data == b""

            async def answer(msg: Any) -> None:
                await service.publish(msg.reply, msg.data, headers={"Answer": msg.headers["Question"]})

            await service.subscribe("svc", cb=answer)
            await service.flush(PATIENCE)
            msg = await nc.request("svc", b"x", timeout=PATIENCE, headers={"Question": "q"})
            assert msg.headers == {"Answer": "q"} and msg.data == b"x"

    asyncio.run(main())


def test_verbose_and_pedantic(server: midge.Server) -> None:
    async def main() -> None:
        async with client(server, verbose=True, pedantic=True) as nc:
            sub = await nc.subscribe("a.*")
            for number in range(10):
                await nc.publish("a.b", b"%d" % number)
            assert len(await texts(sub, 10)) == 10 and nc.is_connected
            await nc.flush(PATIENCE)

    asyncio.run(main())


def test_a_forbidden_subject_is_told_to_the_error_callback(server: midge.Server) -> None:
    async def main() -> None:
        told: asyncio.Queue[Exception] = asyncio.Queue()
        async with client(server, error_cb=told.put) as nc:
            await nc.subscribe("a", queue="_sys_")
            assert "permissions violation for subscription" in str(await asyncio.wait_for(told.get(), PATIENCE)).lower()
            await nc.flush(PATIENCE)
            assert nc.is_connected

    asyncio.run(main())
