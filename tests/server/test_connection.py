"""server.connection: sessions on real sockets. Whoever reads too little is dropped, and nobody else notices.

The server runs in its own thread, on asyncio's event loop and on uvloop's; the clients are plain sockets. No sleeps: a test waits
for bytes, for the end of a stream, or for something to be so in the server.
"""

import asyncio
import gc
import logging
import random
import resource
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from raw import PATIENCE, Raw, ask, until

from midge.link import READ, LinkOwner
from midge.link.socket import SocketLink
from midge.server import connection as module
from midge.server import lobby as lobby_module
from midge.server import session as session_module
from midge.server import thread as thread_module
from midge.server.connection import Connection
from midge.server.hub import Hub
from midge.server.server import Server
from midge.server.session import Session

try:
    from uvloop import new_event_loop as new_uvloop
except ImportError:
    new_uvloop = None

LOOPS = [asyncio.new_event_loop] + ([new_uvloop] if new_uvloop is not None else [])
SMALL = 4096  # for SO_RCVBUF: the kernel takes little on behalf of a client that does not read


@pytest.fixture(params=LOOPS, ids=lambda factory: factory.__module__.partition(".")[0], autouse=True)
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop of a server in its own thread. No PING after two seconds comes between what a client hears."""
    monkeypatch.setattr(thread_module, "new_event_loop", request.param)
    monkeypatch.setattr(session_module, "FIRST_PING", 1e6)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where the event loop had to log an exception that nobody handled."""
    yield
    assert not [record for record in caplog.records if record.name == "asyncio"]


pytestmark = pytest.mark.usefixtures("errors")


def message(sid: int, payload: bytes) -> bytes:
    return b"MSG a %d %d\r\n%b\r\n" % (sid, len(payload), payload)


def pub(payload: bytes) -> bytes:
    return b"PUB a %d\r\n%b\r\n" % (len(payload), payload)


class Publishing(threading.Thread):
    """Publishes one message after the other from a thread, as fast as it is let, then makes sure that all came in."""

    def __init__(self, publisher: Raw, payload: bytes, count: int) -> None:
        super().__init__()
        self.publisher = publisher
        self.batches = [pub(payload) * 100] * (count // 100)
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            for batch in self.batches:
                self.publisher.send(batch)
            assert self.publisher.sync() == b""
        except BaseException as error:
            self.error = error

    def finish(self) -> None:
        self.join(PATIENCE)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


# Who reads too little


def test_a_subscriber_that_stops_reading_is_dropped_and_the_others_lose_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "midge.server")
    payload, count = b"x" * 5000, 8000
    with Server(port=0, max_pending=8 << 20) as server, Raw(server, receive_buffer=SMALL) as slow, Raw(server) as healthy:
        slow.sync(b"SUB a 1\r\n")
        healthy.sync(b"SUB a 2\r\n")
        with Raw(server) as publisher:
            publishing = Publishing(publisher, payload, count)
            expected = message(2, payload)
            for _ in range(count):
                assert healthy.take(len(expected)) == expected
            publishing.finish()
        assert ask(server, lambda: server.hub.slow_consumers) == 1
        heard = slow.rest()
        assert len(heard) < count * len(message(1, payload)) and message(1, payload).startswith(heard[: len(message(1, payload))])
        assert healthy.sync() == b""
        until(server, lambda: len(server.hub.sessions) == 1)
    assert [text.rpartition(" - ")[2] for text in caplog.messages if "Slow" in text] == [
        "Slow Consumer Detected: MaxPending of 8388608 Exceeded"
    ]


