"""Fuzzes wire.parser in both roles: whatever comes is parsed or is a RemoteProtocolError, however it is cut, and little is held.

See mutator.py for how to run it.
"""

import sys
from random import Random

from mutator import cut, run

from midge.errors import RemoteProtocolError
from midge.wire import octets
from midge.wire.parser import Parser

LINE, PAYLOAD = 64, 128
Found = tuple[list[tuple[int, bytes, bytes, bytes, bytes]], str | None]


def parse(pieces: list[bytes], is_server: bool) -> Found:
    """The operations in the pieces, and the answer to the error that ended them; no two errors with an answer look alike."""
    parser = Parser(is_server, LINE, PAYLOAD)
    found: list[tuple[int, bytes, bytes, bytes, bytes]] = []
    with_payload = (octets.PUB, octets.HPUB) if is_server else (octets.MSG, octets.HMSG)
    try:
        for piece in pieces:
            parser.receive_data(piece)
            while (op := parser.next()) != octets.NEED_DATA:
                if op in with_payload:
                    message = parser.publication
                    found.append((op, message.subject(), b"" if is_server else message.sid(), message.reply(), message.body()))
                    tail = bytes(message.buf[message.tail_start : message.end])
                    assert tail.endswith(b"\r\n" + message.body() + b"\r\n"), "it cannot be forwarded as it is"
                elif op in (octets.PING, octets.PONG, octets.OK):
                    found.append((op, b"", b"", b"", b""))
                else:
                    found.append((op, parser.line(), b"", b"", b""))
            held = len(parser.buf)
            assert held <= LINE + PAYLOAD + 16 or not is_server and held <= 2 * PAYLOAD + 16, "too much is held"
    except RemoteProtocolError as error:
        return found, error.answer or "no answer"
    return found, None


def fuzz_parser(data: bytes) -> None:
    """Parse the stream whole, cut at random and byte by byte."""
    random = Random(data)
    for is_server in (True, False):
        whole = parse([data], is_server)
        assert parse(cut(data, random), is_server) == whole, "a cut changes what is found"
        assert parse([data[i : i + 1] for i in range(len(data))], is_server) == whole, "cutting everywhere changes what is found"


if __name__ == "__main__":
    run(fuzz_parser, sys.argv[1:])
