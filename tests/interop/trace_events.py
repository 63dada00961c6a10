"""What a server tells of a traced message, levelled: without what must differ between two servers, and between two runs of one.

That is who the server is, when things happened, the numbers of connections, the random parts of reply subjects, and in which order those
get a message who are subscribed to it. A trace comes as it is or in an encoding that its message asked for.
"""

import gzip
import json
import re
from typing import Any

__all__ = ["is_trace", "level_trace", "unframe"]

TRACE = re.compile(rb'\{"server":\{"name":')
SERVER = {"name", "host", "id", "ver", "jetstream", "flags", "seq", "time"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
RANDOM = re.compile(r"_R_\.\w{6}\.\w{6}")


def is_trace(body: bytes) -> bool:
    """True if a message, of which this is what follows its line, tells of a trace."""
    return body.startswith(b'{"server":{"name":') or body.startswith(b"NATS/1.0\r\nContent-Encoding: ")


def level_trace(frame: bytes) -> bytes:
    """The frame of such a message without what must differ; the order of fields counts."""
    line, _, body = frame.partition(b"\r\n")
    words = line.split()
    header, payload = b"", body[:-2]
    if words[0] == b"HMSG":
        header, payload = payload[: int(words[-2])], payload[int(words[-2]) :]
        payload = decode(header, payload)
        words = words[:-2]
    else:
        words = words[:-1]
    found = json.loads(payload)
    assert found["server"].keys() >= SERVER and found["server"].keys() <= SERVER | {"feature_flags"}
    found["server"] = [name for name in found["server"] if name != "feature_flags"]
    for event in found["events"]:
        assert TIME.fullmatch(event["ts"]), event
        event["ts"] = "time"
        if "cid" in event:
            event["cid"] = type(event["cid"]).__name__
    found["events"] = sorted_egress(found["events"])
    text = RANDOM.sub("_R_.random", json.dumps(found, ensure_ascii=False))
    return b" ".join(words) + b"\r\n" + header + text.encode("utf-8", "backslashreplace")


def sorted_egress(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with what they say of receivers in order: each is one event, or two where the message has gone through an export."""
    kept: list[list[dict[str, Any]]] = []
    receivers: list[list[dict[str, Any]]] = []
    for event in events:
        if event["type"] == "se" or (event["type"] == "eg" and not (receivers and receivers[-1][-1]["type"] == "se" and "acc" in event)):
            receivers.append([event])
        elif event["type"] == "eg":
            receivers[-1].append(event)
        else:
            kept.append([event])
    return [event for part in [*kept, *sorted(receivers, key=json.dumps)] for event in part]


def decode(header: bytes, payload: bytes) -> bytes:
    """A payload as it was before it was encoded."""
    encoding = header.partition(b"Content-Encoding: ")[2].partition(b"\r\n")[0]
    if encoding == b"gzip":
        return gzip.decompress(payload)
    return unframe(payload) if encoding == b"snappy" else payload


def unframe(stream: bytes) -> bytes:
    """What is in a stream of Snappy's framing format. Checksums are not looked at."""
    assert stream.startswith(b"\xff\x06\x00\x00sNaPpY")
    data, at = b"", 10
    while at < len(stream):
        size = int.from_bytes(stream[at + 1 : at + 4], "little")
        piece = stream[at + 8 : at + 4 + size]
        data += {0: decompressed, 1: bytes}[stream[at]](piece)
        at += 4 + size
    return data


def decompressed(piece: bytes) -> bytes:
    """One block of Snappy's format, decompressed."""
    at = 0
    while piece[at] & 0x80:  # how long it will be
        at += 1
    at += 1
    found = bytearray()
    while at < len(piece):
        tag = piece[at]
        kind, value = tag & 3, tag >> 2
        at += 1
        if kind == 0:
            if value >= 60:
                extra = value - 59
                value = int.from_bytes(piece[at : at + extra], "little")
                at += extra
            found += piece[at : at + value + 1]
            at += value + 1
            continue
        if kind == 1:
            size, distance = (value & 7) + 4, (value >> 3) << 8 | piece[at]
        else:
            size, distance = value + 1, int.from_bytes(piece[at : at + 2 * kind - 2], "little")
        at += (1, 2, 4)[kind - 1]
        for _ in range(size):
            found.append(found[-distance])
    return bytes(found)
