"""A lost link is followed by another: what was subscribed and published is there again, in order, and who waits learns of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from fakes import FakeLinks, FakeServer, Peer, is_waiting, linked, msg, turns

import midge
from midge import events
from midge.client import migration as migration_module
from midge.client.connection import Connection
from midge.client.session import HIGH_WATER
from midge.errors import (
    ConnectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    DisconnectedError,
    MaxPayloadError,
    MidgeTimeoutError,
    OutboundFullError,
    ReconnectBufferFullError,
    SubscriptionClosedError,
)

SOON = 0.05
CONNECT = re.compile(rb"CONNECT [^\n]*\r\nPING\r\n")


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[events.Event]]:
    """The events that were emitted, save those of subscriptions."""
    seen: list[events.Event] = []
    monkeypatch.setattr(Connection, "emit", lambda self, event: None if isinstance(event, events.SubscriptionEnded) else seen.append(event))
    yield seen


def behind_connect(sent: bytes) -> bytes:
    """What a client has sent, without its CONNECT and the PING behind it."""
    found = CONNECT.match(sent)
    assert found is not None, sent
    return sent[found.end() :]


# What is there again


async def test_what_was_subscribed_and_published_in_the_meantime(seen: list[events.Event]) -> None:
    nc, server = await linked()
    limited, plain, done, gone = (nc.subscribe(name) for name in ("limited", "plain", "done", "gone"))
    limited.unsubscribe(limit=5)
    done.unsubscribe(limit=1)
    server.links[0].come(*(msg("limited", 1, b"%d" % i) for i in range(3)), msg("done", 3))
    server.is_down = True
    server.lose(OSError("broken"))
    assert nc.is_reconnecting and not nc.is_connected and nc.status == "reconnecting" and nc.connected_url == ""
    assert repr(nc) == "<Client not connected reconnecting>"
    gone.unsubscribe()
    later, never = nc.subscribe("later", queue="q"), nc.subscribe("never")
    later.unsubscribe(limit=7)
    never.unsubscribe()
    await nc.publish("a", b"1")
    await nc.publish("a", b"2", reply="r", headers={"k": "v"})
    await server.until(lambda: server.refused > 2)
    await nc.publish("a", b"3")
    flush = asyncio.ensure_future(nc.flush())
    assert await is_waiting(flush)
    server.is_down = False
    link = await server.link(2)
    assert behind_connect(link.sent()) == (
        b"SUB limited 1\r\nUNSUB 1 2\r\nSUB plain 2\r\nSUB later q 5\r\nUNSUB 5 7\r\n"
        b"PUB a 1\r\n1\r\nHPUB a r 18 19\r\nNATS/1.0\r\nk: v\r\n\r\n2\r\nPUB a 1\r\n3\r\nPING\r\n"
    )
    await flush
    assert nc.is_connected and nc.status == "open" and nc.connected_url == server.url and nc.stats.reconnects == 1
    link.come(*(msg("limited", 1, b"%d" % i) for i in range(3, 6)))
    assert [message.data async for message in limited] == [b"0", b"1", b"2", b"3", b"4"]
    assert done.is_closed and gone.is_closed and never.is_closed and not plain.is_closed
    assert nc.stats.in_msgs == 7 and nc.stats.out_msgs == 3
    await nc.close()
    kinds = [event for event in seen if not isinstance(event, (events.ReconnectFailed, events.SubscriptionEnded))]
    assert [event.kind for event in kinds] == ["connected", "disconnected", "reconnected", "closed"]
    lost, again = kinds[1], kinds[2]
    assert isinstance(lost, events.Disconnected) and (lost.url, lost.lost) == (server.url, 0) and str(lost.error) == "broken"
    assert isinstance(again, events.Reconnected) and again.attempts > 3 and again.seconds > 0


async def test_a_limit_that_is_set_after_a_reconnect_leaves_out_what_came_before() -> None:
    """The new server counts from zero: told the whole limit, it would go on sending a queue group's messages to nobody."""
    nc, server = await linked()
    sub = nc.subscribe("a", queue="q")
    server.links[0].come(*(msg("a", 1, b"%d" % i) for i in range(5)))
    server.lose(OSError("broken"))
    link = await server.link(2)
    link.sent()
    sub.unsubscribe(limit=8)
    await turns()
    assert link.sent() == b"UNSUB 1 3\r\n" and not sub.is_closed
    server.lose(OSError("broken"))
    assert behind_connect((await server.link(3)).sent()) == b"SUB a q 1\r\nUNSUB 1 3\r\n"
    await nc.close()


