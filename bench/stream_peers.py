"""What the comparisons of JetStream clients have in common: the server with streams, a peer in a process of its own, and nats-py."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from servers import THEIRS, Server, ServerError, nats_server


@contextmanager
def streams_server() -> Iterator[Server]:
    """The real nats-server, with streams in a directory that goes with it."""
    with tempfile.TemporaryDirectory() as directory, Server(THEIRS, [*nats_server(), "-js", "-sd", directory]) as server:
        yield server


@asynccontextmanager
async def nats_py(url: str) -> AsyncIterator[Any]:
    """A connection of nats-py."""
    import nats

    nc = await nats.connect(url)
    yield nc
    await nc.close()


def printed(command: list[str], who: str, timeout: float) -> str:
    """Return what a peer prints that runs in a fresh process.

    Raises:
        ServerError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise ServerError(f"{who}: {done.stderr.strip()[-2000:]}")
    return done.stdout
