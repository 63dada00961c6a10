"""What nats-server checks when it starts: whether the options go together. Its words, before ServerOptions has a say.

``nats-server -t`` does not check that, and calls a file valid that it cannot be started with; so does ``midge serve -t``: ``unchecked``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from midge.durations import show_duration
from midge.server.access import GLOBAL_ACCOUNT, SYSTEM_ACCOUNT, User
from midge.server.config.errors import ConfigError
from midge.server.config.reading import in_quotes
from midge.server.jetstream_options import JetStreamOptions, check_domain
from midge.server.listener_options import WebSocketListener
from midge.server.options import ServerOptions

__all__ = ["check", "unchecked"]

_DEFAULTS = {each.name: each.default for each in fields(ServerOptions)}


def check(options: Mapping[str, Any]) -> None:
    """Raise a ConfigError unless these fields of ServerOptions go together."""
    for _, problem in _problems(options):
        raise ConfigError([problem])


def unchecked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without those that ``check`` would complain of: their defaults do go with the others."""
    wrong = {name for names, _ in _problems(options) for name in names}
    return {name: value for name, value in options.items() if name not in wrong}


def _problems(options: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Return which fields are wrong, and why."""
    given = {**_DEFAULTS, **options}
    found = [(wrong, problem(*(given[name] for name in (*wrong, *others)))) for wrong, others, problem in _CHECKS]
    return [(wrong, text) for wrong, text in found if text]


def _lame_duck(duration: float, grace: float) -> str:
    if not grace >= duration > 0:
        return ""
    shown = f"lame duck grace period ({show_duration(grace)}) should be strictly lower than lame duck duration"
    return f"{shown} ({show_duration(duration)})"


def _max_payload(payload: int, pending: int) -> str:
    return f"max_payload ({payload}) cannot be higher than max_pending ({pending})" if payload > pending else ""


def _system_account(name: str, accounts: Any) -> str:
    known = (SYSTEM_ACCOUNT, GLOBAL_ACCOUNT, *(each.name for each in accounts))
    return "" if name in known else "error resolving system account: account missing"


def _jetstream(jetstream: JetStreamOptions | bool | None) -> str:
    try:
        check_domain(jetstream.domain if isinstance(jetstream, JetStreamOptions) else "")
    except ValueError as error:
        return str(error)
    return ""


def _no_auth_user(name: str, users: tuple[User, ...]) -> str:
    if not name or any(name in (each.user, each.nkey) for each in users):
        return ""
    shown = in_quotes(name)
    if not users:
        return f"no_auth_user: {shown} present, but users/nkeys are not defined"
    return f"no_auth_user: {shown} not present as user or nkey in authorization block or account configuration"


def _websocket(websocket: WebSocketListener | None, users: tuple[User, ...]) -> str:
    if websocket is None:
        return ""
    problem = _no_auth_user(websocket.no_auth_user, users)
    for what, value in (("username", websocket.user), ("token", websocket.token)):
        if users and value:
            problem = problem or f"websocket authentication {what} not compatible with presence of users/nkeys"
    if websocket.jwt_cookie:
        cookie = in_quotes(websocket.jwt_cookie)
        problem = problem or f"trusted operators or trusted keys configuration is required for JWT authentication via cookie {cookie}"
    return problem


# Which fields may be wrong, which others that depends on, and what tells.
_CHECKS: tuple[tuple[tuple[str, ...], tuple[str, ...], Callable[..., str]], ...] = (
    (("lame_duck_duration", "lame_duck_grace_period"), (), _lame_duck),
    (("max_payload", "max_pending"), (), _max_payload),
    (("system_account",), ("accounts",), _system_account),
    (("no_auth_user",), ("users",), _no_auth_user),
    (("jetstream",), (), _jetstream),
    (("websocket",), ("users",), _websocket),
)
