"""server.auth, passwords, certificate, access_checks and verdicts: who is let in, with what, and how long that may take."""

import asyncio
import base64
import datetime
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hubs import Client, connect_line, info, new_client, new_hub
from hypothesis import given, settings
from hypothesis import strategies as st
from raw import Raw, ask, until

from midge.errors import MissingExtraError
from midge.nkeys import KeyPair
from midge.server import auth as module
from midge.server import connection as connection_module
from midge.server import passwords
from midge.server.access import Permissions, Responses, User
from midge.server.account_options import AccountOptions
from midge.server.certificate import CertificateMap, parse_dn
from midge.server.connect import fold
from midge.server.hub import Hub
from midge.server.identity import AuthRequest, Awaited, Computed, Identity, Origin
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.server.options import ServerOptions
from midge.server.server import Server

VIOLATION = b"-ERR 'Authorization Violation'\r\n"
HASH = "$2a$04$kaC1B7m0deiMSzB6dTl2Jei/mV5n7Yqdzk2J3OHGjGVo3V6tPk4ua"  # of "s3cret"
BY_WEBSOCKET = Origin(kind="WEBSOCKET")


class Guest(Client):
    """A client that came in some way."""

    def __init__(self, hub: Hub, origin: Origin) -> None:
        self.hub = hub
        self.session = hub.admission.connect("127.0.0.1:4000", 0.0, 0.0, origin)
        self.session.transport = self
        self.takes, self.flushes, self.got = True, 0, b""
        self.session.start()
        hub.flush()


def says(hub: Hub, origin: Origin, **fields: Any) -> bytes:
    """What a client hears that came in this way and says this in CONNECT, then PING."""
    return Guest(hub, origin).ask(connect_line(**fields) + b"PING\r\n")


# Users, and what they may do


def test_who_begins_without_connect_is_bound_by_the_limits_of_its_account() -> None:
    users = (User(user="a", password="p", account="A"),)
    hub = new_hub(accounts=(AccountOptions(name="A", max_connections=1),), users=users, no_auth_user="a")
    first, second = Client(hub), Client(hub)
    assert first.ask(b"PING\r\n") == b"PONG\r\n"
    assert second.ask(b"PING\r\n") == b"-ERR 'maximum account active connections exceeded'\r\n"
    assert second.session.closing == "Maximum Account Connections Exceeded" and len(hub.accounts["A"].sessions) == 1
    hub = new_hub(accounts=(AccountOptions(name="A", max_subscriptions=0),), users=users, no_auth_user="a")
    assert Client(hub).ask(b"SUB a 1\r\n").endswith(b"-ERR 'maximum subscriptions exceeded'\r\n")


def test_permissions_end_with_another_connect() -> None:
    hub = new_hub(users=(User(user="a", password="p", permissions=Permissions(publish_allow=())), User(user="b", password="p")))
    client = new_client(hub, user="a", **{"pass": "p"})
    assert client.ask(b"PUB x 0\r\n\r\n") == b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n"
    assert client.ask(connect_line(user="b") + b"PUB x 0\r\n\r\n") == b""
    assert client.session.guard is None and client.session.identity.name == "b"


def test_default_permissions_are_the_accounts_or_else_the_servers() -> None:
    from midge.server.account_options import AccountOptions

    hub = new_hub(
        accounts=(AccountOptions(name="A", default_permissions=Permissions(publish_allow=("a",))), AccountOptions(name="B")),
        users=(
            User(user="a", password="p", account="A"), User(user="b", password="p", account="B"),
            User(user="own", password="p", account="A", permissions=Permissions(publish_allow=("own",))),
        ),
        default_permissions=Permissions(publish_allow=("b",)),
    )  # fmt: skip
    refused = "-ERR 'Permissions Violation for Publish to \"{}\"'\r\n"
    for name in ("a", "b", "own"):
        client = new_client(hub, user=name, **{"pass": "p"})
        heard = client.ask(b"".join(b"PUB %b 0\r\n\r\n" % subject for subject in (b"a", b"b", b"own"))).decode()
        assert heard == "".join(refused.format(subject) for subject in ("a", "b", "own") if subject != name)
        assert client.session.account.name == ("B" if name == "b" else "A")


