"""TLSConfig: what an application says of TLS. Pure: the contexts that come of it are made in ``tls``.

The option ``tls`` of a client is one of these:

    None            TLS where the server asks for it, or its URL does (tls://)
    False           never: a server that insists on TLS is an error
    True            TLS, or nothing at all is said to the server
    a TLSConfig     the same, with these files, names and rules
    an SSLContext, or a function that makes one for each attempt: a TLSConfig with this ``context``
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from midge.client.secrets import text_problem

__all__ = ["TLSConfig", "read_tls"]

Path = str | os.PathLike[str]
MakeContext = Callable[[], Awaitable[Any] | Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSConfig:
    """How to use TLS. Files are read again for each attempt to connect, so that new certificates are picked up.

    Attributes:
        ca_file: the certificates (PEM) of those who may sign a server's; the system's, if not given.
        cert_file, key_file: the client's own certificate with its chain, and its key; the key may be in the same file.
        key_password: what the key is encrypted with.
        server_name: the name that the server's certificate must be for, instead of the URL's host.
        handshake_first: do not wait for the server's INFO; for servers with ``handshake_first``.
        alpn: protocols to offer (RFC 7301), which some proxies choose their way by.
        verify: False takes any certificate, so that anybody in between can read and change everything.
        context: an ``ssl.SSLContext``, or a function, plain or async, that returns one and is called for each attempt; instead of files
            and rules.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | bytes | None = field(default=None, repr=False)
    server_name: str | None = None
    handshake_first: bool = False
    alpn: tuple[str, ...] = ()
    verify: bool = True
    context: Any | MakeContext | None = None

    def __post_init__(self) -> None:
        for name in ("ca_file", "cert_file", "key_file"):
            if not isinstance(getattr(self, name), (str, os.PathLike, type(None))):
                raise TypeError(f"{name} is a path, not {type(getattr(self, name)).__name__}")
        if not isinstance(self.key_password, (str, bytes, type(None))):
            raise TypeError(f"key_password is a str or bytes, not {type(self.key_password).__name__}")
        if isinstance(self.key_password, str) and text_problem(self.key_password):
            raise ValueError(f"key_password {text_problem(self.key_password)}")
        if isinstance(self.alpn, str) or not all(isinstance(protocol, str) and 0 < len(protocol.encode()) < 256 for protocol in self.alpn):
            raise ValueError(f"alpn {self.alpn!r}: expected names of protocols, of 1 to 255 bytes each")
        if self.server_name is not None and not (isinstance(self.server_name, str) and self.server_name.strip(".")):
            raise ValueError(f"server_name {self.server_name!r}: expected a host's name or address")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("a key_file needs a cert_file")
        if self.key_password is not None and self.cert_file is None:
            raise ValueError("a key_password needs a cert_file")
        if not self.verify and self.ca_file is not None:
            raise ValueError("verify=False takes any certificate: there is no use for a ca_file")
        if self.context is None:
            return
        if not (callable(self.context) or hasattr(self.context, "wrap_bio")):
            raise TypeError(f"a context is an ssl.SSLContext or a function that returns one, not {type(self.context).__name__}")
        if not self.verify or self.alpn or not (self.ca_file is None and self.cert_file is None):
            raise ValueError("a context has its own files and rules: give one or the other")


def read_tls(tls: Any) -> TLSConfig | Literal[False] | None:
    """Return the option ``tls`` in its one form: a TLSConfig, False or None.

    Raises:
        TypeError: it is none of what it may be.
    """
    if tls is None or tls is False or isinstance(tls, TLSConfig):
        return tls
    if tls is True:
        return TLSConfig()
    if callable(tls) or hasattr(tls, "wrap_bio"):
        return TLSConfig(context=tls)
    raise TypeError(f"tls is True, False, an ssl.SSLContext, a TLSConfig or a function that returns a context, not {type(tls).__name__}")
