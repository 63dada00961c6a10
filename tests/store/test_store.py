"""The verbs of a store, asked of every kind of store: what each promises in ``store/base.py``."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store.kinds import KINDS, MemoryShop, Shop
from store.plain import totals

from midge.store.base import ELSEWHERE, Store, Stored, Total
from midge.store.memory import MemoryStore
from midge.wire.publication import Publication

MakeStore = Callable[[], Store]


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Where stores of one kind are opened."""
    shop = KINDS[request.param](tmp_path)
    yield shop
    shop.close()


@pytest.fixture
def make_store(shop: Shop) -> MakeStore:
    """Opens an empty store."""
    return shop.open


def put(store: Store, *subjects: str, time: int = 1_000, header: bytes = b"", payload: bytes = b"x") -> None:
    """Append a message to each subject, one nanosecond after the other."""
    for at, subject in enumerate(subjects):
        store.append(Publication.compose(subject.encode(), b"", header, payload), max(time, store.last_time) + at)


def state(store: Store) -> tuple[int, int, int, int]:
    return store.messages, store.first, store.last, store.deleted


def sequences(store: Store, start: int = 1) -> list[int]:
    return [stored.sequence for stored in store.scan(start)]


# Nothing


def test_a_new_store_has_nothing(make_store: MakeStore) -> None:
    store = make_store()
    assert state(store) == (0, 0, 0, 0)
    assert (store.size, store.first_time, store.last_time, store.committed, store.subjects, store.failure) == (0, 0, 0, 0, 0, None)
    assert store.peek(1) is None and store.read(0) is None and list(store.scan()) == []
    assert store.next((), 1) == store.previous((), 10) == store.pending((), 1) == 0
    assert store.lasts(()) == [] and store.total(b"a") is None and totals(store, b">") == {} and list(store.gaps()) == []
    assert store.at_time(0) == store.at_time(5) == 1
    assert not store.remove(1) and not store.erase(1) and store.purge() == store.drop(1) == 0
    assert state(store) == (0, 0, 0, 0)


# Append and read


@pytest.mark.parametrize("header", [b"", b"NATS/1.0\r\nA: b\r\n\r\n"])
@pytest.mark.parametrize("payload", [b"", b"hello", b"\r\n\x00\xff" * 1000, b"p" * 300_000])
def test_what_is_appended_can_be_read(make_store: MakeStore, shop: Shop, header: bytes, payload: bytes) -> None:
    store = make_store()
    assert store.append(Publication.compose(b"orders.new", b"", header, payload), 5) == 1
    assert store.append(Publication.compose(b"a", b"reply", header, b"second"), 6) == 2
    shop.turn()
    assert store.read(1) == Stored(1, 5, b"orders.new", header, payload)
    assert list(store.scan()) == [Stored(1, 5, b"orders.new", header, payload), Stored(2, 6, b"a", header, b"second")]
    assert store.peek(2) in (Stored(2, 6, b"a", header, b"second"), ELSEWHERE)
    assert store.committed == store.last == 2 and store.subjects == 2
    assert store.size_of(1) == store.weight(10, len(header), len(payload))
    assert store.size == store.size_of(1) + store.size_of(2)


def test_messages_that_are_stored_together(make_store: MakeStore, shop: Shop) -> None:
    store = make_store()
    put(store, "a")
    assert store.append_all([Publication.compose(subject, b"", b"", b"x") for subject in (b"b", b"a", b"c")], 2_000) == 4
    shop.turn()
    assert [stored.subject for stored in store.scan()] == [b"a", b"b", b"a", b"c"] and store.total(b"a") == Total(2, 1, 3)
    with pytest.raises(ValueError, match="no messages"):
        store.append_all([], 3_000)
    assert store.last == 4


def test_a_message_is_copied(make_store: MakeStore) -> None:
    store = make_store()
    publication = Publication.compose(b"a", b"", b"", b"kept")
    store.append(publication, 1)
    publication.buf[:] = bytes(len(publication.buf))
    stored = store.read(1)
    assert stored is not None and (stored.subject, stored.payload) == (b"a", b"kept")


def test_time_never_goes_back(make_store: MakeStore) -> None:
    store = make_store()
    for time in (5, 9, 7, 10):
        store.append(Publication.compose(b"a", b"", b"", b""), time)
    assert [store.time_of(sequence) for sequence in range(6)] == [0, 5, 9, 9, 10, 0]
    assert (store.first_time, store.last_time) == (5, 10)
    assert [store.at_time(time) for time in (0, 5, 6, 9, 10, 11)] == [1, 1, 2, 2, 4, 5]


