"""Positions: how far a stream has come with each of its sources, and how that outlives a crash.

Every message from a source says in its header ``Nats-Stream-Source`` where it comes from, as nats-server's do: so what is stored and how
far the source was read become safe together. A message is only the witness of its position as long as it is there. Before the removal of
one that is the last of its source can be written, the position is, into the directory's state; and once in a while, so that opening a
stream reads few messages back. Where the messages are in memory, nothing outlives anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.engine.headers import value_of
from midge.engine.jobs import Job, fetch
from midge.store.state import SourceRow

if TYPE_CHECKING:
    from midge.engine.stream import Stream

__all__ = ["HEADER", "Position", "Positions"]

HEADER = b"Nats-Stream-Source"
OFTEN = 10_000  # messages after which positions are noted
SLICE = 256  # messages that are looked at in one slice when a stream is opened
KEPT = 1_000  # positions of sources that are no more


class Position:
    """How far one source was read.

    Attributes:
        sequence: of the origin, the last that was taken or passed over; 0 for none.
        identity: of the origin, to tell one from another of that name; empty where none was read yet.
        witness: the sequence of the last message from there; 0 where there is none.
        moved: the stream's last sequence when the position changed: it is safe when that is committed.
        is_known: what is stored behind the row was looked at.
        row: what may be noted at any time.
    """

    __slots__ = ("identity", "is_known", "moved", "row", "sequence", "witness")

    def __init__(self, row: SourceRow) -> None:
        self.sequence = row.sequence
        self.identity = row.identity
        self.witness = self.moved = 0
        self.is_known = False
        self.row = row


class Positions:
    """The positions of one stream.

    Args:
        stream: the stream.
    """

    __slots__ = ("_floor", "_is_settling", "_is_wanted_again", "_noted", "_positions", "_removals", "_state", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._positions: dict[str, Position] = {}  # those of sources that are configured
        directory = stream.engine.directory
        self._state: Any = directory.state if directory is not None and stream.config.storage == "file" else None
        rows = self._state.sources(stream.account.name, stream.name) if self._state is not None else []
        self._noted: dict[str, SourceRow] = {row.name: row for row in rows}
        self._floor = self._noted.pop("", SourceRow("", 0, "", 0)).through  # up to there nothing is from a source without a row
        self._is_settling = self._is_wanted_again = False
        self._removals = -1  # sequences without a message when it was last looked whether a witness is gone

    def __getitem__(self, name: str) -> Position:
        return self._positions[name]

    def add(self, name: str) -> None:
        """A source was configured; it is not known how far it was read until ``learn`` has looked."""
        self._positions[name] = Position(self._noted.pop(name, SourceRow(name, 0, "", self._floor)))

    def discard(self, name: str) -> None:
        """A source is configured no more. Should it be again, it goes on."""
        self._noted[name] = self._positions.pop(name).row
        while len(self._noted) > KEPT:
            del self._noted[next(iter(self._noted))]

    def forget(self) -> None:
        """What the store had not committed is gone: nothing is known any more but what was noted."""
        for name, position in self._positions.items():
            self._positions[name] = Position(position.row)

    def learn(self) -> Job:
        """Look at what is stored, from the end, until the last message of each source was seen."""
        store = self._stream.store
        unknown = {name: position for name, position in self._positions.items() if not position.is_known}
        sequence = store.previous((), store.last)
        count = 0
        while unknown and sequence > min(position.row.through for position in unknown.values()):
            message = yield from fetch(store, sequence)
            found = parsed(value_of(message.header, HEADER)) if message is not None and message.header else None
            if found is not None and found[0] in unknown and sequence > unknown[found[0]].row.through:
                position = unknown.pop(found[0])
                position.sequence, position.identity = found[1:]
                position.witness = position.moved = sequence
                position.is_known = True
            sequence = store.previous((), sequence - 1) if sequence > 1 else 0
            count += 1
            if count % SLICE == 0:
                yield None
        for position in unknown.values():
            position.is_known = True

    # Noting

    def start(self, position: Position, sequence: int, identity: str) -> None:
        """An origin is read that was not before: this was the last sequence not to be."""
        position.sequence, position.identity = sequence, identity
        position.moved = self._stream.store.last
        self.note_soon()

    def took(self, position: Position, sequence: int, *, is_stored: bool) -> None:
        """A message of the origin was taken: stored as the last one here, or passed over."""
        last = self._stream.store.last
        position.sequence, position.moved = sequence, last
        if is_stored:
            position.witness = last
        if last > position.row.through + OFTEN:
            self.note_soon()

    def removed(self) -> None:
        """Messages were removed: note the positions that lost their witness."""
        store = self._stream.store
        removals = store.last - store.messages
        if self._state is None or removals == self._removals:
            return
        self._removals = removals
        gone = [each for each in self._positions.values() if each.witness and store.time_of(each.witness) == 0]
        if any(each.moved <= store.committed for each in gone):
            self.note()
        if any(each.moved > store.committed for each in gone):
            self.note_soon()
        for each in gone:
            each.witness = 0

    def note_soon(self) -> None:
        """Note all positions as they are now, when what is stored is safe."""
        if self._state is None:
            return
        if self._is_settling:
            self._is_wanted_again = True
            return
        self._is_settling, self._is_wanted_again = True, False
        last = self._stream.store.last
        rows = [
            (position, SourceRow(name, position.sequence, position.identity, last)) for name, position in self._positions.items()
            if position.is_known
        ]  # fmt: skip

        def settled(error: Exception | None) -> None:
            self._is_settling = False
            if error is None and not self._stream.intake.closed:
                for position, row in rows:
                    position.row = row
                self.note()
                if self._is_wanted_again:
                    self.note_soon()

        self._stream.store.settle(settled)

    def note(self) -> None:
        """Note what is safe: the positions whose changes are, and of the others what was safe the last time."""
        if self._state is None:
            return
        committed = self._stream.store.committed
        for name, position in self._positions.items():
            if position.is_known and position.moved <= committed and position.row.through <= committed:
                position.row = SourceRow(name, position.sequence, position.identity, committed)
        if self._positions:
            self._floor = max(self._floor, min(position.row.through for position in self._positions.values()))
        rows = [*self._noted.values(), *(position.row for position in self._positions.values()), SourceRow("", 0, "", self._floor)]
        try:
            self._state.put_sources(self._stream.account.name, self._stream.name, rows)
        except OSError as error:
            self._stream.engine.outside.failed(f"noting the sources of stream {self._stream.name}", error)


def parsed(header: bytes) -> tuple[str, int, str] | None:
    """Return the source, the sequence and the identity that a header tells, None where it tells nothing.

    ``<stream> <sequence> <filters> <destinations> <subject> [<identity>]``; without what follows the sequence it is older than midge.
    """
    fields = header.decode("utf-8", "surrogateescape").split(" ")
    if len(fields) < 4 or not fields[1].isdigit():
        return None
    return f"{fields[0]} {fields[2]} {fields[3]}", int(fields[1][:20]), fields[5] if len(fields) > 5 else ""