@pytest.mark.parametrize("cut", [0, 1, 14, 15, 16, 33, 34])
async def test_what_was_not_sent_is_kept_and_what_was_half_sent_is_not_sent_again(seen: list[events.Event], cut: int) -> None:
    nc, server = await linked()
    link = server.links[0]
    link.takes = False
    for i in range(3):
        nc.publish("a", b"%04d" % i)  # fifteen bytes each
        nc.subscribe("b").unsubscribe()
    await turns()
    link.outbox.advance(cut)
    server.lose()
    again = await server.link(2)
    sent = behind_connect(again.sent())
    assert sent == b"".join(b"PUB a 4\r\n%04d\r\n" % i for i in range(3) if i * 33 >= cut)
    lost = next(event for event in seen if isinstance(event, events.Disconnected))
    assert lost.lost == (cut in (1, 14, 34))
    await nc.close()


@pytest.mark.parametrize("cut", [0, 1, 14, 15, 16, 22, 24, 33, 34, 98, 99])
async def test_a_link_that_is_let_go_finishes_what_it_has_begun(seen: list[events.Event], cut: int) -> None:
    """Also where the server reads nothing just then: what was sent in part is sent by the same link, and what was not by the next."""
    nc, server = await linked()
    old = server.links[0]
    old.takes = False
    for i in range(3):
        nc.publish("a", b"%04d" % i)  # fifteen bytes each
        nc.subscribe("b").unsubscribe()
    await turns()
    written = b"".join(block[:fill] for block, fill in old.outbox.blocks())
    old.outbox.advance(cut)
    await nc.reconnect()
    ends = [0, *accumulate(len(line) for line in re.findall(rb"PUB.*\r\n.*\r\n|.+\r\n", written))]
    end = min(end for end in ends if end >= cut)
    old.take()
    assert old.sent() == written[cut:end] + b"PING\r\n"
    again = server.links[1]
    assert behind_connect(again.sent()) == b"".join(b"PUB a 4\r\n%04d\r\n" % i for i in range(3) if i * 33 >= end)
    old.come(b"PONG\r\n")
    await turns()
    assert old.closed and not nc._connection.tasks
    assert [event.lost for event in seen if isinstance(event, events.Disconnected)] == [0]
    await nc.close()


