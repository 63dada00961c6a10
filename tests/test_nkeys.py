"""nkeys: every text is decoded strictly, known ones to the known keys, and a seed is seen nowhere that it was not asked for."""

from __future__ import annotations

import base64
import copy
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge import nkeys
from midge.errors import MissingPackageError, NkeyError
from midge.nkeys import KeyPair, Prefix, check_seed, decode_public, find_jwt, find_seed

# From the tests of nats-io/nkeys and nats-io/jwt, and from ADR-14's key of the NATS documentation.
SEED = "SUAOTBNEUHZDFJT3EUMELT7MQTP24JF3XVCXQNDSCU74G5IU6VAJBKH5LI"
PUBLIC = "UDE6WTGLTTPCRJRJCKBJRGVNZTLIVR7LEEELR4CYWWWBKJS7XYIKXDUU"
JWT = "eyJ0eXAiOiJqd3QifQ.eyJqdGkiOiJHVDQifQ.c_XQT04-WAQ"
CREDS = f"""-----BEGIN NATS USER JWT-----
{JWT}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------

*************************************************************
"""
SEED_BLOCK = CREDS[CREDS.index("-----BEGIN USER") :]
JWT_BLOCK = CREDS[: CREDS.index("***")]
LETTERS = {"operator": "O", "account": "A", "user": "U", "server": "N", "cluster": "C", "curve": "X"}
each_prefix = pytest.mark.parametrize("prefix", Prefix)
signing = pytest.mark.parametrize("prefix", [prefix for prefix in Prefix if prefix is not Prefix.CURVE])


def test_a_known_seed_has_the_known_public_key() -> None:
    for seed in (SEED, SEED.encode(), bytearray(SEED.encode())):
        key = KeyPair.from_seed(seed)
        assert (key.prefix, key.public_key, key.seed(), key.has_seed) == (Prefix.USER, PUBLIC, SEED, True)


@each_prefix
def test_create(prefix: Prefix) -> None:
    key = KeyPair.create(prefix)
    assert key.prefix is prefix
    assert key.public_key[0] == LETTERS[str(prefix)]
    assert key.seed()[:2] == "S" + LETTERS[str(prefix)]
    assert (len(key.public_key), len(key.seed())) == (56, 58)
    assert KeyPair.from_seed(key.seed()).public_key == key.public_key
    assert decode_public(key.public_key) == (prefix, decode_public(key.public_key.encode())[1])
    assert KeyPair.create(prefix).public_key != key.public_key


def test_a_user_is_what_create_makes() -> None:
    assert KeyPair.create().prefix is Prefix.USER


@signing
def test_sign_and_verify(prefix: Prefix) -> None:
    key = KeyPair.create(prefix)
    other = KeyPair.from_public(key.public_key)
    signature = key.sign(b"nonce")
    assert len(signature) == 64
    for one in (key, other):
        assert one.verify(b"nonce", signature)
        assert not one.verify(b"another", signature)
        assert not one.verify(b"nonce", signature[:-1] + bytes([signature[-1] ^ 1]))
        assert not one.verify(b"nonce", b"")
    assert not KeyPair.create(prefix).verify(b"nonce", signature)
    assert not other.has_seed
    with pytest.raises(NkeyError, match="it has no seed"):
        other.sign(b"nonce")


