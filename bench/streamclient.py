"""Raw connections for the loads of streams: one that asks and counts answers, and one that takes what consumers deliver.

Neither is a client library: they look at just enough of what comes to count it, to acknowledge it and to see that nothing is an error.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections.abc import Iterator, Sequence

from load import PING, PONG, read_until
from servers import Server
from workers import LoadError

INBOX = b"_INBOX.benchbenchbenchbenchbe."
CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"protocol":0,"headers":true,"no_responders":true}\r\n'
PATIENCE = 60.0
CHUNK = 1 << 20
MESSAGE = re.compile(rb"\r\nH?MSG \S+ \d+ (\$JS\.ACK\.\S+) \d+(?: \d+)?(?=\r\n)")
STATUS = re.compile(rb"NATS/1\.0 ([45]\d\d[^\r]*)")
FLOW = re.compile(rb"HMSG \S+ \d+ (\$JS\.FC\.\S+) ")


class Client:
    """A connection that asks and counts answers."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(CONNECT + b"SUB " + INBOX + b"* 1\r\n" + PING)
        while not read_until(self.socket, b"\r\n").endswith(PONG):
            pass

    def ask(self, subject: str, body: object) -> dict[str, object]:
        """Return the answer of the JetStream API."""
        payload = json.dumps(body).encode() if body else b""
        self.socket.sendall(b"PUB $JS.API.%b %b %d\r\n%b\r\n" % (subject.encode(), INBOX + b"api", len(payload), payload))
        data = b""
        while not data.endswith(b"}\r\n"):
            data = (data + self.socket.recv(65536)).replace(PING, b"")  # a server asks by itself whether somebody is there
        answer: dict[str, object] = json.loads(data[data.index(b"\r\n{") :])
        if "error" in answer:
            raise LoadError(f"{subject}: {answer['error']}")
        return answer

    def measure(self, requests: Iterator[bytes], count: int, window: int) -> float:
        """Have so many requests answered, and return how many a second."""
        buffer = bytearray(CHUNK)
        sent = answered = 0
        kept = b""
        begin = time.monotonic()
        while answered < count:
            while sent < count and sent - answered < window:
                batch = min(count - sent, window - (sent - answered), 256)
                self.socket.sendall(b"".join(next(requests) for _ in range(batch)))
                sent += batch
                if self._is_readable():
                    break
            data = kept + memoryview(buffer)[: self.socket.recv_into(buffer)]
            lines = data.rfind(b"\n") + 1
            kept, data = data[lines:], data[:lines]
            if b'"error"' in data or b"-ERR" in data or b"NATS/1.0 4" in data or b"NATS/1.0 5" in data:
                raise LoadError(f"after {answered} answers: {data[-300:]!r}")
            answered += data.count(INBOX)
        if answered > count:
            raise LoadError(f"{answered} answers to {count} requests")
        return count / (time.monotonic() - begin)

    def _is_readable(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])  # not recv: with a timeout it waits, whatever its flags say


class Taker:
    """A connection to which consumers deliver; it acknowledges each message or not, and asks for ``batch`` more after each ``batch``."""

    def __init__(self, server: Server, number: int = 0, *, acks: bool = False, request: bytes = b"", batch: int = 0) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inbox = b"_INBOX.take%04d" % number
        self.socket.sendall(CONNECT + b"SUB %b 1\r\n" % self.inbox + PING)
        while not read_until(self.socket, b"\r\n").endswith(PONG):
            pass
        self.taken = 0
        self._sids = 1
        self._acks = acks
        self._request = b"PUB %b %b %d\r\n%b\r\n" % (request, self.inbox, len(b"%d" % batch), b"%d" % batch) if request else b""
        self._batch = batch
        self._left = 0
        self._kept = b"\r\n"

    def listen(self, subject: str) -> None:
        """Take what is delivered there, too."""
        self._sids += 1
        self.socket.sendall(b"SUB %b %d\r\n%b" % (subject.encode(), self._sids, PING))
        while not read_until(self.socket, b"\r\n").endswith(PONG):
            pass

    def begin(self) -> None:
        """Ask for the first messages."""
        self._left = self._batch
        self.socket.sendall(self._request)

    def take(self, buffer: bytearray) -> int:
        """Read once; return how many messages that were."""
        size = self.socket.recv_into(buffer)
        if not size:
            raise LoadError("the server closed the connection")
        data = self._kept + memoryview(buffer)[:size]
        end = data.rfind(b"\r\n")
        data, self._kept = data[: end + 2], data[end:]
        if b"-ERR" in data or STATUS.search(data):
            raise LoadError(f"after {self.taken} messages: {data[-300:]!r}")
        replies = MESSAGE.findall(data)
        answers = [b"PUB %b 4\r\n+ACK\r\n" % reply for reply in replies] if self._acks else []
        answers += [b"PUB %b 0\r\n\r\n" % reply for reply in FLOW.findall(data)]
        self.taken += len(replies)
        self._left -= len(replies)
        if self._request and self._left == 0:
            answers.append(self._request)
            self._left = self._batch
        if answers:
            self.socket.sendall(b"".join(answers))
        return len(replies)


def take_all(takers: Sequence[Taker], count: int) -> float:
    """Take so many messages on all the connections together, and return how many a second."""
    buffer = bytearray(CHUNK)
    by_socket = {taker.socket: taker for taker in takers}
    taken = 0
    begin = time.monotonic()
    while taken < count:
        ready = select.select(list(by_socket), [], [], PATIENCE)[0]
        if not ready:
            raise LoadError(f"only {taken} of {count} messages")
        taken += sum(by_socket[each].take(buffer) for each in ready)
    if taken > count:
        raise LoadError(f"{taken} messages, not {count}")
    return count / (time.monotonic() - begin)