def test_a_verdict_is_asked_for_once_per_change_of_subject() -> None:
    hub = new_hub(users=(User(user="a", password="p", permissions=Permissions(publish_allow=("x.>",), subscribe_deny=("x.no",))),))
    client = new_client(hub, b"SUB x.> 1\r\n", user="a", **{"pass": "p"})
    client.ask(b"PUB x.a 0\r\n\r\n" * 10 + b"PUB x.no 0\r\n\r\n" * 10)
    policy = hub.authenticator.policy(client.session.identity.permissions)
    assert policy is not None and policy.verdicts == {b"x.a": True, b"x.no": True}
    assert policy.denials == {b"x.a": False, b"x.no": True}


def test_answers_by_the_clock_of_the_hub() -> None:
    hub = new_hub(users=(User(user="a", password="p", permissions=Permissions(responses=Responses(max_msgs=9, expires=5.0))),))
    service = new_client(hub, b"SUB svc 1\r\n", user="a", **{"pass": "p"})
    hub.now = 10.0
    hub.emit(hub.account, b"svc", b"r", b"", b"?")
    hub.flush()
    assert service.ask(b"PUB r 0\r\n\r\n", 15.0) == b""
    assert service.ask(b"PUB r 0\r\n\r\n", 15.1).startswith(b"-ERR")


@pytest.mark.parametrize("is_system", [True, False])
def test_only_the_system_account_publishes_to_nrg(is_system: bool) -> None:
    hub = new_hub(users=(User(user="a", password="p", account="$SYS" if is_system else "$G"),))
    client = new_client(hub, user="a", **{"pass": "p"})
    assert client.ask(b"PUB $NRG.x 0\r\n\r\n").startswith(b"-ERR") is not is_system


def test_the_second_info_names_the_system_account() -> None:
    hub = new_hub(users=(User(user="a", password="p", account="$SYS"),))
    client = new_client(hub, user="a", protocol=1, **{"pass": "p"})
    second = json.loads(client.ask(b"PING\r\n").partition(b"INFO ")[2])
    assert second["remote_account"] == "$SYS" and second["acc_is_sys"] is True


def test_a_deadline() -> None:
    hub = new_hub(users=(User(user="a", password="p", deadline=1_000_030.0),))
    hub.epoch = 1_000_000.0
    client = new_client(hub, user="a", now=10.0, **{"pass": "p"})
    client.at(29.9)
    assert client.session.closing is None
    client.heard()
    client.at(30.0)
    assert client.heard() == b"-ERR 'User Authentication Expired'\r\n"
    assert client.session.closing == "Authentication Expired"


# Nonces and nkeys


def test_a_nonce_for_each_connection_where_it_is_needed() -> None:
    assert "nonce" not in info(Client(new_hub()).heard())
    hub = new_hub(always_enable_nonce=True)
    nonces = [info(Client(hub).heard())["nonce"] for _ in range(20)]
    assert len(set(nonces)) == 20 and all(len(nonce) == 15 for nonce in nonces)
    client = Client(hub)
    client.say(connect_line(protocol=1) + b"PING\r\n")
    assert "nonce" not in json.loads(client.heard().rpartition(b"INFO ")[2])


@pytest.mark.parametrize("is_padded, is_url", [(False, True), (True, False), (True, True)])
def test_a_signature_is_raw_url_or_standard_base64(is_padded: bool, is_url: bool) -> None:
    pair = KeyPair.create()
    hub = new_hub(users=(User(nkey=pair.public_key),))
    while True:  # until the text has what only one of the alphabets has
        guest = Guest(hub, Origin())
        signature = pair.sign(guest.session.nonce.encode())
        text = (base64.urlsafe_b64encode if is_url else base64.b64encode)(signature).decode()
        if any(each in text for each in "-_+/"):
            break
    heard = guest.ask(connect_line(nkey=pair.public_key, sig=text if is_padded else text.rstrip("=")) + b"PING\r\n")
    assert heard == (b"PONG\r\n" if is_padded is not is_url else VIOLATION)


