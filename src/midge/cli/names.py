"""Names of streams, consumers, buckets and stores as arguments, which a shell completes by asking the server.

A shell has no place for what goes wrong: where no server answers within a second there is nothing to complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from midge.cli.jetstream import Api, run
from midge.cli.target import NAMES, target_of
from midge.errors import MidgeError

__all__ = [
    "bucket_argument", "consumer_argument", "optional_bucket_argument", "optional_store_argument", "store_argument", "stream_argument",
]  # fmt: skip

T = TypeVar("T")
Names = Callable[[Api, dict[str, Any]], AsyncIterator[str]]
_SECONDS = 1.0


def stream_argument(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command STREAM, the name of a stream."""
    return _argument("stream", lambda api, _: api.js.stream_names())(command)


def consumer_argument(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command STREAM and CONSUMER, the name of one of its consumers."""
    return stream_argument(_argument("consumer", lambda api, params: api.js.stream(params["stream"]).consumer_names())(command))


def bucket_argument(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command BUCKET, the name of a bucket."""
    return _argument("bucket", lambda api, _: api.js.key_value_names())(command)


def optional_bucket_argument(command: Callable[..., T]) -> Callable[..., T]:
    """The same for a command that goes without one, too."""
    return _argument("bucket", lambda api, _: api.js.key_value_names(), required=False)(command)


def store_argument(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command BUCKET, the name of an object store."""
    return _argument("bucket", lambda api, _: api.js.object_store_names())(command)


def optional_store_argument(command: Callable[..., T]) -> Callable[..., T]:
    """The same for a command that goes without one, too."""
    return _argument("bucket", lambda api, _: api.js.object_store_names(), required=False)(command)


def _argument(name: str, names: Names, **options: Any) -> Callable[[Callable[..., T]], Callable[..., T]]:
    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        async def ask(api: Api) -> list[str]:
            return sorted([name async for name in names(api, ctx.params) if name.startswith(incomplete)])

        given = {name: ctx.params.get(name) for name in NAMES if name != "timeout"}
        try:
            return run(replace(target_of(ctx.params.get("context"), given), timeout=_SECONDS), "midge completion", ask)
        except (MidgeError, OSError):
            return []

    decorator: Callable[[Callable[..., T]], Callable[..., T]] = click.argument(name, shell_complete=complete, **options)
    return decorator
