"""wire.parser: one table of streams, each fed whole and cut in every way, for both roles; then limits, memory and work."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operations import Operation, Outcome, bytes_one_by_one, cut, held, many_pieces, read, two_pieces
from uncompiled import load_uncompiled

from midge.errors import RemoteProtocolError
from midge.wire import octets
from midge.wire.faults import ANSWER_AUTHORIZATION, ANSWER_CONTROL_LINE, ANSWER_MAX_PAYLOAD, ANSWER_UNKNOWN
from midge.wire.parser import DEFAULT_MAX_CONTROL_LINE, DEFAULT_MAX_PAYLOAD, Parser

LINE, PAYLOAD = 40, 60  # limits of the table's parsers: small, so that it can be cut everywhere
SERVER, CLIENT = True, False  # is_server
VERBS = {
    SERVER: {b"PUB": True, b"HPUB": True, b"SUB": True, b"UNSUB": True, b"PING": False, b"PONG": False, b"CONNECT": False,
             b"INFO": False, b"+OK": False, b"-ERR": True, b"HMSG": True},
    CLIENT: {b"MSG": True, b"HMSG": True, b"PING": False, b"PONG": False, b"INFO": False, b"+OK": False, b"-ERR": True},
}  # fmt: skip
HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"
HOSTILE_NUMBERS = [
    b"+1", b"-1", b"-0", b"0x1", b"1_0", b"1.0", b"1e1", b"1,0", b"1\x00", b"\x00", b"\x0b1", b"1\x0c", b"x", b"1x", b"\xb2", b"\xff",
    "\u0661".encode(), "\uff11".encode(), b"0000000001", b"4294967297", b"9223372036854775808", b"18446744073709551617",
    b"99999999999999999999",
]  # fmt: skip


class Case(NamedTuple):
    """A stream and what must come of it; of a reason only the beginning is given."""

    is_server: bool
    stream: bytes
    expected: Outcome

    def __str__(self) -> str:
        return f"{'server' if self.is_server else 'client'}-{self.stream[:40]!r}"


def pub(subject: bytes, payload: bytes, reply: bytes = b"", header: bytes | None = None) -> Operation:
    """A PUB, or a HPUB where there is a header."""
    return Operation("PUB" if header is None else "HPUB", subject=subject, reply=reply, header=header, payload=payload)


def msg(subject: bytes, sid: bytes, payload: bytes, reply: bytes = b"", header: bytes | None = None) -> Operation:
    """A MSG, or a HMSG where there is a header."""
    name = "MSG" if header is None else "HMSG"
    return Operation(name, subject=subject, sid=sid, reply=reply, header=header, payload=payload)


def accepted() -> Iterator[tuple[bool, bytes, Operation]]:
    """Streams of one operation each."""
    for role in (SERVER, CLIENT):
        for verb in ("PING", "PONG", "+OK"):
            raw = verb.encode()
            for stream in (raw + b"\r\n", raw + b"\n", raw.lower() + b"\r\n", raw.title() + b" more\r\n", raw + b"\r\r\n", raw + b"X\n"):
                yield role, stream, Operation(verb)
            yield role, raw + b" " * 500 + b"\x00\xff\r\n", Operation(verb)
        for stream, line in {
            b"INFO {}\r\n": b"{}",
            b"INFO{}\r\n": b"{}",
            b"info \t {}\n": b"{}",
            b"INFO {} \r\n": b"{} ",
            b"INFO\n\n": b"\n",
            b"INFO \r\n": b"\r",
            b"INFO \r\r\n": b"\r",
        }.items():
            yield role, stream, Operation("INFO", line)
        yield role, b"-ERR 'Stale Connection'\r\n", Operation("-ERR", b"'Stale Connection'")
        yield role, b"-err\t'x'\n", Operation("-ERR", b"'x'")
        yield role, b"-ERR " + b" \t" * 200 + b"'x'\n", Operation("-ERR", b"'x'")
    for stream, line in {
        b"CONNECT {}\r\n": b"{}",
        b"CONNECT{}\n": b"{}",
        b'connect \t {"verbose":false}\r\n': b'{"verbose":false}',
        b"CONNECT " + b"x" * LINE + b"\r\n": b"x" * LINE,
        b"CONNECT " + b"x" * LINE + b"\n": b"x" * LINE,
        b"CONNECT" + b" " * 500 + b"{}\r\n": b"{}",
        b"CONNECT \r{}\n": b"\r{}",
        b"CONNECT \n{}\r\n": b"\n{}",
    }.items():
        yield SERVER, stream, Operation("CONNECT", line)
    for stream, line in {
        b"SUB a 1\r\n": b"a 1",
        b"SUB a q 1\r\n": b"a q 1",
        b"sub\ta\tq\t1\n": b"a\tq\t1",
        b"SUB  a  1  \r\n": b"a  1  ",
        b"SUB a b c d e f g\r\n": b"a b c d e f g",
        b"SUB \xff\x00\x80 \xfe\r\n": b"\xff\x00\x80 \xfe",
        b"SUB a 1\r\r\n": b"a 1\r",
        b"SUB a\rb 12\n": b"a\rb 1",
        b"SUB \r\n": b"\r",
        b"SUB \r1\r\n": b"\r1",
        b"SUB \n1\n": b"\n1",
        b"SUB \n\n": b"\n",
        b"SUB \t" + b" " * 500 + b"a 1\r\n": b"a 1",
        b"SUB " + b"x" * LINE + b"\r\n": b"x" * LINE,
        b"SUB " + b"x" * LINE + b"\n": b"x" * LINE,
        b"SUB a\r" + b"x" * (LINE - 1) + b"\n": b"a\r" + b"x" * (LINE - 2),
    }.items():
        yield SERVER, stream, Operation("SUB", line)
        yield SERVER, b"UN" + stream, Operation("UNSUB", line)
    for stream, line in {  # nats-server reads one from a client too, with no idea of its arguments and always without a payload
        b"HMSG a 1 0 0\r\n\r\n": b"a 1 0 0",
        b"hmsg\tanything -5 \xff\n\r\n": b"anything -5 \xff",
        b"HMSG \r\n\r\n": b"\r",
        b"HMSG " + b"x" * LINE + b"\r\n\r\n": b"x" * LINE,
    }.items():
        yield SERVER, stream, Operation("HMSG", line)
    yield from ((SERVER, stream, operation) for stream, operation in accepted_publishes().items())
    yield from ((CLIENT, stream, operation) for stream, operation in accepted_messages().items())


def accepted_publishes() -> dict[bytes, Operation]:
    """A PUB or HPUB each."""
    subject = b"s" * (LINE - 3)
    return {
        b"PUB a 0\r\n\r\n": pub(b"a", b""),
        b"PUB a 2\r\nhi\r\n": pub(b"a", b"hi"),
        b"PUB a r 2\r\nhi\r\n": pub(b"a", b"hi", b"r"),
        b"pub a 2\r\nhi\r\n": pub(b"a", b"hi"),
        b"pUb a r 2\r\nhi\r\n": pub(b"a", b"hi", b"r"),
        b"PUB a 2\nhi\r\n": pub(b"a", b"hi"),
        b"PUB\ta 2\r\nhi\r\n": pub(b"a", b"hi"),
        b"PUB a\t2\r\nhi\r\n": pub(b"a", b"hi"),
        b"PUB \t a \t r\t\t2 \t\r\nhi\r\n": pub(b"a", b"hi", b"r"),
        b"PUB  a  2\nhi\r\n": pub(b"a", b"hi"),
        b"PUB\ta  0\n\r\n": pub(b"a", b""),
        b"PUB a 2 \r\nhi\r\n": pub(b"a", b"hi"),
        b"PUB" + b" \t" * 300 + b"a 2\r\nhi\r\n": pub(b"a", b"hi"),
        b"PUB a 002\r\nhi\r\n": pub(b"a", b"hi"),
        b"PUB a 000000002\r\nhi\r\n": pub(b"a", b"hi"),
        b"PUB a 8\r\n\r\nPING\r\n\r\n": pub(b"a", b"\r\nPING\r\n"),
        b"PUB a 2\r\n\r\n\r\n": pub(b"a", b"\r\n"),
        b"PUB a 1\r\n\x00\r\n": pub(b"a", b"\x00"),
        b"PUB \xff\x00\x80 1\r\nx\r\n": pub(b"\xff\x00\x80", b"x"),
        b"PUB a.*.> 1\r\nx\r\n": pub(b"a.*.>", b"x"),
        b"PUB \x0ba\x0c 1\r\nx\r\n": pub(b"\x0ba\x0c", b"x"),
        b"PUB \r 1\r\nx\r\n": pub(b"\r", b"x"),
        b"PUB \r 1\nx\r\n": pub(b"\r", b"x"),
        b"PUB \n 1\r\nx\r\n": pub(b"\n", b"x"),
        b"PUB \n  1\nx\r\n": pub(b"\n", b"x"),
        b"PUB a\rb 12\nx\r\n": pub(b"a\rb", b"x"),
        b"PUB " + subject + b" %d\r\n" % PAYLOAD + b"x" * PAYLOAD + b"\r\n": pub(subject, b"x" * PAYLOAD),
        b"PUB " + subject + b" %d\n" % PAYLOAD + b"x" * PAYLOAD + b"\r\n": pub(subject, b"x" * PAYLOAD),
        b"HPUB a 18 20\r\n" + HEADER + b"hi\r\n": pub(b"a", b"hi", header=HEADER),
        b"HPUB a r 18 20\r\n" + HEADER + b"hi\r\n": pub(b"a", b"hi", b"r", HEADER),
        b"hpub a 18 18\r\n" + HEADER + b"\r\n": pub(b"a", b"", header=HEADER),
        b"HPUB a 0 2\r\nhi\r\n": pub(b"a", b"hi", header=b""),
        b"HPUB a 0 0\r\n\r\n": pub(b"a", b"", header=b""),
        b"HPUB  a\t0 0\n\r\n": pub(b"a", b"", header=b""),
        b"HPUB a 1 2\r\nhi\r\n": pub(b"a", b"i", header=b"h"),
        b"HPUB\t a  r\t1 2\nhi\r\n": pub(b"a", b"i", b"r", b"h"),
        b"HPUB a 2 %d\r\n" % PAYLOAD + b"x" * PAYLOAD + b"\r\n": pub(b"a", b"x" * (PAYLOAD - 2), header=b"xx"),
    }


def accepted_messages() -> dict[bytes, Operation]:
    """A MSG or HMSG each."""
    return {
        b"MSG a 1 0\r\n\r\n": msg(b"a", b"1", b""),
        b"MSG a 1 2\r\nhi\r\n": msg(b"a", b"1", b"hi"),
        b"MSG a 1 r 2\r\nhi\r\n": msg(b"a", b"1", b"hi", b"r"),
        b"msg a 1 r 2\r\nhi\r\n": msg(b"a", b"1", b"hi", b"r"),
        b"MSG R.1 1  2\r\nhi\r\n": msg(b"R.1", b"1", b"hi"),
        b"MSG\ta\t1\tr\t2\nhi\r\n": msg(b"a", b"1", b"hi", b"r"),
        b"MSG a 1 2\nhi\r\n": msg(b"a", b"1", b"hi"),
        b"MSG  a 1 2 \r\nhi\r\n": msg(b"a", b"1", b"hi"),
        b"MSG \xff\x00 \xfe 1\r\nx\r\n": msg(b"\xff\x00", b"\xfe", b"x"),
        b"MSG \n 1 1\r\nx\r\n": msg(b"\n", b"1", b"x"),
        b"MSG a 1 8\r\n\r\nPING\r\n\r\n": msg(b"a", b"1", b"\r\nPING\r\n"),
        b"MSG a 1 %d\r\n" % PAYLOAD + b"x" * PAYLOAD + b"\r\n": msg(b"a", b"1", b"x" * PAYLOAD),
        b"HMSG a 1 18 20\r\n" + HEADER + b"hi\r\n": msg(b"a", b"1", b"hi", header=HEADER),
        b"HMSG a 1 r 18 20\r\n" + HEADER + b"hi\r\n": msg(b"a", b"1", b"hi", b"r", HEADER),
        b"hmsg  a 1\tr 18 18\n" + HEADER + b"\r\n": msg(b"a", b"1", b"", b"r", HEADER),
        b"HMSG a 1 0 0\r\n\r\n": msg(b"a", b"1", b"", header=b""),
        b"INFO " + b"x" * PAYLOAD + b"\r\n": Operation("INFO", b"x" * PAYLOAD),
        b"INFO " + b"x" * PAYLOAD + b"\n": Operation("INFO", b"x" * PAYLOAD),
    }


def refused() -> Iterator[tuple[bool, bytes, str, str | None]]:
    """Streams that are an error from their beginning: role, stream, how the reason begins, the -ERR that is owed."""
    unknown, line, large = "parser ERROR", "maximum control line exceeded", "maximum payload exceeded"
    wrong = [b"FOO\r\n", b"\r\n", b"\n", b" PING\r\n", b"\x00", b"\xff\xfe", b"PI NG\r\n", b"+OX\r\n", b"-ERRx\r\n", b"-ERR\r\n"]
    not_from_clients = [b"MSG a 1 0\r\n", b"RS+ A a\r\n", b"LS+ a\r\n", b"A+ a\r\n", b"PIX\r\n", b"PUX a 0\r\n", b"PUBa 0\r\n"]
    not_a_bare_hmsg = [b"HMSG a 1 0 0\r\nPING\r\n", b"HMSG a\r\n\n", b"HMSG a\r\n\rX", b"HMSG a\r\nX\n", b"HMSG a 1 2 2\r\nhi\r\n"]
    not_from_servers = [b"PUB a 0\r\n", b"SUB a 1\r\n", b"CONNECT {}\r\n", b"UNSUB 1\r\n", b"HPUB a 0 0\r\n", b"MSX", b"MSGa 1 0\r\n"]
    for role, streams in {SERVER: wrong + not_from_clients + not_a_bare_hmsg, CLIENT: wrong + not_from_servers}.items():
        for stream in streams:
            yield role, stream, unknown, ANSWER_UNKNOWN
        yield role, b"-ERR " + b"x" * (LINE + 2), line, ANSWER_CONTROL_LINE
    for verb in (b"SUB ", b"UNSUB ", b"CONNECT ", b"CONNECT", b"INFO ", b"PUB ", b"HPUB ", b"HMSG "):
        yield SERVER, verb + b"x" * (LINE + 1) + b"\n", line, ANSWER_CONTROL_LINE
        yield SERVER, verb + b"x" * (LINE + 1) + b"\r\n", line, ANSWER_CONTROL_LINE
        yield SERVER, verb + b"x" * (LINE + 2), line, ANSWER_CONTROL_LINE
        yield SERVER, verb + b"x " * LINE, line, ANSWER_CONTROL_LINE
    yield SERVER, b"PUB " + b"s" * (LINE - 1) + b" 1\r\nx\r\n", line, ANSWER_CONTROL_LINE
    for verb in (b"MSG ", b"HMSG "):
        yield CLIENT, verb + b"x" * (LINE + 1) + b"\r\n", line, ANSWER_CONTROL_LINE
    yield CLIENT, b"INFO " + b"x" * (PAYLOAD + 1) + b"\r\n", line, ANSWER_CONTROL_LINE
    yield SERVER, b"PUB a %d\r\n" % (PAYLOAD + 1), large, ANSWER_MAX_PAYLOAD
    yield SERVER, b"PUB\ta %d\n" % (PAYLOAD + 1), large, ANSWER_MAX_PAYLOAD
    yield SERVER, b"PUB a 999999999\r\n", large, ANSWER_MAX_PAYLOAD
    yield SERVER, b"HPUB a 0 %d\r\n" % (PAYLOAD + 1), large, ANSWER_MAX_PAYLOAD
    yield CLIENT, b"MSG a 1 %d\r\n" % (PAYLOAD + 1), large, ANSWER_MAX_PAYLOAD
    yield CLIENT, b"HMSG a 1 999999999 999999999\r\n", large, ANSWER_MAX_PAYLOAD
    for role, head in ((SERVER, b"PUB a 5\r\n"), (SERVER, b"HPUB a 0 5\r\n"), (SERVER, b"pub  a\t5\n"), (CLIENT, b"MSG a 1 5\r\n")):
        for end in (b"hello\n", b"hello\n\n", b"hello\rx", b"hello\r\r", b"hello!\r\n", b"hi\r\nPING\r\n", b"hello\x00\r\n"):
            yield role, head + end, unknown, ANSWER_UNKNOWN
    yield from refused_arguments()


def refused_arguments() -> Iterator[tuple[bool, bytes, str, str | None]]:
    """Wrong arguments of a message: nats-server closes the connection without a word."""
    process = {b"PUB": "processPub", b"HPUB": "processHeaderPub", b"MSG": "processMsg", b"HMSG": "processHeaderMsg"}
    for number in HOSTILE_NUMBERS:
        yield SERVER, b"PUB a %b\r\n" % number, "processPub Bad or Missing Size", None
        yield SERVER, b"PUB\ta  r %b\n" % number, "processPub Bad or Missing Size", None
        yield SERVER, b"HPUB a %b 5\r\n" % number, "processHeaderPub Bad or Missing Header Size", None
        yield SERVER, b"HPUB a r  5 %b\r\n" % number, "processHeaderPub Bad or Missing Total Size", None
        yield CLIENT, b"MSG a 1 %b\r\n" % number, "processMsg Bad or Missing Size", None
        yield CLIENT, b"HMSG a 1 r %b 5\r\n" % number, "processHeaderMsg Bad or Missing Header Size", None
        yield CLIENT, b"HMSG a 1 5 %b\r\n" % number, "processHeaderMsg Bad or Missing Total Size", None
    yield SERVER, b"PUB a 1\r\r\nx\r\n", "processPub Bad or Missing Size", None
    yield SERVER, b"PUB a 1\r2\nx\r\n", "processPub Bad or Missing Size", None
    yield SERVER, b"HPUB a 6 5\r\nhello\r\n", "processHeaderPub Header Size larger then TotalSize", None
    yield SERVER, b"HPUB a\t6 5\r\nhello\r\n", "processHeaderPub Header Size larger then TotalSize", None
    yield SERVER, b"HPUB a x x\r\n", "processHeaderPub Bad or Missing Header Size", None
    yield SERVER, b"HPUB a 999999999 999999998\r\n", "processHeaderPub Header Size larger then TotalSize", None
    yield CLIENT, b"HMSG a 1 6 5\r\nhello\r\n", "processHeaderMsg Header Size larger then TotalSize", None
    for verb, fewest in ((b"PUB", 2), (b"HPUB", 3), (b"MSG", 3), (b"HMSG", 4)):
        role = verb.endswith(b"PUB")
        for fields in (*range(1, fewest), fewest + 2, fewest + 3, 9, 12):
            line = b" ".join([b"1"] * fields)
            for stream in (b" %b\r\n" % line, b" %b \r\n" % line, b"\t%b\n" % line.replace(b" ", b"\t")):
                yield role, verb + stream, f"{process[verb]} Parse Error", None
        for stream in (b" \r\n", b" \n\n", b" \r\r\n", b" \r\t\r\n"):
            yield role, verb + stream, f"{process[verb]} Parse Error", None


VALID = [Case(role, stream, Outcome([operation])) for role, stream, operation in accepted()]
INVALID = [Case(role, stream, Outcome([], reason, answer)) for role, stream, reason, answer in refused()]
TABLE = VALID + INVALID
each_case = pytest.mark.parametrize("case", TABLE, ids=str)
each_valid = pytest.mark.parametrize("case", VALID, ids=str)
each_role = pytest.mark.parametrize("is_server", [SERVER, CLIENT], ids=["server", "client"])


def new_parser(is_server: bool) -> Parser:
    """A parser with the table's limits."""
    return Parser(is_server, LINE, PAYLOAD)


