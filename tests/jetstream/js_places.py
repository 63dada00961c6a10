"""Where the tests of JetStream in the client run: one server, or a cluster of three in which every stream is kept three times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodes import cluster_nodes, started

import midge
from midge.jetstream.context import JetStream
from midge.jetstream.requests import Requests

__all__ = ["Place", "cluster", "kept", "replicated", "wait_for_leader"]

NODES = 3


class Place(str):
    """A URL of a server, which may be one of a cluster.

    Attributes:
        replicas: how often the streams of a test are kept there.
    """

    replicas = 1

    @classmethod
    def of(cls, url: str, replicas: int) -> Place:
        place = cls(url)
        place.replicas = replicas
        return place


class Replicating(Requests):
    """Requests of which those for a stream are for one that is kept so often, where it would be kept once."""

    __slots__ = ("replicas",)

    async def ask(self, name: str, body: dict[str, Any] | None = None, *, timeout: float | None = None) -> dict[str, Any]:
        if name.startswith(("STREAM.CREATE.", "STREAM.UPDATE.")) and body is not None and body.get("num_replicas", 1) == 1:
            body = body | {"num_replicas": self.replicas}
        return await super().ask(name, body, timeout=timeout)


def kept(place: Any) -> int:
    """Return how often a test's streams are kept in a place."""
    replicas: int = getattr(place, "replicas", 1)
    return replicas


def replicated(js: JetStream, place: Any) -> JetStream:
    """Return a context whose streams are kept as often as they are to be in a place."""
    if kept(place) > 1:
        js._requests = Replicating(js.client, js.prefix, js.timeout)
        js._requests.replicas = kept(place)
    return js


@contextmanager
def cluster(directory: Path) -> Iterator[Place]:
    """A cluster of nats-servers that keeps streams there. Gives one of its URLs, when it can."""
    nodes = cluster_nodes(NODES, stores=directory)
    with started(*nodes):
        asyncio.run(wait_for_leader(nodes[0].url))
        yield Place.of(nodes[0].url, NODES)


async def wait_for_leader(url: str | list[str], seconds: float = 30.0, **options: Any) -> None:
    """Return when a cluster takes streams that are kept as often as it has servers."""
    end = time.monotonic() + seconds
    async with midge.connect(url, **options) as nc:
        js = nc.jetstream(timeout=1.0)
        while True:
            try:
                await js.create_stream(name="READY", storage="memory", num_replicas=NODES)
                await js.delete_stream("READY")
                return
            except (midge.JetStreamError, midge.MidgeTimeoutError):
                assert time.monotonic() < end, "the cluster has no leader"
                await asyncio.sleep(0.02)
