"""server.server: the life of an embedded server, in the caller's event loop and in a thread of its own."""

import asyncio
import errno
import gc
import logging
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import fields
from typing import IO, Any, get_type_hints

import pytest
from raw import Raw, ask, until

import midge
from midge.errors import ServerStartError
from midge.link import reactor as reactor_module
from midge.server import server as module
from midge.server import session as session_module
from midge.server import thread as thread_module
from midge.server.hub import Hub
from midge.server.info import NATS_VERSION
from midge.server.options import ServerKeywords, ServerOptions
from midge.server.peer import Peer, Sink
from midge.server.server import Server
from midge.server.sublist import Subscription
from midge.wire.outbox import Outbox
from midge.wire.publication import Publication

SOON = 0.05  # in place of STOP_SECONDS, where a test knows that nobody is going to take what waits


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("midge-server")]


def sockets() -> list[socket.socket]:
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() >= 0]


@pytest.fixture(autouse=True)
def no_early_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes between what a client hears, however slow the machine is."""
    monkeypatch.setattr(session_module, "FIRST_PING", 1e6)


@pytest.fixture(autouse=True)
def nothing_stays_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No thread, no open socket, and no error that an event loop had to log."""
    before = len(sockets())
    yield
    assert threads() == [] and len(sockets()) == before
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def talk(server: Server) -> None:
    """Prove that a server in this loop answers on its port."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    assert (await reader.readline()).startswith(b"INFO {")
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    writer.close()
    await writer.wait_closed()


# Starting


def test_in_a_thread() -> None:
    server = Server(port=0)
    assert not server.is_running and repr(server) == "<Server nats://127.0.0.1:0 (not running)>"
    with server as entered:
        assert entered is server and server.is_running and server.port > 0
        assert server.url == f"nats://127.0.0.1:{server.port}" and repr(server) == f"<Server {server.url}>"
        with Raw(server) as client:
            assert client.info["port"] == server.port and client.info["host"] == "127.0.0.1" and client.sync() == b""
    assert not server.is_running
    with pytest.raises(ConnectionRefusedError):
        Raw(server)


def test_in_the_callers_loop() -> None:
    async def main() -> None:
        async with Server(port=0) as server:
            assert server.is_running and threads() == []
            await talk(server)
        assert not server.is_running
        with pytest.raises(ConnectionRefusedError):
            await talk(server)

    asyncio.run(main())


@pytest.mark.parametrize("port", [0, -1])
def test_a_free_port_is_taken_each_time(port: int) -> None:
    with Server(port=port) as one, Server(port=port) as two:
        assert len({one.port, two.port, 4222}) == 3
        with Raw(one) as client:
            assert client.info["port"] == one.port


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6(host: str) -> None:
    with Server(host=host, port=0) as server:
        assert server.url == f"nats://[::1]:{server.port}"
        with Raw(server) as client:
            assert client.info["host"] == host and client.info["client_ip"] == "::1" and client.sync() == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "", "localhost"])
def test_other_addresses(host: str) -> None:
    with Server(host=host, port=0) as server:
        assert server.url == f"nats://{'localhost' if host == 'localhost' else '127.0.0.1'}:{server.port}"
        with socket.create_connection(("localhost", server.port)) as client:
            assert client.recv(5) == b"INFO "


def test_options_or_keywords() -> None:
    with Server(ServerOptions(port=0, name="mine", max_payload=1000)) as server, Raw(server) as client:
        assert client.info["server_name"] == "mine" and client.info["max_payload"] == 1000
    with Server(port=0, name="mine", ping_max=7) as server:
        assert server.options == ServerOptions(port=0, name="mine", ping_max=7)
    for keywords in ({"name": "x"}, {"port": 0}, {"host": "127.0.0.1"}):
        with pytest.raises(TypeError, match="not both"):
            Server(ServerOptions(), **keywords)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="nosuch"):
        Server(nosuch=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=re.escape("options must be a ServerOptions, not int; to give a port, write Server(port=4222)")):
        Server(4222)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="port must be int, not str"):
        Server(port="4222")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="port"):
        Server(port=70000)
    assert Server().options == ServerOptions()


def test_a_port_that_is_taken() -> None:
    async def main(port: int) -> None:
        server = Server(port=port)
        with pytest.raises(ServerStartError, match="Address already in use"):
            await server.start()
        assert not server.is_running
        await server.stop()

    with Server(port=0) as first:
        second = Server(port=first.port)
        with pytest.raises(ServerStartError, match=re.escape(f"cannot listen on 127.0.0.1:{first.port}: Address already in use")) as caught:
            second.__enter__()
        assert isinstance(caught.value, OSError) and not second.is_running and len(threads()) == 1
        asyncio.run(main(first.port))
        with Raw(first) as client:
            assert client.sync() == b""
    with second:
        assert second.port == first.port


@pytest.mark.parametrize("host", ["no-such-host.invalid", "256.1.1.1", "192.0.2.1", "a" * 70, "a\x00b", "\ud800"], ids=repr)
def test_an_address_that_is_none(host: str) -> None:
    with pytest.raises(ServerStartError, match="cannot listen on "):
        Server(host=host, port=0).__enter__()


class Windows(asyncio.SelectorEventLoop):
    """An event loop that only knows transports, as Windows' default one."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        if self.is_running():
            raise NotImplementedError
        return super().add_reader(fd, callback, *args)


