"""server.permissions and server.guard: what permissions allow, against a model that knows no trees, and what a client can make us keep."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.server import guard as guard_module
from midge.server import permissions as module
from midge.server.access import Permissions, Responses
from midge.server.guard import Guard
from midge.server.permissions import ALLOWED, DENIED, FILTERED, Policy, check_permissions
from midge.wire.publication import Publication

TOKENS = st.sampled_from(["a", "b", "*"])
PATTERNS = st.lists(TOKENS, min_size=1, max_size=3).flatmap(
    lambda tokens: st.sampled_from([".".join(tokens), ".".join([*tokens, ">"]), ".".join([*tokens[:-1], ">"])])
)
SUBJECTS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)
QUEUES = st.sampled_from([None, "a", "a.b", "c"])
ENTRIES = st.one_of(PATTERNS, st.tuples(PATTERNS, PATTERNS).map(" ".join))


def publication(subject: bytes, reply: bytes = b"") -> Publication:
    return Publication.compose(subject, reply, b"", b"x")


def covers(pattern: list[str], other: list[str]) -> bool:
    """True if all that matches the other pattern matches this one."""
    if not pattern or not other:
        return pattern == other
    if pattern[0] == ">":
        return True
    if other[0] == ">" or (pattern[0] != "*" and pattern[0] != other[0]):
        return False
    return covers(pattern[1:], other[1:])


def literally(pattern: list[str], tokens: list[str]) -> bool:
    """True if the tokens match, each taken for what it is: in what is denied a wildcard of the client's is a token like any other."""
    if pattern[:1] == [">"]:
        return bool(tokens)
    if not pattern or not tokens:
        return pattern == tokens
    return pattern[0] in ("*", tokens[0]) and literally(pattern[1:], tokens[1:])


def collide(one: list[str], other: list[str]) -> bool:
    if not one or not other:
        return one == other
    if ">" in (one[0], other[0]):
        return True
    return ("*" in (one[0], other[0]) or one[0] == other[0]) and collide(one[1:], other[1:])


def split(text: str) -> list[str]:
    return text.split(".")


def in_group(queue: str, pattern: str) -> bool:
    return queue == pattern or covers(split(pattern), split(queue))


def expected(permissions: Permissions, subject: str, queue: str | None) -> int:
    """What may become of a subscription, entry by entry."""
    tokens = split(subject)
    if permissions.subscribe_allow is not None:
        found = [entry.split() for entry in permissions.subscribe_allow if covers(split(entry.split()[0]), tokens)]
        groups = [entry[1] for entry in found if len(entry) == 2]
        allowed = any(in_group(queue, group) for group in groups) if queue and groups else any(len(entry) == 1 for entry in found)
        if not allowed:
            return DENIED
    if denied(permissions, subject, queue):
        return DENIED
    is_wide = queue is not None or "*" in tokens or ">" in tokens
    overlaps = any(collide(split(entry.split()[0]), tokens) for entry in permissions.subscribe_deny)
    return FILTERED if is_wide and overlaps else ALLOWED


def denied(permissions: Permissions, subject: str, queue: str | None) -> bool:
    for entry in permissions.subscribe_deny:
        pattern, *group = entry.split()
        if literally(split(pattern), split(subject)) and (not group or (queue is not None and in_group(queue, group[0]))):
            return True
    return False


@settings(deadline=None, max_examples=300)
@given(
    st.none() | st.lists(ENTRIES, max_size=4), st.lists(ENTRIES, max_size=3), PATTERNS | SUBJECTS, QUEUES, st.lists(SUBJECTS, max_size=4)
)
def test_subscriptions_are_what_the_model_says(
    allow: list[str] | None, deny: list[str], subject: str, queue: str | None, published: list[str]
) -> None:
    permissions = Permissions(subscribe_allow=None if allow is None else tuple(allow), subscribe_deny=tuple(deny))
    policy = Policy(permissions)
    group = None if queue is None else queue.encode()
    assert policy.may_subscribe(subject.encode(), group) == expected(permissions, subject, queue)
    guard = Guard(policy)
    for each in published * 2:
        assert guard.denies(publication(each.encode()), group) == denied(permissions, each, queue)


@settings(deadline=None, max_examples=300)
@given(st.none() | st.lists(PATTERNS, max_size=4), st.lists(PATTERNS, max_size=3), st.lists(SUBJECTS | PATTERNS, max_size=6))
def test_publishes_are_what_the_model_says(allow: list[str] | None, deny: list[str], subjects: list[str]) -> None:
    guard = Guard(Policy(Permissions(publish_allow=None if allow is None else tuple(allow), publish_deny=tuple(deny))))
    for subject in subjects * 2:
        tokens = split(subject)
        allowed = (allow is None or any(literally(split(entry), tokens) for entry in allow)) and not any(
            literally(split(entry), tokens) for entry in deny
        )
        assert guard.may_publish(publication(subject.encode()), 0.0) == allowed


def test_a_star_does_not_allow_the_rest() -> None:
    """nats-server lets ``foo.*`` stand for ``foo.>``, and delivers what was never allowed."""
    policy = Policy(Permissions(subscribe_allow=("foo.*", "bar.* q")))
    assert policy.may_subscribe(b"foo.>", None) == DENIED
    assert policy.may_subscribe(b"bar.>", b"q") == DENIED
    assert policy.may_subscribe(b"foo.*", None) == policy.may_subscribe(b"bar.*", b"q") == ALLOWED


