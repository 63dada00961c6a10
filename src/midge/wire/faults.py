"""Faults: how a peer can break the protocol, in nats-server's words; those that it is told, and those that are logged.

Each function makes the error; the parser raises it.
"""

from __future__ import annotations

from midge.errors import RemoteProtocolError
from midge.wire.octets import HMSG, HPUB, MSG, PUB

__all__ = [
    "ANSWER_AUTHORIZATION", "ANSWER_CONTROL_LINE", "ANSWER_MAX_PAYLOAD", "ANSWER_UNKNOWN",
    "bad_arguments", "long_line", "too_large", "unknown",
]  # fmt: skip

ANSWER_UNKNOWN = "Unknown Protocol Operation"
ANSWER_MAX_PAYLOAD = "Maximum Payload Violation"
ANSWER_AUTHORIZATION = "Authorization Violation"
ANSWER_CONTROL_LINE = "maximum control line exceeded"
_SNIPPET = 32
_FUNCTIONS = {PUB: "processPub", HPUB: "processHeaderPub", MSG: "processMsg", HMSG: "processHeaderMsg"}


def unknown(buf: bytearray, pos: int, stop: int) -> RemoteProtocolError:
    """No operation has this byte here."""
    snippet = bytes(buf[pos : min(max(stop, pos + 1), pos + _SNIPPET)])
    return RemoteProtocolError(f"parser ERROR, i={pos}: proto='{snippet!r}...'", ANSWER_UNKNOWN)


def long_line(argument: bytes, size: int, limit: int) -> RemoteProtocolError:
    """An argument is longer than a line may be. It may begin with a password: see who logs it.

    Args:
        argument: at least how it begins.
        size: how many bytes it has.
    """
    snippet = argument[:_SNIPPET]
    return RemoteProtocolError(
        f"{ANSWER_CONTROL_LINE}: max_control_line {limit}, line of {size} bytes (snip: {snippet!r}...)", ANSWER_CONTROL_LINE
    )


def bad_arguments(op: int, what: str, argument: bytes) -> RemoteProtocolError:
    """The line of a publish or a message is wrong."""
    return RemoteProtocolError(f"{_FUNCTIONS[op]} {what}: {argument!r}")


def too_large(size: int, limit: int) -> RemoteProtocolError:
    """Header and payload together are larger than they may be."""
    return RemoteProtocolError(f"maximum payload exceeded: {size} vs {limit}", ANSWER_MAX_PAYLOAD)