def test_an_event_loop_that_cannot_drive_it() -> None:
    async def main() -> None:
        server = Server(port=0)
        with pytest.raises(ServerStartError, match="Windows has no add_reader"):
            await server.start()
        assert not server.is_running

    with asyncio.Runner(loop_factory=Windows) as runner:
        runner.run(main())


def test_an_event_loop_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(thread_module, "new_event_loop", fail)
        server = Server(port=0)
        with pytest.raises(OSError, match="Too many open files"):
            server.__enter__()
    with server:
        assert server.is_running


def test_starting_twice() -> None:
    async def main() -> None:
        async with Server(port=0) as server:
            with pytest.raises(ServerStartError, match="runs already"):
                await server.start()
            with pytest.raises(ServerStartError, match="runs already"):
                server.__enter__()
            await talk(server)

    asyncio.run(main())
    with Server(port=0) as server:
        with pytest.raises(ServerStartError, match="runs already"):
            server.__enter__()
        with Raw(server) as client:
            assert client.sync() == b""


def test_before_it_runs() -> None:
    server = Server()
    with pytest.raises(ServerStartError, match="not running"):
        server.hub  # noqa: B018
    asyncio.run(server.stop())
    server.__exit__()


def test_the_keywords_are_the_fields_of_the_options() -> None:
    wanted = get_type_hints(ServerOptions)
    keywords = get_type_hints(ServerKeywords)
    assert list(keywords) == [field.name for field in fields(ServerOptions)]
    assert all(keywords[name] == wanted[name] | None for name in keywords)
    for value in (1, None):
        with pytest.raises(TypeError, match="no option 'prot'"):
            Server(prot=value)  # type: ignore[call-arg]
    assert midge.ServerOptions is ServerOptions


def test_without_a_block_in_a_thread() -> None:
    server = Server(port=0)
    server.stop_thread()
    for _ in range(2):
        server.start_thread()
        with pytest.raises(ServerStartError, match="runs already"):
            server.start_thread()
        with Raw(server) as client:
            assert client.sync() == b""
        server.stop_thread()
        server.stop_thread()
        assert not server.is_running and threads() == []


def test_what_ends_the_thread_before_its_time_is_raised_where_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    def leave() -> None:
        raise SystemExit("enough")

    server = Server(port=0)
    with pytest.raises(SystemExit, match="enough"), server:
        assert server._loop is not None and server._thread is not None
        server._loop.call_soon_threadsafe(leave)
        server._thread._thread.join(30)
        assert not server.is_running
        with pytest.raises(ServerStartError, match="not running"):
            server.clients()
    assert "the server's thread has ended: SystemExit('enough')" in caplog.text
    with server, Raw(server) as client:
        assert client.sync() == b""


# Stopping


def test_everybody_hears_of_the_end() -> None:
    with ExitStack() as stack:
        with Server(port=0) as server:
            clients = [stack.enter_context(Raw(server)) for _ in range(10)]
            for client in clients:
                client.sync(b"SUB a 1\r\n")
            hub = server.hub
        assert [client.rest() for client in clients] == [b""] * 10
        assert not hub.sessions and hub.account.sublist.count == 0 and server.hub is hub


def test_stopping_in_the_middle_of_a_flood() -> None:
    with ExitStack() as stack:
        with Server(port=0) as server:
            subscriber, publisher = stack.enter_context(Raw(server)), stack.enter_context(Raw(server))
            subscriber.sync(b"SUB a 1\r\n")

            def flood() -> None:
                try:
                    while True:
                        publisher.send(b"PUB a 1000\r\n" + b"x" * 1000 + b"\r\n")
                except OSError:
                    pass

            thread = threading.Thread(target=flood)
            thread.start()
            while not subscriber.take(100_000):
                pass
        subscriber.rest()
        thread.join()


