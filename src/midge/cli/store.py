"""``midge store``: what is in a store that no server is using: its streams and their consumers, what they take on the disk, whether they
are whole, and their messages as JSON lines. Nothing is changed.

``list`` and ``usage`` believe the index of a clean stop, so they are quick; ``verify`` and ``export`` read every record.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from midge.cli.check import DAMAGED, check, directory_argument
from midge.cli.output import complain, describe, json_option
from midge.cli.render import cell, print_json, print_table
from midge.engine.consumers.dump import load
from midge.engine.consumers.ledger import Ledger
from midge.message import Headers, Message
from midge.store.base import Stored
from midge.store.check import find_damages
from midge.store.state import ConsumerRow
from midge.store.view import LogView, Place, ReadFiles, StoreView, UnindexedFiles

__all__ = ["command"]

T = TypeVar("T")
# Columns for people; JSON has more.
_ENTRY = "account stream messages bytes first_seq last_seq subjects consumers".split()
_CONSUMER = "account stream consumer delivered ack_floor pending redelivered".split()
_USAGE = "account stream disk bytes segments quarantine".split()


@click.group("store", short_help="Look into the files of streams.")
def command() -> None:
    """Look into the files of streams, below the store_dir of a server that is not running."""


def _account_option(command: Callable[..., T]) -> Callable[..., T]:
    return click.option("--account", metavar="NAME", help="Only streams of this account.")(command)


@command.command("list", short_help="List the streams.")
@directory_argument
@_account_option
@json_option
def list_streams(path: Path, account: str | None, as_json: bool) -> int:
    """List the streams below DIR and what they hold. Exits with 3 if some cannot be read; they are named on standard error."""
    with closing(StoreView(str(path))) as view:
        return _print_all(view, _entry, account, _ENTRY, as_json=as_json)


@command.command("consumers", short_help="List the consumers.")
@directory_argument
@click.argument("stream", required=False)
@_account_option
@json_option
def list_consumers(path: Path, stream: str | None, account: str | None, as_json: bool) -> None:
    """List the consumers of one STREAM, or of all, and how far each has come, in sequences of the stream."""
    with closing(StoreView(str(path))) as view:
        places = _chosen(view, account, stream)
        rows = [row for place in places for row in view.consumers.get((place.account, place.stream), ())]
        _print(list(map(_consumer, rows)), _CONSUMER, left=3, as_json=as_json)


@command.command("usage", short_help="Tell what streams take on the disk.")
@directory_argument
@_account_option
@json_option
def usage(path: Path, account: str | None, as_json: bool) -> int:
    """Tell what each stream below DIR takes on the disk, space that is set aside included, and what of it counts for its limits.

    Exits with 3 if some cannot be read; they are named on standard error.
    """
    with closing(StoreView(str(path))) as view:
        return _print_all(view, _used, account, _USAGE, as_json=as_json)


@command.command("verify", short_help="Check some of the streams.")
@directory_argument
@click.argument("stream", required=False)
@_account_option
@json_option
def verify(path: Path, stream: str | None, account: str | None, as_json: bool) -> int:
    """Do what midge check does, for one STREAM or those of an account. Exits with 3 if something is wrong."""
    with closing(StoreView(str(path))) as view:
        everything = stream is None and account is None
        return check(view, _chosen(view, account, stream), find_damages(view) if everything else [], as_json=as_json)


@command.command("export", short_help="Print the messages of a stream as JSON lines.")
@directory_argument
@click.argument("stream")
@_account_option
@click.option("--start", metavar="SEQUENCE", type=click.IntRange(min=1), default=1, help="Begin with this message.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Print so many at most.")
def export(path: Path, stream: str, account: str | None, start: int, limit: int | None) -> int:
    """Print the messages of STREAM, one JSON object a line: sequence, time, subject, headers, and data, or data_base64 if it is not UTF-8.

    Exits with 3 if some are damaged; they are left out, and named on standard error.
    """
    with closing(StoreView(str(path))) as view:
        places = _chosen(view, account, stream)
        if len(places) > 1:
            raise click.UsageError(f"{len(places)} accounts have a stream {stream}: choose one with --account")
        with closing(LogView(UnindexedFiles(), places[0].path)) as log:
            for number, stored in enumerate(log.scan(start)):
                if number == limit:
                    break
                sys.stdout.write(json.dumps(_message(stored)) + "\n")
            for damage in log.damages:
                complain(str(damage))
            return DAMAGED if log.damages else 0


def _chosen(view: StoreView, account: str | None, stream: str | None) -> list[Place]:
    """Return the streams that were asked for.

    Raises:
        click.UsageError: there is none of that name.
    """
    places = [place for place in view.streams if account in (None, place.account) and stream in (None, place.stream)]
    if stream is not None and not places:
        of = f" of account {account}" if account is not None else ""
        raise click.UsageError(f"there is no stream {stream}{of} in {view.path}")
    return places


def _entry(view: StoreView, place: Place) -> dict[str, Any]:
    """Return what a stream holds."""
    with closing(LogView(ReadFiles(), place.path)) as log:
        index = log.index
        return {
            "account": place.account,
            "stream": place.stream,
            "messages": index.messages,
            "bytes": index.size,
            "first_seq": index.first,
            "last_seq": index.last,
            "first_time": _time(index.first_time),
            "last_time": _time(index.last_time),
            "subjects": index.subjects,
            "consumers": len(view.consumers.get((place.account, place.stream), ())),
        }


def _consumer(row: ConsumerRow) -> dict[str, Any]:
    """Return how far a consumer has come.

    Raises:
        click.ClickException: what is kept of it cannot be read.
    """
    ledger = Ledger()
    try:
        load(ledger, row.state, time.time_ns())
        config = json.loads(row.config)
    except ValueError as error:
        raise click.ClickException(f"consumer {row.name} of stream {row.stream} of account {row.account}: {error}") from error
    return {
        "account": row.account,
        "stream": row.stream,
        "consumer": row.name,
        "created": _time(row.created),
        "delivered_consumer_seq": ledger.delivered,
        "delivered": ledger.last,
        "ack_floor_consumer_seq": ledger.floor,
        "ack_floor": ledger.stream_floor,
        "pending": ledger.pending,
        "redelivered": ledger.redelivered,
        "config": config,
    }


def _used(view: StoreView, place: Place) -> dict[str, Any]:
    """Return what a stream takes."""
    with closing(LogView(ReadFiles(), place.path)) as log:
        row = {"account": place.account, "stream": place.stream, "directory": os.path.basename(place.path), "disk": view.size_of(place)}
        return row | {"bytes": log.index.size, "messages": log.index.messages, "segments": log.segments, "quarantine": view.kept_of(place)}


def _message(stored: Stored) -> dict[str, Any]:
    """Return a message as JSON values."""
    headers = Headers.parse(stored.header) if stored.header else None
    row = describe(Message(stored.subject.decode("utf-8", "surrogateescape"), stored.payload, headers=headers))
    del row["reply"]
    return {"seq": stored.sequence, "time": _time(stored.time)} | row


def _time(nanoseconds: int) -> str | None:
    """Return a time as RFC 3339 has it, with all its nanoseconds; None where there is none."""
    if not nanoseconds:
        return None
    return f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}Z"


def _print_all(
    view: StoreView, row: Callable[[StoreView, Place], dict[str, Any]], account: str | None, columns: list[str], *, as_json: bool
) -> int:  # fmt: skip
    """Print a row for each stream that can be read, and name the others; return the exit code."""
    rows, unread = [], []
    for place in _chosen(view, account, None):
        try:
            rows.append(row(view, place))
        except OSError as error:
            unread.append(f"{place.path} cannot be read: {error}")
    _print(rows, columns, left=2, as_json=as_json)
    for line in unread:
        complain(line)
    return DAMAGED if unread else 0


def _print(rows: list[dict[str, Any]], columns: list[str], *, left: int, as_json: bool) -> None:
    """Print rows: for people, or as one JSON object a line; the first ``left`` columns are texts."""
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_table(
            [column.replace("_", " ") for column in columns], [[cell(row[column]) for column in columns] for row in rows], left=left
        )