def test_a_subscriber_that_takes_nothing_for_write_deadline_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "midge.server")
    with Server(port=0, write_deadline=0.05) as server, Raw(server, receive_buffer=SMALL) as slow, Raw(server) as publisher:
        slow.sync(b"SUB a 1\r\n")
        while not ask(server, lambda: server.hub.slow_consumers):
            assert publisher.sync(pub(b"x" * 1_000_000)) == b""
        assert ask(server, lambda: list(server.hub.sessions)) == [publisher.info["client_id"]]
        slow.rest()
    [text] = [text for text in caplog.messages if "Slow" in text]
    assert "Slow Consumer Detected: WriteDeadline of 0.05s exceeded with 1 chunks of " in text


@pytest.mark.parametrize("flood", [b"PING\r\n" * 10_000, b"SUB a..b 1\r\n" * 5_000])
def test_a_client_that_asks_for_more_than_it_reads_is_dropped(flood: bytes) -> None:
    with Server(port=0, max_pending=100_000, max_payload=1000) as server, Raw(server) as other:
        with Raw(server, receive_buffer=SMALL) as greedy:
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                while True:
                    greedy.send(flood)
        assert other.sync() == b"" and ask(server, lambda: server.hub.slow_consumers) == 1


def is_held_back(server: Server, client: Raw) -> bool:
    """True if the server does not read from the client just now."""
    cid = client.info["client_id"]
    return ask(server, lambda: any(not each.link.watched & READ for each in server._connections if each.session.cid == cid))  # type: ignore[attr-defined]


def test_a_fast_publisher_is_held_back_for_a_subscriber_that_keeps_reading() -> None:
    """Five times max_pending goes through, and nobody is dropped.

    The subscriber begins to read when the publisher has been held back for the first time. As in nats-server, that lasts 10 ms for
    each read whatever happens; max_pending is large enough here for a subscriber that has to wait for a busy processor.
    """
    payload, count = b"y" * 10_000, 16_000
    with Server(port=0, max_pending=32 << 20) as server, Raw(server) as subscriber, Raw(server) as publisher:
        subscriber.sync(b"SUB a 1\r\n")
        publishing = Publishing(publisher, payload, count)
        while not is_held_back(server, publisher):
            pass
        expected = message(1, payload)
        for _ in range(count):
            assert subscriber.take(len(expected)) == expected
        publishing.finish()
        assert subscriber.sync() == b"" and ask(server, lambda: server.hub.slow_consumers) == 0


def test_a_publisher_is_held_back_once_for_each_read_and_not_for_each_message() -> None:
    """A subscriber that reads next to nothing must not slow it down to a hundred messages a second for ever."""
    payload, count = b"x" * 16, 200_000
    with Server(port=0, max_pending=2 << 20, write_deadline=1e6) as server, Raw(server, receive_buffer=SMALL) as slow:
        slow.sync(b"SUB a 1\r\n")
        with Raw(server) as publisher:
            Publishing(publisher, payload, count).finish()
        assert ask(server, lambda: server.hub.slow_consumers) == 1


