"""Make midge/jetstream_errors.py from nats-server's own table: ``python tests/jetstream_errors_table.py`` writes it."""

import json
from pathlib import Path

TABLE = Path(__file__).parent / "data" / "jetstream_errors.json"
MODULE = Path(__file__).parents[1] / "src" / "midge" / "jetstream_errors.py"
HEAD = '''\
"""Every error of the JetStream API by its own code: a code like HTTP's, the name of its constant in nats-server, and its text.

Made by tests/jetstream_errors_table.py from nats-server's table; do not edit. What stands in braces is filled in by who raises it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ERRORS", "ErrorRow"]


class ErrorRow(NamedTuple):
    """One error."""

    code: int
    constant: str
    text: str


ERRORS: Final[dict[int, ErrorRow]] = {
'''


def quoted(text: str) -> str:
    """A string literal, in single quotes only where that saves escapes."""
    return repr(text) if '"' in text else json.dumps(text, ensure_ascii=False)


def source() -> str:
    """The module as it has to be."""
    rows = sorted(json.loads(TABLE.read_text("utf-8")), key=lambda row: row["error_code"])
    return HEAD + "".join(map(line, rows)) + "}\n"


def line(row: dict[str, str]) -> str:
    """One row of the table, as the formatter would have it."""
    inner = f'{row["code"]}, "{row["constant"]}", {quoted(row["description"])}'
    short = f"    {row['error_code']}: ErrorRow({inner}),\n"
    return short if len(short) <= 141 else f"    {row['error_code']}: ErrorRow(\n        {inner}\n    ),\n"


if __name__ == "__main__":
    MODULE.write_text(source(), "utf-8")
