"""What a server's -ERR means: which error it is, and which subscription it is about.

A server says ``-ERR 'text'`` and the text is all there is. Whether the connection goes on is for the server to decide: it closes
the connection itself where it does not, so a text that we do not know is reported and ends nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from midge.client.interest import Feed, Interest
from midge.errors import AuthorizationError, PermissionsViolationError, ServerError

__all__ = ["Refusal", "read_refusal"]

# What a text holds, in lower case, and the error it makes; the first that fits.
_KINDS: tuple[tuple[str, type[ServerError]], ...] = (
    ("permissions violation", PermissionsViolationError),
    ("authorization violation", AuthorizationError),
    ("authentication timeout", AuthorizationError),
    ("authentication expired", AuthorizationError),  # of a user or of an account
    ("authentication revoked", AuthorizationError),
)
# A quoted name ends at the first quotation mark that is not escaped: there is nothing to search, however long a hostile text is.
_NAME = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_SUBSCRIPTION = re.compile(rf'permissions violation for subscription to {_NAME}(?: using queue {_NAME})?(?: \(sid "(\d{{1,18}})"\))?', re.I)


class Refusal(NamedTuple):
    """An -ERR.

    Attributes:
        error: what to raise or report.
        subject, queue: the subscription that was refused, None where it is not about one.
        sid: the subscription's id, which nats-server says from 2.15 on; None where it does not.
    """

    error: ServerError
    subject: str | None = None
    queue: str | None = None
    sid: int | None = None

    def find(self, interest: Interest) -> Feed | None:
        """Return the feed that was refused: that of the sid, else the oldest with the subject and queue group."""
        if self.sid is not None:
            return interest.feeds.get(self.sid)
        return None if self.subject is None else interest.find(self.subject, self.queue)


def read_refusal(text: str) -> Refusal:
    """Read the text of an -ERR."""
    folded = text.lower()
    kind = next((kind for part, kind in _KINDS if part in folded), ServerError)
    found = _SUBSCRIPTION.match(text)
    if found is None:
        return Refusal(kind(text))
    return Refusal(kind(text), _unquote(found[1]), _unquote(found[2]), None if found[3] is None else int(found[3]))


def _unquote(quoted: str | None) -> str | None:
    """Undo what Go's %q does to a printable text."""
    return None if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
