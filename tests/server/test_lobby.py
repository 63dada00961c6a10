"""server.lobby and those who wait there: what is bounded when they never finish, and what a server does with them when it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator

import pytest
from certificates import Files, client_context
from raw import PATIENCE, ask, until

import midge
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.server.server import Server
from midge.server.websocket import close_status

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


def server_of(files: Files, timeout: float = 30.0, **more: object) -> Server:
    tls = ServerTLS(cert_file=files.cert, key_file=files.key, timeout=timeout)
    websocket = WebSocketListener(host="127.0.0.1", port=-1, tls=tls, handshake_timeout=timeout)
    return Server(port=0, tls=tls, websocket=websocket, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(files: Files) -> Iterator[Server]:
    with server_of(files) as server:
        yield server


def knock(server: Server, *, websocket: bool = False) -> socket.socket:
    port = server._ports.websocket_port if websocket else server.port
    return socket.create_connection((server.host, port), timeout=PATIENCE)


def waiting(server: Server) -> int:
    return ask(server, lambda: len(server._lobby.arrivals) if server._lobby is not None else 0)


def test_who_waits_is_closed_when_the_server_stops(files: Files) -> None:
    server = server_of(files)
    with server:
        socks = [knock(server, websocket=i % 2 == 1) for i in range(6)]
        until(server, lambda: server._lobby is not None and len(server._lobby.arrivals) == 6)
        hub = server.hub
        assert len(hub.sessions) == 3  # who comes by WebSocket is no client yet
    for sock in socks:
        while sock.recv(4096):
            pass
        sock.close()
    assert not hub.sessions


def test_who_waits_is_dropped_by_a_reset(server: Server) -> None:
    socks = [knock(server), knock(server, websocket=True)]
    until(server, lambda: server._lobby is not None and len(server._lobby.arrivals) == 2)
    server.reset()
    assert waiting(server) == 0
    for sock in socks:
        while sock.recv(4096):
            pass
        sock.close()


def test_who_goes_is_forgotten(server: Server) -> None:
    for websocket in (False, True):
        for data in (b"", b"\x16\x03", b"\x16\x03\x01\x00\x05hello", b"CONNECT {}\r\n"):
            sock = knock(server, websocket=websocket)
            sock.sendall(data)
            sock.close()
    until(server, lambda: server._lobby is not None and not server._lobby.arrivals)
    until(server, lambda: not server.hub.sessions)


def test_those_who_never_finish_have_a_deadline(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "midge.server"), server_of(files, timeout=0.1) as server:
        socks = [knock(server, websocket=i % 2 == 1) for i in range(100)]
        for sock in socks:
            sock.sendall(b"\x16\x03\x01\x02\x00" + b"\x01\x00\x01\xfc")
        for sock in socks:
            while sock.recv(4096):
                pass
            sock.close()
        lobby = server._lobby
        assert lobby is not None
        until(server, lambda: not lobby.arrivals)  # a client hears of its end before the books are closed
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) <= 30  # fifty WebSockets, and so many lines a second
    assert any("TLS Handshake Failure" in record.getMessage() for record in caplog.records)


def test_log_lines_are_counted_where_they_are_too_many(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    with Server(port=0, websocket=WebSocketListener(host="127.0.0.1", port=-1, no_tls=True)) as server:
        for _ in range(40):
            with knock(server, websocket=True) as sock:
                sock.sendall(UPGRADE.replace(b"GET", b"PUT") + b"\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 405")
    lines = [record for record in caplog.records if "request method must be GET" in record.getMessage()]
    assert 10 <= len(lines) < 40


def test_they_count_for_the_limit_of_connections(files: Files) -> None:
    with server_of(files, max_connections=2) as server:
        socks = [knock(server) for _ in range(3)]
        heard = b""
        while part := socks[2].recv(4096):
            heard += part
        assert heard.endswith(b"-ERR 'maximum connections exceeded'\r\n")
        for sock in socks:
            sock.close()


async def test_credentials_have_their_own_time_after_the_handshake(files: Files) -> None:
    """A handshake that takes longer than ``auth_timeout`` costs nothing of it."""
    with server_of(files, user="u", password="p", auth_timeout=0.2) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert (await reader.readline()).startswith(b"INFO")
        await asyncio.sleep(0.3)
        await writer.start_tls(client_context(), server_hostname="localhost")
        writer.write(b'CONNECT {"verbose":false,"user":"u","pass":"p"}\r\nPING\r\n')
        assert await reader.readline() == b"PONG\r\n"
        writer.close()
        reader, writer = await asyncio.open_connection(server.host, server.port)
        await reader.readline()
        await writer.start_tls(client_context(), server_hostname="localhost")
        assert await reader.readline() == b"-ERR 'Authentication Timeout'\r\n"
        writer.close()


def talk(server: Server, more: bytes) -> tuple[bytes, socket.socket]:
    sock = knock(server, websocket=True)
    sock.sendall(UPGRADE + more + b"\r\n")
    heard = b""
    while b"} \r\n" not in heard:
        heard += sock.recv(4096)
    return heard, sock


def test_cookies_and_proxies(caplog: pytest.LogCaptureFixture) -> None:
    websocket = WebSocketListener(
        host="127.0.0.1", port=-1, no_tls=True, user_cookie="u", pass_cookie="p", token_cookie="t", jwt_cookie="j", ping_interval=7.0
    )
    with caplog.at_level(logging.DEBUG, "midge.server"), Server(port=0, websocket=websocket, authorizer=lambda _: True) as server:
        cookies = b'Cookie: u=bob; other=1; p="se=cret"\r\nCookie: t=tok; j=x\r\n'
        _, sock = talk(server, cookies + b"X-Forwarded-For: 10.0.0.1\r\n")
        (session,) = server.hub.sessions.values()
        assert session.origin.cookies == {"user": "bob", "password": "se=cret", "auth_token": "tok", "jwt": "x"}
        assert session.origin.forwarded_for == "10.0.0.1" and "secret" not in repr(session.origin)
        sock.close()
        until(server, lambda: not server.hub.sessions)
        for address in (b"10.0.0.1, 10.0.0.2", b'fe80::1%" - cid:1 - forged'):
            _, sock = talk(server, b"X-Forwarded-For: %b\r\n" % address)
            (session,) = server.hub.sessions.values()
            assert session.origin.forwarded_for == ""
            sock.close()
            until(server, lambda: not server.hub.sessions)
    assert any(message.startswith("10.0.0.1/127.0.0.1:") and " - wid:1 - " in message for message in caplog.messages)


def test_info_is_of_the_port_that_one_comes_by(files: Files) -> None:
    plain = WebSocketListener(host="127.0.0.1", port=-1, no_tls=True, token="t", advertise="x:1")
    tls = ServerTLS(cert_file=files.cert, key_file=files.key)
    with Server(port=0, tls=tls, websocket=plain, client_advertise="example.com") as server:
        heard, sock = talk(server, b"")
        info = json.loads(heard[heard.index(b"{") : heard.rindex(b"}") + 1])
        assert info["port"] == server._ports.websocket_port and info["auth_required"] and "tls_required" not in info
        sock.close()
        with knock(server) as client:
            info = json.loads(client.recv(4096)[5:])
        assert info["host"] == "example.com" and info["port"] == server.port and info["tls_required"] and "auth_required" not in info


def test_browsers_get_small_frames() -> None:
    with Server(port=0, websocket=WebSocketListener(host="127.0.0.1", port=-1, no_tls=True)) as server:
        _, sock = talk(server, b"User-Agent: Mozilla/5.0\r\n")
        with sock:
            data = b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB a 1\r\nPUB a 10000\r\n' + bytes(10000) + b"\r\nPING\r\n"
            sock.sendall(b"\x82\xff" + len(data).to_bytes(8, "big") + bytes(4) + data)
            heard = b""
            while not heard.endswith(b"PONG\r\n"):
                heard += sock.recv(65536)
        sizes = []
        at = 0
        while at < len(heard):
            size = heard[at + 1]
            at += 2
            if size == 126:
                size, at = int.from_bytes(heard[at : at + 2], "big"), at + 2
            sizes.append(size)
            at += size
        assert max(sizes) == 4096 and sum(sizes) == len(b"MSG a 1 10000\r\n\r\nPONG\r\n") + 10000


def test_every_reason_has_a_status() -> None:
    assert close_status("Client Closed") == (1000, b"Client Closed") and close_status("Kicked")[0] == 1011


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_every_interface(host: str) -> None:
    """By IPv4 and IPv6 alike, where this machine has both."""
    with Server(host=host, port=-1, websocket=WebSocketListener(host=host, port=-1, no_tls=True)) as server:
        assert server.host == (host or "0.0.0.0") and server.ws_url is not None
        assert server.url == f"nats://{'[::1]' if host == '::' else '127.0.0.1'}:{server.port}"
        for address in ("127.0.0.1", "::1"):
            if address == "::1" and not socket.has_ipv6:
                continue
            try:
                sock = socket.create_connection((address, server.port), timeout=PATIENCE)
            except OSError:
                assert address == "::1", "IPv4 is everywhere"
                continue
            with sock:
                info = json.loads(sock.recv(4096)[5:])
                assert info["client_ip"] == address and info["host"] == (host or "0.0.0.0")


def test_a_port_that_is_taken_is_said(files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(midge.ServerStartError, match=str(port)):
            Server(port=0, websocket=WebSocketListener(host="127.0.0.1", port=port, no_tls=True)).start_thread()
        server = Server(port=port, websocket=WebSocketListener(host="127.0.0.1", port=-1, no_tls=True))
        with pytest.raises(midge.ServerStartError):
            server.start_thread()
        socket.create_server(("127.0.0.1", server._ports.websocket_port)).close()  # it is free again


def test_a_server_that_is_started_again_is_where_it_was(files: Files) -> None:
    server = server_of(files)
    with server:
        urls = server.url, server.ws_url
    with server:
        assert (server.url, server.ws_url) == urls
