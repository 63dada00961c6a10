"""Connections: those of one server that are in, each until its link is closed. For tests, the next ones can be refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from midge.link import Link
from midge.server.connection import Connection
from midge.server.session import Session
from midge.server.turns import Turns

__all__ = ["Connections"]


class Connections:
    """The open connections."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._all_closed: asyncio.Future[None] | None = None  # while that is waited for
        self._refusals = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """Go through those that there are now: they may close meanwhile."""
        return iter(list(self._open))

    def let_in(self, turns: Turns, session: Session, link: Link) -> None:
        """Let in one that is yet to be greeted."""
        self._add(turns, session, link).start()

    def take_over(self, turns: Turns, session: Session, link: Link) -> None:
        """Let in one that was greeted in the lobby."""
        self._add(turns, session, link).take_over()

    def refuse(self, count: int) -> None:
        """Refuse so many of those that come next."""
        self._refusals = count

    def is_refused(self) -> bool:
        """True if the one that comes now is to be refused. It counts."""
        if self._refusals:
            self._refusals -= 1
            return True
        return False

    async def close(self, reason: str, seconds: float) -> None:
        """Close all, sending what waits for them, and wait for so long at most until they are closed."""
        for connection in self:
            connection.close(reason)
        if self._open:
            self._all_closed = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait([self._all_closed], timeout=seconds)
            finally:
                self._all_closed = None

    def abort(self, reason: str) -> None:
        """Close all at once, whatever waits for them."""
        for connection in self:
            connection.abort(reason)

    def close_links(self) -> None:
        """Close the links of all; the event loop is gone."""
        for connection in self:
            connection.link.close()
        self._open.clear()

    def _add(self, turns: Turns, session: Session, link: Link) -> Connection:
        connection = Connection(turns, session, link, self._remove)
        self._open.add(connection)
        return connection

    def _remove(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)
