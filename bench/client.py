"""Client speed: midge beside nats-py (and nats.go, if Go is here) on the real nats-server, in one run.

Each measurement is a fresh process, so no client inherits another one's memory or garbage; the peers take turns within
a round, and `--before` adds an older midge. The two Python clients run the same lines: their `connect`, `publish`,
`flush` and `request` agree, and only the way to hand over a callback differs (midge takes a plain function, nats-py
wants a coroutine function). Cases:

    publish   one connection; N messages, then a flush that the server answered
    deliver   two connections in one process; from the first publish to the last callback
    request   two connections in one process; one round trip at a time, answered from a callback

With `--link` the same over TLS, WebSocket or both (`links`); nats.go is left out then.

The payload is made of zeros; every delivered message is counted, and a missing one is a failure, not a faster run.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from links import LINKS, Ends, client_context, prepare
from report import against, median, print_json, print_table, rate_text, ratio_text, turns
from servers import BEFORE, OURS, Server, ServerError, add_before_option, older, require_compiled

SUBJECT = "bench.client"
WARM_UP = 100
BURST = 1000
TIMEOUT = 120.0
PEERS = ("midge", "nats-py", "nats.go")


class Peer(Protocol):
    """What differs between the Python clients. A connection has the publish, flush, request and close of both."""

    async def connect(self, url: str, tls: Any) -> Any: ...

    async def subscribe(self, nc: Any, on_message: Callable[[Any], object]) -> None:
        """The server knows the subscription when this returns."""

    async def serve(self, nc: Any) -> None:
        """Answer every request with what it carried."""


class Midge:
    async def connect(self, url: str, tls: Any) -> Any:
        import midge

        return await midge.connect(url, **({} if tls is None else {"tls": tls}))

    async def subscribe(self, nc: Any, on_message: Callable[[Any], object]) -> None:
        await nc.subscribe(SUBJECT, callback=on_message)

    async def serve(self, nc: Any) -> None:
        def on_request(msg: Any) -> None:
            msg.respond(msg.data)

        await nc.subscribe(SUBJECT, callback=on_request)


class NatsPy:
    async def connect(self, url: str, tls: Any) -> Any:
        import nats

        return await nats.connect(url, tls=tls)

    async def subscribe(self, nc: Any, on_message: Callable[[Any], object]) -> None:
        async def callback(msg: Any) -> None:
            on_message(msg)

        await nc.subscribe(SUBJECT, cb=callback, pending_msgs_limit=0, pending_bytes_limit=0)
        for _ in range(2):  # the first flush of a connection may return early
            await nc.flush()

    async def serve(self, nc: Any) -> None:
        async def callback(msg: Any) -> None:
            await msg.respond(msg.data)

        await nc.subscribe(SUBJECT, cb=callback)
        await nc.flush()


async def publish(peer: Peer, url: str, tls: Any, payload: bytes, count: int) -> float:
    nc = await peer.connect(url, tls)
    for _ in range(WARM_UP):
        await nc.publish(SUBJECT, payload)
    await nc.flush()
    start = time.perf_counter()
    for _ in range(count):
        await nc.publish(SUBJECT, payload)
    await nc.flush()
    taken = time.perf_counter() - start
    await nc.close()
    return taken


async def deliver(peer: Peer, url: str, tls: Any, payload: bytes, count: int) -> float:
    """Publishes in bursts with a turn of the loop between them, so that both connections, sharing one loop, get on."""
    source, target = await peer.connect(url, tls), await peer.connect(url, tls)
    received = 0
    wanted = WARM_UP
    done = asyncio.Event()

    def on_message(msg: Any) -> None:
        nonlocal received
        received += 1
        if received == wanted:
            done.set()

    async def push(messages: int) -> None:
        for index in range(messages):
            await source.publish(SUBJECT, payload)
            if index % BURST == BURST - 1:
                await asyncio.sleep(0)
        await asyncio.wait_for(done.wait(), TIMEOUT / 2)
        done.clear()

    await peer.subscribe(target, on_message)
    await push(WARM_UP)
    wanted += count
    start = time.perf_counter()
    await push(count)
    taken = time.perf_counter() - start
    await source.close()
    await target.close()
    return taken


async def request(peer: Peer, url: str, tls: Any, payload: bytes, count: int) -> float:
    source, target = await peer.connect(url, tls), await peer.connect(url, tls)
    await peer.serve(target)
    for _ in range(WARM_UP):
        await source.request(SUBJECT, payload, timeout=2.0)
    start = time.perf_counter()
    for _ in range(count):
        await source.request(SUBJECT, payload, timeout=2.0)
    taken = time.perf_counter() - start
    await source.close()
    await target.close()
    return taken


RUNS = {"publish": publish, "deliver": deliver, "request": request}
PYTHON_PEERS: dict[str, Peer] = {"midge": Midge(), "nats-py": NatsPy()}


@dataclass
class Case:
    """One row: how many messages each peer gets, for a run of about a second, and what came out."""

    run: str
    size: int
    counts: dict[str, int]
    rates: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        return {
            "case": self.run,
            "size": self.size,
            "rate": {name: median(rates) for name, rates in self.rates.items()},
            "ratio": against(self.rates),
            "rounds": self.rates,
            "failures": self.failures,
        }


def cases() -> list[Case]:
    return [
        Case("publish", 16, {"midge": 2_000_000, "nats-py": 200_000, "nats.go": 3_000_000}),
        Case("publish", 1024, {"midge": 500_000, "nats-py": 100_000, "nats.go": 500_000}),
        Case("deliver", 16, {"midge": 1_000_000, "nats-py": 100_000, "nats.go": 1_000_000}),
        Case("deliver", 128, {"midge": 1_000_000, "nats-py": 100_000, "nats.go": 1_000_000}),
        Case("request", 16, {"midge": 5_000, "nats-py": 3_000, "nats.go": 5_000}),
    ]


def measure(case: Case, commands: dict[str, list[str]], ends: Ends, server: Server, rounds: int, scale: float) -> None:
    """All rounds of one case; a failure ends the case, not the bench."""
    case.rates = {name: [] for name in commands}
    for order in turns(commands.items(), rounds):
        for name, command in order:
            count = max(1, int(case.counts[OURS if name == BEFORE else name] * scale))
            arguments = [ends.url(server), case.run, str(case.size), str(count), *([ends.authority] if ends.authority else [])]
            try:
                done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=True)
            except subprocess.TimeoutExpired:
                case.failures.append(f"{name} {case.run} {case.size} B: no end within {TIMEOUT:.0f} s")
                return
            except subprocess.CalledProcessError as error:
                case.failures.append(f"{name} {case.run} {case.size} B: {error.stderr.strip()[-2000:]}")
                return
            case.rates[name].append(float(done.stdout))


def peer_commands(names: list[str], before: str | None, directory: str) -> dict[str, list[str]]:
    """How to start each peer that is here; those that are not are named on stderr."""
    commands = {BEFORE: [*older(before), __file__, "--as", OURS]} if before else {}
    commands |= {name: [sys.executable, __file__, "--as", name] for name in names if name in PYTHON_PEERS}
    if "nats-py" in commands and subprocess.run([sys.executable, "-c", "import nats.aio.client"], capture_output=True).returncode:
        print("skipped nats-py: not installed here", file=sys.stderr)
        del commands["nats-py"]
    if "nats.go" in names:
        binary = Path(directory) / "gopeer"
        reason = build_go_peer(binary)
        if reason:
            print(f"skipped nats.go: {reason}", file=sys.stderr)
        else:
            commands["nats.go"] = [str(binary)]
    return commands


def build_go_peer(binary: Path) -> str:
    """Build gopeer; returns why not, or nothing."""
    if not shutil.which("go"):
        return "no go on PATH"
    source = Path(__file__).with_name("gopeer")
    built = subprocess.run(["go", "build", "-o", str(binary), "."], cwd=source, capture_output=True, text=True)
    return built.stderr.strip()[-500:] if built.returncode else ""


def show(results: list[Case], as_json: bool) -> None:
    summaries = [case.summary() for case in results]
    if as_json:
        print_json("client", summaries)
    else:
        names = list(results[0].rates)
        others = [name for name in names if name != OURS] if OURS in names else []
        rows = []
        for item in summaries:
            rates = [rate_text(item["rate"][name]) for name in names]
            compared = [ratio_text(item["ratio"][name]) if name in item["ratio"] else "-" for name in others]
            rows.append([f"{item['case']} {item['size']} B", *rates, *compared])
        print_table(["case", *(f"{name} /s" for name in names), *(f"midge/{name} (min-max)" for name in others)], rows)
    for failure in (failure for case in results for failure in case.failures):
        print(f"FAILED: {failure}", file=sys.stderr)


def main() -> int:
    if sys.argv[1:2] == ["--as"]:
        name, url, run, size, count, *authority = sys.argv[2:]
        tls = client_context(authority[0]) if authority else None
        taken = asyncio.run(RUNS[run](PYTHON_PEERS[name], url, tls, bytes(int(size)), int(count)))
        print(int(count) / taken)
        return 0
    parser = argparse.ArgumentParser(description="midge, nats-py and nats.go as clients of the real nats-server, in turns.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--cases", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of messages")
    parser.add_argument("--link", choices=LINKS, default=LINKS[0])
    parser.add_argument("--server", metavar="COMMAND", help="another server than nats-server")
    parser.add_argument("--allow-pure", action="store_true", help="measure an uncompiled midge all the same")
    parser.add_argument("--json", action="store_true")
    add_before_option(parser)
    options = parser.parse_args()
    if OURS in options.peers:
        require_compiled(options.allow_pure)
    if options.before:
        require_compiled(options.allow_pure, older(options.before))
    results = [case for case in cases() if case.run in options.cases]
    try:
        with tempfile.TemporaryDirectory() as directory:
            ends = prepare(options.link, Path(directory), options.server.split() if options.server else None)
            peers = [name for name in options.peers if options.link == LINKS[0] or name in PYTHON_PEERS]
            commands = peer_commands(peers, options.before, directory)
            with Server("server", ends.command) as server:
                for case in results:
                    print(f"{case.run} {case.size} B: {options.rounds} rounds", file=sys.stderr)
                    measure(case, commands, ends, server, options.rounds, options.scale)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    show(results, options.json)
    return 1 if any(case.failures for case in results) else 0


if __name__ == "__main__":
    sys.exit(main())
