"""The top level of a configuration: every key that nats-server knows, and what midge makes of it.

A key is built, or refused with a text that says so. What has no effect on a server of its own in nats-server, has none here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from midge.durations import show_duration
from midge.server.account_options import AccountOptions
from midge.server.config.accounts import read_accounts
from midge.server.config.errors import Fault
from midge.server.config.exchange import read_mappings
from midge.server.config.jetstream import read_server
from midge.server.config.reading import Handler, Report, address, duration, flag, in_quotes, not_supported, text, whole
from midge.server.config.tls import read_tls
from midge.server.config.tree import Node, kind_of
from midge.server.config.users import Roll, read_authorization
from midge.server.config.websocket import read_websocket

__all__ = ["Top"]

_CLUSTERS = "a midge server stands alone"
_JWT = "there is no operator mode"
_NOT_SUPPORTED = {
    "cluster": _CLUSTERS,
    "gateway": _CLUSTERS,
    "leaf": _CLUSTERS,
    "leafnodes": _CLUSTERS,
    "mqtt": "",
    **dict.fromkeys(("operator", "operators", "roots", "root", "root_operators", "root_operator", "default_sentinel"), _JWT),
    **dict.fromkeys(("resolver", "account_resolver", "accounts_resolver", "resolver_tls"), _JWT),
    **dict.fromkeys(("resolver_preload", "resolver_pinned_accounts", "trusted", "trusted_keys"), _JWT),
    "proxies": "",
    "prof_port": "it serves the profiles of Go",
    "prof_block_rate": "it is about the profiles of Go",
    "remote_syslog": "log to a file or to stderr",
}
# What may be false, but not true.
_NOT_ON = ("disable_sublist_cache", "no_sublist_cache", "no_system_account", "no_system", "no_sys_acc", "proxy_protocol", "trace_headers",
           "no_fast_producer_stall", "syslog")  # fmt: skip
_NO_EFFECT = ("connect_error_reports", "reconnect_error_reports")  # of routes, gateways and leaf nodes
_MOST = (1 << 31) - 1
_MOST_TOKENS = 255
_LEAST_LAME_DUCK = 30.0


class Top:
    """Reads a tree.

    Attributes:
        options: fields of ServerOptions.
        settings: fields of Settings.
        report: what was wrong.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.settings: dict[str, Any] = {}
        self.report = Report()
        self._roll = Roll()
        self._single = ""  # "single user/pass" or "token"
        self._accounts: list[AccountOptions] = []

    def read(self, tree: dict[str, Node]) -> None:
        """Read all of it. Not to be used again."""
        handlers = self._handlers()

        def handle(key: str, node: Node) -> None:
            handler = handlers.get(key.lower())
            if handler is not None:
                handler(node)
            elif key.lower() in _NOT_SUPPORTED:
                raise not_supported(node, key, _NOT_SUPPORTED[key.lower()])
            elif not node.used:
                raise Fault(node, f"unknown field {in_quotes(key)}")

        self.report.each(tree, handle)
        if "store_dir" in self.options:
            self.options.setdefault("jetstream", False)  # a directory alone switches nothing on, there
        if self._roll.users:
            self.options["users"] = tuple(self._roll.users)
        if self._accounts:
            self.options["accounts"] = tuple(self._accounts)
        tls = self.options.get("tls")
        if tls is not None:
            self.options.setdefault("auth_timeout", tls.timeout + 1.0)  # it begins before the handshake

    def _handlers(self) -> dict[str, Handler]:
        take, several = self._take, dict.fromkeys
        return {
            "listen": self._listen,
            "port": partial(take, "port", _or_default(whole)),
            **several(("host", "net"), partial(take, "host", _or_default(text))),
            "client_advertise": partial(take, "client_advertise", text),
            "server_name": self._server_name,
            "server_tags": self._tags,
            "server_metadata": self._metadata,
            "max_control_line": partial(self._size, "max_control_line"),
            "max_payload": partial(self._size, "max_payload"),
            "max_pending": partial(take, "max_pending", _or_default(whole)),
            **several(("max_connections", "max_conn"), partial(take, "max_connections", lambda node: max(whole(node), 0))),
            **several(("max_subscriptions", "max_subs"), partial(take, "max_subscriptions", lambda node: max(whole(node), 0))),
            **{name: partial(self._sub_tokens, name) for name in ("max_sub_tokens", "max_subscription_tokens")},
            "max_traced_msg_len": partial(take, "max_traced_msg_len", lambda node: max(whole(node), 0)),
            "max_closed_clients": partial(take, "max_closed_clients", _or_default(whole)),
            "ping_interval": partial(self._duration, "ping_interval"),
            "ping_max": partial(take, "ping_max", _or_default(whole)),
            "write_deadline": partial(self._duration, "write_deadline"),
            "write_timeout": _write_timeout,
            "lame_duck_duration": self._lame_duck_duration,
            "lame_duck_grace_period": self._lame_duck_grace_period,
            "no_header_support": partial(take, "no_header_support", flag),
            "allow_non_tls": partial(take, "allow_non_tls", flag),
            "tls": partial(take, "tls", read_tls),
            **several(("websocket", "ws"), partial(take, "websocket", partial(read_websocket, self.report))),
            "jetstream": self._jetstream,
            **several(("store_dir", "storedir"), self._store_dir),
            "feature_flags": partial(_empty, "feature_flags", "error parsing feature flags"),
            "default_js_domain": partial(_empty, "default_js_domain", "error default_js_domain config"),
            "ocsp": partial(_off, "ocsp"),
            "ocsp_cache": partial(_off, "ocsp_cache"),
            **{name: partial(_off, name) for name in _NOT_ON},
            **several(_NO_EFFECT, _whole),
            **self._of_users(),
            **self._of_monitoring(),
            **self._of_the_process(),
        }

    def _of_users(self) -> dict[str, Handler]:
        return {
            "authorization": self._authorization,
            "accounts": self._read_accounts,
            **dict.fromkeys(("mappings", "maps"), partial(self._take, "mappings", partial(read_mappings, self.report))),
            "no_auth_user": partial(self._take, "no_auth_user", text),
            **dict.fromkeys(("system_account", "system"), self._system_account),
        }

    def _of_monitoring(self) -> dict[str, Handler]:
        return {
            "http": partial(self._monitoring, "http_port"),
            "https": partial(self._monitoring, "https_port"),
            **dict.fromkeys(("http_port", "monitor_port"), partial(self._take, "http_port", _or_default(whole))),
            "https_port": partial(self._take, "https_port", _or_default(whole)),
            "http_base_path": partial(self._take, "http_base_path", text),
        }

    def _of_the_process(self) -> dict[str, Handler]:
        def setting(name: str, convert: Callable[[Node], object]) -> Handler:
            return lambda node: self.settings.update({name: convert(node)})

        def trace_verbose(node: Node) -> None:
            self.settings["trace"] = flag(node)

        return {
            "debug": setting("debug", flag),
            "trace": setting("trace", flag),
            "trace_verbose": trace_verbose,
            "logtime": setting("stamp", flag),
            "logtime_utc": setting("utc", flag),
            **dict.fromkeys(("logfile", "log_file"), setting("log_file", text)),
            **dict.fromkeys(("logfile_size_limit", "log_size_limit"), setting("log_size_limit", whole)),
            **dict.fromkeys(("logfile_max_num", "log_max_num"), setting("log_max_files", whole)),
            **dict.fromkeys(("pidfile", "pid_file"), setting("pid_file", text)),
            "ports_file_dir": setting("ports_dir", text),
        }

    def _take(self, name: str, convert: Callable[[Node], object], node: Node) -> None:
        value = convert(node)
        if value is not None:  # for which the default stands
            self.options[name] = value

    def _listen(self, node: Node) -> None:
        host, port = address(node)
        self.options.update({name: value for name, value in (("host", host), ("port", port)) if value})

    def _monitoring(self, name: str, node: Node) -> None:
        self.options["http_host"], port = address(node)
        if port:
            self.options[name] = port

    def _server_name(self, node: Node) -> None:
        name = text(node)
        if " " in name:
            raise Fault(node, "server name cannot contain spaces")
        self.options["name"] = name

    def _tags(self, node: Node) -> None:
        value = node.value
        if isinstance(value, str):
            value = [node]
        if not isinstance(value, list):
            raise Fault(node, f"error parsing tags: unsupported type {kind_of(value)}")
        for each in value:
            if not isinstance(each.value, str):
                raise Fault(node, "error parsing tags: unsupported type *conf.token where string is expected")
        names = [text(each).strip().lower() for each in value]
        self.options["server_tags"] = tuple(dict.fromkeys(name for name in names if name))

    def _metadata(self, node: Node) -> None:
        if not isinstance(node.value, dict):
            raise Fault(node, f"error parsing metadata: unsupported type {kind_of(node.value)}")
        self.options["server_metadata"] = {key: text(each) for key, each in node.value.items()}

    def _size(self, name: str, node: Node) -> None:
        value = whole(node)
        if value > _MOST:
            raise Fault(node, f"{name} value is too big")
        if value:
            self.options[name] = value

    def _sub_tokens(self, name: str, node: Node) -> None:
        value = whole(node)
        if value > _MOST_TOKENS:
            raise Fault(node, f"{name} value is too big")
        if value <= 0:
            raise Fault(node, f"{name} value can not be negative")
        self.options["max_sub_tokens"] = value

    def _duration(self, name: str, node: Node) -> None:
        value = self.report.duration(name, node)
        if value:
            self.options[name] = value

    def _lame_duck_duration(self, node: Node) -> None:
        value = duration(node, "error parsing lame_duck_duration: ")
        if value < _LEAST_LAME_DUCK:
            raise Fault(node, f"invalid lame_duck_duration of {show_duration(value)}, minimum is 30 seconds")
        self.options["lame_duck_duration"] = value

    def _lame_duck_grace_period(self, node: Node) -> None:
        value = duration(node, "error parsing lame_duck_grace_period: ")
        if value < 0:
            raise Fault(node, "invalid lame_duck_grace_period, needs to be positive")
        if value:
            self.options["lame_duck_grace_period"] = value

    def _system_account(self, node: Node) -> None:
        if not isinstance(node.value, str):
            raise Fault(node, "system account name must be a string")
        if node.value:
            self.options["system_account"] = node.value

    def _authorization(self, node: Node) -> None:
        found = read_authorization(self.report, node)
        one = bool(found.user or found.password)
        if one and found.token:
            raise Fault(node, "Cannot have a user/pass and token")
        if found.users is not None or self._roll.users:
            if found.user:
                raise Fault(node, "Can not have a single user/pass and a users array")
            if found.token:
                raise Fault(node, "Can not have a token and a users array")
            self._roll.add(self.report, node, found.users or [])
        if found.timeout:
            self.options["auth_timeout"] = found.timeout
        if one:
            self.options.update(user=found.user or None, password=found.password)
        elif found.token:
            self.options["token"] = found.token
        self._single = "single user/pass" if found.user else "token" if found.token else ""

    def _jetstream(self, node: Node) -> None:
        self.options.update(read_server(self.report, node, bool(self.options.get("store_dir"))))

    def _store_dir(self, node: Node) -> None:
        if self.options.get("store_dir"):
            raise Fault(node, "Duplicate 'store_dir' configuration")
        self.options["store_dir"] = text(node)

    def _read_accounts(self, node: Node) -> None:
        self._accounts = read_accounts(self.report, node, self._roll, self._single)


def _or_default(convert: Callable[[Node], Any]) -> Callable[[Node], Any]:
    """Zero, or nothing, stands for the default."""
    return lambda node: convert(node) or None


def _whole(node: Node) -> None:
    whole(node)


def _off(name: str, node: Node) -> None:
    if node.value is not False:
        if name not in ("ocsp", "ocsp_cache"):
            flag(node)
        raise not_supported(node, name)


def _empty(name: str, problem: str, node: Node) -> None:
    if not isinstance(node.value, dict):
        raise Fault(node, f"{problem}: unsupported type {kind_of(node.value)}")
    if node.value:
        raise not_supported(node, name)


def _write_timeout(node: Node) -> None:
    if text(node) not in ("default", "close", "retry"):
        raise Fault(node, "write_timeout must be 'default', 'close' or 'retry'")
    if node.value == "retry":
        raise not_supported(node, "write_timeout: retry")
