"""Certificates for the tests: an authority of the tests' own, and what it signs. Made once for each process, in a few milliseconds."""

import json
import ssl
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trustme

import midge


@cache
def authority(name: str = "midge tests") -> trustme.CA:
    """An authority. Another name is another authority, which does not know this one."""
    return trustme.CA(organization_name=name)


@cache
def server_certificate(*hosts: str) -> trustme.LeafCert:
    return authority().issue_cert(*(hosts or ("localhost", "127.0.0.1")))


def server_context(**attributes: Any) -> ssl.SSLContext:
    """A server's context; the attributes are set on it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_certificate().configure_cert(context)
    authority().configure_trust(context)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


def client_context(**attributes: Any) -> ssl.SSLContext:
    """A client's context, which trusts the tests' authority only; the attributes are set on it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


class Files:
    """A server's certificates on disk, and the part of a configuration that names them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = str(directory / "ca.pem")
        self.cert = str(directory / "cert.pem")
        self.key = str(directory / "key.pem")
        self.write(server_certificate())
        authority().cert_pem.write_to_path(self.ca)

    def write(self, certificate: trustme.LeafCert) -> None:
        certificate.private_key_pem.write_to_path(self.key)
        Path(self.cert).write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))

    def client(self, name: str = "client", issuer: trustme.CA | None = None) -> tuple[str, str]:
        """A client's certificate and key."""
        certificate = (issuer or authority()).issue_cert(f"{name}@example.com")
        cert, key = str(self.directory / f"{name}.pem"), str(self.directory / f"{name}-key.pem")
        certificate.private_key_pem.write_to_path(key)
        certificate.cert_chain_pems[0].write_to_path(cert)
        return cert, key

    def conf(self, *more: str) -> str:
        lines = [f"cert_file: {json.dumps(self.cert)}", f"key_file: {json.dumps(self.key)}", f"ca_file: {json.dumps(self.ca)}", *more]
        return "tls {\n" + "\n".join(lines) + "\n}\n"


def secure(url: str, scheme: str = "tls", host: str = "127.0.0.1") -> str:
    """The same server by another scheme or name."""
    return f"{scheme}://{host}:{url.rpartition(':')[2]}"


async def fails(url: str, **options: Any) -> BaseException:
    """Connect in vain to one server; return why."""
    with pytest.raises(midge.ConnectError) as raised:
        await midge.connect(url, **({"timeout": 10.0} | options))
    ((tried, error),) = raised.value.attempts
    assert tried == url and url in str(raised.value) and raised.value.__cause__ is error
    return error
