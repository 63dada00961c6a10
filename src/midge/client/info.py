"""ServerInfo: what a server says of itself in INFO."""

from __future__ import annotations

from typing import Annotated

import msgspec

from midge.errors import RemoteProtocolError

__all__ = ["ServerInfo", "read_info"]


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself in INFO; fields that we do not know are ignored."""

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
        raise RemoteProtocolError(f"bad INFO: {error}") from error
