"""What a server can be told: one frozen value, checked when it is made. Names and defaults are nats-server's."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, TypedDict, get_args, get_origin, get_type_hints

from midge.server.access import GLOBAL_ACCOUNT, SYSTEM_ACCOUNT, Permissions, User
from midge.server.access_checks import check_access
from midge.server.account_options import AccountOptions, Destination
from midge.server.agreements import agree, check_mappings
from midge.server.jetstream_options import AccountJetStream, JetStreamOptions, check_domain
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.wire.parser import DEFAULT_MAX_CONTROL_LINE, DEFAULT_MAX_PAYLOAD

__all__ = ["MAX_PAYLOAD_LIMIT", "ServerKeywords", "ServerOptions", "split_address"]

MAX_PAYLOAD_LIMIT = 64 << 20
MAX_CONTROL_LINE_LIMIT = 1 << 18  # a subject has at most half as many tokens, and the trie as many levels
MAX_SUB_TOKENS_LIMIT = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The options of one server.

    Attributes:
        host: the address to listen on; a name stands for all its addresses, 0.0.0.0, :: and nothing for every interface.
        port: the port to listen on; 0 or -1 takes a free one.
        name: the server's name; its id where empty.
        user, password, token: what a client must present, password or token in plain text or as a bcrypt hash; a user and a token exclude
            each other.
        auth_timeout: seconds a client has to present it; by default 2, or one more than the TLS handshake may take.
        max_connections: clients at once; the next is refused.
        max_subscriptions: subscriptions of one client; 0 means no limit.
        max_payload: bytes of header and payload in one message.
        max_control_line: bytes of arguments in one protocol line.
        max_pending: bytes that may wait for one client; more makes it a slow consumer, and it is disconnected.
        ping_interval: seconds between two PINGs to an idle client.
        ping_max: unanswered PINGs before a client is stale.
        write_deadline: seconds without progress after which a client that does not read is a slow consumer.
        users: who may connect; a user of an account is named here too, with the account's name.
        accounts: the accounts besides ``$G`` and ``$SYS``, or those two with what is not their default.
        system_account: the name of the account in which the server itself speaks.
        no_auth_user: as whom a client is let in that has no credentials.
        default_permissions: of users that have none of their own, nor has their account.
        authorizer: a callable, plain or async, that decides in place of all of the above: called with an AuthRequest, it returns None or
            False to refuse, True, or an Identity.
        mappings: of the account ``$G``, as in AccountOptions.
        tls: for the client port; with ``allow_non_tls`` clients may do without.
        websocket: a second port, for clients that speak WebSocket.
        client_advertise: "host:port" that clients are told in INFO.
        always_enable_nonce: INFO has a nonce even where nobody has an nkey.
        no_header_support: clients may not use headers.
        max_sub_tokens: tokens that a subscription's subject may have; 0 means no limit.
        max_traced_msg_len: bytes of a payload that the trace log shows; 0 means all.
        max_closed_clients: closed connections that are remembered for monitoring.
        lame_duck_duration, lame_duck_grace_period: seconds in which clients are sent away, and before that begins.
        http_host, http_port, https_port: where monitoring listens, one of the two; None for no such port, 0 or -1 for a free one.
            Where no host is given, it is that of the clients.
        http_base_path: what the paths of monitoring begin with.
        jetstream: whether and how streams are kept: True for the defaults, False not at all; by default, where there is a ``store_dir``.
            Afterwards it is JetStreamOptions, or None.
        store_dir: the directory for streams that are kept in files; where it is empty there are none but those in memory.
        server_tags, server_metadata: what monitoring says of the server.
        config_file, config_digest: where the options come from, for monitoring and the log; empty where from no file.
    """

    host: str = "127.0.0.1"
    port: int = 4222
    name: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    auth_timeout: float = None  # type: ignore[assignment]  # the default depends on ``tls``, and is there when this is made
    max_connections: int = 65536
    max_subscriptions: int = 0
    max_payload: int = DEFAULT_MAX_PAYLOAD
    max_control_line: int = DEFAULT_MAX_CONTROL_LINE
    max_pending: int = 64 << 20
    ping_interval: float = 120.0
    ping_max: int = 2
    write_deadline: float = 10.0
    users: tuple[User, ...] = ()
    accounts: tuple[AccountOptions, ...] = ()
    system_account: str = "$SYS"
    no_auth_user: str = ""
    default_permissions: Permissions | None = None
    authorizer: Callable[..., Any] | None = None
    mappings: dict[str, tuple[Destination, ...]] = field(default_factory=dict, hash=False)
    tls: ServerTLS | None = None
    allow_non_tls: bool = False
    websocket: WebSocketListener | None = None
    client_advertise: str = ""
    always_enable_nonce: bool = False
    no_header_support: bool = False
    max_sub_tokens: int = 0
    max_traced_msg_len: int = 0
    max_closed_clients: int = 10_000
    lame_duck_duration: float = 120.0
    lame_duck_grace_period: float = 10.0
    http_host: str = ""
    http_port: int | None = None
    https_port: int | None = None
    http_base_path: str = ""
    jetstream: JetStreamOptions | None = None
    store_dir: str = ""
    server_tags: tuple[str, ...] = ()
    server_metadata: dict[str, str] = field(default_factory=dict, hash=False)
    config_file: str = ""
    config_digest: str = ""

    def __post_init__(self) -> None:
        if self.auth_timeout is None:
            object.__setattr__(self, "auth_timeout", 2.0 if self.tls is None else self.tls.timeout + 1.0)
        self._settle_jetstream()
        self._check_types()
        self._check_credentials()
        self._check_accounts()
        if not -1 <= self.port <= 65535:
            raise ValueError(f"port {self.port}: expected 1 to 65535, or 0 or -1 for a free one")
        if self.client_advertise:
            split_address(self.client_advertise, self.port)
        if self.websocket is not None and self.websocket.advertise:
            split_address(self.websocket.advertise, self.websocket.port)
        for name in ("auth_timeout", "max_control_line", "max_payload", "max_pending", "ping_interval", "ping_max", "write_deadline"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} {getattr(self, name)}: expected more than 0, and finite")
        for name in (
            "max_connections", "max_subscriptions", "max_sub_tokens", "max_closed_clients", "lame_duck_grace_period", "max_traced_msg_len",
        ):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)}: expected 0 or more")
        if self.max_sub_tokens > MAX_SUB_TOKENS_LIMIT:
            raise ValueError(f"max_sub_tokens {self.max_sub_tokens}: expected at most {MAX_SUB_TOKENS_LIMIT}")
        check_access(self)
        if self.jetstream is not None:
            check_domain(self.jetstream.domain)
        if self.max_control_line > MAX_CONTROL_LINE_LIMIT:
            raise ValueError(f"max_control_line {self.max_control_line}: expected at most {MAX_CONTROL_LINE_LIMIT}")
        if self.max_payload > MAX_PAYLOAD_LIMIT:
            raise ValueError(f"max_payload {self.max_payload}: expected at most {MAX_PAYLOAD_LIMIT}")
        if self.max_payload > self.max_pending:
            raise ValueError(f"max_payload {self.max_payload} exceeds max_pending {self.max_pending}")

        if not self.lame_duck_grace_period < self.lame_duck_duration < inf:
            raise ValueError("lame_duck_grace_period must be less than lame_duck_duration, and both finite")
        self._check_monitoring()

    def _check_monitoring(self) -> None:
        for name in ("http_port", "https_port"):
            port = getattr(self, name)
            if port is not None and not -1 <= port <= 65535:
                raise ValueError(f"{name} {port}: expected 1 to 65535, or 0 or -1 for a free one")
        if self.http_port is not None and self.https_port is not None:
            raise ValueError(f"can't specify both HTTP ({self.http_port}) and HTTPs ({self.https_port}) ports")
        if self.https_port is not None and self.tls is None:
            raise ValueError("https_port needs tls")

    def _settle_jetstream(self) -> None:
        """Make options, or nothing, of what is only on or off. What is off has no directory, so that it stays off in a copy."""
        wanted: object = self.jetstream
        if wanted is None:
            wanted = bool(self.store_dir)
        if isinstance(self.store_dir, os.PathLike):
            object.__setattr__(self, "store_dir", os.fspath(self.store_dir))
        if isinstance(wanted, bool):
            object.__setattr__(self, "jetstream", JetStreamOptions() if wanted else None)
        if wanted is False:
            object.__setattr__(self, "store_dir", "")

    def _check_types(self) -> None:
        """A wrong type would show much later, somewhere inside."""
        for each in fields(self):
            value, wanted = getattr(self, each.name), _TYPES[each.name]
            if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
                names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in wanted)
                raise TypeError(f"{each.name} must be {names}, not {type(value).__name__}")

    def _check_credentials(self) -> None:
        if self.token is not None and (self.user is not None or self.password is not None):
            raise ValueError("a user and a token exclude each other")
        if (self.user is None) != (self.password is None):
            raise ValueError("a user needs a password, and a password a user")
        if self.token == "" or self.user == self.password == "":
            raise ValueError("empty credentials would let everybody in: leave them out if that is meant")

    def account_names(self) -> frozenset[str]:
        """Return the names of all accounts there are."""
        return frozenset((GLOBAL_ACCOUNT, self.system_account, *(each.name for each in self.accounts)))

    def _check_accounts(self) -> None:
        names = {GLOBAL_ACCOUNT, SYSTEM_ACCOUNT, *(each.name for each in self.accounts)}
        agree(self.accounts)
        check_mappings(self.mappings)
        if self.system_account not in names:
            raise ValueError(f'system account "{self.system_account}": account missing')
        if any(each.jetstream is not None and each.name == self.system_account for each in self.accounts):
            raise ValueError("jetstream can not be enabled on the system account")
        for user in self.users:
            if user.account not in names:
                raise ValueError(f'user "{user.user or user.nkey}": account "{user.account}" missing')

    def jetstream_accounts(self) -> dict[str, AccountJetStream]:
        """Return what each account may use of JetStream that has it. Where there are no others, ``$G`` has it, as there."""
        if self.jetstream is None:
            return {}
        if self.account_names() == {GLOBAL_ACCOUNT, self.system_account}:
            return {GLOBAL_ACCOUNT: AccountJetStream()}
        return {each.name: each.jetstream for each in self.accounts if each.jetstream is not None}

    @property
    def auth_required(self) -> bool:
        """True if a client must say who it is before it says anything else."""
        return self.token is not None or self.user is not None or bool(self.users) or self.authorizer is not None


