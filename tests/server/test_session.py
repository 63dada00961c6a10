"""server.session: what one client hears of the server, with the time passed in. Routing is in test_hub.py."""

import logging
from typing import Any

import pytest
from hubs import Client, connect_line, info, new_client, new_hub

from midge.server.info import NATS_VERSION
from midge.server.session import RTT_INTERVAL

INTERVAL = 120.0


def closed(client: Client) -> str | None:
    return client.session.closing


# INFO


def test_the_first_info() -> None:
    hub = new_hub(name="n1", max_payload=1000, host="0.0.0.0", port=4000)
    client = Client(hub, address="10.0.0.7:5001")
    found = info(client.heard())
    assert found.pop("go")
    assert found == {
        "server_id": "NSERVER", "server_name": "n1", "version": NATS_VERSION, "proto": 1, "host": "0.0.0.0", "port": 4000,
        "headers": True, "max_payload": 1000, "client_id": 1, "client_ip": "10.0.0.7",
    }  # fmt: skip


def test_info_says_where_the_server_really_listens_and_counts_its_clients() -> None:
    hub = new_hub(port=0)
    hub.info.set_address("::1", 4999)
    for number in (1, 2, 3):
        found = info(Client(hub, address="[::1]:50").heard())
        assert (found["host"], found["port"], found["client_id"], found["client_ip"]) == ("::1", 4999, number, "::1")
    assert found["server_name"] == found["server_id"] == hub.server_id == hub.server_name


def test_a_client_without_an_address_gets_none() -> None:
    assert "client_ip" not in info(Client(new_hub(), address="pipe").heard())


@pytest.mark.parametrize("options", [{"token": "t"}, {"user": "u", "password": "p"}], ids=str)
def test_info_says_that_credentials_are_wanted(options: dict[str, str]) -> None:
    assert info(Client(new_hub(**options)).heard())["auth_required"] is True


def test_the_second_info_comes_with_the_first_pong_to_who_understands_it() -> None:
    hub = new_hub()
    new, old = new_client(hub, protocol=1), new_client(hub, protocol=0)
    pong, _, line = new.ask(b"PING\r\n").partition(b"\r\n")
    assert pong == b"PONG"
    second = info(line)
    assert second["connect_info"] is True and second["remote_account"] == "$G" and second["client_id"] == 1
    assert new.ask(b"PING\r\n") == old.ask(b"PING\r\n") == b"PONG\r\n"


def test_no_second_info_before_connect() -> None:
    client = Client(new_hub())
    assert client.ask(b"PING\r\n") == b"PONG\r\n"
    client.say(connect_line(protocol=1))
    assert client.ask(b"PING\r\n").startswith(b"PONG\r\nINFO {")


# CONNECT


def test_verbose() -> None:
    client = Client(new_hub())
    client.heard()
    assert client.ask(b"CONNECT {}\r\n") == b"+OK\r\n"
    assert client.ask(b"SUB a 1\r\nPUB a 2\r\nhi\r\nUNSUB 1\r\nPING\r\n") == b"+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n+OK\r\nPONG\r\n"


def test_a_second_connect_drops_the_subscriptions_and_changes_what_it_names() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\n", echo=True, name="first")
    assert client.ask(b"PUB a 0\r\n\r\n") == b"MSG a 1 0\r\n\r\n"
    assert client.ask(b'CONNECT {"echo":false}\r\n') == b"" and hub.account.sublist.count == 0
    assert client.session.connect.name == "first" and not client.session.verbose and not client.session.subs
    assert client.ask(b"SUB a 1\r\nPUB a 0\r\n\r\n") == b"" and hub.account.sublist.count == 1


def test_a_second_connect_with_wrong_credentials_ends_it() -> None:
    hub = new_hub(token="t")
    client = new_client(hub, b"SUB a 1\r\n", auth_token="t")
    assert hub.account.sublist.count == 1
    assert client.ask(connect_line(auth_token="x")) == b"-ERR 'Authorization Violation'\r\n"
    assert closed(client) == "Authentication Failure" and hub.account.sublist.count == 0


