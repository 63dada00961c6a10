"""What SUB and UNSUB say, who may subscribe, and what is said to those who may not. A guard's policy knows, where there is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midge.errors import RemoteProtocolError
from midge.server.permissions import DENIED, FILTERED
from midge.server.quote import quote

if TYPE_CHECKING:
    import cython

    from midge.server.session import Session
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.peer import Peer
    from cython.cimports.midge.server.sublist import Subscription
else:
    from midge.server.peer import Peer
    from midge.server.sublist import Subscription

__all__ = ["may_subscribe", "read_sub", "read_unsub", "refuse", "refuse_tokens", "tell_removed"]

_SYSTEM_QUEUE = b"_sys_"  # nobody may be in it
_FIELD = re.compile(rb"[^ \t\r\n]+")
_SIZE_DIGITS = 9


def read_sub(peer: Peer, line: bytes) -> Subscription:
    """Return the subscription that a peer asks for. It is in no sublist yet.

    Raises:
        RemoteProtocolError: there are too many arguments, or too few.
    """
    args = _arguments(line, 2, "processSub")
    count = len(args)
    return Subscription(peer, args[0], args[1] if count == 3 else None, args[count - 1])


def read_unsub(line: bytes) -> tuple[bytes, int]:
    """Return the sid of the subscription that is to end, and after how many messages; 0 for at once.

    Raises:
        RemoteProtocolError: there are too many arguments, or too few.
    """
    args = _arguments(line, 1, "processUnsub")
    return args[0], int(args[1]) if len(args) == 2 and args[1].isdigit() and len(args[1]) <= _SIZE_DIGITS else 0


def may_subscribe(peer: Peer, sub: Subscription) -> bool:
    """True if the peer may subscribe to this. Where it may not have all of it, its guard looks at what is delivered from now on."""
    if sub.queue == _SYSTEM_QUEUE:
        return False
    guard = peer.guard
    if guard is None:
        return True
    verdict: int = guard.policy.may_subscribe(sub.subject, sub.queue)
    if verdict == FILTERED:
        guard.filtering = True
    return verdict != DENIED


def refuse(session: Session, sub: Subscription) -> None:
    """Say that this may not be subscribed to."""
    name, number = quote(sub.subject), _text(sub.sid)
    if sub.queue is None:
        session.send_error(f"Permissions Violation for Subscription to {name}")
        session.complain("Subscription Violation - Subject %s, SID %s", name, number)
    else:
        queue = quote(sub.queue)
        session.send_error(f"Permissions Violation for Subscription to {name} using queue {queue}")
        session.complain("Subscription Violation - Subject %s, Queue: %s, SID %s", name, queue, number)


def refuse_tokens(session: Session, sub: Subscription) -> None:
    """Say that the subject has more tokens than it may have."""
    name = quote(sub.subject)
    session.send_error(f"Permissions Violation for Subscription to {name}, too many tokens")
    session.complain("Subscription Violation Too Many Tokens - Subject %s, SID %s", name, _text(sub.sid))


def tell_removed(session: Session, sub: Subscription) -> None:
    """Say that a subscription is no longer allowed. nats-server names the sid here, and only here."""
    name, number = quote(sub.subject), quote(sub.sid)
    session.send_error(f"Permissions Violation for Subscription to {name} (sid {number})")
    session.complain("Removed sub %s (sid %s) - not authorized", name, number)


def _arguments(line: bytes, least: int, function: str) -> list[bytes]:
    """Split a line as nats-server does: at runs of blank, tab, CR and LF. ``bytes.split`` would split at VT and FF as well.

    Args:
        least: how many arguments there are, or one more.
        function: where nats-server finds that there are not.
    """
    args = line.split()
    if b" ".join(args) != line:
        args = _FIELD.findall(line)
    if len(args) != least and len(args) != least + 1:
        raise RemoteProtocolError(f"{function} Parse Error: {quote(line)}")
    return args


def _text(sid: bytes) -> str:
    return sid.decode("utf-8", "replace")
