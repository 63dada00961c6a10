"""Streams: acknowledged publishes, reads and consumers, on nats-server as it comes, on one that syncs each write, and on midge, in turns.

The client is a raw socket: so many requests under way, each with a reply subject of its own, and every answer counted and looked at. The
nats-server that does not sync acknowledges what a power cut may undo; midge syncs in both comparisons, unless the stream is in memory.
Each round has streams of its own. Reported are messages a second, their ratio, and the server's processor time for each.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import consuming
from client import build_go_peer
from consuming import Load
from report import against, median, print_json, print_table, rate_text, ratio_text, turns
from servers import OURS, THEIRS, Server, ServerError, add_server_options, contestants
from streamclient import INBOX, Client
from workers import LoadError

SYNCING, LAZY = "nats-server-syncing", "midge-not-syncing"
WINDOW = 4_000
SIZES = {128: 200_000, 1024: 120_000, 16384: 12_000}
STREAMS = 10
GETS = 40_000
ALONE = 3_000


@dataclass(frozen=True, slots=True)
class Run:
    """One load: what it is compared by, what is said before and while it is measured."""

    name: str
    rivals: tuple[str, ...]
    count: int
    prepare: Callable[[Client, str], None]
    requests: Callable[[str, int], Iterator[bytes]]
    window: int = WINDOW

    def measure(self, client: Client, server: Server, tag: str) -> float:
        """Return how many answers a second."""
        return client.measure(self.requests(tag, self.count), self.count, self.window)


@dataclass(frozen=True, slots=True)
class Consumption:
    """A load of consumers: it makes what it needs itself."""

    name: str
    rivals: tuple[str, ...]
    count: int
    load: Load

    def prepare(self, client: Client, tag: str) -> None:
        """Nothing: the load does it, because what it fills is not measured."""

    def measure(self, client: Client, server: Server, tag: str) -> float:
        """Return how many messages or operations a second."""
        return self.load(client, server, f"{tag}0", self.count)


def create(storage: str, streams: int = 1, **config: object) -> Callable[[Client, str], None]:
    """Make the streams of a round."""

    def prepare(client: Client, tag: str) -> None:
        for number in range(streams):
            name = f"{tag}{number}"
            client.ask(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "storage": storage, **config})

    return prepare


def publishes(size: int, streams: int = 1) -> Callable[[str, int], Iterator[bytes]]:
    def requests(tag: str, count: int) -> Iterator[bytes]:
        payload = b"x" * size
        heads = [b"PUB %b%d.a %b" % (tag.encode(), number, INBOX) for number in range(streams)]
        tail = b" %d\r\n%b\r\n" % (size, payload)
        for number in range(count):
            yield b"%b%07d%b" % (heads[number % streams], number, tail)

    return requests


def guarded(size: int) -> Callable[[str, int], Iterator[bytes]]:
    """Publishes with a message id and the sequence that is expected before each."""

    def requests(tag: str, count: int) -> Iterator[bytes]:
        payload = b"x" * size
        for number in range(count):
            header = b"NATS/1.0\r\nNats-Msg-Id: id-%07d\r\nNats-Expected-Last-Sequence: %d\r\n\r\n" % (number, number)
            yield b"HPUB %b0.a %b%07d %d %d\r\n%b%b\r\n" % (tag.encode(), INBOX, number, len(header), len(header) + size, header, payload)

    return requests


def filled(storage: str, size: int, count: int) -> Callable[[Client, str], None]:
    """Make a stream that has messages already."""

    def prepare(client: Client, tag: str) -> None:
        create(storage, allow_direct=True)(client, tag)
        client.measure(publishes(size)(tag, count), count, WINDOW)

    return prepare


def gets(subject: str) -> Callable[[str, int], Iterator[bytes]]:
    def requests(tag: str, count: int) -> Iterator[bytes]:
        for number in range(count):
            body = b'{"seq":%d}' % (number * 7919 % count + 1)
            yield b"PUB $JS.API.%b.%b0 %b%07d %d\r\n%b\r\n" % (subject.encode(), tag.encode(), INBOX, number, len(body), body)

    return requests


def runs(scale: float) -> list[Run]:
    """All that is measured."""

    def scaled(count: int) -> int:
        return max(100, int(count * scale))

    both = (THEIRS, OURS)
    found = [Run(f"publish {size} B, file", both, scaled(count), create("file"), publishes(size)) for size, count in SIZES.items()]
    found += [Run(f"publish {size} B, memory", both, scaled(count), create("memory"), publishes(size)) for size, count in SIZES.items()]
    found += [
        Run("publish 128 B, file, both synced", (SYNCING, OURS), scaled(8_000), create("file"), publishes(128)),
        Run("one at a time, 128 B, both synced", (SYNCING, OURS), scaled(ALONE), create("file"), publishes(128), 1),
        Run("ten streams, 128 B, file", both, scaled(SIZES[128]), create("file", STREAMS), publishes(128, STREAMS)),
        Run("ids and sequences, 128 B, file", both, scaled(SIZES[128]), create("file"), guarded(128)),
        Run("direct get, 128 B, file", both, scaled(GETS), filled("file", 128, scaled(GETS)), gets("DIRECT.GET")),
        Run("message get, 128 B, file", both, scaled(GETS), filled("file", 128, scaled(GETS)), gets("STREAM.MSG.GET"), 200),
    ]
    return found


def consumptions(scale: float, go: Path | None) -> list[Consumption]:
    """The loads of consumers; those of nats.go where its program was built."""

    def load(name: str, count: int, function: Load, least: int = 1_000, rivals: tuple[str, str] = (THEIRS, OURS)) -> Consumption:
        return Consumption(name, rivals, max(least, int(count * scale)), function)

    found = [
        load("fetch 500 and ack, file", 300_000, consuming.fetched("file")),
        load("fetch 500 and ack, memory", 300_000, consuming.fetched("memory")),
        load("push, no acks", 500_000, consuming.pushed),
        load("100 consumers, live", 1_000_000, consuming.crowd),
        load("streams made, with a message each", 1_000, consuming.streams, 100),
        load("consumers made, with filters", 10_000, consuming.making("limits")),
        load("consumers made for a work queue, with filters", 10_000, consuming.making("workqueue")),
        load("10,000 filtered consumers, live", 100_000, consuming.filtering),
        load("work queue, 8 clients", 1_000_000, consuming.queue, 8 * consuming.BATCH),
        load("publish, one consumer keeps up", 200_000, consuming.kept_up),
        load("kv put and get", 6_000, consuming.put_and_get),
        load("kv put and get, both synced", 6_000, consuming.put_and_get, rivals=(SYNCING, OURS)),
        load("kv put and get, neither synced", 6_000, consuming.put_and_get, rivals=(THEIRS, LAZY)),
        load("kv watch", 100_000, consuming.watch),
    ]
    counts = {"fetch": 300_000, "pushed": 500_000, "queue": 1_000_000, "kv": 10_000, "watch": 100_000}
    return found + [load(f"nats.go, {case}", counts[case], consuming.by_go(go, case)) for case in counts if go]


@contextlib.contextmanager
def streaming(commands: dict[str, list[str]], directory: Path) -> Iterator[dict[str, Server]]:
    """The servers, each with a directory for its streams."""
    with contextlib.ExitStack() as stack:
        servers = {}
        syncs = {SYNCING: ", sync_interval: always", LAZY: ", sync_interval: 2m"}  # which is what nats-server does by itself
        for name, command in {**commands, SYNCING: commands[THEIRS], LAZY: commands[OURS]}.items():
            config = directory / f"{name}.conf"
            sync = syncs.get(name, "")
            config.write_text(f"jetstream {{ store_dir: '{directory / name}'{sync} }}\n")
            servers[name] = stack.enter_context(Server(name, [*command, "-c", str(config)]))
        yield servers


def compare(run: Run | Consumption, rounds: int, servers: dict[str, Server], tag: str) -> dict[str, object]:
    """All rounds of one load."""
    rates: dict[str, list[float]] = {name: [] for name in run.rivals}
    cpu: dict[str, list[float]] = {name: [] for name in run.rivals}
    for number, order in enumerate(turns(run.rivals, rounds)):
        for name in order:
            server, own = servers[name], f"{tag}R{number}S"
            client = Client(server)
            try:
                run.prepare(client, own)
                before = server.cpu()
                rates[name].append(run.measure(client, server, own))
                cpu[name].append((server.cpu() - before) * 1e9 / run.count)
                for each in client.ask("STREAM.NAMES", {})["streams"] or []:  # type: ignore[attr-defined]
                    client.ask(f"STREAM.DELETE.{each}", {})
            except (LoadError, OSError) as error:
                raise LoadError(f"{name}, {run.name}: {error}\n{server.log}") from error
            finally:
                client.socket.close()
    return {
        "load": run.name,
        "rival": run.rivals[0],
        "ours": run.rivals[-1],
        "rate": {name: median(values) for name, values in rates.items()},
        "cpu_ns": {name: median(values) for name, values in cpu.items()},
        "ratio": against(rates, run.rivals[-1])[run.rivals[0]],
        "rounds": rates,
    }


def show(results: list[dict[str, object]]) -> None:
    rows = []
    for item in results:
        rate, cpu, rival, ours = item["rate"], item["cpu_ns"], str(item["rival"]), str(item["ours"])
        assert isinstance(rate, dict) and isinstance(cpu, dict) and isinstance(item["ratio"], dict)
        costs = f"{cpu[rival]:.0f}", f"{cpu[ours]:.0f}"
        rows.append([str(item["load"]), rival, rate_text(rate[rival]), rate_text(rate[ours]), ratio_text(item["ratio"]), *costs])
    print_table(["load", "rival", "rival msgs/s", "midge msgs/s", "midge/rival (min-max)", "rival cpu ns", "midge cpu ns"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="Streams on nats-server and on midge, in turns.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of messages")
    parser.add_argument("--only", default="", help="only the loads whose name contains this")
    parser.add_argument("--directory", type=Path, help="where the streams are kept: on the disk to be measured")
    parser.add_argument("--json", action="store_true")
    add_server_options(parser)
    options = parser.parse_args()
    commands = contestants(options)
    results = []
    with tempfile.TemporaryDirectory(dir=options.directory) as directory, streaming(commands, Path(directory)) as servers:
        go = Path(directory) / "gopeer"
        if reason := build_go_peer(go):
            print(f"skipped nats.go: {reason}", file=sys.stderr)
        loads: list[Run | Consumption] = [*runs(options.scale), *consumptions(options.scale, None if reason else go)]
        chosen = [run for run in loads if options.only in run.name]
        for number, run in enumerate(chosen):
            print(f"measuring: {run.name}", file=sys.stderr)
            results.append(compare(run, options.rounds, servers, f"T{number}"))
    print_json("streams", results) if options.json else show(results)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ServerError, LoadError) as error:
        print(f"streams.py: {error}", file=sys.stderr)
        sys.exit(1)
