"""A core request and its reply beside a busy stream: how much longer they take than on a server that has nothing else to do.

One client asks, another one answers, one request at a time; meanwhile a third publishes to a stream in files, as fast as its window lets
it or at a steady rate. nats-server (which does not sync) and midge (which does) in turns. What is compared is each server's own ratio,
with the stream to without: a server that is fast alone is not excused.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import select
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from priority import SERVER_NICE, favour, raised, rise, stand_apart
from report import against, median, print_json, print_table, rate_text, ratio_text, turns
from servers import OURS, THEIRS, Server, ServerError, add_server_options, contestants
from streamclient import CONNECT, PATIENCE, Client
from workers import Crew, LoadError, words

SIZE = 128
WINDOW = 4_000
BURST = 256  # publishes that are sent at once
SETTLE = 0.3
LONGEST = 1.5  # our ratio to nats-server's own, at most
CASES = {"alone": None, "20,000 publishes a second": 20_000, "as many as it takes": 0}


@dataclass(frozen=True, slots=True)
class Job:
    host: str
    port: int
    seconds: float
    rate: int | None
    stream: str


def connected(job: Job, subject: bytes) -> socket.socket:
    sock = socket.create_connection((job.host, job.port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(CONNECT + b"SUB %b 1\r\nPING\r\n" % subject)
    data = b""
    while not data.endswith(b"PONG\r\n"):
        data += sock.recv(65536)
    return sock


def quiet(job: Job, pipe: Connection) -> list[int]:
    """Ask and answer, one request after the other; return how many nanoseconds each took."""
    asking, answering = connected(job, b"_INBOX.quiet"), connected(job, b"service")
    rise()
    pipe.send("ready")
    pipe.recv()
    time.sleep(SETTLE)
    found = []
    end = time.monotonic() + job.seconds
    while time.monotonic() < end:
        begin = time.monotonic_ns()
        asking.sendall(b"PUB service _INBOX.quiet 5\r\nhello\r\n")
        line(answering, b"hello\r\n")
        answering.sendall(b"PUB _INBOX.quiet 5\r\nworld\r\n")
        line(asking, b"world\r\n")
        found.append(time.monotonic_ns() - begin)
    return found


def line(sock: socket.socket, end: bytes) -> None:
    """Read up to an end; a PING in between is answered."""
    data = b""
    while not data.endswith(end):
        piece = sock.recv(65536)
        if not piece:
            raise LoadError("the server closed the connection")
        data += piece
        if b"PING\r\n" in data:
            sock.sendall(b"PONG\r\n")
            data = data.replace(b"PING\r\n", b"")


def busy(job: Job, pipe: Connection) -> float:
    """Publish to a stream until told to stop; return how many a second were acknowledged."""
    stand_apart()
    sock = connected(job, b"_INBOX.busy")
    pipe.send("ready")
    pipe.recv()
    one = b"PUB %b.a _INBOX.busy %d\r\n%b\r\n" % (job.stream.encode(), SIZE, b"x" * SIZE)
    block = one * BURST
    sent = answered = 0
    begin = time.monotonic()
    while not pipe.poll():
        now = time.monotonic()
        if sent - answered <= WINDOW - BURST and (not job.rate or sent <= (now - begin) * job.rate):
            sock.sendall(block)
            sent += BURST
        if sent - answered > WINDOW - BURST:
            answered += heard(sock)
        elif job.rate and sent > (now - begin) * job.rate:
            time.sleep(0.001)
            while answered < sent and select.select([sock], [], [], 0)[0]:
                answered += heard(sock)
    while answered < sent:
        answered += heard(sock)
    rate = answered / (time.monotonic() - begin)
    sock.close()
    return rate


def heard(sock: socket.socket) -> int:
    """Read once; return how many acknowledgements ended: nothing else that comes has a brace, and one byte is never cut."""
    data = sock.recv(1 << 20)
    if not data or b'"error"' in data or b"-ERR" in data:
        raise LoadError(f"the publisher was told {data[-200:]!r}")
    return data.count(b"}")


def run(server: Server, rate: int | None, seconds: float, tag: str) -> tuple[list[int], float]:
    """One round: what each request took, and publishes a second."""
    job = Job(server.host, server.port, seconds, rate, tag)
    owner = Client(server)
    owner.ask(f"STREAM.CREATE.{tag}", {"name": tag, "subjects": [f"{tag}.>"], "storage": "file"})
    with Crew([quiet] if rate is None else [quiet, busy], job) as (asking, *publishing):
        words([asking, *publishing], PATIENCE)
        for worker in (*publishing, asking):
            worker.say("go")
        times: list[int] = asking.word(seconds + PATIENCE)
        published = 0.0
        for worker in publishing:
            worker.say("stop")
            published = worker.word(PATIENCE)
    owner.ask(f"STREAM.DELETE.{tag}", {})
    owner.socket.close()
    return times, published


def percentile(values: Sequence[int], share: float) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)] / 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description="A core request beside a busy stream, on nats-server and on midge, in turns.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long it is asked, in each round of each case")
    parser.add_argument("--directory", type=Path, help="where the streams are kept")
    parser.add_argument("--json", action="store_true")
    add_server_options(parser)
    options = parser.parse_args()
    names = [THEIRS, OURS]
    figures: dict[tuple[str, str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as directory, contextlib.ExitStack() as stack:
        servers = {}
        for name, command in contestants(options).items():
            config = Path(directory) / f"{name}.conf"
            config.write_text(f"jetstream {{ store_dir: '{directory}/{name}' }}\n")
            server = servers[name] = stack.enter_context(Server(name, raised([*command, "-c", str(config)])))
            favour(server.pid, SERVER_NICE)
        for number, order in enumerate(turns(names, options.rounds)):
            for name in order:
                for place, (case, rate) in enumerate(CASES.items()):
                    times, published = run(servers[name], rate, options.seconds, f"T{number}C{place}")
                    for key, value in (("p50", percentile(times, 0.5)), ("p99", percentile(times, 0.99)), ("published", published)):
                        figures.setdefault((case, name, key), []).append(value)
    results = [summary(case, key, names, figures) for case in CASES for key in ("p50", "p99")]
    print_json("beside", results) if options.json else show(results)
    return 0


def summary(case: str, key: str, names: list[str], figures: dict[tuple[str, str, str], list[float]]) -> dict[str, object]:
    """One case: microseconds of each server, and how its own ratio to being alone compares."""
    own = {
        name: [value / alone for value, alone in zip(figures[case, name, key], figures["alone", name, key], strict=True)] for name in names
    }
    return {
        "case": case,
        "figure": key,
        "microseconds": {name: median(figures[case, name, key]) for name in names},
        "published": {name: median(figures[case, name, "published"]) for name in names},
        "own ratio": {name: median(own[name]) for name in names},
        "ratio": against(own)[THEIRS],
        "rounds": {name: figures[case, name, key] for name in names},
    }


def show(results: list[dict[str, object]]) -> None:
    rows = []
    for item in results:
        micro, own, published = item["microseconds"], item["own ratio"], item["published"]
        assert isinstance(micro, dict) and isinstance(own, dict) and isinstance(published, dict) and isinstance(item["ratio"], dict)
        each = [cell for name in (THEIRS, OURS) for cell in (f"{micro[name]:.0f}", f"{own[name]:.2f}", rate_text(published[name]))]
        rows.append([f"{item['figure']}, {item['case']}", *each, ratio_text(item["ratio"])])
    head = [f"{name} {what}" for name in (THEIRS, OURS) for what in ("us", "to alone", "published/s")]
    print_table(["a request", *head, f"{OURS}'s ratio to {THEIRS}'s (min-max)"], rows)
    print(f"aim: {LONGEST} at most")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ServerError, LoadError) as error:
        print(f"beside.py: {error}", file=sys.stderr)
        sys.exit(1)
