"""link.server_upgrade: what is a request, at every split; what is bounded. The answers are compared with nats-server's in tests/interop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.errors import UpgradeError
from midge.link.server_upgrade import BROWSER_FRAME, ServerUpgrade
from midge.link.upgrade import MAX_HEAD

REQUEST = (
    b"GET /any?x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nUser-Agent: Mozilla/5.0\r\n"
    b"Sec-WebSocket-Extensions: x, permessage-deflate; client_max_window_bits\r\n\r\n"
)


def feed(upgrade: ServerUpgrade, *pieces: bytes) -> int:
    """Give it pieces until it is done; what of the last it has used."""
    used = -1
    for piece in pieces:
        assert used == -1
        used = upgrade.receive(bytearray(piece) + b"rest of the chunk", len(piece))
    return used


def test_at_every_split() -> None:
    whole = ServerUpgrade(True)
    assert feed(whole, REQUEST) == len(REQUEST)
    for at in range(1, len(REQUEST)):
        upgrade = ServerUpgrade(True)
        assert feed(upgrade, REQUEST[:at], REQUEST[at:]) == len(REQUEST) - at
        assert upgrade.answer == whole.answer
    bytewise = ServerUpgrade(True)
    feed(bytewise, *(bytes([byte]) for byte in REQUEST))
    assert bytewise.answer == whole.answer and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in whole.answer
    assert whole.window_bits == (15, 15) and whole.frame_size == BROWSER_FRAME and whole.peer_masks and not whole.masks
    assert whole.request is not None and whole.request.path == b"/any"


def test_deflate_has_to_be_wanted_by_both() -> None:
    upgrade = ServerUpgrade(False)
    feed(upgrade, REQUEST)
    assert upgrade.window_bits is None and b"Extensions" not in upgrade.answer


def test_no_head_without_end() -> None:
    upgrade = ServerUpgrade(False)
    with pytest.raises(UpgradeError) as caught:
        feed(upgrade, *[b"X: y\r\n" * 100] * 100)
    assert caught.value.status == 431 and len(upgrade._head) == MAX_HEAD
    with pytest.raises(UpgradeError):
        feed(ServerUpgrade(False), REQUEST[:-2] + b"X: " + b"y" * MAX_HEAD + b"\r\n\r\n")


@given(st.binary(max_size=200), st.integers(0, 10))
def test_anything_is_a_request_or_refused(data: bytes, at: int) -> None:
    for text in (data + b"\r\n\r\n", REQUEST[:-2] + data + b"\r\n\r\n", b"GET " + data + REQUEST[5:]):
        upgrade = ServerUpgrade(True)
        try:
            used = feed(upgrade, text)
        except UpgradeError:
            assert upgrade.request is None
            assert not upgrade.answer or upgrade.answer.startswith(b"HTTP/1.")
        else:
            assert used in (-1, len(text))
