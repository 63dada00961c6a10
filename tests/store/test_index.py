"""store.index by itself: what no store shows (places, flags, dumps), and what it costs. The verbs of stores are in test_store.py."""

import random
import time
import tracemalloc
import zlib

import pytest
from store.plain import totals

import midge
from midge.store.index import Index
from midge.store.indexed import doomed
from midge.subject import matches as subject_matches

FAR = (1 << 63) - 2


def add(index: Index, sequence: int, subject: bytes = b"a", place: int = 0, size: int = 1, flags: int = 0, time: int = 1) -> None:
    index.add(sequence, place, size, flags, time, bytearray(b"<" + subject + b">"), 1, 1 + len(subject))


def filled(count: int, subjects: int = 7, first: int = 1) -> Index:
    index = Index(first)
    for n in range(first, first + count):
        add(index, n, b"s.%d" % (n % subjects), n * 10, n % 100, n % 16, n * 1_000)
    return index


def entries(index: Index) -> list[tuple[int, object]]:
    found, sequence = [], index.after(1)
    while sequence:
        found.append((sequence, index.entry(sequence)))
        sequence = index.after(sequence + 1)
    return found


def test_an_entry() -> None:
    index = Index()
    add(index, 5, b"orders.new", (1 << 32) - 1, (1 << 28) - 1, 15, 10**18)
    assert index.entry(5) == ((1 << 32) - 1, (1 << 28) - 1, 15, 10**18, b"orders.new") and index.entry(4) is index.entry(6) is None
    assert (index.place_of(5), index.size_of(5), index.flags_of(5), index.time_of(5)) == ((1 << 32) - 1, (1 << 28) - 1, 15, 10**18)
    assert index.has(5) and not index.has(4) and index.place_of(4) == -1 and index.flags_of(6) == 0
    index.move(5, 77)
    index.move(6, 78)
    assert index.place_of(5) == 77 and index.place_of(6) == -1 and index.size == (1 << 28) - 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("sequence", 3), ("sequence", 0), ("sequence", FAR + 1), ("sequence", 1 << 64), ("place", -1), ("place", 1 << 32), ("size", 1 << 28),
     ("size", -1), ("flags", 16), ("flags", -1)],
)  # fmt: skip
def test_numbers_out_of_range(name: str, value: int) -> None:
    index = filled(3)
    with pytest.raises((ValueError, OverflowError)):
        add(index, **{"sequence": 4, "subject": b"new", name: value})  # type: ignore[arg-type]
    assert (index.messages, index.last, index.subjects) == (3, 3, 3)
    with pytest.raises(ValueError):
        index.add(4, 0, 0, 0, 0, bytearray(b"abc"), 1, 4)


def test_the_last_sequence_there_can_be() -> None:
    index = Index()
    index.skip(FAR - 1, 1)
    add(index, FAR)
    assert index.next((), 1) == index.next((b"a",), 1) == index.next((b"*",), 1) == FAR and index.previous((), 1 << 70) == FAR
    assert index.drop(1 << 70) == 1 and index.first == FAR + 1
    index.skip(1 << 70, 1)
    assert index.last == FAR


def test_flagged() -> None:
    index = Index()
    for n in range(1, 10_001):
        add(index, n, flags=2 if n % 3_000 == 0 else 1 if n == 5 else 0)
    index.remove(6_000)
    assert [index.flagged(2, start) for start in (1, 3_000, 3_001, 9_001)] == [3_000, 3_000, 9_000, 0]
    assert index.flagged(1, 1) == 5 and index.flagged(3, 6) == 3_000 and index.flagged(4, 1) == 0


def test_alive() -> None:
    index = filled(10_000)
    for n in range(1, 10_001, 3):
        index.remove(n)
    for first, last in ((1, 10_000), (0, 1 << 70), (5, 4), (2, 2), (1, 1), (4_000, 4_200), (100, 9_999)):
        alive = [n for n in range(max(first, 1), min(last, 10_000) + 1) if n % 3 != 1]
        assert index.alive(first, last) == (len(alive), sum(n % 100 for n in alive))


def test_doomed_may_be_removed_meanwhile() -> None:
    index = filled(100)
    removed = [sequence for sequence in doomed(index, b"s.1", 0, 3) if index.remove(sequence)]
    assert removed == list(range(1, 100, 7))[:-3] and index.total(b"s.1") == (3, 85, 99)


def test_gaps_end_where_the_index_changes() -> None:
    index = filled(10)
    for sequence in (2, 5, 8):
        index.remove(sequence)
    gaps = index.gaps()
    assert next(gaps) == (2, 2)
    index.remove(7)
    assert list(gaps) == [] and list(index.gaps()) == [(2, 2), (5, 5), (7, 8)]


