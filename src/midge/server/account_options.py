"""Accounts as they are configured: limits, and what one account lets others have and takes from others.

Names and defaults are nats-server's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from midge.server.access import Permissions

__all__ = ["AccountOptions", "Destination", "Export", "Import", "Latency", "MsgTrace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long a service takes is told to those who subscribe to ``subject``, for ``sampling`` of a hundred requests.

    A sampling of 0 means those requests whose headers ask for it ("headers").
    """

    subject: str
    sampling: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What an account lets others have.

    Attributes:
        kind: "stream" for messages, "service" for answers to requests.
        subject: which.
        accounts: the names of those that may import it; None for all, and none of them for nobody.
        token_position: the token of the subject that must be the importer's name, counted from 1; 0 for none.
        response: of a service: "Singleton", "Stream" or "Chunked".
        threshold: of a service: seconds within which it must answer; 0 for nats-server's default.
        latency: of a service: whom to tell how long it takes.
        allow_trace: of a service: message tracing goes on into this account.
    """

    kind: str
    subject: str
    accounts: tuple[str, ...] | None = None
    token_position: int = 0
    response: str = "Singleton"
    threshold: float = 0.0
    latency: Latency | None = None
    allow_trace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What an account takes from another.

    Attributes:
        kind: "stream" or "service".
        account: the name of the account that exports it.
        subject: there.
        to: here; empty for the same. It may change the order of the wildcards ("$1", "{{wildcard(1)}}").
        prefix: of a stream: what the subject begins with here; without meaning for a service, as with nats-server.
        share: of a service: the exporter learns who asks; without meaning for a stream.
        allow_trace: of a stream: message tracing goes on into this account.
    """

    kind: str
    account: str
    subject: str
    to: str = ""
    prefix: str = ""
    share: bool = False
    allow_trace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a mapping leads: the subject, and how many of a hundred messages go there; in this cluster only, where one is named."""

    subject: str
    weight: int = 100
    cluster: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MsgTrace:
    """Messages that a ``traceparent`` header calls sampled are traced to ``dest``, ``sampling`` of a hundred of them."""

    dest: str
    sampling: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOptions:
    """One account.

    Attributes:
        name: its name.
        nkey: its public key, where it has one.
        exports, imports: what it lets others have and takes.
        mappings: by subject, where to messages published to it really go.
        default_permissions: of its users that have none of their own.
        max_connections: at once; -1 for any number.
        max_subscriptions: of one of its connections, at once; -1 for the server's limit.
        max_payload: bytes of header and payload in one message; -1 for the server's limit.
        msg_trace: where messages are traced to that name no place themselves; None for nowhere.
    """

    name: str
    nkey: str = ""
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    mappings: dict[str, tuple[Destination, ...]] = field(default_factory=dict, hash=False)
    default_permissions: Permissions | None = None
    max_connections: int = -1
    max_subscriptions: int = -1
    max_payload: int = -1
    msg_trace: MsgTrace | None = None