def test_a_publisher_is_let_go_when_the_slow_one_catches_up_or_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stall that never ends by itself, only that can let it go."""
    monkeypatch.setattr(module, "STALL_SECONDS", 1e6)
    for ending in ("reads", "goes"):
        with Server(port=0, max_pending=10 << 20) as server, Raw(server, receive_buffer=SMALL) as slow, Raw(server) as publisher:
            slow.sync(b"SUB a 1\r\n")
            sent = 0
            while not is_held_back(server, publisher):
                publisher.send(pub(b"x" * 100_000))
                sent += 1
            publisher.send(b"PING\r\n")
            assert ask(server, lambda: server.hub.slow_consumers) == 0
            if ending == "reads":
                slow.take(sent * len(message(1, b"x" * 100_000)))
            else:
                slow.reset()
            assert publisher.line() == b"PONG"


def test_a_client_with_an_error_gets_what_waits_for_it_first() -> None:
    with Server(port=0) as server, Raw(server, receive_buffer=SMALL) as client:
        payload = b"x" * 1_000_000
        client.send(b"SUB a 1\r\n" + pub(payload) * 10 + b"FOO\r\n")
        assert client.rest() == message(1, payload) * 10 + b"-ERR 'Unknown Protocol Operation'\r\n"
        until(server, lambda: not server._connections)


def test_a_client_that_half_closes_gets_what_waits_for_it_first() -> None:
    with Server(port=0) as server, Raw(server, receive_buffer=SMALL) as client:
        payload = b"x" * 1_000_000
        client.send(b"SUB a 1\r\n" + pub(payload) * 10)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == message(1, payload) * 10
        until(server, lambda: not server._connections)


def test_a_closing_client_has_write_deadline_in_all_to_take_the_rest() -> None:
    """It is no session any more and counts for no limit, so it may not stay for as long as it pleases."""
    with Server(port=0, write_deadline=0.5) as server, Raw(server, receive_buffer=SMALL) as client, Raw(server) as other:
        client.send(b"SUB a 1\r\n" + pub(b"x" * 1_000_000) * 8 + b"FOO\r\n")
        until(server, lambda: len(server.hub.sessions) == 1)
        assert ask(server, lambda: len(server._connections)) == 2
        while ask(server, lambda: len(server._connections)) == 2:
            client.socket.recv(1000)
        assert ask(server, lambda: server.hub.slow_consumers) == 0 and other.sync() == b""


# Many connections


def wait_for_info(sockets: list[socket.socket]) -> None:
    """Return when each of the sockets has got its INFO."""
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            assert ready, f"{len(selector.get_map())} connections were not greeted"
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                assert key.fileobj.recv(4096).startswith(b"INFO {")
                selector.unregister(key.fileobj)


def test_a_thousand_connections_at_once() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1000
    if soft != resource.RLIM_INFINITY and soft < 2 * count + 100:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(hard, 2 * count + 100) if hard != resource.RLIM_INFINITY else 2 * count + 100, hard)
        )
    try:
        with Server(port=0) as server:
            sockets = [socket.socket() for _ in range(count)]
            for sock in sockets:
                sock.setblocking(False)
                sock.connect_ex((server.host, server.port))
            wait_for_info(sockets)
            assert ask(server, lambda: len(server.hub.sessions)) == count
            with Raw(server) as one_more:
                assert one_more.sync() == b""
            for sock in sockets:
                sock.close()
            until(server, lambda: not server._connections)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def things_of(*types: type) -> list[Any]:
    return [thing for thing in gc.get_objects() if type(thing) in types]


def leave_politely(client: Raw) -> None:
    client.sync(b"SUB a.b 1\r\nSUB a.* q 2\r\nPUB a.b 0\r\n\r\n")
    client.close()


def leave_with_a_reset(client: Raw) -> None:
    client.sync(b"SUB a.> 1\r\nUNSUB 1 5\r\n")
    client.reset()


def leave_after_half_a_message(client: Raw) -> None:
    client.send(b"SUB x 1\r\nPUB a.b 1000000\r\nhalf")
    client.close()


def leave_with_an_error(client: Raw) -> None:
    client.send(b"SUB y 1\r\nFOO\r\n")
    client.rest()
    client.close()


def leave_at_once(client: Raw) -> None:
    client.close()


def test_coming_and_going_leaves_nothing_behind() -> None:
    """No session, no subscription, no socket, no timer; and nothing for the garbage collector to find."""
    ways = [leave_politely, leave_with_a_reset, leave_after_half_a_message, leave_with_an_error, leave_at_once]
    gc.collect()
    gc.disable()
    try:
        with Server(port=0) as server:
            before = len(things_of(Connection, SocketLink))
            for number in range(200):
                ways[number % len(ways)](Raw(server))
            until(server, lambda: not server._connections)
            assert ask(server, lambda: (len(server.hub.sessions), server.hub.account.sublist.count, server.hub.dirty)) == (0, 0, [])
            assert len(things_of(Connection, SocketLink)) == before
            if type(server._loop) is asyncio.SelectorEventLoop:
                timers = ask(server, lambda: [timer for timer in server._loop._scheduled if not timer.cancelled()])  # type: ignore[union-attr]
                assert timers == []
                assert ask(server, lambda: len(server._loop._selector.get_map())) == 2  # type: ignore[union-attr]  # the reactor, the loop's own
            assert ask(server, lambda: len(server._turns.reactor._links)) == 1  # type: ignore[union-attr]  # the port
            assert ask(server, lambda: len(server._turns.reactor._deadlines)) == 0  # type: ignore[union-attr]
    finally:
        gc.enable()


def test_an_idle_connection_holds_no_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(port=0, ping_interval=0.02, ping_max=1000) as server, Raw(server, connect=False) as client:
        [session] = ask(server, lambda: list(server.hub.sessions.values()))
        assert client.line() == client.line() == b"PING"
        until(server, lambda: len(session.outbox.buf) == 0)


# Who says too little, or nonsense


def test_a_client_that_says_nothing_is_greeted_pinged_and_dropped() -> None:
    with Server(port=0, ping_interval=0.02, ping_max=2) as server, Raw(server, connect=False) as silent:
        assert silent.rest() == b"PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"
        assert ask(server, lambda: server.hub.stale_connections) == 1


def test_a_client_that_does_not_say_who_it_is() -> None:
    with Server(port=0, token="t", auth_timeout=0.02) as server, Raw(server, connect=False) as silent:
        assert silent.rest() == b"-ERR 'Authentication Timeout'\r\n"


def test_garbage_disturbs_nobody() -> None:
    dice = random.Random(4)
    with Server(port=0, max_payload=100_000) as server, Raw(server) as healthy:
        healthy.sync(b"SUB healthy 1\r\n")
        for number in range(60):
            garbage = dice.randbytes(dice.choice((1, 10, 1000, 100_000)))
            verb = dice.choice((b"", b"PUB a 5\r\n", b"SUB ", b"CONNECT ", b"HPUB a 1 2\r\n", b"PUB a 100000\r\n"))
            with Raw(server, connect=False) as other:
                try:
                    other.send(verb + garbage)
                except (ConnectionResetError, BrokenPipeError):
                    pass
                if number % 3 == 0:
                    other.reset()
                assert healthy.sync(b"PUB healthy 2\r\nhi\r\n") == b"MSG healthy 1 2\r\nhi\r\n"
        assert ask(server, lambda: healthy.info["client_id"] in server.hub.sessions)


# Fairness


def test_one_that_floods_keeps_nobody_from_being_answered_or_let_in() -> None:
    with Server(port=0) as server, Raw(server) as subscriber, Raw(server) as flooding:
        done = threading.Event()

        def flood() -> None:
            while not done.is_set():
                flooding.send(pub(b"x" * 100) * 500)

        thread = threading.Thread(target=flood)
        with Raw(server) as patient:
            patient.sync()
            thread.start()
            try:
                for _ in range(20):
                    assert patient.sync() == b""
                    with Raw(server) as newcomer:
                        assert newcomer.sync() == b""
            finally:
                done.set()
                thread.join()
        assert flooding.sync() == subscriber.sync() == b""


# Bugs of ours


class Buggy:
    """A hub with a bug: some of its calls raise. Everything else is the real one's."""

    def __init__(self, hub: Hub, **bugs: Callable[..., object]) -> None:
        self._hub = hub
        self._bugs = bugs

    def __getattr__(self, name: str) -> Any:
        return self._bugs.get(name) or getattr(self._hub, name)


