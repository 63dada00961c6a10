"""``midge bench js sub`` and ``fetch``: how many messages a second come out of a stream, to clients that share one consumer.

A stream is made, filled and removed afterwards; only the consuming is measured. ``sub`` takes messages one after the other as they come,
``fetch`` asks for a batch and works on it; either acknowledges each, unless it is told not to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import click

from midge.cli.bench import Figures, Job, Plan, group, print_figures, progress_bars, race, shares, watch
from midge.cli.bench_js import MAX_SIZE, temporary_stream
from midge.cli.target import Target, run_async, target_options
from midge.errors import MidgeError
from midge.jetstream.consumer import Consumer
from midge.jetstream.consuming import Consuming
from midge.server.server import Server

__all__ = ["fetch", "sub"]

T = TypeVar("T")
_SUBJECT = "midge.bench.js"
_CONSUMER = "bench"
_FETCH_SECONDS = 1.0


def _options(command: Callable[..., T]) -> Callable[..., T]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON."),
        click.option("--no-progress", is_flag=True, help="Show no progress bar."),
        click.option("--embedded", is_flag=True, help="Start a server in this process, instead of connecting to one."),
        click.option("--stream", default="midge-bench", show_default=True, help="The stream's name, which must be free."),
        click.option("--replicas", type=click.IntRange(min=1), default=1, show_default=True, help="How many servers keep it."),
        click.option(
            "--storage", type=click.Choice(["file", "memory"]), default="file", show_default=True, help="Where the stream is kept."
        ),
        click.option("--ack/--no-ack", default=True, show_default=True, help="Acknowledge each message."),
        click.option(
            "--batch", type=click.IntRange(min=1), default=500, show_default=True, help="How many messages are asked for at a time."
        ),
        click.option("--clients", type=click.IntRange(min=1), default=1, show_default=True, help="How many clients."),
        click.option("--size", type=click.IntRange(0, MAX_SIZE), default=128, show_default=True, help="Bytes of payload in each."),
        click.option("--msgs", type=click.IntRange(min=1), default=100_000, show_default=True, help="How many messages."),
    ):
        command = option(command)
    return click.argument("subject", default=_SUBJECT)(target_options(command))


@click.command("sub", short_help="Measure how fast messages are taken as they come.")
@_options
def sub(target: Target, **options: Any) -> None:
    """Fill a stream that stores SUBJECT, and take its messages as they come."""
    _bench("js sub", target, **options)


@click.command("fetch", short_help="Measure how fast messages are fetched, a batch at a time.")
@_options
def fetch(target: Target, **options: Any) -> None:
    """Fill a stream that stores SUBJECT, and fetch its messages, a batch at a time."""
    _bench("js fetch", target, **options)


def _bench(
    kind: Literal["js sub", "js fetch"],
    target: Target,
    *,
    subject: str,
    msgs: int,
    size: int,
    clients: int,
    batch: int,
    ack: bool,
    storage: str,
    replicas: int,
    stream: str,
    embedded: bool,
    no_progress: bool,
    as_json: bool,
) -> None:
    plan = Plan(kind, subject, msgs, size, clients, False)
    config = {"name": stream, "subjects": [subject], "storage": storage, "num_replicas": replicas}
    with contextlib.ExitStack() as stack:
        if embedded:
            directory = stack.enter_context(tempfile.TemporaryDirectory()) if storage == "file" else ""
            target = Target(stack.enter_context(Server(port=0, jetstream=True, store_dir=directory)).url, timeout=target.timeout)
        progress = stack.enter_context(progress_bars(no_progress or as_json))
        figures = group("consumer", plan, shares(plan))
        run_async(_measure(target, plan, config, batch, figures, partial(watch, plan, [figures], progress, target.timeout), ack=ack))
    more = {"embedded": embedded, "batch": batch, "ack": ack, "storage": storage, "replicas": replicas, "stream": stream}
    print_figures(plan, [figures], more, as_json=as_json)


async def _measure(
    target: Target, plan: Plan, config: dict[str, Any], batch: int, figures: list[Figures], watcher: Any, *, ack: bool
) -> None:  # fmt: skip
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_error(error: Exception) -> None:
        if not failed.done():
            failed.set_exception(error if isinstance(error, MidgeError) else MidgeError(str(error)))

    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(target.connect("midge bench js", on_error))
        await stack.enter_async_context(temporary_stream(admin, config, target.timeout))
        js, payload = admin.jetstream(timeout=target.timeout), os.urandom(plan.size)
        for _ in range(plan.msgs):
            await js.publish_async(plan.subject, payload)
        await js.publish_async_done(target.timeout)
        policy, most = ("explicit", max(1000, 4 * batch * plan.clients)) if ack else ("none", -1)
        await js.stream(config["name"]).create_consumer(durable_name=_CONSUMER, ack_policy=policy, max_ack_pending=most)
        work = _Work(plan.msgs, batch, ack=ack)
        jobs: list[Job] = []
        for each in figures:
            client = await stack.enter_async_context(target.connect(f"midge bench {plan.kind}", on_error))
            consumer = client.jetstream(timeout=target.timeout).stream(config["name"]).consumer(_CONSUMER)
            jobs.append(partial(work.consume if plan.kind == "js sub" else work.fetch, consumer, each))
        await race(jobs, failed, watcher)


class _Work:
    """What the clients share: the messages that nobody has taken yet."""

    def __init__(self, msgs: int, batch: int, *, ack: bool) -> None:
        self._left = msgs
        self._batch = batch
        self._ack = ack
        self._loops: list[Consuming] = []

    async def consume(self, consumer: Consumer, figures: Figures) -> None:
        """Take messages as they come, until all are taken."""
        figures.began = figures.ended = time.perf_counter()
        consuming = consumer.consume(max_messages=self._batch)
        self._loops.append(consuming)
        ack = self._ack
        async for message in consuming:
            if ack:
                await message.ack()
            figures.msgs += 1
            self._left -= 1
            if not self._left:
                break
        figures.ended = time.perf_counter()
        figures.target = figures.msgs
        for each in self._loops:
            await each.stop()

    async def fetch(self, consumer: Consumer, figures: Figures) -> None:
        """Fetch messages, a batch at a time, until all are taken."""
        figures.began = figures.ended = time.perf_counter()
        ack = self._ack
        while self._left > 0:
            found = await consumer.fetch(min(self._batch, self._left), timeout=_FETCH_SECONDS)
            for message in found:
                if ack:
                    await message.ack()
            figures.msgs += len(found)
            self._left -= len(found)
            if found:
                figures.ended = time.perf_counter()
        consumer.close()
        figures.target = figures.msgs
