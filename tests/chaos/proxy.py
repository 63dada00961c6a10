"""A TCP proxy that a test stands between a client and a server, to be the network at its worst.

It does what it is told by calls, never by a clock of its own: forward, delay, hold, cut after so many bytes, swallow everything,
refuse, reset, half-close. A call that is awaited has happened when it returns.

    async with Proxy(server_url) as proxy:
        nc = await midge.connect(proxy.url)
        proxy.cut_after(100, UP)          100 bytes more from the client to the server, then the end for both

It works on plain sockets in the test's event loop, with a task for each direction of each link.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from nodes import free_port

UP: Final = "up"  # from the client to the server
DOWN: Final = "down"
CHUNK = 1 << 16


class Cut(Exception):
    """A flow has forwarded what it may."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow


class Flow:
    """One direction of one link.

    Attributes:
        passed: bytes that it has forwarded.
        left: bytes that it may forward before the link is cut; None for any number.
    """

    def __init__(self, proxy: Proxy, source: socket.socket, target: socket.socket) -> None:
        self.passed = 0
        self.left: int | None = None
        self.source = source
        self.target = target
        self._proxy = proxy
        self._has_ended = False
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        """Read nothing and forward nothing, until ``release``."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def end(self) -> None:
        """Say to the receiving side that nothing more will come; what does come is thrown away."""
        self._has_ended = True
        try:
            self.target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has gone already

    async def run(self) -> None:
        """Forward until the sending side has said its last."""
        loop = asyncio.get_running_loop()
        while True:
            await self._open.wait()
            data = await loop.sock_recv(self.source, CHUNK)
            if self._proxy.seconds:
                await asyncio.sleep(self._proxy.seconds)
            await self._open.wait()
            if not data:
                self.end()
                return
            if self._has_ended:
                continue
            allowed = data if self.left is None else data[: self.left]
            await loop.sock_sendall(self.target, allowed)
            self.passed += len(allowed)
            if self.left is not None:
                self.left -= len(allowed)
                if self.left == 0:
                    raise Cut(self)


class Link:
    """A client's connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._client = client
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._server.setblocking(False)
        for sock in (client, self._server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flows = {UP: Flow(proxy, client, self._server), DOWN: Flow(proxy, self._server, client)}
        self._address = proxy.target
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        cuts: list[Cut] = []
        try:
            try:
                await asyncio.get_running_loop().sock_connect(self._server, self._address)
                async with asyncio.TaskGroup() as flows:
                    for flow in self.flows.values():
                        flows.create_task(flow.run())
            except* Cut as group:
                cuts = [cut for cut in group.exceptions if isinstance(cut, Cut)]
            except* OSError:
                pass  # one side was reset, which is what the other is told below
            for cut in cuts:
                await self._finish(cut.flow)
        finally:
            self._client.close()
            self._server.close()

    async def _finish(self, flow: Flow) -> None:
        """Close the sending side of a flow that was cut, and let the receiving side read everything before its end comes."""
        flow.source.close()
        flow.end()
        try:
            while await asyncio.get_running_loop().sock_recv(flow.target, CHUNK):
                pass
        except OSError:
            pass  # it went with a reset

    async def close(self, reset: bool) -> None:
        """End it for both sides at once: as with a reset, or as if each had closed."""
        if reset:
            for sock in (self._client, self._server):
                if sock.fileno() >= 0:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.task.cancel()
        await asyncio.wait([self.task])


class Proxy:
    """A proxy in front of one server.

    Attributes:
        url: where clients are to connect.
        target: the server's address.
        seconds: by how much each piece of data is delayed.
        links: the links that clients have made, in order, those that have ended included.
    """

    def __init__(self, server_url: str) -> None:
        server = urlsplit(server_url)
        assert server.hostname is not None and server.port is not None
        self.target = (server.hostname, server.port)
        self.port = free_port()
        self.url = f"{server.scheme}://127.0.0.1:{self.port}"
        self.links: list[Link] = []
        self.seconds = 0.0
        self._holes = False
        self._prepare: Callable[[Link], None] | None = None
        self._changed = asyncio.Event()
        self._listener: socket.socket | None = None

    async def __aenter__(self) -> Proxy:
        self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        await self.close_links()

    # Who may connect

    def listen(self) -> None:
        """Accept clients (again)."""
        assert self._listener is None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)  # what is held fills up soon
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    @property
    def is_refusing(self) -> bool:
        """True if nobody can connect."""
        return self._listener is None

    def refuse(self) -> None:
        """Refuse whoever connects from now on. Links stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        client.setblocking(False)
        link = Link(self, client)
        self.links.append(link)
        if self._holes:
            self._swallow(link)
        elif self._prepare is not None:
            self._prepare(link)
            self._prepare = None
        self._changed.set()

    async def linked(self, count: int) -> None:
        """Return when that many clients have connected in all."""
        while len(self.links) < count:
            self._changed.clear()
            await self._changed.wait()

    # What happens to their bytes

    @property
    def last(self) -> Link:
        """The link that was made last."""
        return self.links[-1]

    def delay(self, seconds: float) -> None:
        """Forward each piece of data that much later."""
        self.seconds = seconds

    def hold(self, direction: str) -> None:
        """Neither read nor forward in this direction on the last link, until ``release``: a receiver that does not read."""
        self.last.flows[direction].hold()

    def release(self, direction: str) -> None:
        self.last.flows[direction].release()

    def cut_after(self, count: int, direction: str) -> None:
        """Forward that many more bytes in this direction on the last link, then close both sides."""
        self.last.flows[direction].left = count

    def cut_next_after(self, count: int, direction: str) -> None:
        """The same for the next link, from its first byte on."""

        def prepare(link: Link) -> None:
            link.flows[direction].left = count

        self._prepare = prepare

    def black_hole(self) -> None:
        """Forward nothing any more, and say nothing. Links that have been in the hole stay there after ``forward``."""
        self._holes = True
        for link in self.links:
            self._swallow(link)

    def forward(self) -> None:
        """Forward again what new links bring, without delay."""
        self._holes = False
        self.seconds = 0.0

    def half_close(self, direction: str) -> None:
        """Tell the receiving side of this direction of the last link that nothing more will come, and go on with the other.

        With DOWN, the client sees its server close, and what it has sent by then still reaches the server.
        """
        self.last.flows[direction].end()

    async def reset(self) -> None:
        """Reset all links, both sides."""
        await self._close_links(True)

    async def close_links(self) -> None:
        """Close all links, both sides; what is under way is lost."""
        await self._close_links(False)

    async def forget(self) -> None:
        """Close all links but the last, and forget them."""
        past, self.links = self.links[:-1], self.links[-1:]
        for link in past:
            if not link.task.done():
                await link.close(False)

    async def _close_links(self, reset: bool) -> None:
        for link in self.links:
            if not link.task.done():
                await link.close(reset)

    def _swallow(self, link: Link) -> None:
        for flow in link.flows.values():
            flow.hold()
