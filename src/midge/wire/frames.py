"""Where the frames of an outbox end: after a connection is lost, what was half sent must not be sent again, and the rest not be lost;
a connection that is given up finishes what it has begun.

Every block of an outbox begins with a whole frame and what is sent of the first block is still there, so its frames are found by
parsing it from its beginning; nobody has to note where they end while they are written.
"""

from __future__ import annotations

from collections.abc import Iterator

from midge.wire.octets import HPUB, NEED_DATA, PING, PUB
from midge.wire.outbox import Outbox
from midge.wire.parser import Parser

__all__ = ["drop_oldest", "frames_begun", "half_sent", "payload_size", "pings_left", "publishes_left"]

_NO_LIMIT = 1 << 40


def publishes_left(outbox: Outbox, begun: int = 0) -> list[bytes]:
    """Return the PUB and HPUB frames of a client's outbox of which not a byte has been sent, in order.

    Every other operation belongs to the connection that is gone. Of what waits, so many bytes count as sent (``Link.begun``).
    """
    return [frame for op, frame in _frames_left(outbox, begun) if op in (PUB, HPUB)]


def pings_left(outbox: Outbox, begun: int) -> int:
    """Return how many PINGs of a client's outbox have not begun to be sent."""
    return sum(op == PING for op, _ in _frames_left(outbox, begun))


def frames_begun(outbox: Outbox, begun: int) -> int:
    """Return how many bytes of what waits belong to frames that have begun to be sent: the rest of one, or more where a link says so."""
    to = outbox.start + begun
    before = 0
    for block, fill in outbox.blocks():
        if before < to < before + fill:
            end = next(end for _, _, end in _frames(block, fill) if before + end >= to)
            return before + end - outbox.start
        before += fill
    return begun


def half_sent(outbox: Outbox) -> int:
    """Return how many publishes have been sent in part: one, or none."""
    block, fill = outbox.blocks()[0]
    start = outbox.start
    return sum(at < start < end and op in (PUB, HPUB) for op, at, end in _frames(block, fill))


def drop_oldest(outbox: Outbox, size: int) -> int:
    """Forget the first frames of an outbox of publishes, size bytes at least. Return how many; none of them may be half sent."""
    dropped = gone = 0
    while gone < size and len(outbox):
        block, fill = outbox.blocks()[0]
        left = block[outbox.start : fill]  # what was dropped before need not be parsed again and again
        to = 0
        for _, at, end in _frames(left, len(left)):
            dropped += 1
            gone += end - at
            to = end
            if gone >= size:
                break
        outbox.advance(to)
    return dropped


def payload_size(frame: bytes) -> int:
    """Return how many bytes of header and payload a PUB or HPUB frame has."""
    return int(frame[: frame.index(b"\r")].rsplit(b" ", 1)[1])


def _frames_left(outbox: Outbox, begun: int) -> Iterator[tuple[int, bytes]]:
    """Give (operation, frame) of each frame of which not a byte has been sent."""
    start = outbox.start + begun
    for block, fill in outbox.blocks():
        if start < fill:
            yield from ((op, bytes(block[at:end])) for op, at, end in _frames(block, fill) if at >= start)
        start = max(0, start - fill)


def _frames(block: bytearray, fill: int) -> Iterator[tuple[int, int, int]]:
    """Give (operation, start, end) of each frame in a block."""
    parser = Parser(True, _NO_LIMIT, _NO_LIMIT)
    parser.receive(block, fill)
    at = 0
    while (op := parser.next()) != NEED_DATA:
        yield op, at, parser.end
        at = parser.end
