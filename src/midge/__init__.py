"""midge: NATS for Python, whole. A client, and a server that runs inside your process or on its own.

Client and server are imported when the first of their names is asked for: ``midge serve`` is started by supervisors and test suites
that wait for it, and has no use for a client; a command that talks to a server has none for another.
"""

import importlib
import typing

from midge._version import VERSION as __version__
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
    InvalidOperationError,
    InvalidSubjectError,
    JetStreamError,
    LocalProtocolError,
    MalformedMessageError,
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
    ServerDisconnectError,
    ServerError,
    ServerStartError,
    SlowConsumerError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
    SubscriptionClosedError,
    TLSError,
    TLSNotOfferedError,
    TooManySubscriptionsError,
    UpgradeError,
)
from midge.message import Headers, HeadersLike, Message
from midge.wire import parser as _parser

if typing.TYPE_CHECKING:
    from midge import events
    from midge.client.client import Client, Stats
    from midge.client.connect import Connecting, connect
    from midge.client.event_stream import EventStream
    from midge.client.handshake import ServerInfo
    from midge.client.options import ErrorCallback, EventCallback, Options
    from midge.client.replies import Replies
    from midge.client.subscription import Callback, Subscription
    from midge.client.tls_config import TLSConfig
    from midge.server.access import Permissions, Responses, User
    from midge.server.identity import AuthRequest, Identity
    from midge.server.jetstream_options import JetStreamLimits, JetStreamOptions
    from midge.server.listener_options import ServerTLS, WebSocketListener
    from midge.server.options import ServerOptions
    from midge.server.server import Server

__all__ = [
    "AuthRequest",
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
    "EventCallback",
    "EventStream",
    "Headers",
    "HeadersLike",
    "Identity",
    "InvalidHeaderError",
    "InvalidOperationError",
    "InvalidSubjectError",
    "JetStreamError",
    "JetStreamLimits",
    "JetStreamOptions",
    "LocalProtocolError",
    "MalformedMessageError",
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
    "Permissions",
    "PermissionsViolationError",
    "ProtocolError",
    "ReconnectBufferFullError",
    "RemoteProtocolError",
    "Replies",
    "Responses",
    "Server",
    "ServerDisconnectError",
    "ServerError",
    "ServerInfo",
    "ServerOptions",
    "ServerStartError",
    "ServerTLS",
    "SlowConsumerError",
    "Stats",
    "StoreDamagedError",
    "StoreError",
    "StoreLockedError",
    "StoreVersionError",
    "Subscription",
    "SubscriptionClosedError",
    "TLSConfig",
    "TLSError",
    "TLSNotOfferedError",
    "TooManySubscriptionsError",
    "UpgradeError",
    "User",
    "WebSocketListener",
    "__version__",
    "compiled",
    "connect",
    "events",
]

compiled: bool = not (_parser.__file__ or "").endswith(".py")

_HOMES = {
    "AuthRequest": "server.identity",
    "Callback": "client.subscription",
    "Client": "client.client",
    "Connecting": "client.connect",
    "ErrorCallback": "client.options",
    "EventCallback": "client.options",
    "EventStream": "client.event_stream",
    "Identity": "server.identity",
    "JetStreamLimits": "server.jetstream_options",
    "JetStreamOptions": "server.jetstream_options",
    "Options": "client.options",
    "Permissions": "server.access",
    "Replies": "client.replies",
    "Responses": "server.access",
    "Server": "server.server",
    "ServerInfo": "client.handshake",
    "ServerOptions": "server.options",
    "ServerTLS": "server.listener_options",
    "Stats": "client.client",
    "Subscription": "client.subscription",
    "TLSConfig": "client.tls_config",
    "User": "server.access",
    "WebSocketListener": "server.listener_options",
    "connect": "client.connect",
}


def _name_of_either(name: str) -> object:
    """Import a name of the client's or the server's, which is then as any other of the package."""
    if name == "events":
        return importlib.import_module("midge.events")  # which makes it an attribute
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"midge.{_HOMES[name]}"), name)
    return value


if not typing.TYPE_CHECKING:  # a type checker would take every name for one of the package
    __getattr__ = _name_of_either


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "events"})
