"""Certificate: which user a client's certificate names (``verify_and_map``), in nats-server's order.

The e-mail addresses, the DNS names and the URIs of the subject alternative name come first, each as it stands; then the subject as a
distinguished name (RFC 2253), compared part by part with the users' names, in this order or else in any; then its text.

``cryptography`` reads the certificate, and is imported when that is first needed.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from midge.errors import MissingPackageError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

__all__ = ["DN", "CertificateMap", "parse_dn"]

RDN = frozenset[tuple[str, str]]
DN = list[RDN]
_NAMES = {
    "2.5.4.3": "CN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O",
    "2.5.4.11": "OU", "2.5.4.17": "POSTALCODE", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}  # fmt: skip
_IN_TEXT = ("SERIALNUMBER", "CN", "POSTALCODE", "STREET", "L", "ST", "OU", "O", "C")  # Go's order, backwards
_SPECIAL = ' "#+,;<=>\\'


class CertificateMap:
    """The users that certificates can name.

    Args:
        names: their names; those that are distinguished names are taken apart once.
    """

    __slots__ = ("_exact", "_names", "_unordered")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._exact: dict[tuple[RDN, ...], list[str]] = {}
        self._unordered: dict[tuple[tuple[tuple[str, str], ...], ...], list[str]] = {}
        for name in self._names:
            dn = parse_dn(name)
            if dn is not None:
                self._exact.setdefault(tuple(dn), []).append(name)
                self._unordered.setdefault(_sorted(dn), []).append(name)

    def find(self, certificate: bytes, is_allowed: Callable[[str], bool]) -> str | None:
        """Return the name of the user that a certificate (DER) names, None where it names none that is allowed to come in."""
        found = _load(certificate)
        if found is None:
            return None
        candidates = list(_alternative_names(found))
        subject = _dn_of(found.subject)
        if subject is not None:
            candidates += sorted(self._exact.get(tuple(subject), ()))
            candidates += sorted(self._unordered.get(_sorted(subject), ()))
        candidates += _texts(found.subject)
        return next((name for name in candidates if name in self._names and is_allowed(name)), None)


def parse_dn(text: str) -> DN | None:
    """Return the parts of a distinguished name (RFC 4514), None where the text is none."""
    dn: DN = []
    rdn: set[tuple[str, str]] = set()
    for part, end in _parts(text):
        kind, equals, value = part.partition("=")
        found = _unescape(value.strip(" ") if not value.endswith("\\ ") else value.lstrip(" "))
        if not equals or not kind.strip(" ") or value.startswith("#") or found is None:
            return None
        rdn.add((kind.strip(" ").upper(), found))
        if end != "+":
            dn.append(frozenset(rdn))
            rdn = set()
    return dn or None


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Cut a distinguished name at each comma and plus sign that is not escaped; yield each part and what ends it."""
    start = at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in ",+":
            yield text[start:at], text[at]
            start = at + 1
        at += 1
    yield text[start:], ""


def _unescape(value: str) -> str | None:
    out = bytearray()
    at = 0
    while at < len(value):
        if value[at] != "\\":
            out += value[at].encode("utf-8", "surrogatepass")
        elif value[at + 1 : at + 2] and value[at + 1] in _SPECIAL:
            at += 1
            out += value[at].encode()
        elif len(value) >= at + 3 and value[at + 1] in string.hexdigits and value[at + 2] in string.hexdigits:
            out.append(int(value[at + 1 : at + 3], 16))
            at += 2
        else:
            return None
        at += 1
    return out.decode("utf-8", "replace")


def _sorted(dn: DN) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(sorted(tuple(sorted(rdn)) for rdn in dn))


def _load(certificate: bytes) -> Certificate | None:
    try:
        from cryptography.x509 import load_der_x509_certificate
    except ImportError as error:
        raise MissingPackageError("cryptography", "users by certificate") from error
    try:
        return load_der_x509_certificate(certificate)
    except ValueError:
        return None


def _alternative_names(certificate: Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):  # ValueError: extensions that are none
        return []
    kinds: tuple[Any, ...] = (x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier)
    return [str(text) for kind in kinds for text in names.get_values_for_type(kind)]


def _dn_of(subject: Name) -> DN | None:
    """Return the parts of a certificate's subject, the last first; None where one is of a type without a name, as in nats-server."""
    dn: DN = []
    for rdn in reversed(list(subject.rdns)):
        attributes = [(_NAMES.get(each.oid.dotted_string), each.value) for each in rdn]
        if any(kind is None or not isinstance(value, str) for kind, value in attributes):
            return None
        dn.append(frozenset((str(kind), str(value)) for kind, value in attributes))
    return dn or None


def _texts(subject: Name) -> Iterator[str]:
    """The subject as Go writes it: with its domain components at the end, and without."""
    values: dict[str, list[str]] = {}
    for attribute in subject:
        values.setdefault(_NAMES.get(attribute.oid.dotted_string, ""), []).append(str(attribute.value))
    text = ",".join("+".join(f"{kind}={_escape(value)}" for value in values[kind]) for kind in _IN_TEXT if kind in values)
    if "DC" in values:
        yield ",".join([text, *(f"DC={value}" for value in values["DC"])])
    yield text


def _escape(value: str) -> str:
    """Escape as Go does (RFC 2253)."""
    out = "".join("\\" + each if each in ',+"\\<>;' else each for each in value)
    if out[:1] in (" ", "#"):
        out = "\\" + out
    return out[:-1] + "\\ " if out.endswith(" ") and len(value) > 1 else out