def check(case: Case, pieces: list[bytes], before: tuple[Operation, ...] = (), after: tuple[Operation, ...] = ()) -> None:
    """Assert that the pieces come to what the case says, between the operations of its neighbours."""
    got = read(new_parser(case.is_server), pieces, is_server=case.is_server)
    assert got.operations == [*before, *case.expected.operations, *after]
    assert (got.reason or "").startswith(case.expected.reason or "") and (got.reason is None) == (case.expected.reason is None)
    assert got.answer == case.expected.answer


@each_case
def test_whole_and_byte_by_byte(case: Case) -> None:
    check(case, [case.stream])
    check(case, list(bytes_one_by_one(case.stream)))


@each_case
def test_cut_in_two_at_every_place(case: Case) -> None:
    for pieces in two_pieces(case.stream):
        check(case, pieces)


@each_case
def test_cut_in_many(case: Case) -> None:
    for pieces in many_pieces(case.stream, 12):
        check(case, pieces)


@pytest.mark.parametrize("at", range(len(TABLE)), ids=[str(case) for case in TABLE])
def test_between_neighbours(at: int) -> None:
    """Each case behind every kind of neighbour: the valid one before it in the table, and, if it is valid, the one behind it."""
    case = TABLE[at]
    friends = [other for other in VALID if other.is_server == case.is_server]
    before = friends[at % len(friends)]
    after = friends[(at + 7) % len(friends)] if case.expected.reason is None else None
    stream = before.stream + case.stream + (after.stream if after else b"")
    expected = tuple(before.expected.operations), tuple(after.expected.operations) if after else ()
    check(case, [stream], *expected)
    check(case, list(bytes_one_by_one(stream)), *expected)
    for pieces in many_pieces(stream, 6):
        check(case, pieces, *expected)


