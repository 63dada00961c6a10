"""server.watch: who is told of interest, when, and what callbacks may do."""

import pytest
from hubs import Client, new_hub

from midge.server.peer import CLIENT, Peer
from midge.server.sublist import Sublist, Subscription

NOBODY = Peer(1, CLIENT, None)


def subscribe(subjects: Sublist, subject: bytes, queue: bytes | None = None) -> Subscription:
    """Insert a subscription and return it."""
    sub = Subscription(NOBODY, subject, queue, b"1")
    assert subjects.insert(sub)
    return sub


def test_a_watch_is_told_of_the_first_and_the_last() -> None:
    subjects, told = Sublist(), []
    watch = subjects.watch(b"a.b", told.append)
    assert watch.interested is False and told == []
    subs = [subscribe(subjects, b"a.b") for _ in range(3)]
    assert told == [True] and watch.interested is True
    for sub in subs:
        assert told == [True]
        subjects.remove(sub)
    assert told == [True, False] and watch.interested is False
    subscribe(subjects, b"a.b")
    assert told == [True, False, True]


def test_a_watch_begins_with_the_state_there_is() -> None:
    subjects, told = Sublist(), []
    sub = subscribe(subjects, b"a")
    watch = subjects.watch(b"a", told.append)
    assert watch.interested and subjects.has_interest(b"a") and told == []
    subjects.remove(sub)
    assert told == [False] and not subjects.has_interest(b"a")


def test_only_exactly_this_subject_counts() -> None:
    subjects, told = Sublist(), []
    subjects.watch(b"a.b", told.append)
    subjects.watch(b"a.*", lambda interested: told.append(("star", interested)))
    for pattern in (b">", b"*.b", b"a.>", b"a", b"a.b.c"):
        subscribe(subjects, pattern)
    subscribe(subjects, b"a.b", b"q")
    assert told == []
    subscribe(subjects, b"a.*")
    assert told == [("star", True)]


def test_a_watch_of_a_queue_group() -> None:
    subjects, told = Sublist(), []
    watch = subjects.watch(b"a", told.append, b"q")
    subscribe(subjects, b"a")
    subscribe(subjects, b"a", b"r")
    assert told == []
    subs = [subscribe(subjects, b"a", b"q") for _ in range(2)]
    subjects.remove(subs[0])
    assert told == [True] and watch.interested and subjects.has_interest(b"a", b"q")
    subjects.remove(subs[1])
    assert told == [True, False] and not subjects.has_interest(b"a", b"q")


def test_a_cancelled_watch_is_not_told() -> None:
    subjects, told = Sublist(), []
    first, second = subjects.watch(b"a", told.append), subjects.watch(b"a", told.append)
    first.cancel()
    first.cancel()
    assert first.cancelled and not second.cancelled
    subscribe(subjects, b"a")
    assert told == [True]
    second.cancel()
    subscribe(subjects, b"b")
    assert told == [True]


def test_callbacks_may_change_subscriptions_and_watches() -> None:
    """They are called when all is done, one at a time, and hear of what the others did."""
    subjects, told, depth = Sublist(), [], 0

    def first(interested: bool) -> None:
        nonlocal depth
        depth += 1
        assert depth == 1 and subjects.has_interest(b"a") == interested
        told.append(("first", interested))
        if interested:
            subjects.remove(sub)
            third.cancel()
            subjects.watch(b"b", lambda there: told.append(("new", there)))
            subscribe(subjects, b"b")
        depth -= 1

    subjects.watch(b"a", first)
    subjects.watch(b"a", lambda interested: told.append(("second", interested)))
    third = subjects.watch(b"a", lambda interested: told.append(("third", interested)))
    sub = Subscription(NOBODY, b"a", None, b"1")
    assert subjects.insert(sub)
    assert told[0] == ("first", True) and set(told[1:]) == {("first", False), ("new", True)}, "the second had nothing to hear"
    assert subjects.count == 1


def test_watches_that_answer_each_other_do_not_recurse() -> None:
    subjects, rounds = Sublist(), 0
    subs = [Subscription(NOBODY, name, None, b"1") for name in (b"a", b"b")]

    def answer(interested: bool) -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 10_000:
            (subjects.remove if interested else subjects.insert)(subs[0])

    subjects.watch(b"a", answer)
    subjects.insert(subs[0])
    assert rounds == 10_000


def test_nobody_is_told_within_a_routing_pass() -> None:
    subjects, told = Sublist(), []
    subjects.watch(b"a", told.append)
    subjects.watch(b"b", lambda interested: told.append(("b", interested)))
    sub = subscribe(subjects, b"a")
    assert told == [True]
    subjects.routing += 1
    subjects.remove(sub)
    subjects.remove(subscribe(subjects, b"b"))
    subjects.settle()
    assert told == [True] and subjects.unsettled
    subjects.routing -= 1
    subjects.settle()
    assert told == [True, False], "what came and went meanwhile is not told"
    assert not subjects.unsettled


def test_a_callback_that_fails_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    subjects, told = Sublist(), []

    def fail(interested: bool) -> None:
        subscribe(subjects, b"b")
        raise OSError("a bug")

    subjects.watch(b"a", fail)
    subjects.watch(b"a", told.append)
    subjects.watch(b"b", lambda interested: told.append(("b", interested)))
    sub = subscribe(subjects, b"a")
    assert (subjects.count, subjects.unsettled) == (2, False) and sorted(told, key=str) == [("b", True), True]
    assert subjects.remove(sub) and told[-1] is False
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", "internal error in a watch")] * 2
    assert "OSError: a bug" in caplog.text


def test_a_client_ends_although_a_watch_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Its subscriptions are taken out one by one, and each may be the last that somebody watched."""
    hub = new_hub()
    session = Client(hub).session

    def fail(interested: bool) -> None:
        raise LookupError("a bug")

    for subject in (b"a", b"b"):
        hub.account.sublist.watch(subject, fail)
    session.receive_data(b"SUB a 1\r\nSUB b 2\r\nPING\r\n", 0.0)
    assert b"PONG" in session.data_to_send() and session.closing is None
    session.close("test")
    assert session.subs == {} and hub.account.sublist.count == 0 and not hub.sessions
    assert len(caplog.records) == 4


def test_an_interrupt_comes_out_and_the_others_are_told_by_the_next() -> None:
    subjects, told = Sublist(), []

    def interrupt(interested: bool) -> None:
        subscribe(subjects, b"b")
        raise KeyboardInterrupt

    subjects.watch(b"a", interrupt)
    subjects.watch(b"a", told.append)
    with pytest.raises(KeyboardInterrupt):
        subscribe(subjects, b"a")
    assert subjects.count == 2 and subjects.unsettled and told == []
    subjects.settle()
    assert told == [True] and not subjects.unsettled


def test_a_storm_costs_one_entry() -> None:
    subjects, told = Sublist(), []
    subjects.watch(b"a", told.append)
    subjects.routing += 1
    for _ in range(1001):
        sub = subscribe(subjects, b"a")
        subjects.remove(sub)
    subjects.insert(sub)
    subjects.routing -= 1
    subjects.settle()
    assert told == [True]
