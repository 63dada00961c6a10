"""midge: NATS for Python, whole. A client, and a server that runs inside your process or on its own."""

from midge._version import VERSION as __version__
from midge.client.client import Client, Connecting, Stats, connect
from midge.client.handshake import ServerInfo
from midge.client.options import ErrorCallback, Options
from midge.client.replies import Replies
from midge.client.subscription import Callback, Subscription
from midge.client.tls_config import TLSConfig
from midge.errors import (
    AuthorizationError,
    CertificateError,
    ConnectAuthorizationError,
    ConnectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    CredentialsError,
    DisconnectedError,
    InvalidHeaderError,
    InvalidSubjectError,
    LocalProtocolError,
    MaxPayloadError,
    MidgeError,
    MidgeTimeoutError,
    MissingExtraError,
    MissingPackageError,
    NkeyError,
    NoRespondersError,
    OutboundFullError,
    PermissionsViolationError,
    ProtocolError,
    ReconnectBufferFullError,
    RemoteProtocolError,
    ServerError,
    ServerStartError,
    SlowConsumerError,
    SubscriptionClosedError,
    TLSError,
    TLSNotOfferedError,
    UpgradeError,
)
from midge.message import Headers, HeadersLike, Message
from midge.server.options import ServerOptions
from midge.server.server import Server
from midge.wire import parser as _parser

__all__ = [
    "AuthorizationError",
    "Callback",
    "CertificateError",
    "Client",
    "ConnectAuthorizationError",
    "ConnectError",
    "Connecting",
    "ConnectionClosedError",
    "ConnectionDrainingError",
    "CredentialsError",
    "DisconnectedError",
    "ErrorCallback",
    "Headers",
    "HeadersLike",
    "InvalidHeaderError",
    "InvalidSubjectError",
    "LocalProtocolError",
    "MaxPayloadError",
    "Message",
    "MidgeError",
    "MidgeTimeoutError",
    "MissingExtraError",
    "MissingPackageError",
    "NkeyError",
    "NoRespondersError",
    "Options",
    "OutboundFullError",
    "PermissionsViolationError",
    "ProtocolError",
    "ReconnectBufferFullError",
    "RemoteProtocolError",
    "Replies",
    "Server",
    "ServerError",
    "ServerInfo",
    "ServerOptions",
    "ServerStartError",
    "SlowConsumerError",
    "Stats",
    "Subscription",
    "SubscriptionClosedError",
    "TLSConfig",
    "TLSError",
    "TLSNotOfferedError",
    "UpgradeError",
    "__version__",
    "compiled",
    "connect",
]

compiled: bool = not (_parser.__file__ or "").endswith(".py")
