"""Mirror: a stream that is the copy of another one: the same messages under the same sequences and times, gaps where it has none.

Where it goes on after a restart is behind its last sequence: nothing else has to be remembered. (What is removed from the origin later
stays in the mirror; its own limits say how long.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine import direct
from midge.engine.admission import admit_copy
from midge.engine.following import Following
from midge.engine.headers import without
from midge.model.base import time_of
from midge.model.stream import StreamSourceInfo
from midge.store.base import Stored
from midge.wire.publication import Publication

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Mirror"]


_NOT_COPIED = (b"Nats-Expected-", b"Nats-Batch-")


class Mirror:
    """What makes a stream the mirror of another one.

    Args:
        stream: the mirror; its configuration names the origin.
    """

    __slots__ = ("_direct", "_following", "_stream")

    def __init__(self, stream: Stream) -> None:
        source = stream.config.mirror
        assert source is not None
        self._stream = stream
        self._following = Following(stream, source, self)
        self._direct: list[object] = []
        self._following.open()

    def forget(self) -> None:
        """The stream is deleted; nothing is noted of it."""

    def leave(self) -> None:
        """It is a mirror no more. Next: ``close``."""
        self._following.leave()

    def close(self) -> None:
        """It is a stream of its own now, or none any more."""
        self._following.close()
        self._listen(False)

    def update(self) -> None:
        """The configuration has changed: whether direct gets of the origin are answered may be what did."""
        self._listen(self._stream.config.mirror_direct)

    def removed(self) -> None:
        """Messages were removed."""

    def undone(self) -> None:
        """What the store had not committed is gone."""
        self._following.restart()

    def describe(self, wall: int) -> tuple[StreamSourceInfo | None, list[StreamSourceInfo]]:
        """Return what a stream's information says of its mirror, and of its sources."""
        return self._following.describe(wall), []

    # What the feed asks

    def begin(self, origin: Stream) -> int:
        store, source, config = self._stream.store, origin.store, self._stream.config.mirror
        assert config is not None
        wanted = store.last + 1
        if store.last == 0:
            wanted = config.opt_start_seq or 1
            if not config.opt_start_seq and config.opt_start_time is not None:
                wanted = source.at_time(time_of(config.opt_start_time))
        wanted = max(wanted, min(source.first, source.committed + 1))
        if wanted - 1 > store.last:
            store.skip(wanted - 1, 0)
            self._stream.changed()
        return wanted

    def resume(self, _: Stream, sequence: int) -> int:
        store = self._stream.store
        if sequence > store.last:
            store.skip(sequence, 0)
            self._stream.changed()
        return store.last

    def take(self, message: Stored, subject: bytes) -> None:
        store = self._stream.store
        if message.sequence > store.last + 1:
            store.skip(message.sequence - 1, 0)
        header = without(message.header, _NOT_COPIED) if message.header else b""
        admit_copy(self._stream, subject, header, message.payload, message.time, True)

    # Direct gets of the origin

    def _listen(self, is_wanted: bool) -> None:
        """Hear direct gets of the origin, or no more."""
        engine, account = self._stream.engine, self._stream.account.name
        if is_wanted and not self._direct:
            prefix = b"$JS.API.DIRECT.GET." + self._following.name.encode("utf-8", "surrogateescape")
            self._direct = [engine.outside.subscribe(account, subject, self._receive) for subject in (prefix, prefix + b".>")]
        elif not is_wanted:
            for token in self._direct:
                engine.outside.unsubscribe(token)
            self._direct = []

    def _receive(self, publication: Publication, _: int) -> bool:
        """Answer a direct get of the origin where that does not do it itself: one of its mirrors does, that had all of it once."""
        origin, followings = self._following.origin, self._stream.account.followings[self._following.name]
        if origin is not None and origin.config.allow_direct:
            return False
        mirrors = (each.stream.origins for each in followings if each.was_even and each.stream.config.mirror_direct)
        if next(mirrors, None) is not self:
            return False
        direct.serve(self._stream, publication, self._stream.engine.api_level)
        return True
