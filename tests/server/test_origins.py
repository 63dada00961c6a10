"""server.origins: which pages may open a WebSocket."""

import pytest

from midge.server.origins import Origins


@pytest.mark.parametrize(
    "origins, origin, host, is_welcome",
    [
        (Origins(False, (), False), "http://anybody", "h", True),
        (Origins(False, (), False), "nonsense", "h", True),
        (Origins(True, (), False), "", "h", True),
        (Origins(True, (), False), "http://h", "h", True),
        (Origins(True, (), False), "http://H:80", "h", True),
        (Origins(True, (), False), "http://h", "h:80", True),
        (Origins(True, (), False), "http://h:81", "h", False),
        (Origins(True, (), False), "https://h", "h", False),
        (Origins(True, (), True), "https://h", "h:443", True),
        (Origins(True, (), True), "https://[::1]:5", "[::1]:5", True),
        (Origins(True, (), True), "https://h:x", "h", False),
        (Origins(True, (), False), "http://h", "h:x", False),
        (Origins(False, ("https://a", "http://b:8"), True), "https://a:443", "h", True),
        (Origins(False, ("https://a", "http://b:8"), True), "http://a", "h", False),
        (Origins(False, ("https://a", "http://b:8"), True), "http://b:8", "h", True),
        (Origins(False, ("https://a", "http://b:8"), True), "http://b:8.evil", "h", False),
        (Origins(True, ("https://a",), True), "https://a", "a", True),
        (Origins(True, ("https://a",), True), "https://b", "b", False),
        (Origins(False, ("https://a",), True), "null", "a", False),
    ],
)
def test_an_origin(origins: Origins, origin: str, host: str, is_welcome: bool) -> None:
    assert (origins.refuse(origin, host) is None) == is_welcome
