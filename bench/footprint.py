"""What a server costs besides messages: memory, subscriptions that do not match, and time to start.

    connections    resident memory per idle connection that has said CONNECT and PING
    subscriptions  resident memory per subscription, all on one connection, and how many a second it takes
    crowd          rate one to one at 16 bytes beside 1, 1,000, 100,000 and 1,000,000 subscriptions of others
    start          from exec to the first byte of INFO on a connection; and how long the embedded server takes

The servers take turns; `--before` adds an older midge. Memory is the growth of RSS once it has settled; a
garbage-collected server shows what it took from the system, not what it needs. The subscriptions of others are half
literals, half wildcards of every kind, none matching the load's subject. Everything is bounded: connections by the
descriptor limit, the rest by the options.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from load import SHAPES, Job, connect, run
from report import against, median, print_json, print_table, rate_text, ratio_text, ratios, turns
from servers import (
    BEFORE,
    OURS,
    START_TIMEOUT,
    STOP_TIMEOUT,
    THEIRS,
    Server,
    ServerError,
    add_server_options,
    allow_descriptors,
    at_port,
    contestants,
    older,
    settled_rss,
)
from workers import LoadError

BARE = "python -c pass"
CROWDS = (1, 1_000, 100_000, 1_000_000)
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
Rounds = dict[str, list[float]]


def subscriptions(count: int) -> bytes:
    """The SUB lines of `count` subscriptions that the load's subject does not match."""
    return b"".join(f"SUB {PATTERNS[i % len(PATTERNS)].format(i)} {i}\r\n".encode() for i in range(count))


def per_connection(commands: Commands, options: argparse.Namespace) -> Table:
    count = allow_descriptors(options.connections)

    def grow(server: Server, stack: contextlib.ExitStack) -> None:
        for _ in range(count):
            stack.enter_context(connect(server.host, server.port))

    return memory(commands, options.growths, count, grow)


def per_subscription(commands: Commands, options: argparse.Namespace) -> Table:
    lines = subscriptions(options.subscriptions)

    def grow(server: Server, stack: contextlib.ExitStack) -> None:
        stack.enter_context(connect(server.host, server.port, lines))

    return memory(commands, options.growths, options.subscriptions, grow)


def memory(commands: Commands, rounds: int, count: int, grow: Callable[[Server, contextlib.ExitStack], None]) -> Table:
    """What `grow` costs a fresh server that has seen one connection, divided by `count`."""
    base: Rounds = {name: [] for name in commands}
    each: Rounds = {name: [] for name in commands}
    rate: Rounds = {name: [] for name in commands}
    for order in turns(commands.items(), rounds):
        for name, command in order:
            with Server(name, command) as server, contextlib.ExitStack() as stack:
                connect(server.host, server.port).close()
                before = settled_rss(server)
                start = time.perf_counter()
                grow(server, stack)
                rate[name].append(count / (time.perf_counter() - start))
                base[name].append(before)
                each[name].append((settled_rss(server) - before) / count)
    return [
        {
            "server": name,
            "base_rss": median(base[name]),
            "count": count,
            "bytes_each": median(each[name]),
            "per_second": median(rate[name]),
            "ratio": {"bytes_each": ratios(each[OURS], each[name]), "per_second": ratios(rate[OURS], rate[name])},
            "rounds": {"base_rss": base[name], "bytes_each": each[name], "per_second": rate[name]},
        }
        for name in commands
    ]


def crowded(commands: Commands, options: argparse.Namespace) -> Table:
    results = []
    for crowd in CROWDS:
        lines = subscriptions(crowd)
        rates: dict[str, list[float]] = {name: [] for name in commands}
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server(name, command)) for name, command in commands.items()]
            for server in servers:
                stack.enter_context(connect(server.host, server.port, lines))
            for order in turns(servers, options.rounds):
                for server in order:
                    job = Job(server.host, server.port, SHAPES["1:1"], 16, options.messages)
                    rates[server.name].append(run(job).rate)
        summary = {name: median(values) for name, values in rates.items()}
        results.append({"crowd": crowd, "rate": summary, "ratio": against(rates), "rounds": rates})
    return results


def starting(commands: Commands, options: argparse.Namespace) -> Table:
    seconds: Rounds = {name: [] for name in (*commands, BARE)}
    embedded = {} if options.ours else {what: [sys.executable, "-c", code] for what, code in EMBEDDED.items()}
    if options.before:
        embedded |= {f"{what}, {BEFORE}": [*older(options.before), "-c", code] for what, code in EMBEDDED.items()}
    seconds |= {what: [] for what in embedded}
    for _ in range(options.starts):
        for name, command in commands.items():
            seconds[name].append(time_to_info(name, command))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        seconds[BARE].append(time.perf_counter() - start)
        for what, command in embedded.items():
            done = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT)
            if done.returncode:
                raise ServerError(f"{what}: {done.stderr.strip()[-2000:]}")
            seconds[what].append(float(done.stdout))
    return [
        {"what": what, "seconds": median(times), "min": min(times), "max": max(times), "ratio": ratios(seconds.get(ours(what), []), times)}
        for what, times in seconds.items()
    ]


def ours(what: str) -> str:
    """The row of ours to compare a row of "time to ready" with; nothing to compare the bare interpreter with."""
    return OURS if what in (THEIRS, BEFORE) else what.removesuffix(f", {BEFORE}") if what.endswith(BEFORE) else ""


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
            *(compared(item["ratio"][key], item["server"]) for key in ("bytes_each", "per_second")),
        ]
        for item in results
    ]
    print_table([title, "empty RSS", "count", "RSS each", "accepted", f"RSS {OURS}/it (min-max)", f"accepted {OURS}/it"], rows)


def show_crowd(title: str, results: Table) -> None:
    names, rivals = results[0]["rate"], results[0]["ratio"]
    rows = [[f"{item['crowd']:,}", *map(rate_text, item["rate"].values()), *map(ratio_text, item["ratio"].values())] for item in results]
    print_table([title, *(f"{name} msgs/s" for name in names), *(f"{OURS}/{name} (min-max)" for name in rivals)], rows)


def show_start(title: str, results: Table) -> None:
    rows = [
        [item["what"], *(f"{item[key] * 1e3:.1f} ms" for key in ("seconds", "min", "max")), compared(item["ratio"], item["what"])]
        for item in results
    ]
    print_table([title, "median", "min", "max", f"{OURS}/it (min-max)"], rows)


def compared(ratio: dict[str, float], what: str) -> str:
    """The ratio of ours to this row; nothing for our own row and for those that have no counterpart."""
    return "" if what == OURS or ratio["median"] != ratio["median"] else ratio_text(ratio)


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
    parser.add_argument("--growths", type=int, default=3, help="rounds of connections and of subscriptions")
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
