"""What a crowd costs a server: ten thousand clients that come at once, and a hundred publishers with a hundred listeners.

    storm   so many connections, some hundred of them under way at any time, that each CONNECT, SUB and PING and wait for
            the PONG: seconds for all, processor seconds of the server, and its resident memory per connection afterwards
    burst   one message from each publisher to every subscriber, all of them at the server before it looks (it is
            suspended while they are sent): TCP segments per delivered message, and milliseconds until all have all

The servers take turns, each storm in a fresh one; `--before` adds an older midge. A generator that needs nearly all of
the seconds itself would measure itself: its processor time is shown beside. A segment is what one `send` of the server
gave, as long as none waits for the receiver: 1 is a send for every message, 0.01 one for a hundred. Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from crowd import IN_FLIGHT, Readers, open_many, reset_all
from load import PING, connect
from report import against, median, print_json, print_table, ratio_text, turns
from servers import OURS, Server, ServerError, add_server_options, allow_descriptors, contestants, refuse, settled_rss
from workers import Crew, LoadError

PATIENCE = 120.0
SEGMENTS_IN = 152  # tcpi_data_segs_in in Linux's struct tcp_info
MESSAGE = b"PUB storm.all 16\r\n0123456789abcdef\r\n"
DELIVERED = len(b"MSG storm.all 1 16\r\n0123456789abcdef\r\n")

Rounds = dict[str, list[float]]
Measure = dict[str, float]


@dataclass(frozen=True, slots=True)
class Job:
    host: str
    port: int
    count: int
    in_flight: int
    subject: str


def arrive(job: Job, pipe: Connection) -> None:
    """The crowd: opens everything, tells how long it took, and stays until it is told to go."""
    commands = [f"SUB {job.subject.format(index)} 1\r\n".encode() for index in range(job.count)]
    pipe.send("ready")
    pipe.recv()
    gc.disable()
    start, used = time.perf_counter(), time.process_time()
    socks = open_many(job.host, job.port, commands, job.in_flight, PATIENCE)
    pipe.send((time.perf_counter() - start, time.process_time() - used))
    pipe.recv()
    reset_all(socks)


def storm(server: Server, options: argparse.Namespace) -> Measure:
    """One storm over a fresh server."""
    job = Job(server.host, server.port, options.connections, options.in_flight, options.subject)
    connect(server.host, server.port).close()
    before = settled_rss(server)
    with Crew([arrive], job) as (worker,):
        worker.word(PATIENCE)
        used = server.cpu()
        worker.say("go")
        seconds, generator = worker.word(PATIENCE + 10.0)
        used = server.cpu() - used
        grown = settled_rss(server) - before
        worker.say("leave")
        worker.word(PATIENCE)
    return {"seconds": seconds, "server_cpu": used, "generator_cpu": generator, "bytes_each": grown / job.count}


def burst(server: Server, options: argparse.Namespace) -> Measure:
    """Several bursts over one crowd: the median of each figure."""
    count = options.pairs
    segments, seconds = [], []
    with contextlib.ExitStack() as stack:
        listeners = open_many(server.host, server.port, [b"SUB storm.all 1\r\n"] * count)
        stack.callback(reset_all, listeners)
        publishers = open_many(server.host, server.port, [b""] * count)
        stack.callback(reset_all, publishers)
        for _ in range(options.bursts):
            taken, sent = one_burst(server, listeners, publishers)
            seconds.append(taken)
            segments.append(sent / count**2)
    return {"segments_per_message": statistics.median(segments), "milliseconds": statistics.median(seconds) * 1e3}


def one_burst(server: Server, listeners: list[socket.socket], publishers: list[socket.socket]) -> tuple[float, int]:
    """Seconds from the moment the server goes on until every listener has every message, and in how many segments."""
    readers = Readers(listeners)
    before = sum(map(segments_in, listeners))
    try:
        with server.suspended():
            for sock in publishers:
                sock.send(MESSAGE)
            start = time.perf_counter()
        readers.read_until(DELIVERED * len(publishers), PATIENCE)
        taken = time.perf_counter() - start
    finally:
        readers.close()
    surplus = sum(readers.heard.values()) - DELIVERED * len(publishers) * len(listeners)
    if surplus % len(PING) or surplus > len(PING) * len(listeners):
        raise LoadError(f"{surplus} bytes more than were sent")
    return taken, sum(map(segments_in, listeners)) - before


def segments_in(sock: socket.socket) -> int:
    """How many segments with data this connection has received."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    segments: int = struct.unpack_from("=I", info, SEGMENTS_IN)[0]
    return segments


