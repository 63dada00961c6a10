"""What a client can be told: one frozen value, checked when it is made. Secrets do not show in its repr."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from midge.errors import InvalidSubjectError
from midge.subject import check_publish, has_wildcard

__all__ = ["ErrorCallback", "Options"]

ErrorCallback = Callable[[Exception], Awaitable[Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one client.

    Attributes:
        name: the client's name, for the server's monitoring.
        user, password, token: credentials; those in a server's URL win.
        timeout: seconds for connecting to one server: TCP, INFO, CONNECT and PONG together (ADR-40).
        ping_interval: seconds between two PINGs to the server.
        max_pings_out: unanswered PINGs before the connection counts as lost.
        echo: False keeps the server from sending us what we published.
        verbose, pedantic: ask the server for +OK after, and for strict checks of, everything.
        inbox_prefix: what reply subjects begin with.
        error_callback: is told what has no caller; a plain function or a coroutine function. Without one, errors are logged.
        drain_timeout: seconds that ``drain`` may take.
        outbound_limit: bytes that may wait to be sent before publishing without awaiting fails.
    """

    name: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    timeout: float | None = 5.0
    ping_interval: float = 120.0
    max_pings_out: int = 2
    echo: bool = True
    verbose: bool = False
    pedantic: bool = False
    inbox_prefix: str = "_INBOX"
    error_callback: ErrorCallback | None = None
    drain_timeout: float | None = 30.0
    outbound_limit: int = 64 << 20

    def __post_init__(self) -> None:
        for name in ("name", "user", "password", "token"):
            _check_text(name, getattr(self, name))
        check_publish(self.inbox_prefix, "inbox prefix")
        if has_wildcard(self.inbox_prefix):
            raise InvalidSubjectError(self.inbox_prefix, "it holds a wildcard", what="inbox prefix")
        if self.error_callback is not None and not callable(self.error_callback):
            raise TypeError(f"an error callback is a function or a coroutine function, not {type(self.error_callback).__name__}")
        for name in ("ping_interval", "max_pings_out", "outbound_limit"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: expected more than 0")
        for name in ("timeout", "drain_timeout"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} {value}: expected more than 0, or None for no limit")
        if self.token is not None and self.user is not None:
            raise ValueError("a user and a token exclude each other")
        if self.password is not None and self.user is None:
            raise ValueError("a password needs a user")


def _check_text(name: str, value: object) -> None:
    """Check what goes into CONNECT; the value itself may be a secret and is not shown."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{name} holds a lone surrogate, which is not text")
