"""The monitoring port: a small HTTP/1.1 server with nats-server's pages, for scripts, dashboards and health checks.

It answers GET and HEAD and reads no bodies. It shares the event loop with the message path, which it must not slow down: an answer is
built in pieces (``pieces``) for SLICE_SECONDS at a time, one answer at a time however many are asked for, and after each slice the loop is
left to others for as long as the slice took. So monitoring has half of the time at most, and only while somebody asks.

What bounds a hostile peer: the size of a request, the time that it may take to send one and to read some of its answer, and how many
connections there are; of those that are idle the oldest gives way to a new one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from midge.errors import ServerStartError
from midge.server.hub import Hub
from midge.server.listener import MonitorStartError, open_sockets
from midge.server.monitor_pages import Answer, Pages
from midge.server.monitor_state import MonitoredServer
from midge.server.options import ServerOptions
from midge.server.usage import ProcessUsage

__all__ = ["Monitor", "open_monitor"]

MAX_REQUEST = 16384  # bytes of a request with its headers
MAX_PARAMETERS = 64
MAX_CONNECTIONS = 256
REQUEST_SECONDS = 5.0  # to send a request (nats-server's ReadHeaderTimeout)
IDLE_SECONDS = 90.0  # between two requests of one connection
READ_SECONDS = 10.0  # to read some of an answer
SLICE_SECONDS = 0.001
CHUNK = 65536
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}

log = logging.getLogger("midge.server")


class Request(NamedTuple):
    """One request, as far as it matters here."""

    method: str
    path: str
    parameters: dict[str, str]
    is_new: bool  # HTTP/1.1
    stays: bool  # another may follow


class BadRequest(Exception):
    """It is no request."""


async def open_monitor(options: ServerOptions) -> Monitor:
    """Open the port that the options ask for, which ask for one. Nobody is answered before ``start``.

    Raises:
        MonitorStartError: the address cannot be listened on, or the certificate is none.
    """
    port = options.http_port if options.http_port is not None else options.https_port
    assert port is not None
    context = None
    if options.http_port is None and options.tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # and no client certificates are asked for, as in nats-server
        try:
            context.load_cert_chain(options.tls.cert_file, options.tls.key_file)
        except OSError as error:
            raise MonitorStartError(f"cannot load the certificate of the monitoring port: {error}") from error
    try:
        sockets = await open_sockets(options.http_host or options.host, max(port, 0))
    except ServerStartError as error:
        raise MonitorStartError(str(error)) from error.__cause__
    return Monitor(options.http_host or options.host, options.http_base_path, sockets, context)


class Monitor:
    """One monitoring port.

    Args:
        host: where it listens, as the options say it.
        base_path: what the paths of its pages begin with.
        sockets: the open sockets, all on one port.
        context: for HTTPS.

    Attributes:
        port: the port.
        protocol: "http" or "https".
    """

    def __init__(self, host: str, base_path: str, sockets: list[socket.socket], context: ssl.SSLContext | None) -> None:
        self._host = host
        self._base_path = base_path
        self._sockets = sockets
        self._context = context
        self._server: MonitoredServer | None = None
        self._pages: Pages | None = None
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: dict[asyncio.Task[None], None] = {}  # those that wait for a request, the one that waits longest first
        self._turn = asyncio.Lock()
        self._free_at = 0.0  # when the loop's time is monitoring's again
        self.port: int = sockets[0].getsockname()[1]
        self.protocol = "https" if context is not None else "http"

    @property
    def address(self) -> str:
        """ "host:port" as the log has it."""
        return f"{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    @property
    def url(self) -> str:
        """Where to ask on this machine."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"{self.protocol}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self, hub: Hub, address: tuple[str, int], is_ready: Callable[[], bool], jetstream: Any = None) -> None:
        """Answer from now on, about the server of this hub and its JetStream: it lets clients in at this address, or tells that not."""
        clock = asyncio.get_running_loop().time
        epoch = time.time_ns() - int(clock() * 1e9)
        self._server = MonitoredServer(hub, address, clock, epoch, ProcessUsage().measure, is_ready, jetstream)
        self._pages = Pages(self._server, self._base_path)
        for sock in self._sockets:
            # asyncio closes the sockets with the servers. The handshake has its own limit, so that nobody holds a place for nothing.
            timeout = REQUEST_SECONDS if self._context is not None else None
            server = await asyncio.start_server(
                self._accept, sock=sock, limit=MAX_REQUEST, ssl=self._context, ssl_handshake_timeout=timeout, start_serving=False
            )
            self._servers.append(server)
            await server.start_serving()

    def note_reload(self) -> None:
        """The options have been read anew: that is when the configuration was loaded."""
        if self._server is not None:
            self._server.config_loaded = self._server.clock()

    def close(self) -> None:
        """Close the port and every connection."""
        for server in self._servers:
            server.close()
        for sock in self._sockets[len(self._servers) :]:
            sock.close()
        self._sockets = []
        self._servers = []
        for task in list(self._tasks):
            task.cancel()

    # One connection

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let somebody in; the tasks are our own, because asyncio complains about one that is cancelled."""
        if not self._servers:  # it was on its way here when the port was closed
            writer.transport.abort()
            return
        if len(self._tasks) >= MAX_CONNECTIONS:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                writer.transport.abort()
                return
            oldest.cancel()
            del self._idle[oldest]
            self._tasks.discard(oldest)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(partial(self._on_end, writer))  # which comes even where the task is cancelled before it begins

    def _on_end(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._idle.pop(task, None)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._converse(reader, writer, task)
        except (OSError, TimeoutError):
            pass  # gone, or too slow
        except Exception:  # the safety net
            log.exception("internal error, closing a monitoring connection")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        patience = REQUEST_SECONDS
        while True:
            self._idle[task] = None
            try:
                async with asyncio.timeout(patience):
                    first = await reader.readexactly(1)
                self._idle.pop(task, None)
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = _parse(first + await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                return
            except (asyncio.LimitOverrunError, BadRequest):
                await self._send(writer, Request("GET", "", {}, True, False), Answer.text(400, "400 Bad Request"))
                break
            await self._send(writer, request, self._answer(request))
            if not request.stays:
                break
            patience = IDLE_SECONDS
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS
            writer.close()
        with suppress(asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_SECONDS):
                await reader.read(1)  # until it has closed: what it has not read yet would be lost with the connection

    def _answer(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return Answer.text(405, "Method Not Allowed\n", {"Allow": "GET, HEAD"})
        assert self._pages is not None
        return self._pages.answer(request.path, request.parameters)

    async def _send(self, writer: asyncio.StreamWriter, request: Request, answer: Answer) -> None:
        """Send an answer; whole where it is short, in chunks where it is long."""
        body = b""
        headed = False
        parts = iter(answer.parts)
        while True:
            async with self._turn:
                part, done = await self._build(parts, len(body))
            body += part
            if done and not headed:
                writer.write(_head(request, answer, len(body)) + (b"" if request.method == "HEAD" else body))
                break
            if request.method == "HEAD":
                writer.write(_head(request, answer, None))
                break
            if len(body) >= CHUNK or done:
                writer.write((b"" if headed else _head(request, answer, None)) + _chunk(request, body, done))
                headed, body = True, b""
                async with asyncio.timeout(READ_SECONDS):
                    await writer.drain()
            if done:
                return
        async with asyncio.timeout(READ_SECONDS):
            await writer.drain()

    async def _build(self, parts: Iterator[bytes], size: int) -> tuple[bytes, bool]:
        """Return some of an answer, and whether that is the rest; takes SLICE_SECONDS, and waits until it is its turn."""
        loop = asyncio.get_running_loop()
        if (pause := self._free_at - loop.time()) > 0:
            await asyncio.sleep(pause)
        begun = loop.time()
        built = []
        done = False
        while True:
            part = next(parts, None)
            if part is None:
                done = True
                break
            built.append(part)
            size += len(part)
            if size >= CHUNK or loop.time() - begun > SLICE_SECONDS:
                break
        now = loop.time()
        self._free_at = now + (now - begun)
        return b"".join(built), done


def _parse(head: bytes) -> Request:
    """Read a request's first line and the headers that matter."""
    lines = head[:-4].decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[0].isalpha() or parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest
        headers[name.lower()] = value.strip()
    is_new = parts[2] == "HTTP/1.1"
    if is_new and "host" not in headers:
        raise BadRequest
    wishes = {wish.strip().lower() for wish in headers.get("connection", "").split(",")}
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    path, _, query = parts[1].partition("?")
    try:
        found = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise BadRequest from None
    parameters = dict(reversed(found))  # the first of a name counts
    return Request(parts[0], unquote(path), parameters, is_new, is_new and "close" not in wishes and not has_body)


def _head(request: Request, answer: Answer, size: int | None) -> bytes:
    """Return the status and the headers; without a size, chunks follow."""
    headers = dict(answer.headers)
    now = time.gmtime()  # and no strftime: the names are English, whatever the locale
    headers["Date"] = f"{_DAYS[now.tm_wday]}, {now.tm_mday:02d} {_MONTHS[now.tm_mon - 1]} {time.strftime('%Y %H:%M:%S', now)} GMT"
    if size is not None:
        headers["Content-Length"] = str(size)
    elif request.is_new:
        headers["Transfer-Encoding"] = "chunked"
    if request.is_new and not request.stays:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.{'1' if request.is_new else '0'} {answer.status} {_PHRASES[answer.status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _chunk(request: Request, body: bytes, last: bool) -> bytes:
    if not request.is_new:
        return body
    return (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if last else b"")