PARTS: dict[str, Callable[[Server, argparse.Namespace], Measure]] = {"storm": storm, "burst": burst}
COLUMNS = {
    "seconds": ("seconds", "{:.2f}"),
    "server_cpu": ("server cpu s", "{:.2f}"),
    "generator_cpu": ("generator cpu s", "{:.2f}"),
    "bytes_each": ("RSS each", "{:,.0f} B"),
    "segments_per_message": ("segments/message", "{:.3f}"),
    "milliseconds": ("ms", "{:.1f}"),
}
COMPARED = ("seconds", "server_cpu", "bytes_each", "segments_per_message", "milliseconds")


def measure(part: str, commands: dict[str, list[str]], options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one part; a server that fails is out of the rounds that follow, the others go on."""
    rounds: dict[str, Rounds] = {}
    failures: dict[str, str] = {}
    for order in turns(commands.items(), options.rounds):
        for name, command in order:
            if name in failures:
                continue
            with Server(name, command) as server:
                try:
                    measured = PARTS[part](server, options)
                except (LoadError, OSError) as error:
                    failures[name] = f"{part}, {name} ({'alive' if server.alive else 'dead'}): {error}\n{server.log}"
                    continue
            for key, value in measured.items():
                rounds.setdefault(key, {}).setdefault(name, []).append(value)
    return {
        "median": {key: {name: median(values) for name, values in each.items()} for key, each in rounds.items()},
        "ratio": {key: against(each) for key, each in rounds.items() if key in COMPARED},
        "rounds": rounds,
        "failures": list(failures.values()),
    }


def show(part: str, names: list[str], result: dict[str, Any]) -> None:
    keys = [key for key in COLUMNS if key in result["median"]]
    compared = [key for key in keys if key in COMPARED]
    rows = []
    for name in names:
        figures = [COLUMNS[key][1].format(result["median"][key].get(name, float("nan"))) for key in keys]
        ratios = [result["ratio"][key].get(name) for key in compared]
        rows.append([name, *figures, *(ratio_text(ratio) if ratio else "" for ratio in ratios)])
    print_table([part, *(COLUMNS[key][0] for key in keys), *(f"{COLUMNS[key][0]} {OURS}/it" for key in compared)], rows)
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description="Ten thousand clients at once, and a hundred publishers with a hundred listeners.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, help="connections that are under way at any time")
    parser.add_argument("--subject", default="storm.{}", help="what each subscribes to; {} is its number")
    parser.add_argument("--pairs", type=int, default=100, help="publishers, and subscribers, of a burst")
    parser.add_argument("--bursts", type=int, default=20, help="bursts of each round")
    parser.add_argument("--json", action="store_true")
    add_server_options(parser)
    options = parser.parse_args()
    if sys.platform != "linux":
        refuse("needs Linux")
    commands = contestants(options)
    options.connections = allow_descriptors(options.connections)
    results = {}
    try:
        for part in options.parts:
            print(f"{part}: {options.rounds} rounds", file=sys.stderr)
            results[part] = measure(part, commands, options)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print_json("storm", results)
    for part, result in () if options.json else results.items():
        show(part, list(commands), result)
    failures = [failure for result in results.values() for failure in result["failures"]]
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
