"""Certificates for the tests: an authority of the tests' own, and what it signs. Made once for each process, in a few milliseconds."""

import ssl
from functools import cache
from typing import Any

import trustme


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
