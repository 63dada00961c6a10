"""The server's side of a conversation, written by the test: as bytes for a session, as a script for a client on TCP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import midge
from midge.client.encoder import PublishEncoder
from midge.client.interest import Counters, Feed, Interest, OnFull
from midge.client.session import Session
from midge.link import LinkOwner
from midge.wire.outbox import Outbox

INFO = {"server_id": "FAKE", "version": "2.15.1", "proto": 1, "headers": True, "max_payload": 1 << 20}


def info(**fields: Any) -> bytes:
    """An INFO line; a field that is None is left out."""
    said = {name: value for name, value in (INFO | fields).items() if value is not None}
    return b"INFO " + json.dumps(said).encode() + b" \r\n"


def msg(subject: str | bytes, sid: int, payload: bytes = b"", reply: str = "", header: bytes | None = None) -> bytes:
    """A MSG line and its payload, or HMSG where there is a header block."""
    name = subject if isinstance(subject, bytes) else subject.encode()
    where = b"%b %d " % (name, sid) + (reply.encode() + b" " if reply else b"")
    if header is None:
        return b"MSG %b%d\r\n%b\r\n" % (where, len(payload), payload)
    return b"HMSG %b%d %d\r\n%b%b\r\n" % (where, len(header), len(header) + len(payload), header, payload)


class Publisher:
    """What messages of a session answer through: it notes what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[Any, ...]] = []
        self.malformed: list[str] = []

    def publish(self, subject: str, data: bytes = b"", *, headers: Any = None) -> None:
        self.published.append((subject, data, headers))

    def note_malformed(self, message: Any) -> None:
        self.malformed.append(message.subject)


def new_session(limit: int = 1 << 20, publisher: Any = None) -> Session:
    """A session that nobody has spoken to."""
    return Session(Interest("_INBOX.me"), PublishEncoder(limit), Counters(), publisher)


def open_session(limit: int = 1 << 20, publisher: Any = None, **fields: Any) -> Session:
    """A session that is open and has nothing to send; the fields go into its INFO."""
    session = new_session(limit, publisher)
    open_up(session, **fields)
    return session


def open_up(session: Session, **fields: Any) -> None:
    """Let the server let a session in, and forget what was said; the fields go into the INFO."""
    session.receive_data(info(**fields))
    session.say_connect(b"{}")
    session.receive_data(b"PONG\r\n")
    session.data_to_send()
    session.take_events()


def subscribe(
    session: Session, subject: str = "a", queue: str | None = None, callback: Callable[[Any], Any] | None = None,
    msgs: int = -1, size: int = -1, on_full: OnFull = "drop_new",
) -> Feed:  # fmt: skip
    """Subscribe a feed, and forget the SUB."""
    feed = Feed(subject, queue, callback)
    feed.set_limits(msgs, size, on_full)
    session.subscribe(feed)
    session.data_to_send()
    return feed


def taken(feed: Feed) -> list[bytes]:
    """Take everything from a feed's buffer; return the payloads."""
    return [feed.take().data for _ in range(feed.waiting())]


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.connect: dict[str, Any] = {}

    def send(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))

    async def line(self) -> bytes:
        """The next line, without its end; b"" when the client has closed."""
        return (await self.reader.readline()).removesuffix(b"\r\n")

    async def expect(self, *lines: bytes) -> None:
        """Read these lines and no others."""
        for line in lines:
            got = await self.line()
            assert got == line, f"{got!r} came, not {line!r}"

    async def greet(self, **fields: Any) -> None:
        """Let the client in."""
        self.send(info(**fields))
        verb, _, said = (await self.line()).partition(b" ")
        assert verb == b"CONNECT"
        self.connect = json.loads(said)
        await self.expect(b"PING")
        self.send(b"PONG\r\n")

    async def pong(self, *before: bytes) -> None:
        """Wait for a PING and answer it, having sent what comes before."""
        await self.expect(b"PING")
        self.send(*before, b"PONG\r\n")

    async def serve(self) -> None:
        """Answer every PING from now on, until the client has gone."""
        while line := await self.line():
            if line == b"PING":
                self.send(b"PONG\r\n")

    async def end(self) -> None:
        """Wait until the client has closed."""
        while await self.reader.read(65536):
            pass

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        """Close so that the client gets a reset."""
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class FakeServer:
    """A server on a free port that plays a script with every client, the next script with the next; the last one is repeated.

    A script that has come to its end leaves the connection open. What goes wrong in one fails the test at the end of the block.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._has_ended = False

    async def __aenter__(self) -> FakeServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.close()
        if kind is None:
            await asyncio.gather(*self._tasks)
        self._has_ended = True
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        failures = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)  # the aborted transports close their sockets
        for failure in failures:
            if isinstance(failure, Exception):
                raise failure

    async def accepted(self, count: int = 1) -> None:
        """Return when that many clients have been heard of: a transport that nobody knows yet could not be closed."""
        async with asyncio.timeout(10):
            while len(self._writers) < count:
                await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._has_ended:  # this client came just before, and wait_closed() waits for it
            writer.transport.abort()
            return
        script = self._scripts[min(len(self._writers), len(self._scripts) - 1)]
        self._writers.append(writer)
        self._tasks.append(asyncio.ensure_future(self._play(script, Peer(reader, writer))))

    async def _play(self, script: Script, peer: Peer) -> None:
        try:
            await script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client closed with a reset, which is its right


class FakeLink:
    """A link without a network: the test says what comes, and reads what was sent."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.data = bytearray()
        self.takes = True
        self.answers = False  # every PING, and every request with what it carried
        self.blocked = False
        self.closed = False
        self.paused = False
        self.waiting: list[bytes] = []  # what the client gets when it reads on
        self.owner: LinkOwner | None = None

    def start(self, owner: LinkOwner) -> None:
        self.owner = owner

    def flush(self) -> None:
        if self.takes and not self.closed:
            sent = self.outbox.take_all()
            self.data += sent
            if self.answers and (answer := b"".join(answers(sent))):
                asyncio.get_running_loop().call_soon(self.come, answer)

    def begun(self) -> int:
        return 0

    def sent(self) -> bytes:
        """Return what the client has sent since the last call."""
        data = bytes(self.data)
        self.data.clear()
        return data

    def take(self) -> None:
        """Take from now on what the client has to send."""
        assert self.owner is not None
        self.takes = True
        self.flush()
        self.owner.link_progress()

    def come(self, *pieces: bytes) -> None:
        """The client gets these bytes in one read."""
        if self.paused or self.waiting:
            self.waiting.append(b"".join(pieces))
        else:
            self._give(bytearray(b"".join(pieces)))

    def _give(self, data: bytearray) -> None:
        assert self.owner is not None
        if not self.closed and self.owner.link_received(data, len(data)):
            data[:] = b"?" * len(data)  # it may be reused

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        asyncio.get_running_loop().call_soon(self._come_on)

    def _come_on(self) -> None:
        while self.waiting and not self.paused:
            self._give(bytearray(self.waiting.pop(0)))

    def close(self) -> None:
        self.closed = True


