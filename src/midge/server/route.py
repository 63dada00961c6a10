"""Route: the way of a consumer's messages to those who listen to one subject, which is not the messages' own.

Who listens is found once, and again when anybody has subscribed or left since: until then the result holds, as results name nodes and not
their members. It is found by the account's name where a reload has made the accounts anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.account import Account
    from cython.cimports.midge.server.results import Result
    from cython.cimports.midge.server.sublist import Sublist
else:
    from midge.server.account import Account
    from midge.server.results import Result
    from midge.server.sublist import Sublist

__all__ = ["Route"]


class Route:
    """One way.

    Attributes:
        account: the account's name.
        subject: what those at its end are subscribed to.
        sublist: where they were found; None before.
        result: who they were.
    """

    __slots__ = ("_changes", "account", "result", "subject", "sublist")

    def __init__(self, account: str, subject: bytes) -> None:
        self.account = account
        self.subject = subject
        self.sublist: Sublist | None = None
        self.result: Result | None = None
        self._changes = 0

    def find(self, account: Account) -> Result:
        """Return who listens in this account, which is the one of the name."""
        sublist = account.sublist
        changes = sublist.inserts + sublist.removes
        if self.result is None or self.sublist is not sublist or self._changes != changes:
            self.sublist = sublist
            self._changes = changes
            self.result = sublist.match_uncached(self.subject)
        return self.result
