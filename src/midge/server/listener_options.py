"""How clients reach a server other than by plain TCP, as it is configured: TLS and WebSocket. Names and defaults are nats-server's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf

from midge.server.origins import read_origin
from midge.server.tls_names import CIPHERS, CURVES, INSECURE_CIPHERS, TLS13_CIPHERS

__all__ = ["ServerTLS", "WebSocketListener"]

_PIN = re.compile("[a-f0-9]{64}")
_NOT_FOR_ANSWERS = ("host", "content-length", "connection", "upgrade", "nats-no-masking")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


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
        pinned_certs: SHA-256 of the public key (SPKI) of clients' certificates, in lower case hex; who shows none is refused;
            empty for any.
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

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):  # with neither, it says so when it is to be used, as nats-server does
            raise ValueError(f"missing {'cert_file' if not self.cert_file else 'key_file'!r} in TLS configuration")
        if not 0 < self.timeout < inf:
            raise ValueError(f"tls timeout {self.timeout}: expected more than 0, and finite")
        if not isinstance(self.handshake_first, bool) and not 0 < self.handshake_first < inf:
            raise ValueError(f"tls handshake_first {self.handshake_first}: expected True, False, or seconds to wait")
        if self.min_version not in ("1.2", "1.3"):
            raise ValueError(f"unsupported minimum TLS version: {self.min_version!r}; expected '1.2' or '1.3'")
        for name in self.ciphers:
            if name in INSECURE_CIPHERS:
                raise ValueError(f"insecure cipher suites are not supported: {name}")
            if name not in CIPHERS and name not in TLS13_CIPHERS:
                raise ValueError(f"unrecognized cipher {name}")
        for name in self.curves:
            if name not in CURVES:
                raise ValueError(f"unrecognized curve preference {name}")
        for pin in self.pinned_certs:
            if not _PIN.fullmatch(pin):
                raise ValueError(f"pinned_certs key {pin} does not look like lower case hex-encoded sha256 of a public key (SPKI)")

    @property
    def verifies(self) -> bool:
        """A client must show a certificate."""
        return self.verify or self.verify_and_map


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketListener:
    """The ``websocket`` block.

    Attributes:
        host, port: where to listen; port -1 takes a free one.
        advertise: "host:port" that other servers would be told; a server alone tells nobody, as nats-server does.
        tls: None where ``no_tls`` is set.
        no_tls: it is meant to be without.
        same_origin, allowed_origins: what the Origin header may say.
        compression: where a client can do it, too.
        handshake_timeout: seconds for all that comes before INFO, the TLS handshake too.
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

    def __post_init__(self) -> None:
        if not -1 <= self.port <= 65535:
            raise ValueError(f"websocket port {self.port}: expected 1 to 65535, or -1 for a free one")
        if self.tls is None and not self.no_tls:
            raise ValueError("websocket requires TLS configuration")
        if not 0 < self.handshake_timeout < inf:
            raise ValueError(f"websocket handshake_timeout {self.handshake_timeout}: expected more than 0, and finite")
        for name in ("ping_interval", "auth_timeout"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"websocket {name} {getattr(self, name)}: expected 0 or more, and finite")
        if self.token and (self.user or self.password):
            raise ValueError("a websocket user and a token exclude each other")
        for origin in self.allowed_origins:
            try:
                read_origin(origin)
            except ValueError as error:
                raise ValueError(f'unable to parse allowed origin "{origin}": {error}') from None
        for name, value in self.headers.items():
            if name.lower() in _NOT_FOR_ANSWERS:
                raise ValueError(f'websocket: invalid header "{name}" not allowed')
            if name.lower().startswith("sec-websocket-"):
                raise ValueError(f'websocket: invalid header "{name}", "Sec-WebSocket-" prefix not allowed')
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"websocket: header {name!r} cannot be sent")