# Dumps


def test_dumps_bring_all_back() -> None:
    index = filled(3_000)
    add(index, 9_000_000, b"far")
    for sequence in random.Random(1).sample(range(1, 3_000), 2_000):
        index.remove(sequence)
    other = Index()
    for first, last in ((0, 1_000), (1_001, 1_001), (1_002, 2_999), (3_000, 1 << 70)):
        other.restore(index.dump(first, last))
    assert entries(other) == entries(index)
    for name in ("messages", "size", "last", "subjects", "first", "first_time", "last_time", "deleted"):
        assert getattr(other, name) == getattr(index, name)
    assert totals(other, b">") == totals(index, b">")
    assert all(other.total(subject) == index.total(subject) for subject in totals(index, b">"))


def test_a_dump_of_nothing() -> None:
    index = filled(10)
    data = Index().dump(1, 10)
    index.restore(data)
    assert index.messages == 10 and index.dump(20, 30)[4:] != b""


def test_a_dump_that_is_not_behind_is_refused() -> None:
    index = filled(10)
    with pytest.raises(ValueError, match="behind 10"):
        index.restore(filled(5, first=10).dump(1, 100))
    assert index.messages == 10


def test_damaged_dumps_are_refused() -> None:
    data = filled(30).dump(1, 30)
    for at in range(len(data)):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :], data[:at] + b"\0" + data[at:]):
            index = Index()
            if damaged != data:
                with pytest.raises(ValueError):
                    index.restore(damaged)
            assert index.messages == index.subjects == index.last == 0


def test_dumps_that_make_no_sense_are_refused_whatever_their_checksum_says() -> None:
    """None crashes; one that is taken leaves an index that is whole."""
    body = filled(30).dump(1, 30)[:-4]
    dice = random.Random(4)
    for _ in range(3_000):
        damaged = bytearray(body)
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(4, len(damaged))] = dice.choice([0, 1, 127, 128, 255, dice.randrange(256)])
        index = Index()
        try:
            index.restore(bytes(damaged) + zlib.crc32(damaged).to_bytes(4, "little"))
        except ValueError:
            assert index.messages == index.subjects == 0
        else:
            assert index.messages == len(entries(index)) == 30 and index.drop(1 << 70) == 30 and index.subjects == 0


# What it costs


@pytest.mark.skipif(not midge.compiled, reason="plain Python has the same arrays, and tracing the numbers on their way there takes minutes")
@pytest.mark.parametrize(("count", "subjects", "most"), [(50_000, 1, 28), (50_000, 100, 32), (10_000, 10_000, 24 + 120)])
def test_memory(count: int, subjects: int, most: int) -> None:
    names = [b"orders.%d.created" % n for n in range(subjects)]
    tracemalloc.start()
    try:
        index = Index()
        for n in range(1, count + 1):
            add(index, n, names[n % subjects])
        used = tracemalloc.get_traced_memory()[0]
        assert used < most * count
        for n in range(1, count + 1):
            if n % 100:
                index.remove(n)
        if subjects < count:  # what subjects took is kept for those to come
            assert tracemalloc.get_traced_memory()[0] < used // 2
        index.drop(count + 1)
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


def test_many_who_ask_in_turn_for_different_patterns_are_answered_from_what_is_kept() -> None:
    index = Index()
    for n in range(1, 20_001):
        add(index, n, b"s.%d.x.%d" % (n, n % 100))
    patterns = [(b"s.*.x.%d" % n,) for n in range(100)]
    took = []
    for _ in range(2):
        begun = time.perf_counter()
        assert [index.pending(pattern, 1) for pattern in patterns] == [200] * 100
        took.append(time.perf_counter() - begun)
    assert took[1] < took[0] / 4
    add(index, 20_001, b"s.new.x.7")
    assert [index.pending(pattern, 1) for pattern in patterns] == [201 if n == 7 else 200 for n in range(100)]


