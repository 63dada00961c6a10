"""What ``midge --version`` says: the version, and whether the per-message path is compiled.

The same words open the log of ``midge serve``, so that a slow server shows its cause.
"""

from __future__ import annotations

import midge

__all__ = ["banner"]


def banner() -> str:
    """Return ``midge 0.1.0 (compiled)``, or ``(pure Python)``."""
    return f"midge {midge.__version__} ({'compiled' if midge.compiled else 'pure Python'})"
