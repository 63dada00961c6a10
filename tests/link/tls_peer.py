"""A peer of a TlsLink that does what no library would: it writes records by itself (RFC 8446, section 5), whole or in part, good or bad."""

import asyncio
import hashlib
import hmac
import socket
import ssl
import struct
import tempfile
from pathlib import Path

from certificates import client_context, server_context
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

APPLICATION_DATA = 23
HANDSHAKE = 22
ALERT = 21


def expand_label(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context; SHA-384, so one block is enough."""
    name = b"tls13 " + label
    info = struct.pack(">HB", size, len(name)) + name + b"\x00"
    return hmac.digest(secret, info + b"\x01", hashlib.sha384)[:size]


class Writer:
    """Seals records with the keys of a TLS 1.3 connection (TLS_AES_256_GCM_SHA384), as one side of it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._set_keys()

    def _set_keys(self) -> None:
        self._aead = AESGCM(expand_label(self._secret, b"key", 32))
        self._iv = expand_label(self._secret, b"iv", 12)
        self._number = 0

    def record(self, content: bytes, kind: int = APPLICATION_DATA) -> bytes:
        """One record with this content."""
        inner = content + bytes([kind])
        header = struct.pack(">BHH", 23, 0x0303, len(inner) + 16)
        nonce = (int.from_bytes(self._iv, "big") ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + self._aead.encrypt(nonce, inner, header)

    def key_update(self, request: bool = False) -> bytes:
        """A KeyUpdate; what comes after it is sealed with new keys. With a request, the other side has to do the same."""
        sealed = self.record(b"\x18\x00\x00\x01" + bytes([request]), HANDSHAKE)
        self._secret = expand_label(self._secret, b"traffic upd", 48)
        self._set_keys()
        return sealed


class RawPeer:
    """One end of a connection: an engine of its own and a socket that the test writes to as it likes.

    Attributes:
        writer: seals what the test sends; the engine must then send nothing more.
    """

    def __init__(self, sock: socket.socket, *, server: bool, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._is_server = server
        context = server_context() if server else client_context()
        context.minimum_version = context.maximum_version = version
        if server:
            context.num_tickets = 0  # they would be records before the writer's first
        with tempfile.NamedTemporaryFile() as log:
            context.keylog_filename = log.name  # read again when the handshake is done
            self._log = Path(log.name).open("rb")
        self.engine = context.wrap_bio(self._incoming, self._outgoing, server, None if server else "localhost")

    async def shake(self, piece: int = 1 << 16) -> None:
        """Do the handshake, sending so many bytes at a time."""
        while True:
            try:
                self.engine.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_answers(piece)
                await self._read()
            else:
                await self._send_answers(piece)
                break
        if self.engine.version() == "TLSv1.3":
            name = b"SERVER_TRAFFIC_SECRET_0" if self._is_server else b"CLIENT_TRAFFIC_SECRET_0"
            lines = [line.split() for line in self._log if line.startswith(name)]
            self.writer = Writer(bytes.fromhex(lines[0][2].decode()))
        self._log.close()

    async def _send_answers(self, piece: int) -> None:
        data = self._outgoing.read()
        for start in range(0, len(data), piece):
            await self.send(data[start : start + piece])

    async def _read(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        if not data:
            raise ssl.SSLEOFError("the other side has not ended TLS")
        self._incoming.write(data)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, size: int) -> bytes:
        """Read so many bytes; fewer where the other side has ended TLS properly.

        Raises:
            ssl.SSLEOFError: it has ended without saying so.
        """
        got = b""
        while len(got) < size:
            try:
                data = self.engine.read(size - len(got))
            except ssl.SSLWantReadError:
                await self._read()
                continue
            if not data:
                break
            got += data
        return got

    async def close_notify(self) -> None:
        """End our side, of TLS only."""
        try:
            self.engine.unwrap()
        except ssl.SSLWantReadError:
            pass
        await self._send_answers(1 << 16)

    def close(self) -> None:
        self.sock.close()
