"""What must be true of users and permissions before a server starts. The words are nats-server's, where it has any."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

from midge.errors import NkeyError
from midge.nkeys import Prefix, check_public
from midge.server import passwords
from midge.server.access import CONNECTION_TYPES, Permissions, User
from midge.server.permissions import check_permissions

if TYPE_CHECKING:
    from midge.server.options import ServerOptions

__all__ = ["check_access"]


def check_access(options: ServerOptions) -> None:
    """Find out whether those who are to come in can.

    Raises:
        ValueError: they cannot, or it is not clear who they are.
        MissingExtraError: there are bcrypt hashes, and no bcrypt.
    """
    _check_one_way(options)
    accounts = options.account_names()
    seen: set[tuple[str, str]] = set()
    for user in options.users:
        key = ("nkey", user.nkey) if user.nkey else ("user", user.user)
        if key in seen:
            raise ValueError(f'Duplicate {key[0]} "{key[1]}" detected')
        seen.add(key)
        _check_user(user)
        if user.account not in accounts:
            raise ValueError(f'{key[0]} "{key[1]}": there is no account "{user.account}"')
    for who, permissions in _permissions(options):
        try:
            check_permissions(permissions)
        except ValueError as error:
            raise ValueError(f"invalid permissions for {who}: {error}") from None
    _check_no_auth_user(options, options.no_auth_user)
    _check_websocket(options)
    if any(passwords.is_hash(each) for each in _passwords(options)):
        passwords.check_hash()


def _check_one_way(options: ServerOptions) -> None:
    """There is one way to find out who somebody is, or it would not be clear which counts."""
    if options.users and options.user is not None:
        raise ValueError("Can not have a single user/pass and a users array")
    if options.users and options.token is not None:
        raise ValueError("Can not have a token and a users array")
    if options.authorizer is not None:
        for name in ("user", "token", "users", "no_auth_user"):
            if getattr(options, name):
                raise ValueError(f"an authorizer decides in place of {name}: give one or the other")


def _check_user(user: User) -> None:
    if user.nkey:
        if user.user or user.password:
            raise ValueError("Nkey users do not take usernames or passwords")
        try:
            check_public(user.nkey, Prefix.USER)
        except NkeyError:
            raise ValueError("Not a valid public nkey for a user") from None
    elif not user.user:
        raise ValueError("User entry requires a user")
    for kind in user.connection_types or ():
        if kind not in CONNECTION_TYPES:
            raise ValueError(f'unknown connection type "{kind}"')
    if user.deadline is not None and not -inf < user.deadline < inf:
        raise ValueError(f'user "{user.user or user.nkey}": the deadline must be seconds since the epoch')


def _permissions(options: ServerOptions) -> Iterator[tuple[str, Permissions]]:
    """All permissions, and whose they are."""
    for user in options.users:
        if user.permissions is not None:
            yield (f'nkey "{user.nkey}"' if user.nkey else f'user "{user.user}"'), user.permissions
    for account in options.accounts:
        if account.default_permissions is not None:
            yield f'account "{account.name}"', account.default_permissions
    if options.default_permissions is not None:
        yield "everybody", options.default_permissions


def _check_no_auth_user(options: ServerOptions, name: str) -> None:
    if not name:
        return
    if not options.users:
        raise ValueError(f'no_auth_user: "{name}" present, but users/nkeys are not defined')
    if not any(name == (user.nkey or user.user) for user in options.users):
        raise ValueError(f'no_auth_user: "{name}" not present as user or nkey in authorization block or account configuration')


def _check_websocket(options: ServerOptions) -> None:
    websocket = options.websocket
    if websocket is None:
        return
    _check_no_auth_user(options, websocket.no_auth_user)
    for name, value in (("username", websocket.user), ("token", websocket.token)):
        if value and options.users:
            raise ValueError(f"websocket authentication {name} not compatible with presence of users/nkeys")
        if value and options.authorizer is not None:
            raise ValueError(f"an authorizer decides in place of the websocket {name}: give one or the other")
    if websocket.token and websocket.user:
        raise ValueError("a user and a token exclude each other")
    if websocket.user and not websocket.password:
        raise ValueError("a user needs a password, and a password a user")
    if websocket.jwt_cookie and options.authorizer is None:
        raise ValueError(
            "trusted operators or trusted keys configuration is required for JWT authentication via cookie "
            f'"{websocket.jwt_cookie}"; an authorizer can take it too'
        )


def _passwords(options: ServerOptions) -> Iterator[str]:
    """Everything that a client's password or token may be compared with."""
    yield from (options.password or "", options.token or "")
    yield from (user.password for user in options.users)
    if options.websocket is not None:
        yield from (options.websocket.password, options.websocket.token)
