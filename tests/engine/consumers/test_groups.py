"""Priority groups: which requests are refused, and whose turn it is."""

import pytest

from midge.engine.consumers.groups import LAST, Claim, Groups, Verdict, rank, refusal

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("policy", "claim", "text"),
    [
        ("", Claim(), b""),
        ("", Claim(group="X"), b""),
        ("", Claim(min_pending=1), b"400 Bad Request - Not a Overflow Priority consumer"),
        ("", Claim(min_ack_pending=-1), b"400 Bad Request - Not a Overflow Priority consumer"),
        ("", Claim(id="x"), b"400 Bad Request - Not a Pinned Client Priority consumer"),
        ("", Claim(priority=10), b"400 Bad Request - Priority must be between 0 and 9"),
        ("", Claim(priority=-1), b"400 Bad Request - Priority must be between 0 and 9"),
        ("overflow", Claim(), b"400 Bad Request - Priority Group missing"),
        ("overflow", Claim(group="X"), b"400 Bad Request - Invalid Priority Group"),
        ("overflow", Claim(group="A", id="x"), b"400 Bad Request - Not a Pinned Client Priority consumer"),
        ("overflow", Claim(group="A", min_pending=5, priority=3), b""),
        ("pinned_client", Claim(group="A", min_pending=5), b"400 Bad Request - Not a Overflow Priority consumer"),
        ("pinned_client", Claim(group="A", id="x"), b""),
        ("prioritized", Claim(group="A", priority=9), b""),
    ],
)
def test_what_is_refused(policy: str, claim: Claim, text: bytes) -> None:
    assert refusal(claim, policy, ("A",)) == text


def test_a_request_that_says_nothing_is_never_refused() -> None:
    groups = Groups("pinned_client", ["A"], SECOND)
    groups.pin("P", "A", START)
    assert groups.refusal(None, START) == b""


@pytest.mark.parametrize(
    ("claim", "pending", "ack_pending", "verdict"),
    [
        (None, 1, 0, Verdict.SERVE),
        (Claim("A"), 1, 0, Verdict.SERVE),
        (Claim("A", min_pending=3), 2, 100, Verdict.PASS),
        (Claim("A", min_pending=3), 3, 0, Verdict.SERVE),
        (Claim("A", min_ack_pending=3), 100, 2, Verdict.PASS),
        (Claim("A", min_ack_pending=3), 1, 3, Verdict.SERVE),
        (Claim("A", min_pending=3, min_ack_pending=3), 1, 3, Verdict.SERVE),
        (Claim("A", min_pending=3, min_ack_pending=3), 3, 0, Verdict.SERVE),
        (Claim("A", min_pending=3, min_ack_pending=3), 2, 2, Verdict.PASS),
        (Claim("A", min_pending=-1), 1, 0, Verdict.SERVE),
    ],
)
def test_overflow(claim: Claim | None, pending: int, ack_pending: int, verdict: Verdict) -> None:
    assert Groups("overflow", ["A"], 0).verdict(claim, pending, ack_pending) is verdict


def test_the_first_request_without_an_id_is_pinned() -> None:
    groups = Groups("pinned_client", ["A"], SECOND)
    assert groups.verdict(Claim("A"), 1, 0) is Verdict.PIN
    groups.pin("P", "A", START)
    assert (groups.id, groups.group, groups.since, groups.due) == ("P", "A", START, START + SECOND)
    assert groups.verdict(Claim("A"), 1, 0) is Verdict.PASS
    assert groups.verdict(None, 1, 0) is Verdict.PASS
    assert groups.verdict(Claim("A", id="P"), 1, 0) is Verdict.SERVE
    assert groups.verdict(Claim("A", id="Q"), 1, 0) is Verdict.WRONG


def test_without_a_pin_an_old_id_ends_and_no_group_is_served_without_one() -> None:
    groups = Groups("pinned_client", ["A"], SECOND)
    assert groups.verdict(Claim("A", id="P"), 1, 0) is Verdict.WRONG
    assert groups.verdict(None, 1, 0) is Verdict.SERVE


def test_asking_keeps_the_pin_and_a_wrong_id_is_refused() -> None:
    groups = Groups("pinned_client", ["A"], SECOND)
    assert groups.refusal(Claim("A", id="Q"), START) == b""  # nobody is pinned: it is told when its turn comes
    groups.pin("P", "A", START)
    assert groups.refusal(Claim("A", id="Q"), START) == b"423 Nats-Pin-Id mismatch"
    assert groups.refusal(Claim("A"), START + 5) == b""
    assert groups.due == START + SECOND
    assert groups.refusal(Claim("A", id="P"), START + 5) == b""
    assert groups.due == START + 5 + SECOND


def test_a_pin_is_taken_away() -> None:
    groups = Groups("pinned_client", ["A"], SECOND)
    groups.pin("P", "A", START)
    groups.unpin()
    assert (groups.id, groups.group, groups.since, groups.due) == ("", "", 0, None)


def test_an_update_keeps_the_pin() -> None:
    groups = Groups("pinned_client", ["A"], SECOND)
    groups.pin("P", "A", START)
    groups.update("pinned_client", ["A", "B"], 2 * SECOND)
    assert groups.id == "P"
    assert groups.refusal(Claim("B", id="P"), START) == b""
    assert groups.due == START + 2 * SECOND


def test_only_prioritized_requests_have_ranks() -> None:
    assert rank(Claim("A", priority=5), "prioritized") == 5
    assert rank(None, "prioritized") == LAST
    assert rank(Claim("A", priority=5), "overflow") == rank(None, "") == 0
    assert Groups("prioritized", ["A"], 0).verdict(Claim("A", priority=5), 1, 0) is Verdict.SERVE
