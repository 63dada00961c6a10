"""What a server needs to be reached by another link than plain TCP: certificates, a configuration file, the URL of the link.

    plain   nats://        tls   tls://, with a certificate of our own authority
    ws      ws://          wss   wss://, with the same

Certificates are made by the package trustme, in a directory that the caller removes.
"""

from __future__ import annotations

import socket
import ssl
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from servers import Server, nats_server, refuse

__all__ = ["LINKS", "Ends", "client_context", "prepare", "prepare_ours"]

LINKS = ("plain", "tls", "ws", "wss")


@dataclass(frozen=True)
class Ends:
    """How to start the server, and how clients reach it.

    Attributes:
        command: the server's.
        scheme: of the clients' URL.
        port: where clients connect; 0 for the one that the server says.
        authority: the file with our authority's certificate, empty where there is no TLS.
    """

    command: list[str]
    scheme: str
    port: int
    authority: str

    def url(self, server: Server) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port or server.port}"


def prepare(link: str, directory: Path, command: list[str] | None = None) -> Ends:
    """Write what the server needs for this link; exits with status 2 where something is missing."""
    command = command or nats_server()
    if link == "plain":
        return Ends(command, "nats", 0, "")
    has_tls = link in ("tls", "wss")
    tls = _certificates(directory) if has_tls else ""
    port = 0
    config = tls
    if link in ("ws", "wss"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        config = f'websocket {{ host: "127.0.0.1", port: {port}, {tls or "no_tls: true"} }}'
    path = directory / "nats.conf"
    path.write_text(config + "\n")
    return Ends([*command, "-c", str(path)], link, port, str(directory / "authority.pem") if has_tls else "")


def prepare_ours(link: str, directory: Path) -> Ends:
    """The same for our server, which is told by options."""
    ends = prepare(link, directory)
    command = [sys.executable, str(Path(__file__).with_name("door.py")), link, str(directory), str(ends.port)]
    return ends if link == "plain" else replace(ends, command=command)


def client_context(authority: str) -> ssl.SSLContext | None:
    """The context of a client that trusts our authority; None where there is no TLS."""
    return ssl.create_default_context(cafile=authority) if authority else None


def _certificates(directory: Path) -> str:
    """Make an authority and a server's certificate; return the server's tls block."""
    try:
        import trustme
    except ImportError:
        refuse("TLS needs certificates: pip install trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    key, chain = directory / "key.pem", directory / "chain.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(str(chain), append=True)
    return f'tls {{ cert_file: "{chain}", key_file: "{key}" }}'
