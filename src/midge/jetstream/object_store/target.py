"""Where the bytes of an object go: a path, which has all of it or none, or an open file. Written in a thread, many chunks at a time."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterable
from pathlib import Path
from typing import IO, Any

from midge.nuid import Nuid

__all__ = ["save"]

BLOCK = 1 << 20  # bytes that are written at a time


async def save(chunks: AsyncIterable[bytes], target: Path | IO[bytes]) -> None:
    """Write all chunks. A path gets them under its name when all are there.

    Raises:
        TypeError: it is neither a Path nor a file.
        OSError: it cannot be written.
    """
    if not isinstance(target, Path):
        if not hasattr(target, "write"):
            raise TypeError(f"an object goes to a Path or a file that is open in binary mode, not to {target!r}")
        return await _write(chunks, target)
    part = target.parent / f".{Nuid().next()}.part"  # made as any other file is: who may read it, the umask says
    try:
        with part.open("xb", 0) as file:
            await _write(chunks, file)
        await asyncio.to_thread(os.replace, part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


async def _write(chunks: AsyncIterable[bytes], file: Any) -> None:
    is_async = inspect.iscoroutinefunction(file.write)
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= BLOCK:
            await (file.write(b"".join(held)) if is_async else asyncio.to_thread(_write_all, file, held))
            held, size = [], 0
    if held:
        await (file.write(b"".join(held)) if is_async else asyncio.to_thread(_write_all, file, held))


def _write_all(file: IO[bytes], chunks: list[bytes]) -> None:
    """Write all of them: what is not buffered may take only a part."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            written = file.write(view)
            view = view[len(view) if written is None else written :]
