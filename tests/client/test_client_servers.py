"""Server URLs, options and CONNECT: what a user may say, and what becomes of it."""

import json
from typing import Any

import pytest

from midge.client.credentials import Credentials
from midge.client.handshake import ServerInfo, connect_line
from midge.client.interest import DEFAULT_PENDING_BYTES, DEFAULT_PENDING_MSGS
from midge.client.options import Options
from midge.client.servers import Address, parse_servers
from midge.errors import InvalidSubjectError

URLS = [
    ("nats://h", [Address("h", 4222)]),
    ("h", [Address("h", 4222)]),
    ("h:1", [Address("h", 1)]),
    ("NATS://H:65535/", [Address("h", 65535)]),
    ("127.0.0.1", [Address("127.0.0.1", 4222)]),
    ("nats://[::1]:5", [Address("::1", 5)]),
    ("[fe80::1]", [Address("fe80::1", 4222)]),
    ("nats://u:p@h", [Address("h", 4222, user="u", password="p")]),
    ("u:p@h:1", [Address("h", 1, user="u", password="p")]),
    ("nats://u:@h", [Address("h", 4222, user="u", password="")]),
    ("nats://s3cr3t@h", [Address("h", 4222, token="s3cr3t")]),
    ("nats://u%40x:p%3A%2F%2C@h", [Address("h", 4222, user="u@x", password="p:/,")]),
    ("nats://u:p@ss@h", [Address("h", 4222, user="u", password="p@ss")]),
    ("nats://@h", [Address("h", 4222)]),
    ("a, nats://b:1 ,c", [Address("a", 4222), Address("b", 1), Address("c", 4222)]),
    (["a,b", "nats://c"], [Address("a", 4222), Address("b", 4222), Address("c", 4222)]),
    (("a",), [Address("a", 4222)]),
    ("tls://h", [Address("h", 4222, scheme="tls")]),
    ("ws://h, WSS://u:p@h", [Address("h", 80, scheme="ws"), Address("h", 443, "u", "p", scheme="wss")]),
    ("wss://[::1]:1/a/b", [Address("::1", 1, scheme="wss", path="/a/b")]),
    ("ws://h/", [Address("h", 80, scheme="ws")]),
]


@pytest.mark.parametrize(("servers", "addresses"), URLS)
def test_urls(servers: Any, addresses: list[Address]) -> None:
    assert parse_servers(servers) == addresses
    assert parse_servers(iter([servers] if isinstance(servers, str) else servers)) == addresses


BAD_URLS = [
    "", ",", [], [""], [5], [None], [b"h"], "nats:/h:1", "tls:/h", "Nats:/u:p@h",
    "nats://", "nats://:4222", "nats://h:x", "nats://h:99999", "nats://h:-1", "http://h", "tls://h/x",
    "ws://h,nats://g", "wss://h?x", "nats://h/path", "nats://h?x=1", "nats://h#x", "nats://h h", "nats://[::1", "::1", "nats://[x]:1",
    "ws://h\0", "nats://h\x1b[m", "nats://u\udc80@h", "nats://u:p\udc80@h",
]  # fmt: skip


@pytest.mark.parametrize("servers", BAD_URLS, ids=repr)
def test_bad_urls(servers: Any) -> None:
    with pytest.raises(ValueError):
        parse_servers(servers)


@pytest.mark.parametrize("servers", [None, 5, b"h", bytearray(b"h"), object()], ids=repr)
def test_what_is_no_url(servers: Any) -> None:
    with pytest.raises(TypeError, match="a URL such as"):
        parse_servers(servers)


def test_a_slash_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="begins with 'nats:/' instead of 'nats://'"):
        parse_servers("nats:/localhost:4222")


SECRETS = [
    "nats:/u:hunter2@h",
    "nats://u:hunter2@h:x", "nats://u:hun/ter2@h", "nats://u:hun#ter2@h", "nats://u:hun?ter2@h", "nats://u:hunter2", "nats://u:hun,ter2@h",
    "http://u:hunter2@h", "ftp://hunter2@h", "nats://u:hunter2@h/x", "nats://u:hunter2@", "u:hunter2@h h", "nats://u:hunter2\u2100@h",
    "nats://u:hunter2@[::1", "nats://u:hunter2\udc80@h", "nats://hunter2\udc80@h",
]  # fmt: skip


