"""Who may connect: the CONNECT line's credentials against the server's options. Comparisons take the same time for any input."""

from __future__ import annotations

import hmac

from midge.server.connect import Connect
from midge.server.options import ServerOptions

__all__ = ["is_allowed"]


def is_allowed(options: ServerOptions, connect: Connect) -> bool:
    """True if no credentials are wanted, or these are the right ones."""
    if options.token is not None:
        return _same(options.token, connect.auth_token)
    if options.user is not None and options.password is not None:
        return _same(options.user, connect.user) & _same(options.password, connect.password)
    return True


def _same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode("utf-8", "surrogatepass"), given.encode("utf-8", "surrogatepass"))
