"""Advice: what nats-server warns of when it starts, in its words: options that are no mistake and all the same no good idea. Pure.

What is about a port (``Websocket not configured with TLS``) is said where the port is announced, and what is about a file where it is read.
"""

from __future__ import annotations

from midge.server.access import User
from midge.server.options import ServerOptions
from midge.server.passwords import is_hash

__all__ = ["advice"]

_LARGE_PAYLOAD = 8 << 20
_PLAIN_TEXT = "Plaintext passwords detected, use nkeys or bcrypt"
_LARGE = "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance"


def advice(options: ServerOptions) -> tuple[str, str]:
    """Return what there is to be said of credentials, and of limits; empty where nothing."""
    return _PLAIN_TEXT if _has_plain_text(options) else "", _LARGE if options.max_payload > _LARGE_PAYLOAD else ""


def _has_plain_text(options: ServerOptions) -> bool:
    """True if a password is no hash. Of tokens nats-server says nothing, nor of what is only for WebSockets."""
    if options.password and not is_hash(options.password):
        return True
    if options.authorizer is not None:  # nobody looks at the users then
        return False
    return any(not user.nkey and not is_hash(user.password) and not _is_for_certificates(user, options) for user in options.users)


def _is_for_certificates(user: User, options: ServerOptions) -> bool:
    """True if a user has no password because a certificate names it."""
    if user.password:
        return False
    kinds, websocket = user.connection_types, options.websocket
    by_tcp = options.tls is not None and options.tls.verify_and_map and (not kinds or "STANDARD" in kinds)
    by_websocket = websocket is not None and websocket.tls is not None and websocket.tls.verify_and_map
    return by_tcp or (by_websocket and (not kinds or "WEBSOCKET" in kinds))
