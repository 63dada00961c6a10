"""How a connection becomes a WebSocket (RFC 6455, section 4): what both sides' parts have in common.

The client's part is in ``client_upgrade``, the server's in ``server_upgrade``. An upgrade is told what comes until it knows where the head
of the HTTP message ends; from there on the bytes are frames. It takes 16 KiB of head at most.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["MAX_HEAD", "Upgrade", "readable", "take_head"]

MAX_HEAD = 16384
_REASON_SIZE = 200


class Upgrade(Protocol):
    """One side's part.

    Attributes:
        masks: frames sent from this side are masked: it is the client's.
        peer_masks: the peer's frames must be masked, as a client's are; known when the upgrade is done.
        answer: what to send when ``receive`` has returned, or has raised.
        window_bits: the windows for what this side deflates and inflates, None where messages are not deflated.
        frame_size: bytes of payload that a frame to the peer may hold; 0 for the largest that we make.
    """

    masks: bool
    peer_masks: bool
    answer: bytes
    window_bits: tuple[int, int] | None
    frame_size: int

    def begin(self) -> bytes:
        """Return what is to be sent first."""

    def receive(self, chunk: bytearray, size: int) -> int:
        """Take chunk[:size]; return how much of it belongs to the upgrade, which is done then, or -1 if more is to come.

        Raises:
            UpgradeError: there will be no WebSocket.
        """


def take_head(head: bytearray, chunk: bytearray, size: int) -> int:
    """Take as much of chunk[:size] as belongs to the head of the HTTP message; return how much, or -1 if that is not all of it.

    At most MAX_HEAD bytes are taken in all. A line ends with LF, with or without CR before it, as Go's servers take it.
    """
    before = len(head)
    head += memoryview(chunk)[: min(size, MAX_HEAD - before)]
    at = max(0, before - 3)
    ends = [found + len(blank) for blank in (b"\n\r\n", b"\n\n") if (found := head.find(blank, at)) >= 0]
    if not ends:
        return -1
    end = min(ends)
    del head[end:]
    return end - before


def readable(reason: bytes) -> str:
    """Return a reason as it may be shown: it is the peer's."""
    return "".join(character if character.isprintable() else "?" for character in reason[:_REASON_SIZE].decode("latin-1"))