def test_what_is_on_its_way_is_sent_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 30.0)  # the receiver is slow on a busy machine
    payload = b"x" * 1_000_000
    with ExitStack() as stack:
        with Server(port=0) as server:
            client = stack.enter_context(Raw(server, receive_buffer=4096))
            client.send(b"SUB a 1\r\n" + b"PUB a 1000000\r\n%b\r\n" % payload * 10)
            until(server, lambda: server.hub.totals()[2] == 10)
            heard: Future[bytes] = Future()
            thread = threading.Thread(target=lambda: heard.set_result(client.rest()))
            thread.start()
        thread.join()
        assert heard.result() == b"MSG a 1 1000000\r\n%b\r\n" % payload * 10


def test_a_client_that_reads_nothing_does_not_keep_the_server_from_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", SOON)
    with ExitStack() as stack:
        with Server(port=0) as server:
            client = stack.enter_context(Raw(server, receive_buffer=4096))
            client.send(b"SUB a 1\r\n" + (b"PUB a 1000000\r\n" + b"x" * 1_000_000 + b"\r\n") * 20)
            until(server, lambda: server.hub.totals()[2] == 20)
        assert len(client.rest()) < 20_000_000


async def stubborn_client(server: Server) -> socket.socket:
    """Connect a client that has asked for more than it reads, to a server in this loop."""
    client = socket.create_connection((server.host, server.port))
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, b"SUB a 1\r\n" + (b"PUB a 1000000\r\n" + b"x" * 1_000_000 + b"\r\n") * 20)
    while server.hub.totals()[2] < 20:
        await asyncio.sleep(0)
    return client


def test_stopping_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", SOON)

    async def main() -> None:
        server = Server(port=0)
        await server.start()
        client = await stubborn_client(server)
        await asyncio.gather(server.stop(), server.stop(), server.stop())
        assert not server.is_running and not server._connections
        await server.stop()
        client.close()

    asyncio.run(main())


def test_a_stop_that_is_cancelled_stops_all_the_same() -> None:
    async def main() -> None:
        server = Server(port=0)
        await server.start()
        client = await stubborn_client(server)
        task = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0)
        second = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await second
        assert not server.is_running and not server._connections
        client.close()

    asyncio.run(main())


def test_an_exception_in_the_block_ends_the_server() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with Server(port=0) as server:
                1 / 0  # noqa: B018
        assert not server.is_running

    asyncio.run(main())
    with pytest.raises(ZeroDivisionError), Server(port=0) as server, Raw(server) as client:
        client.sync()
        1 / 0  # noqa: B018
    assert not server.is_running


def test_a_server_is_stopped_in_its_own_loop() -> None:
    with Server(port=0) as server:
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(server.stop())
        with Raw(server) as client:
            assert client.sync() == b""


@pytest.mark.parametrize("stop_first", [False, True])
def test_a_loop_that_was_closed_underneath_the_server(stop_first: bool) -> None:
    server = Server(port=0)
    client = socket.socket()

    async def leave_it() -> None:
        await server.start()
        client.connect((server.host, server.port))
        server.open_link(asyncio.get_running_loop(), Outbox())
        while len(server._connections) < 2:
            await asyncio.sleep(0)

    asyncio.run(leave_it())
    assert not server.is_running
    if stop_first:
        asyncio.run(server.stop())
        assert client.recv(4096).startswith(b"INFO {") and client.recv(4096) == b""
    port = server.port
    loop = asyncio.new_event_loop()
    with pytest.raises(ServerStartError):
        server.open_link(loop, Outbox())
    loop.close()
    with server:
        assert server.port == port
        with Raw(server) as other:
            assert other.sync() == b"" and ask(server, lambda: len(server.hub.sessions)) == 1
    client.close()


def test_a_server_can_run_again_on_its_port_at_once() -> None:
    """Although its last connections are not forgotten by the kernel yet."""
    server = Server(port=0)
    ports = set()
    for _ in range(3):
        with server, Raw(server) as one, Raw(server) as two:
            ports.add(server.port)
            one.sync(b"SUB a 1\r\n")
            two.sync(b"PUB a 0\r\n\r\n")
            assert one.line() == b"MSG a 1 0" and ask(server, lambda: server.hub.totals()[0]) == 1
    assert len(ports) == 1
    with Server(port=server.port) as again:
        assert again.port == server.port

    async def main() -> None:
        async with server:
            await talk(server)

    asyncio.run(main())


