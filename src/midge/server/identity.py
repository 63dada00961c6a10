"""Who a client is: what is known of it before it says a word (its origin), and what its CONNECT has made it (its identity)."""

from __future__ import annotations

from dataclasses import dataclass, field

from midge.server.access import GLOBAL_ACCOUNT, Permissions

__all__ = ["ANYBODY", "BY_TCP", "BY_WEBSOCKET", "IN_PROCESS", "WEBSOCKET", "Identity", "Origin"]

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
        permissions: None for everything.
        deadline: seconds since the epoch, when it ends; None for never.
    """

    name: str = ""
    account: str = GLOBAL_ACCOUNT
    permissions: Permissions | None = None
    deadline: float | None = None


ANYBODY = Identity()