@pytest.mark.parametrize("how", ["time", "close", "loss"])
async def test_what_a_link_that_is_let_go_never_finishes_is_reported(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(migration_module, "LET_GO_SECONDS", SOON if how == "time" else 60.0)
    errors: list[Exception] = []
    nc, server = await linked(error_callback=errors.append)
    old = server.links[0]
    old.takes = False
    nc.publish("a", b"half sent")
    nc.publish("a", b"whole")
    await turns()
    old.outbox.advance(3)
    await nc.reconnect()
    assert behind_connect(server.links[1].sent()) == b"PUB a 5\r\nwhole\r\n"
    if how == "close":
        await nc.close()
    elif how == "loss":
        assert old.owner is not None
        old.owner.link_lost(None)
    async with asyncio.timeout(10):
        while not old.closed:
            await asyncio.sleep(0)
    await turns()
    assert [isinstance(error, DisconnectedError) and error.lost for error in errors] == [1], errors
    assert "1 publishes were not sent when a link" in str(errors[0])
    await nc.close()


async def test_two_losses_in_a_row_keep_the_order() -> None:
    nc, server = await linked()
    nc.publish("a", b"1")
    server.lose()
    nc.publish("a", b"2")
    link = await server.link(2)
    assert behind_connect(link.sent()) == b"PUB a 1\r\n1\r\nPUB a 1\r\n2\r\n"
    link.takes = False
    nc.publish("a", b"3")
    await turns()
    server.lose()
    nc.publish("a", b"4")
    link = await server.link(3)
    assert behind_connect(link.sent()) == b"PUB a 1\r\n3\r\nPUB a 1\r\n4\r\n"
    await nc.close()


async def test_the_second_link_is_a_link_like_the_first() -> None:
    """Over sockets, beginning with a server that goes at once."""

    async def short(peer: Peer) -> None:
        await peer.greet()
        peer.close()

    async def long(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(b"SUB a 1")
        peer.send(msg("a", 1, b"x"))
        await peer.serve()

    async with FakeServer(short, short, long) as server:
        async with midge.connect(server.url) as nc:
            assert (await nc.subscribe("a").next(5)).data == b"x"
            await nc.flush()
            assert nc.stats.reconnects == 2


async def test_many_that_are_sent_again_after_large_losses() -> None:
    nc, server = await linked(outbound_limit=32 << 20)
    server.links[0].takes = False
    for i in range(3000):
        nc.publish("a", b"%06d" % i + bytes(5000))  # more than the buffer, but accepted already
    server.lose()
    with pytest.raises(ReconnectBufferFullError):
        nc.publish("a", b"refused")
    link = await server.link(2)
    await nc.flush()
    assert re.findall(rb"PUB a 5006\r\n(\d{6})", bytes(link.data)) == [b"%06d" % i for i in range(3000)]
    await nc.close()


async def test_a_server_that_takes_less() -> None:
    errors: list[Exception] = []
    nc, server = await linked(error_callback=errors.append)
    server.info = {"max_payload": 10, "headers": False}
    server.lose()
    nc.publish("a", b"fits")
    nc.publish("a", b"does not fit")
    nc.publish("a", b"h", headers={"k": "v"})
    nc.publish("a", b"fits")
    link = await server.link(2)
    assert behind_connect(link.sent()) == b"PUB a 4\r\nfits\r\n" * 2
    await turns()
    assert [type(error) for error in errors[1:]] == [MaxPayloadError, MaxPayloadError]
    with pytest.raises(MaxPayloadError):
        nc.publish("a", b"does not fit")
    await nc.close()


async def test_messages_that_came_before_the_loss_are_read_in_peace() -> None:
    nc, server = await linked()
    got: list[bytes] = []

    async def callback(message: midge.Message) -> None:
        got.append(message.data)
        await nc.publish("out", message.data)

    sub = nc.subscribe("a")
    nc.subscribe("b", callback=callback)
    server.links[0].come(msg("a", 1, b"1"), msg("b", 2, b"1"), msg("b", 2, b"2"))
    server.lose()
    assert (await sub.next()).data == b"1"
    waiting = asyncio.ensure_future(sub.next(10))
    link = await server.link(2)
    assert got == [b"1", b"2"] and await is_waiting(waiting)
    assert behind_connect(link.sent()) == b"SUB a 1\r\nSUB b 2\r\nPUB out 1\r\n1\r\nPUB out 1\r\n2\r\n"
    link.come(msg("a", 1, b"2"))
    assert (await waiting).data == b"2"
    await nc.close()


async def test_a_reset_that_publishes_find_out() -> None:
    """What is published between the break and the news of it is kept."""
    nc, server = await linked()
    link = server.links[0]
    link.takes = False
    nc.publish("a", b"1")
    await turns()
    link.closed = True
    nc.publish("a", b"2")
    server.lose(ConnectionResetError("reset"))
    assert behind_connect((await server.link(2)).sent()) == b"PUB a 1\r\n1\r\nPUB a 1\r\n2\r\n"
    await nc.close()


async def test_a_loss_with_a_full_outbox_loses_nothing() -> None:
    """The chunk is parsed to its end although nobody takes what its callbacks publish."""
    nc, server = await linked()
    link = server.links[0]
    link.takes = False
    seen: list[bytes] = []

    def answer(message: midge.Message) -> None:
        seen.append(message.data)
        nc.publish("out", message.data + bytes(HIGH_WATER // 2))

    nc.subscribe("a", callback=answer)
    link.come(*(msg("a", 1, b"%d" % i) for i in range(6)))
    assert len(seen) < 6
    server.lose()
    link = await server.link(2)
    await nc.flush()
    assert seen == [b"%d" % i for i in range(6)]
    assert re.findall(rb"PUB out \d+\r\n(\d)", bytes(link.data)) == seen
    await nc.close()


# Flushes and requests


async def test_a_flush_whose_link_is_lost() -> None:
    nc, server = await linked()
    tasks = [asyncio.ensure_future(wait) for wait in (nc.flush(), nc.flush(None), nc.rtt())]
    await turns()
    server.lose(OSError("broken"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [(type(error), str(error)) for error in results] == [(DisconnectedError, "the link was lost: broken")] * 3
    assert len({id(error) for error in results}) == 3
    assert all(isinstance(error, ConnectionError) and isinstance(error.__cause__, OSError) for error in results)
    await server.link(2)
    await nc.flush()
    await nc.close()


async def test_a_flush_between_two_links_times_out() -> None:
    nc, server = await linked()
    server.is_down = True
    server.lose()
    with pytest.raises(MidgeTimeoutError, match="PONG"):
        await nc.flush(SOON)
    await nc.close()


async def test_a_round_trip_is_measured_without_the_outage() -> None:
    nc, server = await linked()
    server.is_down = True
    server.lose()
    rtt = asyncio.ensure_future(nc.rtt())
    before = asyncio.get_running_loop().time()
    await server.until(lambda: server.refused > 5)
    took = asyncio.get_running_loop().time() - before
    server.is_down = False
    assert await rtt < took
    await nc.close()


async def test_a_confirmation_survives_a_loss() -> None:
    nc, server = await linked()
    task = asyncio.ensure_future(nc.subscribe("a").__aenter__())
    await turns()
    server.lose()
    await server.link(2)
    sub = await task
    assert not sub.is_closed and sub.sid in nc._connection.interest.feeds
    await nc.close()


async def test_requests_survive_until_their_timeout() -> None:
    nc, server = await linked()
    tasks = [asyncio.ensure_future(nc.request("svc", b"%d" % i, timeout=SOON if i == 0 else 10)) for i in range(2)]
    await turns()
    inbox = nc._connection.interest.answers
    assert inbox is not None
    server.is_down = True
    server.lose()
    tasks.append(asyncio.ensure_future(nc.request("svc", b"2")))
    with pytest.raises(MidgeTimeoutError):
        await tasks[0]
    server.is_down = False
    link = await server.link(2)
    link.answers = False
    prefix = inbox.subject.removesuffix("*")
    assert behind_connect(link.sent()) == f"SUB {prefix}* 1\r\nPUB svc {prefix}3 1\r\n2\r\n".encode()
    link.come(msg(f"{prefix}2", 1, b"late"))
    assert [message.data for message in await asyncio.gather(*tasks[1:])] == [b"late", b"2"], "the fake echoes the third"
    await nc.close()


async def test_the_inbox_is_subscribed_first() -> None:
    nc, server = await linked()
    for name in "ab":
        nc.subscribe(name)
    task = asyncio.ensure_future(nc.request("svc", timeout=None))
    await turns()
    server.lose()
    lines = behind_connect((await server.link(2)).sent()).split(b"\r\n")
    assert lines[0].startswith(b"SUB _INBOX.") and lines[1:] == [b"SUB a 1", b"SUB b 2", b""]
    await nc.close()
    with pytest.raises(ConnectionClosedError):
        await task


async def test_a_request_that_nobody_waits_for_is_not_sent_by_the_next_link() -> None:
    nc, server = await linked()
    server.is_down = True
    server.lose()
    await turns()
    with pytest.raises(MidgeTimeoutError):
        await nc.request("svc", b"too late", timeout=SOON)
    task = asyncio.ensure_future(nc.request("svc", b"cancelled"))
    kept = asyncio.ensure_future(nc.request("svc", b"kept"))
    assert await is_waiting(task)
    task.cancel()
    await nc.publish("a", b"published")
    server.is_down = False
    link = await server.link(2)
    sent = bytes(link.data)
    assert b"kept" in sent and b"published" in sent and b"too late" not in sent and b"cancelled" not in sent
    await kept
    await nc.close()


async def test_requests_that_fail_at_once() -> None:
    nc, server = await linked(fail_requests=True)
    link = server.links[0]
    sent = asyncio.ensure_future(nc.request("svc", b"sent"))
    await turns()
    link.takes = False
    waiting = asyncio.ensure_future(nc.request("svc", b"waits", headers={"k": "v"}))
    nc.publish("a", b"kept", reply="elsewhere")
    await turns()
    server.lose(OSError("broken"))
    for task in (sent, waiting):
        with pytest.raises(DisconnectedError, match="broken"):
            await task
    again = await server.link(2)
    assert behind_connect(again.sent()).endswith(b" 1\r\nPUB a elsewhere 4\r\nkept\r\n"), "who was told does not send it too"
    await nc.close()


# The buffer


async def test_a_full_buffer_refuses() -> None:
    nc, server = await linked(reconnect_buffer=100)
    server.lose()
    nc.publish("a", bytes(40))
    with pytest.raises(ReconnectBufferFullError, match="52 bytes wait to be sent and reconnect_buffer is 100") as raised:
        nc.publish("a", bytes(60))
    assert isinstance(raised.value, OutboundFullError) and isinstance(raised.value, BufferError)
    with pytest.raises(ReconnectBufferFullError):
        await nc.request("a", bytes(60))
    nc.publish("a", b"")
    assert behind_connect((await server.link(2)).sent()).endswith(b"PUB a 40\r\n" + bytes(40) + b"\r\nPUB a 0\r\n\r\n")
    nc.publish("a", bytes(60))
    await nc.close()


async def test_no_buffer() -> None:
    nc, server = await linked(reconnect_buffer=0)
    server.links[0].takes = False
    nc.publish("a", b"accepted")
    server.lose()
    for attempt in (lambda: nc.publish("a"), lambda: nc.request("a")):
        with pytest.raises(DisconnectedError, match="not connected"):
            await attempt()
    nc.subscribe("b")
    assert behind_connect((await server.link(2)).sent()) == b"SUB b 1\r\nPUB a 8\r\naccepted\r\n"
    await nc.publish("a")
    await nc.close()


async def test_a_full_buffer_holds_publishers_back() -> None:
    nc, server = await linked(reconnect_buffer=100, reconnect_buffer_full="block", outbound_limit=1000)
    server.is_down = True
    server.lose()
    await nc.publish("a", bytes(40))
    waits = [asyncio.ensure_future(publish(nc, bytes(60))), asyncio.ensure_future(nc.request("a", b"asks"))]
    assert await is_waiting(waits[0]) and not waits[1].done()
    waits[0].cancel()
    with pytest.raises(OutboundFullError):
        for _ in range(100):
            nc.publish("b", bytes(100))
    server.is_down = False
    sent = behind_connect((await server.link(2)).sent())
    assert sent.count(b"PUB a 60\r\n") == 1 and sent.count(b"PUB b 100\r\n") == 7, "a wait that is cancelled loses nothing"
    assert sent.endswith(b" 4\r\nasks\r\n") and (await waits[1]).data == b"asks"
    await nc.close()


async def publish(nc: midge.Client, data: bytes) -> None:
    await nc.publish("a", data)


async def test_a_full_buffer_drops_the_oldest(seen: list[events.Event]) -> None:
    errors: list[Exception] = []
    nc, server = await linked(reconnect_buffer=1000, reconnect_buffer_full="drop_old", error_callback=errors.append)
    server.is_down = True
    server.lose()
    for i in range(10_000):
        await nc.publish("a", b"%06d" % i)  # 17 bytes each
        assert len(nc._session.outbox) <= 1125 + 17
    server.is_down = False
    sent = behind_connect((await server.link(2)).sent())
    assert sent == b"".join(b"PUB a 6\r\n%06d\r\n" % i for i in range(10_000 - 58, 10_000))
    await turns()
    first, last = [error for error in errors if isinstance(error, ReconnectBufferFullError)]
    assert 0 < first.dropped < 20 and last.dropped == 10_000 - 58
    assert str(last).endswith("reconnect_buffer is 1000: the 9942 oldest publishes were dropped")
    await nc.close()


@pytest.mark.parametrize("how", ["close", "drain", "give up"])
async def test_all_that_was_dropped_is_reported_at_the_end_too(how: str) -> None:
    errors: list[Exception] = []
    nc, server = await linked(
        reconnect_buffer=1000, reconnect_buffer_full="drop_old", error_callback=errors.append, drain_timeout=0.01, max_reconnects=1,
        reconnect_delay=lambda passes: 60.0 if how != "give up" else 0.0,
    )  # fmt: skip
    server.is_down = True
    server.lose(OSError("broken"))
    for _ in range(1000):
        nc.publish("a", bytes(100))
    if how == "drain":
        with pytest.raises((MidgeTimeoutError, ConnectionClosedError)):
            await nc.drain()
    elif how == "give up":
        async with asyncio.timeout(10):
            while not nc.is_closed:
                await asyncio.sleep(0)
    await nc.close()
    dropped = [error.dropped for error in errors if isinstance(error, ReconnectBufferFullError)]
    assert len(dropped) == 2 and dropped[-1] >= 990
    assert any("bytes" in str(error) for error in errors if isinstance(error, ConnectionClosedError))


async def test_what_a_last_link_had_not_sent_is_reported() -> None:
    errors: list[Exception] = []
    nc, server = await linked(max_reconnects=0, error_callback=errors.append)
    server.links[0].takes = False
    for _ in range(10):
        nc.publish("a", b"x")
    flush = asyncio.ensure_future(nc.flush())
    await turns()
    server.lose(OSError("broken"))
    with pytest.raises(ConnectionClosedError):
        await flush
    await nc.close()
    assert any("10 messages" in str(error) for error in errors)


async def test_publishing_without_a_link_lets_the_others_have_their_turns() -> None:
    nc, server = await linked(reconnect_buffer_full="drop_old", reconnect_buffer=1 << 20)
    server.lose()
    for _ in range(10_000):
        await nc.publish("a", bytes(1000))
        if nc.is_connected:
            break
    assert nc.is_connected
    await nc.close()


async def test_those_who_wait_for_room_go_on_with_the_next_link() -> None:
    nc, server = await linked(reconnect_buffer_full="block")
    server.links[0].takes = False
    task = asyncio.ensure_future(publish(nc, bytes(HIGH_WATER)))
    assert await is_waiting(task)
    server.lose()
    await server.link(2)
    await task
    await nc.close()


# Ends


async def test_the_end_of_all_servers(seen: list[events.Event]) -> None:
    errors: list[Exception] = []
    nc, server = await linked(max_reconnects=3, reconnect_wait=0.001, error_callback=errors.append)
    sub = nc.subscribe("a")
    waits = [asyncio.ensure_future(wait) for wait in (sub.next(), nc.request("svc", timeout=None))]
    await turns()
    server.is_down = True
    server.lose(OSError("broken"))
    nc.publish("a", b"never sent")
    waits.append(asyncio.ensure_future(nc.flush(None)))
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert server.refused == 3 and nc.is_closed and nc.servers == ()
    for error in results:
        assert isinstance(error, ConnectionClosedError) and isinstance(error.__cause__, ConnectError)
        assert str(error) == f"the connection was lost: could not connect: {server.url}: down"
    with pytest.raises(ConnectionClosedError):
        nc.publish("a")
    await nc.close()
    assert [event.kind for event in seen if event.kind != "subscription_ended"] == [
        "connected",
        "disconnected",
        *["reconnect_failed"] * 3,
        "closed",
    ]
    assert [event.attempt for event in seen if isinstance(event, events.ReconnectFailed)] == [1, 2, 3]
    assert [type(error) for error in errors] == [DisconnectedError, ConnectionClosedError, ConnectionClosedError]
    assert "22 bytes of what was published were not sent" in str(errors[1])


@pytest.mark.parametrize("how", ["close", "drain", "leave"])
async def test_closing_between_two_links(how: str) -> None:
    errors: list[Exception] = []
    nc, server = await linked(error_callback=errors.append, drain_timeout=SOON, reconnect_buffer_full="block", reconnect_buffer=10)
    sub = nc.subscribe("a")
    server.is_down = True
    server.lose()
    waits = [asyncio.ensure_future(wait) for wait in (sub.next(), nc.flush(None), publish(nc, b"x" * 20), nc.reconnect())]
    await turns()
    if how == "close":
        await nc.close()
    else:
        with pytest.raises(MidgeTimeoutError, match="drain"):
            await (nc.drain() if how == "drain" else nc.__aexit__(None))
    results = await asyncio.gather(*waits, return_exceptions=True)
    ended = ConnectionClosedError if how == "close" else SubscriptionClosedError
    assert [type(error) for error in results] == [ended, *[ConnectionClosedError] * 3]
    assert nc.is_closed and nc.status == "closed" and asyncio.all_tasks() == {asyncio.current_task()}
    assert any("before the server took the last 32 bytes" in str(error) for error in errors)
    refused = server.refused
    await turns(20)
    assert server.refused == refused, "nobody looks for a server any more"


async def test_a_drain_between_two_links_waits_for_the_next() -> None:
    nc, server = await linked()
    sub = nc.subscribe("a")
    server.links[0].come(msg("a", 1, b"kept"))
    asked = asyncio.ensure_future(nc.request("svc"))
    await turns()
    server.is_down = True
    server.lose()
    nc.publish("b", b"1")
    drain = asyncio.ensure_future(nc.drain())
    await turns()
    assert nc.status == "draining" and nc.is_reconnecting and sub.is_closed
    with pytest.raises(ConnectionDrainingError):
        nc.subscribe("b")
    with pytest.raises(ConnectionDrainingError):
        await nc.reconnect()
    nc.publish("b", b"2")
    server.is_down = False
    link = await server.link(2)
    assert (await sub.next()).data == b"kept" and not drain.done()
    inbox = re.match(rb"SUB (\S+)\* 2\r\n", behind_connect(bytes(link.data)))
    assert inbox is not None
    link.come(msg(inbox[1] + b"1", 2, b"answer"))
    assert (await asked).data == b"answer"
    await drain
    assert behind_connect(link.sent()).endswith(b"PUB b 1\r\n1\r\nPUB b 1\r\n2\r\nPING\r\n")
    assert nc.is_closed


@pytest.mark.parametrize("how", ["lost", "never there"])
async def test_a_drain_that_nothing_waits_for_ends_without_a_server(how: str) -> None:
    """What was taken can be worked on without one; only what is to be sent, and answered, waits for the next."""
    server = FakeLinks()
    server.is_down = how == "never there"
    nc = await midge.connect(server, drain_timeout=None, retry_on_failed_connect=True)
    taken: list[bytes] = []

    async def work(message: midge.Message) -> None:
        await asyncio.sleep(0)
        taken.append(message.data)

    sub = nc.subscribe("a", callback=work)
    await turns()
    if how == "lost":
        server.links[0].come(msg("a", sub.sid, b"1"), msg("a", sub.sid, b"2"))
        server.is_down = True
        server.lose()
    async with asyncio.timeout(10):
        await nc.drain()
    assert nc.is_closed and taken == ([b"1", b"2"] if how == "lost" else [])


@pytest.mark.parametrize("takes", [False, True])
async def test_a_link_that_is_lost_while_draining(takes: bool) -> None:
    nc, server = await linked()
    nc.subscribe("a")
    server.links[0].takes = takes
    nc.publish("b", b"1")
    drain = asyncio.ensure_future(nc.drain())
    await turns()
    server.lose()
    link = await server.link(2)
    await drain
    assert behind_connect(link.sent()) == (b"" if takes else b"PUB b 1\r\n1\r\n") + b"PING\r\n"
    assert nc.is_closed


async def test_draining_a_subscription_whose_link_is_lost() -> None:
    nc, server = await linked()
    subs = [nc.subscribe("a") for _ in range(2)]
    drain = asyncio.ensure_future(subs[0].drain())
    await turns()
    server.is_down = True
    server.lose()
    await asyncio.gather(drain, subs[1].drain())
    assert all(sub.is_closed for sub in subs)
    server.is_down = False
    assert behind_connect((await server.link(2)).sent()) == b""
    await nc.close()


async def test_after_a_reconnect_on_demand_no_message_comes_twice() -> None:
    """The old link is open until its server has read everything: what it delivers counts until there is another, by which it comes then."""
    nc, server = await linked()
    sub = nc.subscribe("a")
    await turns()
    server.is_down = True
    connecting = asyncio.ensure_future(nc.reconnect())
    await turns()
    server.links[0].come(msg("a", 1, b"on its way"))
    assert (await sub.next()).data == b"on its way"
    server.is_down = False
    await connecting
    server.links[0].come(msg("a", 1, b"for both"))
    server.links[1].come(msg("a", 1, b"for both"), msg("a", 1, b"next"))
    assert [(await sub.next()).data for _ in range(2)] == [b"for both", b"next"]
    server.links[0].come(b"PONG\r\n")
    await turns()
    assert server.links[0].closed
    await nc.close()


async def test_a_link_is_let_go_at_once_though_a_flush_had_not_been_sent() -> None:
    nc, server = await linked()
    server.links[0].answers = True
    flush = asyncio.ensure_future(nc.flush())
    await asyncio.sleep(0)
    connecting = asyncio.ensure_future(nc.reconnect())
    with pytest.raises(DisconnectedError):
        await flush
    await connecting
    await turns(20)
    assert server.links[0].closed and not nc._connection.tasks
    await nc.close()


async def test_a_driver_that_was_let_go_tells_of_no_loss() -> None:
    """As one does that an interrupt has hit: it tells of that a turn later."""
    nc, server = await linked()
    driver = nc._connection.driver
    assert driver is not None
    server.is_down = True
    server.lose(OSError("broken"))
    driver.lose(ConnectionClosedError("interrupted"))
    server.is_down = False
    await nc.flush()
    driver.lose(ConnectionClosedError("interrupted"))
    assert nc.is_connected and nc.stats.reconnects == 1
    await nc.close()


async def test_closing_in_every_turn_of_a_reconnect() -> None:
    for count in range(30):
        nc, server = await linked()
        nc.subscribe("a")
        server.lose()
        await turns(count)
        await nc.close()
        assert nc.is_closed and server.links[-1].closed and asyncio.all_tasks() == {asyncio.current_task()}
        if len(server.links) > 1 and not server.links[-1].answers:
            break


async def test_every_turn_of_a_wait_for_a_link_can_be_cancelled() -> None:
    for count in range(30):
        nc, server = await linked()
        server.lose()
        tasks = [asyncio.ensure_future(wait) for wait in (nc.flush(), nc.reconnect(), get(nc.subscribe("a")), nc.rtt(None))]
        await turns(count)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await nc.flush(10)
        assert nc.is_connected
        await nc.close()


async def get(awaitable: Any) -> Any:
    return await awaitable
