"""Files: the calls by which the store reaches the disk. All of them, so that a test may put others in their place.

A test's may fail at any of them, or write down what was written and what was synced, to replay what a power cut would have left. None
of these calls decides anything. Each raises OSError where the system does.
"""

from __future__ import annotations

import errno
import fcntl
import os

__all__ = ["Files"]

_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)
_FULL_SYNC: int = getattr(fcntl, "F_FULLFSYNC", 0)  # macOS, where fsync leaves the data in the disk's cache
_MODE = 0o600
_NOT_HERE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV)


class Files:
    """The operating system's calls."""

    def create(self, path: str) -> int:
        """Make a file, which must not be there yet, and open it for writing and reading."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)

    def open(self, path: str) -> int:
        """Open a file for writing and reading."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        """Return the bytes of a file."""
        return os.fstat(fd).st_size

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of data at an offset."""
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                with view[done:] as rest:
                    done += os.pwrite(fd, rest, offset + done)

    def pread(self, fd: int, size: int, offset: int) -> bytearray:
        """Return up to size bytes from an offset; fewer only where the file ends."""
        buf = bytearray(size)
        done = 0
        with memoryview(buf) as view:
            while done < size:
                with view[done:] as rest:
                    count = os.preadv(fd, [rest], offset + done)
                if count == 0:
                    break
                done += count
        del buf[done:]
        return buf

    def pread_cached(self, fd: int, size: int, offset: int) -> bytearray | None:
        """Return bytes as ``pread`` does, or None where the system would have to wait for the disk, or cannot tell."""
        if not _NOWAIT:
            return None
        buf = bytearray(size)
        try:
            done = os.preadv(fd, [buf], offset, _NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _NOT_HERE:
                return None
            raise
        del buf[done:]
        return buf

    def fdatasync(self, fd: int) -> None:
        """Wait until what was written to a file is on disk."""
        if _FULL_SYNC:
            fcntl.fcntl(fd, _FULL_SYNC)
        elif hasattr(os, "fdatasync"):
            os.fdatasync(fd)
        else:
            os.fsync(fd)

    def fallocate(self, fd: int, offset: int, size: int) -> None:
        """Set space aside; a file system that cannot is no error, as writing will tell."""
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(fd, offset, size)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync_directory(self, path: str) -> None:
        """Wait until it is on disk which names a directory has."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def make_directory(self, path: str) -> None:
        """Make a directory, which may be there already."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory; of one that somebody has moved and left a link to, the link."""
        if os.path.islink(path):
            os.unlink(path)
        else:
            os.rmdir(path)

    def names(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        return sorted(os.listdir(path))

    def exists(self, path: str) -> bool:
        return os.path.exists(path)
