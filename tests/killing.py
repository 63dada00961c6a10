"""kill -9 of a process that works: what the trials about sudden ends have in common."""

import os
import select
import signal
from collections.abc import Callable


def live_and_die(work: Callable[[int], None], enough: Callable[[bytes], bool], grace: float) -> bytes:
    """Fork a process, and kill it some time after it has said enough.

    Args:
        work: what it does; it is given a pipe to write to, and never returns.
        enough: whether that is enough, given all that has been written to the pipe.
        grace: seconds that it goes on for.

    Returns:
        All that it wrote, to the last byte before it was killed.
    """
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(told)
        finally:
            os._exit(1)
    os.close(told)
    said = b""
    while not enough(said):
        chunk = os.read(heard, 65536)
        assert chunk, "the process ended by itself"
        said += chunk
    select.select([], [], [], grace)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0) == (child, signal.SIGKILL)
    while chunk := os.read(heard, 65536):
        said += chunk
    os.close(heard)
    return said
