"""wire.publication: messages that are made of others. That composed ones are read back: test_encoder.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.wire.octets import HPUB, PUB
from midge.wire.parser import Parser
from midge.wire.publication import Publication

NAME = st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & set(b" \t\r\n"))
HEADER = st.one_of(st.just(b""), st.binary(max_size=50).map(lambda data: b"NATS/1.0\r\n" + data + b"\r\n\r\n"))
DATA = st.binary(max_size=300)


def parts(publication: Publication) -> tuple[bytes, bytes, bytes, bytes]:
    return publication.subject(), publication.reply(), publication.header(), publication.payload()


def parsed_back(publication: Publication) -> tuple[bytes, bytes, bytes, bytes]:
    """What a parser finds in the line and body of a publication."""
    tail = bytes(publication.buf[publication.tail_start : publication.end])
    data = bytearray((b"PUB " if publication.header_size < 0 else b"HPUB ") + publication.subject() + b" " + tail)
    parser = Parser(True)
    parser.receive(data, len(data))
    assert parser.next() in (PUB, HPUB)
    return parts(parser.publication)


@given(NAME, NAME | st.just(b""), HEADER, DATA, NAME)
def test_another_subject_changes_nothing_else(subject: bytes, reply: bytes, header: bytes, payload: bytes, other: bytes) -> None:
    renamed = Publication.compose(subject, reply, header, payload).renamed(other)
    assert parts(renamed) == parsed_back(renamed) == (other, reply, header, payload)
    assert parts(renamed.renamed(subject)) == (subject, reply, header, payload)


@given(NAME, NAME | st.just(b""), HEADER, DATA, NAME, NAME | st.just(b""), HEADER | st.none())
def test_another_subject_reply_and_header(
    subject: bytes, reply: bytes, header: bytes, payload: bytes, other: bytes, answer: bytes, instead: bytes | None
) -> None:
    if instead == b"":
        instead = None
    made = Publication.compose(subject, reply, header, payload).redirected(other, answer, instead)
    assert parts(made) == parsed_back(made) == (other, answer, header if instead is None else instead, payload)


@pytest.mark.parametrize("subject", [b"a", b"a.b.c"])
def test_the_original_stays_as_it_is(subject: bytes) -> None:
    original = Publication.compose(subject, b"r", b"", b"x" * 1000)
    before = bytes(original.buf)
    original.renamed(b"other")
    original.redirected(b"other", b"q", b"NATS/1.0\r\n\r\n")
    assert bytes(original.buf) == before and parts(original) == (subject, b"r", b"", b"x" * 1000)
