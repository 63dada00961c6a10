"""The servers that the samples of the documentation talk to, each under the URL that the samples have for it; and files that they name.

``PLACES`` has a context manager for each such URL. It is given the directory that the sample runs in, lays the files there that the
sample reads, and gives the URL that the server really has: the ones in the documentation may be taken.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from certificates import Files
from jwts import Operator
from nodes import nats_node
from servers import find_nats_server

import midge
from midge.nkeys import KeyPair

__all__ = ["PLACES", "needs_nats_server"]

Place = Callable[[Path], AbstractContextManager[str]]


@contextmanager
def plain(_: Path) -> Iterator[str]:
    with midge.Server(port=0) as server:
        yield server.url


@contextmanager
def with_nkey(directory: Path) -> Iterator[str]:
    """A server that knows the key in ``orders.nk``."""
    key = KeyPair.create()
    (directory / "orders.nk").write_text(key.seed())
    with nats_node(f"authorization {{ users: [ {{ nkey: {key.public_key} }} ] }}") as url:
        yield url


@contextmanager
def with_operator(directory: Path) -> Iterator[str]:
    """A server that trusts an operator; ``orders.creds`` is one of its users."""
    operator = Operator()
    (directory / "orders.creds").write_text(operator.account.creds())
    with nats_node(operator.config()) as url:
        yield url


@contextmanager
def with_tls(directory: Path) -> Iterator[str]:
    """A server whose certificate ``ca.pem`` has signed."""
    with nats_node(Files(directory).conf()) as url:
        yield secure(url)


@contextmanager
def with_client_certificates(directory: Path) -> Iterator[str]:
    """A server that wants a certificate, such as that in ``client.pem`` with its key in ``client-key.pem``."""
    files = Files(directory)
    files.client("client")
    with nats_node(files.conf("verify: true")) as url:
        yield secure(url)


@contextmanager
def with_websocket(directory: Path) -> Iterator[str]:
    """A server with a WebSocket whose certificate ``ca.pem`` has signed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with nats_node(f'websocket {{ host: "127.0.0.1"\nport: {port}\ncompression: true\n{Files(directory).conf()} }}'):
        yield f"wss://localhost:{port}"


@contextmanager
def with_files(directory: Path) -> Iterator[str]:
    """No server: the files for one that the sample starts."""
    files = Files(directory)
    files.client("client")
    (directory / "server.pem").write_bytes(Path(files.cert).read_bytes())
    (directory / "server-key.pem").write_bytes(Path(files.key).read_bytes())
    yield "server.pem"


def secure(url: str) -> str:
    return f"tls://localhost:{url.rpartition(':')[2]}"


PLACES: dict[str, Place] = {
    "nats://127.0.0.1:4222": plain,
    "nats://127.0.0.1:4233": with_nkey,
    "nats://127.0.0.1:4244": with_operator,
    "tls://localhost:4443": with_tls,
    "tls://localhost:4444": with_client_certificates,
    "wss://localhost:8443": with_websocket,
    "server.pem": with_files,
}


def needs_nats_server(text: str) -> bool:
    """True if a sample cannot run here: it talks to a real nats-server, and there is no executable of it."""
    return find_nats_server() is None and any(url in text for url, place in PLACES.items() if place not in (plain, with_files))
