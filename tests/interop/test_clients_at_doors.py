"""Clients on our server by TLS, by WebSocket, and by both: our own and nats-py. Much to move, and nothing lost on the way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Files, authority, client_context

import midge
from midge import CertificateError, ConnectError, Server, TLSConfig, TLSError
from midge.server.listener_options import ServerTLS, WebSocketListener

pytest.importorskip("websockets")
SOON = 15.0
SIZES = [0, 1, 63, 64, 100, 125, 126, 4096, 65535, 65536, 135_000, 135_168, 1_000_000]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def servers(files: Files) -> Iterator[dict[str, Server]]:
    """One server with TLS on both ports, and one with none on the port for WebSockets and the handshake first on the other."""
    tls = ServerTLS(cert_file=files.cert, key_file=files.key)
    first = ServerTLS(cert_file=files.cert, key_file=files.key, handshake_first=True)
    both = Server(port=0, tls=tls, websocket=WebSocketListener(host="127.0.0.1", port=-1, tls=tls, compression=True))
    other = Server(port=0, tls=first, websocket=WebSocketListener(host="127.0.0.1", port=-1, no_tls=True, compression=True))
    with both, other:
        yield {"tls": both, "wss": both, "first": other, "ws": other}


WAYS = ["tls", "first", "ws", "ws deflated", "wss", "wss deflated"]


def way(name: str, servers: dict[str, Server], files: Files) -> tuple[str, dict[str, Any]]:
    """The URL of a server and a client's options for it."""
    kind, _, deflated = name.partition(" ")
    server = servers[kind]
    url = server.url if kind in ("tls", "first") else server.ws_url
    assert url is not None
    options: dict[str, Any] = {}
    if kind != "ws":
        options["tls"] = TLSConfig(ca_file=files.ca, handshake_first=kind == "first")
    if deflated:
        options["ws_compression"] = True
    return url, options


@pytest.mark.parametrize("name", WAYS)
async def test_our_own_client(name: str, servers: dict[str, Server], files: Files) -> None:
    url, options = way(name, servers, files)
    async with midge.connect(url, **options) as nc, midge.connect(url, **options) as other:
        sub = await nc.subscribe("sizes")
        for size in SIZES:
            await other.publish("sizes", bytes([size % 251]) * size, headers={"Size": str(size)})
        for size in SIZES:
            msg = await sub.next(timeout=SOON)
            assert len(msg.data) == size and msg.headers["Size"] == str(size)
        many = await nc.subscribe("many")
        for i in range(5000):
            await other.publish("many", b"%d" % i)
        assert [(await many.next(timeout=SOON)).data for _ in range(5000)] == [b"%d" % i for i in range(5000)]


@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float' is deprecated:DeprecationWarning")  # how nats-py calls aiohttp
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # and leaves its session and its socket to the collector
@pytest.mark.parametrize("name", ["tls", "ws", "wss"])
async def test_nats_py(name: str, servers: dict[str, Server], files: Files) -> None:
    nats = pytest.importorskip("nats")
    if name != "tls":
        pytest.importorskip("aiohttp")
    url, _ = way(name, servers, files)
    options: dict[str, Any] = {} if name == "ws" else {"tls": client_context()}
    nc = await nats.connect(url, allow_reconnect=False, connect_timeout=SOON, **options)
    try:
        sub = await nc.subscribe("natspy")
        for size in SIZES:
            await nc.publish("natspy", b"x" * size)
        assert [len((await sub.next_msg(SOON)).data) for _ in SIZES] == SIZES

        async def answer(msg: Any) -> None:
            await msg.respond(msg.data[::-1])

        await nc.subscribe("echo", cb=answer)
        assert (await nc.request("echo", b"abc", timeout=SOON)).data == b"cba"
    finally:
        await nc.close()


async def test_what_a_server_knows_of_them(servers: dict[str, Server], files: Files) -> None:
    for name in ("tls", "ws", "wss"):
        url, options = way(name, servers, files)
        async with midge.connect(url, name=f"known {name}", **options):
            server = servers[name]
            hub = server._hub
            assert hub is not None
            session = next(session for session in list(hub.sessions.values()) if session.connect.name == f"known {name}")
            origin = session.origin
            assert origin.kind == ("STANDARD" if name == "tls" else "WEBSOCKET")
            assert origin.tls == (name != "ws") and origin.tls_version == ("1.3" if origin.tls else "")
            assert origin.certificate is None


async def test_certificates_are_checked_on_both_sides(files: Files) -> None:
    tls = ServerTLS(cert_file=files.cert, key_file=files.key, ca_file=files.ca, verify=True)
    cert, key = files.client("bob")
    with Server(port=0, tls=tls, websocket=WebSocketListener(host="127.0.0.1", port=-1, tls=tls)) as server:
        for url in (server.url, server.ws_url):
            assert url is not None
            async with midge.connect(url, tls=TLSConfig(ca_file=files.ca, cert_file=cert, key_file=key)):
                (session,) = server.hub.sessions.values()
                assert session.origin.certificate is not None and b"bob@example.com" in session.origin.certificate
            while server.clients():
                pass
            with pytest.raises(ConnectError) as caught:
                await midge.connect(url, tls=TLSConfig(ca_file=files.ca), max_reconnects=0)
            assert "certificate" in str(caught.value)
        with pytest.raises(ConnectError) as unknown:
            await midge.connect(server.url, tls=True, max_reconnects=0)
        assert isinstance(unknown.value.__cause__, (CertificateError, TLSError))


async def test_certificates_are_read_again(files: Files, tmp_path: Any) -> None:
    mine = Files(tmp_path)
    with Server(port=0, tls=ServerTLS(cert_file=mine.cert, key_file=mine.key)) as server:

        def serial() -> int:
            context = client_context()
            plain = socket.create_connection((server.host, server.port))
            while not plain.recv(1) == b"\n":
                pass
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                found = secured.getpeercert()
                assert found is not None
                return int(str(found["serialNumber"]), 16)

        async with midge.connect(server.url, tls=TLSConfig(ca_file=mine.ca)) as nc:
            before = await asyncio.to_thread(serial)
            mine.write(authority().issue_cert("localhost", "127.0.0.1"))
            assert await asyncio.to_thread(serial) == before
            server.reload_tls()
            assert await asyncio.to_thread(serial) != before
            await nc.flush()
            with open(mine.key, "w") as file:
                file.write("nonsense")
            with pytest.raises(midge.ServerStartError):
                server.reload_tls()
            assert await asyncio.to_thread(serial) != before
