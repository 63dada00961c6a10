"""``authorization``, and the users in it and in accounts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from midge.nkeys import Prefix
from midge.server.access import CONNECTION_TYPES, GLOBAL_ACCOUNT, Permissions, User
from midge.server.config.errors import Fault
from midge.server.config.permissions import read_permissions
from midge.server.config.reading import Handler, Report, flag, in_quotes, is_key, mapping, not_supported, strings, text
from midge.server.config.tree import Node, shown

__all__ = ["Authorization", "Roll", "read_authorization", "read_users"]

USER_KEYS = ("user", "username")
PASSWORD_KEYS = ("pass", "password")


class Roll:
    """All users so far: nobody may be there twice, whatever the account."""

    def __init__(self) -> None:
        self.users: list[User] = []
        self._names: set[str] = set()

    def add(self, report: Report, node: Node, users: list[User]) -> None:
        for each in users:
            name, what = (each.nkey, "nkey") if each.nkey else (each.user, "user")
            if name in self._names:
                report.errors.append(str(Fault(node, f"Duplicate {what} {in_quotes(name)} detected")))
                continue
            self._names.add(name)
            self.users.append(each)


@dataclass(slots=True)
class Authorization:
    """An ``authorization`` block."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    timeout: float = 0.0
    users: list[User] | None = None
    permissions: Permissions | None = None


def read_authorization(report: Report, node: Node) -> Authorization:
    """Return what the block says; its users have the default permissions where they have none of their own."""
    found = Authorization()

    def users(each: Node) -> None:
        found.users = read_users(report, each)

    def permissions(each: Node) -> None:
        found.permissions = read_permissions(report, each)

    def timeout(each: Node) -> None:
        found.timeout = report.timeout("timeout", each)

    def callout(each: Node) -> None:
        raise not_supported(each, "auth_callout", "in Python, give Server an `authorizer`")

    handlers = {
        **dict.fromkeys(USER_KEYS, lambda each: setattr(found, "user", _not_empty(each))),
        **dict.fromkeys(PASSWORD_KEYS, lambda each: setattr(found, "password", text(each))),
        "token": lambda each: setattr(found, "token", _not_empty(each)),
        "timeout": timeout,
        "users": users,
        **dict.fromkeys(("default_permission", "default_permissions", "permissions"), permissions),
        **dict.fromkeys(("auth_callout", "auth_hook"), callout),
        "proxy_required": no_proxy,
    }
    report.read(mapping(node), handlers)
    if found.users is not None and found.permissions is not None:
        found.users = [with_default(each, found.permissions) for each in found.users]
    return found


def _not_empty(node: Node) -> str:
    """Return what somebody has to present. nats-server takes an empty text for none, and a variable that is not set opens the server."""
    found = text(node)
    if not found:
        raise Fault(node, "empty, which would let everybody in: leave it out if that is meant")
    return found


def with_default(user: User, permissions: Permissions | None) -> User:
    """Return the user, with these permissions where it has none."""
    return replace(user, permissions=permissions) if user.permissions is None else user


def no_proxy(node: Node) -> None:
    if flag(node):
        raise not_supported(node, "proxy_required")


def read_users(report: Report, node: Node, account: str = GLOBAL_ACCOUNT) -> list[User]:
    """Return the users of a list; the first that makes no sense ends it."""
    if not isinstance(node.value, list):
        raise Fault(node, f"Expected users field to be an array, got {shown(node.value)}")
    found = []
    for each in node.value:
        if isinstance(each.value, dict):
            user = _read_user(report, each, each.value, account)
            if user is not None:
                found.append(user)
        else:
            report.errors.append(str(Fault(each, f"Expected user entry to be a map/struct, got {shown(each.value)}")))
    return found


def _read_user(report: Report, node: Node, entries: dict[str, Node], account: str) -> User | None:
    given: dict[str, object] = {}
    before = len(report.errors)

    def take(name: str, each: Node) -> None:
        given[name] = text(each)

    def permissions(each: Node) -> None:
        given["permissions"] = read_permissions(report, each)

    def connection_types(each: Node) -> None:
        given["connection_types"] = _connection_types(each)

    handlers: dict[str, Handler] = {
        "nkey": partial(take, "nkey"),
        **dict.fromkeys(USER_KEYS, partial(take, "user")),
        **dict.fromkeys(PASSWORD_KEYS, partial(take, "password")),
        **dict.fromkeys(("permission", "permissions", "authorization"), permissions),
        **dict.fromkeys(("allowed_connection_types", "connection_types", "clients"), connection_types),
        "proxy_required": no_proxy,
    }
    report.read(entries, handlers)
    last = list(entries.values())[-1] if entries else node  # where nats-server says that it is wrong
    nkey, user = given.get("nkey"), given.get("user")
    if not nkey and not user:
        if len(report.errors) > before:  # the user was there, and wrong
            return None
        raise Fault(last, "User entry requires a user")
    if nkey and not is_key(str(nkey), Prefix.USER):
        raise Fault(last, "Not a valid public nkey for a user")
    if nkey and (user or given.get("password")):
        raise Fault(last, "Nkey users do not take usernames or passwords")
    return User(account=account, **given)  # type: ignore[arg-type]  # each as its handler made it


def _connection_types(node: Node) -> tuple[str, ...] | None:
    found = tuple(dict.fromkeys(each.upper() for each in strings(node, "allowed connection types")))
    unknown = [each for each in found if each not in CONNECTION_TYPES]
    if unknown:
        raise Fault(node, f"invalid connection types [{' '.join(map(in_quotes, unknown))}]")
    return found or None