def split_address(address: str, port: int) -> tuple[str, int]:
    """Return host and port of an address that is advertised: "host:port", "[host]:port", or without a port, which is then the other one.

    Raises:
        ValueError: it is no address.
    """
    host, colon, digits = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, digits = address, "0"
    is_literal = host.startswith("[") and host.endswith("]")
    bare = host[1:-1].strip() if is_literal else host.strip()
    if not bare or (":" in bare) != is_literal or not digits.strip().removeprefix("-").isdigit():
        raise ValueError(f"cannot advertise {address!r}: expected host:port")
    number = int(digits)
    return bare, port if number in (0, -1) else number


def _accepted(hint: Any) -> tuple[type, ...]:
    """Return the types that fit a field: an int passes for a float, as everywhere in Python. What is inside a tuple is not looked at."""
    if get_origin(hint) in (tuple, dict):
        return (get_origin(hint),)
    if get_origin(hint) is not None and not isinstance(hint, type) and type(None) in get_args(hint):
        kinds = tuple(kind for each in get_args(hint) for kind in _accepted(each))
    else:
        kinds = (get_origin(hint) or hint,)
    return (int, *kinds) if float in kinds else kinds


_TYPES = {name: _accepted(hint) for name, hint in get_type_hints(ServerOptions).items()}


