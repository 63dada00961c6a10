"""What ``midge --version`` says: the version, and whether the per-message path is compiled.

The same words open the log of ``midge serve``. Where it is not compiled, everything whose speed somebody may look at says in one
line that this is why, and what to do about it.
"""

from __future__ import annotations

import midge

__all__ = ["NOT_COMPILED", "banner"]

NOT_COMPILED = "not compiled, hence slow: install with a C compiler and MIDGE_EXT=require"


def banner() -> str:
    """Return ``midge 0.1.0 (compiled)``, or ``(pure Python)``."""
    return f"midge {midge.__version__} ({'compiled' if midge.compiled else 'pure Python'})"
