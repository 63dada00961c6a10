"""Who a client is: what is known of it before it says a word (its origin), and what its CONNECT has made it (its identity).

Finding out may take a while. The session is pure and does not wait: it is told that the verdict is *pending*, hears nothing more, and the
driver brings it the verdict that comes of it (``Admission.resolve``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from midge.errors import NkeyError
from midge.nkeys import KeyPair
from midge.server.access import GLOBAL_ACCOUNT, Permissions

__all__ = [
    "ANYBODY", "BY_TCP", "BY_WEBSOCKET", "IN_PROCESS", "WEBSOCKET", "AuthRequest", "Awaited", "Computed", "Identity", "Origin", "Pending",
]  # fmt: skip

WEBSOCKET = "WEBSOCKET"  # of CONNECTION_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How a client came.

    Attributes:
        kind: one of CONNECTION_TYPES.
        forwarded_for: the address that a proxy has said a WebSocket comes from, bracketed where it is one of IPv6; empty where none has.
        tls: it came by TLS.
        tls_version, tls_cipher: as Go writes them in connz.
        tls_first: the handshake came before INFO.
        certificate: the client's certificate, DER; None where it has shown none.
        cookies: by the name of a CONNECT field (``jwt``, ``user``, ``password``, ``auth_token``), what its WebSocket handshake brought.
    """

    kind: str = "STANDARD"
    forwarded_for: str = ""
    tls: bool = False
    tls_version: str = ""
    tls_cipher: str = ""
    tls_first: bool = False
    certificate: bytes | None = field(default=None, repr=False)
    cookies: dict[str, str] = field(default_factory=dict, hash=False, repr=False)


BY_TCP = Origin()
BY_WEBSOCKET = Origin(kind=WEBSOCKET)
IN_PROCESS = Origin(kind="INPROCESS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom a client was let in.

    Attributes:
        name: the user's name, or public nkey; empty where nobody is asked.
        account: the name of the account.
        permissions: None for everything; from an authorizer, for the account's default ones, or else the server's.
        deadline: seconds since the epoch, when it ends; None for never.
    """

    name: str = ""
    account: str = GLOBAL_ACCOUNT
    permissions: Permissions | None = None
    deadline: float | None = None


ANYBODY = Identity()


@dataclass(frozen=True, slots=True)
class Computed:
    """A verdict that has to be computed, which takes too long for an event loop.

    Attributes:
        compute: returns it, in any thread.
    """

    compute: Callable[[], Identity | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A verdict that somebody else will give.

    Attributes:
        answer: what to await.
        conclude: makes the verdict of what it returns, or of what it raises.
    """

    answer: Awaitable[Any] = field(repr=False)
    conclude: Callable[[Any], Identity | None] = field(repr=False)

    def drop(self) -> None:
        """Nobody is going to await it: a coroutine is closed, a future cancelled."""
        end = getattr(self.answer, "close", None) or getattr(self.answer, "cancel", None)
        if end is not None:
            end()


Pending = Computed | Awaited


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthRequest:
    """Who wants to connect: what an authorizer is asked. What is secret is not shown.

    Attributes:
        user, password, token, nkey, jwt: what the client presents, empty where it does not.
        nonce: what the client was given to sign with its nkey.
        signature: what it has made of that, 64 bytes; empty where it has not.
        name, lang, version: what it says of itself.
        address: "host:port"; no port where it is in the same process.
        origin: how it came: by what kind of connection, by TLS, with which certificate.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    nkey: str = ""
    jwt: str = field(default="", repr=False)
    nonce: str = field(default="", repr=False)
    signature: bytes = field(default=b"", repr=False)
    name: str = ""
    lang: str = ""
    version: str = ""
    address: str = ""
    origin: Origin = BY_TCP

    def has_signed(self, nkey: str = "") -> bool:
        """True if the client has the seed of a public nkey: of the one that it presents, where none is given."""
        try:
            return KeyPair.from_public(nkey or self.nkey).verify(self.nonce.encode(), self.signature)
        except NkeyError:
            return False
