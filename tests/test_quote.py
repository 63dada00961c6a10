"""server.quote: a table of what Go's fmt.Sprintf("%q", ...) makes of the bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.quote import quote

TABLE = [
    (b"", '""'),
    (b"hello", '"hello"'),
    (b"a.b.>", '"a.b.>"'),
    (b"it's", '"it\'s"'),
    (b'say "hi"', '"say \\"hi\\""'),
    (b"back\\slash", '"back\\\\slash"'),
    (b"`$%&<>", '"`$%&<>"'),
    (b"\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
    (b"\x00\x01\x1b\x1f", '"\\x00\\x01\\x1b\\x1f"'),
    (b"\x7f", '"\\x7f"'),
    (b" ", '" "'),
    (b"PUB a 1\r\nx\r\n", '"PUB a 1\\r\\nx\\r\\n"'),
    (b"\xff", '"\\xff"'),
    (b"a\x80b\xfe", '"a\\x80b\\xfe"'),
    (b"\xc3\xa9", '"\u00e9"'),
    ("\u96ea \U0001f600".encode(), '"\u96ea \U0001f600"'),
    (b"\xc3", '"\\xc3"'),
    (b"\xe9\x9b", '"\\xe9\\x9b"'),
    (b"\xf0\x9f\x98", '"\\xf0\\x9f\\x98"'),
    (b"\xc0\x80", '"\\xc0\\x80"'),
    (b"\xed\xa0\x80", '"\\xed\\xa0\\x80"'),
    (b"\xf4\x90\x80\x80", '"\\xf4\\x90\\x80\\x80"'),
    ("\u0080\u009f".encode(), '"\\u0080\\u009f"'),
    ("\u00a0".encode(), '"\\u00a0"'),
    ("\u00ad".encode(), '"\\u00ad"'),
    ("\u200b\u2028\u2029".encode(), '"\\u200b\\u2028\\u2029"'),
    ("\ufeff".encode(), '"\\ufeff"'),
    ("\ufffd".encode(), '"\ufffd"'),
    ("\ue000".encode(), '"\\ue000"'),
    ("\U000e0001".encode(), '"\\U000e0001"'),
    ("\U0010ffff".encode(), '"\\U0010ffff"'),
    ("e\u0301".encode(), '"e\u0301"'),
]


@pytest.mark.parametrize("data, expected", TABLE, ids=[repr(data) for data, _ in TABLE])
def test_quote(data: bytes, expected: str) -> None:
    assert quote(data) == expected


@settings(deadline=None)
@given(st.binary(max_size=30))
def test_what_is_quoted_is_one_printable_line(data: bytes) -> None:
    """It goes into an -ERR line and the log: nothing in it can end the line, and clients find its end by the quotation mark."""
    text = quote(data)
    assert text[0] == text[-1] == '"'
    assert text.isprintable()
    text.encode()
    inside = text[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '"' not in inside


@settings(deadline=None)
@given(st.binary(max_size=30), st.binary(max_size=30))
def test_what_differs_is_quoted_differently(one: bytes, other: bytes) -> None:
    assert (quote(one) == quote(other)) == (one == other)