@each_role
def test_the_whole_table_as_one_stream(is_server: bool) -> None:
    friends = [case for case in VALID if case.is_server == is_server]
    stream = b"".join(case.stream for case in friends)
    operations = [operation for case in friends for operation in case.expected.operations]
    chunk = bytearray(len(stream) + 64)
    assert read(new_parser(is_server), [stream], chunk, is_server) == Outcome(operations)
    for size in (1, 2, 3, 5, 7, 16, 61, 256, 1000):
        pieces = cut(stream, range(size, len(stream), size))
        assert read(new_parser(is_server), pieces, chunk, is_server) == Outcome(operations)


@each_valid
def test_any_beginning_asks_for_more(case: Case) -> None:
    """A proper beginning of an operation is neither an operation nor an error, and no more is held than was sent."""
    for size in range(len(case.stream)):
        parser = new_parser(case.is_server)
        assert read(parser, [case.stream[:size]], is_server=case.is_server) == Outcome([])
        assert held(parser) <= size
        exact = new_parser(case.is_server)
        exact.receive_data(case.stream[:size])  # nothing at all behind it
        assert exact.next() == octets.NEED_DATA


def test_bytes_that_are_not_the_drivers_buffer() -> None:
    for case in TABLE:
        parser, operations, failed = new_parser(case.is_server), 0, False
        parser.receive_data(case.stream)
        try:
            while parser.next() != octets.NEED_DATA:
                operations += 1
        except RemoteProtocolError as error:
            failed = True
            assert error.answer == case.expected.answer
        assert (operations, failed) == (len(case.expected.operations), case.expected.reason is not None), case


