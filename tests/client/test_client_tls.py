"""TLS of a client against servers of the tests' own: what it says and when, what may be in between, and its options."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import Files, client_context, fails, secure, server_context
from cryptography.hazmat.primitives import serialization
from fakes import FakeServer, Peer, info
from test_client_credentials import seen_in

import midge
from midge import TLSConfig, TLSError, TLSNotOfferedError

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SOON = 10.0


# Intent


async def test_a_server_without_tls_is_told_nothing_where_tls_is_wanted() -> None:
    """client.md, section 4, check 3: nothing goes beyond the TCP handshake. The server even asks for an answer."""
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send(info(), b"PING\r\n")
        got.append(await peer.reader.read())

    for scheme, tls in (("tls", None), ("tls", True), ("nats", True), ("nats", client_context()), ("nats", client_context)):
        async with FakeServer(script) as server:
            error = await fails(secure(server.url, scheme), tls=tls, user="u", password="hunter2")
            assert type(error) is TLSNotOfferedError and "nothing was sent" in str(error)
    assert got == [b""] * 5


# Upgrades


async def test_connect_says_whether_tls_is_used() -> None:
    said: list[bool] = []

    async def script(peer: Peer) -> None:
        peer.send(info(tls_required=True))
        await peer.writer.drain()
        await peer.writer.start_tls(server_context())
        line = await peer.line()
        said.append(json.loads(line.partition(b" ")[2])["tls_required"])
        await peer.expect(b"PING")
        peer.send(b"PONG\r\n")
        await peer.serve()

    async def plain(peer: Peer) -> None:
        await peer.greet()
        said.append(peer.connect["tls_required"])
        await peer.serve()

    async with FakeServer(script) as server:
        async with midge.connect(server.url, tls=client_context()):
            pass
    async with FakeServer(plain) as server:
        await (await midge.connect(server.url)).close()
    assert said == [True, False]


# What may be in between


@pytest.mark.parametrize("more", [b"PING\r\n", b"PI", b"+OK\r\n", b"INFO {}\r\n", b"MSG a 1 1\r\nx\r\n", b"\x16\x03\x03", b"\r\n"])
async def test_what_comes_after_info_in_plain_text_is_never_taken_for_encrypted(loop_factory: LoopFactory, more: bytes) -> None:
    """STARTTLS injection: somebody in between adds to what the server says before TLS, to have it taken for the server's."""
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send(info(tls_required=True), more)
        got.append(await peer.reader.read())

    async with FakeServer(script) as server:
        error = await fails(server.url, tls=client_context())
        assert isinstance(error, midge.RemoteProtocolError) and "before TLS" in str(error)
    assert got == [b""]


async def test_what_comes_later_in_plain_text_is_no_handshake() -> None:
    async def script(peer: Peer) -> None:
        peer.send(info(tls_required=True))
        await peer.reader.read(5)
        peer.send(b"INFO {}\r\nPING\r\n")
        await peer.end()

    async with FakeServer(script) as server:
        assert type(await fails(server.url, tls=client_context())) is TLSError


async def test_an_info_in_pieces_is_upgraded_all_the_same() -> None:
    async def script(peer: Peer) -> None:
        for byte in info(tls_required=True):
            peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await peer.writer.start_tls(server_context())
        await peer.greet()
        await peer.serve()

    async with FakeServer(script) as server:
        async with midge.connect(server.url, tls=client_context()):
            pass


async def test_a_server_that_closes_during_the_handshake() -> None:
    async def script(peer: Peer) -> None:
        peer.send(info(tls_required=True))
        await peer.reader.read(5)
        peer.writer.write_eof()
        await peer.end()

    async with FakeServer(script) as server:
        assert "during the handshake" in str(await fails(server.url, tls=client_context()))


@pytest.mark.parametrize("first", [False, True])
async def test_a_handshake_that_never_ends_is_ended_by_the_timeout(loop_factory: LoopFactory, first: bool) -> None:
    async def script(peer: Peer) -> None:
        if not first:
            peer.send(info(tls_required=True))
        await peer.end()

    async with FakeServer(script) as server:
        error = await fails(server.url, tls=TLSConfig(context=client_context(), handshake_first=first), timeout=0.2)
        assert isinstance(error, midge.MidgeTimeoutError)


@pytest.mark.parametrize("first", [False, True])
async def test_an_attempt_that_is_cancelled_in_the_handshake_leaves_no_socket(loop_factory: LoopFactory, first: bool) -> None:
    heard = asyncio.Event()
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        if not first:
            peer.send(info(tls_required=True))
        await peer.reader.readexactly(5)
        heard.set()
        got.append(await peer.reader.read())

    async with FakeServer(script) as server:
        config = TLSConfig(context=client_context(), handshake_first=first)
        task = asyncio.ensure_future(midge.connect(server.url, tls=config))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(got) == 1


