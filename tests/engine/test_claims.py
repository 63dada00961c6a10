"""engine.claims: what is read the short way is what the whole block says, and what is odd is left alone."""

import random

import pytest

from midge.engine.claims import Claims
from midge.engine.headers import nats_values, read_number
from midge.wire.publication import Publication

LINES = [
    b"Nats-Msg-Id: a", b"Nats-Msg-Id:b", b"Nats-Msg-Id:   ", b"Nats-Expected-Last-Sequence: 7", b"Nats-Expected-Last-Sequence: x",
    b"Nats-Expected-Last-Subject-Sequence: 123456789012345678", b"Nats-Expected-Last-Sequence: 1234567890123456789", b"Nats-TTL: 5m",
    b"Other: Nats-Msg-Id: c", b"nats-msg-id: d", b"Nats-Msg-Id", b"Nats-Msg-Id-More: e", b"a\rb: c", b"", b"Nats-: f",
]  # fmt: skip
KNOWN = {b"Nats-Msg-Id", b"Nats-Expected-Last-Sequence", b"Nats-Expected-Last-Subject-Sequence"}


def test_as_the_whole_block_says() -> None:
    dice, claims, read = random.Random(1), Claims(), 0
    for _ in range(3_000):
        header = b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in dice.choices(LINES, k=dice.randrange(4))) + b"\r\n"
        if not claims.read(Publication.compose(b"s", b"", header, b"Nats-Msg-Id: no\r\n")):
            continue
        values = nats_values(header)
        assert values.keys() <= KNOWN
        assert claims.id == values.get(b"Nats-Msg-Id", b"")
        for found, name in ((claims.last, "Last"), (claims.last_of_subject, "Last-Subject")):
            text = values.get(b"Nats-Expected-%b-Sequence" % name.encode())
            assert found == (-1 if text is None else -2 if read_number(text) < 0 else read_number(text))
        read += 1
    assert read > 500


@pytest.mark.parametrize("header", [b"NATS/1.0 404\r\n\r\n", b"NATS/1.0\r\n", b"NATS/1.0\r\nNats-Msg-Id: a", b"x"])
def test_what_is_no_plain_block(header: bytes) -> None:
    assert not Claims().read(Publication.compose(b"s", b"", header, b""))
