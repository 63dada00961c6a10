"""Checkpoint: what the index of a store knew at a clean stop, so that opening it reads the log from there on only.

    8s   b"midgeidx"        i64  floor, last sequence, time of the last message
    u32  version, 1         u32  how many segments, then of each: u64 number, i64 base, i64 end of its records, u64 bytes of its part
    u32  seed               u32  CRC-32 of all that is before; then the parts, each with a check of its own (``Index.dump``)

It is true of the beginning of the log for as long as records stay where they are: what follows is read and done on top of it. So it is
removed before a copy of a segment takes its place, and by nothing else. One that is damaged, or does not fit the segments, is not used,
and everything is read.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import NamedTuple

from midge.store.files import Files
from midge.store.index import Index
from midge.store.segment import Segment

__all__ = ["Checkpoint", "forget_checkpoint", "read_checkpoint", "write_checkpoint"]

_NAME = "index"
_MAGIC = b"midgeidx"
_HEAD = struct.Struct("<8sIIqqqI")
_ENTRY = struct.Struct("<QqqQ")
_MOST = 1 << 20  # segments


class Checkpoint(NamedTuple):
    """What is read of one: the index that was known, and number: end of each segment that it covers."""

    known: Index
    ends: dict[int, int]
    floor: int


def write_checkpoint(files: Files, path: str, index: Index, segments: list[Segment], floor: int) -> None:
    """Write one, in place of an older one; none where sequences are too far apart for it: then opening reads the files.

    Raises:
        OSError: it cannot be written; an older one may still be there.
    """
    lasts = [segment.head.base - 1 for segment in segments[1:]] + [index.last]
    if any(last - segment.head.base >> 32 > 0 for segment, last in zip(segments, lasts)):
        return
    parts = [index.dump(segment.head.base, last) for segment, last in zip(segments, lasts)]
    head = _HEAD.pack(_MAGIC, 1, segments[0].head.seed, floor, index.last, index.last_time, len(segments))
    for segment, part in zip(segments, parts):
        head += _ENTRY.pack(segment.head.number, segment.head.base, segment.end, len(part))
    temporary = f"{path}/{_NAME}.new"
    if files.exists(temporary):
        files.unlink(temporary)
    fd = files.create(temporary)
    try:
        at = 0
        for data in (head, struct.pack("<I", zlib.crc32(head)), *parts):
            files.pwrite(fd, data, at)
            at += len(data)
        files.fdatasync(fd)
    finally:
        files.close(fd)
    files.rename(temporary, f"{path}/{_NAME}")
    files.sync_directory(path)


def forget_checkpoint(files: Files, path: str) -> None:
    """Remove it, and wait until that is on disk."""
    if files.exists(f"{path}/{_NAME}"):
        files.unlink(f"{path}/{_NAME}")
        files.sync_directory(path)


def read_checkpoint(files: Files, path: str, segments: list[Segment]) -> Checkpoint | None:
    """Return what was written; None where nothing was, or it is damaged, or is not of these segments."""
    if not segments or not files.exists(f"{path}/{_NAME}"):
        return None
    fd = files.open(f"{path}/{_NAME}")
    try:
        return _read(files, fd, {segment.head.number: segment for segment in segments})
    finally:
        files.close(fd)


def _read(files: Files, fd: int, segments: dict[int, Segment]) -> Checkpoint | None:
    head = files.pread(fd, _HEAD.size, 0)
    if len(head) < _HEAD.size:
        return None
    magic, version, seed, floor, last, last_time, count = _HEAD.unpack(head)
    if magic != _MAGIC or version != 1 or count > _MOST:
        return None
    entries = files.pread(fd, count * _ENTRY.size + 4, _HEAD.size)
    body, check = entries[:-4], entries[-4:]
    if len(entries) != count * _ENTRY.size + 4 or zlib.crc32(head + body) != int.from_bytes(check, "little"):
        return None
    index, ends = Index(), {}
    at = _HEAD.size + len(entries)
    for number, base, end, size in _ENTRY.iter_unpack(body):
        segment = segments.get(number)
        if segment is None and number < min(segments):
            at += size
            continue  # dropped since then, which the log behind the checkpoint says
        if segment is None or (segment.head.seed, segment.head.base) != (seed, base) or segment.space < end:
            return None
        index.skip(base - 1, 0)
        with suppress(ValueError):
            index.restore(bytes(files.pread(fd, size, at)))
            ends[number] = end
        if number not in ends:
            return None
        at += size
    index.drop(floor)
    index.skip(last, last_time)
    return Checkpoint(index, ends, floor) if ends and (index.last, index.last_time) == (last, last_time) else None
