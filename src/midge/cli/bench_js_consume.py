"""``midge bench js sub`` and ``fetch``: how many messages a second come out of a stream, to clients that share one consumer.

A stream is made, filled and removed afterwards; only the consuming is measured. ``sub`` takes messages one after the other as they come,
``fetch`` asks for a batch and works on it; either acknowledges each, unless it is told not to.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import click

from midge.cli.bench import Figures, Job, Plan, failing, race
from midge.cli.bench_js import run_plan, stream_options, temporary_stream
from midge.cli.target import Target
from midge.jetstream.consumer import Consumer
from midge.jetstream.consuming import Consuming

__all__ = ["fetch", "sub"]

T = TypeVar("T")
Kind = Literal["js sub", "js fetch"]
_CONSUMER = "bench"
_FETCH_SECONDS = 1.0


def _options(command: Callable[..., T]) -> Callable[..., T]:
    for option in (
        click.option("--ack/--no-ack", default=True, show_default=True, help="Acknowledge each message."),
        click.option(
            "--batch", type=click.IntRange(min=1), default=500, show_default=True, help="How many messages are asked for at a time."
        ),
    ):
        command = option(command)
    return stream_options(command)


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
    kind: Kind, target: Target, *, subject: str, msgs: int, size: int, clients: int, batch: int, ack: bool, **more: Any
) -> None:  # fmt: skip
    plan = Plan(kind, subject, msgs, size, clients, False)
    run_plan(target, plan, "consumer", partial(_measure, plan, batch, ack), {"batch": batch, "ack": ack}, **more)


async def _measure(
    plan: Plan, batch: int, ack: bool, target: Target, config: dict[str, Any], figures: list[Figures], watcher: Job
) -> None:  # fmt: skip
    failed, on_error = failing()
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