# By WebSocket


def test_credentials_by_websocket_replace_the_servers() -> None:
    hub = new_hub(token="t", websocket=WebSocketListener(no_tls=True, user="w", password="p", auth_timeout=7.0))
    assert says(hub, BY_WEBSOCKET, user="w", **{"pass": "p"}) == b"PONG\r\n"
    assert says(hub, BY_WEBSOCKET, auth_token="t") == VIOLATION
    assert says(hub, Origin(), user="w", **{"pass": "p"}) == VIOLATION
    assert says(hub, Origin(), auth_token="t") == b"PONG\r\n"
    assert Guest(hub, BY_WEBSOCKET).session.next_deadline() == 7.0


def test_only_those_by_websocket_are_asked() -> None:
    hub = new_hub(websocket=WebSocketListener(no_tls=True, token="t"))
    assert says(hub, Origin()) == b"PONG\r\n"
    assert says(hub, BY_WEBSOCKET) == VIOLATION
    assert info(Guest(hub, BY_WEBSOCKET).heard())["auth_required"] is True
    assert "auth_required" not in info(Guest(hub, Origin()).heard())


def test_no_auth_user_by_websocket() -> None:
    users = (User(user="a", password="p", permissions=Permissions(publish_allow=())), User(user="b", password="p"))
    hub = new_hub(users=users, websocket=WebSocketListener(no_tls=True, no_auth_user="a"))
    guest = Guest(hub, BY_WEBSOCKET)
    assert info(guest.heard())["auth_required"] is True
    assert guest.ask(b"PUB x 0\r\n\r\n").startswith(b"-ERR 'Permissions Violation")
    assert Guest(hub, Origin()).ask(b"PUB x 0\r\n\r\n") == VIOLATION


def test_cookies_fill_what_connect_leaves_out() -> None:
    hub = new_hub(users=(User(user="a", password="p"), User(user="b", password="q")), websocket=WebSocketListener(no_tls=True))
    origin = Origin(kind="WEBSOCKET", cookies={"user": "a", "password": "p"})
    assert says(hub, origin) == b"PONG\r\n"
    assert says(hub, origin, user="b", **{"pass": "q"}) == b"PONG\r\n"
    assert says(hub, origin, user="b") == VIOLATION


def test_connection_types() -> None:
    hub = new_hub(users=(User(user="a", password="p", connection_types=("INPROCESS", "WEBSOCKET")),))
    heard = [says(hub, Origin(kind=kind), user="a", **{"pass": "p"}) for kind in ("STANDARD", "INPROCESS", "WEBSOCKET")]
    assert heard == [VIOLATION, b"PONG\r\n", b"PONG\r\n"]


# By certificate