def test_a_selection_is_prepared_in_parts_whatever_happens_meanwhile() -> None:
    dice = random.Random(6)
    index = filled(35_000, 35_000)
    kept = {n: b"s.%d" % (n % 35_000) for n in range(1, 35_001)}
    filters = [(b"s.*",), (b"*.7", b"*.*.1", b"s.34999"), (b"t.>", b"s.5")]
    waiting = set(filters)
    rounds = 0
    while waiting:
        waiting = {each for each in waiting if not index.prepare(each, 1)}
        for sequence in dice.sample(sorted(kept), 300):
            index.remove(sequence)
            del kept[sequence]
        for _ in range(200):  # they get the numbers of those that have gone
            subject = b"%c.%d.%d" % (dice.choice(b"st"), dice.randrange(9), index.last) if dice.random() < 0.5 else b"t.%d" % index.last
            add(index, index.last + 1, subject)
            kept[index.last] = subject
        rounds += 1
    assert rounds >= 3
    for each in filters:
        expected = sum(any(covers(one, subject) for one in each) for subject in kept.values())
        assert index.prepare(each, 1) and index.pending(each, 1) == expected
    index.prepare((b"*.8",), 1)
    assert index.pending((b"*.8",), 1) == sum(covers(b"*.8", subject) for subject in kept.values())  # the rest is done at once


def test_what_needs_no_preparation() -> None:
    index = filled(17_000, 17_000)
    assert index.prepare((), 1) and index.prepare((b"s.7",), 1)
    assert index.prepare((b"s.*",), index.last - 20)  # a few messages are compared
    assert index.prepare(tuple(b"s.%d.*" % n for n in range(100)), 1)  # so many patterns are compared at once, or never
    assert index.prepare((b"s.5", b"s.6"), 1)
    assert not index.prepare((b"s.*",), 1)
    for n in range(20):  # no more drafts are kept than some
        assert not index.prepare((b"*.%d" % n,), 1)
    index.drop(index.last + 1)
    assert index.prepare((b"s.*",), 1) and totals(index, b"s.*") == {}


def test_selections_are_prepared_however_many_are_asked_for_at_once() -> None:
    index = filled(17_000, 17_000)
    for n in range(16):
        assert not index.prepare((b"*.%d.>" % n,), 1)  # these nobody asks for again
    waiting = [(b"*.%d" % n,) for n in range(17)]
    rounds = 0
    while waiting:
        waiting = [each for each in waiting if not index.prepare(each, 1)]
        rounds += 1
        assert rounds < 50
    assert [index.pending((b"*.%d" % n,), 1) for n in range(17)] == [1] * 17


def test_selections_of_any_number_are_right() -> None:
    index = filled(500, subjects=400)
    filters = [(b"s.%d" % n, b"s.%d.*" % n, b"*.%d" % (n + 1)) for n in range(399)]
    for _ in range(2):
        assert all(index.pending(each, 1) == sum(m % 400 in (n, n + 1) for m in range(1, 501)) for n, each in enumerate(filters))


def test_a_few_messages_are_compared_as_all_subjects_are() -> None:
    dice = random.Random(4)
    index = Index()
    subjects = [b"s.%d.%d" % (dice.randrange(9), number) for number in range(1_500)]
    kept: dict[int, bytes] = {}
    for sequence in range(1, 3_001):
        kept[sequence] = subjects[sequence // 2] if sequence < 2_900 else dice.choice(subjects)
        add(index, sequence, kept[sequence])
    for sequence in dice.sample(sorted(kept), 900):
        index.remove(sequence)
        del kept[sequence]
    for each in range(150):
        filters = tuple(b"s.%d.%b" % (dice.randrange(10), dice.choice((b"*", b">", b"7"))) for _ in range(dice.randrange(1, 4)))
        start = dice.choice((3_000 - dice.randrange(30), dice.randrange(1, 3_005)))
        matching = [at for at in sorted(kept) if at >= start and any(matches(one, kept[at]) for one in filters)]
        if each % 3:
            index.next(filters, 1)  # they are kept from now on
        assert index.next(filters, start) == (matching[0] if matching else 0)
        assert index.pending(filters, start) == len(matching)


def covers(pattern: bytes, subject: bytes) -> bool:
    """True where a pattern matches a subject."""
    return subject_matches(pattern.decode(), subject.decode())


def matches(pattern: bytes, subject: bytes) -> bool:
    """True for one of the patterns of the test above."""
    mine, its = pattern.split(b"."), subject.split(b".")
    return all(one in (b"*", b">", other) for one, other in zip(mine, its, strict=True))


def test_sequences_that_begin_far_away_are_not_looked_at_one_by_one() -> None:
    """What is left times the filters is more than 64 bits hold."""
    first = 1 << 62
    index = Index(first)
    for number in range(50_000):
        index.add(first + number, 0, 1, 0, 1, bytearray(b"a.b"), 0, 3)
    begin = time.process_time()
    assert not any(index.next((b"b.*", b"c.*", b"d.*"), 1) for _ in range(200))
    assert time.process_time() - begin < 0.1
