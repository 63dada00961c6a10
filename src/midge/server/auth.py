"""Who may connect: what a client says in CONNECT against the server's options. Comparisons take the same time for any input."""

from __future__ import annotations

import hmac

from midge.server.connect import Connect
from midge.server.identity import ANYBODY, Identity, Origin
from midge.server.options import ServerOptions

__all__ = ["Authenticator"]


class Authenticator:
    """Lets clients in.

    Args:
        options: the server's options.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options

    def identify(self, connect: Connect, origin: Origin) -> Identity | None:
        """Return as whom a client is let in, None where it is not."""
        options = self._options
        if connect.account or connect.new_account:
            return None
        for user in options.users:
            if user.user and _same(user.user, connect.user) & _same(user.password, connect.password):
                return Identity(name=user.user, account=user.account, permissions=user.permissions, deadline=user.deadline)
        if options.users:
            return None
        if options.token is not None:
            return ANYBODY if _same(options.token, connect.auth_token) else None
        if options.user is not None and options.password is not None:
            is_good = _same(options.user, connect.user) & _same(options.password, connect.password)
            return Identity(name=options.user) if is_good else None
        return ANYBODY


def _same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode("utf-8", "surrogatepass"), given.encode("utf-8", "surrogatepass"))
