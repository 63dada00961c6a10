"""The ``websocket`` block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from midge.server.config.errors import ConfigError, Fault
from midge.server.config.reading import Handler, Report, address, duration, flag, mapping, strings, text, whole
from midge.server.config.tls import read_tls
from midge.server.config.tree import Node, kind_of
from midge.server.config.users import PASSWORD_KEYS, USER_KEYS
from midge.server.listener_options import WebSocketListener

__all__ = ["read_websocket"]

_ORIGINS = ("allowed_origins", "allowed_origin", "allow_origins", "allow_origin", "origins", "origin")


def read_websocket(report: Report, node: Node) -> WebSocketListener | None:
    """Return what the block says; None without a port, in which case there is no listener."""
    if not isinstance(node.value, dict):
        raise Fault(node, f"Expected websocket to be a map, got {kind_of(node.value)}")
    given: dict[str, Any] = {}

    def take(name: str, convert: Callable[[Node], object], each: Node) -> None:
        given[name] = convert(each)

    def listen(each: Node) -> None:
        given["host"], given["port"] = address(each)

    texts = ("advertise", "jwt_cookie", "user_cookie", "pass_cookie", "token_cookie", "no_auth_user")
    report.read(
        node.value,
        {
            "listen": listen,
            "port": partial(take, "port", whole),
            **dict.fromkeys(("host", "net"), partial(take, "host", text)),
            **{name: partial(take, name, text) for name in texts},
            "no_tls": partial(take, "no_tls", flag),
            "tls": partial(take, "tls", read_tls),
            "same_origin": partial(take, "same_origin", flag),
            **dict.fromkeys(_ORIGINS, partial(take, "allowed_origins", partial(strings, what="allowed origins"))),
            "handshake_timeout": partial(take, "handshake_timeout", _handshake_timeout),
            **dict.fromkeys(("compress", "compression"), partial(take, "compression", flag)),
            **dict.fromkeys(("authorization", "authentication"), lambda each: given.update(_authorization(report, each))),
            "headers": lambda each: given.update(headers=_headers(report, each)),
            "ping_interval": lambda each: given.update(ping_interval=report.duration("ping_interval", each)),
        },
    )
    if not given.get("port"):
        return None
    for name in ("host", "handshake_timeout"):  # where zero is the default
        if not given.get(name, True):
            del given[name]
    try:
        return WebSocketListener(**given)
    except ValueError as error:  # in nats-server's words, which has no place for these
        raise ConfigError([str(error)]) from None


def _handshake_timeout(node: Node) -> float:
    if isinstance(node.value, str):
        return duration(node, "")
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return float(node.value)
    raise Fault(node, f"error parsing handshake timeout: unsupported type {kind_of(node.value)}")


def _authorization(report: Report, node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def take(name: str, each: Node) -> None:
        found[name] = text(each)

    def timeout(each: Node) -> None:
        value = each.value
        found["auth_timeout"] = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 1.0

    handlers: dict[str, Handler] = {
        **dict.fromkeys(USER_KEYS, partial(take, "user")),
        **dict.fromkeys(PASSWORD_KEYS, partial(take, "password")),
        "token": partial(take, "token"),
        "timeout": timeout,
    }
    report.read(mapping(node), handlers)
    return found


def _headers(report: Report, node: Node) -> dict[str, str]:
    if not isinstance(node.value, dict):
        raise Fault(node, f"error parsing headers: unsupported type {kind_of(node.value)}")
    found: dict[str, str] = {}

    def handle(key: str, each: Node) -> None:
        if not isinstance(each.value, str):
            raise Fault(each, f"error parsing header key {key}: unsupported type {kind_of(each.value)}")
        found[key] = each.value

    report.each(node.value, handle)
    return found
