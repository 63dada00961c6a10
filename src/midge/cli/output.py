"""How a message is shown: for people, as one JSON object a line, or its bare payload.

What comes from the network is not trusted with a terminal: for people, every control character but tab and newline is escaped,
and bytes that are not UTF-8 appear as ``\\xff``. JSON is ASCII, and loses nothing: such a payload goes into ``data_base64``.
``--raw`` passes the bytes on as they are, and adds a newline.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from midge.message import Message

__all__ = ["Style", "complain", "counted", "describe", "flush", "format_options", "json_option", "printable", "show"]

T = TypeVar("T")
Style = Literal["text", "json", "raw"]


def format_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command ``--json`` and ``--raw``, as ``style``."""
    kind: Any = {"type": str, "default": "text"}
    command = click.option("--raw", "style", flag_value="raw", help="Print payloads only.", **kind)(command)
    return click.option("--json", "style", flag_value="json", help="Print one JSON object a line.", **kind)(command)


def json_option(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def show(message: Message, style: Style, title: str) -> None:
    """Write a message to standard output; the title is for people."""
    if style == "raw":
        data = message.data
    elif style == "json":
        data = json.dumps(describe(message)).encode()
    else:
        lines = [title, *(f"{name}: {value}" for name, value in message.headers.multi_items())]
        head = "\n".join(printable(line) for line in lines)
        gap = "\n" if len(message.headers) else ""
        body = printable(message.data.decode("utf-8", "backslashreplace"), "\n\t")
        data = f"{head}\n{gap}{body}\n".encode("utf-8", "backslashreplace")
    sys.stdout.buffer.write(data + b"\n")


def complain(text: str) -> None:
    """Say on standard error, in one line, what went wrong; whatever a server has said of it cannot do anything to a terminal."""
    click.echo(f"midge: {printable(text)}", err=True)


def flush() -> None:
    """Let the reader of standard output see what was shown."""
    sys.stdout.buffer.flush()


def describe(message: Message) -> dict[str, Any]:
    """Return a message as JSON values."""
    headers = message.headers
    result: dict[str, Any] = {
        "subject": message.subject,
        "reply": message.reply or None,
        "headers": [list(pair) for pair in headers.multi_items()],
    }
    if headers.status is not None:
        result["status"] = headers.status
        result["description"] = headers.description
    try:
        result["data"] = message.data.decode()
    except UnicodeDecodeError:
        result["data_base64"] = base64.b64encode(message.data).decode()
    return result


def counted(number: int, noun: str) -> str:
    """Return ``1 byte`` or ``2,000 bytes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str, also: str = "") -> str:
    """Return the text with what cannot be printed escaped, except for the characters in ``also``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in also else repr(c)[1:-1] for c in text)
