"""Dialling: from a host name and a port to a connected socket, whichever of the name's addresses answers first."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from itertools import zip_longest
from typing import Any

from midge.client.pool import Shuffle
from midge.client.servers import Address

__all__ = ["dial"]

NEXT_ADDRESS_SECONDS = 0.25  # how long the next address of a name waits for this one (RFC 8305's Connection Attempt Delay)


async def dial(loop: asyncio.AbstractEventLoop, address: Address, shuffle: Shuffle | None = None) -> socket.socket:
    """Return a connected, non-blocking TCP socket.

    Each address that the host name has is tried, the families taking turns. The next is tried when the one before has failed or has
    been silent for a moment, and the first that answers is taken ("happy eyeballs", RFC 8305). Those of a family are put into an order
    of our own, where that is wanted (ADR-11): a resolver sorts them, and gives all clients of one place the same address first.

    Raises:
        OSError: none of them can be reached; it is the last one's error.
    """
    targets = _interleave(await _resolve(loop, address), shuffle)
    if len(targets) == 1:
        return await _connect(loop, *targets[0])
    problem: OSError | None = None
    tasks: set[asyncio.Task[socket.socket]] = set()
    try:
        while targets or tasks:
            if targets:
                tasks.add(asyncio.ensure_future(_connect(loop, *targets.popleft())))
            done, tasks = await asyncio.wait(tasks, timeout=NEXT_ADDRESS_SECONDS if targets else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    sock = task.result()
                except OSError as error:
                    problem = error
                else:
                    tasks |= done - {task}
                    return sock
    finally:
        for task in tasks:
            task.add_done_callback(_close_loser)
            task.cancel()
    raise problem or OSError(f"{address.host} has no address")


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(loop: asyncio.AbstractEventLoop, family: int, kind: int, protocol: int, target: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, target)
        if sock.getsockname() == sock.getpeername():
            # Nobody listens, and the system happened to give us the very port that we dialled: TCP connects a socket to itself.
            # It would never say INFO, and its server could not start as long as we have its port.
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on {target}")
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolve(loop: asyncio.AbstractEventLoop, address: Address) -> list[tuple[int, int, int, Any]]:
    try:
        try:  # what is an address already needs no thread to be looked up in
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long; it is not an OSError
        raise OSError(f"{address.host!r} cannot be a host name: {error}") from error
    return [(family, kind, protocol, target) for family, kind, protocol, _, target in found]


def _interleave(found: list[tuple[int, int, int, Any]], shuffle: Shuffle | None) -> deque[tuple[int, int, int, Any]]:
    """Let the families take turns, in the order in which the resolver prefers them: one that is broken costs one delay, not many."""
    families: dict[int, list[tuple[int, int, int, Any]]] = {}
    for target in found:
        families.setdefault(target[0], []).append(target)
    if shuffle is not None:
        for targets in families.values():
            shuffle(targets)
    return deque(target for turn in zip_longest(*families.values()) for target in turn if target is not None)