def certificate(subject: str, emails: list[str], names: list[str], uris: list[str]) -> bytes:
    """A certificate with this subject (RFC 4514) and these alternative names, DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string(subject)
    others = [*map(x509.RFC822Name, emails), *map(x509.DNSName, names), *map(x509.UniformResourceIdentifier, uris)]
    start = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=36500))
    if others:
        builder = builder.add_extension(x509.SubjectAlternativeName(others), False)
    return builder.sign(key, hashes.SHA256()).public_bytes(encoding=_der())


def _der() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


@pytest.mark.parametrize(
    "users, found",
    [
        (("me@x.org", "host.x.org", "CN=me"), "me@x.org"),
        (("host.x.org", "CN=me"), "host.x.org"),
        (("urn:me", "CN=me,O=X,C=DE"), "urn:me"),
        (("CN=me,O=X,C=DE",), "CN=me,O=X,C=DE"),
        (("cn=me, o=X ,c=DE",), "cn=me, o=X ,c=DE"),
        (("C=DE,O=X,CN=me", "O=X,CN=me,C=DE"), "C=DE,O=X,CN=me"),
        (("C=DE,O=X,CN=me", "CN=me,O=X,C=DE"), "CN=me,O=X,C=DE"),
        (("CN=me,O=x,C=DE", "CN=me", "me", "CN=me,O=X", "CN=me,O=X,C=DE,L=B"), None),
    ],
)
def test_a_certificate_names_a_user(users: tuple[str, ...], found: str | None) -> None:
    der = certificate("CN=me,O=X,C=DE", ["me@x.org"], ["host.x.org"], ["urn:me"])
    assert CertificateMap(users).find(der, lambda name: True) == found
    assert CertificateMap(users).find(der, lambda name: False) is None


def test_a_certificate_without_alternative_names() -> None:
    der = certificate("CN=a\\,b,OU=x+OU=y,DC=example,DC=com", [], [], [])
    for name in ("CN=a\\,b,OU=x+OU=y,DC=example,DC=com", "CN=a\\,b,OU=y+OU=x,DC=example,DC=com", "DC=com,DC=example,CN=a\\2cb,OU=x+OU=y"):
        assert CertificateMap([name]).find(der, lambda name: True) == name
    assert CertificateMap(["CN=a,b"]).find(b"no certificate", lambda name: True) is None


@pytest.mark.parametrize("text", ["", "me", "CN", "CN=a,", "=a", "CN=#0401", "CN=a\\", "CN=a\\zz", "CN=a,b", ",", "+"])
def test_what_is_no_distinguished_name(text: str) -> None:
    assert parse_dn(text) is None


def test_a_user_by_certificate() -> None:
    der = certificate("CN=me", [], [], [])
    hub = new_hub(
        users=(User(user="CN=me"), User(user="other", password="p")),
        tls=ServerTLS(verify_and_map=True),
        websocket=WebSocketListener(no_tls=True),
    )
    by_tls = Origin(tls=True, certificate=der)
    assert says(hub, by_tls) == b"PONG\r\n"
    assert says(hub, by_tls, **{"pass": "x"}) == VIOLATION
    assert says(hub, by_tls, user="other") == b"PONG\r\n"
    assert says(hub, Origin(tls=True), user="other", **{"pass": "p"}) == VIOLATION
    assert says(hub, Origin(kind="WEBSOCKET"), user="CN=me") == VIOLATION  # whom certificates name, nothing else does
    assert says(hub, Origin(kind="WEBSOCKET"), user="other", **{"pass": "p"}) == b"PONG\r\n"


# Verdicts that take a while, as the pure session sees them


def pending_client(hub: Hub) -> Client:
    client = Client(hub)
    client.heard()
    client.say(connect_line(user="a", verbose=True, **{"pass": "s3cret"}) + b"SUB x 1\r\nPING\r\n")
    assert client.heard() == b"" and isinstance(client.session.pending, Computed)
    return client


def hashed_hub() -> Hub:
    pytest.importorskip("bcrypt")
    return new_hub(users=(User(user="a", password=HASH),))


def test_what_comes_meanwhile_is_held() -> None:
    hub = hashed_hub()
    client = pending_client(hub)
    client.say(b"PUB x 2\r\nhi\r\nPI")
    client.say(b"NG\r\n")
    assert client.heard() == b"" and client.session.held == b"SUB x 1\r\nPING\r\nPUB x 2\r\nhi\r\nPING\r\n"
    verdict = client.session.pending.compute()
    held = hub.admission.resolve(client.session, verdict, 1.0)
    assert held is not None
    hub.receive(client.session, held, len(held), 1.0)
    hub.flush()
    assert client.heard() == b"+OK\r\n+OK\r\nPONG\r\n+OK\r\nMSG x 1 2\r\nhi\r\nPONG\r\n"
    assert client.session.held is None


def test_what_was_held_is_not_heard_of_who_is_refused() -> None:
    hub = hashed_hub()
    client = pending_client(hub)
    assert hub.admission.resolve(client.session, None, 1.0) is None
    hub.flush()
    assert client.heard() == VIOLATION and client.session.closing == "Authentication Failure"
    assert hub.admission.resolve(client.session, Identity(), 1.0) is None and not client.session.subs


def test_the_timeout_holds_meanwhile() -> None:
    hub = hashed_hub()
    client = pending_client(hub)
    client.at(2.0)
    assert client.heard() == b"-ERR 'Authentication Timeout'\r\n"
    assert client.session.pending is None
    assert hub.admission.resolve(client.session, Identity(), 3.0) is None


# Verdicts that take a while, in a running server


@pytest.fixture
def served() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def serve(**options: Any) -> Server:
        server = Server(port=0, **options)
        server.start_thread()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.stop_thread()


def test_bcrypt_does_not_hold_up_others(served: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(wanted: str, given: str) -> bool:
        assert threading.current_thread().name.startswith("midge-verdict")
        begun.set()
        return go_on.wait(10)

    server = served(users=(User(user="a", password=HASH), User(user="b", password="p")))
    monkeypatch.setattr(passwords, "compare", lambda wanted, given: slow(wanted, given) if wanted == HASH else wanted == given)
    with Raw(server, user="a", **{"pass": "x"}) as waiting, Raw(server, user="b", **{"pass": "p"}) as other:
        assert begun.wait(10)
        assert other.sync() == b""
        go_on.set()
        assert waiting.sync() == b""


def test_a_real_hash(served: Callable[..., Server]) -> None:
    pytest.importorskip("bcrypt")
    server = served(token=HASH)
    with Raw(server, auth_token="s3cret") as right, Raw(server, auth_token="x") as wrong, Raw(server, auth_token=HASH) as thief:
        assert right.sync() == b""
        assert wrong.rest() == VIOLATION
        assert thief.rest() == VIOLATION, "who has seen the hash does not know the token"


def test_a_flood_before_the_verdict_is_not_read(served: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    answer: asyncio.Future[bool] | None = None

    async def authorizer(request: AuthRequest) -> bool:
        nonlocal answer
        answer = asyncio.get_running_loop().create_future()
        return await answer

    server = served(authorizer=authorizer, auth_timeout=20.0)
    monkeypatch.setattr(connection_module, "MAX_HELD", 1000)
    with Raw(server) as client:
        until(server, lambda: answer)
        session = ask(server, lambda: next(iter(server.hub.sessions.values())))
        client.send(b"SUB x 1\r\n" + b"PUB x 3000\r\n" + b"x" * 3000 + b"\r\nPING\r\n")
        until(
            server, lambda: session.held and session.transport.link._paused if hasattr(session.transport.link, "_paused") else session.held
        )
        client.socket.setblocking(False)
        sent = 0
        try:
            for _ in range(10_000):
                sent += client.socket.send(b"+OK\r\n" * 10_000)
        except BlockingIOError:
            pass
        assert len(session.held) < 400_000
        client.socket.setblocking(True)
        assert answer is not None
        ask(server, lambda: answer.set_result(True))
        assert client.take(len(b"MSG x 1 3000\r\n") + 3002).startswith(b"MSG x 1 3000\r\n")


def decides(answer: Any) -> Callable[[AuthRequest], Any]:
    """An authorizer that returns this, or raises it."""

    def authorizer(request: AuthRequest) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return authorizer


def decides_later(answer: Any) -> Callable[[AuthRequest], Any]:
    async def authorizer(request: AuthRequest) -> Any:
        await asyncio.sleep(0)
        return decides(answer)(request)

    return authorizer


LET_IN = [True, Identity(name="x"), Identity(account="$SYS", permissions=Permissions(publish_allow=("ok",)))]
REFUSED = [None, False, "yes", 1, Identity(account="none"), Identity(permissions=Permissions(publish_allow=("a..b",))), KeyError("s3cret")]


@pytest.mark.parametrize("how", [decides, decides_later])
def test_what_an_authorizer_may_answer(how: Callable[[Any], Any], served: Callable[..., Server], caplog: pytest.LogCaptureFixture) -> None:
    for answer in LET_IN:
        with Raw(served(authorizer=how(answer)), user="u", **{"pass": "s3cret"}) as client:
            assert client.sync() == b""
    for answer in REFUSED:
        with Raw(served(authorizer=how(answer)), user="u", **{"pass": "s3cret"}) as client:
            assert client.rest() == VIOLATION
    faults = [record.getMessage() for record in caplog.records if "authorizer" in record.getMessage()]
    assert len(faults) == 5 and "KeyError at test_auth.py:" in faults[-1]
    assert "s3cret" not in caplog.text


def test_what_an_authorizer_is_told(served: Callable[..., Server]) -> None:
    asked: list[AuthRequest] = []

    def authorizer(request: AuthRequest) -> Identity:
        asked.append(request)
        return Identity(name="somebody", account="$SYS", permissions=Permissions(subscribe_deny=("no",)))

    pair = KeyPair.create()
    server = served(authorizer=authorizer)
    with Raw(server, connect=False) as client:
        nonce = client.info["nonce"]
        signature = base64.urlsafe_b64encode(pair.sign(nonce.encode())).decode().rstrip("=")
        fields = {"user": "u", "pass": "s3cret", "auth_token": "t0ken", "nkey": pair.public_key, "jwt": "j.w.t", "sig": signature}
        client.send(connect_line(name="me", lang="x", version="1", **fields))
        assert client.sync(b"SUB no 1\r\n") == b"-ERR 'Permissions Violation for Subscription to \"no\"'\r\n"
        assert [each.account for each in server.clients()] == ["$SYS"] if hasattr(server.clients()[0], "account") else True
        port = client.socket.getsockname()[1]
    (request,) = asked
    assert (request.user, request.password, request.token, request.jwt) == ("u", "s3cret", "t0ken", "j.w.t")
    assert (request.name, request.lang, request.version, request.address) == ("me", "x", "1", f"127.0.0.1:{port}")
    assert request.has_signed() and request.has_signed(pair.public_key)
    assert not request.has_signed(KeyPair.create().public_key) and not request.has_signed("U")
    for secret in ("s3cret", "t0ken", "j.w.t", nonce, signature):
        assert secret not in repr(request)


def test_an_authorizer_is_cancelled_when_the_client_goes(served: Callable[..., Server]) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def authorizer(request: AuthRequest) -> bool:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return True

    server = served(authorizer=authorizer, auth_timeout=30.0)
    with Raw(server) as client:
        client.send(b"PING\r\n")
        assert begun.wait(10)
    assert cancelled.wait(10)
    begun.clear()
    cancelled.clear()
    with Raw(server) as client:
        assert begun.wait(10)
        server.stop_thread()
        assert cancelled.wait(10)


def test_an_authorizer_that_never_answers(served: Callable[..., Server]) -> None:
    async def authorizer(request: AuthRequest) -> bool:
        await asyncio.Event().wait()
        return True

    with Raw(served(authorizer=authorizer, auth_timeout=0.05)) as client:
        assert client.rest() == b"-ERR 'Authentication Timeout'\r\n"


def test_an_authorizer_that_cancels_itself(served: Callable[..., Server]) -> None:
    async def authorizer(request: AuthRequest) -> bool:
        raise asyncio.CancelledError

    with Raw(served(authorizer=authorizer)) as client:
        assert client.rest() == VIOLATION


def test_an_authorizer_whose_answer_belongs_to_another_loop(served: Callable[..., Server], caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    with Raw(served(authorizer=decides(loop.create_future()))) as client:
        assert client.rest() == VIOLATION
    loop.close()
    assert "The authorizer failed" in caplog.text


def test_a_deadline_in_a_running_server(served: Callable[..., Server]) -> None:
    server = served(authorizer=lambda request: Identity(deadline=time.time() + 0.05))
    with Raw(server) as client:
        assert client.rest() == b"-ERR 'User Authentication Expired'\r\n"


def test_faults_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FAULTS", 3)
    hub = new_hub(authorizer=decides("yes"))
    for now in (0.0, 1.0, 59.0, 61.0):
        Client(hub, now=now).say(connect_line(), now)
    assert len([record for record in caplog.records if "authorizer" in record.getMessage()]) == 2
    for n in range(100):
        hub.authenticator._complain(f"kind {n}", 100.0)
    assert len(hub.authenticator._faults) <= 3


def test_a_coroutine_is_asked_for_by_the_driver() -> None:
    hub = new_hub(authorizer=decides_later(True))
    client = Client(hub)
    client.say(connect_line())
    pending = client.session.pending
    assert isinstance(pending, Awaited)
    asyncio.run(pending.answer)  # type: ignore[arg-type]
    hub.admission.resolve(client.session, pending.conclude(True), 0.0)
    assert client.session.connected


# Whoever has not said who it is reaches nobody

WORDS = st.sampled_from(["", "a", "A", "p", "P", "a\0", "p ", "ap", "\ud800", "é", "x" * 300, HASH])
VALUES = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.lists(WORDS, max_size=2))
NAMES = st.sampled_from(["user", "USER", "pass", "pa\u017fs", "auth_token", "nkey", "sig", "jwt", "account", "new_account", "verbose", "x"])
BY_USERS = new_hub(users=(User(user="a", password="p"), User(nkey=KeyPair.create().public_key), User(user="b", password=HASH)))
BY_TOKEN = new_hub(token="p")


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([BY_USERS, BY_TOKEN]), st.lists(st.tuples(NAMES, VALUES), max_size=6), st.binary(max_size=20), st.integers(1, 60))
def test_without_the_right_credentials_nothing_gets_through(hub: Hub, said: list[tuple[str, Any]], noise: bytes, cut: int) -> None:
    right = {"user": "a", "pass": "p"} if hub is BY_USERS else {"auth_token": "p"}
    listener = new_client(hub, b"SUB > 1\r\n", **right)
    client = Client(hub)
    body = b", ".join(json.dumps(name).encode() + b": " + json.dumps(value).encode() for name, value in said)
    stream = b"CONNECT {" + body + b"}\r\n" + noise + b"\r\nPUB secret 1\r\nx\r\nSUB > 2\r\nPING\r\n"
    for start in range(0, len(stream), cut):
        if client.session.closing is None:
            client.say(stream[start : start + cut])
    credentials = {"user": "", "pass": "", "auth_token": "", "nkey": ""} | {
        fold(name): value for name, value in said if isinstance(value, str)
    }
    is_right = all(credentials[name] == value for name, value in right.items())
    if not is_right:
        assert listener.heard() == b"" and not client.session.subs
    for each in (client, listener):
        each.session.close("done")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80), st.integers(0, 80))
def test_rubbish_before_connect_reaches_nobody(noise: bytes, at: int) -> None:
    listener = new_client(BY_USERS, b"SUB > 1\r\n", user="a", **{"pass": "p"})
    stream = connect_line(user="a", **{"pass": "q"}) + b"PUB secret 1\r\nx\r\nPUB secret 1\r\nx\r\n"
    client = Client(BY_USERS)
    client.say(stream[:at] + noise + stream[at:])
    assert listener.heard() == b""
    for each in (client, listener):
        each.session.close("done")


# Secrets


def test_secrets_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("bcrypt")
    caplog.set_level(logging.DEBUG, "midge.server")
    hub = new_hub(users=(User(user="a", password="s3cret"),), websocket=WebSocketListener(no_tls=True))
    for fields in (
        {"user": "a", "pass": "s3cret"},
        {"user": "a", "pass": "wr0ng"},
        {"auth_token": "wr0ng"},
        {"jwt": "wr0ng", "sig": "wr0ng"},
    ):
        says(hub, Origin(), **fields)
        says(hub, Origin(kind="WEBSOCKET", cookies={"password": "wr0ng", "jwt": "wr0ng"}), **fields)
    assert "s3cret" not in caplog.text and "wr0ng" not in caplog.text


def test_secrets_are_not_shown() -> None:
    options = ServerOptions(users=(User(user="a", password="s3cret"),), websocket=WebSocketListener(no_tls=True, password="s3cret"))
    assert "s3cret" not in repr(options)
    assert "s3cret" not in repr(Computed(lambda: None)) and "s3cret" not in repr(Origin(cookies={"password": "s3cret"}))


# What is refused before the server starts

PAIR = KeyPair.create()


@pytest.mark.parametrize(
    "options, text",
    [
        ({"users": (User(user="a"), User(user="a"))}, 'Duplicate user "a" detected'),
        ({"users": (User(nkey=PAIR.public_key),) * 2}, f'Duplicate nkey "{PAIR.public_key}" detected'),
        ({"users": (User(),)}, "User entry requires a user"),
        ({"users": (User(nkey="U"),)}, "Not a valid public nkey for a user"),
        ({"users": (User(nkey=PAIR.public_key, user="a"),)}, "Nkey users do not take usernames or passwords"),
        ({"users": (User(user="a", account="A"),)}, 'user "a": account "A" missing'),
        ({"users": (User(user="a", connection_types=("TCP",)),)}, 'unknown connection type "TCP"'),
        ({"users": (User(user="a", deadline=float("nan")),)}, 'user "a": the deadline must be seconds since the epoch'),
        (
            {"users": (User(user="a", permissions=Permissions(publish_allow=("a..b",))),)},
            'invalid permissions for user "a": publish allow: subject "a..b" is not a valid subject',
        ),
        ({"users": (User(user="a"),), "user": "b", "password": "p"}, "Can not have a single user/pass and a users array"),
        ({"users": (User(user="a"),), "token": "t"}, "Can not have a token and a users array"),
        ({"no_auth_user": "a"}, 'no_auth_user: "a" present, but users/nkeys are not defined'),
        (
            {"users": (User(user="a"),), "no_auth_user": "b"},
            'no_auth_user: "b" not present as user or nkey in authorization block or account configuration',
        ),
        ({"authorizer": print, "token": "t"}, "an authorizer decides in place of token: give one or the other"),
        ({"authorizer": print, "users": (User(user="a"),)}, "an authorizer decides in place of users: give one or the other"),
        (
            {"users": (User(user="a"),), "websocket": WebSocketListener(no_tls=True, token="t")},
            "websocket authentication token not compatible with presence of users/nkeys",
        ),
        (
            {"websocket": WebSocketListener(no_tls=True, jwt_cookie="j")},
            "trusted operators or trusted keys configuration is required for JWT authentication via cookie "
            '"j"; an authorizer can take it too',
        ),
        ({"max_sub_tokens": -1}, "max_sub_tokens -1: expected 0 or more"),
        ({"max_sub_tokens": 256}, "max_sub_tokens 256: expected at most 255"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        ServerOptions(**options)
    assert str(caught.value) == text


def test_a_hash_needs_bcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bcrypt", None)
    with pytest.raises(MissingExtraError, match=r"midge\[bcrypt\]"):
        ServerOptions(token=HASH)


def test_what_only_begins_like_a_hash() -> None:
    pytest.importorskip("bcrypt")
    assert not passwords.compare("$2a$10$", "$2a$10$")
    assert passwords.compare("$2a$", "$2a$")
