"""A raw connection to nats-server that asks its JetStream API one thing after the other."""

import json
from socket import create_connection
from typing import Any


class Caller:
    """A connection, and requests through it.

    Args:
        address: of the server.
        options: what its CONNECT says beside the usual, as who it is.

    Attributes:
        version: of the server.
    """

    def __init__(self, address: tuple[str, int], options: dict[str, str]) -> None:
        self.socket = create_connection(address, 20)
        self.file = self.socket.makefile("rb")
        self.version = json.loads(self.file.readline()[5:])["version"]
        connect = json.dumps({"verbose": False, "pedantic": False, "headers": True} | options).encode()
        self.socket.sendall(b"CONNECT %s\r\nSUB r 1\r\n" % connect)

    def ask(self, subject: str, body: bytes) -> dict[str, Any]:
        """Return the answer to a request to ``$JS.API.<subject>``, without its header."""
        self.socket.sendall(b"PUB $JS.API.%s r %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while not (line := self.file.readline()).startswith((b"MSG r ", b"HMSG r ")):
            assert line.startswith((b"PING", b"PONG")), line
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")
        data = self.file.read(int(line.split()[-1]) + 2)
        answer: dict[str, Any] = json.loads(data[data.index(b"{") :])
        return answer

    def close(self) -> None:
        self.file.close()
        self.socket.close()
