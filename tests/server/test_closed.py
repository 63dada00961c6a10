"""What is remembered of connections that have ended, and that clients cannot make it more."""

import pytest
from hubs import Client, new_client, new_hub

from midge.server import closed
from midge.server.closed import ClosedConnections
from midge.server.hub import Hub
from midge.server.reasons import CLIENT_CLOSED, SLOW_CONSUMER_PENDING


def remembering(count: int = 100) -> tuple[Hub, ClosedConnections]:
    hub = new_hub()
    ring = ClosedConnections(count, lambda: 7.0)
    hub.on_closed.append(ring.remember)
    return hub, ring


def test_a_connection_as_it_was() -> None:
    hub, ring = remembering()
    client = new_client(hub, b"SUB a q 1\r\nSUB b 2\r\nPUB b 2\r\nhi\r\n", 3.0, name="n", user="joe", **{"pass": "secret"})
    client.session.close(CLIENT_CLOSED)
    (record,) = ring
    assert (record.cid, record.user, record.account_name, record.started, record.stopped) == (1, "joe", "$G", 3.0, 7.0)
    assert (record.reason, record.subscriptions, record.in_msgs, record.out_bytes) == ("Client Closed", 2, 1, 2)
    assert [(sub.subject, sub.queue, sub.sid, sub.delivered) for sub in record.subs] == [(b"a", b"q", b"1", 0), (b"b", None, b"2", 1)]
    assert record.connect.name == "n" and not record.connect.has_credentials() and "secret" not in repr(record)
    assert client.session.subs == client.session.last_subs == {} and hub.account.sublist.count == 0


def test_a_token_is_not_remembered() -> None:
    hub, ring = remembering()
    new_client(hub, auth_token="t0ken").session.close(CLIENT_CLOSED)
    assert [record.user for record in ring] == ["[REDACTED]"] and "t0ken" not in repr(list(ring))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_oldest_go_first(count: int) -> None:
    hub, ring = remembering(count)
    for _ in range(5):
        Client(hub).session.close(CLIENT_CLOSED)
    assert [record.cid for record in ring] == [1, 2, 3, 4, 5][5 - count :] and len(ring) == count


def test_text_that_clients_choose_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed, "BYTES", 1000)
    monkeypatch.setattr(closed, "SUBSCRIPTIONS", 2)
    hub, ring = remembering()
    for number in range(5):
        client = new_client(hub, b"".join(b"SUB %b %d\r\n" % (b"s" * 100, sid) for sid in range(4)), name="n" * 100)
        client.session.close(CLIENT_CLOSED)
        assert ring._size <= 1000, number
    assert [(record.cid, len(record.subs), record.subscriptions) for record in ring] == [(3, 2, 4), (4, 2, 4), (5, 2, 4)]


def test_slow_consumers_are_counted_by_account() -> None:
    hub, ring = remembering()
    for reason in (CLIENT_CLOSED, SLOW_CONSUMER_PENDING, SLOW_CONSUMER_PENDING):
        Client(hub).session.abort(reason)
    assert ring.slow_consumers == {"$G": 2}
