"""Why a connection ended, in nats-server's words, which its monitoring and logs show; and the three words for how.

    close    in order: nothing more is read, what waits for the client is sent first
    abort    at once: what waits is thrown away
    release  afterwards: the socket is closed, and whatever was held for it is given back

A session is open while its ``closing`` is None; from then on that is the reason, and it never changes again.
"""

from __future__ import annotations

__all__ = [
    "AUTHENTICATION_EXPIRED", "AUTHENTICATION_FAILURE", "AUTHENTICATION_TIMEOUT", "BAD_PROTOCOL_VERSION", "CLIENT_CLOSED",
    "INTERNAL_ERROR", "KICKED", "MAX_ACCOUNT_CONNECTIONS", "MAX_CONNECTIONS", "MAX_CONTROL_LINE_EXCEEDED", "MAX_PAYLOAD_EXCEEDED",
    "MAX_SUBSCRIPTIONS_EXCEEDED", "NO_RESPONDERS_REQUIRES_HEADERS", "PARSE_ERROR", "PROTOCOL_VIOLATION", "READ_ERROR", "SERVER_SHUTDOWN",
    "SLOW_CONSUMER_DEADLINE", "SLOW_CONSUMER_PENDING", "STALE_CONNECTION", "TLS_HANDSHAKE_FAILURE",
]  # fmt: skip

CLIENT_CLOSED = "Client Closed"
AUTHENTICATION_EXPIRED = "Authentication Expired"
AUTHENTICATION_TIMEOUT = "Authentication Timeout"
AUTHENTICATION_FAILURE = "Authentication Failure"
SLOW_CONSUMER_PENDING = "Slow Consumer (Pending Bytes)"
SLOW_CONSUMER_DEADLINE = "Slow Consumer (Write Deadline)"
READ_ERROR = "Read Error"
PARSE_ERROR = "Parse Error"
PROTOCOL_VIOLATION = "Protocol Violation"
MAX_PAYLOAD_EXCEEDED = "Maximum Message Payload Exceeded"
MAX_CONTROL_LINE_EXCEEDED = "Maximum Control Line Exceeded"
MAX_SUBSCRIPTIONS_EXCEEDED = "Maximum Subscriptions Exceeded"
STALE_CONNECTION = "Stale Connection"
SERVER_SHUTDOWN = "Server Shutdown"
MAX_ACCOUNT_CONNECTIONS = "Maximum Account Connections Exceeded"
MAX_CONNECTIONS = "Maximum Connections Exceeded"
BAD_PROTOCOL_VERSION = "Bad Client Protocol Version"
NO_RESPONDERS_REQUIRES_HEADERS = "No Responders Requires Headers"
KICKED = "Kicked"  # somebody who runs the server wanted it so
TLS_HANDSHAKE_FAILURE = "TLS Handshake Failure"
INTERNAL_ERROR = "Internal Error"  # a bug of ours
