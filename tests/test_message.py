"""message: headers keep what came, find what is asked for, and let nothing become protocol; messages are values.

Nothing here asks whether the module is compiled: what holds in one leg holds in the other.
"""

import asyncio
import copy
import inspect
import pickle
import time
import weakref
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import midge
from midge.errors import ConnectionClosedError, InvalidHeaderError, LocalProtocolError
from midge.message import Headers, Message

calm = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcXYZ"
NAMES = st.text(TOKEN_CHARACTERS, min_size=1, max_size=12)
VALUES = st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=20).map(lambda text: text.strip(" \t"))
BAD_NAMES = ["", " ", "a b", "a:", ":", "a\r", "a\n", "a\r\nb", "a\x00", "a\tb", "(", "a,b", "a;b", "a=b", "\u00e4", "a\x7f", "a/b", '"']
BAD_VALUES = ["\r", "\n", "\r\n", "a\r\nEvil: 1", "a\nEvil: 1", "a\r\n\r\n", "a\x00", "\x00"]


def test_values_in_order_and_names_in_their_case() -> None:
    headers = Headers([("b", "1"), ("A", "2"), ("B", "3"), ("a", "4")])
    assert headers.multi_items() == [("b", "1"), ("A", "2"), ("B", "3"), ("a", "4")]
    assert headers.encode() == b"NATS/1.0\r\nb: 1\r\nA: 2\r\nB: 3\r\na: 4\r\n\r\n"


def test_as_a_mapping_it_has_each_name_once_with_its_first_value() -> None:
    headers = Headers([("b", "1"), ("A", "2"), ("B", "3"), ("a", "4")])
    assert isinstance(headers, MutableMapping)
    assert len(headers) == len(list(headers)) == len(dict(headers)) == len(headers.items()) == 2
    assert list(headers) == list(headers.keys()) == ["b", "A"]
    assert list(headers.items()) == [("b", "1"), ("A", "2")] and list(headers.values()) == ["1", "2"]
    assert dict(headers) == {**headers} == {"b": "1", "A": "2"}
    assert headers.pop("a") == "2" and headers.multi_items() == [("b", "1"), ("B", "3")]
    assert headers.setdefault("B", "9") == "1" and headers.setdefault("c", "4") == "4"
    assert headers.popitem() == ("b", "1") and headers.multi_items() == [("c", "4")]
    headers.clear()
    assert not headers and headers.multi_items() == []


def test_updating_replaces_what_a_name_had_by_all_that_is_given() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")], status=100)
    headers.update(Headers([("A", "4"), ("c", "5"), ("a", "6")], status=503), d="7")
    assert headers.multi_items() == [("A", "4"), ("b", "2"), ("A", "6"), ("c", "5"), ("d", "7")]
    assert headers.status == 100
    headers.update({"a": ["8", "9"]})
    headers.update([("b", "10")])
    headers.update()
    assert (headers.get_all("a"), headers.get_all("b"), headers["c"], headers["d"]) == (["8", "9"], ["10"], "5", "7")
    with pytest.raises(InvalidHeaderError):
        headers.update({"a": 1})


def test_lookup_without_case() -> None:
    headers = Headers({"Nats-Msg-Id": "1"})
    headers.add("nats-msg-id", "2")
    for name in ("Nats-Msg-Id", "nats-msg-id", "NATS-MSG-ID"):
        assert headers[name] == headers.get(name) == "1"
        assert headers.get_all(name) == ["1", "2"]
        assert name in headers
    assert headers.get("other") is None and headers.get("other", "x") == "x" and headers.get_all("other") == []
    assert "other" not in headers and 7 not in headers and headers.get(7) is None  # type: ignore[call-overload,comparison-overlap]
    assert headers.get("other", None) is None and headers.get("other", 7) == 7
    with pytest.raises(KeyError):
        headers["other"]


def test_many_headers_are_looked_up_as_few_are() -> None:
    few, many = Headers({"a": "1"}), Headers([("a", "1"), *((f"x{i}", str(i)) for i in range(100))])
    for headers in (few, many):
        assert headers["A"] == "1" and "b" not in headers and 7 not in headers and headers.get("b") is None
        headers.add("B", "2")
        headers.add("b", "3")
        assert headers["b"] == "2"
        headers["B"] = "4"
        assert headers["b"] == "4" and headers.get_all("b") == ["4"]
        copied = copy.copy(headers)
        del headers["b"]
        assert "b" not in headers and copied["b"] == "4"
        headers.update(a=["5", "6"])
        assert headers["a"] == "5" and pickle.loads(pickle.dumps(headers))["a"] == "5"
    assert dict(many)["x99"] == "99" and len(dict(many)) == 101