FRAGMENTS = st.one_of(
    st.sampled_from([case.stream for case in TABLE if len(case.stream) < 100]),
    st.sampled_from([*VERBS[SERVER], *VERBS[CLIENT], b" ", b"\t", b"\r", b"\n", b"\r\n", b"0", b"5", b"a", b"x" * LINE, b"hello\r\n"]),
    st.binary(max_size=6),
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(FRAGMENTS, max_size=8).map(b"".join), st.data())
def test_cuts_change_nothing(is_server: bool, stream: bytes, data: st.DataObject) -> None:
    whole = read(new_parser(is_server), [stream], is_server=is_server).whatever_the_cuts()
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    for pieces in (cut(stream, places), bytes_one_by_one(stream)):
        assert read(new_parser(is_server), pieces, is_server=is_server).whatever_the_cuts() == whole


# Verbs


@each_role
def test_a_wrong_verb_is_an_error_at_its_first_wrong_byte(is_server: bool) -> None:
    """Every beginning of every verb, followed by every byte."""
    verbs = VERBS[is_server]
    for verb, separated in verbs.items():
        for size in range(len(verb) + 1):
            for byte in range(256):
                seen = verb[:size] + bytes([byte])
                could_be = any(other.startswith(seen.upper()) for other in verbs)
                ended = verb[:size] in verbs and (not separated or byte in b" \t")
                got = read(new_parser(is_server), [seen])
                if could_be or ended:
                    assert got.reason is None, seen
                else:
                    assert got.answer == ANSWER_UNKNOWN, seen
                whole = seen + verb[size + 1 :] + b" a 1 0 0\r\n\r\n"
                if not any(whole.upper().startswith(other) for other in verbs):
                    assert read(new_parser(is_server), [whole]).answer == ANSWER_UNKNOWN, whole