def answers(sent: bytes) -> Iterator[bytes]:
    """What a server with an echo service says to these lines; the service's inbox has to be subscription 1."""
    lines = iter(sent.split(b"\r\n"))
    for line in lines:
        if line == b"PING":
            yield b"PONG\r\n"
        elif line.startswith(b"PUB ") and len(fields := line.split(b" ")) == 4:
            yield msg(fields[2], 1, next(lines))


class FakeInProcessServer:
    """A server in this process that is a FakeLink; ``ready`` gets it when a client connects."""

    url = "nats://in.process:4222"

    def __init__(self) -> None:
        self.ready: asyncio.Future[FakeLink] = asyncio.get_running_loop().create_future()

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> FakeLink:
        link = FakeLink(outbox)
        loop.call_soon(self.ready.set_result, link)
        return link


class FakeLinks:
    """A server in this process that is a new FakeLink for each attempt; those that come while it is down are refused."""

    url = "nats://in.process:4222"

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        self.is_down = False
        self.info: dict[str, Any] = {}
        self.refused = 0
        self._came = asyncio.Event()

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> FakeLink:
        if self.is_down:
            self.refused += 1
            self._came.set()
            raise ConnectionRefusedError("down")
        link = FakeLink(outbox)
        self.links.append(link)
        loop.call_soon(self._let_in, link)
        return link

    def _let_in(self, link: FakeLink) -> None:
        link.answers = True
        link.come(info(**self.info))
        self._came.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so, and a few turns later; it is looked at whenever the client has tried to connect."""
        async with asyncio.timeout(10):
            while not is_so():
                self._came.clear()
                await self._came.wait()
        await turns()

    async def link(self, count: int) -> FakeLink:
        """Return the link of this number, counted from 1, once it is open."""
        await self.until(lambda: len(self.links) >= count)
        return self.links[count - 1]

    def lose(self, error: OSError | None = None) -> None:
        """The client loses its link."""
        owner = self.links[-1].owner
        assert owner is not None
        owner.link_lost(error)


async def linked(**options: Any) -> tuple[midge.Client, FakeLinks]:
    """A client that connects again when its link is lost; nothing is left to send."""
    server = FakeLinks()
    nc = await midge.connect(server, **options)
    server.links[0].answers = False
    server.links[0].sent()
    return nc, server


async def opened(**options: Any) -> tuple[midge.Client, FakeLink]:
    """A client and the link that it is connected by, its only one; nothing is left to send."""
    options = {"max_reconnects": 0} | options
    server = FakeInProcessServer()
    server.ready.add_done_callback(lambda ready: let_in(ready.result()))
    nc = await midge.connect(server, **options)
    link = server.ready.result()
    link.answers = False
    link.sent()
    return nc, link


def let_in(link: FakeLink) -> None:
    """Say INFO, and answer the PING behind CONNECT."""
    link.answers = True
    link.come(info())


async def is_waiting(task: asyncio.Future[Any]) -> bool:
    """True if the task is not done, although everybody had a few turns."""
    await turns()
    return not task.done()


async def turns(count: int = 5) -> None:
    """Let everybody else have a few turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)
