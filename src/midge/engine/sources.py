"""Sources: a stream that takes messages from other ones, in between its own: each gets a new sequence and time, and a header that says
where it comes from.

How far each source was read is what ``positions`` remembers. Before it knows that, nothing is read; what the stream's store has undone is
read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.engine.admission import admit_copy
from midge.engine.config_sources import index_name
from midge.engine.following import Following
from midge.engine.headers import add, without
from midge.engine.identity import identity_of
from midge.engine.jobs import Job, finish
from midge.engine.positions import HEADER, Positions
from midge.engine.timers import Timer
from midge.model.base import time_of
from midge.model.stream import StreamSource, StreamSourceInfo
from midge.store.base import Stored

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["Sources"]

NEAR = 20_000  # messages that are looked at at once
DELAY = 1_000_000_000  # nanoseconds until what is stored is looked at again, where it could not be read
_NOT_COPIED = (HEADER + b":", b"Nats-Expected-", b"Nats-Batch-")


class Sources:
    """The sources of one stream.

    Args:
        stream: the one that takes the messages; its configuration names the others. Next: ``update``.
    """

    __slots__ = ("_is_open", "_positions", "_round", "_sources", "_stream", "_timer")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._positions = Positions(stream, self._learn)
        self._sources: dict[str, _Source] = {}
        self._round = 0
        self._timer: Timer | None = None

    def update(self) -> None:
        """Read the sources that the configuration has, and no others."""
        wanted = {index_name(each): each for each in self._stream.config.sources}
        for name in [name for name in self._sources if name not in wanted]:
            self._sources[name].following.leave()
            self._sources.pop(name).close()
            self._positions.discard(name)
        for name in [name for name, source in self._sources.items() if source.config != wanted[name]]:
            self._sources[name].reconfigure(wanted[name])
        for source in self._sources.values():
            source.review()
        new = [name for name in wanted if name not in self._sources]
        for name in new:
            self._positions.add(name)
        self._sources = {
            name: self._sources.get(name) or _Source(self._stream, self._positions, name, each) for name, each in wanted.items()
        }
        if new:
            self._learn()

    def leave(self) -> None:
        """It has no sources any more. Next: ``close``."""
        for source in self._sources.values():
            source.following.leave()

    def close(self) -> None:
        """Read nothing any more."""
        self._round += 1
        self._stream.engine.timers.cancel(self._timer)
        for source in self._sources.values():
            source.close()
        self._positions.close()

    def forget(self) -> None:
        """The stream is deleted, and how far it has read with it."""
        self._positions.leave()

    def removed(self) -> None:
        """Messages were removed."""
        self._positions.removed()

    def undone(self) -> None:
        """What the store had not committed is gone."""
        for source in self._sources.values():
            source.close()
        self._positions.forget()
        self._learn()

    def describe(self, wall: int) -> tuple[StreamSourceInfo | None, list[StreamSourceInfo]]:
        """Return what a stream's information says of its mirror, and of its sources."""
        return None, [source.describe(wall) for source in self._sources.values()]

    def _learn(self) -> None:
        """Find out how far the sources were read, then go on.

        At once where that is short, as it is unless the stream comes from elsewhere: what is removed before it is known is not a witness.
        """
        self._round += 1
        self._stream.engine.timers.cancel(self._timer)
        self._timer = None
        if self._positions.is_wrong:  # it tells when it is not
            self._timer = self._stream.engine.timers.add(self._stream.engine.wall + DELAY, lambda _: self._learn())
            self._positions.mend()
            return
        store, job = self._stream.store, self._begin(self._round)
        if self._positions.distance <= NEAR:
            finish(store, job)
        else:
            self._stream.engine.feeding.add(store, job)

    def _begin(self, round: int) -> Job:
        if round != self._round:
            return
        try:
            yield from self._positions.learn()
        except OSError as error:
            engine = self._stream.engine
            engine.outside.failed(f"reading stream {self._stream.name}", error)
            if round == self._round:
                self._timer = engine.timers.add(engine.wall + DELAY, lambda _: self._learn())
            return
        if round == self._round:
            for source in self._sources.values():
                source.open()


class _Source:
    """One source."""

    __slots__ = ("_is_open", "_name", "_origin", "_positions", "_stream", "_template", "config", "following")

    def __init__(self, stream: Stream, positions: Positions, name: str, config: StreamSource) -> None:
        self._stream = stream
        self._positions = positions
        self._name = name
        self._is_open = False
        stream_name, filters, destinations = name.encode("utf-8", "surrogateescape").split(b" ")
        self._template = b"%b %%d %b %b %%b %%b" % tuple(each.replace(b"%", b"%%") for each in (stream_name, filters, destinations))
        self._origin = b""
        self._configure(config)

    def _configure(self, config: StreamSource) -> None:
        self.config = config
        self.following = Following(self._stream, config, self)

    def reconfigure(self, config: StreamSource) -> None:
        """Go on with another configuration, of the same name: where it begins is another matter, or where its consumer delivers."""
        was_open, before = self._is_open, self.following
        self.close()
        self._configure(config)
        self.following.replace(before)
        if was_open:
            self.open()

    def review(self) -> None:
        """The stream has other sources than before."""
        if self._is_open:
            self.following.review()

    def open(self) -> None:
        """Read, unless it does already."""
        if not self._is_open:
            self._is_open = True
            self.following.open()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.following.close()

    def describe(self, wall: int) -> StreamSourceInfo:
        info = self.following.describe(wall)
        info.seq = self._positions[self._name].sequence
        return info

    # What the feed asks

    def begin(self, origin: Stream) -> int:
        position, identity = self._positions[self._name], identity_of(origin)
        is_new = not position.sequence and not position.identity
        if is_new or (position.identity and position.identity != identity):
            self._positions.start(position, self._first_of(origin) - 1, identity)
        self._origin = identity.encode()
        return position.sequence + 1

    def resume(self, origin: Stream, sequence: int) -> int:
        position, identity = self._positions[self._name], identity_of(origin)
        if position.identity != identity:
            self._positions.start(position, sequence, identity)
        position.sequence = max(position.sequence, sequence)
        self._origin = identity.encode()
        return position.sequence

    def take(self, message: Stored, subject: bytes) -> None:
        line = self._template % (message.sequence, message.subject, self._origin)
        header = add(without(message.header, _NOT_COPIED) if message.header else b"", HEADER, line)
        store, positions = self._stream.store, self._positions
        before = store.last
        positions.is_holding = True  # until the feed says that messages came, at the end of its slice
        try:
            admit_copy(self._stream, subject, header, message.payload, self._stream.engine.wall, False)
        finally:
            positions.is_holding = False
        positions.took(positions[self._name], message.sequence, is_stored=store.last != before)

    def _first_of(self, origin: Stream) -> int:
        """Return the sequence that an origin is read from which was not before."""
        config, store = self.config, origin.store
        if config.opt_start_seq:
            return config.opt_start_seq
        if config.opt_start_time is not None:
            return min(store.at_time(time_of(config.opt_start_time)), store.committed + 1)
        return 1
