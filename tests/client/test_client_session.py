"""The client's session without a network: bytes in, bytes and events out."""

import asyncio
import json
from collections.abc import Iterator
from enum import Enum, StrEnum
from typing import Any

import pytest
from fakes import Publisher, info, msg, new_session, open_session, subscribe, taken

from midge.client.encoder import SUBJECT_CACHE
from midge.client.interest import Feed
from midge.client.room import READY
from midge.client.session import FLUSH_AT, HIGH_WATER, SLICE, Session
from midge.client.states import Ended, Failed, Greeted, Informed, Interrupted, Opened, Ponged, Refused, SessionState, Slow
from midge.errors import (
    ConnectionClosedError,
    InvalidHeaderError,
    InvalidSubjectError,
    LocalProtocolError,
    MaxPayloadError,
    OutboundFullError,
    RemoteProtocolError,
)
from midge.message import Headers, Message

OPENED = [Opened(), Ponged(1)]


def kinds(session: Session) -> list[type]:
    """The kinds of the events since the last look."""
    return [type(happening) for happening in session.take_events()]


def pieces(stream: bytes) -> Iterator[list[bytes]]:
    """The stream cut in two at every place, and in pieces of one byte."""
    for place in range(len(stream) + 1):
        yield [stream[:place], stream[place:]]
    yield [stream[i : i + 1] for i in range(len(stream))]


# The handshake


def test_the_client_waits_for_info() -> None:
    session = new_session()
    assert session.data_to_send() == b""
    assert session.state == SessionState.GREETING
    with pytest.raises(ConnectionClosedError, match="not connected yet"):
        session.publish("a", b"", None, None)


def test_info_is_answered_with_connect_and_ping() -> None:
    session = new_session()
    session.receive_data(info(server_name="S"))
    assert session.take_events() == [Greeted()] and session.info.server_name == "S" and session.data_to_send() == b""
    session.say_connect(b'{"name":"x"}')
    assert session.data_to_send() == b'CONNECT {"name":"x"}\r\nPING\r\n'
    assert session.state == SessionState.HANDSHAKE and session.take_events() == []
    session.receive_data(b"PONG\r\n")
    assert session.state == SessionState.OPEN and session.take_events() == OPENED
    assert session.data_to_send() == b""


def test_the_handshake_may_come_in_any_pieces() -> None:
    for parts in pieces(info() + b"+OK\r\nPING\r\n"):
        session = new_session()
        for part in parts:
            session.receive_data(part)
        assert session.data_to_send() == b"PONG\r\n" and session.take_events() == [Greeted()]
        session.say_connect(b"{}")
        for part in pieces(b"+OK\r\nPONG\r\nPING\r\n").__next__():
            session.receive_data(part)
        assert session.data_to_send() == b"CONNECT {}\r\nPING\r\nPONG\r\n"
        assert session.take_events() == OPENED


def test_info_may_be_long_and_need_not_be_utf_8() -> None:
    session = new_session()
    urls = [f"10.0.0.{i}:4222" for i in range(255)] * 20
    session.receive_data(info(connect_urls=urls, tags=["unknown"], server_name="NAME").replace(b"NAME", b"\xff\xfe"))
    assert session.info.connect_urls == urls
    assert session.info.server_name == "\ufffd\ufffd"


def test_an_info_that_says_nothing_has_defaults() -> None:
    session = new_session()
    session.receive_data(b"INFO {}\r\n")
    assert (session.info.max_payload, session.info.headers, session.info.nonce) == (1 << 20, False, None)


BAD_INFOS = [
    b"INFO\r\n", b"INFO \r\n", b"INFO x\r\n", b"INFO {\r\n", b"INFO []\r\n", b"INFO 1\r\n", b'INFO {"port":"4222"}\r\n', b"INFO null\r\n",
    b'INFO {"max_payload":0}\r\n', b'INFO {"max_payload":-1}\r\n', b'INFO {"max_payload":%d}\r\n' % 10**30,
    b'INFO {"max_payload":1e99}\r\n', b'INFO {"connect_urls":["a",1]}\r\n', b'INFO {"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\r\n",
]  # fmt: skip


