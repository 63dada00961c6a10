"""The verbs that each role of a parser knows, in the order of nats-server's parser: (verb, operation, an argument must follow a blank)."""

from __future__ import annotations

from midge.wire.octets import CONNECT, ERR, HMSG, HPUB, INFO, MSG, OK, PING, PONG, PUB, SUB, UNSUB

__all__ = ["CLIENT_VERBS", "LONGEST_VERB", "SERVER_VERBS"]

# What clients send to a server.
SERVER_VERBS = (
    (b"PUB", PUB, True),
    (b"HPUB", HPUB, True),
    (b"HMSG", HMSG, True),  # nats-server reads one from a client too: whatever its arguments, without a payload
    (b"SUB", SUB, True),
    (b"UNSUB", UNSUB, True),
    (b"PING", PING, False),
    (b"PONG", PONG, False),
    (b"CONNECT", CONNECT, False),
    (b"INFO", INFO, False),
    (b"+OK", OK, False),
    (b"-ERR", ERR, True),
)
# What a server sends to clients.
CLIENT_VERBS = (
    (b"MSG", MSG, True),
    (b"HMSG", HMSG, True),
    (b"PING", PING, False),
    (b"PONG", PONG, False),
    (b"INFO", INFO, False),
    (b"+OK", OK, False),
    (b"-ERR", ERR, True),
)
LONGEST_VERB = 7
