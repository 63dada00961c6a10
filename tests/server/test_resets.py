"""Many clients that are reset at once, while there is something to send to all of them."""

import logging
import threading

import pytest
from raw import Raw, ask, until

from midge.server.server import Server

COUNT = 300


def test_hundreds_of_resets_in_one_turn(caplog: pytest.LogCaptureFixture) -> None:
    """Each is found while the message is sent, none inside another's: nested they are too deep for Python, and hold up everybody."""
    caplog.set_level(logging.INFO, "midge.server")
    with Server(port=0) as server, Raw(server) as publisher, Raw(server) as quiet:
        quiet.sync(b"SUB b 2\r\n")
        clients = [Raw(server) for _ in range(COUNT)]
        for client in clients:
            client.sync(b"SUB a 1\r\n")
        records = len(caplog.records)
        may_go_on = threading.Event()
        assert server._loop is not None
        server._loop.call_soon_threadsafe(may_go_on.wait)
        publisher.send(b"PUB a 5\r\nhello\r\nPUB b 3\r\nbye\r\n")
        for client in clients:
            client.reset()
        may_go_on.set()
        assert quiet.line() == b"MSG b 2 3" and quiet.line() == b"bye" and quiet.sync() == b""
        until(server, lambda: len(server.hub.sessions) == 2)
        assert ask(server, lambda: (server.hub.account.sublist.count, len(server._connections))) == (1, 2)
        assert len(caplog.records) - records <= COUNT, "one line for each at most"
