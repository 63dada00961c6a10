"""midge: NATS for Python, whole. A client, and a server that runs inside your process or on its own."""

import logging

from midge._version import VERSION as __version__
from midge.client.client import Client, Stats, connect
from midge.client.info import ServerInfo
from midge.client.subscription import Subscription
from midge.errors import (
    AuthorizationError,
    ConnectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    InvalidHeaderError,
    InvalidSubjectError,
    LocalProtocolError,
    MaxPayloadError,
    MidgeError,
    MidgeTimeoutError,
    MissingExtraError,
    NoRespondersError,
    OutboundFullError,
    PermissionsViolationError,
    ProtocolError,
    RemoteProtocolError,
    ServerError,
    ServerStartError,
    SlowConsumerError,
    SubscriptionClosedError,
)
from midge.message import Headers, HeadersLike, Message
from midge.server.options import ServerOptions
from midge.server.server import Server
from midge.wire import parser as _parser

__all__ = [
    "AuthorizationError",
    "Client",
    "ConnectError",
    "ConnectionClosedError",
    "ConnectionDrainingError",
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
    "NoRespondersError",
    "OutboundFullError",
    "PermissionsViolationError",
    "ProtocolError",
    "RemoteProtocolError",
    "Server",
    "ServerError",
    "ServerInfo",
    "ServerOptions",
    "ServerStartError",
    "SlowConsumerError",
    "Stats",
    "Subscription",
    "SubscriptionClosedError",
    "__version__",
    "compiled",
    "connect",
]

compiled: bool = not (_parser.__file__ or "").endswith(".py")

logging.getLogger("midge").addHandler(logging.NullHandler())
