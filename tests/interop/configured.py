"""The options of a server as a configuration file of nats-server, and our server with the same options."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from midge import ServerOptions
from midge.server.access import Permissions, User

PLAIN = ("max_payload", "max_control_line", "max_subscriptions", "max_connections", "ping_max", "max_sub_tokens", "no_auth_user",
         "no_header_support", "system_account")  # fmt: skip


def conf(options: ServerOptions) -> str:
    """The text of a nats.conf that says the same. What this cannot say is an error."""
    default = ServerOptions()
    lines = [f"{name}: {_text(getattr(options, name))}" for name in PLAIN if getattr(options, name) != getattr(default, name)]
    if options.ping_interval != default.ping_interval:
        lines.append(f'ping_interval: "{round(options.ping_interval * 1000)}ms"')
    fields = [f"{name}: {_text(value)}" for name in ("user", "password", "token") if (value := getattr(options, name)) is not None]
    if options.auth_timeout != default.auth_timeout:
        fields.append(f"timeout: {options.auth_timeout}")
    if options.users:
        fields.append(f"users: [{', '.join(user_conf(user) for user in options.users)}]")
    if options.default_permissions is not None:
        fields.append(f"default_permissions: {permissions_conf(options.default_permissions)}")
    if fields:
        lines.append("authorization { " + ", ".join(fields) + " }")
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    """A value as both JSON and nats.conf have it."""
    return json.dumps(value, ensure_ascii=False)


def user_conf(user: User) -> str:
    assert user.deadline is None, "no configuration can say this"
    fields: dict[str, Any] = {"nkey": user.nkey} if user.nkey else {"user": user.user, "password": user.password}
    if user.connection_types is not None:
        fields["allowed_connection_types"] = list(user.connection_types)
    parts = [f"{name}: {_text(value)}" for name, value in fields.items()]
    if user.permissions is not None:
        parts.append(f"permissions: {permissions_conf(user.permissions)}")
    return "{" + ", ".join(parts) + "}"


def permissions_conf(permissions: Permissions) -> str:
    """A ``permissions`` block."""
    parts = []
    for name, allow, deny in (
        ("publish", permissions.publish_allow, permissions.publish_deny),
        ("subscribe", permissions.subscribe_allow, permissions.subscribe_deny),
    ):
        if allow == ():  # an empty list allows everything there
            allow, deny = None, (">",)
        kinds = ([f"allow: {_text(list(allow))}"] if allow is not None else []) + ([f"deny: {_text(list(deny))}"] if deny else [])
        if kinds:
            parts.append(f"{name}: {{{', '.join(kinds)}}}")
    responses = permissions.responses
    if responses is not None:
        parts.append(f'allow_responses: {{max: {responses.max_msgs}, expires: "{round(responses.expires * 1e6)}us"}}')
    return "{" + ", ".join(parts) + "}"


@contextmanager
def midge_server_with(options: ServerOptions) -> Iterator[tuple[str, int]]:
    """Our server with these options."""
    with importlib.import_module("midge").Server(options) as server:
        yield server.host, server.port
