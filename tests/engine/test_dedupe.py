"""engine.dedupe: ids within a window."""

from midge.engine.dedupe import Dedupe


def test_an_id_is_found_until_its_window_is_over() -> None:
    dedupe = Dedupe(100)
    dedupe.add(b"a", 1, 1_000)
    assert dedupe.find(b"a", 1_099) == 1
    assert dedupe.find(b"b", 1_099) == 0
    assert dedupe.find(b"a", 1_100) == 0
    assert len(dedupe) == 0 and dedupe.next_expiry() is None


def test_an_id_that_comes_again_lives_from_then() -> None:
    dedupe = Dedupe(100)
    dedupe.add(b"a", 1, 1_000)
    dedupe.add(b"a", 2, 1_050)
    assert dedupe.find(b"a", 1_120) == 2


def test_without_a_window_nothing_is_remembered() -> None:
    dedupe = Dedupe(0)
    dedupe.add(b"a", 1, 1_000)
    assert dedupe.find(b"a", 1_000) == 0


def test_what_was_undone_is_forgotten() -> None:
    dedupe = Dedupe(100)
    for sequence in (1, 2, 3):
        dedupe.add(b"%d" % sequence, sequence, 1_000)
    dedupe.forget_after(1)
    assert [dedupe.find(b"%d" % sequence, 1_000) for sequence in (1, 2, 3)] == [1, 0, 0]
