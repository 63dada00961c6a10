"""``midge account``: what the account of the one who asks uses of streams, and what it may use."""

from __future__ import annotations

from typing import Any

import click

from midge.cli.answers import account_answer
from midge.cli.jetstream import Api, js_options, run
from midge.cli.lazy_group import LazyGroup
from midge.cli.output import json_option
from midge.cli.render import Row, number, print_description, print_json, size
from midge.cli.target import Target

__all__ = ["info"]

command = LazyGroup(
    "account",
    help="Tell about the account, and save what it has.",
    short_help="The account.",
    places={
        "info": "account:info",
        "backup": "account_backup:backup",
        "restore": "account_backup:restore",
        "report": "account_report:command",
    },
    aliases={"nfo": "info", "snapshot": "backup", "rep": "report"},
)


@click.command("info", short_help="Tell what the account uses, and may use.")
@json_option
@js_options
def info(target: Target, as_json: bool) -> None:
    """Tell which server this is, what the account uses of streams and consumers there, and what it may use."""

    async def ask(api: Api) -> tuple[list[Row], dict[str, Any]]:
        found = account_answer(await api.ask("INFO"))
        server, rtt = api.client.server_info, await api.client.rtt()
        rows = [("Server", f"{server.server_name or server.server_id}, version {server.version}"), ("URL", api.client.connected_url)]
        return [*rows, ("Round trip", f"{rtt * 1000:.2f} ms"), ("Maximum payload", size(api.client.max_payload))], found

    connection, found = run(target, "midge account info", ask)
    if as_json:
        print_json(found)
        return
    counters, names = found.get("api") or {}, (("Level", "level"), ("Requests", "total"), ("Errors", "errors"))
    api_rows = [(label, number(counters.get(name, 0))) for label, name in names]
    tiers = [(f"Tier {name}", _tier(tier)) for name, tier in (found.get("tiers") or {}).items()]
    domain = [("Domain", found["domain"])] if found.get("domain") else []
    print_description("Account", [("Connection", connection), ("JetStream", domain + _tier(found)), *tiers, ("API", api_rows)])


def _tier(found: dict[str, Any]) -> list[Row]:
    limits = found.get("limits") or {}
    return [
        ("Memory", f"{size(found.get('memory', 0))} of {size(limits.get('max_memory', -1))}"),
        ("Files", f"{size(found.get('storage', 0))} of {size(limits.get('max_storage', -1))}"),
        ("Streams", f"{number(found.get('streams', 0))} of {_most(limits.get('max_streams', -1))}"),
        ("Consumers", f"{number(found.get('consumers', 0))} of {_most(limits.get('max_consumers', -1))}"),
    ]


def _most(count: int) -> str:
    return "unlimited" if count < 0 else number(count)
