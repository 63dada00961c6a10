"""Where the bytes of an object come from: something in memory, a path, an open file, or whatever gives them piece by piece.

Files are read in a thread, many chunks at a time, so that the event loop is not held up and the way there is rarely gone.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import IO, Any, Union

__all__ = ["Source", "chunks"]

BLOCK = 1 << 20  # bytes that are read at a time

Source = Union[bytes, bytearray, memoryview, Path, IO[bytes], AsyncIterable[bytes], Iterable[bytes]]


async def chunks(source: Source, size: int) -> AsyncIterator[bytes | memoryview]:
    """Iterate over the bytes of a source in chunks of this size, the last one maybe smaller.

    Raises:
        TypeError: it is no source, or gives something else than bytes.
        OSError: a file cannot be read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        view = memoryview(source).cast("B")
        for start in range(0, len(view), size):
            yield view[start : start + size]
        return
    rest = bytearray()
    blocks = _blocks(source, max(BLOCK // size, 1) * size)
    try:
        async for block in blocks:
            if not isinstance(block, (bytes, bytearray, memoryview)):
                raise TypeError(f"an object is made of bytes, not {block!r:.80}: a file has to be open in binary mode, a text encoded")
            rest += block
            if len(rest) < size:
                continue
            view, end = memoryview(bytes(rest)), len(rest) // size * size
            for start in range(0, end, size):
                yield view[start : start + size]
            rest = bytearray(view[end:])
    finally:
        await blocks.aclose()
    if rest:
        yield bytes(rest)


async def _blocks(source: Any, size: int) -> Any:
    if isinstance(source, Path):
        with await asyncio.to_thread(source.open, "rb", 0) as file:
            while block := await asyncio.to_thread(file.read, size):
                yield block
    elif hasattr(source, "read"):
        is_async = inspect.iscoroutinefunction(source.read)
        while block := await (source.read(size) if is_async else asyncio.to_thread(source.read, size)):
            yield block
    elif isinstance(source, AsyncIterable):
        async for block in source:
            yield block
    elif isinstance(source, Iterable) and not isinstance(source, str):
        for block in source:
            yield block
            await asyncio.sleep(0)
    else:
        raise TypeError(f"an object is made of bytes, a Path, a file or what gives bytes, not {source!r:.80}; a text has to be encoded")
