"""Routing speed: the same raw load through nats-server and through `midge serve`, in turns, in one run.

For every shape and payload size the servers are started afresh and loaded in turns, so that what the machine does
meanwhile hits all of them; `--before` adds an older midge. Reported are the median rates of delivered messages, the median of the per-round
ratios with the lowest and highest, and the processor time each server spent per delivered message, which a busy
machine disturbs less than the rate. A run that loses, doubles or damages a byte is a failure: it is printed, and the
exit status is 1. See load.py for what is sent and how it is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from links import LINKS, Ends, prepare, prepare_ours
from load import SHAPES, Job, Shape, default_count, run
from report import against, median, print_json, print_table, rate_text, ratio_text, turns
from secured import CONF
from servers import OURS, THEIRS, Server, ServerError, add_server_options, contestants
from workers import LoadError

SIZES = (16, 128, 1024, 65536)


@dataclass
class Cell:
    """One shape at one size: what each server did in each round."""

    shape: Shape
    size: int
    rates: dict[str, list[float]]
    cpu: dict[str, list[float]]
    failures: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        return {
            "shape": self.shape.name,
            "size": self.size,
            "rate": {name: median(rates) for name, rates in self.rates.items()},
            "cpu_ns": {name: median(cpu) for name, cpu in self.cpu.items()},
            "ratio": against(self.rates),
            "cpu_ratio": against(self.cpu),
            "rounds": self.rates,
            "failures": self.failures,
        }


def measure(shape: Shape, size: int, count: int, rounds: int, ends: dict[str, Ends]) -> Cell:
    """All rounds of one cell; a failed run ends the cell, not the bench. A server that does not start ends the bench."""
    cell = Cell(shape, size, {name: [] for name in ends}, {name: [] for name in ends})
    try:
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server(name, each.command)) for name, each in ends.items()]
            for server in servers:
                load(server, ends[server.name], shape, size, max(3, count // 10))
            for order in turns(servers, rounds):
                for server in order:
                    rate, cpu = load(server, ends[server.name], shape, size, count)
                    cell.rates[server.name].append(rate)
                    cell.cpu[server.name].append(cpu)
    except LoadError as error:
        cell.failures.append(str(error))
    return cell


def load(server: Server, ends: Ends, shape: Shape, size: int, count: int) -> tuple[float, float]:
    """One run: delivered messages a second, and the server's processor nanoseconds for each."""
    job = Job(server.host, ends.port or server.port, shape, size, count, scheme=ends.scheme, authority=ends.authority)
    before = server.cpu()
    try:
        outcome = run(job)
    except (LoadError, OSError) as error:
        state = "alive" if server.alive else "dead"
        raise LoadError(f"{server.name} ({state}), {shape.name} {size} B: {error}\n{server.log}") from error
    return outcome.rate, (server.cpu() - before) * 1e9 / job.delivered


def main() -> int:
    parser = argparse.ArgumentParser(description="Route the same load through nats-server and midge serve, in turns.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of messages")
    parser.add_argument("--link", choices=LINKS, default=LINKS[0], help="how clients reach the servers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--permissions", action="store_true", help="with a user who has permissions, and ours also without")
    add_server_options(parser)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        commands = contestants(options)
        return compare(stack, stack.enter_context(secured(commands)) if options.permissions else commands, options)


@contextlib.contextmanager
def secured(commands: dict[str, list[str]]) -> Iterator[dict[str, list[str]]]:
    """The same servers with a user who has permissions; ours once more without, as "midge-open"."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "nats.conf"
        config.write_text(CONF)
        yield {
            THEIRS: [*commands[THEIRS], "-c", str(config)],
            "midge-open": commands[OURS],
            OURS: [sys.executable, str(Path(__file__).with_name("secured.py"))],
        }


def compare(stack: contextlib.ExitStack, commands: dict[str, list[str]], options: argparse.Namespace) -> int:
    """Measure every cell and show them; return the exit status."""
    cells = []
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    ends = {}
    for name, command in commands.items():
        own = Path(directory) / name
        own.mkdir()
        ends[name] = prepare(options.link, own, command) if name != OURS or options.link == LINKS[0] else prepare_ours(options.link, own)
    try:
        for shape in (SHAPES[name] for name in options.shapes):
            for size in options.sizes:
                count = max(3, int(default_count(shape, size) * options.scale))
                print(f"{shape.name} {size} B: {options.rounds} rounds of {count} messages per publisher", file=sys.stderr)
                cells.append(measure(shape, size, count, options.rounds, ends))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    show(cells, options.json)
    return 1 if any(cell.failures for cell in cells) else 0


def show(cells: list[Cell], as_json: bool) -> None:
    summaries = [cell.summary() for cell in cells]
    if as_json:
        print_json("route", summaries)
    else:
        names = list(cells[0].rates)
        rivals = [name for name in names if name != OURS]
        rows = []
        for item in summaries:
            rates = [rate_text(item["rate"][name]) for name in names]
            cpu = [f"{item['cpu_ns'][name]:.0f}" for name in names]
            compared = [ratio_text(item[key][name]) for key in ("ratio", "cpu_ratio") for name in rivals]
            rows.append([f"{item['shape']} {item['size']} B", *rates, *compared[: len(rivals)], *cpu, *compared[len(rivals) :]])
        header = ["load", *(f"{name} msgs/s" for name in names), *(f"{OURS}/{name} (min-max)" for name in rivals)]
        print_table([*header, *(f"{name} cpu ns" for name in names), *(f"cpu {OURS}/{name}" for name in rivals)], rows)
    for failure in (failure for cell in cells for failure in cell.failures):
        print(f"FAILED: {failure}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