@pytest.mark.parametrize("url", SECRETS)
def test_an_error_tells_no_password(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_servers(url)
    assert not [part for part in ("hunter2", "ter2", "hun") if part in str(raised.value)]
    assert raised.value.__cause__ is None and (raised.value.__suppress_context__ or raised.value.__context__ is None)


def test_an_address_shows_no_password() -> None:
    for url in ("nats://u:hunter2@h", "nats://hunter2@h"):
        (address,) = parse_servers(url)
        assert "hunter2" not in f"{address!r} {address}" and str(address) == "nats://h:4222"
    assert str(Address("::1", 1)) == "nats://[::1]:1"


# Options

BAD_OPTIONS: list[dict[str, Any]] = [
    {"ping_interval": 0}, {"ping_interval": -1}, {"max_pings_out": 0}, {"outbound_limit": 0}, {"timeout": 0}, {"timeout": -1},
    {"drain_timeout": 0}, {"user": "u", "token": "t"}, {"password": "p"}, {"inbox_prefix": ""}, {"inbox_prefix": "a b"},
    {"inbox_prefix": "a."}, {"inbox_prefix": "a.*"}, {"inbox_prefix": ">"}, {"name": "\ud800"}, {"user": "u", "password": "\udcff"},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_OPTIONS, ids=repr)
def test_bad_options(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Options(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout": "5"},
        {"timeout": True},
        {"ping_interval": None},
        {"max_pings_out": 1.5},
        {"outbound_limit": "1"},
        {"drain_timeout": b"1"},
        {"name": 5},
        {"user": b"u"},
        {"token": 1},
        {"user": "u", "password": 1},
        {"error_callback": 5},
    ],
    ids=repr,
)
def test_options_of_the_wrong_type(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Options(**fields)


def test_the_defaults() -> None:
    """Those of nats.go, but for what ADR-40 says otherwise (5 s for a whole attempt), and that a client never gives up."""
    options = Options()
    assert (options.timeout, options.ping_interval, options.max_pings_out, options.drain_timeout) == (5.0, 120.0, 2, 30.0)
    assert (options.max_reconnects, options.reconnect_buffer, options.inbox_prefix) == (None, 8 << 20, "_INBOX")
    assert (DEFAULT_PENDING_MSGS, DEFAULT_PENDING_BYTES) == (500_000, 64 << 20)
    assert [parse_servers(url)[0].port for url in ("nats://h", "tls://h", "ws://h", "wss://h")] == [4222, 4222, 80, 443]


def test_options_without_limits() -> None:
    options = Options(timeout=None, drain_timeout=None, inbox_prefix="my.inbox")
    assert (options.timeout, options.drain_timeout, options.inbox_prefix) == (None, None, "my.inbox")


def test_options_show_no_secret() -> None:
    with pytest.raises(InvalidSubjectError):
        Options(inbox_prefix=" ")
    assert "hunter2" not in f"{Options(user='u', password='hunter2')!r} {Options(token='hunter2')!r}"


# CONNECT

PLAIN = {
    "verbose": False, "pedantic": False, "tls_required": False, "lang": "python-midge", "version": "1", "protocol": 1, "echo": True,
    "headers": True, "no_responders": True,
}  # fmt: skip
CONNECTS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({}, "h", {}),
    ({"name": 'quo"te\r\nPUB x'}, "h", {"name": 'quo"te\r\nPUB x'}),
    ({"echo": False, "verbose": True, "pedantic": True}, "h", {"echo": False, "verbose": True, "pedantic": True}),
    ({"user": "u", "password": "p"}, "h", {"user": "u", "pass": "p"}),
    ({"user": "u"}, "h", {"user": "u", "pass": ""}),
    ({"token": "t"}, "h", {"auth_token": "t"}),
    ({"token": "t"}, "u:p@h", {"user": "u", "pass": "p"}),
    ({"user": "u", "password": "p"}, "t@h", {"auth_token": "t"}),
    ({"user": "u", "password": "p"}, "v:q@h", {"user": "v", "pass": "q"}),
    ({"user": "gr\u00fc\u00dfe", "password": "\U0001f511"}, "h", {"user": "gr\u00fc\u00dfe", "pass": "\U0001f511"}),
]


@pytest.mark.parametrize(("options", "url", "fields"), CONNECTS)
async def test_connect(options: dict[str, Any], url: str, fields: dict[str, Any]) -> None:
    line = await Credentials(Options(**options), "1").connect_line(parse_servers(url)[0], ServerInfo(headers=True))
    assert json.loads(line) == PLAIN | fields
    assert b"\r" not in line and b"\n" not in line


async def test_connect_in_process() -> None:
    line = await Credentials(Options(token="t"), "1").connect_line(None, ServerInfo(headers=True))
    assert json.loads(line) == PLAIN | {"auth_token": "t"}


def test_connect_says_that_the_url_asks_for_tls() -> None:
    line = connect_line(Options(), parse_servers("tls://h")[0], "1", ServerInfo(headers=True), {})
    assert json.loads(line) == PLAIN | {"tls_required": True}


def test_connect_to_a_server_without_headers() -> None:
    """It would refuse no_responders, whose status travels in a header."""
    said = json.loads(connect_line(Options(), None, "1", ServerInfo(), {}))
    assert said == PLAIN | {"headers": False, "no_responders": False}
