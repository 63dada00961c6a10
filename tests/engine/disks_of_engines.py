"""Engines whose streams are in files, and the disk below them."""

import errno
import os
from pathlib import Path

from worlds import START, World

from midge.store.directory import StoreDirectory
from midge.store.files import Files

__all__ = ["Disk", "closed", "opened"]


class Disk(Files):
    """A disk that can be full."""

    full = False

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().pwrite(fd, data, offset)


def opened(path: Path, disk: Files | None = None, wall: int = START) -> World:
    """An engine over what is in a directory, at a time."""
    return World(StoreDirectory(str(path), wake=lambda: None, workers=0, files=disk), wall=wall)


def closed(world: World) -> None:
    """Stop as a server does."""
    world.engine.close()
    world.directory.close()
