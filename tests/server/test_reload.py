"""server.reload: what may change while a server runs, and what that means for the clients that are there."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from certificates import Files, client_context
from hubs import Client, accounts_hub, connect_line, info, member, new_client, new_hub
from raw import Raw

from midge.errors import ServerStartError
from midge.server.access import Permissions, User
from midge.server.account_options import AccountOptions, Export, Import
from midge.server.identity import ANYBODY, AuthRequest, Awaited, Identity
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.server.options import ServerOptions
from midge.server.peer import Peer, Sink
from midge.server.reload import FIXED, apply, changes
from midge.server.server import Server
from midge.server.sublist import Subscription
from midge.wire.publication import Publication

BASE = ServerOptions()


def changed(**options: Any) -> ServerOptions:
    """The base with other values, those among them that no server can be made with yet."""
    found = replace(BASE)
    for name, value in options.items():
        object.__setattr__(found, name, value)
    return found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"port": 4333}, "Port: old=4222, new=4333"),
        ({"host": "::1"}, "Host: old=127.0.0.1, new=::1"),
        ({"name": "x"}, "ServerName: old=, new=x"),
        ({"max_pending": 8 << 20}, "MaxPending: old=67108864, new=8388608"),
        ({"max_subscriptions": 3}, "MaxSubs: old=0, new=3"),
        ({"lame_duck_duration": 60.0}, "LameDuckDuration: old=2m0s, new=1m0s"),
        ({"http_port": 8222}, "HTTPPort: old=None, new=8222"),
        ({"websocket": WebSocketListener(port=1, no_tls=True, password="s3cr3t")}, "Websocket"),
        ({"no_auth_user": "x"}, "NoAuthUser: old=, new=x"),
    ],
)
def test_what_cannot_be_changed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        changes(BASE, changed(**given))
    assert str(caught.value) == f"config reload not supported for {message}"


@pytest.mark.parametrize("port", [0, -1])
def test_any_port_is_the_port_that_it_has(port: int) -> None:
    assert changes(BASE, replace(BASE, port=port)) == ()


def test_a_user_that_has_gone_need_not_be_named_any_more() -> None:
    before = changed(no_auth_user="x", users=(User(user="x"), User(user="y")))
    assert changes(before, changed(users=(User(user="y"),))) == ("users", "no_auth_user")
    with pytest.raises(ValueError, match="NoAuthUser: old=x, new=$"):
        changes(before, changed(users=(User(user="x"),)))


def test_all_that_is_fixed_is_an_option() -> None:
    assert set(FIXED) <= {each.name for each in fields(ServerOptions)}


def test_nothing_is_changed_where_one_thing_cannot_be() -> None:
    hub = new_hub()
    with pytest.raises(ValueError):
        apply(hub, ServerOptions(max_payload=10, max_pending=1000))
    assert hub.options == ServerOptions()
    assert info(Client(hub).heard())["max_payload"] == 1 << 20


def test_a_new_limit_holds_for_those_who_are_there(caplog: pytest.LogCaptureFixture) -> None:
    hub = new_hub()
    old = new_client(hub)
    with caplog.at_level(logging.INFO, "midge.server"):
        assert apply(hub, ServerOptions(max_payload=10, ping_interval=7.0)) == ("max_payload", "ping_interval")
    assert [record.getMessage() for record in caplog.records] == [
        "Reloaded: max_payload = 10",
        "Reloaded: ping_interval = 7s",
        "Reloaded server configuration",
    ]
    assert info(Client(hub).heard())["max_payload"] == 10
    assert old.ask(b"PUB a 10\r\n0123456789\r\nPING\r\n") == b"PONG\r\n"
    assert old.ask(b"PUB a 11\r\n") == b"-ERR 'Maximum Payload Violation'\r\n"


@pytest.mark.parametrize(
    ("given", "news"),
    [
        ({"client_advertise": "a:1"}, ["Reload: client_advertise = a:1"]),
        ({"auth_timeout": 3.0}, ["Reloaded: authorization timeout = 3"]),
        ({"users": (User(user="a"),)}, ["Reloaded: authorization users"]),
        ({"users": (User(nkey="U"),)}, ["Reloaded: authorization nkey users"]),
        ({"tls": ServerTLS()}, ["Reloaded: tls = enabled"]),
        (
            {"tls": ServerTLS(timeout=2.5, handshake_first=0.3, pinned_certs=frozenset(("a" * 64, "b" * 64)))},
            [
                "Reloaded: tls = enabled",
                "Reloaded: tls timeout = 2.5",
                "Reloaded: 2 pinned_certs",
                "Reloaded: Client TLS handshake first: true",
                "Reloaded: Client TLS handshake first fallback delay: 300ms",
            ],
        ),
    ],
)
def test_nats_server_s_words(given: dict[str, Any], news: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "midge.server"):
        apply(new_hub(), changed(**given), lambda: logging.getLogger("midge.server").info("along"))
    assert [record.getMessage() for record in caplog.records] == [*news, "along", "Reloaded server configuration"]


def test_a_shorter_line() -> None:
    hub = new_hub()
    client = new_client(hub)
    apply(hub, ServerOptions(max_control_line=20))
    assert client.ask(b"SUB %b 1\r\n" % (b"a" * 40)) == b"-ERR 'maximum control line exceeded'\r\n"


def test_a_message_that_has_begun_is_measured_by_the_new_limit() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\n")
    assert client.ask(b"PUB a 12\r\n01234") == b""
    apply(hub, ServerOptions(max_payload=10))
    assert client.ask(b"5678901\r\n") == b"-ERR 'Maximum Payload Violation'\r\n"


def test_who_would_not_be_let_in_any_more_has_to_go() -> None:
    hub = new_hub(token="one")
    knows = new_client(hub, auth_token="one")
    silent = Client(hub)
    silent.heard()
    apply(hub, ServerOptions(token="two"))
    hub.flush()
    assert knows.heard() == silent.heard() == b"-ERR 'Authorization Violation'\r\n"
    assert (knows.session.closing, silent.session.closing) == ("Authentication Failure", "Authentication Failure")
    assert new_client(hub, auth_token="two").ask(b"PING\r\n") == b"PONG\r\n"


class Notes(Sink):
    """Keeps the subjects of what it is given."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def deliver(self, subscription: Subscription, publication: Publication, producer: Peer | None) -> None:
        self.heard.append(publication.subject())


