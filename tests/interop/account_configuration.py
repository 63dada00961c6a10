"""Writes the accounts, users and mappings of ServerOptions as a configuration of nats-server."""

import json
from collections.abc import Mapping
from typing import Any

from configured import permissions_conf

from midge.server.account_options import AccountOptions, Destination, Export, Import
from midge.server.options import ServerOptions

__all__ = ["accounts_conf"]


def accounts_conf(options: ServerOptions) -> str:
    """The options as text."""
    lines = []
    if options.mappings:
        lines.append("mappings " + mappings_conf(options.mappings))
    if options.accounts:
        users: dict[str, list[str]] = {}
        for user in options.users:
            fields = {"user": text(user.user), "password": text(user.password)}
            if user.permissions is not None:
                fields["permissions"] = permissions_conf(user.permissions)
            users.setdefault(user.account, []).append(block(fields))
        entries = {text(account.name): account_conf(account, users.get(account.name, [])) for account in options.accounts}
        lines.append("accounts " + block(entries))
    if options.system_account != "$SYS":
        lines.append(f"system_account: {text(options.system_account)}")
    return "\n".join(lines) + "\n"


def account_conf(account: AccountOptions, users: list[str]) -> str:
    """One account."""
    entries = {"users": listed(users)}
    if account.exports:
        entries["exports"] = listed(export_conf(export) for export in account.exports)
    if account.imports:
        entries["imports"] = listed(import_conf(each) for each in account.imports)
    if account.mappings:
        entries["mappings"] = mappings_conf(account.mappings)
    if account.msg_trace is not None:
        entries["msg_trace"] = block({"dest": text(account.msg_trace.dest), "sampling": str(account.msg_trace.sampling)})
    limits = {name: str(getattr(account, name)) for name in ("max_connections", "max_subscriptions", "max_payload")}
    limits = {name: value for name, value in limits.items() if value != "-1"}
    if limits:
        entries["limits"] = block(limits)
    return block(entries)


def export_conf(export: Export) -> str:
    """One export."""
    entries = {export.kind: text(export.subject)}
    if export.accounts is not None:
        entries["accounts"] = listed(map(text, export.accounts))
    if export.token_position:
        entries["account_token_position"] = str(export.token_position)
    if export.response != "Singleton":
        entries["response_type"] = export.response
    if export.threshold:
        entries["threshold"] = text(f"{round(export.threshold * 1000)}ms")
    if export.allow_trace:
        entries["allow_trace"] = "true"
    if export.latency is not None:
        sampling = str(export.latency.sampling) if export.latency.sampling else "headers"
        entries["latency"] = block({"sampling": sampling, "subject": text(export.latency.subject)})
    return block(entries)


def import_conf(each: Import) -> str:
    """One import."""
    entries = {each.kind: block({"account": text(each.account), "subject": text(each.subject)})}
    if each.to:
        entries["to"] = text(each.to)
    if each.prefix:
        entries["prefix"] = text(each.prefix)
    if each.share:
        entries["share"] = "true"
    if each.allow_trace:
        entries["allow_trace"] = "true"
    return block(entries)


def mappings_conf(mappings: Mapping[str, tuple[Destination, ...]]) -> str:
    """Mappings, each as a list of destinations."""
    return block({text(source): listed(map(destination_conf, destinations)) for source, destinations in mappings.items()})


def destination_conf(destination: Destination) -> str:
    entries = {"destination": text(destination.subject), "weight": str(destination.weight)}
    if destination.cluster:
        entries["cluster"] = text(destination.cluster)
    return block(entries)


def block(entries: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{name}: {value}" for name, value in entries.items()) + " }"


def listed(entries: Any) -> str:
    return "[ " + ", ".join(entries) + " ]"


def text(value: str) -> str:
    return json.dumps(value)
