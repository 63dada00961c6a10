"""Lock: what keeps a second process from a store directory. It ends with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from weakref import WeakSet

from midge.errors import StoreLockedError

__all__ = ["Lock"]


class Lock:
    """The lock of a directory.

    Args:
        path: of the directory.
        pid: of this process.

    Attributes:
        before: when it was let go of the last time, in nanoseconds since the epoch; 0 for never.

    Raises:
        StoreLockedError: somebody else has it.
        OSError: it cannot be locked.
    """

    def __init__(self, path: str, pid: int) -> None:
        fd = os.open(f"{path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(fd, 20)
            os.close(fd)
            if not isinstance(error, BlockingIOError):
                raise
            raise StoreLockedError(path, int(owner) if owner.strip().isdigit() else 0) from error
        self.before = os.fstat(fd).st_mtime_ns if os.fstat(fd).st_size else 0
        with suppress(OSError):  # a full disk: who is refused is told no process then
            os.pwrite(fd, b"%-19d\n" % pid, 0)  # as long for each, so that nothing has to be cut off
        self._fd = fd
        _held.add(self)

    def touch(self) -> None:
        """Let ``before`` say now, for whoever is the next.

        Raises:
            OSError: it cannot.
        """
        os.utime(self._fd)

    def let_go(self) -> None:
        """Let others have it. In a process that was forked off: the lock is to end with the process that has it, and not with this one."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_held: WeakSet[Lock] = WeakSet()


def _forked() -> None:
    for each in list(_held):
        each.let_go()


os.register_at_fork(after_in_child=_forked)
