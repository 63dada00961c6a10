"""Snapshots taken of an engine, and restored by it, for tests."""

from __future__ import annotations

import json
from typing import Any

from worlds import World

__all__ = ["sent", "taken"]


def taken(world: World, name: str = "S", **wanted: Any) -> tuple[bytes, bytes]:
    """Take a snapshot, acknowledging every chunk; return it, and the header of its end."""
    world.outside.bind("box")
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
                world.outside.bind("box", gone=True)
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
