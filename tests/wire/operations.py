"""Reads what a parser makes of a stream, however the stream is cut, as values that compare.

``read`` plays the driver: it feeds every piece from one reused chunk whose bytes behind ``stop`` would complete a line if the parser
looked at them, and it overwrites the chunk once the parser asks for more. It also holds each message to the promise that
it is plain: what stands between ``tail_start`` and ``end`` can be forwarded as it is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from midge.errors import RemoteProtocolError
from midge.wire import octets

NAMES = {
    octets.PUB: "PUB", octets.HPUB: "HPUB", octets.SUB: "SUB", octets.UNSUB: "UNSUB", octets.CONNECT: "CONNECT", octets.PING: "PING",
    octets.PONG: "PONG", octets.INFO: "INFO", octets.OK: "+OK", octets.ERR: "-ERR", octets.MSG: "MSG", octets.HMSG: "HMSG",
}  # fmt: skip
MESSAGES = ("PUB", "HPUB", "MSG", "HMSG")
BEHIND = b" 1\r\nPING\r\n"
VARIES = re.compile(r"i=\d+: proto='.*|line of \d+ bytes.*", re.DOTALL)  # the part of a reason that depends on where the stream was cut


class Operation(NamedTuple):
    """One operation: a message has everything but a line, every other only its name and, where it means something, its line."""

    name: str
    line: bytes = b""
    subject: bytes = b""
    sid: bytes = b""
    reply: bytes = b""
    header: bytes | None = None
    payload: bytes = b""


class Outcome(NamedTuple):
    """What a stream came to: its operations, and the reason and the answer of the error that ended it."""

    operations: list[Operation]
    reason: str | None = None
    answer: str | None = None

    def whatever_the_cuts(self) -> "Outcome":
        """The outcome without what a cut may change."""
        return self._replace(reason=self.reason and VARIES.sub("", self.reason))


def describe(parser: Any, op: int, is_server: bool) -> Operation:
    """The operation that the parser has just found; a HMSG from a client is a line like any other."""
    name = NAMES[op]
    if name not in MESSAGES or (name == "HMSG" and is_server):
        return Operation(name, b"" if name in ("PING", "PONG", "+OK") else parser.line())
    found = parser.publication
    assert found.end == parser.end
    body = found.body()
    size = found.header_size
    has_header, has_sid = name in ("HPUB", "HMSG"), name in ("MSG", "HMSG")
    assert (size >= 0) == has_header
    check_plain(found, has_header, has_sid)
    return Operation(
        name, b"", found.subject(), found.sid() if has_sid else b"", found.reply() if found.reply_end else b"",
        body[:size] if has_header else None, body[size:] if has_header else body,
    )  # fmt: skip


def check_plain(found: Any, has_header: bool, has_sid: bool) -> None:
    """Assert that the message can be forwarded from the parser's buffer."""
    before = found.sid_end if has_sid else found.subject_end
    assert found.tail_start == before + 1
    line, _, rest = bytes(found.buf[found.tail_start : found.end]).partition(b"\r\n")
    assert rest == found.body() + b"\r\n"
    assert found.size() == len(found.body())
    fields = line.split(b" ")
    assert int(fields.pop()) == len(found.body())
    if has_header:
        assert int(fields.pop()) == found.header_size
    assert fields == ([found.reply()] if found.reply_end else [])


def held(parser: Any) -> int:
    """How many bytes of memory an incomplete operation takes, once the parser has asked for more."""
    return len(parser.buf)


def read(parser: Any, pieces: Iterable[bytes], chunk: bytearray | None = None, is_server: bool = True) -> Outcome:
    """Feed the pieces as a driver does and return what came of them."""
    found: list[Operation] = []
    chunk = bytearray(4096) if chunk is None else chunk
    try:
        for piece in pieces:
            stop = len(piece)
            chunk[: stop + len(BEHIND)] = piece + BEHIND
            parser.receive(chunk, stop)
            while (op := parser.next()) != octets.NEED_DATA:
                found.append(describe(parser, op, is_server))
            chunk[:] = b"\xa5" * len(chunk)
    except RemoteProtocolError as error:
        return Outcome(found, error.reason, error.answer)
    return Outcome(found)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """The stream in pieces, cut at these places."""
    at = [0, *sorted(places), len(stream)]
    return [stream[start:stop] for start, stop in zip(at, at[1:])]


def two_pieces(stream: bytes) -> Iterator[list[bytes]]:
    """The stream in two, at every place."""
    return (cut(stream, [place]) for place in range(1, len(stream)))


def many_pieces(stream: bytes, times: int) -> Iterator[list[bytes]]:
    """The stream in a few pieces, differently each time, the same in every run."""
    random = Random(stream)
    for _ in range(times):
        count = random.randint(2, 9)
        yield cut(stream, [random.randint(0, len(stream)) for _ in range(count)])


def bytes_one_by_one(stream: bytes) -> Sequence[bytes]:
    """The stream in pieces of one byte."""
    return [stream[i : i + 1] for i in range(len(stream))]
