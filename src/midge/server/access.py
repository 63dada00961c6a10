"""Who may come in and what they may do, as it is configured: users and their permissions. Names and defaults are nats-server's."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CONNECTION_TYPES", "GLOBAL_ACCOUNT", "SYSTEM_ACCOUNT", "Permissions", "Responses", "User"]

GLOBAL_ACCOUNT = "$G"  # of everybody whom nobody has put into another
SYSTEM_ACCOUNT = "$SYS"
CONNECTION_TYPES = ("STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "INPROCESS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """``allow_responses``: who gets a message with a reply subject may answer there.

    Attributes:
        max_msgs: how often; less than 0 means without limit, 0 is 1.
        expires: seconds in which; less than 0 means for ever, 0 is 120.
    """

    max_msgs: int = 1
    expires: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What one may publish and subscribe to. What is denied is denied, whatever else allows it.

    Attributes:
        publish_allow: subjects, wildcards among them; None where everything is allowed.
        publish_deny: subjects.
        subscribe_allow: subjects, or "subject queue" for a member of that queue group, which may hold wildcards too; None for everything.
        subscribe_deny: the same.
        responses: what may be published in answer, though ``publish_allow`` does not hold it.
    """

    publish_allow: tuple[str, ...] | None = None
    publish_deny: tuple[str, ...] = ()
    subscribe_allow: tuple[str, ...] | None = None
    subscribe_deny: tuple[str, ...] = ()
    responses: Responses | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One who may connect.

    Attributes:
        user: the name; empty where there is an nkey.
        password: in plain text or as a bcrypt hash; empty for users whom their certificate names.
        nkey: the public key, ``U...``.
        account: the name of the account.
        permissions: None for the account's default ones, or else the server's, or else all.
        connection_types: of CONNECTION_TYPES, those that the user may come by; None for all.
        deadline: seconds since the epoch, when the connection ends; None for never.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    nkey: str = ""
    account: str = GLOBAL_ACCOUNT
    permissions: Permissions | None = None
    connection_types: tuple[str, ...] | None = None
    deadline: float | None = None