class ServerKeywords(TypedDict, total=False):
    """The fields of ServerOptions as keyword arguments, where None stands for the default."""

    host: str | None
    port: int | None
    name: str | None
    user: str | None
    password: str | None
    token: str | None
    auth_timeout: float | None
    max_connections: int | None
    max_subscriptions: int | None
    max_payload: int | None
    max_control_line: int | None
    max_pending: int | None
    ping_interval: float | None
    ping_max: int | None
    write_deadline: float | None
    users: tuple[User, ...] | None
    accounts: tuple[AccountOptions, ...] | None
    system_account: str | None
    no_auth_user: str | None
    default_permissions: Permissions | None
    authorizer: Callable[..., Any] | None
    mappings: dict[str, tuple[Destination, ...]] | None
    tls: ServerTLS | None
    allow_non_tls: bool | None
    websocket: WebSocketListener | None
    client_advertise: str | None
    always_enable_nonce: bool | None
    no_header_support: bool | None
    max_sub_tokens: int | None
    max_traced_msg_len: int | None
    max_closed_clients: int | None
    lame_duck_duration: float | None
    lame_duck_grace_period: float | None
    http_host: str | None
    http_port: int | None
    https_port: int | None
    http_base_path: str | None
    jetstream: JetStreamOptions | bool | None
    store_dir: str | os.PathLike[str] | None
    server_tags: tuple[str, ...] | None
    server_metadata: dict[str, str] | None
    config_file: str | None
    config_digest: str | None
