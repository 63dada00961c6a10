"""What a server costs besides messages: memory, subscriptions that do not match, and time to start.

    connections    resident memory per idle connection that has said CONNECT and PING
    subscriptions  resident memory per subscription, all on one connection, and how many a second it takes
    crowd          rate one to one at 16 bytes beside 1, 1,000 and 100,000 subscriptions of others
    start          from exec to the first byte of INFO on a connection; and how long the embedded server takes

The two servers take turns. Memory is the growth of RSS once it has settled; a garbage-collected server shows what it
took from the system, not what it needs. The subscriptions of others are half literals, half wildcards of every kind,
none matching the load's subject. Everything is bounded: connections by the descriptor limit, the rest by the options.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from load import SHAPES, Job, LoadError, connect, run
from report import median, print_json, print_table, rate_text, ratio_text, ratios
from servers import START_TIMEOUT, STOP_TIMEOUT, Server, ServerError, add_server_options, at_port, contestants, settled_rss

SPARE_DESCRIPTORS = 100
CROWDS = (1, 1_000, 100_000)
PATTERNS = ("other.{}.a", "other.{}.*", "other.b.{}", "*.other.{}", "other.c.{}.d", "other.{}.>", "else.{}", "else.*.{}")
EMBEDDED = {
    "import midge": "import time\na = time.perf_counter()\nimport midge\nprint(time.perf_counter() - a)",
    "with Server()": "import time, midge\na = time.perf_counter()\nwith midge.Server(port=0):\n    print(time.perf_counter() - a)",
    "async with Server()": (
        "import asyncio, time, midge\nasync def main():\n    a = time.perf_counter()\n"
        "    async with midge.Server(port=0):\n        print(time.perf_counter() - a)\nasyncio.run(main())"
    ),
}

Commands = dict[str, list[str]]
Table = list[dict[str, Any]]


def subscriptions(count: int) -> bytes:
    """The SUB lines of `count` subscriptions that the load's subject does not match."""
    return b"".join(f"SUB {PATTERNS[i % len(PATTERNS)].format(i)} {i}\r\n".encode() for i in range(count))


def per_connection(commands: Commands, options: argparse.Namespace) -> Table:
    count = min(options.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS)
    results = []
    for name, command in commands.items():
        with Server(name, command) as server, contextlib.ExitStack() as stack:
            connect(server.host, server.port).close()
            before = settled_rss(server)
            start = time.perf_counter()
            for _ in range(count):
                stack.enter_context(connect(server.host, server.port))
            taken = time.perf_counter() - start
            grown = settled_rss(server) - before
        results.append({"server": name, **memory(before, grown, count, taken)})
    return results


def per_subscription(commands: Commands, options: argparse.Namespace) -> Table:
    count = options.subscriptions
    lines = subscriptions(count)
    results = []
    for name, command in commands.items():
        with Server(name, command) as server, connect(server.host, server.port):
            before = settled_rss(server)
            start = time.perf_counter()
            with connect(server.host, server.port, lines):
                taken = time.perf_counter() - start
                grown = settled_rss(server) - before
        results.append({"server": name, **memory(before, grown, count, taken)})
    return results


def memory(before: int, grown: int, count: int, taken: float) -> dict[str, float]:
    return {"base_rss": before, "count": count, "bytes_each": grown / count, "per_second": count / taken}


def crowded(commands: Commands, options: argparse.Namespace) -> Table:
    results = []
    for crowd in CROWDS:
        lines = subscriptions(crowd)
        rates: dict[str, list[float]] = {name: [] for name in commands}
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server(name, command)) for name, command in commands.items()]
            for server in servers:
                stack.enter_context(connect(server.host, server.port, lines))
            for _ in range(options.rounds):
                for server in servers:
                    job = Job(server.host, server.port, SHAPES["1:1"], 16, options.messages)
                    rates[server.name].append(run(job).rate)
        theirs, ours = rates
        summary = {name: median(values) for name, values in rates.items()}
        results.append({"crowd": crowd, "rate": summary, "ratio": ratios(rates[ours], rates[theirs]), "rounds": rates})
    return results


def starting(commands: Commands, options: argparse.Namespace) -> Table:
    seconds: dict[str, list[float]] = {name: [] for name in (*commands, "python -c pass")}
    if not options.ours:
        seconds |= {name: [] for name in EMBEDDED}
    for _ in range(options.starts):
        for name, command in commands.items():
            seconds[name].append(time_to_info(name, command))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        seconds["python -c pass"].append(time.perf_counter() - start)
        for name in EMBEDDED.keys() & seconds.keys():
            done = subprocess.run([sys.executable, "-c", EMBEDDED[name]], capture_output=True, text=True, timeout=START_TIMEOUT)
            if done.returncode:
                raise ServerError(f"{name}: {done.stderr.strip()[-2000:]}")
            seconds[name].append(float(done.stdout))
    return [{"what": name, "seconds": median(times), "min": min(times), "max": max(times)} for name, times in seconds.items()]


def time_to_info(name: str, command: list[str]) -> float:
    """Seconds from exec to the first byte that a client reads."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = at_port(command, port)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - start < START_TIMEOUT and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), START_TIMEOUT) as sock:
                    if sock.recv(1):
                        return time.perf_counter() - start
            except ConnectionError:
                time.sleep(0.001)
        raise ServerError(f"{name} did not start: {' '.join(command)}")
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def show_memory(title: str, results: Table) -> None:
    rows = [
        [
            item["server"],
            f"{item['base_rss'] / 1e6:.1f} MB",
            f"{item['count']:,}",
            f"{item['bytes_each']:,.0f} B",
            f"{rate_text(item['per_second'])}/s",
        ]
        for item in results
    ]
    print_table([title, "empty RSS", "count", "RSS each", "accepted"], rows)


def show_crowd(title: str, results: Table) -> None:
    rows = [[f"{item['crowd']:,}", *map(rate_text, item["rate"].values()), ratio_text(item["ratio"])] for item in results]
    print_table([title, *(f"{name} msgs/s" for name in results[0]["rate"]), "ratio (min-max)"], rows)


def show_start(title: str, results: Table) -> None:
    rows = [[item["what"], *(f"{item[key] * 1e3:.1f} ms" for key in ("seconds", "min", "max"))] for item in results]
    print_table([title, "median", "min", "max"], rows)


PARTS: dict[str, tuple[Callable[[Commands, argparse.Namespace], Table], Callable[[str, Table], None], str]] = {
    "connections": (per_connection, show_memory, "idle connections"),
    "subscriptions": (per_subscription, show_memory, "subscriptions"),
    "crowd": (crowded, show_crowd, "other subscriptions"),
    "start": (starting, show_start, "time to ready"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Memory, subscriptions and start-up of nats-server and midge serve.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--connections", type=int, default=2_000)
    parser.add_argument("--subscriptions", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each crowd")
    parser.add_argument("--messages", type=int, default=2_000_000, help="messages of each round")
    parser.add_argument("--starts", type=int, default=7, help="how often each thing is started")
    parser.add_argument("--json", action="store_true")
    add_server_options(parser)
    options = parser.parse_args()
    commands = contestants(options)
    results: dict[str, Table] = {}
    failures = []
    for part in options.parts:
        print(f"measuring: {part}", file=sys.stderr)
        try:
            results[part] = PARTS[part][0](commands, options)
        except (ServerError, LoadError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"{part}: {error}")
    if options.json:
        print_json("footprint", {"failures": failures, **results})
    for part, table in () if options.json else results.items():
        PARTS[part][1](PARTS[part][2], table)
        print()
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
