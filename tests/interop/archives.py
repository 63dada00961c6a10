"""Archives for the tests of snapshots: read, and made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from midge.engine.snapshots.archive import END, MAGIC, STATE, ArchiveReader, Entry, entry
from midge.wire.crc32c import Crc32c
from midge.wire.s2 import BEGIN, S2Reader, frame

DATA = Path(__file__).parents[1] / "data" / "snapshots"
NEW, OLD = "nats-server-2.15.1.arc.s2", "nats-server-2.12.4.tar.s2"


def packed(data: bytes) -> bytes:
    """Put data into S2's framing."""
    return BEGIN + b"".join(frame(Crc32c(), data[at : at + 60_000]) for at in range(0, len(data), 60_000))


def unpacked(data: bytes) -> bytes:
    reader, found = S2Reader(), []
    reader.feed(data)
    while (piece := reader.step()) is not None:
        found.append(piece)
    assert reader.is_between
    return b"".join(found)


def entries(data: bytes) -> list[Entry]:
    """Return what is in an archive."""
    reader = ArchiveReader(1 << 20)
    reader.feed(unpacked(data))
    found = []
    while (each := reader.next()) is not None:
        found.append(each)
    assert reader.is_between
    return found


def archive(*messages: Entry, state: dict[str, Any] | None = None, end: bool = True) -> bytes:
    """Make an archive of messages."""
    first, last = (messages[0].sequence, messages[-1].sequence) if messages else (0, 0)
    said = {"messages": len(messages), "bytes": 0, "first_seq": first, "last_seq": last, "consumer_count": 0} | (state or {})
    all_of_them = [Entry(STATE, 0, 0, b"", json.dumps(said).encode()), *messages, *([END] if end else [])]
    return packed(MAGIC + b"".join(entry(*each) for each in all_of_them))
