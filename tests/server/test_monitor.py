"""The monitoring port of a running server, asked over real sockets, also by peers that mean no good."""

import asyncio
import base64
import json
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from certificates import client_context, server_context
from hubs import new_client, new_hub
from hypothesis import given
from hypothesis import strategies as st
from monitoring import Http, get
from raw import Raw, until

from midge.errors import ServerStartError
from midge.nkeys import KeyPair
from midge.server import monitor
from midge.server.access import User
from midge.server.account_options import AccountOptions
from midge.server.listener import open_sockets
from midge.server.monitor import Monitor
from midge.server.monitor_connz import connz
from midge.server.monitor_queries import ConnzQuery
from midge.server.monitor_state import MonitoredServer
from midge.server.options import ServerOptions
from midge.server.reasons import CLIENT_CLOSED
from midge.server.server import Server

PAGES = (
    "/",
    "/varz",
    "/connz",
    "/routez",
    "/gatewayz",
    "/leafz",
    "/subsz",
    "/subscriptionsz",
    "/jsz",
    "/accountz",
    "/accstatz",
    "/healthz",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(port=0, http_port=0, name="one", server_tags=("a:b",), server_metadata={"z": "1", "a": "2"}) as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    server.reset()
    until(server, lambda: not server._connections)
    assert server.monitoring_url is not None
    return server.monitoring_url


def connections(url: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(url, f"/connz?{query}").json()["connections"]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page(url: str, page: str) -> None:
    reply = get(url, page)
    assert reply.status == 200 and reply.headers["connection"] == "close"
    assert reply.headers["content-type"] == ("text/html; charset=utf-8" if page == "/" else "application/json")
    if page not in ("/", "/healthz"):
        assert reply.headers["access-control-allow-origin"] == "*" and b'\n  "server_id": "N' in reply.body
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", reply.headers["date"])


def test_the_index_links_to_every_page(url: str) -> None:
    links = re.findall(rb'href="([^"]+)"', get(url, "/").body)
    assert {link.decode() for link in links} == set(PAGES) - {"/", "/subscriptionsz"}
    assert all(get(url, link.decode()).status == 200 for link in links)


@pytest.mark.parametrize("path", ["/nope", "/varz/", "/VARZ", "//varz", "/%00", "*", "http://x/varz"])
def test_there_is_no_such_page(url: str, path: str) -> None:
    reply = get(url, path)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (404, b"404 page not found\n", "text/plain; charset=utf-8")


def test_what_the_server_counts(server: Server, url: str) -> None:
    before = get(url, "/varz").json()
    with Raw(server) as one, Raw(server) as two:
        two.sync(b"SUB a 1\r\n")
        one.sync(b"PUB a 5\r\nhello\r\n")
        two.sync()
        after = get(url, "/varz").json()
    change = {name: after[name] - before[name] for name in after if isinstance(after[name], int) and name != "mem"}
    assert {name: count for name, count in change.items() if count} == {
        "connections": 2, "total_connections": 2, "in_msgs": 1, "in_bytes": 5, "in_client_msgs": 1, "in_client_bytes": 5,
        "out_msgs": 1, "out_bytes": 5, "out_client_msgs": 1, "out_client_bytes": 5, "subscriptions": 1,
    }  # fmt: skip
    assert (after["server_name"], after["port"], after["tags"], after["metadata"]) == ("one", server.port, ["a:b"], {"a": "2", "z": "1"})
    assert after["http_req_stats"]["/varz"] == before["http_req_stats"]["/varz"] + 1
    assert after["mem"] > 1 << 20 and after["cores"] >= 1 and after["cpu"] >= 0


def test_when_the_configuration_was_read(server: Server, url: str) -> None:
    before = get(url, "/varz").json()["config_load_time"]
    assert server._monitor is not None
    server.reload(server.options)
    assert before < get(url, "/varz").json()["config_load_time"]


def test_a_connection(server: Server, url: str) -> None:
    with Raw(server, name="<n>", lang="python", version="1.2") as client:
        client.sync(b"SUB a q 1\r\nSUB b.* 2\r\nUNSUB 2 7\r\n")
        (row,) = connections(url)
        assert (row["ip"], row["port"], row["name"]) == ("127.0.0.1", client.socket.getsockname()[1], "<n>")
        assert b'"name": "\\u003cn\\u003e"' in get(url, "/connz").body
        assert "subscriptions_list" not in row and "name_tag" not in row
        assert connections(url, "subs=1")[0]["subscriptions_list"] == ["a", "b.*"]
        assert connections(url, "subs=detail&auth=1")[0]["subscriptions_list_detail"] == [
            {"subject": "a", "qgroup": "q", "sid": "1", "msgs": 0, "cid": row["cid"]},
            {"subject": "b.*", "sid": "2", "msgs": 0, "max": 7, "cid": row["cid"]},
        ]


def test_connections_that_have_ended(server: Server, url: str) -> None:
    until(server, lambda: not server._connections)  # those of the tests before have ended before this one does
    with Raw(server, name="gone") as client:
        client.sync(b"SUB a 1\r\n")
    until(server, lambda: not server._connections)
    with Raw(server, name="here") as client:
        client.sync()
        assert [row["name"] for row in connections(url)] == ["here"]
        row = connections(url, "state=closed&sort=stop&subs=1")[0]
        assert (row["name"], row["reason"], row["subscriptions"], row["subscriptions_list"]) == ("gone", "Client Closed", 1, ["a"])
        assert {"gone", "here"} <= {row.get("name") for row in connections(url, "state=ANY")}
        assert [row["cid"] for row in connections(url, f"state=any&cid={row['cid']}")] == [row["cid"]]
        assert connections(url, f"cid={row['cid']}") == []


def test_which_connections_and_in_which_order(server: Server, url: str) -> None:
    with Raw(server, name="a", user="joe") as a, Raw(server, name="b") as b, Raw(server, name="c", user="joe") as c:
        a.sync(b"SUB x.y 1\r\nPUB z 1\r\n1\r\n")
        b.sync(b"SUB x.> 1\r\nSUB y 2\r\nPUB z 3\r\n123\r\nPUB z 0\r\n\r\n")
        c.sync(b"SUB z.> 1\r\nSUB y 2\r\nSUB w 3\r\n")

        def names(query: str) -> str:
            return "".join(row["name"] for row in connections(url, query))

        for query, wanted in {
            "": "abc", "sort=cid": "abc", "sort=start": "abc", "sort=subs": "cba", "sort=msgs_from": "bac", "sort=bytes_from": "bac",
             "offset=1": "bc", "limit=1": "a", "limit=1&offset=1": "b",
            "offset=9": "", "limit=-3": "abc", "offset=-1": "abc", "user=joe": "ac", "user=no": "", "acc=$G": "abc", "acc=$SYS": "",
            "acc=$G&filter_subject=x.z": "b", "acc=$G&filter_subject=*.y": "abc", "acc=$G&filter_subject=%3E": "abc", "auth=1": "abc",
        }.items():  # fmt: skip
            assert names(query) == wanted, query
        for query in ("sort=pending", "sort=msgs_to", "sort=bytes_to", "sort=rtt", "sort=uptime", "sort=last", "sort=idle"):
            assert sorted(names(query)) == ["a", "b", "c"]
        counts = get(url, "/connz?limit=1&offset=1").json()
        assert (counts["num_connections"], counts["total"], counts["offset"], counts["limit"]) == (1, 3, 1, 1)
        assert [row.get("authorized_user") for row in connections(url, "auth=1")] == ["joe", None, "joe"]


def test_who_has_signed_with_an_nkey_has_its_account_as_issuer() -> None:
    pair = KeyPair.create()
    accounts, users = (AccountOptions(name="A"),), (User(nkey=pair.public_key, account="A"),)
    with Server(port=0, http_port=-1, accounts=accounts, users=users) as server, Raw(server, connect=False) as client:
        signature = base64.urlsafe_b64encode(pair.sign(client.info["nonce"].encode())).rstrip(b"=").decode()
        client.sync(b"CONNECT " + json.dumps({"nkey": pair.public_key, "sig": signature, "verbose": False}).encode() + b"\r\n")
        assert server.monitoring_url is not None
        row = connections(server.monitoring_url, "auth=1")[0]
        assert list(row.items())[-2:] == [("issuer_key", "A"), ("name_tag", "A")]
        assert "issuer_key" not in connections(server.monitoring_url)[0]


def test_the_order_in_time() -> None:
    hub = new_hub()
    state = MonitoredServer(hub, ("", 0), lambda: 0.0, 0, lambda: (0.0, 0, 0), lambda: True)
    for started, spoke in ((1.0, 9.0), (2.0, 7.0), (3.0, 8.0)):
        new_client(hub, now=started).say(b"PING\r\n", spoke)

    def order(sort: str) -> list[int]:
        parts = connz(state, ConnzQuery(sort=sort, state="closed" if sort == "stop" else "open"), 10.0)
        return [row["cid"] for row in json.loads(b"".join(parts))["connections"]]

    assert [order(sort) for sort in ("uptime", "last", "idle")] == [[3, 2, 1], [1, 3, 2], [2, 3, 1]]
    for session in list(hub.sessions.values()):
        session.close(CLIENT_CLOSED)
    assert order("stop") == [1, 2, 3]


def test_subscriptions(server: Server, url: str) -> None:
    with Raw(server) as one, Raw(server) as two:
        one.sync(b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(200)))
        two.sync(b"SUB a.* 1\r\n")

        def subsz(query: str) -> Any:
            return get(url, f"/subsz?{query}").json()

        assert "subscriptions_list" not in subsz("") and subsz("")["total"] == 0 and subsz("")["num_subscriptions"] == 201
        everything = subsz("subs=1")
        assert (everything["total"], len(everything["subscriptions_list"])) == (201, 201)
        part = subsz("subs=1&offset=199&limit=1")
        assert part["total"] == 201 and [row["subject"] for row in part["subscriptions_list"]] == ["a.199"]
        assert [row["subject"] for row in subsz("subs=1&test=a.7")["subscriptions_list"]] == ["a.7", "a.*"]
        assert subsz("subs=1&acc=$SYS")["total"] == 0 and subsz("acc=nope")["num_subscriptions"] == 0
        one.sync(b"PUB a.7 0\r\n\r\nPUB a.8 0\r\n\r\nPUB nobody 0\r\n\r\n")
        assert subsz("")["max_fanout"] == 2 and 0 < subsz("")["avg_fanout"] <= 2 and subsz("")["num_cache"] >= 3


def test_accounts(server: Server, url: str) -> None:
    assert get(url, "/accountz").json()["accounts"] == ["$G", "$SYS"]
    assert get(url, "/accountz?acc=$SYS").json()["account_detail"]["is_system"] is True
    assert get(url, "/accountz?acc=nope").body == b"Account nope does not exist"
    with Raw(server) as client:
        client.sync(b"SUB a 1\r\n")
        assert get(url, "/accountz?acc=$G").json()["account_detail"]["client_connections"] == 1
        (row,) = get(url, "/accstatz").json()["account_statz"]
        assert (row["acc"], row["conns"], row["num_subscriptions"]) == ("$G", 1, 1)
    assert len(get(url, "/accstatz?unused=true").json()["account_statz"]) == 2


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/connz?limit=x", "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax"),
        ("/connz?subs=2", "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"2\": invalid syntax"),
        ("/connz?state=zz", "Error decoding state for zz"),
        ("/connz?sort=bogus", "invalid sorting option: bogus"),
        ("/connz?sort=reason", "sort by reason only valid on closed connections"),
        ("/connz?filter_subject=a", "filter by subject only valid with account filtering"),
        ("/subsz?test=a.*", "invalid test subject, must be valid publish subject: a.*"),
    ],
)
def test_a_wrong_parameter(url: str, path: str, text: str) -> None:
    reply = get(url, path)
    assert (reply.status, reply.body.decode()) == (400, text)


