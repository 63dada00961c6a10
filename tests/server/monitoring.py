"""A client for the monitoring port that shows every byte: one request at a time, over a socket of its own."""

import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PATIENCE = 10.0


class Reply(NamedTuple):
    """An answer: status, headers by their names in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """One connection to a monitoring port."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.socket = socket.create_connection((place.hostname, place.port), PATIENCE)
        self.stream = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: str, *, method: str = "GET", version: str = "1.1", **headers: str) -> Reply:
        """Ask for a path, on this connection."""
        lines = [f"{method} {path} HTTP/{version}", "Host: x", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.send("\r\n".join(lines).encode())
        return self.reply(method)

    def reply(self, method: str = "GET") -> Reply:
        """Read an answer."""
        status = int(self.stream.readline().split()[1])
        headers = {}
        while line := self.stream.readline().rstrip(b"\r\n"):
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        if method == "HEAD":
            body = b""
        elif "content-length" in headers:
            body = self.stream.read(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.stream.readline(), 16):
                body += self.stream.read(size)
                self.stream.readline()
            self.stream.readline()
        else:
            body = self.stream.read()
        return Reply(status, headers, body)

    def is_closed(self) -> bool:
        """True once nothing more comes."""
        return self.stream.read(1) == b""

    def close(self) -> None:
        self.stream.close()
        self.socket.close()

    def __enter__(self) -> "Http":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def get(url: str, path: str, **headers: str) -> Reply:
    """Ask once."""
    with Http(url) as http:
        return http.get(path, Connection="close", **headers)
