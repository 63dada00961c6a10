"""Positions: how far a stream has come with each of its sources, and how that outlives a crash.

Every message from a source says in its header ``Nats-Stream-Source`` where it comes from, as nats-server's do: so what is stored and how
far the source was read become safe together. But a message is a witness of its position only as long as it is there. Before the removal of
the last one of a source can be written, the position is, into the directory's state: the store's next round waits for that. And once in a
while, so that opening a stream reads few messages back. A worker does it, one note after the other; what comes while one is under way is
noted behind it, with all that is known then. Where the messages are in memory, nothing outlives anything.

What is noted holds if the stream's last sequence is found to be at least the one that it was noted with: it may be noted before the
messages are safe that it counts on. The row that was safe already is kept until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from midge.engine.headers import value_of
from midge.engine.jobs import Job, fetch
from midge.engine.timers import Timer
from midge.store.commit import Gate
from midge.store.state import SourceRow, put_sources

if TYPE_CHECKING:
    from midge.engine.stream import Stream
    from midge.store.keeper import Keeper

__all__ = ["HEADER", "Position", "Positions"]

HEADER = b"Nats-Stream-Source"
OFTEN = 5_000  # messages after which positions are noted
SOON = 100_000_000  # nanoseconds until it is noted where a new source begins
SLICE = 256  # messages that are looked at in one slice when a stream is opened
KEPT = 1_000  # positions of sources that are no more


class Position:
    """How far one source was read.

    Attributes:
        sequence: of the origin, the last that was taken or passed over; 0 for none.
        identity: of the origin, to tell one from another of that name; empty where none was read yet.
        witness: the sequence of the last message from there; 0 where there is none.
        is_known: what is stored behind the last row was looked at.
        rows: what is noted: one that is safe, and maybe another one that will be.
    """

    __slots__ = ("identity", "is_known", "rows", "sequence", "witness")

    def __init__(self, rows: list[SourceRow]) -> None:
        self.rows = rows
        self.sequence = rows[-1].sequence
        self.identity = rows[-1].identity
        self.witness = 0
        self.is_known = False


class Positions:
    """The positions of one stream.

    Args:
        stream: the stream.
        right: told when what is noted is right again, where ``is_wrong`` was.

    Attributes:
        is_wrong: what is noted has to be set right before anything is read.
        is_holding: what is removed is not looked at just now: ``removed`` will be called again in this turn.
    """

    __slots__ = (
        "_floor", "_gate", "_is_behind", "_is_noting", "_keeper", "_noted", "_positions", "_removals", "_right", "_stream", "_timer",
        "is_holding", "is_wrong",
    )  # fmt: skip

    def __init__(self, stream: Stream, right: Callable[[], None]) -> None:
        self._stream = stream
        self._right: Callable[[], None] | None = right
        self._positions: dict[str, Position] = {}  # those of sources that are configured
        directory = stream.engine.directory
        self._keeper: Keeper | None = directory.keeper if directory is not None and stream.config.storage == "file" else None
        self._noted: dict[str, list[SourceRow]] = {}  # of the others
        rows = directory.state.sources(stream.account.name, stream.name) if self._keeper is not None else []
        for row in sorted(rows, key=lambda each: each.through):
            self._noted.setdefault(row.name, []).append(row)
        floor = self._noted.pop("", [SourceRow("", 0, "", 0)])[-1].through
        self._floor = min(floor, stream.store.last)  # up to there nothing is from a source without a row
        self._removals = -1  # sequences without a message when it was last looked whether a witness is gone
        self.is_wrong = self.is_holding = False
        self._is_noting = self._is_behind = False  # a note is under way, and what has come since is not in it
        self._gate: Gate | None = None  # of the rounds that wait for what is not in it
        self._timer: Timer | None = None
        self._keep_what_holds()

    def __getitem__(self, name: str) -> Position:
        return self._positions[name]

    def add(self, name: str) -> None:
        """A source was configured; it is not known how far it was read until ``learn`` has looked."""
        self._positions[name] = Position(self._noted.pop(name, []) or [SourceRow(name, 0, "", self._floor)])

    def discard(self, name: str) -> None:
        """A source is configured no more. Should it be again, it goes on."""
        self._note([name])
        self._noted[name] = self._positions.pop(name).rows
        while len(self._noted) > KEPT:
            del self._noted[next(iter(self._noted))]

    def forget(self) -> None:
        """What the store had not committed is gone: nothing is known any more but what was noted before."""
        for name, position in self._positions.items():
            self._noted[name] = position.rows
        self._keep_what_holds()
        for name in self._positions:
            self._positions[name] = Position(self._noted.pop(name))

    @property
    def distance(self) -> int:
        """How many messages have to be looked at, at most, to know all positions."""
        throughs = [position.rows[-1].through for position in self._positions.values() if not position.is_known]
        return self._stream.store.pending((), min(throughs) + 1) if throughs else 0

    def learn(self) -> Job:
        """Look at what is stored, from the end, until the last message of each source was seen.

        Raises:
            OSError: it cannot be read.
        """
        store = self._stream.store
        unknown = {name: position for name, position in self._positions.items() if not position.is_known}
        sequence = store.previous((), store.last)
        count = 0
        while unknown and sequence > min(position.rows[-1].through for position in unknown.values()):
            message = yield from fetch(store, sequence)
            found = parsed(value_of(message.header, HEADER)) if message is not None and message.header else None
            if found is not None and found[0] in unknown and sequence > unknown[found[0]].rows[-1].through:
                position = unknown.pop(found[0])
                position.sequence, position.identity = found[1:]
                position.witness, position.is_known = sequence, True
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
        if self._timer is None and self._keeper is not None:  # not at once: there may be many sources
            engine = self._stream.engine
            self._timer = engine.timers.add(engine.wall + SOON, self._note_soon)

    def took(self, position: Position, sequence: int, *, is_stored: bool) -> None:
        """A message of the origin was taken: stored as the last one here, or passed over."""
        last = self._stream.store.last
        position.sequence = sequence
        if is_stored:
            position.witness = last
        if self._keeper is not None and last > position.rows[-1].through + OFTEN:
            self.note()

    def removed(self) -> None:
        """Messages were removed: note the positions that have lost their witness."""
        if self._keeper is None or self.is_holding:
            return
        store = self._stream.store
        removals = store.last - store.messages
        if removals != self._removals:
            self._removals = removals
            gone = [name for name, each in self._positions.items() if each.witness and store.time_of(each.witness) == 0]
            for name in gone:
                self._positions[name].witness = 0
            if gone:
                self._hold_rounds()
                self._note(gone)
                self._go_on()

    def note(self) -> None:
        """Note all positions as they are."""
        self._note(list(self._positions))

    def close(self) -> None:
        """Note them for the last time."""
        self._stream.engine.timers.cancel(self._timer)
        self._right = None
        self.note()

    def leave(self) -> None:
        """Nothing is to be noted any more: the stream is deleted, and what was noted of it."""
        self._keeper = None
        self._open_gate()

    def mend(self) -> None:
        """Note all anew, where that is wrong; then it is told."""
        if self.is_wrong and not self._is_noting:
            self._put_all()

    def _note_soon(self, _: int) -> None:
        self._timer = None
        self.note()

    def _note(self, names: list[str]) -> None:
        if self._keeper is None:
            return
        store = self._stream.store
        put, gone = [], []
        for name in names:
            position = self._positions[name]
            row = SourceRow(name, position.sequence, position.identity, store.last)
            if position.is_known and row != position.rows[-1]:
                safe = [each for each in position.rows if each.through <= store.committed][-1:] or position.rows[:1]
                gone += [each for each in position.rows if each not in safe or each.through == row.through]
                position.rows = [each for each in safe if each not in gone] + [row]
                put += [each for each in position.rows[:-1] if not each.identity]  # until now it went without saying
                put.append(row)
        if len(names) == len(self._positions) > 0:
            floor = min(position.rows[0].through for position in self._positions.values())
            if floor > self._floor:
                gone.append(SourceRow("", 0, "", self._floor))
                put.append(SourceRow("", 0, "", floor))
                self._floor = floor
        if put:
            self._put(put, gone)

    def _put(self, rows: list[SourceRow], gone: list[SourceRow]) -> None:
        if self._is_noting:
            self._is_behind = True
        elif self.is_wrong:
            self._put_all()
        else:
            self._write(rows, gone)

    def _put_all(self) -> None:
        groups = [*self._noted.values(), *(position.rows for position in self._positions.values())]
        rows = [row for group in groups for row in group]
        self._write([*rows, SourceRow("", 0, "", self._floor)], None)

    def _write(self, rows: list[SourceRow], gone: list[SourceRow] | None) -> None:
        """Have it noted, with all that was to be noted before."""
        if self._keeper is None:
            self._open_gate()
            return
        account, name = self._stream.account.name, self._stream.name
        gate, self._gate = self._gate, None
        self._is_noting, self._is_behind = True, False

        def told(error: OSError | None) -> None:
            self._is_noting = False
            was_wrong = self.is_wrong
            if error is not None:
                self.is_wrong = True
                self._open_gate()  # they go without it, or nothing would be stored any more
                self._stream.engine.outside.failed(f"noting the sources of stream {name}", error)
            elif self._is_behind:
                self._put_all()
            elif gone is None:
                self.is_wrong = False
            if gate is not None:
                gate.open()
            if was_wrong and not self.is_wrong and self._right is not None:
                self._right()

        self._keeper.change_streams(lambda base: put_sources(base, account, name, rows, gone), told)

    def _hold_rounds(self) -> None:
        """Let what has changed not be written before what is noted next."""
        self._gate = self._gate or Gate()
        store: Any = self._stream.store
        store.gate = self._gate

    def _go_on(self) -> None:
        """Open the gate again where nothing had to be noted, unless that is in the note that is under way."""
        if self._gate is not None and self._is_noting:
            self._is_behind = True
        else:
            self._open_gate()

    def _open_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.open()

    def _keep_what_holds(self) -> None:
        """Forget rows that count on more than the store has, and let nobody find them again when it has that much.

        Where nothing else is noted of a source (a disk has lost what it had promised), all that is stored will be looked at, and it goes
        on with the row where nothing is found.
        """
        last = self._stream.store.last
        held = {name: [row for row in rows if row.through <= last] or [rows[0]._replace(through=0)] for name, rows in self._noted.items()}
        if held != self._noted:
            self._noted, self.is_wrong = held, True
            if self._keeper is not None:
                self._hold_rounds()
            self._put([], [])


def parsed(header: bytes) -> tuple[str, int, str] | None:
    """Return the source, the sequence and the identity that a header tells, None where it tells nothing.

    ``<stream> <sequence> <filters> <destinations> <subject> [<identity>]``; without what follows the sequence it is older than midge.
    """
    fields = header.decode("utf-8", "surrogateescape").split(" ")
    if len(fields) < 4 or not fields[1].isdigit():
        return None
    return f"{fields[0]} {fields[2]} {fields[3]}", int(fields[1][:20]), fields[5] if len(fields) > 5 else ""
