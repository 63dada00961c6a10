"""``midge bench js pub``: how many messages a second a stream takes: published, stored, and acknowledged by the server.

A stream is made for it and removed afterwards, whatever happens; one that is there already is left alone. The clients share the
messages, and each has no more on the way than the window says: with a window of 1 it waits for each acknowledgement.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

import midge
from midge.cli.bench import Figures, Job, Plan, failing, group, print_figures, progress_bars, race, shares, watch
from midge.cli.lazy_group import LazyGroup
from midge.cli.target import Target, run_async, target_options
from midge.errors import JetStreamError, MidgeError
from midge.jetstream.requests import API_PREFIX, Requests
from midge.message import Message

if TYPE_CHECKING:
    from midge.client.client import Client

__all__ = ["pub", "run_plan", "stream_options", "temporary_stream"]

T = TypeVar("T")
Measure = Callable[[Target, dict[str, Any], list[Figures], Job], Coroutine[Any, Any, None]]
_SUBJECT = "midge.bench.js"
_MAX_SIZE = 64 << 20

command = LazyGroup(
    "js",
    help="Measure streams.",
    places={"pub": "bench_js:pub", "sub": "bench_js_consume:sub", "fetch": "bench_js_consume:fetch"},
    context_settings={"help_option_names": ["-h", "--help"]},
)


def stream_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command SUBJECT, what every measurement of a stream asks for, and the options of a Target."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON."),
        click.option("--no-progress", is_flag=True, help="Show no progress bar."),
        click.option("--embedded", is_flag=True, help="Start a server in this process, instead of connecting to one."),
        click.option("--stream", default="midge-bench", show_default=True, help="The stream's name, which must be free."),
        click.option("--replicas", type=click.IntRange(min=1), default=1, show_default=True, help="How many servers keep it."),
        click.option(
            "--storage", type=click.Choice(["file", "memory"]), default="file", show_default=True, help="Where the stream is kept."
        ),
        click.option("--clients", type=click.IntRange(min=1), default=1, show_default=True, help="How many clients."),
        click.option("--size", type=click.IntRange(0, _MAX_SIZE), default=128, show_default=True, help="Bytes of payload in each."),
        click.option("--msgs", type=click.IntRange(min=1), default=100_000, show_default=True, help="How many messages."),
    ):
        command = option(command)
    return click.argument("subject", default=_SUBJECT)(target_options(command))


def run_plan(
    target: Target,
    plan: Plan,
    role: str,
    measure: Measure,
    more: dict[str, Any],
    *,
    storage: str,
    replicas: int,
    stream: str,
    embedded: bool,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Measure a stream and print the figures.

    Args:
        role: what the clients are.
        measure: does it, with the server, the stream's configuration, the figures to fill and what watches them.
        more: of what was asked for, which JSON shows, too.
    """
    config = {"name": stream, "subjects": [plan.subject], "storage": storage, "num_replicas": replicas}
    with contextlib.ExitStack() as stack:
        if embedded:
            directory = stack.enter_context(tempfile.TemporaryDirectory()) if storage == "file" else ""
            target = Target(stack.enter_context(midge.Server(port=0, jetstream=True, store_dir=directory)).url, timeout=target.timeout)
        progress = stack.enter_context(progress_bars(no_progress or as_json))
        figures = group(role, plan, shares(plan))
        run_async(measure(target, config, figures, partial(watch, plan, [figures], progress, target.timeout)))
    more = {"embedded": embedded} | more | {"storage": storage, "replicas": replicas, "stream": stream}
    print_figures(plan, [figures], more, as_json=as_json)


@click.command("pub", short_help="Measure how fast messages are stored and acknowledged.")
@stream_options
@click.option("--window", type=click.IntRange(min=1), default=1000, show_default=True, help="Messages that a client has on the way.")
def pub(target: Target, subject: str, msgs: int, size: int, clients: int, window: int, **options: Any) -> None:
    """Publish to a stream that stores SUBJECT, and wait for every acknowledgement."""
    plan = Plan("js pub", subject, msgs, size, clients, False)
    run_plan(target, plan, "publisher", partial(_measure, plan, window), {"window": window}, **options)


async def _measure(plan: Plan, window: int, target: Target, config: dict[str, Any], publishers: list[Figures], watcher: Job) -> None:
    failed, on_error = failing()
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(target.connect("midge bench js", on_error))
        await stack.enter_async_context(temporary_stream(admin, config, target.timeout))
        jobs: list[Job] = []
        for figures in publishers:
            client = await stack.enter_async_context(target.connect("midge bench js pub", on_error))
            publisher = _Publisher(client, figures, window, on_error)
            await publisher.begin()
            jobs.append(partial(publisher.run, plan.subject, os.urandom(plan.size)))
        await race(jobs, failed, watcher)


@contextlib.asynccontextmanager
async def temporary_stream(client: Client, config: dict[str, Any], timeout: float) -> AsyncIterator[None]:
    """A stream that is there for as long as it takes."""
    requests = Requests(client, API_PREFIX, timeout)
    found = (await requests.ask(f"STREAM.CREATE.{config['name']}", config)).get("config") or {}
    try:
        if found.get("num_replicas", 1) != config["num_replicas"]:
            raise MidgeError(f"the server keeps the stream {found['num_replicas']} times, and not {config['num_replicas']} times")
        yield
    finally:
        await requests.ask(f"STREAM.DELETE.{config['name']}")


class _Publisher:
    """One client that publishes, no further ahead of the acknowledgements than its window."""

    def __init__(self, client: Client, figures: Figures, window: int, on_error: Any) -> None:
        self._client = client
        self._figures = figures
        self._window = window
        self._on_error = on_error
        self._inbox = client.new_inbox()
        self._sent = 0
        self._room = asyncio.Event()

    async def begin(self) -> None:
        """Listen to the acknowledgements."""
        await self._client.subscribe(self._inbox, callback=self._acknowledged)

    async def run(self, subject: str, payload: bytes) -> None:
        """Publish all messages, and wait until the last one is acknowledged."""
        figures, window, publish, inbox = self._figures, self._window, self._client.publish, self._inbox
        figures.began = figures.ended = time.perf_counter()
        for _ in range(figures.target):
            while self._sent - figures.msgs >= window:
                await self._wait()
            self._sent += 1
            await publish(subject, payload, reply=inbox)
        while figures.msgs < figures.target:
            await self._wait()

    async def _wait(self) -> None:
        self._room.clear()
        await self._room.wait()

    def _acknowledged(self, message: Message) -> None:
        if not message.data.startswith(b'{"stream"'):
            self._on_error(_refusal(message))
            return
        self._figures.msgs += 1
        self._figures.ended = time.perf_counter()
        self._room.set()


def _refusal(message: Message) -> MidgeError:
    """Return why a message was not stored."""
    try:
        error = json.loads(message.data)["error"]
        return JetStreamError(error["code"], error["err_code"], error["description"])
    except (ValueError, KeyError, TypeError):
        return MidgeError(f"a message was not acknowledged: {message.data[:200]!r}")