def test_what_the_server_itself_listens_with_outlives_its_account() -> None:
    ours = AccountOptions(name="A", imports=(Import(kind="stream", account="B", subject="ev.*"),))
    other = AccountOptions(name="B", exports=(Export(kind="stream", subject="ev.*"),))
    hub = accounts_hub(ours, other)
    sink = Notes()
    sub = hub.accounts["A"].subscribe(sink, b"ev.>", b"q")
    before = hub.accounts["A"]
    for size in (1000, 2000):
        apply(hub, replace(hub.options, max_payload=size))
        member(hub, "A").say(b"PUB ev.a 0\r\n\r\n")
        member(hub, "B").say(b"PUB ev.b 0\r\n\r\n")
    assert sink.heard == [b"ev.a", b"ev.b"] * 2 and sub.delivered == 2
    assert not before.unsubscribe(sub) and before.sublist.count == 0
    after = hub.accounts["A"]
    assert after.sublist.count == 1 and after.unsubscribe(sub) and not after.unsubscribe(sub) and after.sublist.count == 0
    assert hub.accounts["B"].sublist.count == 0  # nor a shadow


def test_what_the_server_itself_listens_with_ends_with_its_account() -> None:
    hub = accounts_hub(AccountOptions(name="A"), AccountOptions(name="B"))
    sink = Notes()
    hub.accounts["A"].subscribe(sink, b"a")
    gone = replace(hub.options, accounts=hub.options.accounts[1:], users=hub.options.users[1:])
    there = hub.options
    for options in (gone, there):
        apply(hub, options)
    member(hub, "A").say(b"PUB a 0\r\n\r\n")
    assert sink.heard == []


