"""server.turns: nobody waits long for somebody else's fan-out, and what many have produced for one goes out in one ``send``.

Where a test counts, it counts turns and calls and not seconds: ``bench/fairness.py`` has the seconds.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hubs import new_client, new_hub
from raw import Raw, ask, until

from midge.link.socket import SocketLink
from midge.server import lobby as lobby_module
from midge.server import session as session_module
from midge.server import turns as module
from midge.server.connection import Connection
from midge.server.sending import FEW, LITTLE
from midge.server.server import Server
from midge.server.turns import AGE_SECONDS, PILE, Turns


@pytest.fixture(autouse=True)
def no_early_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes between what a client hears, however slow the machine is."""
    monkeypatch.setattr(session_module, "FIRST_PING", 1e6)


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SocketLink]]:
    """The links that have sent, in order."""
    found: list[SocketLink] = []

    class NotedLink(SocketLink):
        def _send(self, views: list[memoryview]) -> int:
            found.append(self)
            return super()._send(views)

    monkeypatch.setattr(lobby_module, "SocketLink", NotedLink)
    yield found


def pub(payload: bytes) -> bytes:
    return b"PUB a %d\r\n%b\r\n" % (len(payload), payload)


def crowd(stack: ExitStack, server: Server, count: int, subscription: bytes = b"SUB a 1\r\n") -> list[Raw]:
    """Clients that are subscribed."""
    clients = [stack.enter_context(Raw(server)) for _ in range(count)]
    for client in clients:
        client.sync(subscription)
    return clients


