"""server.connect: what a CONNECT line says, as leniently as Go's decoder and as strictly."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midge.errors import RemoteProtocolError
from midge.server.connect import DEFAULT, Connect, check_info, parse_connect

FIELDS = Connect.__struct_fields__
ALMOST_DEFAULT = msgspec.structs.replace(DEFAULT)  # equal, but never decoded in the fast way
ACCEPTED: list[tuple[bytes, dict[str, Any]]] = [
    (b"{}", {}),
    (b"null", {}),
    (b" { } ", {}),
    (b'{"verbose":false,"pedantic":false}', {"verbose": False, "pedantic": False}),
    (b'{"VERBOSE":false,"Pedantic":false,"eCHO":false}', {"verbose": False, "pedantic": False, "echo": False}),
    (b'{"verbose":null,"name":null,"protocol":null}', {}),
    (b'{"pass":"secret","user":"me"}', {"password": "secret", "user": "me"}),
    (b'{"PASS":"secret"}', {"password": "secret"}),
    (b'{"password":"secret"}', {}),
    (b'{"auth_token":"t","nkey":"U","sig":"s","jwt":"j"}', {"auth_token": "t", "nkey": "U", "sig": "s", "jwt": "j"}),
    (b'{"lang":"go","version":"1.2","name":"n","protocol":1}', {"lang": "go", "version": "1.2", "name": "n", "protocol": 1}),
    (b'{"headers":true,"no_responders":true,"tls_required":true}', {"headers": True, "no_responders": True, "tls_required": True}),
    (b'{"account":"A","new_account":true}', {"account": "A", "new_account": True}),
    (b'{"protocol":5}', {"protocol": 5}),
    (b'{"protocol":-1}', {"protocol": -1}),
    (b'{"unknown":[1,{"a":null}],"other":"x"}', {}),
    (b'{"verbose":true,"verbose":false}', {"verbose": False}),
    (b'{"verbose":false,"VERBOSE":true}', {"verbose": True}),
    (b'{"verbose":false,"verbose":null}', {"verbose": False}),
    (b'{"verbose":false,"VERBOSE":true,"verbose":false}', {"verbose": False}),
    (b'{"name":"first","name":"second"}', {"name": "second"}),
    ('{"name":"\u00e4\u96ea"}'.encode(), {"name": "\u00e4\u96ea"}),
    (b'{"name":"\\u00e4\\n\\""}', {"name": '\u00e4\n"'}),
    (b'{"name":"\xff"}', {"name": "\ufffd"}),
    (b'{"name":""}', {"name": ""}),
]
REFUSED = [
    b"", b" ", b"\r", b"\n", b"{", b"}", b"{bad", b"[]", b"[{}]", b'"x"', b"1", b"true", b"{} x", b"{}{}", b'{"verbose":false}}',
    b"{'verbose':false}", b"{} \x00", b'{"name":"\x01"}', b'{"name":"a\nb"}', b'{"a":NaN}', b'{"a":-Infinity}', b"\xff", b"\xef\xbb\xbf{}",
    b'{"verbose":"false"}', b'{"verbose":0}', b'{"verbose":{}}', b'{"name":1}', b'{"name":true}', b'{"name":["a"]}', b'{"user":{}}',
    b'{"protocol":"1"}', b'{"protocol":1.0}', b'{"protocol":1.5}', b'{"protocol":true}', b'{"pass":1}', b'{"verbose":}', b'{"verbose"}',
    b'{verbose:false}', b'{"a":1,}', b'{"x":"\\x"}', b'{"protocol":9223372036854775808}',
]  # fmt: skip


@pytest.mark.parametrize("line, expected", ACCEPTED, ids=[repr(line) for line, _ in ACCEPTED])
def test_accepted(line: bytes, expected: dict[str, Any]) -> None:
    connect = parse_connect(line, DEFAULT)
    assert connect == msgspec.structs.replace(DEFAULT, **expected)


@pytest.mark.parametrize("escape, expected", [("\\ud83d\\ude00", "\U0001f600"), ("\\ud83d", "\ufffd"), ("a\\udc00b", "a\ufffdb")], ids=repr)
def test_half_a_surrogate_pair_is_replaced_as_in_go(escape: str, expected: str) -> None:
    """A str that has no UTF-8 would trip whoever logs or forwards it."""
    connect = parse_connect(f'{{"name":"{escape}","user":"{escape}"}}'.encode(), DEFAULT)
    assert (connect.name, connect.user) == (expected, expected)


@pytest.mark.parametrize("line", REFUSED, ids=repr)
def test_refused_without_an_answer(line: bytes) -> None:
    """nats-server closes the connection and says nothing."""
    with pytest.raises(RemoteProtocolError, match="^invalid ") as caught:
        parse_connect(line, DEFAULT)
    assert caught.value.answer is None


def test_what_a_person_gets_who_types_it() -> None:
    connect = parse_connect(b"{}", DEFAULT)
    assert connect.verbose and connect.pedantic and connect.echo
    assert not connect.headers and not connect.no_responders and connect.protocol == 0


def test_a_second_connect_changes_only_what_it_names() -> None:
    first = parse_connect(b'{"verbose":false,"name":"n","protocol":1,"headers":true}', DEFAULT)
    second = parse_connect(b'{"name":"m","headers":null}', first)
    assert (second.verbose, second.name, second.protocol, second.headers, second.pedantic) == (False, "m", 1, True, True)
    assert (first.name, DEFAULT.verbose) == ("n", True)


def test_a_wrong_second_connect_changes_nothing() -> None:
    first = parse_connect(b'{"name":"n"}', DEFAULT)
    with pytest.raises(RemoteProtocolError):
        parse_connect(b'{"name":"m","verbose":1}', first)
    assert first.name == "n"


def test_credentials_are_not_shown() -> None:
    connect = parse_connect(b'{"user":"me","pass":"s3cret","auth_token":"t0ken","sig":"s1gn","jwt":"eyJhb"}', DEFAULT)
    assert "me" in repr(connect)
    for secret in ("s3cret", "t0ken", "s1gn", "eyJhb"):
        assert secret not in repr(connect)


def test_a_reason_does_not_show_credentials() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_connect(b'{"pass":"s3cret","verbose":1}', DEFAULT)
    assert "s3cret" not in caught.value.reason


@pytest.mark.parametrize("nested", [b'{"x":' * 680 + b"1" + b"}" * 680, b'{"x":' + b"[" * 2040 + b"]" * 2040 + b"}"], ids=["{", "["])
def test_deep_nesting_is_no_crash(nested: bytes) -> None:
    """As deep as a control line of 4096 bytes allows; Go accepts 10,000 levels. Refusing is fine, any other exception is not."""
    assert len(nested) <= 4096
    try:
        assert parse_connect(nested, DEFAULT) == DEFAULT
    except RemoteProtocolError as error:
        assert error.answer is None


@pytest.mark.parametrize("number", [b"9" * 4000, b"-" + b"9" * 4000, b"1e999", b"-1e999", b"1e-999", b"0." + b"9" * 4000, b"1" + b"0" * 30])
@pytest.mark.parametrize("key", [b"unknown", b"protocol"])
def test_a_hostile_number_is_no_crash(key: bytes, number: bytes) -> None:
    try:
        parse_connect(b'{"%b":%b}' % (key, number), DEFAULT)
    except RemoteProtocolError as error:
        assert error.answer is None


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=40)
    | st.dictionaries(
        st.sampled_from([*FIELDS, "pass", "Verbose", "x"]),
        st.sampled_from(["null", "true", "false", "0", "1", "1.0", '"x"', "[]", "{}", '"\\ud800"', "1e5"]),
    ).map(lambda pairs: ("{" + ",".join(f'"{key}":{value}' for key, value in pairs.items()) + "}").encode())
)
def test_accepted_or_refused_and_nothing_else(line: bytes) -> None:
    try:
        connect = parse_connect(line, DEFAULT)
    except RemoteProtocolError as error:
        assert error.answer is None
        return
    for field in FIELDS:
        assert type(getattr(connect, field)) is type(getattr(DEFAULT, field))


def outcome(line: bytes, before: Connect) -> Connect | None:
    try:
        return parse_connect(line, before)
    except RemoteProtocolError:
        return None


ODD = [
    "", "null", "[]", " {} ", "{", "{}x", '{"verbose":1}', '{"protocol":1.0}', '{"protocol":1e0}', '{"protocol":1.5}', '{"protocol":-0}',
    '{"protocol":01}', '{"protocol":9223372036854775807}', '{"protocol":9223372036854775808}', '{"protocol":-9223372036854775808}',
    '{"protocol":-9223372036854775809}', '{"protocol":99999999999999999999999}', '{"protocol":true}', '{"protocol":"1"}',
    '{"protocol":NaN}', '{"protocol":+1}', '{"protocol":1e999}', '{"protocol": 1}\r', '{"verbose":tru}', '{"verbose":"true"}',
    '{"verbose":true,"verbose":null}', '{"name":"a\x01b"}', '{"name":"a\tb"}', '{"name":"a\x7fb"}', '{"name":"a\x00b"}', '{"name":"a",}',
    '{"name":"a"} \x0b', '\x0c{"name":"a"}', '{"name":"a","name":"b"}', '{"name":1,"name":"b"}', '{"name":"a","name":1}',
    '{"name":"a","Name":"c"}', '{"name":null}', '{"x":NaN}', '{"x":1e999}', '{"pass":"x","password":"y"}', "{'a':1}",
]  # fmt: skip
VALUES = ["null", "true", "0", "-1", "1.0", "1e5", "9" * 25, '"x"', '"\x7f"', '"\x1f"', '"a\\u0041"', "[]", "NaN", "Infinity", "1 ", "\f1"]


@pytest.mark.parametrize("line", ODD, ids=repr)
def test_the_fast_way_gives_what_the_lenient_one_gives(line: str) -> None:
    assert outcome(line.encode(), DEFAULT) == outcome(line.encode(), ALMOST_DEFAULT)


@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from([*FIELDS, "pass", "Verbose", "x", "\u017fig"]), st.sampled_from(VALUES))),
    st.sampled_from(["", "x", ","]),
)
def test_and_for_any_members(members: list[tuple[str, str]], tail: str) -> None:
    line = ("{" + ",".join(f'"{key}":{value}' for key, value in members) + tail + "}").encode()
    assert outcome(line, DEFAULT) == outcome(line, ALMOST_DEFAULT)


INFOS = [b"{}", b"null", b'{"server_id":"X","proto":1,"headers":true,"connect_urls":["a"]}', b'{"SERVER_ID":null,"x":[{}]}']
BAD_INFOS = [b"", b"[]", b"{", b'{"server_id":1}', b'{"PROTO":"1"}', b'{"connect_urls":"a"}', b'{"headers":0}', b"[" * 4000]


@pytest.mark.parametrize("line", INFOS, ids=repr)
def test_an_info_from_a_client_means_nothing(line: bytes) -> None:
    check_info(line)


@pytest.mark.parametrize("line", BAD_INFOS, ids=lambda line: repr(line[:30]))
def test_but_nats_server_decodes_it(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="^invalid ") as caught:
        check_info(line)
    assert caught.value.answer is None