def test_a_server_that_asks_for_credentials_from_now_on_says_so() -> None:
    hub = new_hub()
    anybody = new_client(hub)
    apply(hub, ServerOptions(user="a", password="b"))
    hub.flush()
    assert anybody.heard() == b"-ERR 'Authorization Violation'\r\n"
    assert info(Client(hub).heard())["auth_required"] is True
    apply(hub, ServerOptions())
    assert "auth_required" not in info(Client(hub).heard())


def test_who_is_let_in_before_and_after_stays() -> None:
    hub = new_hub(token="one")
    client = new_client(hub, auth_token="one")
    apply(hub, ServerOptions(token="one", max_connections=5))
    assert client.ask(b"PING\r\n") == b"PONG\r\n"


def test_a_client_that_reads_nothing_does_not_hold_up_a_reload() -> None:
    users = (User(user="a", password="p"), User(user="b", password="p"))
    hub = new_hub(users=users, max_pending=20_000, max_payload=1000)
    bad = new_client(hub, b"".join(b"SUB %b.%d %d\r\n" % (b"x" * 100, at, at) for at in range(300)), user="a", **{"pass": "p"})
    good = new_client(hub, b"SUB y 1\r\n", user="b", **{"pass": "p"})
    bad.takes = False
    nothing = Permissions(publish_allow=(), subscribe_allow=())
    apply(hub, replace(hub.options, users=tuple(replace(user, permissions=nothing) for user in users), max_payload=999))
    assert bad.session.closing == "Slow Consumer (Pending Bytes)"
    assert b"Permissions Violation for Publish" in good.ask(b"PUB y 0\r\n\r\n")
    assert hub.account.sublist.count == 0


