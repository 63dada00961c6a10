"""What a server can be told: one frozen value, checked when it is made. Names and defaults are nats-server's."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import inf
from typing import get_type_hints

from midge.wire.parser import DEFAULT_MAX_CONTROL_LINE, DEFAULT_MAX_PAYLOAD

__all__ = ["MAX_PAYLOAD_LIMIT", "ServerOptions"]

MAX_PAYLOAD_LIMIT = 64 << 20
MAX_CONTROL_LINE_LIMIT = 1 << 18  # a subject has at most half as many tokens, and the trie as many levels
BCRYPT = ("$2a$", "$2b$", "$2x$", "$2y$")  # how nats-server tells a hashed password from one in plain text


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The options of one server.

    Attributes:
        host: the address to listen on; a name stands for all its addresses.
        port: the port to listen on; 0 or -1 takes a free one.
        name: the server's name; its id where empty.
        user, password, token: what a client must present, in plain text; a user and a token exclude each other.
        auth_timeout: seconds a client has to present it.
        max_connections: clients at once; the next is refused.
        max_subscriptions: subscriptions of one client; 0 means no limit.
        max_payload: bytes of header and payload in one message.
        max_control_line: bytes of arguments in one protocol line.
        max_pending: bytes that may wait for one client; more makes it a slow consumer, and it is disconnected.
        ping_interval: seconds between two PINGs to an idle client.
        ping_max: unanswered PINGs before a client is stale.
        write_deadline: seconds without progress after which a client that does not read is a slow consumer.
    """

    host: str = "127.0.0.1"
    port: int = 4222
    name: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    auth_timeout: float = 2.0
    max_connections: int = 65536
    max_subscriptions: int = 0
    max_payload: int = DEFAULT_MAX_PAYLOAD
    max_control_line: int = DEFAULT_MAX_CONTROL_LINE
    max_pending: int = 64 << 20
    ping_interval: float = 120.0
    ping_max: int = 2
    write_deadline: float = 10.0

    def __post_init__(self) -> None:
        self._check_types()
        self._check_credentials()
        if not -1 <= self.port <= 65535:
            raise ValueError(f"port {self.port}: expected 1 to 65535, or 0 or -1 for a free one")
        for name in ("auth_timeout", "max_control_line", "max_payload", "max_pending", "ping_interval", "ping_max", "write_deadline"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} {getattr(self, name)}: expected more than 0, and finite")
        for name in ("max_connections", "max_subscriptions"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)}: expected 0 or more")
        if self.max_control_line > MAX_CONTROL_LINE_LIMIT:
            raise ValueError(f"max_control_line {self.max_control_line}: expected at most {MAX_CONTROL_LINE_LIMIT}")
        if self.max_payload > MAX_PAYLOAD_LIMIT:
            raise ValueError(f"max_payload {self.max_payload}: expected at most {MAX_PAYLOAD_LIMIT}")
        if self.max_payload > self.max_pending:
            raise ValueError(f"max_payload {self.max_payload} exceeds max_pending {self.max_pending}")

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
        for name, value in (("password", self.password), ("token", self.token)):
            if value is not None and value.startswith(BCRYPT):
                # Compared as it stands, it would let in whoever sends the hash itself.
                raise ValueError(f"the {name} looks like a bcrypt hash, which is not supported: give it in plain text")

    @property
    def auth_required(self) -> bool:
        return self.token is not None or self.user is not None


def _accepted(hint: object) -> tuple[type, ...]:
    """Return the types that fit a field: an int passes for a float, as everywhere in Python."""
    kinds = tuple(getattr(hint, "__args__", (hint,)))
    return (int, *kinds) if float in kinds else kinds


_TYPES = {name: _accepted(hint) for name, hint in get_type_hints(ServerOptions).items()}
