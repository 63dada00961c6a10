"""Publisher: the part of a Client that is on the message path, so that it can be compiled.

One call from Python into C per publish, and an awaitable that costs next to nothing when there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from midge.client.session import READY
from midge.message import HeadersLike

if TYPE_CHECKING:
    import cython

    from midge.client.connection import Connection
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.client.session import Session
else:
    from midge.client.session import Session

__all__ = ["Publisher"]


class Publisher:
    """Publishes through a session, and asks the connection to send where the session says so."""

    __slots__ = ("_connection", "_ready", "_session")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ready: Awaitable[None] = READY
        self._session: Session = connection.session

    def publish(self, subject: str, data: bytes = b"", *, reply: str | None = None, headers: HeadersLike | None = None) -> Awaitable[None]:
        """Publish a message. It is queued when the call returns; awaiting holds back a publisher that outruns the server.

        Args:
            subject: where to.
            data: the payload: bytes, bytearray or memoryview.
            reply: the subject that answers should go to.
            headers: a Headers, a mapping, or pairs.

        Raises:
            InvalidSubjectError, InvalidHeaderError: it cannot be sent as it is.
            MaxPayloadError: header and payload exceed the server's ``max_payload``.
            TypeError: the payload is not bytes.
            OutboundFullError: ``outbound_limit`` bytes wait already, because publishes are not awaited.
            ConnectionClosedError: the connection is closed.
        """
        waiting = self._session.publish(subject, data, reply, headers)
        if waiting == 0:
            return self._ready
        return self._connection.press(waiting)

    def use_session(self) -> None:
        """Take the connection's session, which is a new one for every attempt to connect."""
        self._session = self._connection.session
