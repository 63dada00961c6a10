"""Who wants a subject: compared with asking everybody."""

from hypothesis import given
from hypothesis import strategies as st
from worlds import matches

from midge.engine.interest import Interest

TOKENS = st.sampled_from([b"a", b"b", b"c"])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=4).map(b".".join)
FILTERS = st.builds(
    lambda tokens, rest: b".".join(tokens + rest),
    st.lists(st.sampled_from([b"a", b"b", b"*"]), min_size=1, max_size=3),
    st.sampled_from([[], [b">"]]),
) | st.just(b">")
SEVERAL = st.lists(FILTERS, max_size=3, unique=True).map(tuple)


@given(st.lists(SEVERAL, max_size=8), st.data())
def test_as_if_all_were_asked(every: list[tuple[bytes, ...]], data: st.DataObject) -> None:
    interest: Interest[int] = Interest()
    there = dict(enumerate(every))
    for who, filters in there.items():
        interest.add(filters, who)
    for who in list(there):
        subject = data.draw(SUBJECTS)
        wanted = {each for each, filters in there.items() if not filters or any(matches(pattern, subject) for pattern in filters)}
        found = interest.of(subject)
        assert set(found) == wanted and len(found) == len(wanted) and interest.count == len(there)
        if data.draw(st.booleans()):
            interest.remove(there.pop(who), who)
    for who, filters in there.items():
        interest.remove(filters, who)
    assert interest.count == 0 and not interest.everywhere and not interest._root  # nothing of them is left


def test_what_is_remembered_is_bounded() -> None:
    interest: Interest[int] = Interest()
    interest.add((b"a.*",), 1)
    for number in range(10_000):
        assert interest.of(b"a.%d" % number) == (1,)
    assert len(interest._found) <= 4_096
    for who in range(1_000):
        interest.add((b"b.*",), who)
    for number in range(1_000):
        assert len(interest.of(b"b.%d" % number)) == 1_000
    assert sum(map(len, interest._found.values())) <= 131_072
