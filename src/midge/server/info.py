"""INFO: what the server says of itself, to each client as it came: by TCP, by TLS before INFO, by WebSocket, or from the same process.

A client gets it twice: ``first`` greets it, ``second`` answers its first PING and says in which account it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from midge.server.auth import Authenticator
from midge.server.identity import BY_TCP, IN_PROCESS, WEBSOCKET
from midge.server.options import ServerOptions, split_address

if TYPE_CHECKING:
    from midge.server.session import Session

__all__ = ["NATS_VERSION", "PLATFORM", "Info"]

NATS_VERSION = "2.15.1"  # clients ask for a server of some version before they use a feature; see docs/decisions.md
PLATFORM = f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"  # where nats-server names its version of Go
_TLS_FIRST = "TLS first"  # beside the connection types: who has been through the handshake when it gets its first INFO


class Info:
    """What one server says.

    Args:
        options: its options.
        authenticator: what it asks of clients.
        server_id: its public nkey.

    Attributes:
        server_name: what it is called, which is its id where it has no name.
    """

    __slots__ = ("_authenticator", "_fields", "_heads", "_options", "_websocket_address", "server_id", "server_name")

    def __init__(self, options: ServerOptions, authenticator: Authenticator, server_id: str) -> None:
        self.server_id = server_id
        self.server_name = options.name or server_id
        self._fields: dict[str, object] = {
            "server_id": server_id,
            "server_name": self.server_name,
            "version": NATS_VERSION,
            "proto": 1,
            "go": PLATFORM,
            "host": options.host,
            "port": options.port,
            "headers": not options.no_header_support,
        }
        self._websocket_address = ("", 0)
        self.set_options(options, authenticator)

    def set_options(self, options: ServerOptions, authenticator: Authenticator) -> None:
        """Speak of these options from now on."""
        self._options = options
        self._authenticator = authenticator
        self._fields["max_payload"] = options.max_payload
        self._make_heads()

    def set_address(self, host: str, port: int) -> None:
        """Say where the server listens."""
        self._fields["host"] = host
        self._fields["port"] = port
        self._make_heads()

    def announce(self, fields: dict[str, object]) -> None:
        """Say more, to everybody who comes from now on."""
        self._fields |= fields
        self._make_heads()

    @property
    def host(self) -> str:
        """Where the server listens."""
        return str(self._fields["host"])

    def set_websocket_address(self, host: str, port: int) -> None:
        """Say where the server listens for WebSockets, to those who come there."""
        self._websocket_address = host, port
        self._make_heads()

    def first(self, session: Session) -> bytes:
        """Return what greets a client."""
        origin = session.origin
        info = self._heads[_TLS_FIRST if origin.tls_first else origin.kind] + b',"client_id":%d' % session.cid
        if self._authenticator.door(origin).announced:
            info += b',"auth_required":true'
        if session.nonce:
            info += b',"nonce":"%b"' % session.nonce.encode()
        return info + _client_ip(session) + b"}"

    def second(self, session: Session) -> bytes:
        """Return what a client is told that has been let in."""
        account, origin = session.account, session.origin
        heads = self._heads
        if account.max_payload != self._options.max_payload:
            heads = _heads(self._fields | {"max_payload": account.max_payload}, self._options, self._websocket_address)
        info = heads[origin.kind] + b',"client_id":%d' % session.cid
        if self._authenticator.door(origin).required:
            info += b',"auth_required":true'
        info += _client_ip(session) + b',"connect_info":true,"remote_account":%b' % json.dumps(account.name).encode()
        return info + (b',"acc_is_sys":true}' if account.name == self._options.system_account else b"}")

    def _make_heads(self) -> None:
        self._heads = _heads(self._fields, self._options, self._websocket_address)


def _client_ip(session: Session) -> bytes:
    """Return what a client is told of where it comes from; nothing where it is in the same process."""
    client_ip = session.address.rpartition(":")[0].strip("[]")
    return b',"client_ip":"%b"' % client_ip.encode() if client_ip else b""


def _heads(fields: Mapping[str, object], options: ServerOptions, websocket_address: tuple[str, int]) -> dict[str, bytes]:
    """Return how INFO begins, by the type of a connection; what is said of each client follows, and the brace that ends it.

    Args:
        fields: what is said to everybody.
        websocket_address: where the server listens for WebSockets.
    """
    common = dict(fields)
    if options.client_advertise:
        port = common["port"]
        assert isinstance(port, int)
        common["host"], common["port"] = split_address(options.client_advertise, port)
    by_tcp = common | _tls(options)
    websocket = common | {"host": websocket_address[0], "port": websocket_address[1]}
    if options.tls is not None and options.tls.verifies:
        websocket["tls_verify"] = True
    if options.websocket is not None:
        if options.websocket.tls is not None:
            websocket |= {"tls_required": True, "tls_available": True}
    heads = {
        BY_TCP.kind: by_tcp,
        _TLS_FIRST: by_tcp | {"tls_required": True} if options.tls is not None else by_tcp,
        WEBSOCKET: websocket,
        IN_PROCESS.kind: common,
    }
    return {kind: json.dumps(head, separators=(",", ":")).encode()[:-1] for kind, head in heads.items()}


def _tls(options: ServerOptions) -> dict[str, object]:
    if options.tls is None:
        return {}
    said: dict[str, object] = {"tls_available" if options.allow_non_tls else "tls_required": True}
    return said | {"tls_verify": True} if options.tls.verifies else said