ENDS: list[tuple[dict[str, Any], bytes, bytes, str]] = [
    ({}, b"FOO\r\n", b"-ERR 'Unknown Protocol Operation'\r\n", "Protocol Violation"),
    ({}, b"PUB a x\r\n", b"", "Protocol Violation"),
    ({}, b"SUB a b c d\r\n", b"", "Protocol Violation"),
    ({}, b"UNSUB\r\n", b"-ERR 'Unknown Protocol Operation'\r\n", "Protocol Violation"),
    ({}, b"UNSUB 1 2 3\r\n", b"", "Protocol Violation"),
    ({}, b"CONNECT {\r\n", b"", "Protocol Violation"),
    ({}, b"-ERR 'x'\r\n", b"", "Parse Error"),
    ({"max_payload": 10}, b"PUB a 11\r\n", b"-ERR 'Maximum Payload Violation'\r\n", "Maximum Message Payload Exceeded"),
    ({"max_control_line": 10}, b"SUB aaaaaaaaa 1\r\n", b"-ERR 'maximum control line exceeded'\r\n", "Maximum Control Line Exceeded"),
    ({"token": "t"}, b"PUB a 0\r\n\r\n", b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ({"token": "t"}, connect_line(auth_token="x"), b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ({"token": "t"}, connect_line(), b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ({"user": "u", "password": "p"}, connect_line(user="u"), b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ({}, connect_line(account="A"), b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ({}, connect_line(protocol=2), b"-ERR 'invalid client protocol'\r\n", "Bad Client Protocol Version"),
    ({}, connect_line(no_responders=True), b"-ERR 'no responders requires headers support'\r\n", "No Responders Requires Headers"),
]  # fmt: skip


@pytest.mark.parametrize("options, data, answer, reason", ENDS, ids=[repr(data) for _, data, _, _ in ENDS])
def test_how_a_connection_ends(options: dict[str, Any], data: bytes, answer: bytes, reason: str) -> None:
    hub = new_hub(**options)
    client, other = Client(hub), Client(hub)
    assert client.ask(data + b"PING\r\n") == answer
    assert closed(client) == reason and not client.session.aborted and client.session.next_deadline() is None
    assert list(hub.sessions) == [other.session.cid]
    assert client.ask(b"PING\r\n") == b""
    client.at(1e9)
    client.session.receive_eof()
    assert client.heard() == b"" and closed(client) == reason
    assert closed(other) is None


def test_the_end_of_the_stream() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\n")
    client.session.receive_eof()
    assert closed(client) == "Client Closed" and not hub.sessions and hub.account.sublist.count == 0


# Limits


def test_max_connections() -> None:
    hub = new_hub(max_connections=2)
    first, second, third = (Client(hub) for _ in range(3))
    assert closed(first) is closed(second) is None
    assert third.heard().endswith(b"} \r\n-ERR 'maximum connections exceeded'\r\n") and closed(third) == "Maximum Connections Exceeded"
    first.session.receive_eof()
    assert closed(Client(hub)) is None and len(hub.sessions) == 2
    assert hub.admission.total == 4


def test_max_subscriptions() -> None:
    hub = new_hub(max_subscriptions=2)
    client = new_client(hub, b"SUB a 1\r\nSUB b 2\r\n")
    refusal = b"-ERR 'maximum subscriptions exceeded'\r\n"
    assert client.ask(b"SUB c 3\r\nSUB a 1\r\nSUB c 4\r\n") == 3 * refusal
    assert client.ask(b"UNSUB 1\r\nSUB c 3\r\nPUB c 0\r\n\r\n") == b"MSG c 3 0\r\n\r\n"
    assert hub.account.sublist.count == len(client.session.subs) == 2 and closed(client) is None


def test_subscribing_twice_with_one_sid_counts_once() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\nSUB b 1\r\n")
    assert hub.account.sublist.count == 1
    assert client.ask(b"PUB b 0\r\n\r\nPUB a 0\r\n\r\n") == b"MSG a 1 0\r\n\r\n"


@pytest.mark.parametrize(
    "line, sid",
    [(b"SUB a 1", b"1"), (b"SUB\ta\t 1 ", b"1"), (b"SUB  a q  1", b"1"), (b"SUB a\x0bb \x0c1", b"\x0c1"), (b"SUB a\rb 1", b"b")],
    ids=repr,
)
def test_arguments_are_split_as_in_nats_server(line: bytes, sid: bytes) -> None:
    """At blanks, tabs, CR and LF, and at nothing else that Python calls a blank."""
    client = new_client(new_hub())
    client.say(line + b"\n")
    assert list(client.session.subs) in ([sid], [b"1"]) and closed(client) is None


# PING


def test_the_first_ping_comes_two_seconds_after_connect_and_a_little() -> None:
    for jitter, delay in ((0.0, 2.0), (0.5, 2.2), (1.0, 2.4)):
        client = Client(new_hub(), now=100.0, jitter=jitter)
        assert client.session.next_deadline() == 100.0 + INTERVAL
        client.say(connect_line(), 101.0)
        assert client.session.next_deadline() == pytest.approx(101.0 + delay)


def test_the_first_ping_is_not_later_than_the_others() -> None:
    client = Client(new_hub(ping_interval=1.0), now=100.0, jitter=1.0)
    client.say(connect_line(), 100.5)
    assert client.session.next_deadline() == pytest.approx(101.7)


def test_a_quiet_client_is_pinged_every_interval() -> None:
    client = new_client(new_hub(), now=100.0)
    assert client.wait() == 102.0 and client.heard() == b"PING\r\n"
    for number in range(1, 5):
        assert client.ask(b"PONG\r\n", 102.5) == b"" and client.session.pings_out == 0
        assert client.wait() == 102.0 + number * INTERVAL and client.heard() == b"PING\r\n"


def test_nothing_happens_before_the_deadline() -> None:
    client = new_client(new_hub(), now=100.0)
    client.at(101.999)
    assert client.heard() == b"" and client.session.next_deadline() == 102.0


@pytest.mark.parametrize("sign", [b"PUB a 0\r\n\r\n", b"SUB a 1\r\n", b"UNSUB 1\r\n", b"PING\r\n"], ids=repr)
def test_a_sign_of_life_puts_the_ping_off(sign: bytes) -> None:
    client = new_client(new_hub(), now=100.0)
    client.wait()
    client.say(b"PONG\r\n" + sign, 103.0)
    client.heard()
    assert client.wait() == 102.0 + INTERVAL and client.heard() == b""
    assert client.wait() == 102.0 + 2 * INTERVAL and client.heard() == b"PING\r\n"


def test_a_busy_client_is_pinged_every_hour_for_its_round_trip() -> None:
    client = new_client(new_hub(), now=0.0)
    pinged = []
    while not pinged or pinged[-1] < 3 * RTT_INTERVAL:
        client.say(b"PUB a 0\r\n\r\n")
        now = client.wait()
        if client.heard():
            pinged.append(now)
            client.say(b"PONG\r\n", now)
    hours = [later - before for before, later in zip(pinged, pinged[1:])]
    assert pinged[0] == 2.0 and hours == [RTT_INTERVAL + INTERVAL] * len(hours)


def test_a_busy_client_that_never_says_connect_has_to_answer_a_ping_once() -> None:
    """nats-server measures the round trip of every client, and takes CONNECT for a first measurement."""
    hub = new_hub()
    client, mute = Client(hub), Client(hub)
    for each in (client, mute):
        assert each.ask(b"PUB a 0\r\n\r\n") == b"+OK\r\n"
        assert each.wait() == INTERVAL and each.heard() == b"PING\r\n"
    client.say(b"PONG\r\n")
    for _ in range(3):
        for each in (client, mute):
            each.say(b"PUB a 0\r\n\r\n")
            if closed(each) is None:
                each.wait()
    assert client.heard() == b"+OK\r\n" * 3 and closed(client) is None
    assert mute.heard() == b"+OK\r\nPING\r\n+OK\r\n-ERR 'Stale Connection'\r\n" and closed(mute) == "Stale Connection"


@pytest.mark.parametrize("ping_max", [1, 2, 5])
def test_a_client_that_leaves_ping_max_pings_unanswered_is_stale(ping_max: int) -> None:
    hub = new_hub(ping_max=ping_max)
    client = new_client(hub, b"SUB a 1\r\n")
    for _ in range(ping_max):
        client.wait()
        assert closed(client) is None
    assert client.wait() == 2.0 + ping_max * INTERVAL
    assert client.heard() == b"PING\r\n" * ping_max + b"-ERR 'Stale Connection'\r\n"
    assert closed(client) == "Stale Connection" and hub.stale_connections == 1 and not hub.sessions and hub.account.sublist.count == 0


def test_an_answer_starts_the_count_anew() -> None:
    hub = new_hub(ping_max=2)
    client = new_client(hub)
    for _ in range(5):
        client.wait()
        client.wait()
        client.say(b"PONG\r\n")
    assert closed(client) is None and hub.stale_connections == 0


def test_a_client_that_says_nothing_is_greeted_pinged_and_given_up() -> None:
    client = Client(new_hub(), now=50.0)
    assert client.heard().startswith(b"INFO {")
    assert [client.wait() for _ in range(3)] == [50.0 + INTERVAL, 50.0 + 2 * INTERVAL, 50.0 + 3 * INTERVAL]
    assert client.heard() == b"PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"


# Authentication


def test_authentication_has_a_time_limit() -> None:
    client = Client(new_hub(token="t", auth_timeout=1.5), now=10.0)
    client.heard()
    client.at(11.4)
    assert client.heard() == b""
    assert client.wait() == 11.5
    assert client.heard() == b"-ERR 'Authentication Timeout'\r\n" and closed(client) == "Authentication Timeout"


@pytest.mark.parametrize(
    "options, fields",
    [
        ({"token": "t\u00e4"}, {"auth_token": "t\u00e4"}),
        ({"user": "u", "password": "p"}, {"user": "u", "pass": "p"}),
        ({"user": "u", "password": ""}, {"user": "u"}),
    ],
    ids=str,
)
def test_the_right_credentials_end_the_time_limit(options: dict[str, str], fields: dict[str, str]) -> None:
    client = Client(new_hub(**options), now=10.0)
    client.heard()
    assert client.ask(connect_line(**fields) + b"PING\r\n", 11.9) == b"PONG\r\n"
    assert client.session.next_deadline() == pytest.approx(13.9)


def test_without_credentials_to_present_there_is_no_time_limit() -> None:
    assert Client(new_hub(), now=10.0).session.next_deadline() == 10.0 + INTERVAL


# Memory


def test_an_idle_session_holds_no_buffer() -> None:
    hub = new_hub()
    publisher, subscriber = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    subscriber.takes = False
    publisher.say(b"PUB a 300000\r\n" + b"x" * 300_000 + b"\r\n")
    subscriber.takes = True
    subscriber.flush()
    for client in (publisher, subscriber):
        assert len(client.session.outbox.buf) == len(client.session.parser.buf) == 0
        client.wait()
        client.say(b"PONG\r\n")
        client.wait()
        assert len(client.session.outbox.buf) == len(client.session.parser.buf) == 0 and client.session.last is None


def test_a_deadline_loses_nothing_of_what_has_come() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\n")
    client.say(b"PUB a 5\r\nhe")
    client.wait()
    client.heard()
    assert client.ask(b"llo\r\nPU") == b"MSG a 1 5\r\nhello\r\n"
    client.wait()
    client.heard()
    assert client.ask(b"B a 0\r\n\r\n") == b"MSG a 1 0\r\n\r\n"


def test_a_released_session_holds_nothing() -> None:
    """Match results may still name it, until they are looked at again."""
    hub = new_hub()
    publisher, subscriber = new_client(hub), new_client(hub, b"SUB a 1\r\nPUB x 1000000\r\n12345")
    publisher.say(b"PUB a 0\r\n\r\n")
    session = subscriber.session
    assert len(session.parser.buf) > 0
    session.stalled_by = publisher.session
    session.receive_eof()
    session.release()
    assert session.transport is session.stalled_by is session.last is None and len(session.parser.buf) == 0 and not session.subs
    assert len(session.outbox.buf) == 0 and len(session.outbox) == 0


# Statistics


def test_when_it_came_and_was_last_heard_of() -> None:
    client = new_client(new_hub(), now=5.0)
    client.say(b"PING\r\n", 9.0)
    assert (client.session.started, client.session.last_active) == (5.0, 9.0)


def test_the_round_trip_is_that_of_connect_and_then_of_each_ping() -> None:
    client = Client(new_hub(), now=5.0)
    assert client.session.rtt is None
    client.say(connect_line(), 5.25)
    assert client.session.rtt == 0.25
    client.say(b"PONG\r\n", 6.0)
    assert client.session.rtt == 0.25, "nobody had asked"
    asked = client.wait()
    client.say(b"PONG\r\n", asked + 0.5)
    assert client.session.rtt == 0.5


# The log


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "midge.server")
    return caplog


@pytest.mark.parametrize(
    "fields, prefix",
    [
        ({}, "127.0.0.1:4000 - cid:1 - "),
        ({"lang": "go", "version": "1.2", "name": "n"}, '127.0.0.1:4000 - cid:1 - "v1.2:go:n" - '),
        ({"lang": "go"}, '127.0.0.1:4000 - cid:1 - "go" - '),
        ({"name": "a name"}, '127.0.0.1:4000 - cid:1 - "a name" - '),
        ({"version": "1", "name": "n"}, '127.0.0.1:4000 - cid:1 - "v1:n" - '),
        ({"name": "n", "user": "bob"}, '127.0.0.1:4000 - cid:1 - "n" - "$G/user:bob" - '),
        ({"auth_token": "s3cret"}, '127.0.0.1:4000 - cid:1 - "$G/token" - '),
        ({"nkey": "U1", "user": "bob"}, '127.0.0.1:4000 - cid:1 - "$G/nkey:U1" - '),
    ],
    ids=str,
)
def test_the_prefix_of_a_log_line(fields: dict[str, str], prefix: str, log: pytest.LogCaptureFixture) -> None:
    client = new_client(new_hub(), **fields)
    client.session.receive_eof()
    assert log.messages[0] == "127.0.0.1:4000 - cid:1 - Client connection created"
    assert log.messages[-1] == prefix + "Client connection closed: Client Closed"
    assert "s3cret" not in log.text


def test_a_client_cannot_write_log_lines(log: pytest.LogCaptureFixture) -> None:
    hub = new_hub(user="u", password="p")
    evil = 'x" - \n[1] [INF] Server is ready\x1b[31m'
    Client(hub).say(connect_line(user=evil))
    client = new_client(hub, name=evil, lang=evil, version=evil, user="u", **{"pass": "p"})
    client.say(b"SUB \x1b[31m _sys_ 1\r\n" + b"PUB \x1b 1 2 3\r\n")
    assert r'cid:1 - authentication error - User "x\" - \n[1] [INF] Server is ready\x1b[31m"' in log.text
    assert len(log.messages) == 7 and all(message.isprintable() for message in log.messages)


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"user": "bob", "pass": "s3cret"}, 'authentication error - User "bob"'),
        ({"auth_token": "s3cret"}, 'authentication error - Token "[REDACTED]"'),
        ({"nkey": "UABC", "sig": "s3cret"}, 'authentication error - Nkey "UABC"'),
        ({}, "authentication error"),
    ],
    ids=str,
)
def test_wrong_credentials_are_logged_without_the_secret(fields: dict[str, str], text: str, log: pytest.LogCaptureFixture) -> None:
    Client(new_hub(token="right")).say(connect_line(**fields))
    assert (f"127.0.0.1:4000 - cid:1 - {text}", logging.ERROR) in [(record.message, record.levelno) for record in log.records]
    assert "s3cret" not in log.text


