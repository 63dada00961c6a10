"""server.mapping: who decides, weights, loss, and what is remembered. Against nats-server: tests/interop/test_account_conversations.py."""

from collections import Counter

import pytest
from hubs import new_client, new_hub

from midge.server.account_options import Destination
from midge.server.mapping import Mappings
from midge.wire.publication import Publication


def mappings(rolls: list[int] | None = None, **table: tuple[Destination, ...]) -> Mappings:
    numbers = iter(rolls or [])
    return Mappings({source.replace("_", "."): destinations for source, destinations in table.items()}, lambda count: next(numbers))


def to(subject: str, weight: int = 100, cluster: str = "") -> Destination:
    return Destination(subject=subject, weight=weight, cluster=cluster)


def test_what_matches_nothing_is_left_alone() -> None:
    publication = Publication.compose(b"b", b"", b"", b"x")
    assert mappings(a=(to("c"),)).redirect(publication) is publication


def test_a_mapped_message_is_the_same_but_for_its_subject() -> None:
    publication = Publication.compose(b"a", b"reply", b"NATS/1.0\r\nA: b\r\n\r\n", b"payload")
    found = mappings(a=(to("much.longer"),)).redirect(publication)
    assert (found.subject(), found.reply(), found.header(), found.payload()) == (
        b"much.longer", b"reply", b"NATS/1.0\r\nA: b\r\n\r\n", b"payload",
    )  # fmt: skip
    assert publication.subject() == b"a"


def test_weights_and_what_they_leave_over() -> None:
    several = mappings([0, 9, 10, 29, 30, 99], a=(to("c", 20), to("b", 10)))
    assert [several.target(b"a") for _ in range(6)] == [b"b", b"b", b"c", b"c", b"a", b"a"]


def test_what_is_left_over_is_lost_where_the_original_is_named() -> None:
    lossy = mappings([9, 10, 99], a=(to("a", 10),))
    assert [lossy.target(b"a") for _ in range(3)] == [b"a", b"", b""]


def test_another_clusters_destinations_do_not_count() -> None:
    assert mappings(a=(to("b", cluster="east"),)).target(b"a") == b"a"
    assert mappings(a=(to("b", cluster="east"), to("c"))).target(b"a") == b"c"


def test_random_functions_are_rolled_each_time() -> None:
    rolled = mappings([50, 3, 50, 7], a=(to("b.{{random(10)}}"),))
    assert [rolled.target(b"a"), rolled.target(b"a")] == [b"b.3", b"b.7"]


def test_the_first_that_matches_decides() -> None:
    both = Mappings({"a.*": (to("one"),), "a.b": (to("two"),)}, lambda count: 0)
    assert both.target(b"a.b") == b"one"


def test_a_thousand_subjects_and_more() -> None:
    many = mappings(a_x=(to("b"),), c_y=(to("d"),))
    for number in range(5000):
        assert many.target(b"q.%d" % number) == b"q.%d" % number
        assert many.target(b"a.x") == b"b"


def test_weights_are_kept_over_many_messages() -> None:
    hub = new_hub(mappings={"a": (to("b", 70), to("c", 20))})
    client = new_client(hub, b"SUB > 1\r\n")
    counts: Counter[bytes] = Counter()
    for _ in range(20):
        heard = client.ask(b"PUB a 0\r\n\r\n" * 100)
        counts.update(line.split()[1] for line in heard.split(b"\r\n") if line)
    assert 1300 < counts[b"b"] < 1500 and 320 < counts[b"c"] < 480 and 130 < counts[b"a"] < 280


@pytest.mark.parametrize("destinations, text", [
    ((to("b", 101),), "individual weights"), ((to("b", -1),), "individual weights"), ((to("b", 60), to("c", 60)), "total weight"),
    ((to("b", 1), to("b", 2)), 'duplicate entry for "b"'), ((to("$1"),), "out of range"), ((to(""),), "invalid transform"),
])  # fmt: skip
def test_refused(destinations: tuple[Destination, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        new_hub(mappings={"a": destinations})
