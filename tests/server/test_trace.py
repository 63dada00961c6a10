"""server.trace: what ``-V`` shows, in nats-server's form, and that it never shows a secret."""

import logging
from collections.abc import Callable

import pytest
from hubs import Client, new_client, new_hub

from midge.server.trace import LEVEL

Lines = Callable[[], list[str]]


@pytest.fixture
def traced(caplog: pytest.LogCaptureFixture) -> Lines:
    """Switch tracing on for the clients made from now on; the function returns the lines since it was called last, less the prefix."""
    caplog.set_level(LEVEL, "midge.server")

    def lines() -> list[str]:
        found = [record.message.partition(" - cid:")[2].partition(" - ")[2] for record in caplog.records if record.levelno == LEVEL]
        caplog.clear()
        return found

    return lines


def test_what_comes_in(traced: Lines) -> None:
    client = new_client(new_hub(), headers=True)
    assert traced() == ['<<- [CONNECT {"verbose": false, "pedantic": false, "headers": true}]']
    client.say(
        b"PING\r\nPONG\r\nSUB a.* q 1\r\nUNSUB 1 5\r\nPUB x r 5\r\nhe\x00lo\r\nHPUB x 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB x 0\r\n\r\n"
    )
    assert traced() == [
        "<<- [PING]", "->> [PONG]", "<<- [PONG]", "<<- [SUB a.* q 1]", "<<- [UNSUB 1 5]",
        "<<- [PUB x r 5]", '<<- MSG_PAYLOAD: ["he\\x00lo"]',
        "<<- [HPUB x 12 14]", '<<- MSG_PAYLOAD: ["NATS/1.0\\r\\n\\r\\nhi"]',
        "<<- [PUB x 0]",
    ]  # fmt: skip


def test_what_goes_out(traced: Lines) -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\n", verbose=True, headers=True, no_responders=True)
    old = new_client(hub, b"SUB a 2\r\n")
    traced()
    client.say(b"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
    assert traced() == [
        "<<- [HPUB a r 12 14]", '<<- MSG_PAYLOAD: ["NATS/1.0\\r\\n\\r\\nhi"]', "->> [OK]",
        "->> [HMSG a 1 r 12 14]", '->> MSG_PAYLOAD: ["NATS/1.0\\r\\n\\r\\nhi"]', "->> [MSG a 2 r 2]", '->> MSG_PAYLOAD: ["hi"]',
    ]  # fmt: skip
    old.session.receive_eof()
    client.say(b"UNSUB 1\r\nSUB r 3\r\nPUB a r 0\r\n\r\nSUB a..b 9\r\n")
    assert traced() == [
        "<<- [UNSUB 1]", "<-> [DELSUB 1]", "->> [OK]", "<<- [SUB r 3]", "->> [OK]",
        "<<- [PUB a r 0]", "->> [OK]", "->> [HMSG r 3 33 33]", "<<- [SUB a..b 9]", "->> [-ERR Invalid Subject]",
    ]  # fmt: skip


def test_the_end_of_a_subscription(traced: Lines) -> None:
    client = new_client(new_hub(), b"SUB a 1\r\nSUB a 2\r\n")
    traced()
    client.say(b"UNSUB 1\r\nUNSUB 2 1\r\nPUB a 0\r\n\r\n")
    assert traced() == ["<<- [UNSUB 1]", "<-> [DELSUB 1]", "<<- [UNSUB 2 1]", "<<- [PUB a 0]", "<-> [DELSUB 2]", "->> [MSG a 2 0]"]


def test_pings_of_the_server(traced: Lines) -> None:
    client = new_client(new_hub(ping_max=1))
    traced()
    client.wait()
    client.wait()
    assert traced() == ["->> [PING]", "->> [-ERR Stale Connection]"]


def test_info_is_not_traced(traced: Lines) -> None:
    Client(new_hub())
    new_client(new_hub(), b"PING\r\n", protocol=1)
    assert not [line for line in traced() if "INFO" in line]


SECRETS = [
    b'{"user":"u","pass":"s3cret"}',
    b'{"pass":"s3cret","user":"u"}',
    b'{"auth_token": "s3cret"}',
    b'{"auth_token" :\t"s3cret"}',
    b'{"jwt":"s3cret","sig":"s3cret","nkey":"UX"}',
    b'{"PASS":"s3cret","Auth_Token":"s3cret"}',
    b'{"pa\xc5\xbfs":"s3cret"}',
    b'{"\\u0070ass":"s3cret"}',
    b'{"pass":"a\\"s3cret\\\\"}',
    b'{"pass":"s3cret',
    b'{"pass":s3cret}',
    b'{"name":"x,"pass":"s3cret"}',
    b'{"name":"\\"pass\\":","pass":"s3cret"}',
    b"{pass: s3cret}",
]


@pytest.mark.parametrize("line", SECRETS, ids=repr)
def test_a_secret_is_never_shown(line: bytes, traced: Lines, caplog: pytest.LogCaptureFixture) -> None:
    """However it is spelt: names are matched in any case and with escapes, and a CONNECT that is refused is shown too."""
    Client(new_hub()).say(b"CONNECT " + line + b"\r\n")
    assert "s3cret" not in caplog.text
    [shown, *_] = [text for text in traced() if text.startswith("<<- [CONNECT")]
    assert "[REDACTED]" in shown


def test_what_is_no_secret_is_shown(traced: Lines) -> None:
    line = 'CONNECT {"name":"a, b","lang":"c","protocol":1,"headers":true,"user":"bob","x":[{"y":null}]}'
    Client(new_hub()).say(line.encode() + b"\r\n")
    assert f"<<- [{line}]" in traced()


def test_without_tracing_nothing_is_formatted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "midge.server")
    client = new_client(new_hub(), b"SUB a 1\r\nPUB a 0\r\n\r\n")
    assert not client.session.tracing and not [record for record in caplog.records if record.levelno == LEVEL]
