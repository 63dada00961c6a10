"""A raw load for a NATS server: one process publishes, one counts what arrives, and neither is a NATS client.

The publisher pushes big pre-built blocks of PUB frames; the subscriber reads into one big buffer and counts bytes.
All MSG frames of a run have the same length, so `messages x length` bytes are exactly the messages, none lost and none
twice. The first and the last frame carry their own payloads and are compared in full; of every chunk read, the last
bytes are compared with what must stand there, so a server that shifts, drops or invents bytes is caught. A PING of the
server between two frames is answered and left out of the count.

The rate is delivered messages / (last byte received - first byte sent), both by the system's monotonic clock, which
processes share. `--ceiling` replaces the server by a dumb relay that copies bytes and knows no protocol: what it
reaches is the most that this generator could show on this machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import selectors
import socket
import string
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection

from lines import Line, open_line
from report import rate_text
from workers import Crew, LoadError, Role, words

BLOCK = 1 << 18
BUFFER = 1 << 20
WINDOW = 64
PATIENCE = 5.0
PING, PONG = b"PING\r\n", b"PONG\r\n"
CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"protocol":0,"lang":"bench","version":"1","user":"bench","pass":"bench"}\r\n'


@dataclass(frozen=True, slots=True)
class Shape:
    """`publishers` connections, each to its own subject, each heard by `listeners` connections."""

    name: str
    publishers: int
    listeners: int


SHAPES = {shape.name: shape for shape in (Shape("1:1", 1, 1), Shape("4x1:1", 4, 1), Shape("1:8", 1, 8))}
SINK = Shape("sink", 1, 0)


@dataclass(frozen=True, slots=True)
class Job:
    """One run: `count` messages of `size` bytes from each publisher; all of it within `timeout` seconds."""

    host: str
    port: int
    shape: Shape
    size: int
    count: int
    timeout: float = 60.0
    relayed: bool = False
    scheme: str = "nats"
    authority: str = ""

    @property
    def delivered(self) -> int:
        return self.count * self.shape.publishers * self.shape.listeners

    def published(self, number: int) -> Frames:
        """What publisher `number` sends; to the dumb relay, what its subscribers must get."""
        return self.received(number) if self.relayed else Frames(f"PUB bench.{number} {self.size}", self.size, self.count)

    def received(self, number: int) -> Frames:
        return Frames(f"MSG bench.{number} 1 {self.size}", self.size, self.count)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rate` and `bandwidth` (payload bytes a second) of delivered messages; seconds since the first byte was sent."""

    rate: float
    bandwidth: float
    first: float
    last: float
    accepted: float


