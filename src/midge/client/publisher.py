"""Publisher: the part of a Client that is on the message path, so that it can be compiled.

One call from Python into C per publish, and an awaitable that costs next to nothing when there is nothing to wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.client.encoder import Payload
from midge.client.room import READY, Answer
from midge.client.session import FLUSH_AT
from midge.message import HeadersLike, Message

if TYPE_CHECKING:
    import cython

    from midge.client.connection import Connection
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.cpython.pythread import PyThread_get_thread_ident as get_ident
    from cython.cimports.midge.client.session import Session
else:
    from threading import get_ident

    from midge.client.session import Session

__all__ = ["Publisher"]

_FLUSH_AT = FLUSH_AT


class Publisher:
    """Publishes through a session, and asks the connection to send where the session says so."""

    __slots__ = ("_connection", "_ready", "_session", "_thread")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ready: Answer = READY
        self._session: Session = connection.session
        self._thread = 0

    def publish(self, subject: str, data: Payload = b"", *, reply: str | None = None, headers: HeadersLike | None = None) -> Answer:
        """Publish a message. It is queued when the call returns; awaiting holds back a publisher that outruns the server.

        In another thread than the client's, ``asyncio.run_coroutine_threadsafe(nc.publish(...), loop)`` publishes; the bare call raises.

        Args:
            subject: where to; it holds no wildcard.
            data: the payload: bytes, bytearray or memoryview; or a str, which goes out as UTF-8.
            reply: the subject that answers should go to.
            headers: a Headers, such as those of another message, a mapping, or pairs.

        Raises:
            InvalidSubjectError, InvalidHeaderError: it cannot be sent as it is.
            MaxPayloadError: header and payload exceed the server's ``max_payload``.
            LocalProtocolError: a str holds half a surrogate pair, or the server knows no headers.
            TypeError: the payload is neither bytes nor str.
            OutboundFullError: ``outbound_limit`` bytes wait already, because publishes are not awaited.
            ConnectionClosedError: the connection is closed.
            RuntimeError: another thread, another event loop, or a process forked from the client's, called.
        """
        if get_ident() != self._thread:
            return self._connection.home.publish_from_elsewhere(subject, data, reply, headers)
        if not self._session.scheduled:  # the first of its turn: that another event loop runs is found here
            self._connection.home.check_loop()
        waiting = self._session.publish(subject, data, reply, headers)
        if waiting == 0:
            return self._ready
        return self._connection.make_room(waiting)

    def answer(self, subject: str, data: bytes) -> Answer:
        """Publish to a subject that a server sent, such as that of an acknowledgement; otherwise as ``publish``."""
        if get_ident() != self._thread:
            return self._connection.home.publish_from_elsewhere(subject, data, None, None)
        if not self._session.scheduled:
            self._connection.home.check_loop()
        waiting = self._session.answer(subject, data)
        if waiting == 0:
            return self._ready
        return self._connection.make_room(waiting)

    def ask(self, subject: str, data: Payload, headers: HeadersLike | None, waiter: Any) -> str:
        """Queue a request whose answer ``waiter.receive`` is called with, and return its token; ``room`` has it sent.

        Raises as ``publish``, and in another thread.
        """
        if get_ident() != self._thread or not self._session.scheduled:
            self._connection.home.check()
        return self._session.request(subject, data, headers, waiter)

    def room(self) -> Answer:
        """See to it that what was queued is sent; return what holds back who queues more."""
        outbox = self._session.outbox
        waiting = outbox.before + outbox.fill - outbox.start
        if self._session.scheduled and waiting < _FLUSH_AT:
            return self._ready
        return self._connection.make_room(waiting)

    def note_malformed(self, message: Message) -> None:
        """Somebody has looked at the headers of a message of this client's, in any thread, and they are malformed."""
        self._connection.note_malformed(message.subject)

    def use_session(self, session: Session, thread: int) -> None:
        """Publish through this session from now on, in this thread alone; 0 for none."""
        self._session = session
        self._thread = thread

    def is_here(self) -> bool:
        """True in the thread that may use the client."""
        return get_ident() == self._thread