async def test_an_attempt_that_is_cancelled_while_its_context_is_made_leaves_no_socket() -> None:
    """The server has spoken already, and the socket has left its link."""
    asked = asyncio.Event()
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send(info(tls_required=True))
        got.append(await peer.reader.read())

    async def never(config: Any) -> ssl.SSLContext:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with FakeServer(script) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("midge.client.tls.asyncio.to_thread", lambda _, config: never(config))
            task = asyncio.ensure_future(midge.connect(server.url))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert got == [b""]


# Certificates


async def test_alpn(files: Files) -> None:
    seen: list[str | None] = []

    async def script(peer: Peer) -> None:
        context = server_context()
        context.set_alpn_protocols(["nats"])
        await peer.writer.start_tls(context)
        seen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await peer.greet(tls_required=True)
        await peer.serve()

    async with FakeServer(script) as server:
        for alpn in (("h2", "nats"), ()):
            async with midge.connect(server.url, tls=TLSConfig(ca_file=files.ca, alpn=alpn, handshake_first=True)):
                pass
    assert seen == ["nats", None]


# Losing, and moving a lot


async def test_a_truncated_connection_is_lost(files: Files) -> None:
    async def script(peer: Peer) -> None:
        peer.send(info(tls_required=True))
        await peer.writer.start_tls(server_context())
        await peer.greet()
        peer.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await peer.end()

    async with FakeServer(script) as server:
        errors: list[Exception] = []
        nc = await midge.connect(server.url, tls=client_context(), error_callback=errors.append, max_reconnects=0)
        with pytest.raises(midge.ConnectionClosedError) as raised:
            await nc.flush()
        assert isinstance(raised.value.__cause__, TLSError) and "cut" in str(raised.value.__cause__)
        await nc.close()


# Options


@pytest.mark.parametrize("tls", [1, "ca.pem", b"", [], {}])
def test_what_the_option_cannot_be(tls: Any) -> None:
    with pytest.raises(TypeError, match="tls is True"):
        midge.connect(tls=tls)


@pytest.mark.parametrize(
    "fields",
    [
        {"key_file": "key.pem"}, {"key_password": "x"}, {"verify": False, "ca_file": "ca.pem"}, {"alpn": "h2"}, {"alpn": ("",)},
        {"server_name": ""}, {"context": client_context, "ca_file": "ca.pem"}, {"context": client_context, "verify": False},
        {"context": client_context, "alpn": ("h2",)}, {"context": client_context, "cert_file": "x"},
        {"cert_file": "x", "key_password": "\udc80"},
    ],
)  # fmt: skip
def test_configurations_that_contradict_themselves(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        TLSConfig(**fields)


@pytest.mark.parametrize("fields", [{"ca_file": 7}, {"context": 7}, {"cert_file": "x", "key_password": 7}])
def test_configurations_of_wrong_types(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        TLSConfig(**fields)


# Contexts that cannot be made


async def test_what_a_function_for_a_context_may_do_wrong() -> None:
    """As with credentials, it is an error of the attempt: also where it waited for something that was cancelled, and nobody else was."""

    def broken() -> ssl.SSLContext:
        raise KeyError("tls")

    async def cancelled() -> ssl.SSLContext:
        raise asyncio.CancelledError

    error = await fails("tls://127.0.0.1:1", tls=broken)
    assert type(error) is TLSError and "has failed: KeyError" in str(error) and isinstance(error.__cause__, KeyError)
    error = await fails("tls://127.0.0.1:1", tls=cancelled)
    assert type(error) is TLSError and "was cancelled" in str(error)


async def test_who_is_cancelled_while_a_context_is_asked_for_is_cancelled() -> None:
    asking = asyncio.Event()

    async def slow() -> ssl.SSLContext:
        asking.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def connect() -> None:
        await midge.connect("tls://127.0.0.1:1", tls=slow)

    task = asyncio.ensure_future(connect())
    await asking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_whatever_keeps_a_context_from_being_made_is_an_error_of_the_attempt(files: Files) -> None:
    for config in (TLSConfig(ca_file="no\0path"), TLSConfig(ca_file=files.ca, cert_file=files.cert, key_password="x" * 2000)):
        assert type(await fails("tls://127.0.0.1:1", tls=config)) is TLSError


async def test_the_password_of_a_key_is_not_seen_where_it_is_wrong(files: Files) -> None:
    cert, key = files.client()
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"right")
    Path(key).write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    config = TLSConfig(ca_file=files.ca, cert_file=cert, key_file=key, key_password="hunter2")
    error = await fails("tls://127.0.0.1:1", tls=config)
    assert type(error) is TLSError and key in str(error)
    assert "hunter2" not in "".join(seen_in(error))
