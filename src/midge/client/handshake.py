"""What both sides say first: INFO, what a server says of itself, and CONNECT, what a client answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from midge.client.options import Options
from midge.client.servers import Address
from midge.client.tls_config import read_tls
from midge.errors import RemoteProtocolError

__all__ = ["ServerInfo", "connect_line", "read_info"]

LANGUAGE = "python-midge"


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself in INFO; fields that we do not know are ignored.

    Attributes:
        server_id: the server's id, new each time it starts.
        server_name: its name; the id where it has none.
        version: its version, such as "2.15.1".
        proto: the version of the protocol it speaks: 1 sends INFO again when something changes.
        host, port: the address it was told to listen on; not always one that you can reach.
        headers: it carries message headers.
        auth_required: it wants credentials.
        tls_required, tls_available: it insists on TLS, or offers it.
        max_payload: bytes of header and payload that it takes in one message.
        jetstream: it has JetStream.
        client_id: the number that it gave this connection.
        client_ip: the address that it sees us at.
        nonce: what a client with an nkey signs.
        cluster, domain: the names of its cluster and of its JetStream domain.
        connect_urls: other servers of the cluster, as host:port.
        ldm: it is about to shut down (lame duck mode).
        connect_info: this INFO answers CONNECT and knows the account.
        remote_account: the account that this connection is in.
    """

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    proto: int = 0
    host: str = ""
    port: int = 0
    headers: bool = False
    auth_required: bool = False
    tls_required: bool = False
    tls_available: bool = False
    max_payload: Annotated[int, msgspec.Meta(gt=0, le=1 << 40)] = 1 << 20
    jetstream: bool = False
    client_id: int = 0
    client_ip: str = ""
    nonce: str | None = None
    cluster: str | None = None
    domain: str | None = None
    connect_urls: list[str] | None = None
    ldm: bool = False
    connect_info: bool = False
    remote_account: str | None = None


def read_info(line: bytes) -> ServerInfo:
    """Read the argument of an INFO line.

    Raises:
        RemoteProtocolError: it is not what a server may say.
    """
    try:
        return msgspec.json.decode(line.decode("utf-8", "replace"), type=ServerInfo)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RemoteProtocolError(f"bad INFO: {error}") from error.with_traceback(None)  # which would keep the line


def connect_line(options: Options, address: Address | None, version: str, info: ServerInfo, credentials: Mapping[str, str]) -> bytes:
    """Return the JSON of the CONNECT line, an answer to the server's INFO, with the fields that say who we are.

    Status 503 (no responders) travels in a header: a server without headers refuses a client that asks for it.
    """
    fields: dict[str, object] = {
        "verbose": options.verbose,
        "pedantic": options.pedantic,
        "tls_required": bool(read_tls(options.tls)) or (address is not None and address.wants_tls) or info.tls_required,
        "lang": LANGUAGE,
        "version": version,
        "protocol": 1,
        "echo": options.echo,
        "headers": info.headers,
        "no_responders": info.headers,
    }
    if options.name is not None:
        fields["name"] = options.name
    fields.update(credentials)
    return msgspec.json.encode(fields)
