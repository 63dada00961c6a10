"""How clients reach a server other than by plain TCP, as it is configured: TLS and WebSocket. Names and defaults are nats-server's."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ServerTLS", "WebSocketListener"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS:
    """One ``tls`` block. Files are read when the server starts, and again when it reloads.

    Attributes:
        cert_file, key_file: the certificate with its chain, and its key, PEM.
        ca_file: what clients' certificates must be signed by; the system's where empty.
        verify: a client must have a certificate.
        verify_and_map: and it says which user the client is.
        timeout: seconds for the handshake.
        handshake_first: before INFO: True, or seconds to wait for it, after which INFO is sent first; False for never.
        min_version: "1.2" or "1.3".
        ciphers: names as in nats-server's ``cipher_suites`` (Go's), empty for the defaults.
        curves: names as in nats-server's ``curve_preferences``, empty for the defaults.
        pinned_certs: SHA-256 of the public key (SPKI) of clients' certificates, in hex; empty for any.
        rate_limit: connections a second; -1 for any number.
    """

    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    verify: bool = False
    verify_and_map: bool = False
    timeout: float = 2.0
    handshake_first: bool | float = False
    min_version: str = "1.2"
    ciphers: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    pinned_certs: frozenset[str] = frozenset()
    rate_limit: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketListener:
    """The ``websocket`` block.

    Attributes:
        host, port: where to listen; port -1 takes a free one.
        advertise: "host:port" that clients are told.
        tls: None where ``no_tls`` is set.
        no_tls: it is meant to be without.
        same_origin, allowed_origins: what the Origin header may say.
        compression: where a client can do it, too.
        handshake_timeout: seconds.
        ping_interval: seconds between two PINGs; 0 for the server's.
        jwt_cookie, user_cookie, pass_cookie, token_cookie: the cookies that credentials come in, where the client has none in CONNECT.
        no_auth_user: who comes by WebSocket without credentials.
        user, password, token: what clients must present that come by WebSocket, in place of the server's.
        auth_timeout: seconds that they have to present it; 0 for the server's.
        headers: what the answer to the handshake has in addition.
    """

    host: str = "0.0.0.0"
    port: int = 0
    advertise: str = ""
    tls: ServerTLS | None = None
    no_tls: bool = False
    same_origin: bool = False
    allowed_origins: tuple[str, ...] = ()
    compression: bool = False
    handshake_timeout: float = 2.0
    ping_interval: float = 0.0
    jwt_cookie: str = ""
    user_cookie: str = ""
    pass_cookie: str = ""
    token_cookie: str = ""
    no_auth_user: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    auth_timeout: float = 0.0
    headers: dict[str, str] = field(default_factory=dict, hash=False)
