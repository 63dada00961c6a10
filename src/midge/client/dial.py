"""Dials a server: from its host name to a connected, non-blocking TCP socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from midge.client.servers import Address

__all__ = ["dial"]


async def dial(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    """Return a connected socket, trying each address that the host name has.

    Raises:
        OSError: none of them can be reached; it is the last one's error.
    """
    problem: OSError | None = None
    for family, kind, protocol, target in await _resolve(loop, address):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine does not have
            problem = error
            continue
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, target)
            return sock
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
    raise problem or OSError(f"{address.host} has no address")


async def _resolve(loop: asyncio.AbstractEventLoop, address: Address) -> list[tuple[int, int, int, Any]]:
    try:
        try:  # what is an address already needs no thread to be looked up in
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long; it is not an OSError
        raise OSError(f"{address.host!r} cannot be a host name: {error}") from error
    return [(family, kind, protocol, target) for family, kind, protocol, _, target in found]
