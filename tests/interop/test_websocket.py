"""WebSockets of a client against the real nats-server: much to move, compression, TLS, what proxies may do, and connecting again."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import Files, client_context
from nodes import nats_node

import midge
from midge import CertificateError, ConnectAuthorizationError, ConnectError, TLSConfig

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SOON = 15.0
SIZES = [0, 1, 63, 64, 100, 125, 126, 4096, 65535, 65536, 135_000, 135_168, 1_000_000, 4 << 20]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def websocket_node(options: str = "no_tls: true, compression: true", config: str = "max_payload: 8MB\n", *flags: str) -> Iterator[Any]:
    """A nats-server that has a port for WebSockets, too. Gives the URL of that, and of the other one."""
    port = free_port()
    scheme = "ws" if "no_tls" in options else "wss"
    with nats_node(f'{config}\nwebsocket {{ listen: "127.0.0.1:{port}", {options} }}\n', *flags) as url:
        yield f"{scheme}://127.0.0.1:{port}", url


class Tunnel:
    """A TCP proxy, which notes the requests that come, and can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.requests: list[list[str]] = []

    async def __aenter__(self) -> Tunnel:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.decode().split("\r\n")[:-2])
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
            return
        self._writers.append(server_writer)
        server_writer.write(head)
        for task in (self._pump(reader, server_writer), self._pump(server_reader, writer)):
            pump = asyncio.ensure_future(task)
            self._tasks.add(pump)
            pump.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()