# Many


def test_many_servers_know_nothing_of_each_other() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(port=0, name=f"s{number}")) for number in range(8)]
        clients = [stack.enter_context(Raw(server)) for server in servers]
        for number, client in enumerate(clients):
            assert client.info["server_name"] == f"s{number}"
            client.sync(b"SUB a 1\r\n")
        for number, client in enumerate(clients):
            assert client.sync(b"PUB a 1\r\n%d\r\n" % number) == b"MSG a 1 1\r\n%d\r\n" % number
        assert len({client.info["server_id"] for client in clients}) == 8
        assert all(re.fullmatch("N[A-Z2-7]{55}", client.info["server_id"]) for client in clients)


def test_many_servers_in_one_loop() -> None:
    async def main() -> None:
        servers = [Server(port=0) for _ in range(5)]
        for server in servers:
            await server.start()
        await asyncio.gather(*map(talk, servers))
        await asyncio.gather(*(server.stop() for server in servers))

    asyncio.run(main())


def test_a_server_in_a_thread_inside_a_coroutine() -> None:
    async def main() -> None:
        with Server(port=0) as server:
            await talk(server)
            async with midge.connect(server) as nc:
                sub = nc.subscribe("a")
                await nc.publish("a", b"x")
                assert (await sub.next(timeout=5.0)).data == b"x"

    asyncio.run(main())


# Clients of the same process


def test_without_a_port() -> None:
    async def main() -> None:
        async with Server(port=0, listen=False) as server:
            with pytest.raises(OSError):
                await talk(server)
            async with midge.connect(server) as one, midge.connect(server) as two:
                sub = await one.subscribe("a")
                await two.publish("a", b"x" * 1_000_000)
                assert (await sub.next(timeout=5.0)).data == b"x" * 1_000_000
                assert [session.address for session in server.hub.sessions.values()] == ["pipe", "pipe"]
            while server._connections:
                await asyncio.sleep(0)
            assert not server.hub.sessions

    asyncio.run(main())


def test_a_client_of_the_same_process_hears_of_the_end() -> None:
    async def main() -> None:
        for in_thread in (False, True):
            server = Server(port=0)
            if in_thread:
                server.__enter__()
            else:
                await server.start()
            nc = await midge.connect(server, max_reconnects=0)
            sub = await nc.subscribe("a")
            waiting = asyncio.ensure_future(sub.next(timeout=None))
            await asyncio.sleep(0)
            if in_thread:
                server.__exit__()
            else:
                await server.stop()
            with pytest.raises(midge.ConnectionClosedError):
                await waiting
            await nc.close()

    asyncio.run(main())


def test_a_client_that_comes_while_the_server_stops_is_turned_away() -> None:
    async def main() -> None:
        server = Server(port=0)
        await server.start()
        stubborn = await stubborn_client(server)
        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0)
        with pytest.raises(midge.ConnectError):
            await midge.connect(server, timeout=None)
        stubborn.close()
        await stopping
        with pytest.raises(midge.ConnectError, match="not running"):
            await midge.connect(server)

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:unclosed client:ResourceWarning")
def test_clients_whose_loop_ends_without_a_word() -> None:
    """A script that forgets to close its client must not leave the server with a connection for ever."""
    with Server(port=0) as server:
        for _ in range(3):

            async def forget() -> None:
                nc = await midge.connect(server)
                await nc.subscribe("a")
                await nc.flush()
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()

            asyncio.run(forget())
        with Raw(server) as other:
            other.sync(b"PUB a 0\r\n\r\n")
            until(server, lambda: len(server._connections) == 1)
            assert ask(server, lambda: len(server.hub.sessions)) == 1
    gc.collect()  # what was forgotten warns here, and not in another test


# The log


def test_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Other programs wait for these lines."""
    caplog.set_level(logging.INFO, "midge.server")
    with Server(port=0, name="n1") as server:
        server_id = server.hub.server_id
    assert caplog.messages == [
        "Starting nats-server",
        f"  Version:  {NATS_VERSION}",
        "  Name:     n1",
        f"  ID:       {server_id}",
        f"Listening for client connections on 127.0.0.1:{server.port}",
        "Server is ready",
        "Initiating Shutdown...",
        "Server Exiting..",
    ]


# In processes of their own


def script(text: str) -> "subprocess.Popen[str]":
    """Run a script with the interpreter and the package of this one."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", text]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for a script; return its exit code and what it wrote to stderr."""
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors


def first_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


INTERRUPTED = """
import logging, sys, midge
logging.basicConfig(level=logging.INFO, format="%(message)s")
with midge.Server(port=0) as server:
    print("ready", flush=True)
    sys.stdin.read()