def test_load_answers_later(make_store: MakeStore, shop: Shop) -> None:
    store = make_store()
    put(store, "a", "b", "c")
    store.remove(2)
    shop.turn()
    answers: list[list[Stored | None] | Exception] = []
    store.load([3, 2, 1, 9], answers.append)
    assert answers == []
    shop.turn()
    (answer,) = answers
    assert isinstance(answer, list)
    assert [None if stored is None else stored.subject for stored in answer] == [b"c", None, b"a", None]


def test_settle_answers_later(make_store: MakeStore, shop: Shop) -> None:
    store = make_store()
    answers: list[Exception | None] = []
    store.settle(answers.append)
    put(store, "a")
    store.settle(answers.append)
    assert answers == []
    shop.turn()
    assert answers == [None, None] and store.committed == 1


def test_many_messages_of_all_sizes(make_store: MakeStore, shop: Shop) -> None:
    store = make_store()
    for n in range(3_000):
        put(store, f"s.{n % 7}", payload=b"%d" % n * (n % 50))
    shop.turn()
    for stored in store.scan():
        assert stored.payload == b"%d" % (stored.sequence - 1) * ((stored.sequence - 1) % 50)
    assert sequences(store, 2_990) == list(range(2_990, 3_001))


# Remove


def test_remove_leaves_a_gap(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a", "b", "a", "c")
    size = store.size - store.size_of(2)
    assert store.remove(2) and not store.remove(2) and not store.remove(5)
    assert state(store) == (3, 1, 4, 1) and store.size == size
    assert store.read(2) is None and store.subject_of(2) is None and store.time_of(2) == store.size_of(2) == 0
    assert store.subjects == 2 and store.total(b"b") is None
    assert list(store.gaps()) == [(2, 2)] and sequences(store) == [1, 3, 4]


def test_first_moves_on_and_last_stays(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a", "a", "a", "a")
    store.remove(2)
    store.remove(1)
    assert state(store) == (2, 3, 4, 0) and store.first_time == store.time_of(3)
    last_time = store.last_time
    store.remove(4)
    assert state(store) == (1, 3, 4, 1) and list(store.gaps()) == [(4, 4)]
    store.remove(3)
    assert state(store) == (0, 5, 4, 0) and (store.first_time, store.last_time, store.size) == (0, last_time, 0)
    assert list(store.gaps()) == [] and store.subjects == 0
    put(store, "b")
    assert state(store) == (1, 5, 5, 0)


def test_erase_removes(make_store: MakeStore, shop: Shop) -> None:
    store = make_store()
    put(store, "a", "b", header=b"NATS/1.0\r\n\r\n", payload=b"secret")
    put(store, "c", payload=b"public")
    shop.turn()
    assert store.erase(2) and not store.erase(2)
    shop.turn()
    assert store.read(2) is None and state(store) == (2, 1, 3, 1)
    assert [stored.payload for stored in store.scan()] == [b"secret", b"public"]


@pytest.mark.parametrize("order", ["forth", "back", "odd"])
def test_remove_all_in_any_order(make_store: MakeStore, shop: Shop, order: str) -> None:
    store = make_store()
    count = 6_000
    for n in range(count):
        put(store, f"s.{n % 3}", payload=b"%d" % n)
    doomed = list(range(1, count + 1))
    doomed = doomed[::-1] if order == "back" else doomed[::2] + doomed[1::2] if order == "odd" else doomed
    for at, sequence in enumerate(doomed[:-1]):
        assert store.remove(sequence)
        if at % 1_000 == 0:
            shop.turn()
    (stored,) = store.scan()
    assert stored.sequence == doomed[-1] and stored.payload == b"%d" % (stored.sequence - 1)
    assert store.messages == store.subjects == 1 and store.first == stored.sequence
    assert store.remove(stored.sequence)
    assert state(store) == (0, count + 1, count, 0)


def test_sequences_far_out(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a")
    for far in (1 << 63, (1 << 64) - 1, 1 << 80):
        assert store.read(far) is None and store.next((), far) == store.next((b"a",), far) == store.next((b"*",), far) == 0
        assert store.previous((), far) == store.previous((b"a",), far) == store.previous((b"*",), far) == 1
        assert store.pending((), far) == store.pending((b"a",), far) == 0 and store.lasts((), far) == [1]
        assert not store.remove(far) and store.subject_of(far) is None
    assert store.next((), 0) == store.next((b"a",), 0) == 1 and store.previous((), 0) == store.previous((b"a",), 0) == 0


# Skip, drop, purge


def test_skip_makes_a_gap(make_store: MakeStore) -> None:
    store = make_store()
    store.skip(9, 50)
    assert state(store) == (0, 10, 9, 0) and store.last_time == 50
    put(store, "a", time=60)
    store.skip(5, 70)
    assert state(store) == (1, 10, 10, 0) and store.last_time == 60
    store.skip(10**12, 80)
    put(store, "b", time=90)
    assert state(store) == (2, 10, 10**12 + 1, 10**12 - 10) and list(store.gaps()) == [(11, 10**12)]
    assert sequences(store) == [10, 10**12 + 1] and store.next((), 11) == 10**12 + 1 and store.at_time(61) == 10**12 + 1


def test_drop_forgets_what_is_before(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a", "b", "a", "b", "a")
    assert store.drop(1) == store.drop(0) == 0 and store.drop(3) == 2
    assert state(store) == (3, 3, 5, 0) and store.total(b"b") == Total(1, 4, 4)
    store.remove(4)
    assert store.drop(5) == 1 and state(store) == (1, 5, 5, 0) and store.first_time == store.time_of(5)
    assert store.drop(6) == 1 and state(store) == (0, 6, 5, 0) and store.size == 0


def test_drop_one_after_the_other(make_store: MakeStore, shop: Shop) -> None:
    store = make_store()
    for n in range(400):
        put(store, f"s.{n % 3}", payload=b"%d" % n * 1_000)
    shop.turn()
    for below in range(2, 401):
        assert store.drop(below) == 1 and store.first == below
        stored = store.read(below)
        assert stored is not None and stored.payload == b"%d" % (below - 1) * 1_000
    assert store.messages == 1


def test_drop_may_go_past_the_end(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a", "b")
    last_time = store.last_time
    assert store.drop(100) == 2 and state(store) == (0, 100, 99, 0) and store.last_time == last_time
    put(store, "a")
    assert state(store) == (1, 100, 100, 0) and sequences(store) == [100]


def test_purge_all(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a", "b", "c")
    assert store.purge() == 3 and state(store) == (0, 4, 3, 0) and store.purge() == 0


@pytest.mark.parametrize(
    ("filter", "below", "keep", "left"),
    [
        (None, 3, 0, [3, 4, 5, 6]),
        (None, 100, 0, []),
        (None, 0, 2, [5, 6]),
        (None, 0, 9, [1, 2, 3, 4, 5, 6]),
        (b">", 0, 0, []),
        (b"a.x", 0, 0, [2, 3, 4, 6]),
        (b"a.*", 0, 0, [3, 6]),
        (b"a.*", 4, 0, [3, 4, 5, 6]),
        (b"a.*", 0, 1, [3, 5, 6]),
        (b"a.*", 2, 1, [2, 3, 4, 5, 6]),
        (b"*.x", 0, 3, [2, 3, 4, 5, 6]),
        (b"nobody", 0, 0, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_purge_some(make_store: MakeStore, filter: bytes | None, below: int, keep: int, left: list[int]) -> None:
    store = make_store()
    put(store, "a.x", "a.y", "b.x", "a.z", "a.x", "b.x")
    assert store.purge(filter, below, keep) == 6 - len(left)
    assert sequences(store) == left and store.messages == len(left) and store.last == 6
    assert store.first == (left[0] if left else 7)


# Subjects


FILTERS: list[tuple[tuple[bytes, ...], list[int]]] = [
    ((), [1, 2, 3, 5, 6, 7]),
    ((b">",), [1, 2, 3, 5, 6, 7]),
    ((b"a.x",), [1, 6]),
    ((b"a.*",), [1, 3, 6]),
    ((b"*.x",), [1, 6, 7]),
    ((b"a.>",), [1, 2, 3, 6]),
    ((b"a.x.>",), [2]),
    ((b"*",), [5]),
    ((b"a",), [5]),
    ((b"a.x", b"c.x"), [1, 6, 7]),
    ((b"a.x", b"a.*"), [1, 3, 6]),
    ((b"c.*", b"nobody"), [7]),
    ((b"b.x",), []),
    ((b"nobody.>",), []),
    ((b"a.x.*.*",), []),
]


@pytest.fixture
def mixed(make_store: MakeStore) -> Store:
    store = make_store()
    put(store, "a.x", "a.x.y", "a.y", "b.x", "a", "a.x", "c.x")
    store.remove(4)
    return store


@pytest.mark.parametrize(("filters", "found"), FILTERS)
def test_filters(mixed: Store, filters: tuple[bytes, ...], found: list[int]) -> None:
    for start in range(10):
        assert mixed.next(filters, start) == next((sequence for sequence in found if sequence >= start), 0)
        assert mixed.previous(filters, start) == max((sequence for sequence in found if sequence <= start), default=0)
        assert mixed.pending(filters, start) == sum(sequence >= start for sequence in found)
    lasts = {mixed.subject_of(sequence): sequence for sequence in found}
    assert mixed.lasts(filters) == sorted(lasts.values())
    assert mixed.pending(filters, 3, last_per_subject=True) == sum(sequence >= 3 for sequence in lasts.values())


def test_lasts_up_to(mixed: Store) -> None:
    assert mixed.lasts((b"a.x",), 5) == [1] and mixed.lasts((b"a.*",), 5) == [1, 3] and mixed.lasts((b"c.*",), 6) == []
    assert mixed.lasts((), 2) == [1, 2] and mixed.lasts((), 7) == [2, 3, 5, 6, 7]


def test_totals(mixed: Store) -> None:
    assert mixed.total(b"a.x") == Total(2, 1, 6) and mixed.total(b"b.x") is None and mixed.total(b"a.*") is None
    assert totals(mixed, b"a.*", 1) == totals(mixed, b"a.*") == {b"a.x": 2, b"a.y": 1}
    assert totals(mixed, b"a") == {b"a": 1} and totals(mixed, b"b.>") == {}
    assert len(totals(mixed, b">")) == mixed.subjects == 5


def test_totals_go_on_where_the_store_changes(mixed: Store) -> None:
    """What is there all the time is told once."""
    subjects = set(totals(mixed, b">"))
    gone = b"a.x"
    first, place = mixed.totals(b">", 0, 2)
    mixed.purge(gone)
    put(mixed, "new", "a.z")
    rest, place = mixed.totals(b">", place, 100)
    told = [subject for subject, _ in first + rest]
    assert place == -1 and len(told) == len(set(told)) and subjects - {gone} <= set(told) <= subjects | {b"new", b"a.z"}
    mixed.drop(mixed.last + 1)
    assert mixed.totals(b">", 2, 100) == ([], -1)


def test_filters_learn_of_new_subjects_and_of_gone_ones(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a.1", "b.1")
    assert store.pending((b"a.*",), 1) == 1
    put(store, "a.2", "b.2", "a.1")
    assert store.pending((b"a.*",), 1) == 3 and store.lasts((b"a.*",)) == [3, 5]
    store.remove(3)
    put(store, "b.3")  # may have the number that a.2 had
    assert store.pending((b"a.*",), 1) == 2 and store.lasts((b"a.*",)) == [5] and store.lasts((b"b.*",)) == [2, 4, 6]


def test_subjects_that_are_odd(make_store: MakeStore) -> None:
    store = make_store()
    odd = ["a*", "a.>.b", "*", ">", "x" * 5_000, "a..b", ".", "\xe9", "$JS.x"]
    put(store, *odd)
    assert [store.subject_of(n + 1) for n in range(len(odd))] == [subject.encode() for subject in odd]
    assert store.total(("x" * 5_000).encode()) == Total(1, 5, 5) and store.next((b"a*",), 1) == 1


def test_ten_thousand_subjects(make_store: MakeStore) -> None:
    store = make_store()
    for n in range(10_000):
        put(store, f"n.{n % 5_000}.{n % 10}")
    assert store.subjects == 5_000 and store.total(b"n.77.7") == Total(2, 78, 5_078)
    assert store.pending((b"n.*.3",), 1) == 1_000
    assert store.next((b"n.4999.*",), 1) == 5_000 and store.previous((b"n.0.*",), 10_000) == 5_001
    assert store.lasts((b"n.*.3",)) == list(range(5_004, 10_001, 10))
    assert store.purge(b"n.*.3") == 1_000 and store.subjects == 4_500
    store.drop(9_000)
    assert store.subjects == store.messages == 901 and store.total(b"n.77.7") is None


# The end


def test_two_stores_know_nothing_of_each_other(make_store: MakeStore) -> None:
    one, other = make_store(), make_store()
    put(one, "a", "b")
    put(other, "c")
    assert one.messages == 2 and other.messages == 1 and other.read(2) is None
    one.delete(lambda: None)
    assert other.messages == 1 and other.total(b"c") == Total(1, 1, 1)


def test_close(make_store: MakeStore) -> None:
    store = make_store()
    put(store, "a")
    store.close()


# A store in memory alone


def test_a_memory_store_may_begin_anywhere() -> None:
    store = MemoryStore(lambda call: None, first=100)
    assert state(store) == (0, 100, 99, 0) and store.committed == 99
    put(store, "a")
    assert state(store) == (1, 100, 100, 0)


def test_a_memory_store_counts_as_nats_server_does(tmp_path: Path) -> None:
    store = MemoryShop(tmp_path).open()
    assert store.weight(10, 20, 30) == 76  # memStoreMsgSize: 16 bytes beside subject, header and payload


def test_a_memory_store_refuses_what_is_too_large() -> None:
    store = MemoryStore(lambda call: None)
    publication = Publication.compose(b"a", b"", b"", bytes(1 << 28))
    with pytest.raises(ValueError, match="the most is"):
        store.append(publication, 1)
    assert state(store) == (0, 0, 0, 0)