@pytest.mark.parametrize("first", range(256))
def test_before_connect_anything_else_is_an_authorization_violation(first: int) -> None:
    parser = new_parser(SERVER)
    parser.set_connect_only(True)
    got = read(parser, [bytes([first])])
    assert got.answer == (None if first in b"Cc" else ANSWER_AUTHORIZATION)


def test_a_wrong_connect_is_an_unknown_operation() -> None:
    parser = new_parser(SERVER)
    parser.set_connect_only(True)
    assert read(parser, [b"CONNEX"]).answer == ANSWER_UNKNOWN


@pytest.mark.parametrize("pieces", [[b"CONNECT {}\r\nPUB a 1\r\nx\r\n"], [b"CONN", b"ECT {}\r\nP", b"UB a 1\r\nx\r\n"]])
def test_connect_lifts_the_ban_within_its_chunk(pieces: list[bytes]) -> None:
    parser = new_parser(SERVER)
    parser.set_connect_only(True)
    found = []
    for piece in pieces:
        parser.receive_data(piece)
        while (op := parser.next()) != octets.NEED_DATA:
            found.append(op)
            parser.set_connect_only(False)
    assert found == [octets.CONNECT, octets.PUB]


@pytest.mark.parametrize(
    "stream", [b"FOO", b"PUB a 0\r\nX", b"PUB a 5\r\nhelloX", b"SUB a 1\r\n\r", b"SUB " + b"x" * 50, b"PUB a x\r\n"], ids=repr
)
def test_a_reason_never_shows_what_another_client_sent(stream: bytes) -> None:
    """The connections of a server share one chunk: behind ``stop`` is what was read before, perhaps from somebody else."""
    for size in range(1, len(stream) + 1):
        parser, reason, chunk = new_parser(SERVER), "", bytearray(b"secret! " * 20)
        try:
            for piece in (stream[:size], stream[size:]):
                chunk[: len(piece)] = piece
                parser.receive(chunk, len(piece))
                while parser.next() != octets.NEED_DATA:
                    pass
        except RemoteProtocolError as error:
            reason = error.reason
        assert reason and "secret" not in reason


