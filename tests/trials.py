"""How often what is random is tried: a few times in every run, ten thousand times with ``MIDGE_LONG=1``, N times with ``MIDGE_LONG=N``."""

import os

LONG = int(os.environ.get("MIDGE_LONG") or 0) > 0


def trials(short: int, long: int = 10_000) -> int:
    """Return how often to try.

    Args:
        short: in every run.
        long: with ``MIDGE_LONG=1``.
    """
    wanted = int(os.environ.get("MIDGE_LONG") or 0)
    return short if wanted == 0 else long if wanted == 1 else wanted
