"""server.tls: contexts out of files, what a certificate must satisfy beyond, and how many may come in a second."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from certificates import Files, client_context
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from midge.errors import ServerStartError, TLSError
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.server.tls import Security, describe, make_context, public_key
from midge.server.tls_names import CIPHERS, CURVES, TLS13_CIPHERS, go_cipher, go_version


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


def options(files: Files, **more: Any) -> ServerTLS:
    return ServerTLS(cert_file=files.cert, key_file=files.key, **more)


def shake(context: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """A whole handshake in memory; the server's engine."""
    ends = []
    pipes = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends.append(context.wrap_bio(pipes[0], pipes[1], server_side=True))
    ends.append(client.wrap_bio(pipes[1], pipes[0], server_hostname="localhost"))
    done = [False, False]
    for _ in range(10):
        for i in (1, 0):
            try:
                ends[i].do_handshake()
                done[i] = True
            except ssl.SSLWantReadError:
                pass
        if all(done):
            return ends[0]
    raise AssertionError("no end of it")


def test_the_defaults_are_go_s(files: Files) -> None:
    context = make_context(options(files))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2 and context.verify_mode == ssl.CERT_NONE
    assert context.num_tickets == 1 and context.options & ssl.OP_NO_RENEGOTIATION
    engine = shake(context, client_context())
    assert engine.version() == "TLSv1.3" and engine.selected_alpn_protocol() is None
    assert Security(options(files), context).accepts(engine)


@pytest.mark.parametrize("name", [name for name in CIPHERS if "RSA" not in name])
def test_each_cipher_of_go_is_one_here(name: str, files: Files) -> None:
    """The tests' key is one for ECDSA."""
    context = make_context(options(files, ciphers=(name,)))
    client = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("ALL")
    engine = shake(context, client)
    cipher = engine.cipher()
    assert cipher is not None and CIPHERS[name] == cipher[0] and CIPHERS[go_cipher(cipher[0])] == cipher[0]


@pytest.mark.parametrize("name", CIPHERS)
def test_each_name_is_known_to_openssl(name: str, files: Files) -> None:
    make_context(options(files, ciphers=(name,)))


def test_ciphers_of_tls_1_3_alone_leave_no_tls_1_2(files: Files) -> None:
    context = make_context(options(files, ciphers=tuple(TLS13_CIPHERS)))
    with pytest.raises(ssl.SSLError):
        shake(context, client_context(maximum_version=ssl.TLSVersion.TLSv1_2))
    assert shake(context, client_context()).version() == "TLSv1.3"


def test_a_version_too_old(files: Files) -> None:
    with pytest.raises(ssl.SSLError):
        shake(make_context(options(files, min_version="1.3")), client_context(maximum_version=ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize("name", CURVES)
def test_a_curve(name: str, files: Files) -> None:
    client = client_context()
    client.set_ecdh_curve(CURVES[name])
    shake(make_context(options(files, curves=(name,))), client)
    other = client_context()
    other.set_ecdh_curve(next(curve for curve in CURVES.values() if curve != CURVES[name]))
    with pytest.raises(ssl.SSLError):
        shake(make_context(options(files, curves=(name,))), other)


def test_several_curves(files: Files) -> None:
    shake(make_context(options(files, curves=tuple(CURVES))), client_context())
    if not hasattr(ssl.SSLContext, "set_groups"):
        with pytest.raises(ServerStartError, match=r"Python 3\.15"):
            make_context(options(files, curves=("X25519", "CurveP256")))


def test_files_that_are_none(files: Files, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for given in (
        {"cert_file": str(tmp_path / "missing"), "key_file": files.key},
        {"cert_file": files.cert, "key_file": str(tmp_path / "missing")},
        {"cert_file": str(nonsense), "key_file": files.key},
        {"cert_file": files.cert, "key_file": str(nonsense)},
        {"cert_file": files.cert, "key_file": files.key, "ca_file": str(nonsense), "verify": True},
        {"cert_file": files.cert, "key_file": files.key, "ca_file": str(tmp_path / "missing"), "verify": True},
    ):
        with pytest.raises(ServerStartError, match="missing: no such file|nonsense"):
            make_context(ServerTLS(**given))  # type: ignore[arg-type]


def test_a_client_s_certificate(files: Files) -> None:
    cert, key = files.client("bob")
    client = client_context()
    client.load_cert_chain(cert, key)
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # then the server sees it before the client is done
    given = options(files, ca_file=files.ca, verify_and_map=True)
    context = make_context(given)
    engine = shake(context, client)
    der = engine.getpeercert(binary_form=True)
    assert der is not None
    parsed = x509.load_der_x509_certificate(der)
    spki = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key(der) == spki
    pin = hashlib.sha256(spki).hexdigest()
    assert Security(options(files, pinned_certs=frozenset({pin})), context).accepts(engine)
    assert not Security(options(files, pinned_certs=frozenset({"0" * 64})), context).accepts(engine)
    with pytest.raises(ssl.SSLError) as caught:
        shake(context, client_context(maximum_version=ssl.TLSVersion.TLSv1_2))
    error = TLSError("x")
    error.__cause__ = caught.value
    assert describe(error) == "tls: client didn't provide a certificate"


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x05\x30\x03", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b"\x30\x03\x30\x01"])
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        public_key(der)


def test_the_rate_is_nats_server_s(files: Files) -> None:
    security = Security(options(files, rate_limit=2), make_context(options(files)))
    assert [security.admits(now) for now in (10.0, 10.1, 10.2, 11.0)] == [True, True, False, False]
    assert [security.admits(now) for now in (11.1, 11.2, 11.3)] == [True, True, False]
    assert all(Security(options(files), make_context(options(files))).admits(1.0) for _ in range(100))


def test_names_of_versions() -> None:
    assert go_version("TLSv1.3") == "1.3" and go_cipher("TLS_AES_128_GCM_SHA256") == "TLS_AES_128_GCM_SHA256"


@pytest.mark.parametrize(
    "wrong",
    [
        {"cert_file": ""}, {"key_file": ""}, {"timeout": 0.0}, {"handshake_first": 0.0}, {"handshake_first": -1.0}, {"min_version": "1.1"},
        {"ciphers": ("TLS_RSA_WITH_RC4_128_SHA",)}, {"ciphers": ("nonsense",)}, {"curves": ("P-256",)}, {"pinned_certs": frozenset({"AB"})},
    ],
)  # fmt: skip
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ServerTLS(**{"cert_file": "c", "key_file": "k"} | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"no_tls": True, "port": 70000}, {"no_tls": True, "handshake_timeout": 0.0}, {"no_tls": True, "ping_interval": -1.0},
        {"no_tls": True, "token": "t", "user": "u"}, {"no_tls": True, "headers": {"Upgrade": "x"}},
        {"no_tls": True, "headers": {"Sec-WebSocket-X": "x"}}, {"no_tls": True, "headers": {"X": "a\r\nb"}},
        {"no_tls": True, "headers": {"a b": "x"}}, {"no_tls": True, "allowed_origins": ("ftp://x",)},
        {"no_tls": True, "allowed_origins": ("x",)}, {"no_tls": True, "allowed_origins": ("http://x:y",)},
    ],
)  # fmt: skip
def test_websocket_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        WebSocketListener(**wrong)
