"""Message tracing in the hub: what it may cost, and what no conversation with a real server shows. The rest is in tests/interop."""

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from hubs import Client, accounts_hub, member, new_client, new_hub

from midge.server import reload
from midge.server.account_options import AccountOptions, MsgTrace
from midge.server.hub import Hub
from midge.server.info import NATS_VERSION
from midge.server.message_trace import MAX_EVENTS
from midge.server.peer import Sink
from midge.server.snappy import MAX_SIZE
from midge.server.trace_headers import MAX_BLOCK

PARENT = b"traceparent:a-b-c-01"


def hpub(subject: bytes, *headers: bytes, payload: bytes = b"x") -> bytes:
    block = b"NATS/1.0\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n"
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(block), len(block) + len(payload), block, payload)


def traces(heard: bytes) -> list[dict[str, Any]]:
    """What came of traces, of those that are not encoded."""
    return [json.loads(line) for line in heard.split(b"\r\n") if line.startswith(b'{"server":')]


def events(heard: bytes) -> list[dict[str, Any]]:
    """The events of the one trace that came."""
    (trace,) = traces(heard)
    found: list[dict[str, Any]] = trace["events"]
    return found


def listener(hub: Hub) -> Client:
    return new_client(hub, b"SUB t 1\r\n", headers=True)


def test_where_it_is_from() -> None:
    hub = new_hub(name="one", server_tags=("a", "b"), server_metadata={"z": "1", "y": "2"})
    hub.epoch = 1e9
    client = new_client(hub, headers=True, name="me")
    ears = listener(hub)
    client.say(hpub(b"x", b"Nats-Trace-Dest:t"), now=5.25)
    client.say(hpub(b"x", b"Nats-Trace-Dest:t"), now=6.0)
    first, second = traces(ears.heard())
    assert list(first["server"].items()) == [
        ("name", "one"), ("host", "127.0.0.1"), ("id", "NSERVER"), ("ver", NATS_VERSION), ("tags", ["a", "b"]),
        ("metadata", {"y": "2", "z": "1"}), ("jetstream", False), ("flags", 0), ("seq", 1), ("time", "2001-09-09T01:46:45.25Z"),
    ]  # fmt: skip
    assert first["events"] == [
        {"type": "in", "ts": "2001-09-09T01:46:45.25Z", "kind": 0, "cid": client.session.cid, "name": "me", "acc": "$G", "subj": "x"}
    ]
    assert second["server"]["seq"] == 2


class Heard(Sink):
    """Notes what comes."""

    __slots__ = ("subjects",)

    def __init__(self) -> None:
        self.subjects: list[bytes] = []

    def deliver(self, subscription: Any, publication: Any, producer: Any) -> None:
        self.subjects.append(publication.subject())


def test_the_server_itself_gets_nothing_that_is_only_traced() -> None:
    hub = new_hub()
    sink = Heard()
    hub.account.subscribe(sink, b"x")
    client = new_client(hub, headers=True)
    client.say(hpub(b"x", b"Nats-Trace-Dest:t", b"Nats-Trace-Only:1"))
    assert sink.subjects == []
    client.say(hpub(b"x", b"Nats-Trace-Dest:t"))
    assert sink.subjects == [b"x"]


def test_the_server_itself_may_listen() -> None:
    hub = new_hub()
    sink = Heard()
    hub.account.subscribe(sink, b"t.*")
    new_client(hub, headers=True).say(hpub(b"x", b"Nats-Trace-Dest:t.1"))
    assert sink.subjects == [b"t.1"]


def test_the_next_message_is_not_traced() -> None:
    hub = new_hub()
    ears = listener(hub)
    client = new_client(hub, b"SUB x 1\r\n", headers=True)
    client.say(hpub(b"x", b"Nats-Trace-Dest:t") + b"PUB x 1\r\ny\r\n" + hpub(b"x", b"a:b"))
    assert len(events(ears.heard())) == 2
    assert hub.trace is None


def test_a_trace_is_not_traced() -> None:
    """Nor does it come to itself: what tells of it carries none of its headers."""
    hub = new_hub()
    client = new_client(hub, b"SUB x 1\r\n", headers=True)
    heard = client.ask(hpub(b"x", b"Nats-Trace-Dest:x"))
    assert len(traces(heard)) == 1 and heard.count(b"MSG x 1 ") == 2