def test_whoever_asks_for_nonsense_does_not_fill_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        assert get(url, "/healthz?stream=x").status == 400
    lines = [record.getMessage() for record in caplog.records if "Healthcheck" in record.getMessage()]
    assert 0 < len(lines) < 50 and 'Healthcheck failed: "\\"account\\" must not be empty when checking stream health"' in lines


# HTTP


def test_one_connection_for_many_requests(url: str) -> None:
    with Http(url) as http:
        assert [http.get("/healthz").body for _ in range(3)] == [b'{"status":"ok"}'] * 3
        http.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        assert {http.reply().body for _ in range(50)} == {b'{"status":"ok"}'}
        assert http.get("/healthz", method="HEAD").headers["content-length"] == "15"
        assert http.get("/healthz", Connection="close").status == 200 and http.is_closed()


def test_old_http(url: str) -> None:
    with Http(url) as http:
        reply = http.get("/varz", version="1.0")
        assert reply.status == 200 and b"server_id" in reply.body and http.is_closed()


def test_other_methods(url: str) -> None:
    with Http(url) as http:
        reply = http.get("/varz", method="POST", **{"Content-Length": "5"})
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD") and http.is_closed()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"GET / HTTP/1.1\r\nnothing\r\n\r\n", b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /connz?" + b"a&" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 40_000,
    ],
)  # fmt: skip
def test_what_is_no_request(url: str, request_: bytes) -> None:
    with Http(url) as http:
        http.send(request_)
        http.socket.shutdown(socket.SHUT_WR)
        assert http.stream.readline() == b"HTTP/1.1 400 Bad Request\r\n" and http.stream.read().endswith(b"400 Bad Request")
    assert get(url, "/healthz").status == 200


