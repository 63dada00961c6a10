"""``midge demo``: what NATS does, shown and checked in a few seconds against a server in this very process.

Each line with a tick states something that was just seen to be true; a line with a cross states what was not, and the command
then exits with 1. Nothing is printed that was not checked.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import click
from rich.console import Console
from rich.markup import escape

import midge
from midge.cli.target import run_async
from midge.cli.version import banner
from midge.client.client import Client
from midge.message import Message
from midge.server.server import Server

__all__ = ["Demo", "command"]

_PATIENCE = 5.0
_ORDERS = ("orders.eu.new", "orders.us.new", "orders.eu.paid", "invoices.eu.new")
_PATTERNS = {"orders.eu.new": _ORDERS[:1], "orders.*.new": _ORDERS[:2], "orders.>": _ORDERS[:3], ">": _ORDERS}
_JOBS = 60
_WORKERS = 3
_SPEED_MSGS = 100_000


class Demo:
    """The show: a running server, where to print, and what failed so far."""

    def __init__(self, server: Server, console: Console) -> None:
        self.server = server
        self.failures: list[str] = []
        self._console = console
        self._marks = "✓✗" if console.encoding.lower().startswith("utf") else "+!"

    async def run(self) -> None:
        """Show everything; what goes wrong in one part does not keep the next from being shown."""
        parts: list[tuple[str, Callable[[Client], Awaitable[None]]]] = [
            ("Subjects and wildcards", self._wildcards),
            ("A queue group: each message to one of its members", self._queue_group),
            ("Request and reply", self._requests),
            ("Headers", self._headers),
            ("No responders: a request that nobody can answer fails at once", self._no_responders),
            ("Without a socket: a client of the same process", self._in_process),
            ("Speed", self._speed),
        ]
        for title, part in parts:
            self._console.print(f"\n[bold]{title}[/bold]")
            try:
                async with midge.connect(self.server.url, name="midge demo") as nc:
                    async with asyncio.timeout(_PATIENCE):
                        await part(nc)
            except (midge.MidgeError, TimeoutError) as error:
                self.check(False, f"{title}: {str(error) or 'it took too long'}")

    def check(self, holds: bool, claim: str) -> None:
        """Print a claim with a tick or a cross, and remember those that do not hold."""
        if not holds:
            self.failures.append(claim)
        mark = self._marks[0] if holds else self._marks[1]
        colour = "green" if holds else "red"
        self._console.print(f"  [{colour}]{mark}[/] {escape(claim)}", highlight=False, soft_wrap=True)

    async def _wildcards(self, nc: Client) -> None:
        subs = {pattern: nc.subscribe(pattern) for pattern in _PATTERNS}
        for subject in _ORDERS:
            await nc.publish(subject)
        await nc.flush()
        for pattern, expected in _PATTERNS.items():
            got = [(await subs[pattern].next(timeout=1)).subject for _ in expected]
            self.check(got == list(expected) and not subs[pattern].pending, f"{pattern:13} got {', '.join(got)}")

    async def _queue_group(self, nc: Client) -> None:
        done: Counter[str] = Counter()
        jobs: Counter[bytes] = Counter()
        all_done = asyncio.Event()

        def worker(name: str) -> Callable[[Message], None]:
            def work(message: Message) -> None:
                done[name] += 1
                jobs[message.data] += 1
                if done.total() == _JOBS:
                    all_done.set()

            return work

        for number in range(1, _WORKERS + 1):
            await nc.subscribe("jobs", queue="workers", callback=worker(f"worker {number}"))
        for number in range(_JOBS):
            await nc.publish("jobs", b"%d" % number)
        await all_done.wait()
        await nc.flush()
        share = ", ".join(f"{name} did {count}" for name, count in sorted(done.items()))
        once = len(jobs) == _JOBS and set(jobs.values()) == {1}
        self.check(once and len(done) == _WORKERS, f"{_JOBS} jobs, each done once: {share}")

    async def _requests(self, nc: Client) -> None:
        async def double(message: Message) -> None:
            await message.respond(b"%d" % (2 * int(message.data)))

        await nc.subscribe("math.double", callback=double)
        answer = await nc.request("math.double", b"21", timeout=1)
        self.check(answer.data == b"42", f"math.double 21 = {answer.data.decode('utf-8', 'replace')}")
        answers = await asyncio.gather(*(nc.request("math.double", b"%d" % n, timeout=2) for n in range(100)))
        right = [int(one.data) for one in answers] == [2 * n for n in range(100)]
        self.check(right, "100 requests at once, each with its own answer")

    async def _headers(self, nc: Client) -> None:
        sub = await nc.subscribe("traced")
        await nc.publish("traced", b"payload", headers=[("Trace-Id", "7f3a"), ("Tag", "a"), ("Tag", "b")])
        message = await sub.next(timeout=1)
        headers = message.headers
        self.check(headers.get("trace-id") == "7f3a" and message.data == b"payload", "Trace-Id: 7f3a travelled beside the payload")
        self.check(headers.get_all("Tag") == ["a", "b"], "a name may come twice: Tag: a, Tag: b")

    async def _no_responders(self, nc: Client) -> None:
        before = time.perf_counter()
        try:
            await nc.request("nobody.home", b"", timeout=_PATIENCE)
        except midge.NoRespondersError as error:
            took = time.perf_counter() - before
            self.check(took < 1, f"NoRespondersError after {took * 1000:.1f} ms, not after {_PATIENCE:g} s: {error}")
        else:
            self.check(False, "a request that nobody can answer was answered")

    async def _in_process(self, nc: Client) -> None:
        sub = await nc.subscribe("greetings")
        async with midge.connect(self.server) as inside:
            await inside.publish("greetings", b"hello from inside")
        message = await sub.next(timeout=1)
        self.check(message.data == b"hello from inside", "midge.connect(server) published what the client on TCP received")

    async def _speed(self, nc: Client) -> None:
        seen = 0
        ordered = True
        last = asyncio.Event()

        def count(message: Message) -> None:
            nonlocal seen, ordered
            ordered = ordered and message.data == b"%d" % seen
            seen += 1
            if seen == _SPEED_MSGS:
                last.set()

        await nc.subscribe("speed", callback=count)
        before = time.perf_counter()
        for number in range(_SPEED_MSGS):
            await nc.publish("speed", b"%d" % number)
        await last.wait()
        took = time.perf_counter() - before
        self.check(ordered, f"{_SPEED_MSGS:,} messages to the server and back, in order, in {took:.2f} s")


@click.command("demo", short_help="Show what NATS does, and check it.")
def command() -> int:
    """Start a server in this process, show what NATS does, and check each claim."""
    console = Console()
    before = time.perf_counter()
    with Server(port=0) as server:
        took = time.perf_counter() - before
        console.print(f"[bold]{banner()}[/bold]: a NATS server in this process, on {server.url}", highlight=False, soft_wrap=True)
        demo = Demo(server, console)
        demo.check(server.is_running, f"ready after {took * 1000:.0f} ms")
        run_async(demo.run())
    if demo.failures:
        console.print(f"\n[red]{len(demo.failures)} of the claims did not hold.[/]")
        click.echo(f"midge: the demo failed: {'; '.join(demo.failures)}", err=True)
        return 1
    console.print("\nEvery claim held. Next: [bold]midge serve[/], and in another terminal [bold]midge sub '>'[/].", highlight=False)
    return 0