@pytest.mark.parametrize("line", BAD_INFOS, ids=lambda line: line[:30].decode())
def test_bad_info(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        new_session().receive_data(line)
    with pytest.raises(RemoteProtocolError):
        open_session().receive_data(line)


@pytest.mark.parametrize("line", [b"PING\r\n", b"PONG\r\n", b"+OK\r\n", msg("a", 1)])
def test_info_comes_first(line: bytes) -> None:
    session = new_session()
    with pytest.raises(RemoteProtocolError, match="did not begin with INFO"):
        session.receive_data(line + info())
    assert session.data_to_send() == b""


def test_a_refusal_may_come_first() -> None:
    session = new_session()
    session.receive_data(b"-ERR 'no'\r\n" + info() + b"-ERR 'maximum connections exceeded'\r\n")
    assert session.take_events() == [Refused("no", 0, 1), Greeted(), Refused("maximum connections exceeded", 0, 1)]


GARBAGE = [
    b"HTTP/1.1 400 Bad Request\r\n", b"\x16\x03\x01\x02", b"SSH-2.0-x\r\n", b"PUB a 0\r\n\r\n", b"MSG a 1 5\r\nhello world\r\n",
    b"MSG a 1\r\n", b"MSG a 1 -1\r\n", b"MSG a 1 999999999\r\n", b"HMSG a 1 10 5\r\n", b"\r\n", b"SUB a 1\r\n", b"\x00",
]  # fmt: skip


@pytest.mark.parametrize("line", GARBAGE)
def test_garbage(line: bytes) -> None:
    for parts in pieces(line):
        session = open_session()
        with pytest.raises(RemoteProtocolError):
            for part in parts:
                session.receive_data(part)


def test_what_came_before_garbage_is_delivered() -> None:
    session = open_session()
    feed = subscribe(session)
    with pytest.raises(RemoteProtocolError):
        session.receive_data(msg("a", 1, b"1") + msg("a", 1, b"2") + b"garbage")
    assert taken(feed) == [b"1", b"2"]


def test_a_second_info_is_news() -> None:
    session = open_session()
    session.publish("a", bytes(2000), None, None)
    session.receive_data(info(max_payload=1000, ldm=True))
    assert session.take_events() == [Informed()]
    assert session.info.ldm
    with pytest.raises(MaxPayloadError):
        session.publish("a", bytes(2000), None, None)


def test_ping_is_answered() -> None:
    session = open_session()
    session.receive_data(b"PING\r\nping\r\n+OK\r\n")
    assert session.data_to_send() == b"PONG\r\nPONG\r\n"
    assert session.take_events() == []


@pytest.mark.parametrize("line", [b"-ERR 'Some Thing'\r\n", b"-ERR Some Thing\r\n", b"-err   'Some Thing' \r\n"])
def test_err_is_an_event(line: bytes) -> None:
    session = open_session()
    session.receive_data(line)
    assert session.take_events() == [Refused("Some Thing", 0, 1)]
    assert session.state == SessionState.OPEN


def test_a_refusal_says_which_feeds_it_may_be_about() -> None:
    """Those that were subscribed after the last PING that is answered and before the next."""
    session = new_session()
    session.receive_data(info())
    session.say_connect(b"{}")
    session.receive_data(b"-ERR 'x'\r\nPONG\r\n-ERR 'x'\r\n")
    subscribe(session, "a")
    session.ping()
    subscribe(session, "b")
    session.receive_data(b"-ERR 'x'\r\n")
    session.ping()
    session.receive_data(b"PONG\r\n-ERR 'x'\r\nPONG\r\n-ERR 'x'\r\n")
    windows = [(event.first, event.stop) for event in session.take_events() if isinstance(event, Refused)]
    assert windows == [(0, 0), (0, 1), (0, 2), (2, 3), (3, 3)]


def test_pongs_are_counted() -> None:
    session = open_session()
    assert (session.pings, session.pongs) == (1, 1)
    assert [session.ping(), session.ping()] == [2, 3]
    assert session.data_to_send() == b"PING\r\nPING\r\n"
    session.receive_data(b"PONG\r\n")
    assert session.pongs == 2 and kinds(session) == [Ponged]


def test_a_pong_that_nobody_asked_for_answers_no_later_ping() -> None:
    session = open_session()
    session.receive_data(b"PONG\r\nPONG\r\n")
    assert session.pongs == 1 and session.take_events() == []
    assert session.ping() == 2


# Publishing


PUBLISHES: list[tuple[tuple[Any, ...], bytes]] = [
    (("a", b"hello"), b"PUB a 5\r\nhello\r\n"),
    (("a.b.c", b""), b"PUB a.b.c 0\r\n\r\n"),
    (("a", b"\r\n\x00\xff"), b"PUB a 4\r\n\r\n\x00\xff\r\n"),
    (("a", b"x", "r.1"), b"PUB a r.1 1\r\nx\r\n"),
    (("a", b"x", ""), b"PUB a 1\r\nx\r\n"),
    (("a", b"x", None, {"K": "v"}), b"HPUB a 18 19\r\nNATS/1.0\r\nK: v\r\n\r\nx\r\n"),
    (("a", b"x", "r", {"K": ["v", "w"]}), b"HPUB a r 24 25\r\nNATS/1.0\r\nK: v\r\nK: w\r\n\r\nx\r\n"),
    (("a", b"x", None, [("K", "v")]), b"HPUB a 18 19\r\nNATS/1.0\r\nK: v\r\n\r\nx\r\n"),
    (("a", b"", None, Headers({"k": ""})), b"HPUB a 17 17\r\nNATS/1.0\r\nk: \r\n\r\n\r\n"),
    (("a", b"", None, Headers(status=503)), b"HPUB a 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
    (("a", b"x", None, {}), b"PUB a 1\r\nx\r\n"),
    (("a", b"x", None, []), b"PUB a 1\r\nx\r\n"),
    (("a", b"x", None, Headers()), b"PUB a 1\r\nx\r\n"),
    (("a", bytearray(b"xy")), b"PUB a 2\r\nxy\r\n"),
    (("a", memoryview(b"abcd")[::2]), b"PUB a 2\r\nac\r\n"),
    (("a*b.>c.c*", b""), b"PUB a*b.>c.c* 0\r\n\r\n"),
    (("gr\u00fc\u00dfe", b""), "PUB gr\u00fc\u00dfe 0\r\n\r\n".encode()),
    (("raw\udcff\udcfe", b"", "\udc80"), b"PUB raw\xff\xfe \x80 0\r\n\r\n"),
    (("a", b"", None, {"K": "\udcff"}), b"HPUB a 18 18\r\nNATS/1.0\r\nK: \xff\r\n\r\n\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "line"), PUBLISHES)
def test_publish(arguments: tuple[Any, ...], line: bytes) -> None:
    session = open_session()
    for _ in range(2):  # the second time the subject is known
        subject, data, reply, headers = (*arguments, None, None)[:4]
        assert session.publish(subject, data, reply, headers) == len(line)
        assert session.data_to_send() == line
    assert (session.counters.out_msgs, session.counters.out_bytes) == (2, 2 * len(line.split(b"\r\n", 1)[1][:-2]))


class Colour(StrEnum):
    RED = "colours.red"


class Shape(str, Enum):
    ROUND = "shapes.round"


@pytest.mark.parametrize("subject", [Colour.RED, Shape.ROUND])
def test_a_subject_may_be_of_a_class_of_its_own(subject: Any) -> None:
    session = open_session()
    session.publish(subject, b"", subject, None)
    assert session.data_to_send() == f"PUB {subject.value} {subject.value} 0\r\n\r\n".encode()
    feed = Feed(subject, subject, None)
    session.subscribe(feed)
    assert session.data_to_send() == f"SUB {subject.value} {subject.value} 1\r\n".encode()
    assert (type(feed.subject), feed.subject, type(feed.queue), feed.queue) == (str, subject.value, str, subject.value)


BAD_NAMES: list[Any] = ["", " ", "a b", "a\tb", "a\r\nPUB x 0", "a\n", "a\x00", ".a", "a.", "a..b", ".", "a.>.b", None, 5, b"a", ["a"], {}]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_bad_subject_is_refused(name: Any) -> None:
    session = open_session()
    with pytest.raises(InvalidSubjectError):
        session.publish(name, b"", None, None)
    with pytest.raises(InvalidSubjectError):
        session.request(name, b"", None, None)
    with pytest.raises(InvalidSubjectError):
        Feed(name, None, None)
    if name:
        with pytest.raises(InvalidSubjectError, match="reply subject"):
            session.publish("a", b"", name, None)
    assert session.counters.out_msgs == 0 and session.interest.requests == {}
    assert session.data_to_send() in (b"", b"SUB _INBOX.me.* 1\r\n")


@pytest.mark.parametrize("queue", ["", "a b", "a\r\n", "\t", 5, b"q", ["q"]], ids=repr)
def test_a_bad_queue_group_is_refused(queue: Any) -> None:
    with pytest.raises(InvalidSubjectError, match="queue group"):
        Feed("a", queue, None)


def test_names_that_do_not_fit_in_a_line_are_refused() -> None:
    """A server closes the connection over a line that is too long."""
    session = open_session()
    session.publish("s" * 4000, b"", None, None)
    session.publish("s" * 2000, b"", "r" * 2000, None)
    session.subscribe(Feed("s" * 2000, "q" * 1999, None))
    assert max(len(line) for line in session.data_to_send().split(b"\r\n")) < 4096
    for subject, reply in (("s" * 4001, None), ("s", "r" * 4000), ("s" * 2000, "r" * 2001)):
        with pytest.raises(InvalidSubjectError, match="do not fit"):
            session.publish(subject, b"", reply, None)
    with pytest.raises(InvalidSubjectError, match="do not fit"):
        Feed("s" * 2000, "q" * 2000, None)
    with pytest.raises(InvalidSubjectError, match="do not fit"):
        Feed("s" * 4001, None, None)
    assert session.data_to_send() == b""


@pytest.mark.parametrize("data", [None, 5, [1], {}], ids=repr)
def test_a_payload_is_bytes_or_text(data: Any) -> None:
    session = open_session()
    with pytest.raises(TypeError, match="a payload is bytes or str"):
        session.publish("a", data, None, None)
    assert session.data_to_send() == b"" and session.counters.out_msgs == 0


class Text(str):
    """A str of an application's own."""


@pytest.mark.parametrize("text", ["", "text", "\0", "gr\u00fc\u00dfe", "\U0001f600", Text("own")], ids=ascii)
def test_text_goes_out_as_utf_8(text: str) -> None:
    session = open_session()
    size = len(text.encode())
    session.publish("a", text, None, None)
    assert session.data_to_send() == b"PUB a %d\r\n%b\r\n" % (size, text.encode())
    assert session.counters.out_bytes == size, "bytes are counted, not characters"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udcff"], ids=ascii)
def test_text_that_is_half_a_surrogate_pair_is_refused(text: str) -> None:
    """The escape of a byte that is not UTF-8 is one, too: a payload that was bytes has never been text."""
    session = open_session()
    with pytest.raises(LocalProtocolError, match=f"half a surrogate pair at {len(text) // 2}"):
        session.publish("a", text, None, None)
    assert session.data_to_send() == b"" and session.counters.out_msgs == 0


def test_max_payload_counts_the_bytes_of_text() -> None:
    session = open_session(max_payload=10)
    session.publish("a", "\u00e4" * 5, None, None)
    with pytest.raises(MaxPayloadError):
        session.publish("a", "\u00e4" * 5 + "x", None, None)


@pytest.mark.parametrize(
    "headers", [{"": "v"}, {"a b": "v"}, {"k": "v\r\nX: y"}, {"k": "\n"}, {"k:": "v"}, {"k": 1}, {"k": b"v"}, {"k": [1]}]
)
def test_bad_headers_are_refused(headers: Any) -> None:
    session = open_session()
    with pytest.raises(InvalidHeaderError):
        session.publish("a", b"", None, headers)
    assert session.data_to_send() == b"" and session.counters.out_msgs == 0


def test_a_server_without_headers() -> None:
    session = open_session(headers=False)
    session.publish("a", b"", None, {})
    with pytest.raises(LocalProtocolError, match="does not support headers"):
        session.publish("a", b"", None, {"k": "v"})
    assert session.data_to_send() == b"PUB a 0\r\n\r\n"


def test_max_payload_counts_header_and_payload() -> None:
    session = open_session(max_payload=100)
    session.publish("a", bytes(100), None, None)
    session.publish("a", bytes(82), None, {"K": "v"})
    before = session.data_to_send()
    for size, headers in ((101, None), (83, {"K": "v"})):
        with pytest.raises(MaxPayloadError) as raised:
            session.publish("a", bytes(size), None, headers)
        assert (raised.value.size, raised.value.limit) == (101, 100)
    assert before and session.data_to_send() == b""


def test_publish_says_when_the_driver_is_needed() -> None:
    session = open_session()
    assert session.publish("a", b"x", None, None) == 12
    session.scheduled = True
    assert session.publish("a", b"x", None, None) == 0
    assert session.publish("a", bytes(FLUSH_AT), None, None) > FLUSH_AT
    assert session.publish("a", b"x", None, None) > FLUSH_AT


def test_the_outbox_has_a_limit() -> None:
    session = open_session(limit=1000)
    session.publish("a", bytes(5000), None, None)  # whatever fits max_payload can be sent
    with pytest.raises(OutboundFullError) as raised:
        session.publish("a", b"x", None, None)
    assert raised.value.limit == 1000 and raised.value.pending > 5000
    assert (session.counters.out_msgs, session.counters.out_bytes) == (1, 5000)
    session.data_to_send()
    session.publish("a", bytes(900), None, None)
    with pytest.raises(OutboundFullError):
        session.request("a", bytes(200), None, None)
    assert session.interest.requests == {}


def test_many_subjects() -> None:
    session = open_session()
    expected = b""
    for i in [*range(SUBJECT_CACHE + 10), *range(20)]:
        session.publish(f"s.{i}", b"", None, None)
        expected += b"PUB s.%d 0\r\n\r\n" % i
    assert session.data_to_send() == expected


# Subscribing


def test_subscribe() -> None:
    session = open_session()
    feeds = [Feed("a.*", None, None), Feed("b.>", "workers", None), Feed("gr\u00fc\u00dfe\udcff", "\udcfe", None)]
    for feed in feeds:
        session.subscribe(feed)
    assert session.data_to_send() == b"SUB a.* 1\r\nSUB b.> workers 2\r\nSUB gr\xc3\xbc\xc3\x9fe\xff \xfe 3\r\n"
    assert [feed.sid for feed in feeds] == [1, 2, 3]
    assert (feeds[2].subject, feeds[2].queue) == ("gr\u00fc\u00dfe\udcff", "\udcfe")


def test_unsubscribe() -> None:
    session = open_session()
    feed, other = subscribe(session), subscribe(session)
    session.receive_data(msg("a", 1, b"kept"))
    session.unsubscribe(feed)
    assert session.data_to_send() == b"UNSUB 1\r\n"
    assert session.take_events() == [Ended(feed)]
    session.receive_data(msg("a", 1, b"late") + msg("a", 2, b"other"))
    assert (taken(feed), taken(other)) == ([b"kept"], [b"other"])
    session.unsubscribe(feed)
    session.unsubscribe(feed, 5)
    assert session.data_to_send() == b"" and session.take_events() == []


def test_unsubscribe_after_a_number_of_messages() -> None:
    session = open_session()
    feed = subscribe(session)
    session.receive_data(msg("a", 1, b"1"))
    session.unsubscribe(feed, 3)
    assert session.data_to_send() == b"UNSUB 1 3\r\n"
    session.receive_data(msg("a", 1, b"2"))
    assert session.take_events() == []
    session.receive_data(msg("a", 1, b"3") + msg("a", 1, b"4"))
    assert session.take_events() == [Ended(feed)]
    assert taken(feed) == [b"1", b"2", b"3"] and session.interest.feeds == {}


def test_a_limit_that_was_passed_already_forgets_what_came_too_much() -> None:
    session = open_session()
    feed = subscribe(session)
    session.receive_data(b"".join(msg("a", 1, b"%d" % i) for i in range(6)))
    assert feed.take().data == b"0"
    session.unsubscribe(feed, 3)
    assert session.data_to_send() == b"UNSUB 1\r\n"
    assert kinds(session) == [Ended]
    assert feed.buffered == 2 and taken(feed) == [b"1", b"2"] and feed.buffered == 0


def test_a_limit_passed_by_messages_that_were_dropped() -> None:
    session = open_session()
    feed = subscribe(session, msgs=2)
    session.receive_data(b"".join(msg("a", 1, b"%d" % i) for i in range(6)))
    session.unsubscribe(feed, 4)
    assert taken(feed) == [b"0", b"1"]


def test_a_limit_reached_by_the_callback_that_sets_it() -> None:
    session = open_session()
    got: list[bytes] = []

    def callback(message: Message) -> None:
        got.append(message.data)
        session.unsubscribe(feed, 2)

    feed = subscribe(session, callback=callback)
    session.receive_data(b"".join(msg("a", 1, b"%d" % i) for i in range(6)))
    assert got == [b"0", b"1"]


# Receiving


def test_a_message() -> None:
    session = open_session()
    feed = subscribe(session)
    session.receive_data(
        msg("a", 1)
        + msg("a.b", 1, b"data", "r.1")
        + msg("a.b", 1, b"data", header=b"NATS/1.0\r\nK: v\r\nk: w\r\n\r\n")
        + msg("a", 1, b"", "r", header=b"NATS/1.0 503\r\n\r\n")
        + b"HMSG a 1 0 3\r\nxyz\r\n"
        + msg(b"\xff\xfe", 1, b"\xff", header=b"NATS/1.0\r\nK: \xfd\r\n\r\n")
        + b"MSG a 1 \xfc 0\r\n\r\n"
    )
    first, second, third, fourth, fifth, sixth, seventh = (feed.take() for _ in range(7))
    assert (first.subject, first.data, first.reply, first.status, len(first.headers)) == ("a", b"", "", None, 0)
    assert (second.subject, second.data, second.reply) == ("a.b", b"data", "r.1")
    assert third.data == b"data" and third.headers.multi_items() == [("K", "v"), ("k", "w")]
    assert (fourth.data, fourth.reply, fourth.status) == (b"", "r", 503)
    assert fifth.data == b"xyz" and not fifth.headers
    assert (sixth.subject, sixth.data, sixth.headers["k"]) == ("\udcff\udcfe", b"\xff", "\udcfd")
    assert seventh.reply == "\udcfc"
    assert session.counters.in_msgs == 7 and session.counters.in_bytes == 4 + 28 + 16 + 3 + 19
    session.publish(sixth.subject, sixth.data, seventh.reply, sixth.headers)
    assert session.data_to_send() == b"HPUB \xff\xfe \xfc 18 19\r\nNATS/1.0\r\nK: \xfd\r\n\r\n\xff\r\n"


def test_a_malformed_header_block_loses_no_message() -> None:
    session = open_session()
    feed = subscribe(session)
    for header in (b"NATS/1.0", b"NATS/1.0\r\n", b"x", b"\r\n\r\n", b"NATS/9.9 abc\r\n:\r\nk\r\n", b"\xff" * 9):
        session.receive_data(msg("a", 1, b"x", header=header) + msg("a", 1, b"next"))
        message = feed.take()
        assert message.data == b"x" and message.headers is not None and message.status is None
        assert feed.take().data == b"next"


def test_a_line_longer_than_a_control_line_loses_no_message() -> None:
    """A publisher may fill its line; with our sid the line that we get is longer. And a server can be told to allow more."""
    session = open_session()
    feed = subscribe(session)
    for size in (4090, 4096, 60_000):
        session.receive_data(msg("s" * size, 1, b"x"))
        assert feed.take().subject == "s" * size


def test_messages_may_come_in_any_pieces() -> None:
    stream = msg("a", 1, b"one") + b"PING\r\n" + msg("c", 2, b"called") + msg("a", 1, b"two", "r", b"NATS/1.0\r\nK: v\r\n\r\n")
    stream += b"+OK\r\n-ERR 'x'\r\n" + msg("a", 9, b"nobody's") + b"PONG\r\n" + info() + msg("a", 1, bytes(50))
    for parts in pieces(stream):
        session = open_session()
        got: list[bytes] = []
        feed = subscribe(session)
        subscribe(session, "c", callback=lambda message: got.append(message.data))
        session.ping()
        session.data_to_send()
        for part in parts:
            session.receive_data(part)
        assert taken(feed) == [b"one", b"two", bytes(50)] and got == [b"called"]
        assert session.data_to_send() == b"PONG\r\n"
        assert kinds(session) == [Refused, Ponged, Informed]
        assert session.counters.in_msgs == 5


def test_a_feed_is_woken_once_a_chunk() -> None:
    session = open_session()
    feed, other = subscribe(session), subscribe(session, "b")
    session.receive_data(msg("a", 1) * 3 + msg("b", 2) + msg("a", 1))
    assert session.woken == [feed, other] and feed.woken


def test_a_message_answers_through_the_publisher() -> None:
    publisher = Publisher()
    session = open_session(publisher=publisher)
    feed = subscribe(session)
    session.receive_data(msg("a", 1, b"x", "r") + msg("a", 1))
    feed.take().respond(b"y", headers={"k": "v"})
    assert publisher.published == [("r", b"y", {"k": "v"})]
    with pytest.raises(LocalProtocolError, match="no reply subject"):
        feed.take().respond(b"y")


# Callbacks


def test_a_callback_is_called_at_once_and_in_order() -> None:
    session = open_session()
    got: list[str] = []
    subscribe(session, "a", callback=lambda message: got.append(f"a{message.data.decode()}"))
    subscribe(session, "b", callback=lambda message: got.append(f"b{message.data.decode()}"))
    session.receive_data(msg("a", 1, b"1") + msg("b", 2, b"2") + msg("a", 1, b"3"))
    assert got == ["a1", "b2", "a3"] and session.woken == [] and session.take_events() == []


@pytest.mark.parametrize(
    "error", [ValueError("x"), asyncio.CancelledError(), GeneratorExit(), BaseExceptionGroup("g", [asyncio.CancelledError()])]
)
def test_a_callback_that_raises_keeps_nothing_from_the_others(error: BaseException) -> None:
    session = open_session()

    def callback(message: Message) -> None:
        raise error

    failing, feed = subscribe(session, callback=callback), subscribe(session)
    session.receive_data(msg("a", 1) + msg("a", 2, b"1") + msg("a", 1) + msg("a", 2, b"2"))
    assert taken(feed) == [b"1", b"2"]
    assert session.take_events() == [Failed(failing, error)] * 2
    assert failing.received == 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_nobodys_error_and_keeps_nothing_from_the_others(kind: type[BaseException]) -> None:
    session = open_session()
    error = kind()

    def callback(message: Message) -> None:
        raise error

    subscribe(session, callback=callback)
    feed = subscribe(session)
    chunk = bytearray(msg("a", 1) + msg("a", 2, b"1") + b"PING\r\n" + msg("a", 2, b"2"))
    assert session.receive(chunk, len(chunk)) and session.was_interrupted()
    assert session.take_events() == [Interrupted(error)] and taken(feed) == []
    assert not session.parse() and not session.was_interrupted()
    assert taken(feed) == [b"1", b"2"] and session.data_to_send() == b"PONG\r\n"


def test_a_plain_function_that_returns_a_coroutine_is_an_error() -> None:
    session = open_session()

    async def work(message: Message) -> None:
        raise AssertionError("never awaited")

    feed = subscribe(session, callback=lambda message: work(message))
    session.receive_data(msg("a", 1))
    (failed,) = session.take_events()
    assert isinstance(failed, Failed) and failed.feed is feed
    assert isinstance(failed.error, TypeError) and "async def" in str(failed.error)


def test_a_callback_may_return_what_it_likes() -> None:
    session = open_session()
    results = iter([READY, 5, object(), [], b"", True])
    subscribe(session, callback=lambda message: next(results))
    session.receive_data(msg("a", 1) * 6)
    assert session.take_events() == [] and next(results, None) is None


def test_a_callback_may_speak() -> None:
    session = open_session()

    def callback(message: Message) -> None:
        session.publish("p", message.data, None, None)
        late.append(subscribe_quietly())
        session.unsubscribe(other)

    def subscribe_quietly() -> Feed:
        feed = Feed("new", None, None)
        session.subscribe(feed)
        return feed

    late: list[Feed] = []
    subscribe(session, callback=callback)
    other = subscribe(session, "b")
    session.receive_data(msg("b", 2, b"1") + msg("a", 1, b"x") + msg("b", 2, b"2") + msg("new", 3, b"n"))
    assert taken(other) == [b"1"] and taken(late[0]) == [b"n"]
    assert session.data_to_send() == b"PUB p 1\r\nx\r\nSUB new 3\r\nUNSUB 2\r\n"


def test_a_callback_may_end_itself() -> None:
    session = open_session()
    got: list[bytes] = []

    def callback(message: Message) -> None:
        got.append(message.data)
        session.unsubscribe(feed)

    feed = subscribe(session, callback=callback)
    session.receive_data(msg("a", 1, b"1") + msg("a", 1, b"2"))
    assert got == [b"1"] and kinds(session) == [Ended]


def test_a_callback_may_close() -> None:
    session = open_session()
    feed = subscribe(session)
    subscribe(session, callback=lambda message: session.close())
    session.receive_data(msg("a", 1, b"1") + msg("a", 2) + msg("a", 1, b"2") + b"PING\r\ngarbage")
    assert taken(feed) == [b"1"] and session.data_to_send() == b""


# Slices


def test_a_chunk_is_parsed_in_slices() -> None:
    session = open_session()
    got: list[bytes] = []
    subscribe(session, callback=lambda message: got.append(message.data))
    chunk = bytearray(b"".join(msg("a", 1, b"%d" % i) for i in range(3 * SLICE)) + b"PI")
    assert session.receive(chunk, len(chunk)) and len(got) == SLICE
    assert session.parse() and session.parse() and len(got) == 3 * SLICE
    assert not session.parse()
    session.receive_data(b"NG\r\n")
    assert session.data_to_send() == b"PONG\r\n" and got == [b"%d" % i for i in range(3 * SLICE)]


def test_no_more_is_parsed_while_the_outbox_is_full() -> None:
    session = open_session(limit=10 << 20)
    subscribe(session, callback=lambda message: session.publish("b", bytes(HIGH_WATER), None, None))
    chunk = bytearray(msg("a", 1) * 3)
    assert session.receive(chunk, len(chunk)) and session.counters.out_msgs == 1
    session.data_to_send()
    assert session.parse() and session.parse()
    assert not session.parse() and session.counters.out_msgs == 3


@pytest.mark.parametrize("sid", [999_999_999, 1_000_000_000, 10**18 - 1])
def test_a_sid_may_be_long(sid: int) -> None:
    """A client that lives long subscribes often."""
    session = open_session()
    feed = Feed("a", None, None)
    session.interest.next_sid = sid
    session.subscribe(feed)
    assert session.data_to_send() == b"SUB a %d\r\n" % sid
    session.receive_data(msg("a", sid, b"1") + msg("a", sid, b"2"))
    assert taken(feed) == [b"1", b"2"]


@pytest.mark.parametrize("sid", [b"1" * 19, b"1" * 40, b"x", b"-1", b"1x"])
def test_a_sid_that_is_none_is_nobodys(sid: bytes) -> None:
    session = open_session()
    feed = subscribe(session)
    session.receive_data(b"MSG a %b 0\r\n\r\n" % sid + msg("a", 1, b"next"))
    assert taken(feed) == [b"next"]


# Limits


def test_the_new_message_is_dropped() -> None:
    session = open_session()
    feed = subscribe(session, msgs=2)
    session.receive_data(b"".join(msg("a", 1, b"%d" % i) for i in range(5)))
    assert session.take_events() == [Slow(feed)]
    assert (feed.received, feed.dropped, feed.buffered) == (5, 3, 2)
    assert feed.take().data == b"0"
    session.receive_data(msg("a", 1, b"5") + msg("a", 1, b"6") + msg("a", 1, b"7"))
    assert session.take_events() == [Slow(feed)], "told again, once a message fitted in between"
    assert taken(feed) == [b"1", b"5"] and feed.dropped == 5


def test_the_oldest_message_is_dropped() -> None:
    session = open_session()
    feed = subscribe(session, msgs=2, on_full="drop_old")
    session.receive_data(b"".join(msg("a", 1, b"%d" % i) for i in range(5)))
    assert session.take_events() == [Slow(feed)]
    assert (feed.received, feed.dropped, feed.buffered) == (5, 3, 2)
    assert taken(feed) == [b"3", b"4"]
    session.receive_data(msg("a", 1, b"5"))
    assert session.take_events() == [] and feed.dropped == 3


def test_bytes_are_bounded() -> None:
    session = open_session()
    feed = subscribe(session, size=10)
    session.receive_data(msg("a", 1, b"x" * 6) + msg("a", 1, b"y" * 4) + msg("a", 1) + msg("a", 1, b"z"))
    assert taken(feed) == [b"x" * 6, b"y" * 4, b""] and (feed.dropped, feed.buffered) == (1, 0)
    session.receive_data(msg("a", 1, b"1234", header=b"NATS/1.0\r\n\r\n"))
    assert feed.dropped == 2, "a header counts"


def test_as_many_old_messages_go_as_the_new_one_needs() -> None:
    session = open_session()
    feed = subscribe(session, size=10, on_full="drop_old")
    session.receive_data(msg("a", 1, b"1") * 10 + msg("a", 1, b"x" * 8))
    assert feed.buffered == 10 and taken(feed) == [b"1", b"1", b"x" * 8]
    assert (feed.dropped, feed.received) == (8, 11)


def test_a_message_that_never_fits_does_not_drive_out_the_others() -> None:
    session = open_session()
    feed = subscribe(session, size=10, on_full="drop_old")
    session.receive_data(msg("a", 1, b"kept") + msg("a", 1, b"x" * 11))
    assert taken(feed) == [b"kept"] and feed.dropped == 1
    assert kinds(session) == [Slow]


def test_bounds_may_change() -> None:
    session = open_session()
    feed = subscribe(session, msgs=1)
    session.receive_data(msg("a", 1, b"1") + msg("a", 1, b"2"))
    feed.set_limits(-1, -1, "drop_new")
    session.receive_data(msg("a", 1, b"3"))
    feed.set_limits(1, -1, "drop_old")
    session.receive_data(msg("a", 1, b"4"))
    assert taken(feed) == [b"4"] and feed.dropped == 3


def test_taking_from_an_empty_buffer() -> None:
    with pytest.raises(IndexError):
        Feed("a", None, None).take()


# Requests


class Waiter:
    """What waits for one answer."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def receive(self, message: Message) -> None:
        self.got.append(message.data)


def test_requests_share_one_subscription() -> None:
    session = open_session()
    one, two = Waiter(), Waiter()
    assert session.request("svc", b"x", None, one) == "1"
    assert session.data_to_send() == b"SUB _INBOX.me.* 1\r\nPUB svc _INBOX.me.1 1\r\nx\r\n"
    session.request("svc", b"y", {"k": "v"}, two)
    assert session.data_to_send() == b"HPUB svc _INBOX.me.2 18 19\r\nNATS/1.0\r\nk: v\r\n\r\ny\r\n"
    session.receive_data(msg("_INBOX.me.2", 1, b"2") + msg("_INBOX.me.1", 1, b"1"))
    assert (one.got, two.got) == ([b"1"], [b"2"]) and session.interest.requests == {}


def test_late_second_and_strange_answers_go_nowhere() -> None:
    session = open_session()
    one, two = Waiter(), Waiter()
    token = session.request("svc", b"", None, one)
    session.receive_data(msg("_INBOX.me.1", 1, b"1") * 2)
    session.request("svc", b"", None, two)
    del session.interest.requests["2"]
    session.request("svc", b"", None, one)
    session.receive_data(msg("_INBOX.me.2", 1, b"late") + msg("_INBOX.me.x.y", 1) + msg("_INBOX.me.", 1) + msg("_INBOX.me.99", 1))
    assert token == "1" and (one.got, two.got) == ([b"1"], []) and list(session.interest.requests) == ["3"]


def test_an_answer_on_a_rewritten_subject_goes_to_the_only_request() -> None:
    session = open_session()
    one, two = Waiter(), Waiter()
    session.request("svc", b"", None, one)
    session.receive_data(msg("mapped.reply", 1, b"1"))
    assert one.got == [b"1"]
    session.request("svc", b"", None, one)
    session.request("svc", b"", None, two)
    session.receive_data(msg("mapped.reply", 1, b"whose?") + msg("012345678.2", 1, b"of the length of an inbox"))
    assert len(session.interest.requests) == 2 and two.got == []


def test_a_request_that_cannot_be_sent_is_not_under_way() -> None:
    session = open_session(max_payload=10)
    with pytest.raises(MaxPayloadError):
        session.request("svc", bytes(11), None, Waiter())
    with pytest.raises(TypeError):
        session.request("svc", 5, None, Waiter())
    assert session.interest.requests == {}


def test_the_shared_subscription_is_made_again_where_it_was_ended() -> None:
    session = open_session()
    session.request("svc", b"", None, Waiter())
    session.end(session.interest.feeds[1])
    session.data_to_send()
    waiter = Waiter()
    session.request("svc", b"", None, waiter)
    assert session.data_to_send() == b"SUB _INBOX.me.* 2\r\nPUB svc _INBOX.me.2 0\r\n\r\n"
    session.receive_data(msg("_INBOX.me.2", 2, b"yes"))
    assert waiter.got == [b"yes"]


# Draining and closing


def test_a_stopped_feed_gets_what_is_on_its_way() -> None:
    session = open_session()
    feed, other, called = subscribe(session), subscribe(session), []
    callback = subscribe(session, callback=lambda message: called.append(message.data))
    assert session.stop([feed, callback]) == 2
    assert session.data_to_send() == b"UNSUB 1\r\nUNSUB 3\r\nPING\r\n"
    session.receive_data(msg("a", 1, b"1") + msg("a", 3, b"c") + msg("a", 2, b"o"))
    assert session.take_events() == []
    session.receive_data(msg("a", 1, b"2") + b"PONG\r\n" + msg("a", 1, b"never"))
    assert session.take_events() == [Ended(feed), Ended(callback), Ponged(2)]
    assert (taken(feed), taken(other), called) == ([b"1", b"2"], [b"o"], [b"c"])
    assert list(session.interest.feeds) == [2]


def test_an_earlier_pong_does_not_end_a_stopped_feed() -> None:
    session = open_session()
    one, two = subscribe(session), subscribe(session)
    session.ping()
    session.stop([one])
    session.stop([two])
    session.receive_data(b"PONG\r\n" + msg("a", 1, b"1"))
    assert kinds(session) == [Ponged]
    session.receive_data(b"PONG\r\n" + msg("a", 1, b"never") + msg("a", 2, b"2"))
    assert kinds(session) == [Ended, Ponged]
    session.receive_data(b"PONG\r\n")
    assert kinds(session) == [Ended, Ponged]
    assert (taken(one), taken(two), session.interest.feeds) == ([b"1"], [b"2"], {})


def test_a_feed_that_has_ended_cannot_be_stopped_but_the_ping_goes_out() -> None:
    session = open_session()
    feed = subscribe(session)
    session.unsubscribe(feed)
    session.data_to_send()
    session.take_events()
    session.stop([feed])
    assert session.data_to_send() == b"PING\r\n"
    session.receive_data(b"PONG\r\n")
    assert kinds(session) == [Ponged]


def test_a_limit_may_be_reached_while_stopping() -> None:
    session = open_session()
    feed = subscribe(session)
    session.unsubscribe(feed, 1)
    session.stop([feed])
    session.receive_data(msg("a", 1, b"1") + msg("a", 1, b"2") + b"PONG\r\n")
    assert taken(feed) == [b"1"] and kinds(session) == [Ended, Ponged]


@pytest.mark.parametrize("cause", [None, OSError("reset")])
def test_closed(cause: BaseException | None) -> None:
    session = open_session()
    feed = subscribe(session)
    session.close(cause)
    reason = "the connection is closed" if cause is None else "the connection was lost: reset"
    for attempt in (
        lambda: session.publish("a", b"", None, None),
        lambda: session.request("a", b"", None, None),
        lambda: session.subscribe(Feed("a", None, None)),
        lambda: session.ping(),
        lambda: session.stop([feed]),
    ):
        with pytest.raises(ConnectionClosedError, match=reason) as raised:
            attempt()
        assert raised.value.__cause__ is cause and type(raised.value) is ConnectionClosedError
    session.unsubscribe(feed)
    session.receive_data(msg("a", 1) + b"garbage")
    assert session.state == SessionState.CLOSED and session.data_to_send() == b"" and session.take_events() == []


def test_the_info_line_of_the_fakes_is_json() -> None:
    assert json.loads(info(port=1)[5:])["port"] == 1
