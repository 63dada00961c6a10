"""server.listener: every address of a name on one port, and a port that is free again when it should be."""

import asyncio
import errno
import os
import signal
import socket
import time

import pytest
from raw import Raw

from midge.errors import ServerStartError
from midge.server import connections as connections_module
from midge.server import listener as module
from midge.server import thread as thread_module
from midge.server.listener import open_sockets
from midge.server.server import Server


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
BOTH = [
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
]


def addresses(host: str, port: int) -> set[tuple[str, int]]:
    """Listen on a host, and return where that was."""
    sockets = asyncio.run(open_sockets(host, port))
    try:
        return {sock.getsockname()[:2] for sock in sockets}
    finally:
        for sock in sockets:
            sock.close()


@needs_ipv6
def test_all_addresses_of_a_name_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: BOTH)
    found = addresses("some.name", 0)
    assert {host for host, _ in found} == {"127.0.0.1", "::1"} and len({port for _, port in found}) == 1


@needs_ipv6
def test_a_server_is_reached_at_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: BOTH)
        patch.setattr(thread_module, "new_event_loop", asyncio.new_event_loop)  # uvloop asks the C library itself
        server = Server(host="some.name", port=0)
        server.start_thread()
    try:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, server.port)) as client:
                assert client.recv(5) == b"INFO "
        assert server.counters().total_connections == 2
    finally:
        server.stop_thread()


@needs_ipv6
def test_a_port_that_is_free_on_one_address_and_taken_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """With port 0 another one is tried, with a port of one's own it is an error; either way nothing stays open."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: BOTH)
    bind = module._bind
    taken = []

    def sometimes(family: int, address: str, port: int, shared: bool) -> socket.socket:
        if family == socket.AF_INET6 and len(taken) < 3:
            taken.append(port)
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bind(family, address, port, shared)

    monkeypatch.setattr(module, "_bind", sometimes)
    assert len(addresses("some.name", 0)) == 2 and len(taken) == 3
    taken.clear()
    with pytest.raises(ServerStartError, match="Address already in use"):
        addresses("some.name", 14222)


def test_an_address_that_the_machine_does_not_have_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [missing, BOTH[0]])
    assert {host for host, _ in addresses("some.name", 0)} == {"127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [missing])
    with pytest.raises(ServerStartError, match="cannot listen on some.name:0"):
        addresses("some.name", 0)


def test_looking_a_name_up_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop runs on while the resolver does not answer."""
    released = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def slow(*_: object, **__: object) -> list[object]:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loops[0]).result(30)  # the loop must turn for this to return
        loops[0].call_soon_threadsafe(released.set)
        return [BOTH[0]]

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        for sock in await open_sockets("some.name", 0):
            sock.close()
        await released.wait()

    asyncio.run(main())


def forked(work: "object") -> int:
    """Run a function in a forked process that stays until it is killed; return its number once the function has returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            result = work()  # type: ignore[operator]
            os.write(writing, b"1" if result else b"0")
            while True:
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    answer = os.read(reading, 1)
    os.close(reading)
    assert answer == b"1", "what the forked process was to see was not so"
    return child


def refuses(server: Server) -> bool:
    """True if everything that a server does is refused."""
    calls = [server.start_thread, server.stop_thread, server.clients, server.reset, lambda: asyncio.run(server.start()),
             lambda: asyncio.run(server.stop())]  # fmt: skip
    for call in calls:
        try:
            call()
        except ServerStartError as error:
            if "forked" not in str(error):
                return False
        else:
            return False
    server.__exit__()  # a block may end there
    return not server.is_running


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_keeps_neither_port_nor_connections_and_cannot_use_the_server() -> None:
    server = Server(port=0)
    server.start_thread()
    port = server.port
    try:
        with Raw(server) as client:
            client.sync(b"SUB a 1\r\n")
            child = forked(lambda: refuses(server))
            try:
                assert client.sync() == b"", "the parent's server goes on"
                server.stop_thread()
                assert client.rest() == b""
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port))
                with Server(port=port) as again, Raw(again) as other:
                    assert other.sync() == b""
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    finally:
        server.stop_thread()


def test_a_bug_of_ours_costs_one_client_its_connection_and_nobody_the_port(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(port=0) as server:
        with monkeypatch.context() as patch:
            patch.setattr(connections_module, "Connection", None)
            with socket.create_connection((server.host, server.port), timeout=30) as client:
                assert client.recv(100) == b""
        with Raw(server) as client:
            assert client.sync() == b""
    assert caplog.text.count("internal error") == 1


def test_closing_a_listener_twice() -> None:
    async def main() -> None:
        async with Server(port=0) as server:
            server._ports._listeners[0].close()
            server._ports._listeners[0].close()

    asyncio.run(main())