class Frames:
    """The exact bytes of `count` frames of one length: the first, many equal ones, the last."""

    def __init__(self, head: str, size: int, count: int) -> None:
        if size < 1 or count < 3:
            raise LoadError("a run needs a payload and three messages")
        letters = "".join(random.Random(size).choices(string.ascii_lowercase, k=size))
        self.first, self.middle, self.last = (f"{head}\r\n{payload}\r\n".encode() for payload in ("<" * size, letters, ">" * size))
        self.count = count
        self.length = len(self.middle)
        self.total = self.length * count
        self._repeated = self.middle * (2 + WINDOW // self.length)

    def blocks(self) -> Iterator[bytes | memoryview]:
        """Everything, in pieces worth one call each."""
        yield self.first
        many = max(1, BLOCK // self.length)
        block = memoryview(self.middle * many)
        left = self.count - 2
        while left > 0:
            yield block[: left * self.length]
            left -= many
        yield self.last

    def fits(self, chunk: memoryview, start: int) -> bool:
        """Whether `chunk` can be the bytes from `start` on: its edge frames in full, of the others its end."""
        stop = start + len(chunk)
        middle_stop = self.total - self.length
        if start < self.length and not self._same(chunk, start, start, min(stop, self.length)):
            return False
        if stop > middle_stop:
            return self._same(chunk, start, max(start, middle_stop), stop)
        tail = max(start, stop - WINDOW, self.length)
        return tail >= stop or self._repeated.startswith(chunk[tail - start :], tail % self.length)

    def _same(self, chunk: memoryview, origin: int, start: int, stop: int) -> bool:
        frame = self.first if stop <= self.length else self.last
        offset = start % self.length
        return chunk[start - origin : stop - origin] == frame[offset : offset + stop - start]


class Listener:
    """One subscribed connection: counts what comes, and proves that it is what was sent."""

    def __init__(self, sock: Line, frames: Frames) -> None:
        self.sock = sock
        self.frames = frames
        self.position = 0

    def read(self, buffer: memoryview) -> bool:
        """Take what one read gives; True when everything is there."""
        try:
            size = self.sock.recv_into(buffer)
        except BlockingIOError:  # a part of a record, or of a frame's head
            return False
        if not size:
            raise LoadError(f"the server closed a subscriber after {self.position} of {self.frames.total} bytes")
        if not self.frames.fits(buffer[:size], self.position):
            size = self._without_ping(buffer, size)
        self.position += size
        return self.position == self.frames.total

    def confirm(self, timeout: float) -> None:
        """Nothing may follow the last frame but the answer to a PING."""
        self.sock.settimeout(timeout)
        self.sock.sendall(PING)
        rest = read_until(self.sock, PONG)
        if rest.replace(PING, b"") != PONG:
            raise LoadError(f"bytes after the last message: {rest[:80]!r}")

    def _without_ping(self, buffer: memoryview, size: int) -> int:
        """Remove the server's PING from the chunk, wherever it was cut, and answer it; anything else is an error."""
        chunk = bytes(buffer[:size])
        at = chunk.find(PING)
        if at < 0:
            cut = next((k for k in range(5, 0, -1) if chunk.endswith(PING[:k])), 0)
            self.sock.settimeout(PATIENCE)
            while 0 < cut < len(PING) and (more := self.sock.recv(len(PING) - cut)):
                chunk += more
                cut += len(more)
            self.sock.setblocking(False)
            at = chunk.find(PING)
        rest = chunk.replace(PING, b"", 1)
        if at < 0 or not self.frames.fits(memoryview(rest), self.position):
            raise LoadError(f"not what was sent, at byte {self.position} of {self.frames.total}: {chunk[:120]!r} ... {chunk[-120:]!r}")
        self.sock.send(PONG)
        buffer[: len(rest)] = rest
        return len(rest)


def run(job: Job) -> Outcome:
    """Run one load to its end; raises LoadError."""
    roles: list[Role] = [publish, listen] if job.shape.listeners else [publish]
    with Crew(roles, job) as workers:
        words(workers, job.timeout)
        for worker in reversed(workers):
            worker.say("go")
        times = words(workers, job.timeout + PATIENCE)
    start, accepted = times[0]
    first, last = times[1] if job.shape.listeners else (start, accepted)
    seconds = (last - start) / 1e9
    rate = max(job.delivered, job.count) / seconds
    return Outcome(rate, rate * job.size, (first - start) / 1e9, seconds, (accepted - start) / 1e9)


def publish(job: Job, pipe: Connection) -> tuple[int, int]:
    """The publishing process: one connection and one thread per publisher, both ends of the time it took."""
    work = [(connect_by_link(job), list(job.published(number).blocks())) for number in range(job.shape.publishers)]
    times: list[tuple[int, int]] = []
    errors: list[str] = []

    def push(sock: Line, blocks: list[bytes | memoryview]) -> None:
        start = time.monotonic_ns()
        try:
            for block in blocks:
                sock.sendall(block)
            sock.sendall(PING)
            answer = read_until(sock, PONG)
        except (OSError, LoadError) as error:
            errors.append(f"publisher: {error}")
            return
        times.append((start, time.monotonic_ns()))
        if answer.replace(PING, b"") != PONG:
            errors.append(f"publisher was told {answer[:80]!r}")

    threads = [threading.Thread(target=push, args=item) for item in work]
    pipe.send("ready")
    pipe.recv()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise LoadError("; ".join(errors))
    return min(start for start, _ in times), max(stop for _, stop in times)


def listen(job: Job, pipe: Connection) -> tuple[int, int]:
    """The subscribing process: all subscribers, one selector; when the first and the last byte came."""
    listeners = []
    for number in range(job.shape.publishers):
        frames = job.received(number)
        listeners += [Listener(connect_by_link(job, f"SUB bench.{number} 1\r\n".encode()), frames) for _ in range(job.shape.listeners)]
    selector = selectors.DefaultSelector()
    for listener in listeners:
        listener.sock.setblocking(False)
        selector.register(listener.sock.fileno(), selectors.EVENT_READ, listener)
    pipe.send("ready")
    pipe.recv()
    first = count(selector, listeners, time.monotonic() + job.timeout)
    last = time.monotonic_ns()
    for listener in listeners:
        listener.confirm(job.timeout)
    return first, last


def count(selector: selectors.BaseSelector, listeners: list[Listener], deadline: float) -> int:
    """Read until every listener has everything; returns when the first byte came."""
    buffer = memoryview(bytearray(BUFFER))
    first = 0
    left = len(listeners)
    while left:
        ready = selector.select(max(0.0, deadline - time.monotonic()))
        if not ready:
            missing = ", ".join(f"{item.frames.total - item.position} of {item.frames.total}" for item in listeners)
            raise LoadError(f"out of time; bytes missing per subscriber: {missing}")
        first = first or time.monotonic_ns()
        for key, _ in ready:
            if key.data.read(buffer):
                selector.unregister(key.fd)
                left -= 1
    return first


def connect(host: str, port: int, commands: bytes = b"", timeout: float = 60.0) -> socket.socket:
    """A connection that has said CONNECT and `commands`, and knows that the server took them."""
    sock = socket.create_connection((host, port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    introduce(sock, commands)
    return sock


def connect_by_link(job: Job, commands: bytes = b"") -> Line:
    """The same over whatever link the job wants."""
    line = open_line(job.host, job.port, job.scheme, job.authority, job.timeout)
    introduce(line, commands)
    return line


def introduce(line: Line, commands: bytes) -> None:
    read_until(line, b"\r\n")
    line.sendall(CONNECT + commands + PING)
    answer = read_until(line, PONG)
    if answer.replace(PING, b"") != PONG:
        raise LoadError(f"handshake: {answer[:80]!r}")


def read_until(sock: Line, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        more = sock.recv(65536)
        if not more or data.startswith(b"-ERR"):
            raise LoadError(f"the server closed the connection, last words {data[-80:]!r}")
        data += more
    return data


def relay(job: Job, server: socket.socket) -> None:
    """The dumb server: shakes hands, then copies each publisher's bytes to its subscribers, counting only bytes."""
    server.settimeout(job.timeout)
    targets: dict[int, list[socket.socket]] = {number: [] for number in range(job.shape.publishers)}
    sources: list[socket.socket] = []
    for _ in range(job.shape.publishers * (1 + job.shape.listeners)):
        sock, _ = server.accept()
        sock.sendall(b"INFO {}\r\n")
        said = read_until(sock, PING)
        sock.sendall(PONG)
        found = said.partition(b"SUB bench.")[2]
        if found:
            targets[int(found.split()[0])].append(sock)
        else:
            sources.append(sock)
    selector = selectors.DefaultSelector()
    left = {}
    for number, sock in enumerate(sources):
        left[number] = job.published(number).total
        selector.register(sock, selectors.EVENT_READ, number)
    buffer = memoryview(bytearray(BUFFER))
    while left:
        for key, _ in selector.select(job.timeout):
            sock, number = sources[key.data], key.data
            size = sock.recv_into(buffer)
            taken = min(size, left[number])
            for target in targets[number]:
                target.sendall(buffer[:taken])
            left[number] -= taken
            if not left[number] or not size:
                selector.unregister(sock)
                sock.sendall(PONG)
                del left[number]
    for target in [target for group in targets.values() for target in group]:
        target.settimeout(job.timeout)
        read_until(target, PING)
        target.sendall(PONG)


def ceiling(shape: Shape, size: int, count: int) -> Outcome:
    """The same load, four times as long, through the dumb relay."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        job = Job("127.0.0.1", server.getsockname()[1], shape, size, count * 4, relayed=True)
        worker = multiprocessing.get_context("spawn").Process(target=relay, args=(job, server), daemon=True)
        worker.start()
        try:
            return run(job)
        finally:
            worker.join(1.0)
            if worker.is_alive():
                worker.kill()
                worker.join()


def default_count(shape: Shape, size: int) -> int:
    """Messages per publisher for a run of about a second on a two-core machine, bounded by a gigabyte or so of payload."""
    base = {16: 3_000_000, 128: 2_000_000, 1024: 600_000, 65536: 20_000}
    most = base.get(size, max(1_000, min(2_000_000, (1 << 30) // size)))
    return max(3, most // shape.publishers // max(1, shape.listeners // 2))


def main() -> int:
    parser = argparse.ArgumentParser(description="Raw NATS load: publish, receive, count, verify.")
    parser.add_argument("server", nargs="?", metavar="HOST:PORT", help="a running server")
    parser.add_argument("--ceiling", action="store_true", help="measure the generator itself, through a dumb relay")
    parser.add_argument("--shape", choices=SHAPES, default="1:1")
    parser.add_argument("--size", type=int, default=16, help="payload bytes")
    parser.add_argument("--count", type=int, help="messages per publisher")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    messages = options.count or default_count(shape, options.size)
    if not options.ceiling and not options.server:
        parser.error("give a server, or --ceiling")
    outcomes = {}
    try:
        if options.ceiling:
            outcomes["into a sink"] = ceiling(SINK, options.size, messages)
            outcomes[f"relay {shape.name}"] = ceiling(shape, options.size, messages)
        else:
            host, _, port = options.server.removeprefix("nats://").rpartition(":")
            outcomes[shape.name] = run(Job(host, int(port), shape, options.size, messages))
    except (LoadError, OSError) as error:
        print(f"load.py: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({name: asdict(outcome) for name, outcome in outcomes.items()}, indent=2))
    for name, outcome in () if options.json else outcomes.items():
        print(f"{name}, {options.size} B: {rate_text(outcome.rate)} msgs/s, {outcome.bandwidth / 1e6:.0f} MB/s in {outcome.last:.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
