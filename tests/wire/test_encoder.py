"""wire.encoder: what one side writes, the other side's parser reads back, however the stream is cut."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operations import Operation, Outcome, cut, read

from midge.wire import octets
from midge.wire.encoder import put_line, put_message, put_publish, put_stripped
from midge.wire.outbox import Outbox
from midge.wire.parser import Parser
from midge.wire.publication import Publication

calm = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.one_of(
    st.sampled_from([b"a", b"orders.new", b"_INBOX.x.1", b"*", b">"]),
    st.binary(min_size=1, max_size=30).filter(lambda name: not set(name) & set(b" \t\r\n")),
)
REPLIES = st.none() | NAMES
HEADERS = st.none() | st.sampled_from([b"", b"NATS/1.0\r\n\r\n", b"NATS/1.0 503\r\n\r\n"]) | st.binary(max_size=40)
PAYLOADS = st.sampled_from([b"", b"\r\n", b"PING\r\n", b"x" * 5000]) | st.binary(max_size=200)
PLACES = st.lists(st.integers(0, 20000), max_size=6)
Publish = tuple[bytes, bytes | None, bytes | None, bytes]
PUBLISHES = st.lists(st.tuples(NAMES, REPLIES, HEADERS, PAYLOADS), min_size=1, max_size=6)


def written(out: Outbox) -> bytes:
    """What waits in the outbox."""
    return b"".join(map(bytes, out.views()))


def pieces(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream, cut at the places that lie in it."""
    return cut(stream, [place for place in places if place < len(stream)])


def published(subject: bytes, reply: bytes | None, header: bytes | None, payload: bytes) -> Operation:
    """The operation that a publish is."""
    return Operation("PUB" if header is None else "HPUB", b"", subject, b"", reply or b"", header, payload)


@pytest.mark.parametrize(
    "publish, wire",
    [
        ((b"a", None, None, b""), b"PUB a 0\r\n\r\n"),
        ((b"a", None, None, b"hi"), b"PUB a 2\r\nhi\r\n"),
        ((b"a", b"r", None, b"hi"), b"PUB a r 2\r\nhi\r\n"),
        ((b"a", None, b"NATS/1.0\r\n\r\n", b"hi"), b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
        ((b"a", b"r", b"NATS/1.0\r\n\r\n", b""), b"HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n"),
        ((b"a", None, None, b"x" * 123456), b"PUB a 123456\r\n" + b"x" * 123456 + b"\r\n"),
    ],
)
def test_publish_on_the_wire(publish: Publish, wire: bytes) -> None:
    out = Outbox()
    put_publish(out, *publish)
    assert written(out) == wire


@calm
@given(PUBLISHES, PLACES)
def test_a_server_reads_what_a_client_writes(publishes: list[Publish], places: list[int]) -> None:
    out = Outbox()
    for publish in publishes:
        put_publish(out, *publish)
    assert read(Parser(True), pieces(written(out), places), bytearray(30000)) == Outcome([published(*publish) for publish in publishes])


@calm
@given(PUBLISHES, NAMES, PLACES, PLACES)
def test_a_client_reads_what_a_server_forwards(publishes: list[Publish], sid: bytes, places: list[int], again: list[int]) -> None:
    """Client to server to client, each way cut anywhere."""
    sent, forwarded, parser = Outbox(), Outbox(), Parser(True)
    for publish in publishes:
        put_publish(sent, *publish)
    for piece in pieces(written(sent), places):
        parser.receive_data(piece)
        while parser.next() != octets.NEED_DATA:
            put_message(forwarded, parser.publication, sid)
    expected = [
        Operation("MSG" if header is None else "HMSG", b"", subject, sid, reply or b"", header, payload)
        for subject, reply, header, payload in publishes
    ]
    assert read(Parser(False), pieces(written(forwarded), again), bytearray(30000), is_server=False) == Outcome(expected)


@pytest.mark.parametrize("line", [b"PUB\ta  r\t2 \nhi\r\n", b"pub a r 2\nhi\r\n", b"PUB  a r 2\r\nhi\r\n"])
def test_an_untidy_publish_is_forwarded_tidily(line: bytes) -> None:
    parser, out = Parser(True), Outbox()
    parser.receive_data(line)
    assert parser.next() == octets.PUB
    put_message(out, parser.publication, b"7")
    assert written(out) == b"MSG a 7 r 2\r\nhi\r\n"


COMPOSED = (NAMES, NAMES, st.just(b"") | NAMES, st.sampled_from([b"", b"NATS/1.0\r\n\r\n"]), PAYLOADS)


@calm
@given(*COMPOSED)
def test_a_composed_message_is_read_back(subject: bytes, sid: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
    out, publication = Outbox(), Publication.compose(subject, reply, header, payload)
    parts = publication.subject(), publication.reply(), publication.header(), publication.payload(), publication.body()
    assert parts == (subject, reply, header, payload, header + payload)
    assert publication.size() == len(header) + len(payload)
    put_message(out, publication, sid)
    expected = Operation("HMSG" if header else "MSG", b"", subject, sid, reply, header or None, payload)
    assert read(Parser(False), [written(out)], bytearray(30000), is_server=False) == Outcome([expected])


@calm
@given(*COMPOSED)
def test_a_stripped_message_is_read_back(subject: bytes, sid: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
    out = Outbox()
    put_stripped(out, Publication.compose(subject, reply, header, payload), sid)
    expected = Operation("MSG", b"", subject, sid, reply, None, payload)
    assert read(Parser(False), [written(out)], bytearray(30000), is_server=False) == Outcome([expected])


@calm
@given(st.lists(st.binary(max_size=50), max_size=20))
def test_lines(lines: list[bytes]) -> None:
    out = Outbox()
    for line in lines:
        put_line(out, line)
    assert written(out) == b"".join(line + b"\r\n" for line in lines)


def test_what_waits_is_appended_to() -> None:
    """Each writer starts at ``fill``, wherever ``start`` is, and grows the buffer where there is no room."""
    out, expected = Outbox(), b""
    for i in range(300):
        put_line(out, b"PING")
        put_publish(out, b"a", b"r", None, b"x" * i)
        put_message(out, Publication.compose(b"subject", b"", b"", b"abc"), b"9")
        put_stripped(out, Publication.compose(b"b", b"", b"NATS/1.0\r\n\r\n", b"y"), b"1")
        expected += b"PING\r\nPUB a r %d\r\n%b\r\nMSG subject 9 3\r\nabc\r\nMSG b 1 1\r\ny\r\n" % (i, b"x" * i)
        out.advance(i % 50)
        expected = expected[i % 50 :]
    assert written(out) == expected
