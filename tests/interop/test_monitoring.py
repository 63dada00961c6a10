"""The monitoring port beside the real nats-server's: the same clients on both, and the same pages asked for.

What must differ (names, ports, times, versions, memory) is left out by name; everything else is compared, also the order of fields and
the text of errors. What ours does not have yet is named here, too.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import pytest
from servers import need_nats_server

import midge

DIFFERS = {
    "server_id", "server_name", "version", "go", "port", "http_port", "start", "now", "config_load_time", "uptime", "mem", "cpu",
    "gomaxprocs", "last_activity", "rtt", "idle", "stop", "update_time", "cid", "pending_bytes",
    "/connz",  # how often it was asked for: as often as it took a client to be gone
}  # fmt: skip
# nats-server's own subscriptions in its accounts, and what goes with them: they come with the services of the system account.
OWN = {
    "subscriptions", "num_subscriptions", "num_inserts", "num_cache", "num_matches", "cache_hit_rate", "max_fanout", "avg_fanout",
}  # fmt: skip
MISSING = {"git_commit", "feature_flags", "imports", "exports"}


class Watched:
    """A server with its two ports."""

    def __init__(self, port: int, url: str) -> None:
        self.port = port
        self.url = url

    def get(self, path: str) -> tuple[int, str, str]:
        """Return status, content type and body."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as reply:
                return reply.status, reply.headers["content-type"], reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["content-type"], error.read().decode()


@contextmanager
def real() -> Iterator[Watched]:
    executable = need_nats_server()
    process = subprocess.Popen([executable, "-a", "127.0.0.1", "-p", "-1", "-m", "-1"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found: dict[str, str] = {}
        while len(found) < 2:
            line = process.stderr.readline()
            assert line, "nats-server did not start"
            for name, pattern in (("url", r"http monitor on (\S+)"), ("port", r"client connections on \S+:(\d+)")):
                if match := re.search(pattern, line):
                    found[name] = match[1]
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        yield Watched(int(found["port"]), f"http://{found['url']}")
    finally:
        process.terminate()
        process.wait(20)
        reader.join()
        process.stderr.close()


@contextmanager
def ours() -> Iterator[Watched]:
    with midge.Server(port=0, http_port=-1) as server:
        assert server.monitoring_url is not None
        yield Watched(server.port, server.monitoring_url)


def talk(port: int, connect: bytes, rest: bytes) -> socket.socket:
    """Connect, say something, and wait until it is heard."""
    sock = socket.create_connection(("127.0.0.1", port), 20)
    with sock.makefile("rb") as stream:
        stream.readline()
        sock.sendall(b"CONNECT {%b}\r\n%bPING\r\n" % (connect, rest))
        while stream.readline() != b"PONG\r\n":
            pass
    return sock


@contextmanager
def peopled(server: Watched) -> Iterator[Watched]:
    """The same clients on each, one of which has left."""
    one = talk(
        server.port, b'"verbose":false,"name":"a<b&c","lang":"go","version":"1.2"', b"SUB a q 1\r\nSUB b.* 2\r\nPUB a 5\r\nhello\r\n"
    )
    two = talk(server.port, b'"verbose":false,"user":"joe","pass":"x"', b"SUB a 1\r\nUNSUB 1 5\r\n")
    three = talk(server.port, b'"verbose":false,"auth_token":"t"', b"SUB gone q 1\r\nSUB gone.> 2\r\nPUB a 2\r\nhi\r\n")
    three.shutdown(socket.SHUT_WR)
    while three.recv(4096):
        pass
    with one, two, three:
        while json.loads(server.get("/connz?state=closed")[2])["total"] < 1:
            pass
        yield server


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Watched, Watched]]:
    with real() as theirs, ours() as mine, peopled(theirs), peopled(mine):
        yield theirs, mine