def test_a_reason_never_shows_what_is_behind_the_held_bytes() -> None:
    """With a limit smaller than the snippet, the held line is shorter than the chunk that it was taken from."""
    parser = Parser(SERVER, 1, 10)
    assert read(parser, [b"P"]) == Outcome([])
    reason = read(parser, [b"X" * 60 + b"\n"]).reason or ""
    assert reason.count("X") == 15 and "\\x" not in reason


# Limits


def test_headers_may_be_unwelcome() -> None:
    parser = new_parser(SERVER)
    parser.set_headers(False)
    assert read(parser, [b"PUB a 0\r\n\r\nHPUB a 0 0\r\n"]) == Outcome([pub(b"a", b"")], "message headers not supported", None)
    parser = new_parser(SERVER)
    parser.set_headers(False)
    assert read(parser, [b"HPUB a nonsense\r\n"]).reason == "message headers not supported"


def test_the_default_limits() -> None:
    line, size = DEFAULT_MAX_CONTROL_LINE, DEFAULT_MAX_PAYLOAD
    assert (line, size) == (4096, 1048576)
    assert read(Parser(SERVER), [b"SUB " + b"x" * line + b"\r\n"]).operations == [Operation("SUB", b"x" * line)]
    assert read(Parser(SERVER), [b"SUB " + b"x" * (line + 1) + b"\r\n"]).answer == ANSWER_CONTROL_LINE
    assert read(Parser(SERVER), [b"PUB a %d\r\n" % size, b"x" * size, b"\r\n"]).operations == [pub(b"a", b"x" * size)]
    assert read(Parser(SERVER), [b"PUB a %d\r\n" % (size + 1)]).answer == ANSWER_MAX_PAYLOAD


