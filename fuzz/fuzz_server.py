"""Fuzzes the pure server: two hostile clients, whose streams come in pieces by turns, and a healthy pair that must not notice.

See mutator.py for how to run it.
"""

import logging
import sys
from random import Random

from mutator import SEEDS, cut, run

from midge.server.hub import Hub
from midge.server.options import ServerOptions
from midge.server.session import Session

OPTIONS = ServerOptions(max_payload=4096, max_control_line=256, max_pending=100_000, max_subscriptions=100)
SECRET = b"healthy.0ea1f4"  # no hostile client publishes there but by chance
HELLO = b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'
KEPT = OPTIONS.max_payload + OPTIONS.max_control_line + 64


def new_session(hub: Hub, peer: str, hello: bytes) -> Session:
    """A client that has been greeted and has said hello."""
    session = hub.admission.connect(peer, 0.0, 0.5)
    session.start()
    session.receive_data(hello, 0.0)
    session.data_to_send()
    return session


def fuzz_server(data: bytes) -> None:
    """Feed the stream to two clients of a new server, and let the healthy pair talk after every piece."""
    random = Random(data)
    hub = Hub(OPTIONS, "FUZZ", 1)
    hears = new_session(hub, "127.0.0.1:1", HELLO + b"SUB " + SECRET + b" 1\r\n")
    talks = new_session(hub, "127.0.0.1:2", HELLO)
    hostile = [new_session(hub, f"127.0.0.1:{port}", random.choice((b"", SEEDS[0]))) for port in (3, 4)]
    for number, piece in enumerate(cut(data, random)):
        session = random.choice(hostile)
        done = session.receive_data(piece, float(number))
        while not done:
            done = hub.proceed(session, float(number))
        hub.flush()
        talks.receive_data(b"PUB %b 2\r\nhi\r\nPING\r\n" % SECRET, float(number))
        hub.flush()
        assert hears.data_to_send() == b"MSG %b 1 2\r\nhi\r\n" % SECRET, "the healthy pair noticed"
        assert talks.data_to_send().startswith(b"PONG\r\n") and talks.closing is None and hears.closing is None
        for one in hostile:
            assert len(one.parser.buf) <= KEPT, "too much is held"
            assert len(one.outbox) <= OPTIONS.max_pending + KEPT, "too much waits"
            assert len(one.subs) <= OPTIONS.max_subscriptions and (one.closing is None or not one.subs)
            deadline = one.next_deadline()
            if deadline is not None and random.random() < 0.1:
                one.handle_timeout(deadline)
            if random.random() < 0.8:
                one.data_to_send()
        assert hub.account.sublist.count == 1 + sum(len(one.subs) for one in hostile)
    for one in hostile:
        one.receive_eof()
    assert hub.account.sublist.count == 1 and set(hub.sessions) == {hears.cid, talks.cid}


if __name__ == "__main__":
    logging.getLogger("midge.server").setLevel(logging.CRITICAL)
    run(fuzz_server, sys.argv[1:])
