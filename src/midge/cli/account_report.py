"""``midge account report``: what the servers tell of the account's connections, and of what went through them.

They are asked by ``$SYS.REQ.ACCOUNT.PING.CONNZ`` and ``STATZ``, which nats-server answers in every account, and midge does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from midge.cli.jetstream import Api, run
from midge.cli.lazy_group import LazyGroup
from midge.cli.output import json_option
from midge.cli.render import cell, number, print_json, print_table, say, size
from midge.cli.target import Target, target_options
from midge.errors import MidgeError, NoRespondersError
from midge.jetstream.errors import MalformedAnswerError

__all__ = ["connections", "statistics"]

command = LazyGroup(
    "report",
    help="Report on the account's connections, and on what went through them.",
    short_help="Report on connections.",
    places={"connections": "account_report:connections", "statistics": "account_report:statistics"},
    aliases={"conn": "connections", "conns": "connections", "connz": "connections", "stats": "statistics", "statsz": "statistics"},
)

_MOST_SERVERS = 1_000
_STALL = 0.5  # seconds for another server to answer, too
_STATES = {"open": 0, "closed": 1, "all": 2}
_SORTS = {
    "subs": ("subscriptions", "subs"),
    "in-msgs": ("in_msgs", "msgs_from"),
    "out-msgs": ("out_msgs", "msgs_to"),
    "in-bytes": ("in_bytes", "bytes_from"),
    "out-bytes": ("out_bytes", "bytes_to"),
    "cid": ("cid", "cid"),
}


@click.command("connections", short_help="List the account's connections.")
@click.option("--sort", type=click.Choice(list(_SORTS)), default="subs", show_default=True, help="In which order, the greatest first.")
@click.option("--top", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="At most so many.")
@click.option("--reverse", "-R", is_flag=True, help="The greatest last.")
@click.option("--state", type=click.Choice(list(_STATES)), default="open", show_default=True, help="Those that are open, or closed.")
@click.option("--subject", metavar="SUBJECT", help="Those with a subscription that matches.")
@click.option("--username", metavar="NAME", help="Those of a user.")
@json_option
@target_options
def connections(
    target: Target, sort: str, top: int, reverse: bool, state: str, subject: str | None, username: str | None, as_json: bool
) -> None:  # fmt: skip
    """List the connections of the account on all servers that answer."""
    field, order = _SORTS[sort]
    body: dict[str, Any] = {"sort": order, "limit": top, "state": _STATES[state]}
    body |= ({"filter_subject": subject} if subject else {}) | ({"user": username, "auth": True} if username else {})
    found = run(target, "midge account report", lambda api: _ask(api, "CONNZ", body, "connections"))
    rows = [row | {"server": server} for server, listed in found for row in listed]
    rows = sorted(rows, key=lambda row: -_whole(row.get(field)))[:top]
    if reverse:
        rows.reverse()
    if as_json:
        print_json(rows)
    elif not rows:
        say("There are no such connections")
    else:
        columns = ("name", "server", "address", "uptime", "id", "in", "out", "bytes in", "bytes out", "subscriptions")
        print_table(columns, map(_connection, rows), left=4)


@click.command("statistics", short_help="Tell what went through the account's connections.")
@json_option
@target_options
def statistics(target: Target, as_json: bool) -> None:
    """Tell what went through the account's connections, server by server."""
    found = run(target, "midge account report", lambda api: _ask(api, "STATZ", {}, "account_statz"))
    rows = [row | {"server": server} for server, listed in found for row in listed]
    if as_json:
        print_json(rows)
    elif not rows:
        say("No server tells anything")
    else:
        columns = ("server", "cluster", "version", "connections", "subscriptions", "sent", "bytes", "received", "bytes", "slow consumers")
        print_table(columns, map(_statistic, rows), left=3)


async def _ask(api: Api, what: str, body: dict[str, Any], field: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return each server that answers, with what it lists.

    Raises:
        MidgeError: none does, or one refuses.
        MalformedAnswerError: an answer makes no sense.
    """
    found = []
    replies = api.client.request_many(
        f"$SYS.REQ.ACCOUNT.PING.{what}", msgspec.json.encode(body), timeout=api.timeout, stall=_STALL, max_msgs=_MOST_SERVERS
    )
    try:
        async with replies:
            async for message in replies:
                found.append(_read(message.data, field))
    except NoRespondersError:
        raise MidgeError("no server tells of its connections: nats-server does, and midge does not") from None
    if not found:
        raise MidgeError("no server has answered")
    return found


def _read(data: bytes, field: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        answer = msgspec.json.decode(data)
        if "error" in answer:
            raise MidgeError(f"refused: {answer['error'].get('description')}")
        server, listed = answer["server"], answer["data"].get(field) or []
        if isinstance(server, dict) and isinstance(listed, list) and all(isinstance(row, dict) for row in listed):
            return server, listed
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedAnswerError("not the report of a server", data) from error
    raise MalformedAnswerError("not the report of a server", data)


def _connection(row: dict[str, Any]) -> Sequence[str]:
    numbers = [number(row.get(name, 0)) for name in ("cid", "in_msgs", "out_msgs")]
    address = f"{cell(row.get('ip'))}:{row.get('port')}"
    texts = [cell(row.get("name")), cell(row["server"].get("name")), address, cell(row.get("uptime"))]
    return [*texts, *numbers, size(row.get("in_bytes", 0)), size(row.get("out_bytes", 0)), number(row.get("subscriptions", 0))]


def _statistic(row: dict[str, Any]) -> Sequence[str]:
    sent, received = (each if isinstance(each := row.get(name), dict) else {} for name in ("sent", "received"))
    texts = [cell(row["server"].get(name)) for name in ("name", "cluster", "ver")]
    moved = [show(each.get(name, 0)) for each in (sent, received) for name, show in (("msgs", number), ("bytes", size))]
    return [*texts, *(number(row.get(name, 0)) for name in ("conns", "num_subscriptions")), *moved, number(row.get("slow_consumers", 0))]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
