"""What a client presents in CONNECT: the URL's credentials, else the options'."""

from __future__ import annotations

import msgspec

from midge.client.info import ServerInfo
from midge.client.options import Options
from midge.client.servers import Address

__all__ = ["connect_line"]

LANGUAGE = "python-midge"


def connect_line(options: Options, address: Address | None, version: str, info: ServerInfo) -> bytes:
    """Return the JSON of the CONNECT line, an answer to the server's INFO.

    Status 503 (no responders) travels in a header: a server without headers refuses a client that asks for it.
    """
    fields: dict[str, object] = {
        "verbose": options.verbose,
        "pedantic": options.pedantic,
        "tls_required": False,
        "lang": LANGUAGE,
        "version": version,
        "protocol": 1,
        "echo": options.echo,
        "headers": info.headers,
        "no_responders": info.headers,
    }
    if options.name is not None:
        fields["name"] = options.name
    token, user, password = options.token, options.user, options.password
    if address is not None and (address.token is not None or address.user is not None):
        token, user, password = address.token, address.user, address.password
    if token is not None:
        fields["auth_token"] = token
    elif user is not None:
        fields["user"] = user
        fields["pass"] = password or ""
    return msgspec.json.encode(fields)
