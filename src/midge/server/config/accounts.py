"""The ``accounts`` block."""

from __future__ import annotations

from functools import partial
from typing import Any

from midge.nkeys import Prefix
from midge.server.access import GLOBAL_ACCOUNT, User
from midge.server.account_options import AccountOptions
from midge.server.config.errors import Fault
from midge.server.config.exchange import read_exports, read_imports, read_mappings
from midge.server.config.msg_trace import read_msg_trace
from midge.server.config.permissions import read_permissions
from midge.server.config.reading import Report, in_quotes, is_key, not_supported, text, whole
from midge.server.config.tree import Node, shown
from midge.server.config.users import Roll, read_users, with_default

__all__ = ["is_off", "read_accounts"]

_TAKEN = "is a Reserved Account"


def read_accounts(report: Report, node: Node, roll: Roll, is_single: str) -> list[AccountOptions]:
    """Return the accounts; their users go into the roll.

    Args:
        report: where errors go.
        node: the block.
        roll: all users.
        is_single: "single user/pass" or "token", where one is configured, for which there can be no other users; or empty.
    """
    if isinstance(node.value, list):
        return _names(report, node.value)
    if not isinstance(node.value, dict):
        return []  # nats-server does not mind
    found: list[AccountOptions] = []

    def handle(name: str, each: Node) -> None:
        if each.used:
            return
        if not isinstance(each.value, dict):
            raise Fault(each, "Expected map entries for accounts")
        if name == GLOBAL_ACCOUNT:
            raise Fault(each, f"{in_quotes(name)} {_TAKEN}")
        found.append(_read_account(report, name, each.value, roll, is_single))

    report.each(node.value, handle)
    if not report.errors:
        _check_partners(report, node, found)
    return found


def _names(report: Report, nodes: list[Node]) -> list[AccountOptions]:
    found: dict[str, AccountOptions] = {}
    for each in nodes:
        try:
            name = text(each)
            if name == GLOBAL_ACCOUNT:
                raise Fault(each, f"{in_quotes(name)} {_TAKEN}")
            if name in found:
                raise Fault(each, f"Duplicate Account Entry: {name}")
            found[name] = AccountOptions(name=name)
        except Fault as fault:
            report.errors.append(str(fault))
    return list(found.values())


def _read_account(report: Report, name: str, entries: dict[str, Node], roll: Roll, is_single: str) -> AccountOptions:
    given: dict[str, Any] = {"name": name}
    users: list[User] = []
    where: list[Node] = []

    def nkey(each: Node) -> None:
        if not isinstance(each.value, str) or not is_key(each.value, Prefix.ACCOUNT):
            raise Fault(each, f"Not a valid public nkey for an account: {in_quotes(shown(each.value))}")
        given["nkey"] = each.value

    def read_all_users(each: Node) -> None:
        where.append(each)
        users.extend(read_users(report, each, name))

    def msg_trace(key: str, each: Node) -> None:
        given["msg_trace"] = read_msg_trace(report, key, each)

    report.read(
        entries,
        {
            "nkey": nkey,
            "imports": lambda each: given.update(imports=tuple(read_imports(report, each))),
            "exports": lambda each: given.update(exports=tuple(read_exports(report, each))),
            "jetstream": _jetstream,
            "users": read_all_users,
            "default_permissions": lambda each: given.update(default_permissions=read_permissions(report, each)),
            **dict.fromkeys(("mappings", "maps"), lambda each: given.update(mappings=read_mappings(report, each))),
            "limits": lambda each: given.update(_limits(report, each)),
            **{name: partial(msg_trace, name) for name in ("msg_trace", "trace_dest")},
        },
    )
    if users and is_single:
        report.errors.append(str(Fault(where[-1], f"Can not have a {is_single} and accounts")))
    elif users:
        roll.add(report, where[-1], [with_default(each, given.get("default_permissions")) for each in users])
    return AccountOptions(**given)


def is_off(node: Node, place: Node | None) -> bool:
    """True where JetStream is switched off, False where on.

    Raises:
        Fault: it is neither.
    """
    value = node.value
    if isinstance(value, str):
        if value.lower() not in ("enabled", "enable", "disabled", "disable"):
            raise Fault(place, f"Expected 'enabled' or 'disabled' for string value, got '{value}'")
        return value.lower().startswith("dis")
    return value is False


def _jetstream(node: Node) -> None:
    if not is_off(node, None):  # nats-server does not say where
        raise not_supported(node, "jetstream", "there are no streams yet")


def _limits(report: Report, node: Node) -> dict[str, int]:
    if not isinstance(node.value, dict):
        raise Fault(node, f"Expected account limits to be a map/struct, got {shown(node.value)}")
    names = {
        **dict.fromkeys(("max_connections", "max_conn"), "max_connections"),
        **dict.fromkeys(("max_subscriptions", "max_subs"), "max_subscriptions"),
        **dict.fromkeys(("max_payload", "max_pay"), "max_payload"),
        **dict.fromkeys(("max_leafnodes", "max_leafs"), ""),  # of which there are none
    }
    found: dict[str, int] = {}

    def handle(key: str, each: Node) -> None:
        name = names.get(key.lower())
        if name:
            found[name] = whole(each)
        elif name is not None:
            whole(each)
        elif not each.used:
            raise Fault(each, f"Unknown field {in_quotes(key)} parsing account limits")

    report.each(node.value, handle)
    return found


def _check_partners(report: Report, node: Node, accounts: list[AccountOptions]) -> None:
    """Exports and imports name accounts that there are."""
    known = {each.name for each in accounts}
    for account in accounts:
        for export in account.exports:
            for name in export.accounts or ():
                if name not in known:
                    report.errors.append(str(Fault(node, f"{in_quotes(name)} account not defined for {export.kind} export")))
    for account in accounts:
        for imported in account.imports:
            if imported.account not in known:
                report.errors.append(str(Fault(node, f"{in_quotes(imported.account)} account not defined for {imported.kind} import")))
