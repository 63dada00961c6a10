"""Archives for the tests of snapshots: read, made, and sent to an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worlds import World

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


def taken(world: World, name: str = "S", **wanted: Any) -> tuple[bytes, bytes]:
    """Take a snapshot, acknowledging every chunk; return it, and the header of its end."""
    world.outside.listeners.append(b"box")
    token = world.outside.subscribe("A", b"box", lambda *_: True)
    start = len(world.outside.sent)
    answer = world.api(f"STREAM.SNAPSHOT.{name}", deliver_subject="box", **wanted)
    assert "error" not in answer, answer
    found, seen = [], 0
    while True:
        world.wait(0.2)
        chunks = [each for each in world.outside.sent[start:] if each[0] == b"box"][seen:]
        seen += len(chunks)
        assert chunks, "nothing comes any more"
        for _, header, payload in chunks:
            if not payload:
                world.outside.unsubscribe(token)
                world.outside.listeners.remove(b"box")
                return b"".join(found), header
            found.append(payload)
            acks = [pattern[:-1] + b"1.1" for pattern, _ in world.outside.ears.values() if pattern.startswith(b"$JS.SNAPSHOT.ACK.")]
            for ack in acks:
                world.publish(ack.decode())


def sent(world: World, data: bytes, name: str = "S", size: int = 1000, **config: Any) -> dict[str, Any]:
    """Restore a stream; return the last answer."""
    answer = world.api(f"STREAM.RESTORE.{name}", config={"name": name, "subjects": ["s.>"], "storage": "memory"} | config)
    if "error" in answer:
        return answer
    found: dict[str, Any] = {}
    for piece in [*(data[at : at + size] for at in range(0, len(data), size)), b""]:
        answers = world.ask(answer["deliver_subject"], piece)
        if piece and [payload for _, payload in answers] == [b""]:
            continue
        ((_, payload),) = answers
        found = json.loads(payload)
        break
    return found