def test_a_bug_while_receiving_costs_only_that_client(caplog: pytest.LogCaptureFixture) -> None:
    with Server(port=0) as server, Raw(server) as other:
        other.sync(b"SUB a 1\r\n")
        hub = server.hub

        def receive(session: Session, chunk: bytearray, stop: int, now: float) -> bool:
            done = hub.receive(session, chunk, stop, now)
            if b"BUG" in chunk[:stop]:
                raise ZeroDivisionError("a bug")
            return done

        ask(server, lambda: setattr(server._turns, "hub", Buggy(hub, receive=receive)))
        with Raw(server) as victim:
            victim.send(b"SUB b 1\r\nPUB a 3\r\nBUG\r\n")
            assert victim.rest() == b""
        assert other.line() == b"MSG a 1 3" and other.line() == b"BUG", "what it had published before is sent"
        assert other.sync() == b"" and ask(server, lambda: (len(hub.sessions), hub.account.sublist.count, len(server._connections))) == (
            1,
            1,
            1,
        )
    assert "internal error, closing the connection" in caplog.text and "ZeroDivisionError: a bug" in caplog.text


@pytest.mark.parametrize("name", ["flush", "_send"])
def test_a_bug_while_sending_costs_only_that_client(name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows in the middle of another client's fan-out."""
    victims: set[object] = set()
    real = getattr(SocketLink, name)

    def buggy(link: SocketLink, *args: Any) -> Any:
        if link in victims:
            raise ZeroDivisionError("a bug")
        return real(link, *args)

    monkeypatch.setattr(lobby_module, "SocketLink", type("BuggyLink", (SocketLink,), {name: buggy}))
    with Server(port=0) as server, Raw(server) as before, Raw(server, receive_buffer=SMALL) as victim, Raw(server) as after:
        for client in (before, victim, after):
            client.sync(b"SUB a 1\r\n")
        victims |= set(ask(server, lambda: [each.link for each in server._connections if each.session.cid == victim.info["client_id"]]))
        expected = message(1, b"x" * 100_000)
        with Raw(server) as publisher:
            while ask(server, lambda: victim.info["client_id"] in server.hub.sessions):
                publisher.sync(pub(b"x" * 100_000))
                assert before.take(len(expected)) == after.take(len(expected)) == expected
        victim.rest()
        assert before.sync() == after.sync() == b"" and ask(server, lambda: server.hub.slow_consumers) == 0
        until(server, lambda: len(server._connections) == len(server.hub.sessions) == 2)
        victims.clear()
    assert "internal error" in caplog.text and "ZeroDivisionError" in caplog.text


def test_a_bug_while_greeting_costs_only_that_client(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    is_buggy = False

    class BuggyLink(SocketLink):
        def start(self, owner: LinkOwner) -> None:
            if is_buggy:
                raise ZeroDivisionError("a bug")
            super().start(owner)

    monkeypatch.setattr(lobby_module, "SocketLink", BuggyLink)
    with Server(port=0) as server, Raw(server) as other:
        is_buggy = True
        with socket.create_connection((server.host, server.port)) as refused:
            assert refused.recv(4096) == b""
        assert other.sync() == b"" and ask(server, lambda: len(server.hub.sessions)) == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_bug_in_a_timer_costs_only_that_client(caplog: pytest.LogCaptureFixture) -> None:
    with Server(port=0, ping_interval=0.05, ping_max=1000) as server, Raw(server) as other:
        other.sync()
        with Raw(server, connect=False) as victim:

            class Session:
                """A session that cannot tell the time."""

                def __init__(self, session: Any) -> None:
                    self.session = session

                def __getattr__(self, name: str) -> Any:
                    if name == "handle_timeout":
                        raise ZeroDivisionError("a bug")
                    return getattr(self.session, name)

                def __setattr__(self, name: str, value: Any) -> None:
                    if name == "session":
                        object.__setattr__(self, name, value)
                    else:
                        setattr(self.session, name, value)

            def break_it() -> None:
                [connection] = [each for each in server._connections if each.session.cid == victim.info["client_id"]]
                connection.session = Session(connection.session)  # type: ignore[assignment]

            ask(server, break_it)
            assert victim.rest() == b""
        assert other.line() == b"PING" and other.sync() == b""
    assert "ZeroDivisionError: a bug" in caplog.text
