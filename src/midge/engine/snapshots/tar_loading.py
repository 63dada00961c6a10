"""Tar loading: a draft filled from the archive that nats-server made before 2.15: the files of its store, in a tar.

    meta.inf, meta.sum              the configuration
    msgs/<number>.blk               the messages, in order, with some that are not there any more
    msgs/index.db                   which ones are
    obs/<consumer>/meta.inf, o.dat  consumers

What the messages' files say is taken as it comes, and what the index says at the end: what was removed then goes again. Without an index
the records of what was removed have to do, as with nats-server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from midge.engine.snapshots.block_index import BlockIndex, BlockState, read_index
from midge.engine.snapshots.draft import Draft
from midge.engine.snapshots.kept import read_files
from midge.engine.snapshots.message_block import BlockReader, Record
from midge.engine.snapshots.tar import TarPart, TarReader
from midge.model.base import time_of

__all__ = ["TarLoading"]

SLICE = 64  # records or sequences that are seen to in one call
MAX_META: Final = 1 << 20  # bytes of a file that is kept in memory
MAX_INDEX: Final = 64 << 20
_BLOCK = re.compile(r"msgs/[0-9]+\.blk")
_CONSUMER = re.compile(r"obs/([^/]+)/(meta\.inf|o\.dat)")


class TarLoading:
    """The files of an archive as nats-server made them before 2.15.

    Args:
        draft: gets the messages.
    """

    __slots__ = ("_block", "_consumers", "_draft", "_end", "_file", "_has_meta", "_index", "_is_whole", "_reader")

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._reader = TarReader()
        self._block: BlockReader | None = None
        self._file = bytearray()
        self._index: bytes | None = None
        self._consumers: dict[str, dict[str, bytes]] = {}
        self._has_meta = self._is_whole = False
        self._end: Iterator[None] | None = None

    def feed(self, data: bytes) -> None:
        self._reader.feed(data)

    def step(self) -> bool:
        if self._block is not None and self._takes_records(self._block):
            return True
        if self._end is None and self._reader.has_ended:
            self._end = self._ending()
        if self._end is not None:
            return next(self._end, self) is None
        part = self._reader.next()
        if part is None:
            return self._reader.has_ended
        if _BLOCK.fullmatch(part.name):
            self._take_block(part)
        else:
            self._take_file(part)
        return True

    def finish(self) -> None:
        if not self._is_whole:
            raise ValueError("unexpected EOF")

    # Files

    def _take_block(self, part: TarPart) -> None:
        if self._block is None:
            self._block = BlockReader()
            if not self._has_meta:
                raise ValueError("there are messages before meta.inf")
        self._block.feed(part.data)
        while part.last and self._takes_records(self._block):  # what is left of a piece, and no more
            continue
        if part.last:
            if not self._block.is_between:
                raise ValueError("a message block was cut off")
            self._block = None

    def _takes_records(self, block: BlockReader) -> bool:
        for _ in range(SLICE):
            record = block.next()
            if record is None:
                return False
            self._take_record(record)
        return True

    def _take_record(self, record: Record) -> None:
        draft, last = self._draft, self._draft.stream.store.last
        if record.removed and record.sequence <= last:
            draft.remove(record.sequence)
        elif record.erased or record.removed:
            draft.skip(record.sequence, record.time)
        elif record.sequence > last:  # another one of an old sequence was written anew elsewhere
            draft.put(record.sequence, record.time, record.subject, record.header, record.payload)

    def _take_file(self, part: TarPart) -> None:
        """Keep a file that something is done with, until all of it is here."""
        consumer = _CONSUMER.fullmatch(part.name)
        if not consumer and part.name not in ("meta.inf", "msgs/index.db"):
            return
        self._file += part.data
        if len(self._file) > (MAX_INDEX if part.name == "msgs/index.db" else MAX_META):
            raise ValueError(f"{part.name} is too long")
        if not part.last:
            return
        data, self._file = bytes(self._file), bytearray()
        if consumer:
            self._consumers.setdefault(consumer[1], {})[consumer[2]] = data
            if "meta.inf" in self._consumers[consumer[1]] and "o.dat" in self._consumers[consumer[1]]:
                files = self._consumers.pop(consumer[1])
                self._draft.add_consumer(consumer[1], read_files(consumer[1], files["meta.inf"], files["o.dat"]))
        elif part.name == "meta.inf":
            self._take_meta(data)
        else:
            self._index = data

    def _take_meta(self, data: bytes) -> None:
        try:
            meta = msgspec.json.decode(data)
        except msgspec.MsgspecError as error:
            raise ValueError(f"meta.inf: {error}") from error
        stream = self._draft.stream
        if not isinstance(meta, dict) or meta.get("name") != stream.name:
            raise ValueError("stream names do not match")
        if isinstance(meta.get("Created"), str):
            stream.created = max(time_of(meta["Created"]), 0)
        self._has_meta = True

    # The end

    def _ending(self) -> Iterator[None]:
        """Let be removed what the index says, a slice at a time."""
        if not self._has_meta:
            raise ValueError("there is no meta.inf")
        if self._consumers:
            raise ValueError(f"error restoring consumer [{next(iter(self._consumers))!r}]: a file of it is missing")
        if self._index is not None:
            for index in read_index(self._index):
                if index is not None:
                    yield from self._apply(index)
                yield None
        self._is_whole = True

    def _apply(self, index: BlockIndex) -> Iterator[None]:
        draft = self._draft
        store, last = draft.stream.store, 0
        for block in index.blocks:
            yield from self._remove_between(last + 1, block.first - 1)
            yield from self._remove(block)
            last = max(last, block.last)
        yield from self._remove_between(last + 1, store.last)
        draft.drop(index.first)
        if index.last > store.last:
            draft.skip(index.last, index.last_time)

    def _remove_between(self, first: int, last: int) -> Iterator[None]:
        """Remove what lies where no file has anything."""
        store, count = self._draft.stream.store, 0
        sequence = store.next((), max(first, 1))
        while 0 < sequence <= last:
            self._draft.remove(sequence)
            count += 1
            if count % SLICE == 0:
                yield None
            sequence = store.next((), sequence + 1)

    def _remove(self, block: BlockState) -> Iterator[None]:
        for count, sequence in enumerate(block.sequences()):
            if block.first <= sequence <= block.last:
                self._draft.remove(sequence)
            if count % SLICE == SLICE - 1:
                yield None
