"""``midge demo``: what NATS does, shown and checked in a few seconds against a server in this very process; but for the part
that kills a server, which has one of its own.

Each line with a tick states something that was just seen to be true; a line with a cross states what was not, and the command
then exits with 1. Nothing is printed that was not checked. The code above a tick is the code that ran: the lines of this file
that end in ``# shown``. All of it fits on a terminal of 80 by 24.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import click
from rich.console import Console
from rich.markup import escape

import midge
from midge.cli.server_process import ServerProcess
from midge.cli.target import run_async
from midge.cli.version import NOT_COMPILED, banner
from midge.client.client import Client
from midge.message import Message
from midge.server.server import Server

__all__ = ["Demo", "command"]

_PATIENCE = 5.0
_LONG_PATIENCE = 30.0  # for two processes that start
_SHOWN = "  # shown"
_ORDERS = ("orders.eu.new", "orders.us.new", "orders.eu.paid", "invoices.eu.new")
_MATCHING = _ORDERS[:2]
_JOBS = 60
_WORKERS = 3
_PUBLISHERS = 50
ACKS = 1000
COUNT = 100_000 if midge.compiled else 10_000
_BESIDE = "nats-py on this path took 10 times as long: docs/performance.md"


class Demo:
    """The show: a running server, where to print, and what failed so far."""

    def __init__(self, server: Server, console: Console) -> None:
        self.server = server
        self.failures: list[str] = []
        self._console = console
        self._marks = "✓✗" if console.encoding.lower().startswith("utf") else "+!"

    async def run(self) -> None:
        """Show everything; what goes wrong in one part does not keep the next from being shown."""
        parts: list[tuple[str, Callable[[Client], Awaitable[None]], float]] = [
            ("wildcards", self._wildcards, _PATIENCE),
            ("queue group", self._queue_group, _PATIENCE),
            ("request and reply", self._requests, _PATIENCE),
            ("headers", self._headers, _PATIENCE),
            ("no responders", self._no_responders, _PATIENCE),
            ("without a socket", self._in_process, _PATIENCE),
            ("a stream outlives its server", self._killed, _LONG_PATIENCE),
            ("speed", self._speed, _PATIENCE),
        ]
        for title, part, patience in parts:
            self.show_code(part)
            try:
                async with midge.connect(self.server.url, name="midge demo") as nc:
                    async with asyncio.timeout(patience):
                        await part(nc)
            except (midge.MidgeError, TimeoutError, OSError) as error:
                self.check(False, f"{title}: {str(error) or 'it took too long'}")

    def show_code(self, part: Callable[..., object]) -> None:
        """Print the lines of a function's source that are marked for it."""
        lines = [line.rstrip("\n").removesuffix(_SHOWN) for line in inspect.getsourcelines(part)[0] if line.endswith(_SHOWN + "\n")]
        for line in textwrap.dedent("\n".join(lines)).splitlines():
            self._console.print(f"    [cyan]{escape(line)}[/]", highlight=False, soft_wrap=True)

    def check(self, holds: bool, claim: str) -> None:
        """Print a claim with a tick or a cross, and remember those that do not hold."""
        if not holds:
            self.failures.append(claim)
        mark = self._marks[0] if holds else self._marks[1]
        colour = "green" if holds else "red"
        self._console.print(f"  [{colour}]{mark}[/] {escape(claim)}", highlight=False, soft_wrap=True)

    async def _wildcards(self, nc: Client) -> None:
        sub = await nc.subscribe("orders.*.new")  # shown
        for subject in _ORDERS:
            await nc.publish(subject)
        await nc.flush()
        got = [(await sub.next(timeout=1)).subject for _ in _MATCHING]
        others = ", ".join(f"not {subject}" for subject in _ORDERS if subject not in _MATCHING)
        self.check(got == list(_MATCHING) and not sub.pending, f"got {', '.join(got)}; {others}")

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

        for name in [f"worker {number}" for number in range(1, _WORKERS + 1)]:
            await nc.subscribe("jobs", queue="workers", callback=worker(name))  # shown
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
        answer = await nc.request("math.double", b"21")  # shown
        answers = await asyncio.gather(*(nc.request("math.double", b"%d" % n, timeout=2) for n in range(100)))
        right = [int(one.data) for one in answers] == [2 * n for n in range(100)]
        doubled = answer.data.decode("utf-8", "replace")
        self.check(right and doubled == "42", f"answered {doubled}; and 100 requests at once, each with its own answer")

    async def _headers(self, nc: Client) -> None:
        sub = await nc.subscribe("traced")
        await nc.publish("traced", b"payload", headers={"Tag": ["a", "b"]})  # shown
        message = await sub.next(timeout=1)
        right = message.data == b"payload" and message.headers.get_all("tag") == ["a", "b"]
        self.check(right, "received beside the payload; a name may come twice, and is found in any case")

    async def _no_responders(self, nc: Client) -> None:
        before = time.perf_counter()
        try:
            await nc.request("nobody.home")  # shown
        except midge.NoRespondersError as error:
            took = time.perf_counter() - before
            self.check(took < 1, f"{type(error).__name__} after {took * 1000:.1f} ms: nobody listens, so nobody waits")
        else:
            self.check(False, "a request that nobody can answer was answered")

    async def _in_process(self, nc: Client) -> None:
        sub = await nc.subscribe("greetings")
        server = self.server
        async with midge.connect(server) as inside:  # shown
            await inside.publish("greetings", b"hello from inside")
        message = await sub.next(timeout=1)
        self.check(message.data == b"hello from inside", "no socket: memory to memory, and on to the client on TCP")

    async def _killed(self, _: Client) -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with ServerProcess(directory) as server:
                acked = await _publish_until_killed(server)  # shown
            async with ServerProcess(directory) as server, midge.connect(server.url) as nc:
                stored = dict(await asyncio.gather(*(_stored(nc, sequence) for sequence in acked)))
        claim = f"{len(acked):,} acked; its process was killed, another one has them all, as published"
        self.check(len(acked) >= ACKS and stored == acked, claim)

    async def _speed(self, nc: Client) -> None:
        seen = 0
        ordered = True
        last = asyncio.Event()

        def count(message: Message) -> None:
            nonlocal seen, ordered
            ordered = ordered and message.data == b"%d" % seen
            seen += 1
            if seen == COUNT:
                last.set()

        await nc.subscribe("speed", callback=count)
        before = time.perf_counter()
        for number in range(COUNT):  # shown
            await nc.publish("speed", b"%d" % number)  # shown
        await last.wait()
        took = time.perf_counter() - before
        rate = COUNT / took
        self.check(ordered, f"{COUNT:,} to the server and back, in order, in {took:.2f} s: {rate:,.0f} a second")


