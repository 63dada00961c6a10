"""``midge bench``: how many messages a second go through, and how long a request takes.

- pub: the clients share the messages; the clock stops when the server has seen them all.
- sub: every client takes all of the messages, which somebody else publishes; its clock runs from its first message to its last.
- pubsub: as many publishers as subscribers, each pair of figures as above.
- request: the clients share the requests, and each sends one after the other; the answers come from this process, too, unless
  ``--no-responder`` says that a service is there.

All clients live in one event loop, as they would in an application; with ``--embedded`` the server shares the process with them
as well. The loops are the ones an application would write: a publish is awaited, a message is counted by a plain function.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import midge
from midge.cli.output import counted
from midge.cli.target import Target, run_async, target_options
from midge.cli.version import NOT_COMPILED
from midge.errors import MidgeError, MidgeTimeoutError
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.client import Client

__all__ = [
    "Figures",
    "Job",
    "Plan",
    "command",
    "failing",
    "group",
    "percentile",
    "print_figures",
    "progress_bars",
    "race",
    "shares",
    "watch",
]  # fmt: skip

Kind = Literal["pub", "sub", "pubsub", "request", "js pub", "js sub", "js fetch"]
Job = Callable[[], Coroutine[Any, Any, None]]
DEFAULT_MSGS = 100_000
DEFAULT_SIZE = 128
_MAX_SIZE = 64 << 20  # no server takes more in one message
_BATCH = 1000
_TICK = 0.1
_PERCENTILES = (50, 90, 99)


@dataclass(slots=True)
class Figures:
    """What one client did: its clock runs from ``began`` to ``ended``. ``counter`` knows better than ``msgs`` on the way."""

    client: str
    target: int
    size: int
    msgs: int = 0
    began: float = 0.0
    ended: float = 0.0
    latencies: list[float] = field(default_factory=list)
    counter: Callable[[], int] | None = None

    @property
    def so_far(self) -> int:
        return self.msgs if self.counter is None else self.counter()

    @property
    def seconds(self) -> float:
        return max(self.ended - self.began, 1e-9)

    def as_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "client": self.client,
            "msgs": self.msgs,
            "seconds": round(self.seconds, 9),
            "msgs_per_second": round(self.msgs / self.seconds, 1),
            "bytes_per_second": round(self.msgs * self.size / self.seconds, 1),
        }
        if self.latencies:
            ordered = sorted(self.latencies)
            result["latency_seconds"] = {f"p{share}": round(percentile(ordered, share), 9) for share in _PERCENTILES}
        return result


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    kind: Kind
    subject: str
    msgs: int
    size: int
    clients: int
    responder: bool


class _Bench(click.Command):
    """The command, which has another one inside: what begins with "js" is measured by ``bench_js``."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        if args[:1] == ["js"]:
            from midge.cli import bench_js

            return bench_js.command.make_context(f"{info_name} js", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


@click.command("bench", cls=_Bench, short_help="Measure messages per second and latencies.")
@click.argument("kind", type=click.Choice(["pub", "sub", "pubsub", "request"]))
@click.argument("subject", default="midge.bench")
@click.option("--msgs", type=click.IntRange(min=1), default=DEFAULT_MSGS, show_default=True, help="How many messages.")
@click.option("--size", type=click.IntRange(0, _MAX_SIZE), default=DEFAULT_SIZE, show_default=True, help="Bytes of payload in each.")
@click.option("--clients", type=click.IntRange(min=1), default=1, show_default=True, help="How many clients.")
@click.option("--responder/--no-responder", default=True, show_default=True, help="request: answer in this process.")
@click.option("--embedded", is_flag=True, help="Start a server in this process, instead of connecting to one.")
@click.option("--no-progress", is_flag=True, help="Show no progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@target_options
def command(
    target: Target,
    kind: Kind,
    subject: str,
    msgs: int,
    size: int,
    clients: int,
    responder: bool,
    embedded: bool,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Measure KIND: publish, subscribe, both, or request, on SUBJECT.

    "midge bench js pub", "js sub" and "js fetch" measure a stream.
    """
    if embedded and kind == "sub":
        raise click.UsageError("nobody else can publish to an embedded server: use pubsub")
    plan = Plan(kind, subject, msgs, size, clients, responder)
    with contextlib.ExitStack() as stack:
        if embedded:
            target = Target(stack.enter_context(midge.Server(port=0)).url, timeout=target.timeout)
        progress = stack.enter_context(progress_bars(no_progress or as_json))
        groups = run_async(_measure(target, plan, progress))
    print_figures(plan, groups, {"embedded": embedded}, as_json=as_json)


def print_figures(plan: Plan, groups: list[list[Figures]], more: dict[str, Any], *, as_json: bool) -> None:
    """Print what was measured, as a table, or as JSON with more that was asked for."""
    if not midge.compiled:
        click.echo(f"midge: {NOT_COMPILED}", err=True)
    totals = [total_of(group) for group in groups]
    if as_json:
        head = {"kind": plan.kind, "subject": plan.subject, "msgs": plan.msgs, "size": plan.size, "clients": plan.clients} | more
        body = {"results": [one.as_json() for group in groups for one in group], "totals": [total.as_json() for total in totals]}
        click.echo(json.dumps(head | body))
    else:
        show(Console(), plan, groups, totals)


def percentile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least ``share`` per cent of the ordered values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


async def _measure(target: Target, plan: Plan, progress: Progress) -> list[list[Figures]]:
    """Run the plan; return the figures of each role's clients."""
    failed, on_error = failing()
    async with contextlib.AsyncExitStack() as stack:

        async def connect(name: str) -> Client:
            return await stack.enter_async_context(target.connect(name, on_error))

        roles: list[list[Figures]] = []
        jobs: list[Job] = []
        if plan.kind in ("pub", "pubsub"):
            roles.append(group("publisher", plan, shares(plan)))
            jobs += [partial(_publisher, await connect("midge bench pub"), plan, figures) for figures in roles[-1]]
        if plan.kind in ("sub", "pubsub"):
            roles.append(group("subscriber", plan, [plan.msgs] * plan.clients))
            jobs += [await _subscriber(await connect("midge bench sub"), plan, figures) for figures in roles[-1]]
        if plan.kind == "sub":
            click.echo(f'Waiting for {counted(plan.msgs, "message")} on "{plan.subject}"', err=True)
        if plan.kind == "request":
            if plan.responder:
                await _respond(await connect("midge bench reply"), plan)
            roles.append(group("requester", plan, shares(plan)))
            jobs += [partial(_requester, await connect("midge bench request"), plan, figures, target.timeout) for figures in roles[-1]]
        await race(jobs, failed, partial(watch, plan, roles, progress, target.timeout))
        return roles


def group(role: str, plan: Plan, shares: list[int]) -> list[Figures]:
    """Return empty figures for each of those who share one role."""
    return [Figures(f"{role} {number}", share, plan.size) for number, share in enumerate(shares, 1)]


def failing() -> tuple[asyncio.Future[None], Callable[[Exception], None]]:
    """Return what fails with the first error that no call raised, and what is called with errors."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_error(error: Exception) -> None:
        if not failed.done():
            failed.set_exception(error if isinstance(error, MidgeError) else MidgeError(str(error)))

    return failed, on_error


async def race(jobs: list[Job], failed: asyncio.Future[None], watcher: Job) -> None:
    """Return when all jobs are done; raise the first error, be it of a job, a connection or the watcher."""
    work = asyncio.ensure_future(_together(jobs))
    watching = asyncio.ensure_future(watcher())
    try:
        await asyncio.wait([work, watching, failed], return_when=asyncio.FIRST_COMPLETED)
        for one in (failed, watching, work):
            if one.done():
                one.result()
    finally:
        for one in (work, watching):
            one.cancel()
        failed.cancel()
        await asyncio.gather(work, watching, return_exceptions=True)


async def _together(jobs: list[Job]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _publisher(client: Client, plan: Plan, figures: Figures) -> None:
    publish, subject, payload = client.publish, plan.subject, os.urandom(plan.size)
    figures.began = time.perf_counter()
    for batch in range(0, figures.target, _BATCH):
        for _ in range(min(_BATCH, figures.target - batch)):
            await publish(subject, payload)
        figures.msgs = batch
    await client.flush(None)
    figures.ended = time.perf_counter()
    figures.msgs = figures.target


async def _subscriber(client: Client, plan: Plan, figures: Figures) -> Job:
    """Subscribe; return what waits for the last message."""
    last = asyncio.Event()
    left = first = figures.target

    def count(_: Message) -> None:
        nonlocal left
        if left == first:
            figures.began = time.perf_counter()
        left -= 1
        if not left:
            figures.ended = time.perf_counter()
            last.set()

    subscription = await client.subscribe(plan.subject, callback=count)
    figures.counter = lambda: subscription.received

    async def wait() -> None:
        await last.wait()
        figures.msgs = figures.target

    return wait


async def _respond(client: Client, plan: Plan) -> None:
    """Answer every request with its own payload."""

    def answer(message: Message) -> None:
        message.respond(message.data)

    await client.subscribe(plan.subject, callback=answer)


async def _requester(client: Client, plan: Plan, figures: Figures, timeout: float) -> None:
    payload, clock, latencies = os.urandom(plan.size), time.perf_counter, figures.latencies
    figures.began = clock()
    for _ in range(figures.target):
        before = clock()
        await client.request(plan.subject, payload, timeout=timeout)
        latencies.append(clock() - before)
        figures.msgs += 1
    figures.ended = clock()


async def watch(plan: Plan, roles: list[list[Figures]], progress: Progress, timeout: float) -> None:
    """Move the bars; fail when messages that this process publishes stop coming."""
    bars: list[tuple[TaskID, Figures]] = [
        (progress.add_task(figures.client, total=figures.target), figures) for group in roles for figures in group
    ]
    seen, since = -1, time.monotonic()
    try:
        while True:
            await asyncio.sleep(_TICK)
            for bar, figures in bars:
                progress.update(bar, completed=figures.so_far)
            count = sum(figures.so_far for _, figures in bars)
            if count != seen:
                seen, since = count, time.monotonic()
            elif plan.kind != "sub" and time.monotonic() - since > timeout:
                raise MidgeTimeoutError(f"{count} messages so far, and then", timeout)
    finally:
        for bar, figures in bars:
            progress.update(bar, completed=figures.so_far)


def shares(plan: Plan) -> list[int]:
    """Return how many messages each client sends."""
    each, more = divmod(plan.msgs, plan.clients)
    return [each + (number < more) for number in range(plan.clients)]


def total_of(group: list[Figures]) -> Figures:
    """Return what a role's clients did together."""
    return Figures(
        f"all {len(group)} {group[0].client.split()[0]}s" if len(group) > 1 else group[0].client.split()[0],
        sum(one.target for one in group),
        group[0].size,
        sum(one.msgs for one in group),
        min(one.began for one in group),
        max(one.ended for one in group),
        [latency for one in group for latency in one.latencies],
    )


def progress_bars(hidden: bool) -> Progress:
    """Return progress bars for a terminal; nothing is shown where there is none, or it is not wanted."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal)


def show(console: Console, plan: Plan, groups: list[list[Figures]], totals: list[Figures]) -> None:
    title = f'{plan.kind}: {counted(plan.msgs, "message")} of {counted(plan.size, "byte")} on "{escape(plan.subject)}"'
    table = Table()
    table.add_column("client")
    headings = ["messages", "msgs/s", "bytes/s"] + ([f"p{share}" for share in _PERCENTILES] if plan.kind == "request" else [])
    for heading in headings:
        table.add_column(heading, justify="right")
    for group, total in zip(groups, totals, strict=True):
        for figures in group if len(group) == 1 else [*group, total]:
            row = [figures.client, f"{figures.msgs:,}", f"{figures.msgs / figures.seconds:,.0f}"]
            row.append(_size(figures.msgs * figures.size / figures.seconds))
            ordered = sorted(figures.latencies)
            row += [f"{percentile(ordered, share) * 1e6:,.0f} us" for share in _PERCENTILES] if ordered else []
            table.add_row(*row, end_section=figures is total or len(group) == 1)
    console.print(title, highlight=False, soft_wrap=True)
    console.print(table)


def _size(count: float) -> str:
    """Return bytes in the unit that reads best."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
