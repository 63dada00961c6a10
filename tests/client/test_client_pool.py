"""The pool of servers: order, passes, failures, discovery."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from midge.client.pool import MAX_DISCOVERED, PATIENT_PASSES, ServerPool, longest_wait
from midge.client.servers import Address, parse_servers

URLS = "nats://a:1,nats://b:2,nats://c:3"


def pool(urls: str = URLS, **options: Any) -> ServerPool:
    return ServerPool(parse_servers(urls), **options)


def hosts(pool: ServerPool) -> str:
    return "".join(server.address.host for server in pool.servers())


def tried(pool: ServerPool, count: int) -> str:
    """Try so many servers in vain; "|" is a wait."""
    order = ""
    for _ in range(count):
        server = pool.next()
        if server is None:
            return order + "."
        if pool.is_pass_over(server):
            order += "|"
            pool.begin_pass()
        order += server.address.host
        pool.note_error(server, OSError(server.address.host))
        pool.count_failure(server)
    return order


def connected(pool: ServerPool, host: str) -> None:
    pool.note_success(next(server for server in pool.servers() if server.address.host == host))


def test_all_are_tried_before_anybody_waits() -> None:
    assert tried(pool(), 7) == "abc|abc|a"


def test_a_lost_server_is_tried_last_and_the_others_at_once() -> None:
    servers = pool()
    connected(servers, "a")
    servers.begin_anew()
    assert tried(servers, 7) == "bca|bca|b"


def test_a_server_that_was_just_connected_counts_as_tried() -> None:
    servers = pool("nats://a:1,nats://b:2")
    connected(servers, "a")
    assert tried(servers, 3) == "b|ba"
    alone = pool("nats://a:1")
    connected(alone, "a")
    assert tried(alone, 1) == "|a", "a server that lets in and drops at once is not asked in a circle"


def test_the_order_is_drawn_once() -> None:
    servers = pool(shuffle=lambda found: found.reverse())
    assert hosts(servers) == "cba" and tried(servers, 4) == "cba|c"
    assert hosts(pool()) == "abc"


def test_the_same_server_twice_is_one() -> None:
    assert hosts(pool("nats://a:1,nats://a:1,nats://b:2")) == "ab"


def test_who_fails_too_often_is_given_up() -> None:
    servers = pool(max_failures=2)
    assert tried(servers, 9) == "abc|abc." and servers.servers() == []
    assert [(url, str(error)) for url, error in servers.errors()] == [(f"nats://{host}:{i + 1}", host) for i, host in enumerate("abc")]


def test_a_success_makes_good() -> None:
    servers = pool(max_failures=2)
    tried(servers, 5)
    assert hosts(servers) == "c" and len(servers.errors()) == 3
    connected(servers, "c")
    assert servers.errors() == [] and tried(servers, 9) == "|c|c."


def test_a_refusal_counts_when_it_is_repeated() -> None:
    servers = pool()
    a, b, _ = servers.servers()
    assert not servers.note_refusal(a, "no") and not servers.note_refusal(b, "no")
    assert servers.note_refusal(a, "no")
    assert not servers.note_refusal(b, "never") and not servers.note_refusal(b, None) and not servers.note_refusal(b, "never")
    connected(servers, "c")
    assert not servers.note_refusal(a, "no") and not servers.note_refusal(b, "never")


def test_what_is_discovered() -> None:
    servers = pool("nats://user:secret@a:1")
    origin = servers.servers()[0].address
    assert servers.learn(["b:2", "a:1", "10.0.0.3:3", "[::1]:4"], origin) == ("nats://b:2", "nats://10.0.0.3:3", "nats://[::1]:4")
    assert servers.learn(["b:2", "10.0.0.3:3", "[::1]:4"], origin) == ()
    named, numbered = (server.address for server in servers.servers()[1:3])
    assert (named.user, named.password, named.server_name, named.discovered) == ("user", "secret", None, True)
    assert (numbered.scheme, numbered.server_name) == ("nats", "a")
    assert servers.learn(["10.0.0.5:5"], numbered) == ("nats://10.0.0.5:5",)
    assert servers.servers()[-1].address.server_name == "a", "the name goes on from one to the next"


@pytest.mark.parametrize("scheme", ["tls", "ws", "wss"])
def test_what_is_discovered_keeps_the_scheme(scheme: str) -> None:
    servers = pool(f"{scheme}://a:1")
    assert servers.learn(["b:2"], servers.servers()[0].address) == (f"{scheme}://b:2",)


def test_who_vanishes_is_forgotten() -> None:
    servers = pool("nats://a:1,nats://b:2")
    origin = servers.servers()[0].address
    servers.learn(["c:3", "d:4", "e:5"], origin)
    connected(servers, "d")
    assert servers.learn(["f:6", "c:3"], origin) == ("nats://f:6",)
    assert sorted(hosts(servers)) == list("abcdf"), "not those that were given, nor the one in use"
    servers.learn([], origin)
    assert sorted(hosts(servers)) == list("abcdf"), "no list at all says nothing"
    connected(servers, "a")
    servers.learn(["c:3"], origin)
    assert sorted(hosts(servers)) == list("abc")


def test_discovery_can_be_ignored() -> None:
    servers = pool(ignores_discovered=True)
    assert servers.learn(["d:4"], servers.servers()[0].address) == () and hosts(servers) == "abc"


@pytest.mark.parametrize("place", ["", ":", "a b:1", "a:x", "a:99999", "://", "[", "nats://"])
def test_nonsense_is_not_discovered(place: str) -> None:
    servers = pool()
    assert servers.learn([place], servers.servers()[0].address) == () and hosts(servers) == "abc"


def test_a_server_that_names_very_many() -> None:
    servers = pool()
    origin = servers.servers()[0].address
    assert len(servers.learn([f"h{i}:1" for i in range(100_000)], origin)) == MAX_DISCOVERED
    assert len(servers.learn([f"g{i}:1" for i in range(100_000)], origin)) == MAX_DISCOVERED
    assert len(servers.servers()) == MAX_DISCOVERED + 3


def test_a_server_that_is_discovered_late_is_tried_at_once_but_not_again_and_again() -> None:
    servers = pool("nats://a:1,nats://b:2")
    tried(servers, 20)
    servers.learn(["c:3"], servers.servers()[0].address)
    assert tried(servers, 4) == "c|abc"


def test_other_servers() -> None:
    servers = pool()
    connected(servers, "b")
    a = servers.servers()[0]
    a.failures = 3
    servers.learn(["d:4"], a.address)
    servers.replace(parse_servers("nats://e:5,nats://a:1"))
    assert hosts(servers) == "ea" and servers.servers()[1] is a
    assert servers.find("nats://e:5") is servers.servers()[0] and servers.find("nats://b:2") is None
    assert [server.address.host for server in servers.others()] == ["e", "a"]


def test_servers_that_are_set_late_are_tried_once_before_the_next_wait() -> None:
    servers = pool("nats://a:1")
    for _ in range(50):
        servers.note_error(servers.servers()[0], OSError("down"))
        servers.begin_pass()
    servers.replace(parse_servers("nats://b:2"))
    server = servers.next()
    assert server is not None and not servers.is_pass_over(server)
    servers.note_error(server, OSError("down"))
    assert servers.is_pass_over(server)


def test_addresses_show_no_secret() -> None:
    servers = pool("nats://user:secret@a:1")
    servers.learn(["b:2"], replace(servers.servers()[0].address, token="hidden"))
    assert "secret" not in repr([server.address for server in servers.servers()]) + str([server.url for server in servers.servers()])
    assert isinstance(servers.servers()[1].address, Address)


def test_how_long_one_may_wait() -> None:
    waits = [longest_wait(passes, 0.1, 4.0) for passes in range(1, 10_000)]
    assert waits[:PATIENT_PASSES] == [0.1] * PATIENT_PASSES
    assert waits[PATIENT_PASSES : PATIENT_PASSES + 6] == [0.2, 0.4, 0.8, 1.6, 3.2, 4.0] and set(waits[PATIENT_PASSES + 6 :]) == {4.0}