def test_a_signature_is_the_one_that_ed25519_gives() -> None:
    """Ed25519 is deterministic: this is what nats.go sends for the seed and a nonce."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = base64.b32decode(SEED + "======")[2:34]
    assert KeyPair.from_seed(SEED).sign(b"PXoWU7zWAMt75FY") == Ed25519PrivateKey.from_private_bytes(raw).sign(b"PXoWU7zWAMt75FY")


def test_a_curve_key_neither_signs_nor_verifies() -> None:
    key = KeyPair.create(Prefix.CURVE)
    with pytest.raises(NkeyError, match="a curve key does not sign"):
        key.sign(b"")
    with pytest.raises(NkeyError, match="a curve key does not verify"):
        key.verify(b"", b"")


def test_a_public_key_that_is_no_point_verifies_nothing() -> None:
    public = bytes(nkeys._encode(bytes([Prefix.USER]) + b"\xff" * 32))
    assert not KeyPair.from_public(public).verify(b"x", b"y" * 64)


# Decoding is strict


def encoded(raw: bytes) -> str:
    return nkeys._encode(raw).decode()


def test_the_encoding_is_base32_with_a_crc() -> None:
    assert nkeys._checksum(b"123456789") == 0x31C3  # the check value of CRC-16/XMODEM
    raw = bytes(range(33))
    whole = raw + nkeys._checksum(raw).to_bytes(2, "little")
    assert encoded(raw) == base64.b32encode(whole).decode().rstrip("=")


BAD_SEEDS = {
    "empty": ("", "it has 0 characters, not 58"),
    "short": (SEED[:-1], "it has 57 characters, not 58"),
    "long": (SEED + "A", "it has 59 characters, not 58"),
    "padded": (SEED + "======", "it has 64 characters, not 58"),
    "space": (SEED[:-1] + " ", "it holds characters other than A-Z and 2-7"),
    "small": (SEED.lower(), "it holds characters other than A-Z and 2-7"),
    "digit": (SEED.replace("O", "0"), "it holds characters other than A-Z and 2-7"),
    "umlaut": ("Ü" + SEED[2:], "it holds characters other than A-Z and 2-7"),
    "surrogate": ("\ud800" + SEED[3:], "it holds characters other than A-Z and 2-7"),
    "swapped": (SEED[:9] + SEED[10] + SEED[9] + SEED[11:], "its checksum is wrong: a character was changed or lost"),
    "changed": (SEED[:20] + "A" + SEED[21:], "its checksum is wrong: a character was changed or lost"),
    "spare bits": (SEED[:-1] + "J", "its last character is not as an encoder writes it"),
    "public": (PUBLIC, "it has 56 characters, not 58"),
    "not S": (encoded(bytes([Prefix.USER, 0]) + bytes(32)), "it does not begin with S and a letter of O, A, U, N, C, X"),
    "unknown type": (encoded(bytes([18 << 3 | 25 >> 2, 25 << 6 & 0xFF]) + bytes(32)), "it does not begin with S and a letter"),
    "type with more bits": (encoded(bytes([18 << 3 | 5, 1]) + bytes(32)), "it does not begin with S and a letter"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SEEDS)
@pytest.mark.parametrize("read", [KeyPair.from_seed, check_seed])
def test_a_bad_seed(name: str, read: Callable[[str], Any]) -> None:
    text, reason = BAD_SEEDS[name]
    with pytest.raises(NkeyError) as raised:
        read(text)
    assert raised.value.what == "nkey seed" and raised.value.reason.startswith(reason)
    assert isinstance(raised.value, ValueError)


BAD_PUBLIC_KEYS = {
    "empty": ("", "it has 0 characters, not 56"),
    "short": (PUBLIC[:-1], "it has 55 characters, not 56"),
    "small": (PUBLIC.lower(), "it holds characters other than A-Z and 2-7"),
    "changed": (PUBLIC[:-1] + "A", "its checksum is wrong: a character was changed or lost"),
    "seed": (SEED, "it has 58 characters, not 56"),
    "private": (encoded(bytes([15 << 3]) + bytes(32)), "nothing public begins with P"),
    "unknown": (encoded(bytes([25 << 3]) + bytes(32)), "nothing public begins with Z"),
    "type with more bits": (encoded(bytes([Prefix.USER | 1]) + bytes(32)), "nothing public begins with U"),
}


@pytest.mark.parametrize("name", BAD_PUBLIC_KEYS)
def test_a_bad_public_key(name: str) -> None:
    text, reason = BAD_PUBLIC_KEYS[name]
    with pytest.raises(NkeyError) as raised:
        KeyPair.from_public(text)
    assert (raised.value.what, raised.value.reason) == ("nkey public key", reason)


@given(st.binary(max_size=80) | st.text(max_size=80) | st.text("ABCSUX27", min_size=56, max_size=58))
def test_what_is_no_key_is_an_nkey_error(text: str | bytes) -> None:
    for read in (check_seed, decode_public):
        with pytest.raises(NkeyError):
            read(text)


@given(
    st.sampled_from(Prefix), st.binary(min_size=32, max_size=32), st.integers(0, 57), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
)
def test_one_changed_character_is_noticed(prefix: Prefix, raw: bytes, place: int, character: str) -> None:
    public = encoded(bytes([prefix]) + raw)
    assert decode_public(public) == (prefix, raw)
    changed = public[: place % 56] + character + public[place % 56 + 1 :]
    if changed != public:
        with pytest.raises(NkeyError):
            decode_public(changed)


def test_a_seed_is_checked_for_what_it_is() -> None:
    assert check_seed(SEED) is check_seed(SEED, Prefix.USER) is Prefix.USER
    with pytest.raises(NkeyError, match="it is of type account, not user"):
        check_seed(KeyPair.create(Prefix.ACCOUNT).seed(), Prefix.USER)


@pytest.mark.parametrize("value", [None, 7, ["S"]])
def test_a_key_is_text(value: Any) -> None:
    for read in (KeyPair.from_seed, KeyPair.from_public, check_seed, find_seed, find_jwt):
        with pytest.raises(TypeError, match=f"is a str or bytes, not {type(value).__name__}"):
            read(value)


# Files


@pytest.mark.parametrize(
    "content",
    [
        CREDS,
        CREDS.replace("\n", "\r\n"),
        "\ufeff" + CREDS,
        "\n\n  " + CREDS.replace("\n", "  \n  "),
        CREDS.replace("\n\n", "\n").replace("*", ""),
        CREDS.rstrip("\n*"),
        SEED_BLOCK + JWT_BLOCK,
        f"---BEGIN NATS USER JWT---\n\n{JWT}\n\n---END NATS USER JWT---\n---BEGIN USER NKEY SEED---\n\n{SEED}\n\n---END USER NKEY SEED---",
    ],
)
def test_a_creds_file(content: str) -> None:
    for given_ in (content, content.encode(), bytearray(content.encode())):
        assert find_jwt(given_) == JWT
        assert find_seed(given_) == SEED.encode()


@pytest.mark.parametrize("content", [SEED, f"\n {SEED}\r\n", f"# mine\n{SEED}\n{PUBLIC}\n", f"\ufeff{SEED}", f"{PUBLIC}\n\t{SEED}"])
def test_a_seed_file(content: str) -> None:
    assert find_seed(content) == SEED.encode()


@pytest.mark.parametrize("content", ["", "\n", PUBLIC, JWT_BLOCK, SEED_BLOCK[: SEED_BLOCK.index("------END")], "-----BEGIN" + SEED])
def test_a_file_without_a_seed(content: str) -> None:
    with pytest.raises(NkeyError, match="^nkey seed: there is none"):
        find_seed(content)


@pytest.mark.parametrize("content", ["", JWT, SEED_BLOCK, JWT_BLOCK[: JWT_BLOCK.index("------END")]])
def test_a_file_without_a_jwt(content: str) -> None:
    with pytest.raises(NkeyError, match="^JWT: there is none"):
        find_jwt(content)


@pytest.mark.parametrize("jwt", ["", "eyJ", "a.b", "a.b.c.d", "a b.c.d", "ä.b.c", "a..c", f"{JWT}\n{JWT}"])
def test_a_jwt_that_is_none(jwt: str) -> None:
    with pytest.raises(NkeyError, match="^JWT: it is not three parts of base64url"):
        find_jwt(CREDS.replace(JWT, jwt))


@pytest.mark.parametrize(
    "hostile",
    [
        b"-" * 65536,
        b" " * 65536,
        b"--- BEGIN" * 7000,
        b"---BEGIN SEED---\n" * 3800,
        b"---BEGIN " + b"A " * 32000,
        b"\n" * 65536,
        b"---END\n" * 9000,
    ],
)
def test_a_hostile_file_takes_no_time(hostile: bytes) -> None:
    with pytest.raises(NkeyError):
        find_jwt(hostile)
    with pytest.raises(NkeyError):
        find_seed(hostile)


# Secrets


def test_wipe() -> None:
    key = KeyPair.from_seed(SEED)
    held = key._seed
    assert held is not None and any(held)
    signature = key.sign(b"x")
    key.wipe()
    key.wipe()
    assert held == bytes(32) and not key.has_seed
    for use in (key.seed, lambda: key.sign(b"x")):
        with pytest.raises(NkeyError, match="key pair: it has no seed"):
            use()
    assert key.public_key == PUBLIC and key.verify(b"x", signature)


def test_a_block_wipes() -> None:
    with KeyPair.create() as key:
        assert key.has_seed
    assert not key.has_seed


def test_the_callers_seed_is_not_wiped() -> None:
    mine = bytearray(SEED.encode())
    KeyPair.from_seed(mine).wipe()
    check_seed(mine)
    assert mine == SEED.encode()


def test_a_seed_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = KeyPair.from_seed(SEED)
    raw = bytes(key._seed or b"")
    logging.getLogger("test").debug("%s %r", key, key)
    texts = [repr(key), str(key), f"{key}", repr([key]), caplog.text]
    for use in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="would write its seed down") as raised:
            use(key)
        texts += traceback.StackSummary.extract(traceback.walk_tb(raised.tb.tb_next), capture_locals=True).format()
    for text in texts:
        assert SEED not in text and repr(raw) not in text and raw.hex() not in text
    assert repr(key) == f"<KeyPair user {PUBLIC}>"
    key.wipe()
    assert repr(key) == f"<KeyPair user {PUBLIC}, public only>"


@pytest.mark.parametrize("name", BAD_SEEDS)
def test_an_error_does_not_show_what_was_given(name: str) -> None:
    text, _ = BAD_SEEDS[name]
    with pytest.raises(NkeyError) as raised:
        KeyPair.from_seed(text)
    shown = f"{raised.value} {raised.value!r} {pickle.dumps(raised.value)!r}"
    assert not text or (text not in shown and text[5:25] not in shown)


# The package


def test_cryptography_is_imported_only_when_it_is_used() -> None:
    script = (
        "import sys, midge, midge.nkeys as n\n"
        f"n.decode_public({PUBLIC!r}), n.check_seed({SEED!r}), n.KeyPair.from_public({PUBLIC!r})\n"
        "print('cryptography' in sys.modules)\n"
        f"n.KeyPair.from_seed({SEED!r})\n"
        "print('cryptography' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert result.stdout.split() == ["False", "True"]


def test_without_cryptography_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    uses: list[Callable[[], Any]] = [
        KeyPair.create,
        lambda: KeyPair.create(Prefix.CURVE),
        lambda: KeyPair.from_seed(SEED),
        lambda: KeyPair.from_public(PUBLIC).verify(b"", b""),
    ]
    for use in uses:
        with pytest.raises(MissingPackageError, match="nkeys: the package cryptography is not installed: pip install cryptography"):
            use()