def test_a_long_line_is_not_logged(log: pytest.LogCaptureFixture) -> None:
    """It may be a CONNECT that begins with the password."""
    Client(new_hub(max_control_line=100)).say(connect_line(**{"pass": "s3cret", "name": "n" * 200}))
    Client(new_hub(max_control_line=100)).say(b'CONNECT {"pass":"s3cret","name":"' + b"n" * 200)
    assert log.text.count("maximum control line exceeded") == 2 and "s3cret" not in log.text


def errors(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.message.partition("cid:1 - ")[2] for record in log.records if record.levelno == logging.ERROR]


def test_a_client_that_is_refused_all_the_time_does_not_fill_the_log(log: pytest.LogCaptureFixture) -> None:
    client = new_client(new_hub(max_subscriptions=1), b"SUB a 1\r\n")
    refused = [b"SUB b 2\r\n", b"SUB c _sys_ 3\r\n", b"PUB $NRG.x 0\r\n\r\n", b"PUB a _R_.x 0\r\n\r\n"]
    client.say(b"".join(refused) * 1000, now=5.0)
    assert len(errors(log)) == 10, "it was a line for each"
    assert client.heard().count(b"-ERR") == 4000, "it is told of all"
    client.say(refused[2], now=5.9)
    assert len(errors(log)) == 10
    client.say(refused[0] * 2, now=6.1)
    assert errors(log)[10:] == ["3991 more refusals", "maximum subscriptions exceeded", "maximum subscriptions exceeded"]
    client.say(refused[0] * 15, now=6.2)
    client.session.close("test")
    assert errors(log)[-1] == "7 more refusals"