async def _publish_until_killed(server: ServerProcess) -> dict[int, bytes]:
    """Publish to a stream until, with many publishes under way, the server is killed; return what was acked, by its sequence."""
    acked: dict[int, bytes] = {}
    enough = asyncio.Event()

    async def publish(nc: Client, publisher: int) -> None:
        number = 0
        while True:
            data = b"%d of %d" % (number, publisher)
            try:
                ack = json.loads((await nc.request("orders.new", data, timeout=_PATIENCE)).data)
            except (midge.DisconnectedError, midge.ConnectionClosedError):
                return
            acked[ack["seq"]] = data
            number += 1
            if len(acked) >= ACKS:
                enough.set()

    nc = await midge.connect(server.url, max_reconnects=0)
    try:
        await nc.request("$JS.API.STREAM.CREATE.ORDERS", b'{"name": "ORDERS", "subjects": ["orders.*"]}')
        publishers = [asyncio.create_task(publish(nc, publisher)) for publisher in range(_PUBLISHERS)]
        await asyncio.wait([asyncio.create_task(enough.wait()), *publishers], return_when=asyncio.FIRST_COMPLETED)
        server.kill()
        await asyncio.gather(*publishers)
    finally:
        await nc.close()
    return acked


async def _stored(nc: Client, sequence: int) -> tuple[int, bytes]:
    """Return a message of the stream as it is stored."""
    answer = json.loads((await nc.request("$JS.API.STREAM.MSG.GET.ORDERS", b'{"seq": %d}' % sequence, timeout=_PATIENCE)).data)
    return sequence, base64.b64decode(answer["message"]["data"]) if "message" in answer else b""


@click.command("demo", short_help="Show what NATS does, and check it.")
def command() -> int:
    """Start a server in this process, show what NATS does, and check each claim."""
    console = Console()
    console.print(f"[bold]{banner()}[/]: a client and a server in one process", highlight=False, soft_wrap=True)
    before = time.perf_counter()
    with Server(port=0) as server:  # shown
        took = time.perf_counter() - before
        demo = Demo(server, console)
        assert command.callback is not None
        demo.show_code(command.callback)
        demo.check(server.is_running, f"ready after {took * 1000:.0f} ms on {server.url}, for any NATS client")
        run_async(demo.run())
    console.print(f"    {_BESIDE if midge.compiled else f'[yellow]{NOT_COMPILED}[/]'}", highlight=False, soft_wrap=True)
    if demo.failures:
        console.print(f"\n[red]{len(demo.failures)} of the claims did not hold.[/]")
        click.echo(f"midge: the demo failed: {'; '.join(demo.failures)}", err=True)
        return 1
    console.print("\nEvery claim held. Next: [bold]midge serve[/], and in another terminal [bold]midge sub '>'[/].", highlight=False)
    return 0
