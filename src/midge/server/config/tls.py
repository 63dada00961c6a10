"""``tls`` blocks. Certificates are looked at, so that a file that is not there or holds none is an error of the configuration."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from midge.durations import parse_duration
from midge.server.config.errors import Fault
from midge.server.config.reading import Handler, array, in_quotes, mapping, not_supported, seconds, text
from midge.server.config.tree import Node, kind_of, shown
from midge.server.listener_options import ServerTLS

__all__ = ["CIPHERS", "CURVES", "INSECURE_CIPHERS", "AUTO_FALLBACK", "check_files", "read_tls"]

AUTO_FALLBACK = 0.05  # seconds that nats-server waits for a handshake with "auto"
CIPHERS = tuple(
    f"TLS_{name}"
    for name in (
        "AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256",
        "ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    )
)  # fmt: skip
INSECURE_CIPHERS = tuple(
    f"TLS_{name}"
    for name in (
        "RSA_WITH_RC4_128_SHA", "RSA_WITH_3DES_EDE_CBC_SHA", "RSA_WITH_AES_128_CBC_SHA", "RSA_WITH_AES_256_CBC_SHA",
        "RSA_WITH_AES_128_CBC_SHA256", "RSA_WITH_AES_128_GCM_SHA256", "RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
        "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    )
)  # fmt: skip
CURVES = ("X25519MLKEM768", "CurveP256", "CurveP384", "CurveP521", "X25519")
_PINNED = re.compile(r"[A-Fa-f0-9]{64}")
_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
_MOST_BYTES = 1 << 20  # of a PEM file
_WINDOWS = "the certificate store of Windows"


def read_tls(node: Node) -> ServerTLS:
    """Return what a tls block says."""
    return _Block(node).read()


class _Block:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.entries = mapping(node)
        self.given: dict[str, Any] = {}
        self.may_be_insecure = False

    def read(self) -> ServerTLS:
        for key, node in self.entries.items():
            handler = self._handlers().get(key.lower())
            if handler is None:
                raise Fault(node, f"error parsing tls config, unknown field {in_quotes(key)}")
            handler(node)
        which = ""
        insecure = [each for each in self.given.get("ciphers", ()) if each in INSECURE_CIPHERS]
        if insecure and not self.may_be_insecure:
            names = ", ".join(insecure)
            raise Fault(self.node, f"insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: {names}")
        if "certs" in self.given:
            if self.given.get("cert_file"):
                raise Fault(self.node, "error parsing tls config, cannot combine 'cert_file' option with 'certs' option")
            self.given["cert_file"], self.given["key_file"] = self.given.pop("certs")
            which = " 1/1"
        try:
            found = ServerTLS(**self.given)
        except ValueError as error:
            raise Fault(self.node, str(error)) from None
        check_files(self.node, found, which)
        return found

    def _handlers(self) -> dict[str, Handler]:
        return {
            **{name: partial(self._file, name) for name in ("cert_file", "key_file", "ca_file")},
            "insecure": partial(self._flag, "insecure"),  # of a server's own connections to others
            "verify": partial(self._flag, "verify"),
            "verify_and_map": self._verify_and_map,
            "verify_cert_and_check_known_urls": self._known_urls,
            "allow_insecure_cipher_suites": self._allow_insecure,
            "cipher_suites": partial(self._names, "ciphers", "cipher_suites", "cipher", CIPHERS + INSECURE_CIPHERS),
            "curve_preferences": partial(self._names, "curves", "curve_preferences", "curve preference", CURVES),
            "timeout": self._timeout,
            "connection_rate_limit": self._rate_limit,
            "pinned_certs": self._pinned,
            **dict.fromkeys(("handshake_first", "first", "immediate"), self._first),
            **dict.fromkeys(("certs", "certificates"), self._certs),
            "min_version": self._min_version,
            "ocsp_peer": self._ocsp_peer,
            **{name: partial(_refuse, name, _WINDOWS) for name in
               ("cert_store", "cert_match_by", "cert_match", "ca_certs_match", "cert_match_skip_invalid")},
        }  # fmt: skip

    def _file(self, name: str, node: Node) -> None:
        if not isinstance(node.value, str):
            raise Fault(node, f"error parsing tls config, expected '{name}' to be filename")
        self.given[name] = node.value

    def _flag(self, name: str, node: Node) -> bool:
        if not isinstance(node.value, bool):
            raise Fault(node, f"error parsing tls config, expected '{name}' to be a boolean")
        if name == "verify":
            self.given["verify"] = node.value or self.given.get("verify_and_map", False)
        return node.value

    def _verify_and_map(self, node: Node) -> None:
        if self._flag("verify_and_map", node):
            self.given["verify"] = True
        self.given["verify_and_map"] = node.value

    def _known_urls(self, node: Node) -> None:
        if self._flag("verify_cert_and_check_known_urls", node):
            raise Fault(node, "verify_cert_and_check_known_urls not supported in this context")

    def _allow_insecure(self, node: Node) -> None:
        self.may_be_insecure = self._flag("allow_insecure_cipher_suites", node)

    def _names(self, option: str, field: str, what: str, known: tuple[str, ...], node: Node) -> None:
        names = array(node)
        if not names:
            raise Fault(node, f"error parsing tls config, '{field}' cannot be empty")
        for each in names:
            if text(each) not in known:
                raise Fault(each, f"unrecognized {what} {text(each)}")
        self.given[option] = tuple(map(text, names))

    def _timeout(self, node: Node) -> None:
        found = seconds(node, "error parsing tls config, 'timeout'")
        if found:
            self.given["timeout"] = found

    def _rate_limit(self, node: Node) -> None:
        if not isinstance(node.value, int) or isinstance(node.value, bool):
            raise Fault(node, "error parsing tls config, 'connection_rate_limit' wrong type")
        self.given["rate_limit"] = node.value if node.value > 0 else -1

    def _pinned(self, node: Node) -> None:
        form = "hex-encoded sha256 of DER encoded SubjectPublicKeyInfo"
        if not isinstance(node.value, list):
            raise Fault(node, f"error parsing tls config, expected 'pinned_certs' to be a list of {form}")
        for each in node.value:
            if _PINNED.fullmatch(text(each)) is None:
                raise Fault(each, f"error parsing tls config, 'pinned_certs' key {text(each).lower()} does not look like {form}")
        self.given["pinned_certs"] = frozenset(text(each).lower() for each in node.value)

    def _first(self, node: Node) -> None:
        value = node.value
        field = next(key for key, each in self.entries.items() if each is node)
        if isinstance(value, str):
            word = value.lower()
            if word in ("true", "on", "false", "off"):
                value = word in ("true", "on")
            elif word in ("auto", "auto_fallback"):
                value = AUTO_FALLBACK
            else:
                try:
                    value = parse_duration(value) or True
                except ValueError:
                    raise Fault(node, f"field {in_quotes(field)}'s value {in_quotes(text(node))} is invalid") from None
        elif not isinstance(value, bool):
            raise Fault(node, f"field {in_quotes(field)} should be a boolean or a string, got {kind_of(value)}")
        self.given["handshake_first"] = value

    def _certs(self, node: Node) -> None:
        problem = "error parsing certificates config: "
        if not isinstance(node.value, list):
            raise Fault(node, f"{problem}unsupported type {kind_of(self.entries)}")  # as nats-server has it
        pairs = [self._pair(problem, each) for each in node.value]
        if len(pairs) > 1:
            raise not_supported(node, "certs", "only one certificate")
        if pairs:
            self.given["certs"] = pairs[0]

    def _pair(self, problem: str, node: Node) -> tuple[str, str]:
        if not isinstance(node.value, dict):
            raise Fault(node, f"{problem}unsupported type {kind_of(node.value)}")
        last = node
        for key, last in node.value.items():
            if not isinstance(last.value, str):
                raise Fault(last, f"{problem}unsupported type {kind_of(last.value)}")
            if key not in ("cert_file", "key_file"):
                raise Fault(last, f"error parsing tls certs config, unknown field {in_quotes(key)}")
        found = [str(node.value[name].value) if name in node.value else "" for name in ("cert_file", "key_file")]
        if not all(found):
            raise Fault(last, f"{problem}both 'cert_file' and 'cert_key' options are required")
        return found[0], found[1]

    def _min_version(self, node: Node) -> None:
        value = node.value
        if not isinstance(value, str):
            raise Fault(node, f"error parsing tls config: 'min_version' wrong type: {shown(value)}")
        if value not in _VERSIONS:
            raise Fault(node, f"error parsing tls config: unknown version: {value}")
        if value < "1.2":
            raise Fault(node, f"error parsing tls config: unsupported TLS version: TLS {value}")
        self.given["min_version"] = value

    def _ocsp_peer(self, node: Node) -> None:
        if node.value is not False:
            raise not_supported(node, "ocsp_peer")


def _refuse(name: str, why: str, node: Node) -> None:
    raise not_supported(node, name, why)


def check_files(node: Node | None, tls: ServerTLS, which: str = "") -> None:
    """Raise a Fault unless certificate, key and CA are there, and PEM. Where there is a list, nats-server says which pair it is."""
    if tls.cert_file and not tls.key_file:
        raise Fault(node, "missing 'key_file' in TLS configuration")
    if tls.key_file and not tls.cert_file:
        raise Fault(node, "missing 'cert_file' in TLS configuration")
    if tls.cert_file:
        problem = f"error parsing X509 certificate/key pair{which}: "
        certificate, key = (_read(node, problem, path) for path in (tls.cert_file, tls.key_file))
        if b"-----BEGIN CERTIFICATE-----" not in certificate:
            raise Fault(node, f"{problem}tls: failed to find any PEM data in certificate input")
        if re.search(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----", key) is None:
            raise Fault(node, f"{problem}tls: failed to find any PEM data in key input")
    if tls.ca_file and b"-----BEGIN CERTIFICATE-----" not in _read(node, "", tls.ca_file):
        raise Fault(node, "failed to parse root ca certificate")


def _read(node: Node | None, problem: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "invalid argument"
        raise Fault(node, f"{problem}{'read' if isinstance(error, IsADirectoryError) else 'open'} {path}: {reason}") from None
