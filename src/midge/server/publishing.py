"""What a client may not publish whoever it is, and what it hears of what it has published: that it may not, or that nobody was there.

The hub asks on the message path, for requests and for subjects that begin as those do that servers keep for themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.quote import quote
from midge.server.message_trace import MessageTrace
from midge.server.trace import log_mapping

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.peer import Peer
    from cython.cimports.midge.server.results import Result
    from cython.cimports.midge.server.session import Session
    from cython.cimports.midge.server.sublist import Subscription
    from cython.cimports.midge.server.tokens import is_reserved, is_reserved_reply
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.server.peer import Peer
    from midge.server.results import Result
    from midge.server.session import Session
    from midge.server.sublist import Subscription
    from midge.server.tokens import is_reserved, is_reserved_reply
    from midge.wire.publication import Publication

__all__ = ["is_only_traced", "note_mapping", "refuse", "refuse_reserved", "say_no_responders"]

_DOLLAR = 0x24
_UNDERSCORE = 0x5F


def refuse(session: Session, subject: bytes) -> int:
    """Say that this may not be published to. Returns its length."""
    name = quote(subject)
    _tell(session, f"Permissions Violation for Publish to {name}")
    session.complain("Publish Violation - Subject %s", name)
    return len(subject)


def refuse_reserved(session: Session, publication: Publication) -> int:
    """Refuse subjects and reply subjects that servers keep for themselves. Returns the length of the one that is refused, or 0."""
    first = publication.buf[publication.subject_start]
    if first == _DOLLAR or first == _UNDERSCORE:
        subject = publication.subject()
        if is_reserved(subject) and not (session.account.name == session.hub.options.system_account and subject.startswith(b"$NRG.")):
            return refuse(session, subject)
    if publication.reply_end == 0:
        return 0
    first = publication.buf[publication.reply_start]
    if first != _DOLLAR and first != _UNDERSCORE:
        return 0
    reply = publication.reply()
    if not is_reserved_reply(reply):
        return 0
    name = quote(reply)
    _tell(session, f"Permissions Violation for Publish with Reply of {name}")
    session.complain("Publish Violation - Reply %s", name)
    return len(reply)


def is_only_traced(trace: MessageTrace, producer: Peer | None, sub: Subscription, publication: Publication) -> bool:
    """Let a trace note that a client's subscription gets the message, or why not. True if all that it gets is this note.

    The call stands here and not in the hub, where those who trace nothing would pass by what it takes.
    """
    return trace.stops(producer, sub, publication)


def note_mapping(session: Session, subject: bytes, target: bytes) -> None:
    """Note where a publish really goes, for the log, or for who wants to know what becomes of it."""
    if session.hub.trace is not None:
        session.hub.trace.add_mapping(target)
    if session.tracing:
        log_mapping(session, subject, target)


def _tell(session: Session, error: str) -> None:
    """Tell the client, and who wants to know what becomes of its message."""
    trace = session.hub.trace
    if trace is not None:
        trace.set_error(error)
    session.send_error(error)


def say_no_responders(session: Session, publication: Publication, result: Result) -> int:
    """Answer a request that nobody gets with status 503, if the publisher itself listens on the reply subject, and in no group.

    Args:
        result: who is subscribed to the reply subject.

    Returns: how many subscriptions were looked at, where there was a list of them.
    """
    looked_at = 0
    own: Subscription | None = None
    for node in result.nodes:
        if node.one is not None and node.one.peer is session:
            own = node.one
            break
        if node.plain is not None:
            looked_at += len(node.plain)
            own = _own(node.plain, session)
            if own is not None:
                break
    if own is not None:
        header = b"NATS/1.0 503\r\nNats-Subject: %b\r\n\r\n" % publication.subject()
        session.put_line(b"HMSG %b %b %d %d\r\n%b" % (publication.reply(), own.sid, len(header), len(header), header))
    return looked_at


def _own(subs: list[Subscription | None], session: Session) -> Subscription | None:
    """Return the first that is the session's."""
    for sub in subs:
        if sub is not None and sub.peer is session:
            return sub
    return None
