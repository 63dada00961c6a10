"""Plays one conversation against a server and returns what every connection heard.

Plain blocking sockets, no NATS client: the bytes of the table go out as they stand, and the bytes that come back are kept
verbatim and in order, one string per connection. Only what two correct servers must differ in is levelled: INFO keeps the fields
that clients read (see `INFO_VALUES` and `INFO_TYPES`), and the copies of one message for several subscriptions of one connection
are sorted, because nats-server walks a map there.

Nothing sleeps. A step waits for a PONG, for a number of protocol lines or for the end of the stream; connections still open
when the steps are over are half-closed and read to their end, so what a server still had to say is always heard. `PATIENCE`
only bounds the wait for a server that says nothing; reaching it shows in the transcript as `Ending.SILENT`.
"""

import base64
import json
import re
import socket
from collections.abc import Callable, Iterable
from enum import StrEnum
from itertools import groupby

from conversations import Step

from midge.nkeys import KeyPair

PATIENCE = 5.0

INFO_VALUES = ("proto", "headers", "auth_required", "tls_required", "max_payload", "connect_info", "remote_account",
               "acc_is_sys")  # fmt: skip
INFO_TYPES = ("server_id", "server_name", "version", "go", "host", "port", "client_id", "client_ip", "nonce")


SIGNATURE_OF = b"<<signature of "
SIGNED = re.compile(SIGNATURE_OF + rb"(S\w+) as (raw|std)>>")  # in what is sent: stands for the signature of the connection's nonce


class Ending(StrEnum):
    """How a connection ended, the last entry of each in a transcript."""

    CLOSED = "closed by the server"
    FINISHED = "closed by the server after our end of stream"
    SILENT = "nothing came for too long"


Transcript = list[tuple[int, bytes | Ending]]


def play(steps: Iterable[Step], host: str, port: int) -> Transcript:
    """Run the steps against the server at host and port; every connection is closed afterwards."""
    lines: dict[int, Line] = {}
    try:
        for step in steps:
            match step.verb:
                case "connect":
                    lines[step.connection] = Line(host, port)
                case "send":
                    lines[step.connection].send(step.data, step.number)
                case "sync":
                    lines[step.connection].sync(step.data, step.number)
                case "frames":
                    lines[step.connection].wait_for_frames(step.number)
                case "eof":
                    lines[step.connection].finish()
                case "wait_close":
                    lines[step.connection].wait_close()
                case verb:
                    raise ValueError(f"no such step: {verb}")
        for line in lines.values():
            line.finish()
    finally:
        for line in lines.values():
            line.socket.close()
    transcript: Transcript = []
    for number, line in sorted(lines.items()):
        assert line.ending is not None
        transcript += [(number, normalise(bytes(line.received))), (number, line.ending)]
    return transcript


class Line:
    """One connection: what came so far, how much of it is whole frames, and how it ended."""

    def __init__(self, host: str, port: int) -> None:
        """Connect and wait for the server's first line."""
        self.received = bytearray()
        self.framed = 0
        self.frames = 0
        self.pongs = 0
        self.ending: Ending | None = None
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wait_for_frames(1)

    def send(self, data: bytes, piece: int = 0) -> None:
        """Send data, in pieces of that many bytes if asked to. A server that hung up is heard to its end instead."""
        if self.ending is not None:
            return
        if SIGNATURE_OF in data:
            data = SIGNED.sub(self._sign, data)
        try:
            for start in range(0, len(data), piece or len(data)):
                self.socket.sendall(data[start : start + (piece or len(data))])
        except (BrokenPipeError, ConnectionResetError):
            self.wait_close()

    def _sign(self, wanted: re.Match[bytes]) -> bytes:
        """What a seed makes of the nonce, as text of the wanted kind."""
        nonce = json.loads(bytes(self.received[5 : self.received.index(b"\r\n")])).get("nonce", "").encode()
        signature = KeyPair.from_seed(wanted[1]).sign(nonce)
        encode = base64.b64encode if wanted[2] == b"std" else base64.urlsafe_b64encode
        return encode(signature) if wanted[2] == b"std" else encode(signature).rstrip(b"=")

    def sync(self, data: bytes, pongs: int) -> None:
        """Send data, which makes the server answer that many PONGs, and read up to the last of them or to the end."""
        goal = self.pongs + pongs
        self.send(data)
        self._read_until(lambda: self.pongs >= goal)

    def wait_for_frames(self, count: int) -> None:
        """Read until that many protocol lines came in all, the first INFO included."""
        self._read_until(lambda: self.frames >= count)

    def wait_close(self) -> None:
        """Read until the server closes."""
        self._read_until(lambda: False)

    def finish(self) -> None:
        """Half-close and read what is left."""
        if self.ending is not None:
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server's reset came first; what it sent before is still to be read
        self.wait_close()
        if self.ending is Ending.CLOSED:
            self.ending = Ending.FINISHED

    def _read_until(self, satisfied: Callable[[], bool]) -> None:
        while self.ending is None and not satisfied():
            try:
                chunk = self.socket.recv(1 << 16)
            except ConnectionResetError:  # how a close looks to one whose last bytes went unread
                chunk = b""
            except TimeoutError:
                self.ending = Ending.SILENT
                return
            if not chunk:
                self.ending = Ending.CLOSED
            self.received += chunk
            self._count_frames()

    def _count_frames(self) -> None:
        while (end := frame_end(self.received, self.framed)) >= 0:
            self.frames += 1
            self.pongs += self.received[self.framed : end] == b"PONG\r\n"
            self.framed = end


def frame_end(data: bytes | bytearray, start: int) -> int:
    """Where the protocol line (and payload) that begins at start ends, or -1 if it is not all there."""
    line_end = data.find(b"\r\n", start) + 2
    if line_end < 2:
        return -1
    if data[start : start + 4] == b"MSG " or data[start : start + 5] == b"HMSG ":
        size = data[start:line_end].split()[-1]
        line_end += int(size) + 2 if size.isdigit() else 0
    return line_end if line_end <= len(data) else -1


def normalise(data: bytes) -> bytes:
    """The bytes of one connection with INFO reduced and the copies of one message in the order of their sids."""
    frames: list[bytes] = []
    start = 0
    while (end := frame_end(data, start)) >= 0:
        frames.append(reduce_info(data[start:end]))
        start = end
    ordered = [frame for _, copies in groupby(frames, without_sid) for frame in sorted(copies)]
    return b"".join(ordered) + data[start:]


def reduce_info(frame: bytes) -> bytes:
    """An INFO line with the fields that clients read, the varying ones as the name of their type; other lines as they are."""
    if not frame.startswith(b"INFO {"):
        return frame
    text, brace, rest = frame[5:].rpartition(b"}")
    info = json.loads(text + brace)
    kept = {name: info[name] for name in INFO_VALUES if name in info}
    kept |= {name: type(info[name]).__name__ for name in INFO_TYPES if name in info}
    return b"INFO " + json.dumps(kept).encode() + rest


def without_sid(frame: bytes) -> tuple[bytes, ...]:
    """What copies of one message for several subscriptions of one connection have in common."""
    head, _, body = frame.partition(b"\r\n")
    words = head.split(b" ", 3)
    if words[0] not in (b"MSG", b"HMSG") or len(words) < 4:
        return (frame,)
    return (words[0], words[1], words[3], body)
