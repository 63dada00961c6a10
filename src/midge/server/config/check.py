"""What nats-server checks when it starts: whether the options go together. Its words, before ServerOptions has a say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from midge.durations import show_duration
from midge.server.access import GLOBAL_ACCOUNT, SYSTEM_ACCOUNT, User
from midge.server.config.errors import ConfigError
from midge.server.config.reading import in_quotes
from midge.server.jetstream_options import JetStreamOptions, check_domain
from midge.server.listener_options import WebSocketListener
from midge.server.options import ServerOptions

__all__ = ["check"]

_DEFAULTS = {each.name: each.default for each in fields(ServerOptions)}


def check(options: Mapping[str, Any]) -> None:
    """Raise a ConfigError unless these fields of ServerOptions go together."""

    def get(name: str) -> Any:
        return options.get(name, _DEFAULTS[name])

    duration, grace = get("lame_duck_duration"), get("lame_duck_grace_period")
    if grace >= duration > 0:
        raise ConfigError(
            [
                f"lame duck grace period ({show_duration(grace)}) should be strictly lower than lame duck duration "
                f"({show_duration(duration)})"
            ]
        )
    if get("max_payload") > get("max_pending"):
        raise ConfigError([f"max_payload ({get('max_payload')}) cannot be higher than max_pending ({get('max_pending')})"])
    if get("system_account") not in (SYSTEM_ACCOUNT, GLOBAL_ACCOUNT, *(each.name for each in get("accounts"))):
        raise ConfigError(["error resolving system account: account missing"])
    users: tuple[User, ...] = get("users")
    _check_no_auth_user(get("no_auth_user"), users)
    jetstream = get("jetstream")
    if isinstance(jetstream, JetStreamOptions):
        try:
            check_domain(jetstream.domain)
        except ValueError as error:
            raise ConfigError([str(error)]) from None
    websocket = get("websocket")
    if websocket is not None:
        _check_websocket(websocket, users)


def _check_no_auth_user(name: str, users: tuple[User, ...]) -> None:
    if not name:
        return
    if not users:
        raise ConfigError([f'no_auth_user: "{name}" present, but users/nkeys are not defined'])
    if all(name not in (each.user, each.nkey) for each in users):
        raise ConfigError([f'no_auth_user: "{name}" not present as user or nkey in authorization block or account configuration'])


def _check_websocket(websocket: WebSocketListener, users: tuple[User, ...]) -> None:
    _check_no_auth_user(websocket.no_auth_user, users)
    for what, value in (("username", websocket.user), ("token", websocket.token)):
        if users and value:
            raise ConfigError([f"websocket authentication {what} not compatible with presence of users/nkeys"])
    if websocket.jwt_cookie:
        cookie = in_quotes(websocket.jwt_cookie)
        raise ConfigError([f"trusted operators or trusted keys configuration is required for JWT authentication via cookie {cookie}"])
