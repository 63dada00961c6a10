"""What the benches share when they speak: medians, ratios with their spread, plain tables, and JSON.

A ratio is taken within one round, between measurements made one after the other, and the median of these ratios is
reported with the lowest and the highest: noise that lasts longer than a round cancels.
"""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

NAN = float("nan")


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else NAN


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of the per-round ratios."""
    each = [a / b for a, b in zip(ours, theirs, strict=False) if b]
    return {"median": median(each), "min": min(each, default=NAN), "max": max(each, default=NAN)}


def ratio_text(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"


def rate_text(rate: float) -> str:
    """A rate a person can compare: 1.42 M, 37.5 k."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if rate >= size:
            return f"{rate / size:.{2 if rate < 100 * size else 0}f} {unit}"
    return f"{rate:.0f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the first one left, the others right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def print_json(bench: str, results: Any) -> None:
    machine = {"python": platform.python_version(), "system": platform.platform(), "time": datetime.now(UTC).isoformat(timespec="seconds")}
    print(json.dumps({"bench": bench, **machine, "results": results}, indent=2))
