"""What a raw connection has read and nobody has taken yet: a protocol of lines, with payloads between them."""

import socket


class Received:
    """Reads a socket as the protocol has it. The socket's own timeout applies; ConnectionError where the other side has closed."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unread = b""

    def line(self) -> bytes:
        """Read one line, and return it without its CRLF."""
        while b"\r\n" not in self._unread:
            self._more()
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line

    def take(self, size: int) -> bytes:
        """Read that many bytes."""
        while len(self._unread) < size:
            self._more()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _more(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._unread += data