def test_a_client_that_is_not_refused_more_than_a_few_times_is_logged_in_full(log: pytest.LogCaptureFixture) -> None:
    client = new_client(new_hub(max_subscriptions=1), b"SUB a 1\r\n")
    for now in range(100):
        client.say(b"SUB b 2\r\n", now=now / 10)
    client.session.close("test")
    assert errors(log) == ["maximum subscriptions exceeded"] * 100


def test_what_else_is_logged(log: pytest.LogCaptureFixture) -> None:
    hub = new_hub(max_subscriptions=1, max_connections=1)
    client = new_client(hub, b"SUB a 1\r\n")
    client.say(b"SUB b 2\r\nSUB c _sys_ 3\r\nPUB $NRG.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\n")
    Client(hub, address="10.0.0.1:5")
    client.say(b"-ERR 'oh'\r\n")
    wanted = [
        "127.0.0.1:4000 - cid:1 - maximum subscriptions exceeded",
        '127.0.0.1:4000 - cid:1 - Subscription Violation - Subject "c", Queue: "_sys_", SID 3',
        '127.0.0.1:4000 - cid:1 - Publish Violation - Subject "$NRG.x"',
        '127.0.0.1:4000 - cid:1 - Publish Violation - Reply "_R_.x"',
        "10.0.0.1:5 - cid:2 - maximum connections exceeded",
        "127.0.0.1:4000 - cid:1 - Client Error 'oh'",
    ]
    assert [record.message for record in log.records if record.levelno == logging.ERROR] == wanted
    for fields in ({"protocol": 7}, {"no_responders": True}):
        Client(new_hub()).say(connect_line(**fields))
    assert [record.message.rpartition(" - ")[2] for record in log.records if record.levelno == logging.ERROR][-2:] == [
        "invalid client protocol", "no responders requires headers support",
    ]  # fmt: skip


def test_the_end_of_a_silent_client_is_logged(log: pytest.LogCaptureFixture) -> None:
    late, stale = Client(new_hub(token="t")), new_client(new_hub(ping_max=1))
    for client in (late, stale, stale):
        client.wait()
    texts = [message.partition(" - cid:1 - ")[2] for message in log.messages]
    assert texts == [
        *["Client connection created"] * 2,
        "Authentication Timeout", "Client connection closed: Authentication Timeout",
        "Stale Client Connection - Closing", "Client connection closed: Stale Connection",
    ]  # fmt: skip
