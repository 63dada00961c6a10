"""The backup of a stream as a directory, the same that the ``nats`` command writes and reads.

In it are ``backup.json``, with the configuration and what the stream held, and the server's archive: ``stream.arc.s2`` of nats-server
2.15 and midge, ``stream.tar.s2`` of earlier ones. The files are there under these names only when all of the backup is.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from midge.cli.answers import stream_answer
from midge.cli.jetstream import Api
from midge.cli.render import Advance
from midge.errors import MidgeError
from midge.jetstream.restoring import restore
from midge.jetstream.snapshot import CHUNK_SIZE, Snapshot

__all__ = ["Backup", "read_backup", "refuse_full", "restore_backup", "write_backup"]

_META, _ARCHIVE, _TAR = "backup.json", "stream.arc.s2", "stream.tar.s2"
_MAGIC = b"NATSARC1"


class Backup(NamedTuple):
    """What a directory holds.

    Attributes:
        config, state: of the stream, as the server's JSON.
        path: of the archive.
    """

    config: dict[str, Any]
    state: dict[str, Any]
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size


async def write_backup(
    api: Api, stream: str, directory: Path, shown: Callable[[int], AbstractContextManager[Advance]], *, consumers: bool, check: bool
) -> dict[str, Any]:  # fmt: skip
    """Write a stream to a directory, which is made; return what to say of it, as JSON.

    Args:
        shown: gives what shows the progress of so many bytes.

    Raises:
        MidgeError: it cannot be read, or there is a backup in the directory already.
        OSError: it cannot be written.
    """
    refuse_full(directory)
    async with Snapshot(api.requests, stream, consumers=consumers, check=check) as snapshot:
        meta = stream_answer(snapshot.answer)
        directory.mkdir(parents=True, exist_ok=True)
        with shown(snapshot.state.bytes) as advance:
            size, name = await _write(snapshot, directory, advance)
    part = directory / f"{_META}.part"
    part.write_bytes(json.dumps(meta, indent=2).encode())
    part.replace(directory / _META)
    return {"stream": stream, "directory": str(directory), "file": name, "bytes": size, "state": meta["state"]}


def refuse_full(directory: Path) -> None:
    """Return if there is no backup in a directory.

    Raises:
        MidgeError: there is one.
    """
    for name in (_META, _ARCHIVE, _TAR):
        if (directory / name).exists():
            raise MidgeError(f"{directory} holds a backup already")


def read_backup(directory: Path) -> Backup:
    """Return what a directory holds.

    Raises:
        MidgeError: that is no backup.
        OSError: it cannot be read.
    """
    try:
        meta = json.loads((directory / _META).read_bytes())
    except (ValueError, RecursionError) as error:
        raise MidgeError(f"{directory / _META} is damaged: {error}") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("config"), dict) or not isinstance(meta.get("state"), dict):
        raise MidgeError(f"{directory / _META} does not describe a stream")
    found = [directory / name for name in (_ARCHIVE, _TAR) if (directory / name).exists()]
    if len(found) != 1:
        raise MidgeError(f"{directory} holds {'both archives' if found else 'no archive'}, {_ARCHIVE} and {_TAR}")
    return Backup(meta["config"], meta["state"], found[0])


async def restore_backup(api: Api, backup: Backup, config: dict[str, Any], advance: Advance) -> dict[str, Any]:
    """Bring a stream back with a configuration; return the server's answer, which describes it.

    Raises:
        MidgeError: it was refused.
        OSError: the archive cannot be read.
    """
    with backup.path.open("rb") as file:
        return stream_answer(await restore(api.requests, _read(file, advance), config, backup.state))


async def _read(file: BinaryIO, advance: Advance) -> AsyncIterator[bytes]:
    """Iterate over what a file holds."""
    while chunk := await asyncio.to_thread(file.read, CHUNK_SIZE):
        yield chunk
        advance(len(chunk))


async def _write(snapshot: Snapshot, directory: Path, advance: Advance) -> tuple[int, str]:
    """Write the archive; return its size and name."""
    part = directory / f"{_ARCHIVE}.part"
    size, first = 0, b""
    try:
        with part.open("wb") as file:
            async for chunk in snapshot:
                first = first or chunk
                await asyncio.to_thread(file.write, chunk)
                size += len(chunk)
                advance(len(chunk))
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        name = _ARCHIVE if _is_archive(first) else _TAR
        part.replace(directory / name)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return size, name


def _is_archive(first: bytes) -> bool:
    """True if a snapshot begins as those of nats-server 2.15, and not as a tar: the files of the two have different names."""
    return _MAGIC in first[:64]