def test_a_bug_that_one_client_runs_into_costs_no_other(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    hub = new_hub(token="one")
    clients = [new_client(hub, auth_token="one") for _ in range(2)]
    failing = [RuntimeError("bug")]

    def identify(session: Any) -> Any:
        if failing:
            raise failing.pop()
        return ANYBODY

    monkeypatch.setattr("midge.server.hub.Authenticator.identify", lambda *_: identify(None))
    apply(hub, ServerOptions(token="two", max_payload=1000))
    assert [client.session.closing for client in clients] == ["Internal Error", None]
    assert clients[1].session.account is hub.account and "internal error" in caplog.text


@pytest.mark.parametrize("accounts", [(), (AccountOptions(name="A", default_permissions=Permissions(publish_deny=(">",))),)])
def test_a_verdict_that_is_pending_is_not_one_for_the_new_options(accounts: tuple[AccountOptions, ...]) -> None:
    async def authorizer(_: AuthRequest) -> Identity:
        return Identity(name="x", account="A")

    hub = new_hub(accounts=(AccountOptions(name="A"),), authorizer=authorizer)
    client = Client(hub)
    client.say(connect_line(user="x"))
    pending = client.session.pending
    assert isinstance(pending, Awaited)
    apply(hub, replace(hub.options, accounts=accounts))
    pending.drop()
    hub.admission.resolve(client.session, pending.conclude(Identity(name="x", account="A")), 0.0)
    assert client.session.closing == "Client Closed" and not client.session.connected


@pytest.mark.filterwarnings("error")
def test_what_a_reload_asks_an_authorizer_in_vain_is_not_left_lying_about() -> None:
    asked: list[Any] = []

    class Answer:
        closed = False

        def __await__(self) -> Any:
            yield

        def close(self) -> None:
            self.closed = True

    def authorizer(_: AuthRequest) -> Answer:
        asked.append(Answer())
        return asked[-1]  # type: ignore[no-any-return]

    hub = new_hub(token="one")
    client = new_client(hub, auth_token="one")
    apply(hub, ServerOptions(authorizer=authorizer))
    assert client.session.closing == "Client Closed" and [answer.closed for answer in asked] == [True]


def test_the_limits_of_an_account_hold_for_those_who_are_there() -> None:
    users = (User(user="a", password="p", account="A"),)
    hub = new_hub(accounts=(AccountOptions(name="A"),), users=users)
    first, second, third = (new_client(hub, b"SUB x 1\r\n" * 2 + b"SUB y 2\r\n", user="a", **{"pass": "p"}) for _ in range(3))
    apply(hub, replace(hub.options, accounts=(AccountOptions(name="A", max_connections=2, max_subscriptions=2),)))
    hub.flush()
    assert third.heard() == b"-ERR 'maximum account active connections exceeded'\r\n" and first.ask(b"PING\r\n") == b"PONG\r\n"
    apply(hub, replace(hub.options, accounts=(AccountOptions(name="A", max_subscriptions=1),)))
    hub.flush()
    assert first.heard() == second.heard() == b"-ERR 'maximum subscriptions exceeded'\r\n"
    assert hub.accounts["A"].sublist.count == 0 and not hub.accounts["A"].sessions


def test_who_has_yet_to_say_who_it_is_may_still_be_no_auth_user() -> None:
    users = (User(user="a", password="p", account="A"), User(user="b", password="p", account="A"))
    hub = new_hub(accounts=(AccountOptions(name="A"),), users=users, no_auth_user="a")
    client = Client(hub)
    client.heard()
    apply(hub, replace(hub.options, users=(users[0], replace(users[1], password="q"))))
    assert client.ask(b"PING\r\n") == b"PONG\r\n" and client.session.account.name == "A"


def test_who_need_not_say_who_it_is_any_more_has_time() -> None:
    hub = new_hub(user="a", password="b", auth_timeout=1.0)
    client = Client(hub)
    client.heard()
    apply(hub, ServerOptions())
    client.at(1.5)
    assert client.ask(b"PING\r\n", 2.0) == b"PONG\r\n"


def test_a_subscription_that_is_not_allowed_any_more_is_named_by_its_sid() -> None:
    user = User(user="a", password="p")
    hub = new_hub(users=(user,))
    client = new_client(hub, b'SUB x.y q "9\r\n', user="a", **{"pass": "p"})
    apply(hub, replace(hub.options, users=(replace(user, permissions=Permissions(subscribe_deny=("x.*",))),)))
    hub.flush()
    assert client.heard() == b'-ERR \'Permissions Violation for Subscription to "x.y" (sid "\\"9")\'\r\n'


def test_too_many_for_a_new_limit(caplog: pytest.LogCaptureFixture) -> None:
    hub = new_hub()
    clients = [new_client(hub) for _ in range(4)]
    with caplog.at_level(logging.INFO, "midge.server"):
        apply(hub, ServerOptions(max_connections=2))
    hub.flush()
    assert [client.heard() for client in clients] == [b"", b"", *[b"-ERR 'maximum connections exceeded'\r\n"] * 2]
    assert "Closed 2 connections to fall within max_connections" in caplog.text
    assert b"maximum connections exceeded" in Client(hub).heard()


# A server that runs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "nats.conf"
    found.write_text("max_payload: 100\nping_interval: '5m'\n")
    return found


def test_a_server_reads_its_file_again(path: Path) -> None:
    with Server(config=path, port=0) as server:
        client = Raw(server)
        with client.socket:
            assert client.info["max_payload"] == 100
            path.write_text("max_payload: 10\nping_interval: '5m'\nauthorization {token: x}\n")
            server.reload()
            assert (server.options.max_payload, server.options.token) == (10, "x")
            assert client.line() == b"-ERR 'Authorization Violation'"
        again = Raw(server, auth_token="x")
        with again.socket:
            assert (again.info["max_payload"], again.info["auth_required"]) == (10, True)


def test_a_keyword_keeps_its_precedence(path: Path) -> None:
    with Server(config=path, port=0, max_payload=50) as server:
        path.write_text("max_payload: 10\nmax_connections: 3\n")
        server.reload()
        assert (server.options.max_payload, server.options.max_connections) == (50, 3)


def test_a_file_that_is_wrong_changes_nothing(path: Path) -> None:
    with Server(config=path, port=0) as server:
        before = server.options
        for text, message in (
            ("bogus: 1\n", "unknown field"),
            ("max_pending: 1MB\nmax_payload: 1kb", "MaxPending"),
            ("max_payload: [", "EOF|'"),
        ):
            path.write_text(text)
            with pytest.raises(ValueError, match=message):
                server.reload()
            assert server.options is before and server.hub.options is before


def test_a_deadline_that_has_passed_is_not_waited_for() -> None:
    with Server(port=0, users=(User(user="a", password="p"),)) as server:
        client = Raw(server, user="a", **{"pass": "p"})
        with client.socket:
            client.send(b"PING\r\n")
            assert client.line() == b"PONG"
            server.reload(replace(server.options, users=(User(user="a", password="p", deadline=1.0),)))
            assert client.line() == b"-ERR 'User Authentication Expired'"


def test_a_server_without_a_port_has_no_certificates_to_read_again() -> None:
    with Server(port=0, listen=False, tls=ServerTLS(cert_file="gone", key_file="gone")) as server:
        server.reload(replace(server.options, max_payload=10))
        assert server.hub.options.max_payload == 10


def test_a_port_begins_to_have_tls_and_ceases_to(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with Server(port=0) as server:
        first = Raw(server)
        server.reload(replace(server.options, tls=ServerTLS(cert_file=files.cert, key_file=files.key)))
        second = Raw(server, connect=False)
        with first.socket, second.socket:
            assert ("tls_required" in first.info, second.info["tls_required"]) == (False, True)
            with client_context().wrap_socket(second.socket, server_hostname="localhost") as secured:
                secured.sendall(b"CONNECT {}\r\nPING\r\n")
                assert secured.recv(100) == b"+OK\r\nPONG\r\n"
                assert server.url.startswith("tls://")
                server.reload(replace(server.options, tls=None))
                secured.sendall(b"PING\r\n")
                assert secured.recv(100) == b"PONG\r\n"
            first.send(b"PING\r\n")
            assert first.line() == b"PONG"
        third = Raw(server)
        with third.socket:
            assert "tls_required" not in third.info and server.url.startswith("nats://")
            third.send(b"PING\r\n")
            assert third.line() == b"PONG"
        broken = replace(server.options, tls=ServerTLS(cert_file="gone", key_file="gone"))
        with pytest.raises(ServerStartError, match="certificate"):
            server.reload(broken)
        assert server.options.tls is None and server.url.startswith("nats://")


def test_the_certificate_of_the_websocket_port_may_be_another(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    files, others = Files(tmp_path), Files(tmp_path / "others")
    listener = WebSocketListener(host="127.0.0.1", port=-1, tls=ServerTLS(cert_file=files.cert, key_file=files.key))
    with Server(port=0, websocket=listener) as server:
        server.reload(replace(server.options, websocket=replace(listener, tls=ServerTLS(cert_file=others.cert, key_file=others.key))))
        with pytest.raises(ValueError, match="config reload not supported for Websocket$"):
            server.reload(replace(server.options, websocket=replace(listener, compression=True)))
        with pytest.raises(ValueError, match="config reload not supported for Websocket$"):
            server.reload(replace(server.options, websocket=None))
        with pytest.raises(ValueError, match="config reload not supported for Websocket$"):
            server.reload(replace(server.options, websocket=replace(listener, tls=None, no_tls=True)))


async def test_a_server_in_an_event_loop_and_other_options(path: Path) -> None:
    async with Server(port=0) as server:
        with pytest.raises(ValueError, match="can only reload config when a file is provided"):
            server.reload()
        server.reload(ServerOptions(port=0, max_payload=10, write_deadline=3.0))
        assert server.options.max_payload == 10 and server.hub.options.write_deadline == 3.0
    with pytest.raises(ServerStartError):
        server.reload(ServerOptions(port=0))