def test_looking_at_very_many_headers_does_not_take_forever() -> None:
    """Anybody who may publish can send a megabyte of them, and a look at each must not be a look at all for each."""
    headers = Headers.parse(b"NATS/1.0\r\n" + b"".join(b"%x:1\r\n" % i for i in range(40_000)) + b"\r\n")
    before = time.process_time()
    assert len(dict(headers)) == len(list(headers.items())) == 40_000
    assert time.process_time() - before < 10  # it was minutes


def test_setting_replaces_at_the_place_of_the_first() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3"), ("a", "4")])
    headers["A"] = "5"
    assert headers.multi_items() == [("A", "5"), ("b", "2")]
    headers["c"] = "6"
    assert headers.multi_items() == [("A", "5"), ("b", "2"), ("c", "6")]


def test_deleting() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    del headers["A"]
    assert headers.multi_items() == [("b", "2")]
    with pytest.raises(KeyError):
        del headers["a"]


@pytest.mark.parametrize(
    "given_headers",
    [
        {"a": ["1", "2"], "b": "3"},
        {"a": ("1", "2"), "b": ["3"]},
        [("a", "1"), ("a", "2"), ("b", "3")],
        iter([("a", "1"), ("a", "2"), ("b", "3")]),
        Headers([("a", "1"), ("a", "2"), ("b", "3")]),
        {"a": (value for value in "12"), "b": "3"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_headers_are_made_of(given_headers: Any) -> None:
    assert Headers(given_headers).multi_items() == [("a", "1"), ("a", "2"), ("b", "3")]


@pytest.mark.parametrize("copied", [Headers, copy.copy, copy.deepcopy, lambda headers: pickle.loads(pickle.dumps(headers))])
def test_a_copy_is_a_copy(copied: Callable[[Headers], Headers]) -> None:
    first = Headers([("a", "1"), ("A", "2")], status=503, description="x")
    second = copied(first)
    assert second == first and second.multi_items() == first.multi_items()
    second["a"] = "3"
    assert first.multi_items() == [("a", "1"), ("A", "2")]


def test_what_came_from_the_wire_can_be_copied_whatever_it_is() -> None:
    """It may hold what we would not let in: it goes out again as it came."""
    headers = Headers.parse(b"NATS/1.0\r\nno token: 1\r\n\r\n")
    assert Headers(headers).encode() == headers.encode() == b"NATS/1.0\r\nno token: 1\r\n\r\n"


def test_empty_headers() -> None:
    for headers in (Headers(), Headers(None), Headers({}), Headers([]), Headers({"a": []})):
        assert len(headers) == 0 and not headers and headers.multi_items() == []
        assert headers.encode() == b"NATS/1.0\r\n\r\n"


def test_equality() -> None:
    assert Headers({"a": "1"}) == Headers([("a", "1")]) == {"a": "1"}
    assert Headers({"a": "1", "b": "2"}) == Headers({"B": "2", "A": "1"}) == {"B": "2", "A": "1"}
    assert Headers({"a": ["1", "2"]}) != Headers({"a": ["2", "1"]}) and Headers({"a": "1"}) != Headers({"a": ["1", "1"]})
    assert Headers({"a": "1"}) != Headers({"a": "1"}, status=503) and Headers({"a": "1"}) != Headers({"a": "2"})
    assert Headers({"a": "1"}) != "a" and Headers() != None  # noqa: E711
    with pytest.raises(TypeError):
        hash(Headers())


@pytest.mark.parametrize("other", [{"a b": "1"}, {1: "1"}, {"a": 1}, {"a": "\n"}], ids=repr)
def test_equality_never_raises(other: Any) -> None:
    assert Headers({"a": "1"}) != other


def test_repr() -> None:
    assert repr(Headers({"a": "1"})) == "Headers([('a', '1')])"
    assert repr(Headers(status=503, description="No Responders")) == "Headers([], status=503, description='No Responders')"


# Nothing becomes protocol


def setters(name: Any, value: Any) -> list[Callable[[], object]]:
    """Every way to put a header in."""
    return [
        lambda: Headers({name: value}),
        lambda: Headers([(name, value)]),
        lambda: Headers({name: [value]}),
        lambda: Headers().add(name, value),
        lambda: Headers().__setitem__(name, value),
        lambda: Message("a", headers={name: value}),
    ]


@pytest.mark.parametrize("name", [*BAD_NAMES, None, 7, b"a"], ids=repr)
def test_a_name_that_is_not_a_token_is_refused(name: Any) -> None:
    for put in setters(name, "x"):
        with pytest.raises(InvalidHeaderError):
            put()


@pytest.mark.parametrize("value", [*BAD_VALUES, None, 7, b"x", bytearray(b"x")], ids=repr)
def test_a_value_that_would_end_its_line_is_refused(value: Any) -> None:
    for put in setters("a", value):
        with pytest.raises(InvalidHeaderError):
            put()


@pytest.mark.parametrize("description", BAD_VALUES, ids=repr)
def test_a_description_that_would_end_its_line_is_refused(description: str) -> None:
    with pytest.raises(InvalidHeaderError):
        Headers(status=503, description=description).encode()
    if "\n" in description:
        headers = Headers(status=503)
        headers.description = description
        with pytest.raises(InvalidHeaderError):
            headers.encode()


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\udc00"], ids=ascii)
def test_a_lone_surrogate_is_refused(value: str) -> None:
    """It has no UTF-8, and is none of the escapes that stand for a byte."""
    for put in setters("a", value):
        with pytest.raises(InvalidHeaderError):
            put()


@calm
@given(st.text(max_size=5), st.text(max_size=8))
def test_what_is_accepted_is_one_line(name: str, value: str) -> None:
    try:
        block = Headers([(name, value)]).encode()
    except InvalidHeaderError:
        return
    assert block.startswith(b"NATS/1.0\r\n" + name.encode() + b": ") and block.endswith(b"\r\n\r\n")
    assert block.count(b"\n") == 3 and block.count(b"\r") == 3 and b"\x00" not in block


# The block

SCRAPS = [b"NATS/1.0", b"\r\n", b"\n", b"\r", b" ", b":", b"A", b"503", b"\xff", b"\x00"]


@calm
@given(st.lists(st.tuples(NAMES, VALUES)), st.none() | st.integers(0, 999), st.text("ab c", max_size=8).map(str.strip))
def test_a_block_is_read_back(pairs: list[tuple[str, str]], status: int | None, description: str) -> None:
    headers = Headers(pairs, status=status, description=description if status is not None else "")
    again = Headers.parse(headers.encode())
    assert again == headers
    assert again.encode() == headers.encode()


@calm
@given(st.binary(max_size=10).filter(lambda value: not set(value) & set(b"\r\n")))
@example(b"\xff\xfe\x80")
@example("\u00e4\u96ea\U0001f600".encode())
@example(b"\xed\xa0\x80")
def test_bytes_that_are_not_utf_8_go_out_as_they_came(value: bytes) -> None:
    value = value.strip(b" \t")
    block = b"NATS/1.0\r\nA: %b\r\n\r\n" % value
    headers = Headers.parse(block)
    assert headers.encode() == block
    assert b"\x00" in value or Headers(headers).encode() == block


@pytest.mark.parametrize(
    "block, expected",
    [
        (b"NATS/1.0\r\nA: b\r\n\r\n", Headers({"A": "b"})),
        (b"NATS/1.0\r\nA:b\r\n\r\n", Headers({"A": "b"})),
        (b"NATS/1.0\r\nA:  \t b \t\r\n\r\n", Headers({"A": "b"})),
        (b"NATS/1.0\nA: b\n\n", Headers({"A": "b"})),
        (b"NATS/1.0\r\nA:\r\nB: \r\n\r\n", Headers({"A": "", "B": ""})),
        (b"NATS/1.0\r\nA: b:c: d\r\n\r\n", Headers({"A": "b:c: d"})),
        (b"NATS/1.0\r\nA: 1\r\na: 2\r\nA: 3\r\n\r\n", Headers([("A", "1"), ("a", "2"), ("A", "3")])),
        (b"NATS/1.0", Headers()),
        (b"NATS/1.0\r\n", Headers()),
        (b"NATS/1.0\r\n\r\n", Headers()),
        (b"", Headers()),
        (b"\r\n\r\n", Headers()),
        (b"garbage", Headers()),
        (b"garbage\r\nA: b\r\n\r\n", Headers({"A": "b"})),
        (b"NATS/1.0\r\nno colon\r\nA: b\r\n\r\n", Headers({"A": "b"})),
        (b"NATS/1.0\r\n: no name\r\nA: b\r\n\r\n", Headers({"A": "b"})),
        (b"NATS/1.0\r\n\r\n\r\n\r\nA: b\r\n\r\n", Headers({"A": "b"})),
        (b"NATS/1.0\r\nA: b", Headers({"A": "b"})),
        (b"NATS/1.0 503\r\n\r\n", Headers(status=503)),
        (b"NATS/1.0 503 No Responders\r\n\r\n", Headers(status=503, description="No Responders")),
        (b"NATS/1.0  408  Request Timeout \r\nA: b\r\n\r\n", Headers({"A": "b"}, status=408, description="Request Timeout")),
        (b"NATS/1.0503\r\n\r\n", Headers(status=503)),
        (b"NATS/1.0 503 \x00\r\n\r\n", Headers(status=503)),
        (b"NATS/1.0 503 a\rb\r\n\r\n", Headers(status=503)),
        (b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\n\r\n",
         Headers({"Nats-Last-Consumer": "3"}, status=100, description="Idle Heartbeat")),
        (b"NATS/1.0 nonsense\r\n\r\n", Headers()),
        (b"NATS/1.0 -1\r\n\r\n", Headers()),
        (b"NATS/1.0 99999999999999999999\r\n\r\n", Headers()),
        ("NATS/1.0 \u0661\r\n\r\n".encode(), Headers()),
    ],
)  # fmt: skip
def test_blocks(block: bytes, expected: Headers) -> None:
    assert Headers.parse(block) == expected


def test_a_description_that_cannot_go_out_again_is_malformed() -> None:
    headers = Headers.parse(b"NATS/1.0 503 a\rb\r\n\r\n")
    assert headers.is_malformed and headers.encode() == b"NATS/1.0 503\r\n\r\n"


@calm
@given(st.binary(max_size=80) | st.lists(st.sampled_from(SCRAPS)).map(b"".join))
def test_no_block_is_an_error(block: bytes) -> None:
    """What makes no sense is passed over, and what was made of a block stays what it is."""
    headers = Headers.parse(block)
    again = Headers.parse(headers.encode())
    assert again == headers
    repr(headers)


# Message


def test_message() -> None:
    bare = Message("a", b"hi")
    assert (bare.subject, bare.data, bare.reply, bare.status) == ("a", b"hi", "", None)
    assert bare.headers == Headers() and bare.headers is bare.headers
    full = Message("a", b"", "r", {"A": "b"})
    assert (full.reply, full.headers["a"], full.status) == ("r", "b", None)
    assert Message("a", headers=Headers(status=503)).status == 503
    assert (Message("a").data, Message("a").reply) == (b"", "")


async def deliver() -> list[Message]:
    """Messages as a subscription delivers them: with headers and without."""
    async with midge.Server(port=0) as server, midge.connect(server) as nc:
        sub = nc.subscribe("a")
        nc.publish("a", b"hi", reply="r", headers={"A": "1", "B": ["2", "3"]})
        nc.publish("a", b"hi", reply="r")
        return [await sub.next(), await sub.next()]


WITH_HEADERS, WITHOUT = asyncio.run(deliver())
FULL = Message("a", b"hi", "r", {"A": "1", "B": ["2", "3"]})


@pytest.mark.parametrize("made", [FULL, WITH_HEADERS, WITHOUT])
def test_a_message_is_read_only(made: Message) -> None:
    for name in ("subject", "data", "reply", "headers", "status"):
        with pytest.raises(AttributeError):
            setattr(made, name, getattr(made, name))
        with pytest.raises(AttributeError):
            delattr(made, name)
    with pytest.raises(AttributeError):
        made.anything = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (("a", None), "a message's data is bytes, not NoneType"),
        (("a", "hi"), "a message's data is bytes, not str: encode it"),
        (("a", bytearray(b"hi")), "a message's data is bytes, not bytearray"),
        ((b"a",), "a message's subject is a str, not bytes"),
        ((None,), "a message's subject is a str, not NoneType"),
        (("a", b"", b"r"), "a message's reply is a str, not bytes"),
        (("a", b"", None), "a message's reply is a str, not NoneType"),
    ],
)
def test_a_message_holds_only_what_it_says(wrong: tuple[Any, ...], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        Message(*wrong)
    assert str(caught.value) == text


def test_subclasses_of_str_and_bytes_become_plain() -> None:
    class Text(str):
        def __str__(self) -> str:
            return "something else"

    class Data(bytes):
        pass

    made = Message(Text("a"), Data(b"hi"), Text("r"))
    assert (made.subject, made.data, made.reply) == ("a", b"hi", "r")
    assert (type(made.subject), type(made.data), type(made.reply)) == (str, bytes, str)


def test_the_signature_and_how_to_match() -> None:
    signature = inspect.signature(Message)
    assert list(signature.parameters) == ["subject", "data", "reply", "headers"]
    defaults = [parameter.default for parameter in signature.parameters.values()]
    assert defaults == [inspect.Parameter.empty, b"", "", None]
    bound = signature.bind("a", reply="r")
    bound.apply_defaults()
    assert Message(*bound.args, **bound.kwargs) == Message("a", b"", "r")
    with pytest.raises(TypeError):
        Message()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Message("a", nonsense=1)  # type: ignore[call-arg]
    match WITH_HEADERS:
        case Message("a", data, reply="r", headers={"A": value}):
            assert (data, value) == (b"hi", "1")
        case _:
            raise AssertionError("no match")


def test_messages_are_equal_by_value() -> None:
    assert FULL == WITH_HEADERS == Message("a", b"hi", "r", [("b", "2"), ("B", "3"), ("a", "1")])
    assert WITHOUT == Message("a", b"hi", "r") == Message("a", b"hi", "r", {})
    for other in (Message("b", b"hi", "r", FULL.headers), Message("a", b"ho", "r", FULL.headers), Message("a", b"hi", "", FULL.headers),
                  Message("a", b"hi", "r", {"A": "1"}), WITHOUT, ("a", b"hi", "r"), None):  # fmt: skip
        assert FULL != other and other != FULL
    assert hash(FULL) == hash(WITH_HEADERS) and len({FULL, WITH_HEADERS, WITHOUT}) == 2


@pytest.mark.parametrize("made", [Message("a"), Message("a", b"hi", "r", Headers(status=503)), WITH_HEADERS, WITHOUT])
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, *(lambda made, p=p: pickle.loads(pickle.dumps(made, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1))],
)
def test_a_copy_is_equal_and_leaves_the_connection_behind(made: Message, copied: Callable[[Message], Message]) -> None:
    twin = copied(made)
    assert twin is not made and twin == made and type(twin) is Message
    assert (twin.subject, twin.data, twin.reply, twin.status) == (made.subject, made.data, made.reply, made.status)
    assert twin.headers.encode() == made.headers.encode() and twin.headers is not made.headers
    if made.reply:
        with pytest.raises(LocalProtocolError, match="was not delivered by a subscription, or is a copy"):
            twin.respond(b"")


def test_a_message_can_be_referred_to_weakly() -> None:
    made = copy.copy(FULL)
    reference = weakref.ref(made)
    assert reference() is made
    del made
    assert reference() is None


def test_a_subclass_keeps_its_own() -> None:
    class Order(Message):
        number = 7

    made = Order("a", b"hi", "r", FULL.headers)
    assert type(copy.deepcopy(made)) is Order and made == FULL and made.number == 7


def test_responding_needs_a_reply_subject_and_a_subscription() -> None:
    with pytest.raises(LocalProtocolError, match="the message on 'a' has no reply subject"):
        Message("a", b"hi").respond(b"")
    with pytest.raises(LocalProtocolError, match="the message on 'a' was not delivered by a subscription"):
        Message("a", b"hi", "r").respond(b"")
    with pytest.raises(ConnectionClosedError):  # a delivered one goes through its client, which has ended here
        WITH_HEADERS.respond(b"")


@pytest.mark.parametrize(
    "shown, expected",
    [
        (Message("a", b"hi"), "Message('a', b'hi')"),
        (Message("a", b"hi", "r"), "Message('a', b'hi', reply='r')"),
        (Message("a", b"", "", {"A": "b"}), "Message('a', b'', headers=Headers([('A', 'b')]))"),
        (Message("a", b"", "", Headers(status=503)), "Message('a', b'', headers=Headers([], status=503, description=''))"),
        (Message("a", b"x" * 61), f"Message('a', b'{'x' * 60}...')"),
    ],
)
def test_message_repr(shown: Message, expected: str) -> None:
    assert repr(shown) == expected