def test_who_says_nothing_is_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "REQUEST_SECONDS", 0.01)
    with Http(url) as silent, Http(url) as slow:
        slow.send(b"GET / HT")
        assert silent.is_closed() and slow.is_closed()


def test_who_does_not_read_is_closed(server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "READ_SECONDS", 0.05)
    with Raw(server) as client, socket.socket() as sock:
        client.sync(b"".join(b"SUB %b.%d %d\r\n" % (b"s" * 1000, number, number) for number in range(5000)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = url.removeprefix("http://").split(":")
        sock.connect((host, int(port)))
        sock.sendall(b"GET /subsz?subs=1&limit=10000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert server._monitor is not None
        until(server, lambda: server._monitor is not None and server._monitor._tasks)
        until(server, lambda: server._monitor is not None and not server._monitor._tasks)


def test_the_connection_that_is_idle_longest_gives_way(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "MAX_CONNECTIONS", 2)
    with Http(url) as first, Http(url) as second:
        assert first.get("/healthz").status == second.get("/healthz").status == 200
        with Http(url) as third:
            assert third.get("/healthz").status == 200
            assert first.is_closed() and second.get("/healthz").status == 200


def test_a_long_answer_comes_in_chunks_and_holds_nobody_up(server: Server, url: str) -> None:
    count = 20_000
    with Raw(server) as client, Http(url) as http:
        client.sync(b"".join(b"SUB subject.%d %d\r\n" % (number, number) for number in range(count)))
        http.send(f"GET /connz?subs=detail HTTP/1.1\r\nHost: x\r\n\r\nGET /subsz?subs=1&limit={count} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answered = threading.Event()
        rounds = 0
        replies = []
        reader = threading.Thread(target=lambda: (replies.extend([http.reply(), http.reply()]), answered.set()))
        reader.start()
        while not answered.is_set():
            client.sync()
            rounds += 1
        reader.join()
        assert [reply.headers["transfer-encoding"] for reply in replies] == ["chunked", "chunked"]
        (row,) = replies[0].json()["connections"]
        assert len(row["subscriptions_list_detail"]) == len(replies[1].json()["subscriptions_list"]) == count
        assert rounds > 20


def test_an_error_of_ours_costs_one_connection(server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Any:
        raise RuntimeError("a bug")

    assert server._monitor is not None and server._monitor._pages is not None
    monkeypatch.setitem(server._monitor._pages._handlers, "/varz", broken)
    with Http(url) as http:
        http.send(b"GET /varz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert http.is_closed()
    assert get(url, "/healthz").status == 200


# Where it listens


@pytest.mark.parametrize("base", ["/nats", "nats", "/nats/", "//nats", "a/../nats"])
def test_a_base_path(base: str) -> None:
    with Server(port=0, http_port=0, http_base_path=base) as server:
        url = server.monitoring_url
        assert url is not None
        assert [get(url, path).status for path in ("/nats", "/nats/varz", "/varz", "/", "/nats/")] == [200, 200, 404, 404, 404]
        assert b'"/nats/varz"' in get(url, "/nats").body


def test_no_port_is_opened_unless_it_is_asked_for() -> None:
    with Server(port=0) as server:
        assert server.monitoring_url is None and server.hub.on_closed == []


async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(port=0, http_port=port)
        with pytest.raises(ServerStartError, match=f"cannot listen on 127.0.0.1:{port}: "):
            await server.start()
        assert not server.is_running
        with pytest.raises(ServerStartError):
            await Server(port=port, http_port=0).start()


async def test_the_ports_are_free_after_the_end() -> None:
    server = Server(port=0, http_port=0)
    for _ in range(2):
        async with server:
            assert server.monitoring_url is not None
            place = server.monitoring_url.removeprefix("http://").split(":")
            with socket.create_connection((place[0], int(place[1]))):
                pass
        with pytest.raises(ConnectionRefusedError), socket.create_connection((place[0], int(place[1]))):
            pass


@pytest.mark.parametrize("said", [b"", b"GET /va", b"GET /varz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_connections_end_with_the_server(loop_factory: object, said: bytes) -> None:
    async with Server(port=0, http_port=0) as server:
        assert server.monitoring_url is not None
        http = Http(server.monitoring_url)
        http.send(said)
        await asyncio.sleep(0)
    with http:
        with suppress(ConnectionResetError):
            await asyncio.to_thread(http.stream.read)  # it comes to an end


def test_ipv6() -> None:
    with Server(port=0, http_port=0, http_host="::1") as server:
        assert server.monitoring_url is not None and server.monitoring_url.startswith("http://[::1]:")
        assert get(server.monitoring_url, "/healthz").status == 200


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"http_port": 70000}, "http_port 70000: expected 1 to 65535, or 0 or -1 for a free one"),
        ({"http_port": 1, "https_port": 2}, "can't specify both HTTP"),
        ({"https_port": 2}, "https_port needs tls"),
        ({"max_closed_clients": -1}, "max_closed_clients -1: expected 0 or more"),
        ({"lame_duck_duration": 1.0}, "lame_duck_grace_period must be less than lame_duck_duration"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        ServerOptions(**options)


WORDS = st.sampled_from([b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b":", b"Host", b"a", b"?", b"%", b"=", b"\xff"])


@given(st.binary(max_size=200) | st.lists(WORDS, max_size=30).map(b"".join))
def test_whatever_comes_is_a_request_or_none(data: bytes) -> None:
    try:
        request = monitor._parse(data + b"\r\n\r\n")
    except monitor.BadRequest:
        return
    assert request.method.isalpha() and len(request.parameters) <= monitor.MAX_PARAMETERS


async def test_https() -> None:
    port = Monitor("127.0.0.1", "", await open_sockets("127.0.0.1", 0), server_context())
    await port.start(new_hub(), ("127.0.0.1", 4222), lambda: True)

    def fetch() -> bytes:
        with urllib.request.urlopen(f"{port.url}/healthz", context=client_context(), timeout=20) as reply:
            body: bytes = reply.read()
        return body

    try:
        assert port.url.startswith("https://127.0.0.1:") and await asyncio.to_thread(fetch) == b'{"status":"ok"}'
    finally:
        port.close()
