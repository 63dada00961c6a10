"""The parser of both roles: bytes in, operations out. It never touches a socket and never blocks.

Theory of operation
-------------------
A driver reads into one buffer that it owns and reuses (the *chunk*) and calls ``receive(chunk, stop)``. Then ``next()`` is
called until it answers NEED_DATA; each answer is the code of one complete operation (``octets``), whose parts are described by
offsets into ``buf`` until ``next()`` is called again: those of a message stand in ``publication``, the argument of every other
operation is ``line()``. Nothing is copied or allocated for a message that lies whole in the chunk, which is nearly all of them.

    the chunk     PUB a 2..hi..PING..PUB b 2..he|          buf is the chunk, and parsing goes on at _pos
                                     [---------]
    aside                            PUB b 2..he           what its end cuts in two is copied aside
    next chunk    y..SUB c 1..
                  [-]                PUB b 2..hey..        and completed from the next one; then buf is _aside
                                                           for this one operation, and parsing goes back to the chunk

First the line of what stands aside is collected, limited by ``max_control_line``; when it is complete and announces a payload, which is
compared with ``max_payload`` at once, ``_need`` is the exact size of the operation. The buffer grows as the bytes come, by half at
least: no length is allocated because a peer has announced it, and every byte is copied a bounded number of times however small the
pieces are. An operation aside is complete exactly at ``_need``. After NEED_DATA ``buf`` is what is kept, and the chunk is forgotten.

The grammar is nats-server's, its oddities included, because clients can see them: verbs in any case; arguments separated by runs
of space and tab; a line ends at LF; the byte after the blanks behind a verb always belongs to the argument, even CR or LF; a CR
anywhere in the argument shortens it by one byte; everything after PING, PONG and +OK is ignored up to LF; a wrong verb is an
error at its first wrong byte, before its line is complete.

A publish or message is *plain* where its arguments are separated by exactly one space and its line ends with CRLF: then the
bytes from ``tail_start`` (the reply, if any, and the sizes) to ``end`` can be forwarded as they are. Others are rewritten that
way, aside, before they are reported, so all are plain to the caller.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midge.errors import RemoteProtocolError
from midge.wire.faults import ANSWER_AUTHORIZATION, bad_arguments, long_line, too_large, unknown
from midge.wire.verbs import CLIENT_VERBS, LONGEST_VERB, SERVER_VERBS

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import (
        HMSG,
        HPUB,
        INFO,
        MSG,
        NEED_DATA,
        OK,
        PING,
        PONG,
        PUB,
        SUB,
        cut,
        fields,
        find_byte,
        number,
        put_slice,
        resize,
    )
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.wire.octets import (
        HMSG,
        HPUB,
        INFO,
        MSG,
        NEED_DATA,
        OK,
        PING,
        PONG,
        PUB,
        SUB,
        cut,
        fields,
        find_byte,
        number,
        put_slice,
        resize,
    )
    from midge.wire.publication import Publication

__all__ = ["DEFAULT_MAX_CONTROL_LINE", "DEFAULT_MAX_PAYLOAD", "Parser"]

DEFAULT_MAX_CONTROL_LINE = 4096
DEFAULT_MAX_PAYLOAD = 1 << 20

_FIELD = re.compile(rb"[^ \t]+")
_BLANKS = (0x20, 0x09)
_LF = 0x0A
_CR = 0x0D
_SPACE = 0x20
_TAB = 0x09
_NOTHING = bytearray()


class Parser:
    """Parses what one peer sends.

    Args:
        is_server: True parses what clients send to a server, False what a server sends to a client.
        max_control_line: how many bytes the arguments of a line may have.
        max_payload: how many bytes header and payload of one message may have.

    Attributes, valid until the next call:
        publication: the message that was found: PUB, HPUB, MSG, HMSG.
        buf: the buffer that the offsets point into; after NEED_DATA what is kept of an incomplete operation.
        line_start, line_end: the argument of every other operation.
        end: the first byte behind the operation.
    """

    __slots__ = (
        "_aside", "_chunk", "_chunk_pos", "_chunk_stop", "_connect_only", "_have", "_headers", "_is_server", "_max_control_line",
        "_max_payload", "_need", "_pos", "_spans", "_stop", "_verbs",
        "buf", "end", "line_end", "line_start", "publication",
    )  # fmt: skip

    def __init__(self, is_server: bool, max_control_line: int = DEFAULT_MAX_CONTROL_LINE, max_payload: int = DEFAULT_MAX_PAYLOAD) -> None:
        self._is_server = is_server
        self._verbs = SERVER_VERBS if is_server else CLIENT_VERBS
        self._max_control_line = max_control_line
        self._max_payload = max_payload
        self._headers = True
        self._connect_only = False
        self._chunk = self.buf = _NOTHING
        self._chunk_pos = self._chunk_stop = 0
        self._pos = self._stop = 0
        self._aside: bytearray | None = None
        self._have = self._need = 0
        self.publication = Publication()
        if not cython.compiled:
            self._spans = [0] * 12

    def set_headers(self, on: bool) -> None:
        """Say whether HPUB is welcome; it is, unless somebody says otherwise."""
        self._headers = on

    def set_max_payload(self, size: int) -> None:
        """Allow header and payload together so many bytes from now on."""
        self._max_payload = size

    def set_connect_only(self, on: bool) -> None:
        """Say that anything but CONNECT is an authorization violation, from its first byte on (nats-server's awaitingAuth)."""
        self._connect_only = on

    def set_limits(self, max_control_line: int, max_payload: int) -> None:
        """Set the limits anew, for what is not complete yet too."""
        self._max_control_line = max_control_line
        self._max_payload = max_payload

    def receive(self, chunk: bytearray, stop: int) -> None:
        """Take the bytes chunk[:stop]; leave them alone until ``next`` has answered NEED_DATA."""
        self._chunk = chunk
        self._chunk_pos = 0
        self._chunk_stop = stop
        self.buf = chunk
        self._pos = 0
        self._stop = stop

    def receive_data(self, data: bytes) -> None:
        """Take bytes that are not the driver's reusable buffer."""
        self.receive(bytearray(data), len(data))

    def next(self) -> int:
        """Return the code of the next complete operation, or NEED_DATA when the chunk is used up.

        Raises:
            RemoteProtocolError: the peer broke the protocol; the parser is of no use afterwards.
        """
        if self._aside is not None:
            return self._next_aside()
        if self.buf is not self._chunk:
            self.buf = self._chunk
            self._pos = self._chunk_pos
            self._stop = self._chunk_stop
        op = self._parse()
        if op == NEED_DATA:
            self._put_aside()
        return op

    def has_more(self) -> bool:
        """True if something is left of what was received: whole operations, or the beginning of one."""
        if self._aside is not None:
            return True
        return self._pos < self._stop if self.buf is self._chunk else self._chunk_pos < self._chunk_stop

    def take_rest(self) -> bytearray:
        """Return a copy of what is not parsed yet and forget it: the chunk is done with. Not where ``next`` has answered NEED_DATA."""
        start, stop = (self._pos, self._stop) if self.buf is self._chunk else (self._chunk_pos, self._chunk_stop)
        rest = self._chunk[start:stop]
        self._forget_chunk()
        return rest

    def begun(self) -> bytes:
        """Return what there is of an operation that was refused, from its verb on."""
        if self.buf is self._chunk:
            return cut(self.buf, self._pos, self._stop)
        return cut(self.buf, self._pos, self._stop) + cut(self._chunk, self._chunk_pos, self._chunk_stop)

    def line(self) -> bytes:
        """Return the argument of the operation."""
        return cut(self.buf, self.line_start, self.line_end)

    # One operation at buf[_pos:_stop]

    def _parse(self) -> int:
        """Parse the operation at ``_pos``. Returns NEED_DATA and moves nothing where it is incomplete."""
        pos = self._pos
        if pos + 5 >= self._stop or self._connect_only:
            return NEED_DATA if pos >= self._stop else self._parse_any()
        buf = self.buf
        if self._is_server:
            if buf[pos] == 80 and buf[pos + 1] == 85 and buf[pos + 2] == 66 and buf[pos + 3] == 32:
                return self._parse_message(PUB, pos + 4, 1)
            if buf[pos] == 72 and buf[pos + 1] == 80 and buf[pos + 2] == 85 and buf[pos + 3] == 66 and buf[pos + 4] == 32:
                return self._parse_message(HPUB, pos + 5, 1)
            if buf[pos] == 83 and buf[pos + 1] == 85 and buf[pos + 2] == 66 and buf[pos + 3] == 32:
                return self._parse_line(SUB, pos + 4)
        else:
            if buf[pos] == 77 and buf[pos + 1] == 83 and buf[pos + 2] == 71 and buf[pos + 3] == 32:
                return self._parse_message(MSG, pos + 4, 2)
            if buf[pos] == 72 and buf[pos + 1] == 77 and buf[pos + 2] == 83 and buf[pos + 3] == 71 and buf[pos + 4] == 32:
                return self._parse_message(HMSG, pos + 5, 2)
        return self._parse_any()

    def _parse_message(self, op: int, pos: int, names: int) -> int:
        """Parse PUB, HPUB, MSG or HMSG from its argument at pos; names is how many fields stand before the reply."""
        buf = self.buf
        stop = self._stop
        while pos < stop and (buf[pos] == _SPACE or buf[pos] == _TAB):
            pos += 1
        lf = find_byte(buf, _LF, pos + 1, stop)
        if lf < 0:
            return NEED_DATA
        end = lf
        if lf - 1 > pos and buf[lf - 1] == _CR:
            end = lf - 1
        elif find_byte(buf, _CR, pos + 1, lf) >= 0:
            end = lf - 1
        if end - pos > self._max_control_line:
            raise self._long_line(pos, end)
        if op == HPUB and not self._headers:
            raise RemoteProtocolError("message headers not supported")
        found = self.publication
        sizes = 2 if op == HPUB or op == HMSG else 1
        count = fields(buf, pos, end, self._spans)
        if count == names + sizes:
            found.reply_start = found.reply_end = 0
        elif count == names + sizes + 1:
            found.reply_start = self._spans[2 * names]
            found.reply_end = self._spans[2 * names + 1]
        else:
            return self._parse_untidy(op, pos, end, lf, names)
        if buf[lf - 1] != _CR or lf - 1 != end:
            return self._parse_untidy(op, pos, end, lf, names)
        size = number(buf, self._spans[2 * count - 2], self._spans[2 * count - 1])
        header_size = -1
        if sizes == 2:
            header_size = number(buf, self._spans[2 * count - 4], self._spans[2 * count - 3])
        if size < 0 or size > self._max_payload or (sizes == 2 and (header_size < 0 or header_size > size)):
            self._check_sizes(op, pos, end, header_size, size)
        payload_end = lf + 1 + size
        if payload_end + 2 > stop:
            return self._need_payload(payload_end)
        if buf[payload_end] != _CR or buf[payload_end + 1] != _LF:
            raise self._unknown(payload_end)
        found.buf = buf
        found.subject_start = self._spans[0]
        found.subject_end = self._spans[1]
        if names == 2:
            found.sid_start = self._spans[2]
            found.sid_end = self._spans[3]
        found.tail_start = self._spans[2 * names]
        found.header_size = header_size
        found.payload_start = lf + 1
        found.payload_end = payload_end
        found.end = self.end = self._pos = payload_end + 2
        return op

    def _parse_untidy(self, op: int, pos: int, end: int, lf: int, names: int) -> int:
        """Parse a message whose line has tabs, runs of blanks or no CR: rewrite it aside, then parse that."""
        found = _FIELD.findall(cut(self.buf, pos, end))
        sizes = 2 if op in (HPUB, HMSG) else 1
        if len(found) not in (names + sizes, names + sizes + 1):
            raise self._bad_arguments(op, "Parse Error", pos, end)
        sizes_found = [int(field) if field.isdigit() and len(field) <= 9 else -1 for field in found[-sizes:]]
        self._check_sizes(op, pos, end, sizes_found[0], sizes_found[-1])
        payload_end = lf + 1 + sizes_found[-1]
        if payload_end + 2 > self._stop:
            return self._need_payload(payload_end)
        verb = {PUB: b"PUB ", HPUB: b"HPUB ", MSG: b"MSG ", HMSG: b"HMSG "}[op]
        tidy = bytearray(verb + b" ".join(found) + b"\r\n" + cut(self.buf, lf + 1, payload_end + 2))
        if self._aside is None:
            self._chunk_pos = payload_end + 2
        self.buf = tidy
        self._pos = 0
        self._stop = len(tidy)
        return self._parse_message(op, len(verb), names)

    def _need_payload(self, payload_end: int) -> int:
        """The line is complete, the payload is not: note how many bytes the whole operation has."""
        if payload_end < self._stop and self.buf[payload_end] != _CR:
            raise self._unknown(payload_end)
        self._need = payload_end + 2 - self._pos
        return NEED_DATA

    def _parse_line(self, op: int, pos: int) -> int:
        """Parse an operation that is one line, from its argument at pos."""
        buf = self.buf
        stop = self._stop
        while pos < stop and (buf[pos] == _SPACE or buf[pos] == _TAB):
            pos += 1
        lf = find_byte(buf, _LF, pos + 1, stop)
        if lf < 0:
            return NEED_DATA
        end = lf - 1 if find_byte(buf, _CR, pos + 1, lf) >= 0 else lf
        self._check_line(op, pos, end)
        self.line_start = pos
        self.line_end = end
        self.end = self._pos = lf + 1
        return op

    def _parse_any(self) -> int:
        """Parse an operation by the table of verbs; also tells a verb that is merely incomplete from a wrong one."""
        pos = self._pos
        if self._connect_only and self.buf[pos] not in b"Cc":
            raise RemoteProtocolError("authentication error", ANSWER_AUTHORIZATION)
        verb, op, separated = self._verb(pos, self._stop)
        if op == NEED_DATA:
            return NEED_DATA
        pos += len(verb)
        if op in (PUB, HPUB, MSG) or (op == HMSG and not self._is_server):
            return self._parse_message(op, pos, 1 if self._is_server else 2)
        if op not in (PING, PONG, OK):
            return self._parse_bare_message(pos) if op == HMSG else self._parse_line(op, pos)
        lf = find_byte(self.buf, _LF, pos, self._stop)
        if lf < 0:
            return NEED_DATA
        self.line_start, self.line_end = pos, lf
        self.end = self._pos = lf + 1
        return op

    def _parse_bare_message(self, pos: int) -> int:
        """Parse an HMSG from a client: a line, and CRLF in place of a payload."""
        before = self._pos
        if self._parse_line(HMSG, pos) == NEED_DATA:
            return NEED_DATA
        end, self._pos = self._pos, before
        if end + 2 > self._stop:
            return self._need_payload(end)
        if self.buf[end] != _CR or self.buf[end + 1] != _LF:
            raise self._unknown(end)
        self.end = self._pos = end + 2
        return HMSG

    def _verb(self, pos: int, stop: int) -> tuple[bytes, int, bool]:
        """Return the table's row for the verb at pos; NEED_DATA where it could still become one.

        Raises:
            RemoteProtocolError: no verb begins that way.
        """
        seen = cut(self.buf, pos, min(stop, pos + LONGEST_VERB + 1)).upper()
        for verb, op, separated in self._verbs:
            if seen.startswith(verb):
                if not separated or len(seen) == len(verb):
                    return verb, op if len(seen) > len(verb) else NEED_DATA, separated
                if seen[len(verb)] in _BLANKS:
                    return verb, op, separated
            elif verb.startswith(seen):
                return verb, NEED_DATA, separated
        raise self._unknown(pos)

    # What the chunk's end cuts in two

    def _put_aside(self) -> None:
        """Keep the rest of the chunk, which is the beginning of one operation, and forget the chunk."""
        size = self._stop - self._pos
        if size > 0:
            if self._need == 0:
                size = self._check_partial(self._pos, self._stop)
            aside = bytearray(size)
            put_slice(aside, 0, self.buf, self._pos, self._pos + size)
            self._aside = aside
            self._have = size
        self._forget_chunk()

    def _forget_chunk(self) -> None:
        self.buf = _NOTHING if self._aside is None else self._aside
        self._chunk = _NOTHING
        self._chunk_pos = self._chunk_stop = self._pos = self._stop = 0

    def _next_aside(self) -> int:
        """Fill what stands aside from the chunk; parse it once it is complete."""
        while True:
            if not (self._fill_payload() if self._need else self._fill_line()):
                self._forget_chunk()
                return NEED_DATA
            assert self._aside is not None
            self.buf = self._aside
            self._pos = 0
            self._stop = self._have
            self._need = 0
            op = self._parse()
            if op != NEED_DATA:
                self._aside = None
                return op
            # Its line is complete now and says how much more belongs to it; or its first argument byte was itself an LF, and the
            # line goes on (see the grammar above).

    def _fill_payload(self) -> bool:
        """Copy payload to what stands aside. True once that has all its bytes."""
        aside = self._aside
        assert aside is not None
        size = min(self._need - self._have, self._chunk_stop - self._chunk_pos)
        if self._have + size > len(aside):
            resize(aside, min(self._need, max(self._have + size, self._have + self._have // 2)))
        put_slice(aside, self._have, self._chunk, self._chunk_pos, self._chunk_pos + size)
        self._have += size
        self._chunk_pos += size
        if self._have == self._need:
            return True
        if self._have == self._need - 1 and aside[self._have - 1] != _CR:
            self.buf = aside
            self._stop = self._have
            raise self._unknown(self._have - 1)
        return False

    def _fill_line(self) -> bool:
        """Copy to the line aside up to its LF. True once it is there; the limit is checked before more is kept."""
        while self._chunk_pos < self._chunk_stop:
            lf = find_byte(self._chunk, _LF, self._chunk_pos, self._chunk_stop)
            end = self._chunk_stop if lf < 0 else lf + 1
            size = min(end - self._chunk_pos, self._max_control_line + 2 * LONGEST_VERB)
            aside = self._aside
            assert aside is not None
            aside.extend(cut(self._chunk, self._chunk_pos, self._chunk_pos + size))
            self._have += size
            self._chunk_pos += size
            if lf >= 0 and self._chunk_pos == end:
                return True
            self.buf = aside
            self._stop = self._have
            self._have = self._check_partial(0, self._have)
            del aside[self._have :]
        return False

    def _check_partial(self, pos: int, stop: int) -> int:
        """Check the incomplete line buf[pos:stop] and return how many of its bytes must be kept.

        Blanks behind a verb and what follows PING, PONG and +OK have no limit in nats-server and mean nothing: none is kept.
        """
        verb, op, separated = self._verb(pos, stop)
        if stop - pos <= len(verb):
            return stop - pos
        if op in (PING, PONG, OK):
            return len(verb)
        start = pos + len(verb)
        while start < stop and self.buf[start] in _BLANKS:
            start += 1
        if start == stop:
            return len(verb) + (1 if separated else 0)
        end = stop - 1  # one CR anywhere in the line, even before its LF, is not counted
        self._check_line(op, start, end)
        return stop - pos

    # Errors

    def _check_sizes(self, op: int, pos: int, end: int, header_size: int, size: int) -> None:
        """Raise what a size or header size out of bounds deserves, in nats-server's order."""
        has_header = op in (HPUB, HMSG)
        if has_header and header_size < 0:
            raise self._bad_arguments(op, "Bad or Missing Header Size", pos, end)
        if size < 0:
            raise self._bad_arguments(op, "Bad or Missing Total Size" if has_header else "Bad or Missing Size", pos, end)
        if has_header and header_size > size:
            raise self._bad_arguments(op, "Header Size larger then TotalSize", pos, end)
        if size > self._max_payload:
            raise too_large(size, self._max_payload)

    def _check_line(self, op: int, start: int, end: int) -> None:
        """A server's INFO is longer than any control line; nats.go reads it without a limit, we allow it a payload's size."""
        if end - start > self._max_control_line and not (op == INFO and not self._is_server and end - start <= self._max_payload):
            raise self._long_line(start, end)

    def _long_line(self, start: int, end: int) -> RemoteProtocolError:
        return long_line(cut(self.buf, start, end), end - start, self._max_control_line)

    def _unknown(self, pos: int) -> RemoteProtocolError:
        return unknown(self.buf, pos, self._stop)

    def _bad_arguments(self, op: int, what: str, pos: int, end: int) -> RemoteProtocolError:
        return bad_arguments(op, what, cut(self.buf, pos, end))
