"""subject: what may be subscribed and published to, and what matches, by table and against a naive matcher."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midge.errors import InvalidSubjectError, LocalProtocolError
from midge.subject import check_publish, check_queue, check_subscribe, has_wildcard, is_valid, matches

calm = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

LITERALS = ["a", "a.b.c", "orders.new", "$JS.API.INFO", "_INBOX.x.1", "a*b", "a*.b", "*a", "foo>", ">a", "a.>b", "**", ">>", "a.b>",
            "\u00e4.\u96ea", "a\x0bb", "\x01", "a-b_c", "a\u00a0b", "\x7f"]  # fmt: skip
PATTERNS = ["*", ">", "*.*", "a.*", "*.a", "a.*.b", "a.>", "*.>", "a.*.>", "*.*.*.>"]
INVALID = ["", ".", "..", ".a", "a.", "a..b", ">.", ">.a", ">.>", "a.>.b", "a.>.>", ".>", ">.*", "a b", " a", "a ", "a\tb", "a\r", "a\n",
           "a\r\nPUB b 0", "a\x0cb", "a\x00", "\x00", " ", "\t"]  # fmt: skip
MATCHES = [
    ("a", "a", True), ("a", "b", False), ("a", "A", False), ("a", "a.b", False), ("a.b", "a", False),
    ("*", "a", True), ("*", "a.b", False), ("*", "*", True), ("*", ">", True), ("*.b", "a.b", True), ("*.b", "a.c", False),
    ("a.*", "a.b", True), ("a.*", "a", False), ("a.*", "a.b.c", False), ("a.*.c", "a.b.c", True), ("a.*.c", "a.b.d", False),
    (">", "a", True), (">", "a.b.c", True), ("a.>", "a", False), ("a.>", "a.b", True), ("a.>", "a.b.c.d", True), ("a.>", "b.c", False),
    ("*.>", "a", False), ("*.>", "a.b", True), ("*.*.>", "a.b", False), ("a.*.>", "a.b.c", True),
    ("a*", "ab", False), ("a*", "a*", True), ("foo>", "foox", False), ("foo>", "foo>", True), ("a.*", "a.*", True), ("a.>", "a.*", True),
]  # fmt: skip
TOKENS = st.sampled_from(["a", "b", "c", "*", ">", "a*", "", "ab"])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=5).map(".".join)


def naive(pattern: list[str], subject: list[str]) -> bool:
    """The definition, one token at a time."""
    if not pattern:
        return not subject
    if pattern == [">"]:
        return len(subject) > 0
    return bool(subject) and pattern[0] in ("*", subject[0]) and naive(pattern[1:], subject[1:])


@pytest.mark.parametrize("subject", LITERALS, ids=repr)
def test_literals(subject: str) -> None:
    assert is_valid(subject) and not has_wildcard(subject)
    assert check_publish(subject) == check_subscribe(subject) == subject.encode()


@pytest.mark.parametrize("subject", PATTERNS, ids=repr)
def test_patterns(subject: str) -> None:
    assert is_valid(subject) and has_wildcard(subject)
    assert check_subscribe(subject) == subject.encode()
    with pytest.raises(InvalidSubjectError, match="it holds a wildcard"):
        check_publish(subject)


@pytest.mark.parametrize("subject", INVALID, ids=repr)
def test_invalid(subject: str) -> None:
    assert not is_valid(subject)
    for check in (check_publish, check_subscribe):
        with pytest.raises(InvalidSubjectError) as caught:
            check(subject)
        assert caught.value.subject == subject
        assert isinstance(caught.value, (LocalProtocolError, ValueError))


@pytest.mark.parametrize("subject", [None, b"a", 7, ["a"]], ids=repr)
def test_not_a_str(subject: object) -> None:
    for check in (check_publish, check_subscribe, check_queue):
        with pytest.raises(InvalidSubjectError, match="not a str"):
            check(subject)  # type: ignore[arg-type]


def test_the_error_says_what_it_is_about() -> None:
    with pytest.raises(InvalidSubjectError, match="^invalid reply subject 'a b': it holds white space or a NUL$"):
        check_publish("a b", "reply subject")
    with pytest.raises(InvalidSubjectError, match="^invalid queue group 'a b': "):
        check_queue("a b")


@pytest.mark.parametrize("queue", ["q", "a.b", "a..b", "*", ">", "\u00e4"], ids=repr)
def test_queue_groups(queue: str) -> None:
    assert check_queue(queue) == queue.encode()


@pytest.mark.parametrize("queue", ["", " ", "a b", "a\r\n", "a\tb", "\x00"], ids=repr)
def test_invalid_queue_groups(queue: str) -> None:
    with pytest.raises(InvalidSubjectError):
        check_queue(queue)


def test_bytes_that_are_not_utf_8_go_out_as_they_came() -> None:
    """A subject that arrived as bytes can be published to again."""
    subject = b"a.\xff\xfe".decode("utf-8", "surrogateescape")
    assert check_publish(subject) == b"a.\xff\xfe"


@pytest.mark.parametrize("text", ["\ud800", "a.\udfff.b", "\udc00"], ids=ascii)
def test_a_lone_surrogate_is_an_invalid_name(text: str) -> None:
    """It has no UTF-8, and is none of the escapes that stand for a byte."""
    for check in (check_publish, check_subscribe, check_queue):
        with pytest.raises(InvalidSubjectError):
            check(text)


@calm
@given(st.text(max_size=20))
def test_what_is_accepted_can_never_become_protocol(text: str) -> None:
    for check in (check_publish, check_subscribe, check_queue):
        try:
            wire = check(text)
        except InvalidSubjectError:
            continue
        assert wire and not set(wire) & set(b" \t\r\n\x0c\x00")


@pytest.mark.parametrize("pattern, subject, expected", MATCHES)
def test_matches(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


@calm
@given(SUBJECTS.filter(is_valid), SUBJECTS)
def test_matches_like_a_naive_matcher(pattern: str, subject: str) -> None:
    assert matches(pattern, subject) == naive(pattern.split("."), subject.split("."))


@calm
@given(SUBJECTS)
def test_validity_like_a_naive_one(subject: str) -> None:
    tokens = subject.split(".")
    assert is_valid(subject) == ("" not in tokens and ">" not in tokens[:-1])
    assert has_wildcard(subject) == ("*" in tokens or ">" in tokens)


@calm
@given(SUBJECTS.filter(lambda subject: is_valid(subject) and not has_wildcard(subject)))
def test_a_literal_matches_itself_and_everything_that_covers_it(subject: str) -> None:
    tokens = subject.split(".")
    assert matches(subject, subject) and matches(">", subject) and matches(".".join("*" for _ in tokens), subject)
    assert not matches(subject + ".>", subject) and not matches(subject + ".*", subject)