@pytest.mark.parametrize("verb", [b"PING", b"PONG", b"+OK", b"pInG"])
@pytest.mark.parametrize("garbage", [b" ", b"x", b"\r", b"\x00", b"PING "], ids=repr)
@each_role
def test_a_line_that_is_ignored_is_not_kept(is_server: bool, verb: bytes, garbage: bytes) -> None:
    """A megabyte without LF behind a PING: nats-server reads it and forgets it, and so do we."""
    parser = Parser(is_server)
    for piece in [verb, *[garbage * (65536 // len(garbage))] * 16]:
        assert read(parser, [piece]) == Outcome([])
        assert held(parser) <= len(verb) + 1
    assert [operation.name for operation in read(parser, [b"\nPING\r\n"]).operations] == [verb.decode().upper(), "PING"]


@pytest.mark.parametrize("verb", [b"PUB", b"HPUB", b"SUB", b"UNSUB", b"CONNECT", b"INFO", b"-ERR"])
@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t"], ids=repr)
def test_blanks_behind_a_verb_are_not_kept(verb: bytes, blanks: bytes) -> None:
    parser = Parser(SERVER)
    for piece in [verb, *[blanks * (65536 // len(blanks))] * 16]:
        assert read(parser, [piece]) == Outcome([])
        assert held(parser) <= len(verb) + 1
    assert read(parser, [b"x" * (DEFAULT_MAX_CONTROL_LINE + 2)]).answer == ANSWER_CONTROL_LINE


@pytest.mark.parametrize("verb", [b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"CONNECT ", b"CONNECT", b"INFO ", b"-ERR "])
@pytest.mark.parametrize("size", [1, 7, 64, 4096, 65536])
def test_a_line_without_an_end_is_refused_in_time(verb: bytes, size: int) -> None:
    """Refused not later than with the first piece that takes it two bytes past the limit, and no more than that is held."""
    parser = Parser(SERVER)
    assert read(parser, [verb]) == Outcome([])
    for sent in count(size, size):
        got = read(parser, [b"x" * size], bytearray(size + 16))
        if got.reason is not None:
            break
        assert held(parser) <= len(verb) + sent
        assert sent <= DEFAULT_MAX_CONTROL_LINE + 1
    assert got.answer == ANSWER_CONTROL_LINE
    assert DEFAULT_MAX_CONTROL_LINE < sent <= DEFAULT_MAX_CONTROL_LINE + 1 + size


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FRAGMENTS, max_size=30))
def test_what_is_held_is_bounded(pieces: list[bytes]) -> None:
    """By a line and what it announces, whatever comes."""
    parser = new_parser(SERVER)
    for piece in pieces:
        if read(parser, [piece]).reason is not None:
            break
        assert held(parser) <= len(b"CONNECT ") + LINE + len("\r\n") + PAYLOAD + len("\r\n")


def test_nothing_is_held_between_operations() -> None:
    parser = Parser(SERVER)
    assert held(parser) == 0
    for piece in (b"PUB a 2\r\nhi\r\n", b"PING\r\nPO", b"NG\r\n", b"PUB a 2\r\n", b"hi\r\nSUB a 1\r\n"):
        read(parser, [piece])
    assert held(parser) == 0


# Work


@pytest.mark.parametrize("line_pieces", [1, 2, 5])
def test_a_large_payload_in_small_pieces_grows_as_it_comes(line_pieces: int) -> None:
    """8 MiB in 1 KiB pieces: what is kept is never much more than what came, whatever the line announces."""
    size, piece = 8 << 20, bytes(range(256)) * 4
    parser = Parser(SERVER, max_payload=size)
    line = b"PUB a %d\r\n" % size
    for part in cut(line, range(1, line_pieces)):
        parser.receive_data(part)
        assert parser.next() == octets.NEED_DATA
    for number in range(1, size // len(piece) + 1):
        parser.receive_data(piece)
        assert parser.next() == octets.NEED_DATA
        came = len(line) + number * len(piece)
        assert came <= held(parser) <= 1.5 * came + len(piece)
    parser.receive_data(b"\r\n")
    assert parser.next() == octets.PUB
    assert len(parser.buf) == len(line) + size + 2
    assert parser.publication.payload() == piece * (size // len(piece))
    assert parser.next() == octets.NEED_DATA
    assert held(parser) == 0


def test_an_announced_payload_costs_nothing_before_it_comes() -> None:
    """Two hundred connections that announce a megabyte each and send one byte of it."""
    parser = Parser(SERVER)
    parser.receive_data(b"PUB a 1048576\r\nx")
    assert parser.next() == octets.NEED_DATA
    assert held(parser) <= 64
    parser.receive_data(b"y")
    assert parser.next() == octets.NEED_DATA
    assert held(parser) <= 64


def test_the_chunk_is_forgotten_once_it_is_used_up() -> None:
    """The driver reads into it again, or gives it to somebody else."""
    parser = Parser(SERVER)
    for stream in (b"PING\r\n", b"PING\r\nPUB a 5\r\nhe", b"PING\r\nPU"):
        parser.receive_data(stream)
        chunk = parser.buf
        while parser.next() != octets.NEED_DATA:
            pass
        assert parser.buf is not chunk
        parser = Parser(SERVER)


def test_the_work_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in bytes that the primitives look at or copy, in the plain source, where they can be counted."""
    *_, module = load_uncompiled("midge.wire.publication", "midge.wire.parser")
    work = 0

    def counted(primitive: Callable[..., Any], start: int, stop: int) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal work
            result = primitive(*args)
            found = primitive.__name__ == "find_byte" and result >= 0
            work += (result if found else args[stop]) - args[start]
            return result

        return call

    for name, start, stop in (("find_byte", 2, 3), ("cut", 1, 2), ("fields", 1, 2), ("number", 1, 2), ("put_slice", 3, 4)):
        monkeypatch.setattr(module, name, counted(getattr(module, name), start, stop))

    def spent(parser: Any, stream: bytes) -> int:
        nonlocal work
        work = operations = 0
        for piece in cut(stream, range(1024, len(stream), 1024)):
            parser.receive_data(piece)
            while parser.next() != octets.NEED_DATA:
                operations += 1
        assert operations == stream.count(b"PUB")
        return work

    small, large = (spent(module.Parser(SERVER, max_payload=n), b"PUB a %d\r\n%b\r\n" % (n, bytes(n))) for n in (1 << 20, 8 << 20))
    assert large <= (8 << 20) + 4096  # growing is the allocator's work: it moves large buffers without copying
    assert large <= 8 * small
    stream = b"PUB a 16\r\n0123456789abcdef\r\n" * 4096
    assert spent(module.Parser(SERVER), stream) <= 2 * len(stream)
