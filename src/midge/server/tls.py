"""TLS of one port: the context that new connections get, and what they must satisfy beyond it.

The files are read when the server starts and when it reloads; a connection keeps the context that it began with. What OpenSSL decides by
itself is set to what Go does: TLS 1.2 at least, no renegotiation, one session ticket, no ALPN, and an authority is whatever is in
``ca_file``, also where it is in the middle of a chain.
"""

from __future__ import annotations

import hashlib
import ssl

from midge.errors import ServerStartError, TLSError
from midge.server.identity import Origin
from midge.server.listener_options import ServerTLS
from midge.server.tls_names import CIPHERS, CURVES, TLS13_CIPHERS, go_cipher, go_version

__all__ = ["NO_TLS", "Security", "describe", "make_context", "public_key"]

WINDOW = 1.0  # seconds in which ``rate_limit`` connections may come
NO_TLS = "tls: first record does not look like a TLS handshake"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_IN_GO = {  # what Go says where OpenSSL says this: scripts look for it in logs
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls: client didn't provide a certificate",
    "NO_SHARED_CIPHER": "tls: no cipher suite supported by both client and server",
    "UNSUPPORTED_PROTOCOL": "tls: client offered only unsupported versions",
    "VERSION_TOO_LOW": "tls: client offered only unsupported versions",
    "CERTIFICATE_VERIFY_FAILED": "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    "HTTP_REQUEST": NO_TLS,
    "HTTPS_PROXY_REQUEST": NO_TLS,
    "WRONG_VERSION_NUMBER": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
    "UNKNOWN_PROTOCOL": NO_TLS,
}


class Security:
    """The TLS of one port.

    Args:
        options: how it is configured.
        context: what ``make_context`` makes of that.

    Attributes:
        options, context: the same, for the next connection; ``reload`` changes them.
    """

    def __init__(self, options: ServerTLS, context: ssl.SSLContext) -> None:
        self.options = options
        self.context = context
        self._window_end = 0.0
        self._count = 0

    def reload(self, options: ServerTLS, context: ssl.SSLContext) -> None:
        """Use these from now on, for new connections."""
        self.options = options
        self.context = context

    def admits(self, now: float) -> bool:
        """Count one more connection; False where too many have come within a second."""
        limit = self.options.rate_limit
        if limit < 0:
            return True
        if now > self._window_end:
            self._window_end = now + WINDOW
            self._count = 0
        self._count += 1
        return self._count <= limit

    def accepts(self, engine: ssl.SSLObject) -> bool:
        """Return whether the client's certificate is one of those that are pinned, where some are."""
        pinned = self.options.pinned_certs
        if not pinned:
            return True
        certificate = engine.getpeercert(binary_form=True)
        return certificate is not None and hashlib.sha256(public_key(certificate)).hexdigest() in pinned

    def origin(self, engine: ssl.SSLObject, origin: Origin) -> Origin:
        """Return an origin with what is known once the handshake is done."""
        cipher = engine.cipher()
        return Origin(
            kind=origin.kind,
            forwarded_for=origin.forwarded_for,
            tls=True,
            tls_version=go_version(engine.version() or ""),
            tls_cipher=go_cipher(cipher[0]) if cipher is not None else "",
            tls_first=origin.tls_first,
            certificate=engine.getpeercert(binary_form=True) if self.options.verifies else None,
            cookies=origin.cookies,
        )


def make_context(options: ServerTLS) -> ssl.SSLContext:
    """Return a context as a ServerTLS describes it. Reads files.

    Raises:
        ServerStartError: a file cannot be read, or holds something else; or the curves cannot be chosen with this Python.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[options.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1
    try:
        context.load_cert_chain(options.cert_file, options.key_file, _no_password)
    except OSError as error:  # ssl.SSLError is one
        raise ServerStartError(f"error parsing X509 certificate/key pair: {_reason(error, options.cert_file, options.key_file)}") from error
    if options.verifies:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _load_authorities(context, options.ca_file)
    _choose_ciphers(context, options.ciphers)
    _choose_curves(context, options.curves)
    return context


def describe(error: OSError) -> str:
    """Return why a handshake has failed, in Go's words where we know them."""
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return "i/o timeout"
    if isinstance(cause, ssl.SSLError) and cause.reason in _IN_GO:
        return _IN_GO[cause.reason]
    if isinstance(error, TLSError) and "closed the connection during the handshake" in str(error):
        return "EOF"
    return error.strerror or str(error)


def public_key(certificate: bytes) -> bytes:
    """Return the public key of a certificate, both DER: the seventh field of what is signed, or the sixth where no version is said.

    Raises:
        ValueError: it is no certificate.
    """
    start, stop = _content(certificate, *_content(certificate, 0, len(certificate)))
    fields = []
    while start < stop:
        _, end = _content(certificate, start, stop)
        fields.append((start, end))
        start = end
    index = 6 if certificate[fields[0][0]] == 0xA0 else 5
    return certificate[slice(*fields[index])]


def _content(der: bytes, start: int, stop: int) -> tuple[int, int]:
    """Return where the content of the element that begins at der[start] begins and ends."""
    if stop - start < 2:
        raise ValueError("cut short")
    size = der[start + 1]
    begin = start + 2
    if size >= 0x80:
        count = size & 0x7F
        begin += count
        size = int.from_bytes(der[start + 2 : begin], "big")
    if begin + size > stop:
        raise ValueError("cut short")
    return begin, begin + size


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    if not path:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise ServerStartError(f"failed to parse root ca certificate: {_reason(error, path)}") from error


def _choose_ciphers(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    """Restrict TLS 1.2; TLS 1.3 has what it has, as in Go. Where only names of TLS 1.3 are listed, there is no TLS 1.2."""
    chosen = [CIPHERS[name] for name in names if name not in TLS13_CIPHERS]
    if chosen:
        context.set_ciphers(":".join(chosen))
    elif names:
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _choose_curves(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    curves = list(dict.fromkeys(CURVES[name] for name in names))
    if not curves or set(curves) == set(CURVES.values()):
        return
    if hasattr(context, "set_groups"):  # Python 3.15
        context.set_groups(":".join(curves))
    elif len(curves) == 1:
        context.set_ecdh_curve(curves[0])
    else:
        raise ServerStartError(f"curve_preferences {list(names)}: before Python 3.15 there can be one, or all four")


def _no_password() -> str:
    """Where OpenSSL would otherwise ask at the terminal."""
    raise OSError("the key is encrypted")


def _reason(error: OSError, *paths: str) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{' and '.join(paths)}: {(error.reason or str(error)).replace('_', ' ').lower()}"
    for path in paths:
        try:
            open(path, "rb").close()
        except OSError as problem:
            return f"open {path}: {(problem.strerror or str(problem)).lower()}"
    return (error.strerror or str(error)).lower()
