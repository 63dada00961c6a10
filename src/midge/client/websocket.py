"""How a client opens a WebSocket: what it asks for, anew at every attempt, and the link that comes of it.

The ``websockets`` package is an extra; nothing here imports it before a ``ws://`` or ``wss://`` URL needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from midge.client.callbacks import call
from midge.client.credentials import Secret
from midge.client.options import Options
from midge.client.servers import Address
from midge.client.session import Session
from midge.client.ws_options import read_headers
from midge.errors import InvalidHeaderError, MissingExtraError, UpgradeError
from midge.link import Link
from midge.link.readiness import LoopReadiness
from midge.wire.outbox import Outbox

if TYPE_CHECKING:
    from midge.link.client_upgrade import ClientUpgrade

__all__ = ["WebSocketRequest", "check_options"]

_PATH_CHARACTERS = "/!$&'()*+,;=:@%-._~"


def check_options(options: Options, servers: Iterable[object]) -> None:
    """Check that WebSockets can be opened where servers are asked for by them.

    Raises:
        MissingExtraError: the package ``websockets`` is not installed.
        ValueError: there are options for WebSockets and no server has one; or one is to have TLS and not to have it.
    """
    addresses = [server for server in servers if isinstance(server, Address) and server.is_websocket]
    if addresses:
        if options.tls is False and any(address.wants_tls for address in addresses):
            raise ValueError("wss:// and tls=False exclude each other")
        _load()
    elif options.ws_headers is not None or options.ws_compression or options.ws_proxy_path is not None:
        raise ValueError("ws_headers, ws_compression and ws_proxy_path are for ws:// and wss:// servers")


class WebSocketRequest:
    """The request for one WebSocket.

    Args:
        options: the client's options.
        address: the server's.
    """

    def __init__(self, options: Options, address: Address) -> None:
        self._options = options
        self._address = address

    async def upgrade(self, secure: bool) -> ClientUpgrade:
        """Return the request for one attempt.

        Raises:
            UpgradeError: the callback for the headers raised, or gave none.
            InvalidHeaderError: it gave some that cannot be sent.
            OSError: the host's name is none.
        """
        address, options = self._address, self._options
        path = options.ws_proxy_path or address.path or "/"
        path = quote(path if path.startswith("/") else f"/{path}", safe=_PATH_CHARACTERS + ("?" if options.ws_proxy_path else ""))
        try:
            host = address.host if address.host.isascii() else address.host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise OSError(f"{address.host!r} cannot be a host name: {error}") from error
        headers = await self._headers()  # last: a traceback of what goes wrong with the rest may show local variables
        return _load()[0](host, address.port, secure, path, headers, options.ws_compression)

    def link(
        self, loop: asyncio.AbstractEventLoop, session: Session, inner: Link, inner_outbox: Outbox, upgrade: ClientUpgrade
    ) -> Link:  # fmt: skip
        """Return the link over another one, for the session."""
        return _load()[1](LoopReadiness(loop), session.outbox, inner, inner_outbox, upgrade, lambda: session.info.max_payload)

    async def _headers(self) -> list[tuple[str, str]]:
        source = self._options.ws_headers
        if source is None:
            return []
        if not callable(source):
            return read_headers(source)
        try:
            held = Secret(await call(source))
        except Exception as error:
            raise UpgradeError(None, f"the callback for ws_headers raised {type(error).__name__}") from error
        try:
            return read_headers(held.value)
        except InvalidHeaderError as error:
            problem: Exception = error
        except TypeError as error:
            problem = UpgradeError(None, f"what the callback returned: {error}")
        raise problem.with_traceback(None)  # of ours alone: where it was found, the values are local variables


def _load() -> tuple[type[ClientUpgrade], Callable[..., Link]]:
    """Import what needs the package."""
    try:
        from midge.link.client_upgrade import ClientUpgrade
        from midge.link.websocket import WebSocketLink
    except ImportError as error:
        raise MissingExtraError("ws", "a WebSocket (ws://, wss://)") from error
    return ClientUpgrade, WebSocketLink
