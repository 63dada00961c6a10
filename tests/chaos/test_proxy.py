"""The proxy itself, between plain sockets: it does to a stream of bytes what it says, no more and no less."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from proxy import DOWN, UP, Proxy

PATIENCE = 20.0  # only bounds the wait for what never comes


class Ends:
    """A client and a server that are connected through a proxy."""

    def __init__(self, proxy: Proxy, accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self.proxy = proxy
        self._accepted = accepted
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        client = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        server = await self._accepted.get()
        self.writers += [client[1], server[1]]
        return client, server


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda reader, writer: accepted.put_nowait((reader, writer)), "127.0.0.1", 0)
    pair: Ends | None = None
    try:
        async with asyncio.timeout(PATIENCE), Proxy(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}") as proxy:
            pair = Ends(proxy, accepted)
            yield pair
    finally:
        server.close()
        for writer in [] if pair is None else pair.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end; a reset is an end."""
    data = b""
    try:
        while piece := await reader.read(1 << 16):
            data += piece
    except ConnectionError:
        pass
    return data


async def test_it_forwards_both_ways_and_each_end_by_itself() -> None:
    async with ends() as pair:
        (client_reader, client), (server_reader, server) = await pair.connect()
        client.write(b"question")
        client.write_eof()
        assert await rest(server_reader) == b"question"
        server.write(b"answer" * 100_000)
        server.close()
        assert await rest(client_reader) == b"answer" * 100_000
        await asyncio.wait([pair.proxy.last.task])


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("count", [1, 7, 500_000])
async def test_it_cuts_after_so_many_bytes(direction: str, count: int) -> None:
    async with ends() as pair:
        client, server = await pair.connect()
        sender, receiver = (client, server) if direction == UP else (server, client)
        pair.proxy.cut_after(count, direction)
        sender[1].write(bytes(1_000_000))
        receiver[1].write(b"unread")
        got = asyncio.ensure_future(rest(receiver[0]))
        assert await rest(sender[0]) in (b"", b"unread")
        assert len(await got) == count
        receiver[1].close()
        await asyncio.wait([pair.proxy.last.task])


async def test_it_cuts_the_next_link() -> None:
    async with ends() as pair:
        pair.proxy.cut_next_after(3, DOWN)
        (reader, _), (_, server) = await pair.connect()
        server.write(b"INFO {}")
        assert await rest(reader) == b"INF"
        (reader, _), (_, server) = await pair.connect()
        server.write(b"INFO {}")
        assert await reader.readexactly(7) == b"INFO {}"


async def test_it_holds_and_releases() -> None:
    async with ends() as pair:
        (_, client), (server_reader, _) = await pair.connect()
        pair.proxy.hold(UP)
        client.write(b"x" * 100)
        reading = asyncio.ensure_future(server_reader.readexactly(100))
        assert not (await asyncio.wait([reading], timeout=0.01))[0]
        pair.proxy.release(UP)
        assert await reading == b"x" * 100


async def test_who_was_in_a_black_hole_stays_there() -> None:
    async with ends() as pair:
        (_, client), (lost_reader, _) = await pair.connect()
        pair.proxy.black_hole()
        (_, other), (late_reader, _) = await pair.connect()
        for writer in (client, other):
            writer.write(b"x")
            writer.write_eof()
        pair.proxy.forward()
        (_, third), (reader, _) = await pair.connect()
        third.write(b"y")
        assert await reader.readexactly(1) == b"y"
        for swallowed in (lost_reader, late_reader):
            assert not (await asyncio.wait([asyncio.ensure_future(swallowed.read(1))], timeout=0.01))[0]


async def test_it_delays() -> None:
    async with ends() as pair:
        (_, client), (reader, _) = await pair.connect()
        pair.proxy.delay(0.05)
        before = asyncio.get_running_loop().time()
        client.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert asyncio.get_running_loop().time() - before > 0.04  # the clock of some loops is coarse


async def test_it_refuses_and_listens_again() -> None:
    async with ends() as pair:
        pair.proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", pair.proxy.port)
        pair.proxy.listen()
        await pair.connect()
        assert len(pair.proxy.links) == 1


async def test_it_resets_both_sides() -> None:
    async with ends() as pair:
        client, server = await pair.connect()
        await pair.proxy.reset()
        for reader in (client[0], server[0]):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)


async def test_it_half_closes_and_loses_nothing_of_the_other_direction() -> None:
    async with ends() as pair:
        (client_reader, client), (server_reader, server) = await pair.connect()
        pair.proxy.half_close(DOWN)
        server.write(b"never")
        assert await rest(client_reader) == b""
        client.write(b"still")
        client.close()
        assert await rest(server_reader) == b"still"
        server.close()
        await asyncio.wait([pair.proxy.last.task])


async def test_a_server_that_is_down_is_an_end() -> None:
    async with Proxy("nats://127.0.0.1:1") as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await rest(reader) == b""
        writer.close()
        await writer.wait_closed()
