"""NATS nkeys: Ed25519 key pairs whose text says what they are for, and the seeds and JWTs in the files that hold them (ADR-14).

A public key is one prefix byte, 32 bytes of key and a CRC-16, in base32 without padding: ``U...`` for a user, ``A...`` for an account.
A seed is the secret half. Its text begins with ``S``, then the letter of the type: the five bits of ``S`` and the eight of the type's
prefix take two bytes. Decoding is strict: one text for each key, in capitals, with every spare bit zero.

A seed is shown by ``KeyPair.seed`` and by nothing else: no repr, no error, no pickle. It is kept in memory that ``wipe`` overwrites;
copies that Python or OpenSSL made on the way are beyond our reach.

``cryptography`` computes what has to be computed, and is imported when that is first needed: decoding needs it not.
"""

from __future__ import annotations

import os
import re
from enum import IntEnum
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from midge.errors import MissingPackageError, NkeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

__all__ = ["KeyPair", "Prefix", "check_public", "check_seed", "decode_public", "find_jwt", "find_seed", "wipe"]

Text = str | bytes | bytearray


class Prefix(IntEnum):
    """What a key is for: the first byte of a public key, which is its first letter: O, A, U, N, C, X."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3
    SERVER = 13 << 3
    CLUSTER = 2 << 3
    CURVE = 23 << 3

    def __str__(self) -> str:
        return self.name.lower()


_SEED = 18 << 3  # the letter S
_PREFIXES = frozenset(Prefix)
_KEY_SIZE = 32
_CHECKSUM_SIZE = 2
_DIGITS = {character: value for value, character in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")}
_ALPHABET = bytes(_DIGITS)
_LINE_START = rb"^(?:\xef\xbb\xbf)?[ \t]*"
_MARKER = re.compile(_LINE_START + rb"-{3,}[ \t]*(BEGIN|END) ([A-Z]+(?: [A-Z]+)*)[ \t]*-{3,}", re.M)
_BARE_SEED = re.compile(_LINE_START + rb"(S[A-Z]\S*)", re.M)
_JWT = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class KeyPair:
    """A key pair, or the public half of one.

    Made by ``create``, ``from_seed`` and ``from_public``. As a context it is wiped at the end.

    Attributes:
        prefix: what it is for.
        public_key: its public key, such as "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4".
    """

    __slots__ = ("_raw", "_seed", "prefix", "public_key")

    prefix: Prefix
    public_key: str

    def __init__(self, prefix: Prefix, raw: bytes, seed: bytearray | None) -> None:
        self.prefix = prefix
        self.public_key = _encode(bytes([prefix]) + raw).decode()
        self._raw = raw
        self._seed = seed

    @classmethod
    def create(cls, prefix: Prefix = Prefix.USER) -> KeyPair:
        """Make a new key pair.

        Raises:
            MissingPackageError: ``cryptography`` is not installed.
        """
        return cls._from_raw_seed(Prefix(prefix), bytearray(os.urandom(_KEY_SIZE)))

    @classmethod
    def from_seed(cls, seed: Text) -> KeyPair:
        """Return the key pair of a seed; the caller's text stays as it is.

        Raises:
            NkeyError: it is not a seed.
            MissingPackageError: ``cryptography`` is not installed.
        """
        return cls._from_raw_seed(*_decode_seed(seed))

    @classmethod
    def from_public(cls, public_key: Text) -> KeyPair:
        """Return a key pair that verifies, but cannot sign.

        Raises:
            NkeyError: it is not a public key.
        """
        prefix, raw = decode_public(public_key)
        return cls(prefix, raw, None)

    @classmethod
    def _from_raw_seed(cls, prefix: Prefix, seed: bytearray) -> KeyPair:
        try:
            private = _curve_key(seed) if prefix is Prefix.CURVE else _signing_key(seed)
        except MissingPackageError:
            wipe(seed)  # which a traceback may show
            raise
        return cls(prefix, private.public_key().public_bytes_raw(), seed)

    @property
    def has_seed(self) -> bool:
        """True if it can sign, until it is wiped."""
        return self._seed is not None

    def seed(self) -> str:
        """Return the seed: the secret itself, as text that nobody can wipe. For writing it down once.

        Raises:
            NkeyError: it has none, or none any more.
        """
        high = _SEED | self.prefix >> 5
        return _encode(bytes([high, (self.prefix & 31) << 3]) + self._secret()).decode()

    def sign(self, data: bytes) -> bytes:
        """Return the signature of the data, 64 bytes.

        Raises:
            NkeyError: it has no seed, or a curve key's: those do not sign.
        """
        if self.prefix is Prefix.CURVE:
            raise NkeyError("key pair", "a curve key does not sign")
        return _signing_key(self._secret()).sign(data)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """True if the signature is this key's for exactly these data.

        Raises:
            NkeyError: it is a curve key, which verifies nothing.
        """
        if self.prefix is Prefix.CURVE:
            raise NkeyError("key pair", "a curve key does not verify")
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError as error:
            raise MissingPackageError("cryptography", "nkeys") from error
        try:
            Ed25519PublicKey.from_public_bytes(self._raw).verify(signature, data)
        except (InvalidSignature, ValueError):  # ValueError: 32 bytes that are no point of the curve
            return False
        return True

    def wipe(self) -> None:
        """Overwrite the seed; it can only verify from now on."""
        if self._seed is not None:
            wipe(self._seed)
            self._seed = None

    def __enter__(self) -> KeyPair:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"<KeyPair {self.prefix} {self.public_key}{'' if self.has_seed else ', public only'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyPair is not copied or pickled: that would write its seed down; take its public_key")

    def _secret(self) -> bytearray:
        if self._seed is None:
            raise NkeyError("key pair", "it has no seed")
        return self._seed


def decode_public(public_key: Text) -> tuple[Prefix, bytes]:
    """Return what a public key is for, and its 32 bytes.

    Raises:
        NkeyError: it is not a public key.
    """
    what = "nkey public key"
    raw = _decode(what, public_key, 1 + _KEY_SIZE)
    if raw[0] not in _PREFIXES:
        raise NkeyError(what, f"nothing public begins with {chr(_ALPHABET[raw[0] >> 3])}")
    return Prefix(raw[0]), bytes(raw[1:])


def check_public(public_key: Text, expected: Prefix) -> None:
    """Check that a public key is one for what is expected.

    Raises:
        NkeyError: it is not.
    """
    prefix, _ = decode_public(public_key)
    if prefix is not expected:
        raise NkeyError("nkey public key", f"it is of type {prefix}, not {expected}")


def check_seed(seed: Text, expected: Prefix | None = None) -> Prefix:
    """Return what a seed is for, without computing anything.

    Raises:
        NkeyError: it is not a seed, or not one for what is expected.
    """
    prefix, raw = _decode_seed(seed)
    wipe(raw)
    if expected is not None and prefix is not expected:
        raise NkeyError("nkey seed", f"it is of type {prefix}, not {expected}")
    return prefix


def wipe(secret: bytearray) -> None:
    """Overwrite a secret that is no longer needed."""
    secret[:] = bytes(len(secret))


def find_seed(content: Text) -> bytearray:
    """Return the seed in a file's content, to be wiped: between the markers of a creds file, else in a line of its own.

    Raises:
        NkeyError: there is none. What it finds need not be a good one.
    """
    text = _to_bytes("nkey seed", content)
    try:
        marked = _between(text, b"SEED")
        if marked is not None:
            return marked
        bare = None if _MARKER.search(text) else _BARE_SEED.search(text)
        if bare is None:
            raise NkeyError("nkey seed", "there is none between its BEGIN and END, or in a line of its own")
        return text[bare.start(1) : bare.end(1)]
    finally:
        wipe(text)


def find_jwt(content: Text) -> str:
    """Return the JWT between the markers of a creds file.

    Raises:
        NkeyError: there is none, or it has not the form of one.
    """
    marked = _between(_to_bytes("JWT", content), b"JWT")
    if marked is None:
        raise NkeyError("JWT", "there is none between its BEGIN and END")
    if not _JWT.fullmatch(marked):
        raise NkeyError("JWT", "it is not three parts of base64url with dots between them")
    return marked.decode()


def _between(content: bytearray, kind: bytes) -> bytearray | None:
    """Return what stands between the first BEGIN and END of this kind."""
    start = None
    for marker in _MARKER.finditer(content):
        if marker[1] == b"BEGIN":
            start = marker.end() if marker[2].endswith(kind) else None
        elif start is not None:
            return content[start : marker.start()].strip()
    return None


# The encoding


def _decode_seed(seed: Text) -> tuple[Prefix, bytearray]:
    what = "nkey seed"
    raw = _decode(what, seed, 2 + _KEY_SIZE)
    prefix = (raw[0] & 7) << 5 | raw[1] >> 3
    if raw[0] & 0xF8 != _SEED or raw[1] & 7 or prefix not in _PREFIXES:
        raise NkeyError(what, "it does not begin with S and a letter of O, A, U, N, C, X")
    del raw[:2]
    return Prefix(prefix), raw


def _decode(what: str, text: Text, size: int) -> bytearray:
    """Return what a text encodes, without its checksum; nothing of the text goes into an error."""
    encoded = _to_bytes(what, text)
    try:
        size += _CHECKSUM_SIZE
        expected = -(-size * 8 // 5)
        if len(encoded) != expected:
            raise NkeyError(what, f"it has {len(encoded)} characters, not {expected}")
        raw = _from_base32(what, encoded)
    finally:
        wipe(encoded)
    if _checksum(raw[:-_CHECKSUM_SIZE]) != int.from_bytes(raw[-_CHECKSUM_SIZE:], "little"):
        wipe(raw)
        raise NkeyError(what, "its checksum is wrong: a character was changed or lost")
    del raw[-_CHECKSUM_SIZE:]
    return raw


def _from_base32(what: str, encoded: bytearray) -> bytearray:
    raw = bytearray()
    bits = held = 0
    for character in encoded:
        value = _DIGITS.get(character)
        if value is None:
            raise NkeyError(what, "it holds characters other than A-Z and 2-7")
        bits = bits << 5 | value
        held += 5
        if held >= 8:
            held -= 8
            raw.append(bits >> held)
            bits &= (1 << held) - 1
    if bits:
        raise NkeyError(what, "its last character is not as an encoder writes it")
    return raw


def _encode(raw: bytes | bytearray) -> bytearray:
    whole = raw + _checksum(raw).to_bytes(_CHECKSUM_SIZE, "little")
    spare = -len(whole) * 8 % 5
    number = int.from_bytes(whole, "big") << spare
    count = (len(whole) * 8 + spare) // 5
    return bytearray(_ALPHABET[number >> 5 * i & 31] for i in reversed(range(count)))


def _to_bytes(what: str, text: Text) -> bytearray:
    """Return a copy that can be wiped."""
    if isinstance(text, str):
        return bytearray(text.encode("utf-8", "surrogatepass"))
    if isinstance(text, (bytes, bytearray)):
        return bytearray(text)
    raise TypeError(f"a {what} is a str or bytes, not {type(text).__name__}")


def _checksum(data: bytes | bytearray) -> int:
    """CRC-16/XMODEM."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


# The arithmetic


def _signing_key(seed: bytearray) -> ed25519.Ed25519PrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise MissingPackageError("cryptography", "nkeys") from error
    return Ed25519PrivateKey.from_private_bytes(seed)


def _curve_key(seed: bytearray) -> x25519.X25519PrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    except ImportError as error:
        raise MissingPackageError("cryptography", "nkeys") from error
    return X25519PrivateKey.from_private_bytes(seed)