def test_an_empty_list_allows_nothing() -> None:
    policy = Policy(Permissions(publish_allow=(), subscribe_allow=()))
    assert not policy.may_publish(b"a")
    assert policy.may_subscribe(b"a", None) == DENIED


def test_the_verdicts_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VERDICTS", 10)
    policy = Policy(Permissions(publish_allow=("a.>",), subscribe_deny=("b.>",)))
    for n in range(100):
        assert policy.may_publish(b"a.%d" % n)
        assert policy.denies(b"b.%d" % n, b"q")
        assert len(policy.verdicts) <= 10 and len(policy.denials) <= 10
    policy.verdicts.clear()
    policy.denials.clear()
    assert policy.may_publish(b"a." + b"x" * 1000)
    assert policy.denies(b"b." + b"x" * 1000, None)
    assert not policy.verdicts and not policy.denials


# Answers


def responder(**fields: float) -> Guard:
    return Guard(Policy(Permissions(responses=Responses(**fields))))  # type: ignore[arg-type]


def test_an_answer_may_be_given_so_often() -> None:
    guard = responder(max_msgs=2)
    answer = publication(b"reply")
    assert not guard.may_publish(answer, 0.0)
    guard.expect(publication(b"request", b"reply"), 0.0)
    assert [guard.may_publish(answer, 1.0) for _ in range(4)] == [True, True, False, False]
    assert guard.expected() == 0


def test_an_answer_expires() -> None:
    guard = responder(max_msgs=-1, expires=10.0)
    guard.expect(publication(b"request", b"reply"), 0.0)
    assert guard.may_publish(publication(b"reply"), 10.0)
    assert not guard.may_publish(publication(b"reply"), 10.1)
    assert guard.expected() == 0


def test_an_answer_without_limits() -> None:
    guard = responder(max_msgs=-1, expires=-1.0)
    guard.expect(publication(b"request", b"reply"), 0.0)
    assert all(guard.may_publish(publication(b"reply"), 1e9) for _ in range(100))


def test_the_defaults_stand_for_nothing() -> None:
    policy = Policy(Permissions(responses=Responses(max_msgs=0, expires=0.0)))
    assert (policy.answers, policy.expires) == (1, 120.0)


def test_no_answer_is_expected_where_it_may_publish_anyway() -> None:
    guard = Guard(Policy(Permissions(publish_allow=("ok.>",), responses=Responses())))
    guard.expect(publication(b"request", b"ok.reply"), 0.0)
    assert guard.expected() == 0
    assert guard.may_publish(publication(b"ok.reply"), 0.0)


def test_what_has_expired_is_forgotten() -> None:
    guard = responder(max_msgs=1, expires=10.0)
    for n in range(100):
        guard.expect(publication(b"request", b"reply.%d" % n), float(n))
    assert guard.expected() <= 12


def test_a_flood_of_requests_is_bounded() -> None:
    guard = responder(max_msgs=-1, expires=-1.0)
    for n in range(guard_module.MAX_REPLIES + 100):
        guard.expect(publication(b"request", b"%d" % n), 0.0)
    assert guard.expected() == guard_module.MAX_REPLIES
    assert not guard.may_publish(publication(b"0"), 0.0)
    assert guard.may_publish(publication(b"%d" % (guard_module.MAX_REPLIES + 99)), 0.0)


def test_a_flood_of_long_reply_subjects_is_bounded() -> None:
    guard = responder(max_msgs=-1, expires=-1.0)
    size = 4000
    for n in range(guard_module.MAX_REPLY_BYTES // size + 100):
        guard.expect(publication(b"request", b"%d" % n + b"x" * (size - len(b"%d" % n))), 0.0)
    assert guard.expected() == guard_module.MAX_REPLY_BYTES // size


# What is no permission


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"publish_allow": ("a..b",)}, 'publish allow: subject "a..b" is not a valid subject'),
        ({"publish_deny": ("a b",)}, 'publish deny: subject "a b" is not a valid subject'),
        ({"publish_allow": ("",)}, 'publish allow: subject "" is not a valid subject'),
        ({"publish_allow": (">.a",)}, 'publish allow: subject ">.a" is not a valid subject'),
        ({"subscribe_allow": ("a b c",)}, 'subscribe allow: subject "a b c" is not a valid subject'),
        ({"subscribe_allow": ("a..b q",)}, 'subscribe allow: subject "a..b" is not a valid subject'),
        ({"subscribe_deny": ("a q..r",)}, 'subscribe deny: queue "q..r" is not a valid queue'),
        ({"subscribe_deny": ("",)}, 'subscribe deny: subject "" is not a valid subject'),
    ],
)
def test_a_subject_must_be_one(fields: dict[str, tuple[str, ...]], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_permissions(Permissions(**fields))  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_the_empty_subject_is_none_that_was_allowed() -> None:
    """Where a mapping sends what is meant to be lost."""
    guard = Guard(Policy(Permissions(publish_allow=(">",))))
    assert not guard.may_publish(publication(b""), 0.0)
    assert guard.may_publish(publication(b"a"), 0.0) and not guard.may_publish(publication(b""), 0.0)