def shape(value: Any, name: str = "") -> Any:
    """What of an answer is compared: names in order, values, and the types of what differs."""
    if isinstance(value, dict):
        return [(key, shape(each, key)) for key, each in value.items() if key not in MISSING]
    if isinstance(value, list):
        return (
            [shape(each) for each in sorted(value, key=json.dumps)]
            if name in ("subscriptions_list", "subscriptions_list_detail", "accounts")
            else list(map(shape, value))
        )
    if name in DIFFERS | OWN:
        return "a number" if name in OWN else type(value)
    return value


PAGES = [
    "/varz", "/connz", "/connz?subs=1", "/connz?auth=1", "/connz?state=closed", "/connz?state=closed&auth=true&subs=detail",
    "/connz?state=any&limit=1&offset=1", "/connz?sort=msgs_from&limit=1", "/connz?user=joe&auth=1", "/connz?acc=$G&limit=1&offset=1",
    "/connz?acc=nope", "/connz?cid=999999", "/connz?offset=-1&limit=-1", "/subsz", "/subscriptionsz?acc=nope", "/routez", "/gatewayz",
    "/leafz", "/accountz", "/accountz?acc=$G", "/accountz?acc=$SYS", "/accstatz", "/accstatz?unused=1", "/varz?callback=cb",
    "/routez?subs=detail", "/leafz?subs=1",
]  # fmt: skip
TEXTS = [
    "/healthz", "/healthz?js-enabled-only=true", "/healthz?details=1", "/healthz?stream=x", "/healthz?stream=x&details=1",
    "/healthz?account=a&consumer=c", "/healthz?js-server-only=zz", "/nope", "/varz/", "/connz?limit=x", "/connz?limit=99999999999999999999",
    "/connz?limit=1.5", "/connz?subs=2", "/connz?auth=yes", "/connz?cid=-1", "/connz?cid=99999999999999999999", "/connz?state=zz",
    "/connz?sort=bogus", "/connz?sort=stop", "/connz?sort=reason&state=any", "/connz?offset=%00", "/subsz?test=a.*", "/subsz?test=a..b",
    "/subsz?subs=x", "/accountz?acc=nope", "/routez?subs=x", "/gatewayz?accs=x", "/leafz?subs=detail", "/accstatz?unused=x",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_the_same_fields_and_values(both: tuple[Watched, Watched], path: str) -> None:
    theirs, mine = (server.get(path) for server in both)
    assert mine[:2] == theirs[:2]
    assert shape(ordered(mine[2])) == shape(ordered(theirs[2]))


def ordered(page: bytes) -> Any:
    """A page whose accounts have an order: nats-server's have none."""
    found = json.loads(page)
    if isinstance(found.get("account_statz"), list):
        found["account_statz"].sort(key=itemgetter("acc"))
    return found


@pytest.mark.parametrize("path", TEXTS)
def test_a_text_is_the_same(both: tuple[Watched, Watched], path: str) -> None:
    theirs, mine = (server.get(path) for server in both)
    assert mine == theirs


@pytest.mark.parametrize("query", ["subs=1&test=a", "subs=1&test=gone.x", "subs=1&acc=$G&limit=500"])
def test_subscriptions(both: tuple[Watched, Watched], query: str) -> None:
    def found(server: Watched) -> list[tuple[object, ...]]:
        rows = json.loads(server.get(f"/subsz?{query}")[2]).get("subscriptions_list", [])
        names = ("account", "account_tag", "subject", "qgroup", "sid", "msgs", "max")
        return sorted(tuple(str(row.get(name)) for name in names) for row in rows if not row["subject"].startswith("$SYS"))

    theirs, mine = map(found, both)
    assert mine == theirs


def test_the_text_is_laid_out_the_same_way(both: tuple[Watched, Watched]) -> None:
    def layout(server: Watched) -> str:
        text = server.get("/connz?subs=1&limit=1")[2]
        text = re.sub(r'"(server_id|now|port|start|last_activity|rtt|uptime|idle|cid)": ("[^"]*"|\d+)', r'"\1": 0', text)
        return re.sub(r'"(a|b\.\*)"', '"subject"', text)

    theirs, mine = map(layout, both)
    assert mine == theirs