"""
INTERRUPTED_IN_LOOP = """
import asyncio, logging, midge
logging.basicConfig(level=logging.INFO, format="%(message)s")
async def main():
    async with midge.Server(port=0) as server:
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("text", [INTERRUPTED, INTERRUPTED_IN_LOOP], ids=["thread", "loop"])
def test_an_interrupt_in_the_block(text: str) -> None:
    process = script(text)
    assert first_line(process.stdout) == "ready"
    process.send_signal(signal.SIGINT)
    code, errors = finish(process)
    assert "KeyboardInterrupt" in errors and "Server Exiting.." in errors and "Warning" not in errors
    assert code == -signal.SIGINT


def test_an_interrupt_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Future[None]):
        def result(self, timeout: float | None = None) -> None:
            raise KeyboardInterrupt

    server = Server(port=0)
    futures: list[type[Future[None]]] = [Interrupted, Future]
    with monkeypatch.context() as patch:
        patch.setattr(thread_module, "Future", lambda: futures.pop(0)())
        with pytest.raises(KeyboardInterrupt):
            server.__enter__()
    assert threads() == [] and not server.is_running
    with server, Raw(server) as client:
        assert client.sync() == b""


def test_a_server_that_is_started_again_while_somebody_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads stop it; one starts it anew before the other notices that it has ended."""
    server = Server(port=0)
    server.start_thread()
    old = server._thread
    assert old is not None
    join = old._thread.join

    def join_late(timeout: float | None = None) -> None:
        join(timeout)
        if server._thread is old:
            server._thread = None
            server.start_thread()

    monkeypatch.setattr(old._thread, "join", join_late)
    server.stop_thread()
    assert server.is_running and len(threads()) == 1
    server.stop_thread()
    assert threads() == [] and not server.is_running


def test_starting_without_a_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_poll() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    server = Server(port=0)
    with monkeypatch.context() as patch:
        patch.setattr(reactor_module, "open_poll", no_poll)
        with pytest.raises(ServerStartError, match="Too many open files"), server:
            raise AssertionError("unreachable")
    gc.collect()  # a socket that is still open would warn
    with server, Raw(server) as client:
        assert client.sync() == b""


def test_sinks_that_answer_each_other_for_ever_do_not_keep_a_server_from_stopping() -> None:
    class Answering(Sink):
        def __init__(self, hub: Hub, subject: bytes) -> None:
            self.hub = hub
            self.subject = subject

        def deliver(self, subscription: Subscription, publication: Publication, producer: Peer | None) -> None:
            self.hub.emit(self.hub.account, self.subject, b"", b"", b"again")

    def begin() -> None:
        hub = server.hub
        hub.account.subscribe(Answering(hub, b"b"), b"a")
        hub.account.subscribe(Answering(hub, b"a"), b"b")

    with Server(port=0) as server, Raw(server) as client:
        ask(server, begin)
        assert client.sync(b"PUB a 0\r\n\r\n") == b""
    assert threads() == []


FEW_DESCRIPTORS = """
import logging, resource, sys, midge
logging.basicConfig(level=logging.ERROR, format="%(message)s")
with midge.Server(port=0) as server:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    print(server.port, flush=True)
    sys.stdin.read()
"""


def test_running_out_of_descriptors() -> None:
    """Those inside are served, those outside wait in the kernel's queue and get in when there is room again."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == resource.RLIM_INFINITY or soft > 150
    process = script(FEW_DESCRIPTORS)
    port = int(first_line(process.stdout))
    clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(60)]
    assert "Too many open files" in first_line(process.stderr)
    assert clients[0].recv(4096).startswith(b"INFO {")
    clients[0].sendall(b"PING\r\n")
    assert clients[0].recv(4096) == b"PONG\r\n"
    for client in clients[:30]:
        client.close()
    for client in clients[30:]:
        assert client.recv(4096).startswith(b"INFO {")
        client.close()
    code, errors = finish(process)
    assert code == 0, errors
    assert "Traceback" not in errors


AT_EXIT = """
import midge
server = midge.Server(port=0).__enter__()
print(server.port)
"""


def test_a_block_that_is_never_left_does_not_keep_the_process() -> None:
    code, errors = finish(script(AT_EXIT))
    assert code == 0 and "Traceback" not in errors, errors
