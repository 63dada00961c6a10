"""Work that is counted rather than timed: the same on a busy machine as on an idle one."""

import sys
from collections.abc import Callable
from types import FrameType


def calls(work: Callable[[], object]) -> int:
    """Return how many calls of functions written in Python some work takes.

    What is compiled calls unseen: loops inside it count on the leg without a compiler only, the rest on both.
    """
    count = 0

    def called(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
