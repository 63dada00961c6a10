"""INFO, as far as it is the same for all who come the same way: by TCP, by TLS before INFO, by WebSocket, or from the same process."""

from __future__ import annotations

import json
from collections.abc import Mapping

from midge.server.identity import BY_TCP, IN_PROCESS, WEBSOCKET
from midge.server.options import ServerOptions, split_address

__all__ = ["TLS_FIRST", "info_heads"]

TLS_FIRST = "TLS first"  # beside the connection types: who has been through the handshake when it gets its first INFO


def info_heads(fields: Mapping[str, object], options: ServerOptions, websocket_address: tuple[str, int]) -> dict[str, bytes]:
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
        TLS_FIRST: by_tcp | {"tls_required": True} if options.tls is not None else by_tcp,
        WEBSOCKET: websocket,
        IN_PROCESS.kind: common,
    }
    return {kind: json.dumps(head, separators=(",", ":")).encode()[:-1] for kind, head in heads.items()}


def _tls(options: ServerOptions) -> dict[str, object]:
    if options.tls is None:
        return {}
    said: dict[str, object] = {"tls_available" if options.allow_non_tls else "tls_required": True}
    return said | {"tls_verify": True} if options.tls.verifies else said
