"""Where the frames of an outbox end: after a connection is lost, what was half sent must not be sent again, and the rest not be lost."""

from __future__ import annotations

from midge.wire.octets import HPUB, NEED_DATA, PUB
from midge.wire.outbox import Outbox
from midge.wire.parser import Parser

__all__ = ["publishes_left"]

_NO_LIMIT = 1 << 40


def publishes_left(outbox: Outbox) -> list[bytes]:
    """Return the PUB and HPUB frames of a client's outbox of which not a byte has been sent, in order.

    Every block of an outbox begins with a whole frame and what is sent of the first block is still there, so its frames can be found
    by parsing it from its beginning; nobody has to note where they end while they are written. Every other operation
    belongs to the connection that is gone.
    """
    start = outbox.start
    found: list[bytes] = []
    for block, fill in outbox.blocks():
        parser = Parser(True, _NO_LIMIT, _NO_LIMIT)
        parser.receive(block, fill)
        at = 0
        while (op := parser.next()) != NEED_DATA:
            if at >= start and op in (PUB, HPUB):
                found.append(bytes(block[at : parser.end]))
            at = parser.end
        start = 0
    return found
