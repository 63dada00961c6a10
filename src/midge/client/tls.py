"""Security: what TLS there is to be with one server, by its URL, the options and what the server offers; and the contexts for it.

Intent is strict. Who asks for TLS, by the URL or by the option, gets it or an error, and a server that has none is told nothing.
A server that requires TLS gets it also when nobody asked, with the system's authorities and the host's name.

A context is made anew for each attempt, in a thread, since it reads files. Certificates that have changed meanwhile are used from
then on, and only by those who connect from then on.
"""

from __future__ import annotations

import asyncio
import os
import ssl

from midge.client.callbacks import call
from midge.client.handshake import ServerInfo
from midge.client.servers import Address
from midge.client.tls_config import Path, TLSConfig, read_tls
from midge.errors import MidgeError, TLSError, TLSNotOfferedError

__all__ = ["Security", "make_context"]


class Security:
    """What TLS there is to be with one server.

    Args:
        tls: the client's option.
        address: the server's; None for one in this process.

    Attributes:
        is_wanted: TLS or nothing.
        comes_first: the handshake comes before anything that the server says.
        server_name: what its certificate must be for.
    """

    def __init__(self, tls: object, address: Address | None) -> None:
        config = read_tls(tls)
        self._is_refused = config is False
        self._config = config or TLSConfig()
        self.is_wanted = bool(config) or (address is not None and address.wants_tls)
        self.comes_first = self._config.handshake_first or (address is not None and address.is_websocket)
        host = None if address is None else address.server_name or address.host
        self.server_name = self._config.server_name or host

    def is_needed(self, info: ServerInfo) -> bool:
        """Return whether to encrypt, now that the server has said what it has.

        Raises:
            TLSNotOfferedError: it has none and we want it.
            TLSError: it requires TLS and we are not to use it.
        """
        if self.is_wanted and not (info.tls_required or info.tls_available):
            raise TLSNotOfferedError()
        if self._is_refused and (info.tls_required or self.is_wanted):
            raise TLSError("the server requires it, and tls=False forbids it" if info.tls_required else "tls:// and tls=False")
        return self.is_wanted or info.tls_required

    async def context(self) -> ssl.SSLContext:
        """Return the context for one attempt.

        Raises:
            TLSError: there is no way to make one.
        """
        own = self._config.context
        if own is None:
            return await asyncio.to_thread(make_context, self._config)
        if callable(own):
            try:
                own = await call(own)
            except MidgeError:
                raise
            except Exception as error:
                raise TLSError(f"the function that makes the context has failed: {type(error).__name__}: {error}") from error
        if not isinstance(own, ssl.SSLContext):
            raise TLSError(f"the function that makes the context has returned {type(own).__name__}")
        return own


def make_context(config: TLSConfig) -> ssl.SSLContext:
    """Return a context as a TLSConfig describes it: at least TLS 1.2, and the server's name is checked.

    Raises:
        TLSError: a file cannot be read, or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca_file is None:
        context.load_default_certs()
    else:
        _load_authorities(context, config.ca_file)
    if config.cert_file is not None:
        _load_certificate(context, config, config.cert_file)
    if config.alpn:
        context.set_alpn_protocols(list(config.alpn))
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(os.fspath(path))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; a NUL in a path, a ValueError
        raise _file_error(os.fspath(path), error) from error


def _load_certificate(context: ssl.SSLContext, config: TLSConfig, path: Path) -> None:
    """Load the client's certificate. The password is in no local variable, which a traceback may show."""
    key = config.key_file

    def no_password() -> str:  # else OpenSSL would ask at the terminal
        raise TLSError(f"{os.fspath(key or path)}: the key is encrypted, and there is no key_password")

    try:
        context.load_cert_chain(path, key, no_password if config.key_password is None else config.key_password)
    except (OSError, ValueError) as error:
        names = os.fspath(path) if key is None else f"{os.fspath(path)} and {os.fspath(key)}"
        if isinstance(error, TLSError):
            raise
        raise _file_error(names, error) from error


def _file_error(names: str, error: OSError | ValueError) -> TLSError:
    if isinstance(error, ssl.SSLError) and error.reason:
        return TLSError(f"{names}: {error.reason.replace('_', ' ').lower()}")
    return TLSError(f"{names}: {isinstance(error, OSError) and error.strerror or error}")
