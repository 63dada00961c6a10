"""What a client asks for when it opens a WebSocket, what it makes of the answers, and its options. The real server is in tests/interop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fakes import FakeInProcessServer, FakeServer, Peer
from test_client_credentials import seen_in

import midge
from midge import ConnectError, InvalidHeaderError, MidgeTimeoutError, MissingExtraError, UpgradeError
from midge.client.options import Options
from midge.client.servers import parse_servers
from midge.client.websocket import WebSocketRequest

SOON = 10.0


def refusing(status: str, heads: list[list[str]]) -> Callable[[Peer], Any]:
    """A server that notes the request, and answers with this status."""

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode("latin-1").split("\r\n")[:-2])
        peer.send(f"HTTP/1.1 {status}\r\nContent-Length: 100000\r\nLocation: ws://127.0.0.1:1/\r\n\r\nmore".encode())
        assert await peer.reader.read() == b"", "nothing is sent where there is no WebSocket"

    return script


async def fails(server: FakeServer, path: str = "", **options: Any) -> BaseException:
    """Connect in vain; return why."""
    with pytest.raises(ConnectError) as raised:
        await midge.connect(f"ws://127.0.0.1:{server.port}{path}", **({"timeout": SOON} | options))
    ((_, error),) = raised.value.attempts
    return error


async def asked(path: str = "", **options: Any) -> list[str]:
    """Return the lines of the request."""
    heads: list[list[str]] = []
    async with FakeServer(refusing("403 Forbidden", heads)) as server:
        await fails(server, path, **options)
    (head,) = heads
    return head


# Answers


@pytest.mark.parametrize("status, reason", [(401, "Unauthorized"), (404, "Not Found"), (302, "Found"), (503, "Service Unavailable")])
async def test_an_answer_that_refuses_is_an_error_with_its_status(status: int, reason: str) -> None:
    """A redirect is one, too: nobody is sent to where they did not ask to go."""
    heads: list[list[str]] = []
    async with FakeServer(refusing(f"{status} {reason}", heads)) as server:
        error = await fails(server)
    assert isinstance(error, UpgradeError) and (error.status, error.reason) == (status, reason)
    assert isinstance(error, ConnectionError) and str(error) == f"no WebSocket: the answer was HTTP {status} {reason}"
    assert len(heads) == 1


async def test_a_port_that_is_no_websockets() -> None:
    async def script(peer: Peer) -> None:
        peer.send(b'INFO {"server_id":"X"} \r\n')
        await peer.end()

    async with FakeServer(script) as server:
        error = await fails(server)
    assert isinstance(error, UpgradeError) and error.status is None and "another port" in str(error)


async def test_a_server_that_does_not_answer_ends_the_attempt_in_time() -> None:
    async def script(peer: Peer) -> None:
        await peer.end()

    async with FakeServer(script) as server:
        assert isinstance(await fails(server, timeout=0.05), MidgeTimeoutError)


# Requests


async def test_the_request_names_host_path_and_headers() -> None:
    head = await asked("/a/b", ws_headers={"Authorization": "Bearer s", "X-List": ["1", "2"]})
    assert head[0] == "GET /a/b HTTP/1.1" and any(line.startswith("Host: 127.0.0.1:") for line in head)
    assert head[-3:] == ["Authorization: Bearer s", "X-List: 1", "X-List: 2"]
    assert not any("Extensions" in line for line in head)
    head = await asked("/a/b", ws_headers=(("Cookie", "a=b"), ["Cookie", "c=d"]), ws_proxy_path="/p", ws_compression=True)
    assert head[0] == "GET /p HTTP/1.1" and head[-2:] == ["Cookie: a=b", "Cookie: c=d"]
    assert "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover" in head


async def test_a_path_is_escaped_and_a_host_is_spelt_as_http_has_it() -> None:
    async def request(url: str, **options: Any) -> list[str]:
        (address,) = parse_servers(url)
        upgrade = await WebSocketRequest(Options(**options), address).upgrade(address.wants_tls)
        return upgrade.begin().decode("ascii").split("\r\n")[:2]

    assert await request("ws://h/ä b%20c") == ["GET /%C3%A4%20b%20c HTTP/1.1", "Host: h"]
    assert await request("wss://[::1]") == ["GET / HTTP/1.1", "Host: [::1]"]
    assert await request("ws://[::1]:443/x") == ["GET /x HTTP/1.1", "Host: [::1]:443"]
    assert await request("wss://bücher.example:8443") == ["GET / HTTP/1.1", "Host: xn--bcher-kva.example:8443"]
    assert await request("ws://h/x", ws_proxy_path="p?a=b%2F") == ["GET /p?a=b%2F HTTP/1.1", "Host: h"]


async def test_headers_may_come_from_a_function_asked_each_time() -> None:
    async def coroutine() -> dict[str, str]:
        await asyncio.sleep(0)
        return {"X-A": "async"}

    assert (await asked(ws_headers=lambda: [("X-A", "plain")]))[-1] == "X-A: plain"
    assert (await asked(ws_headers=coroutine))[-1] == "X-A: async"
    assert "X-A" not in "".join(await asked(ws_headers=lambda: ()))


async def test_what_a_function_for_headers_may_do_wrong() -> None:
    def broken() -> dict[str, str]:
        raise RuntimeError("no token: hunter2")

    async def cancelled() -> dict[str, str]:
        raise asyncio.CancelledError

    async def slow() -> dict[str, str]:
        await asyncio.sleep(60)
        return {}

    async with FakeServer(refusing("403 Forbidden", [])) as server:
        error = await fails(server, ws_headers=broken)
        assert isinstance(error, UpgradeError) and "raised RuntimeError" in str(error) and "hunter2" not in str(error)
        assert isinstance(error.__cause__, RuntimeError)
        assert "was cancelled" in str((await fails(server, ws_headers=cancelled)).__cause__)
        assert "not NoneType" in str(await fails(server, ws_headers=lambda: None))
        assert "and int" in str(await fails(server, ws_headers=lambda: {"a": 1}))
        error = await fails(server, ws_headers=lambda: {"X-A": "hunter2\r\nX-B: c"})
        assert isinstance(error, InvalidHeaderError) and "hunter2" not in str(error)
        assert isinstance(await fails(server, ws_headers=slow, timeout=0.05), MidgeTimeoutError)


async def test_headers_are_not_seen_where_one_cannot_be_sent() -> None:
    """Nor where something else is wrong: they are in no local variable of a traceback."""
    good = {"Authorization": "hunter2"}
    for url, headers in (
        ("ws://ä..b", lambda: good),
        ("ws://127.0.0.1:1", lambda: good | {"X-A": 1}),
        ("ws://127.0.0.1:1", lambda: {"Authorization": "hunter2\n"}),
    ):
        with pytest.raises(ConnectError) as raised:
            await midge.connect(url, ws_headers=headers, timeout=SOON)  # type: ignore[arg-type]
        assert "hunter2" not in "".join(seen_in(raised.value.attempts[0][1]))


async def test_who_is_cancelled_while_headers_are_asked_for_is_cancelled() -> None:
    asking = asyncio.Event()

    async def slow() -> dict[str, str]:
        asking.set()
        await asyncio.sleep(60)
        return {}

    async def connect() -> None:
        await midge.connect("ws://127.0.0.1:1", ws_headers=slow)

    task = asyncio.ensure_future(connect())
    await asking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Options


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"}, {"X-A": "1\n"}, {"X-A": "\x00"}, {"X-A": "\x7f"}, {"X-A": "\u20ac"}, {"X-A\r\nX-B": "1"}, {"X A": "1"},
        {"": "1"},         {"X-A:": "1"}, {"X\u00e4": "1"}, {"Host": "x"}, {"HOST": "x"}, {"connection": "close"}, {"Upgrade": "h2c"},
        {"Sec-WebSocket-Key": "x"}, {"sec-websocket-protocol": "mqtt"}, {"Content-Length": "5"}, {"Transfer-Encoding": "chunked"},
        {"X-A": ["fine", "1\r\n"]}, [("X-A", "1\r")],
    ],
    ids=repr,
)  # fmt: skip
def test_headers_that_cannot_be_sent(headers: Any) -> None:
    with pytest.raises(InvalidHeaderError):
        midge.connect("ws://h", ws_headers=headers)


@pytest.mark.parametrize(
    "headers", ["X-A: 1", b"x", 1, ["X-A"], [("X-A",)], [("X-A", "1", "2")], {"X-A": 1}, {"X-A": None}, {1: "x"}, {"X-A": b"1"}]
)
def test_headers_that_are_none(headers: Any) -> None:
    with pytest.raises(TypeError):
        midge.connect("ws://h", ws_headers=headers)


@pytest.mark.parametrize("path", ["", "a b", "/a\r\nX-A: 1", "/\u00e4", "/a#b", "\t"])
def test_paths_that_cannot_be_sent(path: str) -> None:
    with pytest.raises(ValueError, match="ws_proxy_path"):
        midge.connect("ws://h", ws_proxy_path=path)


async def test_options_for_websockets_without_any() -> None:
    """An option that would do nothing is a mistake."""
    for options in ({"ws_headers": {"X-A": "1"}}, {"ws_compression": True}, {"ws_proxy_path": "/x"}):
        for servers in ("nats://h", FakeInProcessServer()):
            with pytest.raises(ValueError, match="are for ws:// and wss://"):
                midge.connect(servers, **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ws_proxy_path"):
        midge.connect("ws://h", ws_proxy_path=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ws_compression"):
        midge.connect("ws://h", ws_compression="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tls=False"):
        midge.connect("wss://h", tls=False)


def test_headers_are_secrets() -> None:
    options = Options(ws_headers={"Authorization": "hunter2"})
    assert "hunter2" not in repr(options)


def test_the_package_is_an_extra() -> None:
    """Without it everything else works; a URL that needs it says what to install."""
    program = """
import sys
sys.modules["websockets"] = None
import midge
midge.connect("nats://h").begin().close()
try:
    midge.connect("wss://h")
except midge.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "a WebSocket (ws://, wss://) needs an extra: pip install 'midge[ws]'", done.stderr
    assert issubclass(MissingExtraError, ImportError)


def test_nobody_waits_for_the_package_who_does_not_need_it() -> None:
    program = "import sys, midge; midge.connect('nats://h').begin().close(); assert 'websockets' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