@pytest.mark.parametrize("compression", [False, True])
async def test_messages_of_every_size_there_and_back(loop_factory: LoopFactory, compression: bool) -> None:
    with websocket_node() as (url, plain):
        async with midge.connect(url, ws_compression=compression) as nc, midge.connect(plain) as other:
            assert nc.connected_url == url
            mine, theirs = await nc.subscribe("a"), await other.subscribe("a")
            for size in SIZES:
                payload = os.urandom(size // 2) + bytes(size - size // 2)
                await nc.publish("a", payload, headers={"Size": str(size)})
                for sub in (mine, theirs):
                    msg = await sub.next(timeout=SOON)
                    assert msg.data == payload and msg.headers["Size"] == str(size)
                await other.publish("a", payload)
                assert (await mine.next(timeout=SOON)).data == (await theirs.next(timeout=SOON)).data == payload
            await nc.subscribe("echo", callback=lambda msg: msg.respond(msg.data))
            for text in (b"hello", b"hello " * 100):
                assert (await nc.request("echo", text)).data == (await other.request("echo", text)).data == text


@pytest.mark.parametrize("compression", [False, True])
async def test_a_flood_arrives_whole_and_what_was_published_before_the_end_too(loop_factory: LoopFactory, compression: bool) -> None:
    """Leaving the block drains; closing sends what the kernel takes. Neither forgets what waits in a frame."""
    with websocket_node() as (url, plain):
        async with midge.connect(plain) as other:
            sub = await other.subscribe("flood", pending_msgs=-1, pending_bytes=-1)
            async with midge.connect(url, ws_compression=compression) as nc:
                for number in range(30_000):
                    await nc.publish("flood", b"%d " % number * 100)
            last = await midge.connect(url, ws_compression=compression)
            for number in range(30_000, 33_000):
                last.publish("flood", b"%d " % number * 100)
            await last.close()
            for number in range(33_000):
                assert (await sub.next(timeout=SOON)).data == b"%d " % number * 100


async def test_a_slow_reader_over_a_websocket_loses_nothing(loop_factory: LoopFactory) -> None:
    with websocket_node(config="max_payload: 8MB\nmax_pending: 256MB\n") as (url, plain):
        async with midge.connect(plain) as source, midge.connect(url, ws_compression=True) as nc:
            got = asyncio.Event()
            numbers: list[int] = []

            async def slowly(msg: midge.Message) -> None:
                numbers.append(int(msg.data[:8]))
                if len(numbers) % 100 == 0:
                    await asyncio.sleep(0)
                if len(numbers) == 3000:
                    got.set()

            await nc.subscribe("slow", callback=slowly, pending_msgs=-1, pending_bytes=-1)
            for number in range(3000):
                await source.publish("slow", b"%8d" % number + bytes(10_000))
            await asyncio.wait_for(got.wait(), SOON)
            assert numbers == list(range(3000))


async def test_what_is_deflated_stays_within_the_servers_max_payload() -> None:
    """It inflates no more than that of one message, and closes the connection of who sends more."""
    for limit in ("1KB", "8KB"):
        with websocket_node(config=f"max_payload: {limit}\n") as (url, _):
            async with midge.connect(url, ws_compression=True) as nc:
                sub = await nc.subscribe("a")
                for number in range(2000):
                    await nc.publish("a", b"%d" % number * 20)
                await nc.flush()
                for number in range(2000):
                    assert (await sub.next(timeout=SOON)).data == b"%d" % number * 20
                assert nc.stats.reconnects == 0


async def test_a_server_that_does_not_compress_is_not_sent_what_it_cannot_read() -> None:
    with websocket_node("no_tls: true") as (url, _):
        async with midge.connect(url, ws_compression=True) as nc:
            sub = await nc.subscribe("a")
            await nc.publish("a", b"x" * 10_000)
            assert (await sub.next(timeout=SOON)).data == b"x" * 10_000


# TLS


async def test_tls_comes_before_the_websocket(loop_factory: LoopFactory, tmp_path: Path) -> None:
    files = Files(tmp_path)
    with websocket_node(files.conf(), "max_payload: 8MB\n") as (url, _):
        port = url.rpartition(":")[2]
        config = TLSConfig(ca_file=files.ca)
        for server, tls in ((url, config), (f"wss://localhost:{port}", client_context()), (f"ws://127.0.0.1:{port}", config)):
            async with midge.connect(server, tls=tls) as nc:
                sub = await nc.subscribe("a")
                payload = os.urandom(4 << 20)
                await nc.publish("a", payload)
                assert (await sub.next(timeout=SOON)).data == payload


async def test_certificates_are_checked_and_tls_is_not_given_up(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with websocket_node(files.conf()) as (url, _):
        with pytest.raises(ConnectError) as raised:
            await midge.connect(url)
        assert isinstance(raised.value.__cause__, CertificateError)
        with pytest.raises(ConnectError):
            await midge.connect(url.replace("wss", "ws"))
    with websocket_node() as (url, _):
        with pytest.raises(ConnectError):
            await midge.connect(url.replace("ws", "wss"))


# Logins, proxies


async def test_a_refused_login_is_one_over_a_websocket_as_well() -> None:
    with websocket_node(config='authorization { user: "u", password: "p" }\n') as (url, _):
        with pytest.raises(ConnectAuthorizationError):
            await midge.connect(url)
        async with midge.connect(url.replace("//", "//u:p@")) as nc:
            assert nc.connected_url == url


async def test_credentials_may_come_in_a_cookie() -> None:
    with websocket_node('no_tls: true, token_cookie: "login"', 'authorization { token: "s3cret" }\n') as (url, _):
        async with midge.connect(url, ws_headers={"Cookie": "login=s3cret"}) as nc:
            await nc.flush()
        with pytest.raises(ConnectAuthorizationError):
            await midge.connect(url, ws_headers={"Cookie": "login=wrong"})


async def test_what_a_proxy_sees() -> None:
    """A path of its own, headers that a callback gives anew each time; the login does not travel in them."""
    calls = []

    async def headers() -> list[tuple[str, str]]:
        calls.append(len(calls))
        return [("Authorization", f"Bearer {len(calls)}"), ("X-Tag", "a"), ("X-Tag", "b")]

    with websocket_node() as (url, _):
        async with Tunnel(int(url.rpartition(":")[2])) as tunnel:
            async with midge.connect(f"{tunnel.url}/from/url", ws_headers=headers) as nc:
                await nc.flush()
                await nc.reconnect()
            async with midge.connect(f"{tunnel.url}/from/url", ws_proxy_path="proxy?to=nats", ws_headers={"X-Tag": ["c", "d"]}) as nc:
                await nc.flush()
            async with midge.connect(tunnel.url) as nc:
                await nc.flush()
    first, second, third, fourth = tunnel.requests
    assert first[0] == second[0] == "GET /from/url HTTP/1.1"
    assert f"Host: {tunnel.url[5:]}" in first and [line for line in first if line.startswith("X-Tag")] == ["X-Tag: a", "X-Tag: b"]
    assert "Authorization: Bearer 1" in first and "Authorization: Bearer 2" in second
    assert third[0] == "GET /proxy?to=nats HTTP/1.1" and third[-2:] == ["X-Tag: c", "X-Tag: d"]
    assert fourth[0] == "GET / HTTP/1.1" and not [line for line in fourth if line.startswith("Sec-WebSocket-Ext")]


# Connecting again


@pytest.mark.parametrize("compression", [False, True])
async def test_a_cut_websocket_is_followed_by_another(loop_factory: LoopFactory, compression: bool) -> None:
    """In the middle of frames, again and again: what was sent whole or not at all arrives in order, and never twice."""
    with websocket_node() as (url, plain):
        async with Tunnel(int(url.rpartition(":")[2])) as tunnel, midge.connect(plain) as other:
            numbers: list[int] = []
            sub = await other.subscribe("n", callback=lambda msg: numbers.append(int(msg.data[:8])), pending_msgs=-1, pending_bytes=-1)
            async with midge.connect(
                tunnel.url, ws_compression=compression, reconnect_wait=0.01, reconnect_buffer=64 << 20, inbox_prefix="_I"
            ) as nc:
                mine = await nc.subscribe("back")
                number = 0
                for cut in range(1, 6):
                    for _ in range(2000):
                        await nc.publish("n", b"%8d" % number + os.urandom(1000))
                        number += 1
                    tunnel.cut()
                    with pytest.raises(midge.DisconnectedError):
                        await nc.flush()
                    for _ in range(50):
                        await nc.publish("n", b"%8d" % number + os.urandom(1000))
                        number += 1
                    await nc.flush()
                    assert nc.stats.reconnects == cut and nc.connected_url == tunnel.url
                await other.publish("back", b"still subscribed")
                assert (await mine.next(timeout=SOON)).data == b"still subscribed"
            await other.flush()
            await sub.drain()
            assert numbers == sorted(set(numbers))
            assert set(numbers) >= {cut * 2050 - 1 - i for cut in range(1, 6) for i in range(50)}, "what was published after the loss"


async def test_discovered_servers_are_websockets_too() -> None:
    with ExitStack() as stack:
        routes = [free_port(), free_port()]
        flags = ["--cluster_name", "midge", "--routes", ",".join(f"nats://127.0.0.1:{port}" for port in routes)]
        urls = [
            stack.enter_context(websocket_node("no_tls: true", "", "--cluster", f"nats://127.0.0.1:{port}", *flags))[0] for port in routes
        ]
        async with midge.connect(urls[0]) as nc:
            async with asyncio.timeout(SOON):
                while not nc.discovered_servers:
                    await nc.flush()
                    await asyncio.sleep(0.01)
            assert all(server.startswith("ws://") for server in nc.discovered_servers)
            nc.set_servers(urls[1])
            await nc.reconnect()
            assert nc.connected_url == urls[1]


# The command line


def test_commands_take_websockets() -> None:
    with websocket_node() as (url, _):
        command = [sys.executable, "-m", "midge", "pub", "--server", url, "a", "hello"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