@pytest.mark.parametrize("only", [True, False])
def test_too_many_bytes_of_headers(caplog: pytest.LogCaptureFixture, only: bool) -> None:
    hub = new_hub()
    ears = listener(hub)
    client = new_client(hub, b"SUB x 1\r\n", headers=True)
    headers = [b"Nats-Trace-Dest:t", b"a:" + b"b" * MAX_BLOCK] + [b"Nats-Trace-Only:true"] * only
    with caplog.at_level(logging.ERROR, "midge.server"):
        heard = client.ask(hpub(b"x", *headers))
    assert (heard == b"") == only
    assert ears.heard() == b""
    assert "Message tracing disabled because of 65" in caplog.text


def test_too_many_events() -> None:
    hub = new_hub()
    ears = listener(hub)
    client = new_client(hub, b"".join(b"SUB x %d\r\n" % sid for sid in range(MAX_EVENTS)), headers=True)
    heard = client.ask(hpub(b"x", b"Nats-Trace-Dest:t"))
    assert heard.count(b"HMSG x ") == MAX_EVENTS
    assert len(events(ears.heard())) == MAX_EVENTS


def test_it_is_work() -> None:
    """Who has many messages traced has a turn that is as short as everybody's."""
    hub = new_hub()
    listener(hub)
    client = new_client(hub, headers=True)
    data = bytearray(hpub(b"x", b"Nats-Trace-Dest:t") * 100)
    assert not hub.receive(client.session, data, len(data), 0.0)
    assert client.session.in_msgs < 20


def test_what_waits_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    hub = new_hub(max_pending=1000, max_payload=500)
    client = new_client(hub, headers=True)
    data = bytearray(hpub(b"x", b"Nats-Trace-Dest:t") * 5)
    with caplog.at_level(logging.ERROR, "midge.server"):
        assert hub.receive(client.session, data, len(data), 0.0)
    assert 'Message trace to "t" is lost, too much waits to be sent' in caplog.text


def test_snappy_is_for_what_is_small() -> None:
    hub = new_hub()
    ears = listener(hub)
    new_client(hub, headers=True).say(hpub(b"x", b"Nats-Trace-Dest:t", b"Accept-Encoding:s2", b"a:" + b"b" * (MAX_BLOCK - 100)))
    heard = ears.heard()
    assert b"Content-Encoding: identity\r\n" in heard and len(heard) > MAX_SIZE


@pytest.mark.parametrize(("sampling", "few", "many"), [(1, 1, 60), (50, 400, 620), (99, 1000, 1000), (100, 1000, 1000)])
def test_some_of_many(sampling: int, few: int, many: int) -> None:
    """As nats-server counts it: one in a hundred more than configured."""
    hub = accounts_hub(AccountOptions(name="A", msg_trace=MsgTrace(dest="t", sampling=sampling)))
    ears = member(hub, "A", b"SUB t 1\r\n", headers=True)
    client = member(hub, "A", b"SUB x 1\r\n", headers=True)
    heard = client.ask(hpub(b"x", PARENT) * 1000)
    traced = len(traces(ears.heard()))
    assert few <= traced <= many
    assert heard.count(b"Nats-Trace-Dest: trace disabled\r\n") == 1000 - traced


def test_a_reload_says_where_to() -> None:
    hub = accounts_hub(AccountOptions(name="A"))
    ears = member(hub, "A", b"SUB t 1\r\n", headers=True)
    client = member(hub, "A", headers=True)
    client.say(hpub(b"x", PARENT))
    assert ears.heard() == b""
    reload.apply(hub, replace(hub.options, accounts=(AccountOptions(name="A", msg_trace=MsgTrace(dest="t")),)))
    client.say(hpub(b"x", PARENT))
    assert len(events(ears.heard())) == 1


def test_a_payload_that_is_too_large_in_pieces() -> None:
    """As nats-server: what is told is what has come with the line."""
    line, block = b"HPUB x 33 2000000\r\n", b"NATS/1.0\r\nNats-Trace-Dest:t\r\n\r\n   "
    for pieces, told in (((line + block,), True), ((line[:7], line[7:] + block), True), ((line, block), False)):
        hub = new_hub()
        ears = listener(hub)
        client = new_client(hub, headers=True)
        for piece in pieces:
            client.say(piece)
        assert client.session.closing == "Maximum Message Payload Exceeded"
        found = traces(ears.heard())
        assert [trace["events"][0]["error"] for trace in found] == ["maximum payload exceeded"] * told
        assert [trace["request"]["msgsize"] for trace in found] == [2000000] * told
