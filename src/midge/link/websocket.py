"""WebSocketLink: the bytes of a connection in the binary frames of a WebSocket, over any other link. Either side's end.

    owner's outbox ── frame ──► inner outbox ──► inner link ──► peer
    owner ◄── payload ── chunk ◄── inner link ◄── peer

It owns the inner link and is a link for its own owner. A frame holds whatever there is to send, cut anywhere: what comes out on the
other side is the same bytes. At most one frame waits in the inner outbox, and its bytes stay in the owner's outbox until the inner
link has sent them; so that outbox still tells what is not sent, and who clears it while the link is blocked has to close the link.
A deflated frame counts as sent when its last byte is, because nobody can read a part of it.

What came is taken apart in its own chunk and handed over at once. Where messages may be deflated it is taken in *pieces*
first, and these are handed over one by one, SLICE bytes in a turn, while the inner link reads nothing.

Until the upgrade is done the link is blocked. A peer that ends the WebSocket normally has ended its side (``link_lost(None)``); it takes
nothing more then, and what is flushed goes nowhere.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.errors import ConnectionClosedError, RemoteProtocolError, UpgradeError
from midge.link import Link, LinkOwner, Readiness
from midge.link.deflate import SMALLEST, Inflater, deflate
from midge.link.framing import BINARY, CLOSE, CONTROL, DEFLATED, MAX_HEAD, NOTHING, PING, PONG, close_answer
from midge.link.upgrade import Upgrade
from midge.wire.outbox import LARGE_BLOCK

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.link.framing import FrameReader, put_frame
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.link.framing import FrameReader, put_frame
    from midge.wire.outbox import Outbox

__all__ = ["FRAME", "WebSocketLink"]

FRAME = LARGE_BLOCK - MAX_HEAD  # what one frame holds at most: then it fits into a block
MAX_FRAMES = 16  # frames that are sent at once
PIECE = 131072  # what is inflated at once
SLICE = 1 << 20  # what is handed over in one turn
PIECE_COST = 2048  # what a piece counts for at least: to inflate one takes its time, even where nothing is in it
WORTHWHILE = 4096  # where a peer inflates less than this, more than that is not deflated
NORMAL, GOING_AWAY, NO_STATUS, BAD_DATA = 1000, 1001, 1005, 1007
_FRAME = FRAME
_MAX_FRAMES = MAX_FRAMES
_SMALLEST = SMALLEST
_WORTHWHILE = WORTHWHILE
_NOTHING, _CONTROL = NOTHING, CONTROL
_BINARY, _DEFLATED, _PING, _PONG, _CLOSE = BINARY, DEFLATED, PING, PONG, CLOSE


class Piece:
    """A part of what came: of one deflated message, or of any others."""

    __slots__ = ("data", "deflated", "ends")

    def __init__(self, deflated: bool) -> None:
        self.data = bytearray()
        self.deflated = deflated
        self.ends = False  # the deflated message


class WebSocketLink:
    """One end of a WebSocket.

    Args:
        readiness: the inner link's.
        outbox: what to send.
        inner: what carries the frames; not started yet.
        inner_outbox: what the inner link sends; nobody else writes to it.
        upgrade: how this becomes a WebSocket, and which side this is.
        ending: for the end that accepts connections: tells status and reason of the CLOSE that ``close`` sends. That end says of what is
            wrong what nats-server says, and answers a CLOSE with the same; None for the other end.
        inflatable: tells how many bytes a deflated message may hold for the peer to inflate it (nats-server: its max_payload); None where
            any size will do. It is asked for each message.
    """

    __slots__ = (
        "_behind", "_closed", "_deflated", "_end", "_ended", "_ending", "_frame", "_handing_over", "_head", "_inflatable", "_inflater",
        "_inner", "_inner_outbox", "_inside", "_is_told", "_last", "_masks", "_outbox", "_owner", "_paused", "_payload", "_pieces", "_pong",
        "_reader", "_readiness", "_scheduled", "_silent", "_upgrade", "_window_bits", "blocked", "error",
    )  # fmt: skip

    def __init__(
        self, readiness: Readiness, outbox: Outbox, inner: Link, inner_outbox: Outbox, upgrade: Upgrade,
        inflatable: Callable[[], int] | None = None, ending: Callable[[], tuple[int, bytes]] | None = None,
    ) -> None:  # fmt: skip
        self._readiness = readiness
        self._outbox = outbox
        self._inner = inner
        self._inner_outbox = inner_outbox
        self._upgrade: Upgrade | None = upgrade  # until it is done
        self._masks = upgrade.masks
        self._owner: LinkOwner | None = None
        self._reader = FrameReader(not upgrade.masks, False)
        self._ending = ending
        self._last: tuple[int, bytes] | None = None  # what the CLOSE is to say, where ``ending`` is not asked
        self._inflatable = inflatable
        self._frame: int = _FRAME
        self._window_bits = 0  # for what we deflate; 0 where nothing is
        self._inflater: Inflater | None = None
        self._behind: bytearray | None = None  # what came with the end of the upgrade, for an owner that has paused
        self._pieces: deque[Piece] = deque()
        self._handing_over = False  # pieces are being handed over
        self._scheduled = False  # they will be, in a later turn
        self._inside = 0  # bytes in the inner outbox, when it was last looked at
        self._head = 0  # those of them that are no payload, in front
        self._payload = 0  # bytes of the owner's outbox that are in there, too
        self._deflated = False  # and are deflated in there
        self._pong: bytes | None = None  # the answer to the last PING; those before need none
        self._paused = False
        self._ended = False  # nothing more comes
        self._end: OSError | None = None  # and why
        self._is_told = False
        self._silent = False  # a CLOSE came or was sent: nothing may follow it
        self._closed = False
        self.blocked = True
        self.error: OSError | None = None

    def start(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._inner.start(self)
        if self._upgrade is not None:
            self._inner_outbox.write(self._upgrade.begin())
            self._inner.flush()

    def flush(self) -> None:
        if not self.blocked:
            self._send()

    def begun(self) -> int:
        return self._payload

    def pause_reading(self) -> None:
        self._paused = True
        if self._upgrade is None:
            self._inner.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._settle()

    def close(self) -> None:
        if not self._closed:
            if self._upgrade is None:
                last = self._last or ((NORMAL, b"") if self._ending is None else self._ending())
                self._say_close(last[0], last[1])
            self._let_go()
            self._inner.close()

    def abandon(self) -> None:
        self._let_go()
        self._inner.abandon()

    def hand_to(self, owner: LinkOwner) -> None:
        self._owner = owner

    # What the inner link says

    def link_received(self, chunk: bytearray, size: int) -> bool:
        if self._upgrade is not None:
            self._receive_upgrade(self._upgrade, chunk, size)
            return True
        return self._ended or self._take_apart(chunk, size)

    def link_progress(self) -> None:
        if self._upgrade is not None and self._inner.error is None:
            return
        self._account()
        self._send()
        if self._owner is not None:
            self._owner.link_progress()

    def link_stuck(self) -> None:
        if self._owner is not None:
            self._owner.link_stuck()

    def link_lost(self, error: OSError | None) -> None:
        if error is None and self._upgrade is not None:
            error = UpgradeError(None, "the connection was closed before the answer")
        if error is None:
            self.blocked = self.blocked and self._inner.blocked
            self._finish(None)
            self._tell_end()
            return
        self.error = error
        self.blocked = False
        self._forget_pieces()
        if self._is_told:  # the owner knows that nothing comes, but may wait for the rest to be sent
            self.link_progress()
        else:
            self._finish(error)
            self._tell()

    # The upgrade

    def _receive_upgrade(self, upgrade: Upgrade, chunk: bytearray, size: int) -> None:
        try:
            used = upgrade.receive(chunk, size)
        except UpgradeError as error:
            self._inner_outbox.write(upgrade.answer)
            self._inner.flush()
            self._fail(error, 0)
            self._tell()
            return
        if used < 0:
            return
        self._upgrade = None
        if upgrade.window_bits is not None:
            self._window_bits, window_bits = upgrade.window_bits
            self._inflater = Inflater(window_bits)
        self._reader = FrameReader(upgrade.peer_masks, upgrade.window_bits is not None)
        if upgrade.frame_size:
            self._frame = upgrade.frame_size
        self._inner_outbox.write(upgrade.answer)
        self._inner.flush()
        self._inside = self._head = self._inner_outbox.waiting()
        self._send()
        if used < size:
            self._behind = chunk[used:size]
        self._hand_over()
        if self._owner is not None:
            self._owner.link_progress()

    # Receiving

    def _take_apart(self, chunk: bytearray, size: int) -> bool:
        """Take frames apart, and hand over what is in them. False if the owner keeps the chunk."""
        reader = self._reader
        reader.receive(chunk, 0, size)
        filled = 0
        try:
            while not self._ended:
                found = reader.next()
                if found == _NOTHING:
                    break
                if found == _CONTROL:
                    self._hear_control(reader.opcode, reader.control)
                elif self._inflater is None:
                    filled = reader.move_to(filled)
                else:
                    self._keep_piece(chunk)
        except RemoteProtocolError as error:
            self._fail(error, reader.close_code)
        if self._pong is not None and not self.blocked:
            self._send()
        if self._inflater is not None:
            self._hand_over()
            return True
        owner = self._owner
        is_done = not filled or owner is None or owner.link_received(chunk, filled)
        self._tell_end()
        return is_done

    def _keep_piece(self, chunk: bytearray) -> None:
        """Keep what the reader has found until it is its turn; what belongs together, together."""
        reader = self._reader
        start = reader.start
        stop = reader.move_to(start)
        last = self._pieces[-1] if self._pieces else None
        if last is None or last.ends or last.deflated != reader.deflated:
            last = Piece(reader.deflated)
            self._pieces.append(last)
        last.data += memoryview(chunk)[start:stop]
        last.ends = reader.ends and reader.deflated

    def _hand_over(self) -> None:
        """Hand over pieces, until this is enough for one turn; then tell that this was all, if it was."""
        self._scheduled = False
        if self._handing_over:  # the owner runs the event loop inside our call
            return
        if self._behind is not None and not self._paused:
            behind, self._behind = self._behind, None
            self._take_apart(behind, len(behind))
        self._handing_over = True
        left = SLICE
        try:
            while left > 0 and not self._paused and self._has_pieces():
                data = self._next_data()
                left -= max(len(data), PIECE_COST)
                if data and self._owner is not None:
                    self._owner.link_received(data, len(data))
        finally:
            self._handing_over = False
            self._settle()
        self._tell_end()

    def _has_pieces(self) -> bool:
        return self._behind is not None or len(self._pieces) > 0 or (self._inflater is not None and self._inflater.has_more)

    def _next_data(self) -> bytearray:
        """Return what the first piece holds, or a part of it; nothing where it cannot be inflated, which is the end."""
        inflater = self._inflater
        assert inflater is not None
        try:
            if not inflater.has_more:
                piece = self._pieces.popleft()
                if not piece.deflated:
                    return piece.data
                inflater.feed(bytes(piece.data), piece.ends)
            return bytearray(inflater.read(PIECE) if inflater.has_more else b"")
        except RemoteProtocolError as error:
            self._forget_pieces()
            self._fail(error, BAD_DATA)
            return bytearray()

    def _forget_pieces(self) -> None:
        self._behind = None
        self._pieces.clear()
        self._inflater = None

    def _settle(self) -> None:
        """Read on, or go on with what was read, in a later turn."""
        if self._closed:
            return
        if self._has_pieces() or (self._ended and not self._is_told):
            self._inner.pause_reading()
            if not (self._paused or self._scheduled or self._handing_over):
                self._scheduled = True
                self._readiness.defer(self._hand_over)
        elif self._paused:
            self._inner.pause_reading()
        else:
            self._inner.resume_reading()

    # Control frames, and the end

    def _hear_control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._pong = payload
        elif opcode == _CLOSE and self._ending is not None:
            self._last = close_answer(payload)
            self._finish(None)
        elif opcode == _CLOSE:
            status = int.from_bytes(payload[:2], "big") if len(payload) > 1 else NO_STATUS
            if status in (NORMAL, GOING_AWAY, NO_STATUS):
                self._say_close(NORMAL, b"")
                self._finish(None)
            else:
                said = "".join(character if character.isprintable() else "?" for character in payload[2:].decode(errors="replace"))
                reason = f"the WebSocket was closed by the peer: {status} {said}"
                self._fail(ConnectionClosedError(reason.rstrip()), NORMAL)

    def _fail(self, error: OSError, status: int) -> None:
        """This is no WebSocket any more; where the peer does not know yet, tell it, with a status.

        An end that accepts connections still sends what there is to send: its owner closes it in order.
        """
        if self._ending is not None and self._upgrade is None:
            self._last = self._last or ((status, self._reader.close_reason) if status != BAD_DATA else None)
            self._finish(error)
            return
        if self._upgrade is None:
            self._say_close(status, b"")
        self._silent = True
        self.blocked = False
        self.error = error
        self._finish(error)

    def _say_close(self, status: int, reason: bytes) -> None:
        """Send a CLOSE, unless something waits before it. Nothing follows it either way."""
        if not (self._silent or self._inside or self._inner.error is not None):
            self._put_control(_CLOSE, b"" if status == NO_STATUS else status.to_bytes(2, "big") + reason)
            self._inner.flush()
            self._inside = self._head = self._inner_outbox.waiting()
        self._silent = True
        self.blocked = False

    def _finish(self, error: OSError | None) -> None:
        """Nothing more comes."""
        if not self._ended:
            self._ended = True
            self._end = error

    def _tell_end(self) -> None:
        """Tell the owner of the end when it has all that came before."""
        if self._ended and not self._paused and not self._has_pieces():
            self._tell()

    def _tell(self) -> None:
        owner = self._owner
        if not self._is_told and owner is not None:
            self._is_told = True
            owner.link_lost(self._end)

    def _let_go(self) -> None:
        self._owner = None
        self._closed = True
        self.blocked = False
        self._forget_pieces()

    # Sending

    def _send(self) -> None:
        """Give the inner link one frame after the other, until it takes no more; after MAX_FRAMES others have their turn."""
        inner = self._inner
        left = _MAX_FRAMES
        while left and not self._inside and self._put_next():
            inner.flush()
            self._account()
            left -= 1
        if inner.error is not None:
            self.error = inner.error  # it tells of its end in a later turn, and so shall we
            self.blocked = False
        elif self._silent:
            self.blocked = False
        elif not left and self._outbox.waiting() and not self._inside:
            self.blocked = True
            self._readiness.defer(self._send_more)
        else:
            self.blocked = inner.blocked

    def _send_more(self) -> None:
        if self._closed or self._silent:
            return
        self._send()
        if self._owner is not None:
            self._owner.link_progress()

    def _put_next(self) -> bool:
        """Put into the inner outbox, which is empty, what is next. False if nothing is."""
        out = self._inner_outbox
        if self._silent or self._inner.error is not None:
            return False
        if self._pong is not None:
            self._put_control(_PONG, self._pong)
            self._pong = None
        self._head = out.waiting()
        if self._outbox.waiting():
            self._put_data()
        self._inside = out.waiting()
        return self._inside > 0

    def _put_data(self) -> None:
        """Put a frame of what the owner's outbox begins with; it stays there."""
        out = self._inner_outbox
        block, stop = self._outbox.first()
        start = self._outbox.start
        if stop - start > self._frame:
            stop = start + self._frame
        self._deflated = self._window_bits > 0 and stop - start >= _SMALLEST
        if self._deflated and self._inflatable is not None:
            largest = self._inflatable()
            if largest < stop - start:
                self._deflated = largest >= _WORTHWHILE
                if self._deflated:
                    stop = start + largest
        self._payload = stop - start
        if self._deflated:
            data = bytearray(deflate(block[start:stop], self._window_bits))
            put_frame(out, _BINARY | _DEFLATED, data, 0, len(data), self._key())
        else:
            put_frame(out, _BINARY, block, start, stop, self._key())
            self._head = out.waiting() - self._payload

    def _put_control(self, opcode: int, payload: bytes) -> None:
        put_frame(self._inner_outbox, opcode, bytearray(payload), 0, len(payload), self._key())

    def _key(self) -> bytes | None:
        return os.urandom(4) if self._masks else None

    def _account(self) -> None:
        """Take from the owner's outbox what the inner link has sent."""
        left = self._inner_outbox.waiting()
        sent = self._inside - left
        self._inside = left
        if self._deflated:
            done = 0 if left else self._payload
        else:
            head = min(sent, self._head)
            self._head -= head
            done = sent - head
        if done:
            self._payload -= done
            self._outbox.advance(done)
