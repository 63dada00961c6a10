"""What the benches share when they speak: medians, ratios with their spread, plain tables, and JSON.

Rivals take turns, each round beginning with the next of them. A ratio is taken within one round, between measurements
made one after the other, and the median of these ratios is reported with the lowest and the highest: noise that lasts
longer than a round cancels.
"""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")
NAN = float("nan")


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else NAN


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of the per-round ratios."""
    each = [a / b for a, b in zip(ours, theirs, strict=False) if b]
    return {"median": median(each), "min": min(each, default=NAN), "max": max(each, default=NAN)}


def against(rounds: Mapping[str, Sequence[float]], ours: str = "midge") -> dict[str, dict[str, float]]:
    """The ratios of ours to each rival; none where ours was not measured."""
    return {name: ratios(rounds[ours], values) for name, values in rounds.items() if name != ours} if ours in rounds else {}


def turns(rivals: Iterable[T], rounds: int) -> Iterator[list[T]]:
    """The order of each round: everybody once, and everybody first in turn."""
    order = list(rivals)
    for number in range(rounds):
        start = number % len(order)
        yield order[start:] + order[:start]


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
