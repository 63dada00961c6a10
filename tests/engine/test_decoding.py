"""engine.decoding: what nats-server 2.15.1 says of bodies, as data; the same of Python's own decoder, for any body."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.engine.decoding import decode
from midge.engine.errors import ApiError
from midge.engine.json_syntax import MAX_DEPTH, JsonSyntaxError, end_of_value, skip_space
from midge.engine.places import Object
from midge.engine.times import read_time
from midge.model.base import Model, time_of, time_text
from midge.model.requests import (
    ConsumerCreateRequest,
    ConsumerPauseRequest,
    ConsumerUnpinRequest,
    MessageDeleteRequest,
    MessageGetRequest,
    StreamConfigRequest,
    StreamInfoRequest,
    StreamListRequest,
    StreamPurgeRequest,
    StreamRestoreRequest,
    StreamSnapshotRequest,
)

KINDS: dict[str, type[Model]] = {
    "STREAM.CREATE": StreamConfigRequest, "STREAM.INFO": StreamInfoRequest, "STREAM.NAMES": StreamListRequest,
    "STREAM.LIST": StreamListRequest, "STREAM.PURGE": StreamPurgeRequest, "STREAM.MSG.GET": MessageGetRequest,
    "STREAM.MSG.DELETE": MessageDeleteRequest, "STREAM.SNAPSHOT": StreamSnapshotRequest, "STREAM.RESTORE": StreamRestoreRequest,
    "CONSUMER.CREATE": ConsumerCreateRequest, "CONSUMER.PAUSE": ConsumerPauseRequest, "CONSUMER.UNPIN": ConsumerUnpinRequest,
}  # fmt: skip
CASES = [json.loads(line) for line in Path(__file__).with_name("decoding.jsonl").read_text("utf-8").splitlines()]


def refusal(kind: type[Model], body: bytes, **options: Any) -> str | None:
    try:
        decode(kind, body, **options)
    except ApiError as error:
        assert (error.code, error.err_code) == (400, 10025)
        return error.description
    return None


def test_there_are_enough() -> None:
    assert len(CASES) > 250 and sum(case["says"] is not None for case in CASES) > 200


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_is_said_of_a_body(number: int) -> None:
    case = CASES[number]
    kind = next(kind for name, kind in KINDS.items() if case["request"].startswith(name))
    name = "JSApiStreamNamesRequest" if case["request"] == "STREAM.NAMES" else None
    assert refusal(kind, case["body"].encode("latin-1"), go_name=name) == case["says"], case["body"]


def test_a_body_that_says_little() -> None:
    for body in (b"", b" \n", b"{}", b"null", b"{} {}"):
        assert decode(StreamConfigRequest, body) == StreamConfigRequest()
    into = StreamConfigRequest(storage="")
    assert decode(StreamConfigRequest, b'{"name":"A"}', into=into) is into and into.storage == "" and into.name == "A"


def test_what_comes_twice_goes_into_the_same_place() -> None:
    found = decode(
        StreamConfigRequest,
        b'{"metadata":{"a":"1"},"METADATA":{"b":"2"},"placement":{"cluster":"c"},"placement":{"tags":["t"]},"subjects":["a","b"],'
        b'"subjects":["c"],"max_msgs":1,"max_msgs":null,"mirror":{"name":"A"},"mirror":null}{"max_age":5}',
    )
    assert found.metadata == {"a": "1", "b": "2"} and found.subjects == ["c"] and (found.max_msgs, found.max_age) == (1, 5)
    assert found.placement is not None and (found.placement.cluster, found.placement.tags) == ("c", ["t"]) and found.mirror is None


def test_a_lenient_server_takes_unknown_fields_and_no_other_faults() -> None:
    found = decode(StreamConfigRequest, b'{"zz":[{"y":[1,2]}],"name":"A","mirror":{"qq":1,"name":"B"}}', strict=False)
    assert found.name == "A" and found.mirror is not None and found.mirror.name == "B" and not found.unknown
    for body, says in (
        (b'{"zz":1}x', "invalid character 'x' after top-level value"),
        (b'{"zz":1,"name":5}', "json: cannot unmarshal number into Go struct field StreamConfigRequest.name of type string"),
        (b'{"name":', "unexpected end of JSON input"),
        (b'{"name":}', "invalid character '}' looking for beginning of value"),
    ):
        assert refusal(StreamConfigRequest, body, strict=False) == f"invalid JSON: {says}"


def test_depth_and_length_are_bounded() -> None:
    assert end_of_value(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, 0) == 2 * MAX_DEPTH
    assert refusal(StreamConfigRequest, b"[" * 20_000) == "invalid JSON: exceeded max depth at offset 10001"
    deep = b'{"x":' + b'{"a":[' * 200_000
    assert refusal(StreamConfigRequest, deep) == "invalid JSON: exceeded max depth at offset 30005"
    digits = b'{"max_msgs":' + b"9" * 1_000_000 + b"}"
    said = refusal(StreamConfigRequest, digits)
    assert said is not None and said.endswith("of type int64")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from(
    [b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"1", b"-", b".", b"e", b"true", b"nul", b" ", b"\x00", b"\xff", b"u00"]
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.lists(st.tuples(st.integers(0, 200), PIECES), max_size=3))
def test_what_is_json_is_what_python_takes_for_it(value: Any, damage: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for at, piece in damage:
        at %= len(damaged) + 1
        damaged[at:at] = piece
    data = bytes(damaged)
    try:
        is_json = skip_space(data, end_of_value(data, skip_space(data, 0))) == len(data)
    except JsonSyntaxError:
        is_json = False
    try:
        json.loads(data.decode("utf-8", "surrogateescape"))
    except ValueError:
        assert not is_json
    else:
        assert is_json


NAMES = st.sampled_from(["seq", "SEQ", "last_by_subj", "batch", "start_time", "multi_last", "up_to_seq", "no_hdr", "x", "", "unknown"])
VALUES = JSON | st.sampled_from(
    [-0.0, 1.0, 1 << 63, (1 << 64) - 1, 1 << 64, "a", ["a", "b"], "2024-01-01T00:00:00Z", "\ud800", "\x00", "-0"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.booleans())
def test_the_fast_decoder_sees_what_the_other_one_sees(members: list[tuple[str, Any]], ascii_only: bool) -> None:
    text = ",".join(f"{json.dumps(name)}:{json.dumps(value, ensure_ascii=ascii_only)}" for name, value in members)
    body = f"{{{text}}}".encode("utf-8", "surrogatepass")
    slow = refusal(MessageGetRequest, body, into=MessageGetRequest())
    assert refusal(MessageGetRequest, body) == slow
    if slow is None:
        found = decode(MessageGetRequest, body)
        assert found == decode(MessageGetRequest, body, into=MessageGetRequest()) and type(found) is MessageGetRequest


TEXTS = st.lists(
    st.sampled_from(
        ["a", "b.*", "\\n", "\\/", '\\"', "\\\\", "\\u0041", "\\ud83d", "\\uDE00", "\\ud83d\\ude00", "\\u0000", "ü", "😀", "\x7f", "\udcff"]
    ),
    max_size=5,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=4), st.sampled_from(["", "null", "1"]), st.booleans())
def test_many_texts_are_the_same_by_the_fast_decoder(texts: list[str], odd: str, spaced: bool) -> None:
    between = " , " if spaced else ","
    items = between.join([f'"{text}"' for text in texts] + ([odd] if odd else []))
    members = between.join([f'"{text}":"{text}"' for text in texts] + ([f'"o":{odd}'] if odd else []))
    body = f'{{"subjects":[{items}],"metadata":{{{members}}},"metadata":{{"last":"1"}}}}'.encode("utf-8", "surrogateescape")

    def seen() -> tuple[str | None, Any]:
        said = refusal(StreamConfigRequest, body)
        return said, None if said else decode(StreamConfigRequest, body)

    with pytest.MonkeyPatch.context() as patch:
        slowly(patch)
        slow = seen()
    assert seen() == slow


def slowly(patch: pytest.MonkeyPatch) -> None:
    """Let nothing be read in a fast way."""
    patch.setattr("midge.engine.places._texts", lambda *_: None)
    patch.setattr("midge.engine.decoding.plain", lambda *_: None)
    patch.setattr("midge.engine.decoding.plain_list", lambda *_: None)


SAID = {
    "name": ['"s"', '"-0"', '""'],
    "opt_start_seq": ["1", "-0", "18446744073709551615"],
    "opt_start_time": ['"2024-01-01T00:00:00Z"', '"then"'],
    "filter_subject": ['"a.>"', '"a\\u002e"'],
    "subject_transforms": ["[]", '[{"src":"a","dest":"b"}]', '[{"src":"a","src":"c"}]', '[{"odd":1}]'],
    "external": ["{}", '{"api":"a"}', '{"deliver":"d"}', '{"api":"external"}'],
    "consumer": ['{"name":"c"}', '{"deliver_subject":"d"}'],
    "sources": [
        "[]",
        '[{"name":"s"},{"name":"t","external":{"api":"a"}}]',
        '[{"name":"s","external":{"api":"a"},"external":{"deliver":"d"}}]',
    ],
    "mirror": ['{"name":"m"}', '{"name":"m","external":{"api":"mirror"}}', '{"opt_start_time":"2024-01-01T00:00:00Z"}'],
    "storage": ['"memory"', '"disk"'],
    "discard": ['"new"', '"NEW"'],
    "compression": ['"s2"', '"zip"'],
    "retention": ['"workqueue"'],
    "metadata": ['{"a":"b"}', '{"a":"c","b":"metadata"}', "{}"],
    "consumer_limits": ['{"max_ack_pending":1}', "{}"],
    "republish": ['{"src":"a","dest":"b"}'],
    "placement": ['{"cluster":"c","tags":["t"]}', '{"tags":["u"]}'],
    "max_msgs": ["-1", "5", "1.0"],
}
MEMBERS = st.sampled_from([(name, value) for name, values in SAID.items() for value in [*values, "null"]] + [("odd", "1")])
SOURCES = st.lists(MEMBERS.filter(lambda each: each[0] in list(SAID)[:7]), max_size=4)


@settings(max_examples=400, deadline=None)
@given(st.lists(MEMBERS, max_size=4), st.lists(SOURCES, max_size=3), st.booleans())
def test_objects_are_the_same_by_the_fast_decoder(
    members: list[tuple[str, str]], sources: list[list[tuple[str, str]]], spaced: bool
) -> None:
    colon = " : " if spaced else ":"

    def written(some: list[tuple[str, str]]) -> str:
        return "{" + ",".join(f'"{name}"{colon}{value}' for name, value in some) + "}"

    body = written([*members, ("sources", f"[{','.join(map(written, sources))}]")] if sources else members).encode()

    def seen() -> tuple[str | None, Any]:
        said = refusal(StreamConfigRequest, body)
        return said, None if said else decode(StreamConfigRequest, body)

    with pytest.MonkeyPatch.context() as patch:
        slowly(patch)
        slow = seen()
    assert seen() == slow


@pytest.mark.parametrize("description", ["plain", "\\u00e9"])
def test_many_objects_take_no_step_each(description: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where all of a request is plain, nor where something else in it is not."""
    steps = 0
    read = Object.read

    def counted(*given: Any) -> tuple[Any, int]:
        nonlocal steps
        steps += 1
        return read(*given)

    monkeypatch.setattr(Object, "read", counted)
    sources = [{"name": f"s-0{number}", "external": {"api": "$JS.x.API"}, "opt_start_seq": number} for number in range(1_000)]
    body = json.dumps({"name": "S", "metadata": {"a": "b"}, "sources": sources, "consumer_limits": {"max_ack_pending": 5}}).encode()
    body = body.replace(b'{"name": "S"', b'{"description": "%b", "name": "S"' % description.encode())
    found = decode(StreamConfigRequest, body)
    assert [each.name for each in found.sources] == [each["name"] for each in sources] and steps < 5
    assert found.sources[9].external is not None and found.sources[9].opt_start_seq == 9
    assert found.consumer_limits.max_ack_pending == 5


@settings(max_examples=200, deadline=None)
@given(st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9))
def test_a_time_is_read_as_it_was_written(wall: int) -> None:
    text = time_text(wall)
    assert read_time(text) == text and time_of(text) == wall