def test_what_many_publish_at_once_goes_out_in_one_send_each(sends: list[SocketLink], monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty publishers and forty subscribers: forty sends, and not sixteen hundred, however many turns it takes to read."""
    monkeypatch.setattr(module, "AGE_SECONDS", 1e6)
    with ExitStack() as stack:
        server = stack.enter_context(Server(port=0))
        subscribers = crowd(stack, server, 40)
        publishers = [stack.enter_context(Raw(server)) for _ in range(40)]
        for publisher in publishers:
            publisher.sync()

        def all_together() -> None:
            """In the server's thread: nobody is read from before all of them have sent."""
            sends.clear()
            for publisher in publishers:
                publisher.send(pub(b"x"))

        ask(server, all_together)
        message = b"MSG a 1 1\r\nx\r\n" * len(publishers)
        for subscriber in subscribers:
            assert subscriber.take(len(message)) == message
        assert ask(server, lambda: len(sends)) <= 2 * len(subscribers)


def test_a_quiet_client_is_answered_in_the_middle_of_a_fan_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its PONG comes while most of one chunk is not even routed yet."""
    proceeds: list[Connection] = []
    proceed = Connection._proceed

    def noted(connection: Connection) -> None:
        proceeds.append(connection)
        proceed(connection)

    monkeypatch.setattr(Connection, "_proceed", noted)
    with ExitStack() as stack:
        server = stack.enter_context(Server(port=0))
        subscribers = crowd(stack, server, 200)
        publisher, quiet = stack.enter_context(Raw(server)), stack.enter_context(Raw(server))
        publisher.sync()
        quiet.sync()
        count = 2000
        [session] = ask(server, lambda: [s for s in server.hub.sessions.values() if s.cid == publisher.info["client_id"]])
        published = session.in_msgs

        def both_together() -> None:
            publisher.send(pub(b"x" * 10) * count)
            quiet.send(b"PING\r\n")

        ask(server, both_together)
        assert quiet.line() == b"PONG"
        seen = session.in_msgs - published
        message = b"MSG a 1 10\r\nxxxxxxxxxx\r\n" * count
        for subscriber in subscribers:
            assert subscriber.take(len(message)) == message
        assert session.in_msgs - published == count and len(proceeds) > 10, "the chunk took many turns"
        assert seen < count, "the PONG did not wait for the end of the chunk"


class Clock:
    """The part of a reactor that ``Turns`` needs, with a time of its own."""

    def __init__(self) -> None:
        self.loop = self
        self.now = 100.0
        self.after: Any = None
        self.ready = False

    def has_ready(self) -> bool:
        return self.ready

    def time(self) -> float:
        return self.now


def test_sending_waits_while_a_publisher_is_in_the_middle_of_a_chunk() -> None:
    hub, clock = new_hub(), Clock()
    turns = Turns(hub, clock)  # type: ignore[arg-type]
    publisher, quiet = new_client(hub), new_client(hub)
    subscriber, *others = [new_client(hub, b"SUB a 1\r\n") for _ in range(FEW + 1)]
    turns.unfinished = 1
    for _ in range(3):
        publisher.session.receive_data(pub(b"x"), 0.0)
        quiet.session.receive_data(b"PING\r\n", 0.0)
        assert clock.after() is False and subscriber.heard() == b"" and quiet.heard() == b"PONG\r\n"
    clock.now += AGE_SECONDS
    finish(clock)
    assert subscriber.heard() == others[-1].heard() == b"MSG a 1 1\r\nx\r\n" * 3
    publisher.session.receive_data(pub(b"x"), 0.0)
    assert clock.after() is False and subscriber.heard() == b"", "its age is counted anew"
    turns.unfinished = 0
    clock.ready = True
    assert clock.after() is False and subscriber.heard() == b"", "somebody else is about to be read from"
    clock.ready = False
    finish(clock)
    assert subscriber.heard() == others[-1].heard() == b"MSG a 1 1\r\nx\r\n"


def finish(clock: Clock) -> None:
    """The end of a turn, which has time for all that there is."""
    while clock.after():
        pass


@pytest.mark.parametrize("ready", [True, False])
def test_a_little_for_a_few_does_not_wait(ready: bool) -> None:
    hub, clock = new_hub(), Clock()
    turns = Turns(hub, clock)  # type: ignore[arg-type]
    publisher, few = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(FEW)]
    turns.unfinished, clock.ready = int(not ready), ready
    publisher.session.receive_data(pub(b"x"), 0.0)
    assert clock.after() is False and {each.heard() for each in few} == {b"MSG a 1 1\r\nx\r\n"}
    hub.emit(hub.account, b"a", b"", b"", b"y")
    assert clock.after() is False and {each.heard() for each in few} == {b"MSG a 1 1\r\ny\r\n"}
    publisher.session.receive_data(pub(b"x" * (LITTLE // FEW)), 0.0)
    assert clock.after() is False and {each.heard() for each in few} != {b""}, "as much as a little may be"
    publisher.session.receive_data(pub(b"x" * (LITTLE // FEW + 1)), 0.0)
    assert clock.after() is False and {each.heard() for each in few} == {b""}, "more is worth waiting with"


def test_a_little_for_a_few_does_not_wait_for_jetstream_either() -> None:
    hub, clock = new_hub(), Clock()
    turns = Turns(hub, clock)  # type: ignore[arg-type]
    publisher, subscriber = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    heard = []

    class Busy:
        def step(self) -> bool:
            heard.append(subscriber.heard())
            return False

    turns.jetstream = Busy()
    publisher.session.receive_data(pub(b"x"), 0.0)
    assert clock.after() is False and heard == [b"MSG a 1 1\r\nx\r\n"]


def test_but_not_beyond_so_many_bytes() -> None:
    hub, clock = new_hub(), Clock()
    turns = Turns(hub, clock)  # type: ignore[arg-type]
    publisher, subscribers = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(100)]
    turns.unfinished = 1
    sent = 0
    while not subscribers[0].heard():
        publisher.session.receive_data(pub(b"x" * 1000), 0.0)
        clock.after()
        sent += 1
    assert sent == -(-PILE // 100_000)


def test_the_end_of_a_turn_is_made_of_small_steps() -> None:
    hub, clock = new_hub(), Clock()
    Turns(hub, clock)  # type: ignore[arg-type]
    publisher, subscribers = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(100)]
    publisher.session.receive_data(pub(b"x"), 0.0)
    steps = 1
    while clock.after():
        steps += 1
    assert steps == -(-100 // module.STEP) and all(subscriber.heard() for subscriber in subscribers)


def test_a_thousand_outboxes_that_are_empty_hold_nothing(sends: list[SocketLink]) -> None:
    """After a burst of 60 KB to each of them."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(port=0))
        subscribers = crowd(stack, server, 100)
        publisher = stack.enter_context(Raw(server))
        publisher.sync(pub(b"x" * 1000) * 60)
        message = b"MSG a 1 1000\r\n%b\r\n" % (b"x" * 1000) * 60
        for subscriber in subscribers:
            assert subscriber.take(len(message)) == message
        until(server, lambda: not server.hub.has_more())
        assert ask(server, lambda: sum(len(each.outbox.buf) for each in server.hub.sessions.values())) == 0


def test_a_stall_that_is_over_does_not_end_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer of the first one is taken back when the slow client catches up."""
    with Server(port=0) as server, Raw(server) as one, Raw(server) as other:
        one.sync()
        other.sync()

        def try_it() -> tuple[bool, bool, bool]:
            connections = sorted(server._connections, key=lambda each: each.session.cid)
            publisher, slow = connections
            publisher._stall_for(slow.session)
            assert publisher._stall is not None
            first = publisher._stall[1]
            slow._let_go()
            let_go = publisher._stall is None
            publisher._stall_for(slow.session)
            assert publisher._stall is not None
            second = publisher._stall[1]
            result = let_go, first.cancelled(), second.cancelled()
            publisher._end_stall()
            return result

        assert ask(server, try_it) == (True, True, False)
        assert one.sync() == b""


def test_a_half_closed_publisher_is_heard_to_its_last_message() -> None:
    """Its end is told by the socket while most of its last chunk is yet to be routed."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(port=0))
        subscribers = crowd(stack, server, 100)
        publisher = stack.enter_context(Raw(server))
        publisher.sync()
        publisher.send(pub(b"x") * 2000)
        publisher.socket.shutdown(socket.SHUT_WR)
        message = b"MSG a 1 1\r\nx\r\n" * 2000
        for subscriber in subscribers:
            assert subscriber.take(len(message)) == message
        assert publisher.rest() == b""
