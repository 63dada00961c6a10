"""What a command sends: a payload from the command line or from standard input, and headers.

Standard input is read as bytes, and by lines without blocking the event loop: ``tail -f log | midge pub --lines logs`` must send
each line when it comes and answer the server's PINGs in between.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import click

from midge.errors import InvalidHeaderError, MaxPayloadError
from midge.message import Headers

__all__ = ["blocks", "header_option", "lines", "payload"]

T = TypeVar("T")
_CHUNK = 65536


def header_option(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command ``--header 'Name: value'``, as ``headers``: a Headers, or None without one."""
    return click.option(
        "--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", callback=_parse_headers, help="A header; may be repeated."
    )(command)


def payload(data: str | None, *, default: bytes | None = None) -> bytes:
    """Return the payload an argument stands for; ``-`` is standard input, whole, and so is None unless there is a default."""
    if data is None and default is not None:
        return default
    if data is None or data == "-":
        _hint("Type the payload, and end it with Ctrl-D at the beginning of a line.")
        return sys.stdin.buffer.read()
    return data.encode("utf-8", "surrogateescape")


async def blocks() -> AsyncIterator[bytes]:
    """Yield standard input as it comes."""
    descriptor = sys.stdin.fileno()
    while True:
        await _readable(descriptor)
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            return
        yield chunk


async def lines(limit: int) -> AsyncIterator[bytes]:
    """Yield standard input line by line, without the line's end.

    Raises:
        MaxPayloadError: a line is longer than the limit.
    """
    _hint("Each line that you type is a message; end with Ctrl-D.")
    rest = bytearray()
    async for chunk in blocks():
        searched = len(rest)
        rest += chunk
        start = 0
        end = rest.find(b"\n", searched)
        while end >= 0:
            yield bytes(rest[start:end]).removesuffix(b"\r")
            start = end + 1
            end = rest.find(b"\n", start)
        del rest[:start]
        if len(rest) > limit:
            raise MaxPayloadError(len(rest), limit)
    if rest:
        yield bytes(rest)


def _hint(text: str) -> None:
    """Tell a person at a terminal what is waited for; a pipe needs no telling."""
    if sys.stdin.isatty():
        click.echo(text, err=True)


async def _readable(descriptor: int) -> None:
    """Return when a read would not block. A regular file cannot be waited for, and need not be."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except OSError:
        await asyncio.sleep(0)
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _parse_headers(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Headers | None:
    headers = Headers()
    for text in values:
        name, colon, value = text.partition(":")
        if not colon:
            raise click.BadParameter(f"{text!r} is not of the form 'Name: value'", param=parameter)
        try:
            headers.add(name.strip(), value.strip())
        except InvalidHeaderError as error:
            raise click.BadParameter(str(error), param=parameter) from error
    return headers if len(headers) else None
