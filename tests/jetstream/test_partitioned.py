"""Partitioned groups: who has which partitions, and the configurations as the orbit libraries write and read them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midge.jetstream.partitioned.config import (
    MAX_PARTITIONS,
    ElasticGroupConfig,
    GroupConfig,
    MemberMapping,
    PartitioningFilter,
    StaticGroupConfig,
    checked,
    read_config,
    write_config,
)
from midge.jetstream.partitioned.errors import (
    GroupChangedError,
    GroupExistsError,
    GroupNotFoundError,
    InvalidGroupError,
    NotAMemberError,
)
from midge.jetstream.partitioned.partitions import bare_subject, filters_of, partitions_of, transforms

NAMES = st.text("abcé\U0001f600zA0-_", min_size=1, max_size=4)


def oracle(config: GroupConfig) -> dict[int, str]:
    """Who has which partition, told one by one: runs of equal length, and the rest to the first ones in turn."""
    names = sorted(set(config.members), key=str.encode)[: config.max_members]
    each = config.max_members // len(names)
    runs = [name for name in names for _ in range(each)]
    return dict(enumerate([*runs, *names][: config.max_members]))


@given(st.integers(1, 200), st.lists(NAMES, min_size=1, max_size=20))
def test_every_partition_has_one_member_and_they_have_as_many(count: int, members: list[str]) -> None:
    config = StaticGroupConfig(max_members=count, members=members)
    owners = oracle(config)
    shares = {member: partitions_of(config, member) for member in set(members)}
    assert {partition: member for member, share in shares.items() for partition in share} == owners
    assert sum(map(len, shares.values())) == count
    sizes = [len(share) for share in shares.values() if share]
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == min(count, len(set(members)))
    assert all(share == sorted(share) for share in shares.values())
    assert partitions_of(config, "nobody") == []


@given(st.data())
def test_mappings_are_as_they_say(data: st.DataObject) -> None:
    owners = data.draw(st.lists(NAMES, min_size=1, max_size=30))
    mappings = [MemberMapping(member=name, partitions=[i for i, owner in enumerate(owners) if owner == name]) for name in set(owners)]
    config = checked(ElasticGroupConfig(max_members=len(owners), member_mappings=mappings), "s", "g")
    assert [name for name in owners] == [next(n for n in set(owners) if i in partitions_of(config, n)) for i in range(len(owners))]


def test_the_distribution_of_orbit() -> None:
    """What orbit.go's own tests say."""
    config = StaticGroupConfig(max_members=6, members=["m3", "m1", "m2", "m1"])
    assert [filters_of(config, name) for name in ("m1", "m2", "m3")] == [["0.>", "1.>"], ["2.>", "3.>"], ["4.>", "5.>"]]
    config = StaticGroupConfig(max_members=7, members=["m1", "m2", "m3"], filters=["a.*"])
    assert [filters_of(config, name) for name in ("m1", "m2", "m3")] == [
        ["0.a.*", "1.a.*", "6.a.*"],
        ["2.a.*", "3.a.*"],
        ["4.a.*", "5.a.*"],
    ]
    config = StaticGroupConfig(max_members=8, members=["m1", "m2", "m3"])
    assert partitions_of(config, "m2") == [2, 3, 7]
    mapped = StaticGroupConfig(max_members=2, member_mappings=[MemberMapping(member="m", partitions=[1, 0])], filters=["a", "b"])
    assert filters_of(mapped, "m") == ["1.>", "0.>"]


def test_subjects_get_their_partition_and_lose_it() -> None:
    one = PartitioningFilter(filter="foo.*.*.>", partitioning_wildcards=[2])
    whole = PartitioningFilter(filter="bar.*")
    config = ElasticGroupConfig(max_members=10, partitioning_filters=[one, whole])
    assert [(each.src, each.dest) for each in transforms(config)] == [
        ("foo.*.*.>", "{{Partition(10,2)}}.foo.{{Wildcard(1)}}.{{Wildcard(2)}}.>"),
        ("bar.*", "{{Partition(10)}}.bar.{{Wildcard(1)}}"),
    ]
    assert [each.dest for each in transforms(ElasticGroupConfig(max_members=3))] == ["{{Partition(3)}}.>"]
    assert filters_of(ElasticGroupConfig(max_members=1, partitioning_filters=[one, whole], members=["m"]), "m") == [
        "0.foo.*.*.>",
        "0.bar.*",
    ]
    assert [bare_subject(subject) for subject in ("3.a.b", "17.a", "a")] == ["a.b", "a", "a"]


def test_the_json_of_orbit() -> None:
    """Byte for byte what Go's encoding/json makes of its structs."""
    mapping = MemberMapping(member="m1", partitions=[0, 1])
    assert write_config(StaticGroupConfig(max_members=2, members=["m1"])) == b'{"max_members":2,"members":["m1"]}'
    assert write_config(StaticGroupConfig(max_members=2, filters=["a.*"], member_mappings=[mapping])) == (
        b'{"max_members":2,"filters":["a.*"],"member_mappings":[{"member":"m1","partitions":[0,1]}]}'
    )
    assert write_config(ElasticGroupConfig(max_members=3)) == b'{"max_members":3,"partitioning_filters":null}'
    full = ElasticGroupConfig(
        max_members=3, partitioning_filters=[PartitioningFilter(filter="a.*", partitioning_wildcards=[1])], max_buffered_msg=-1,
        max_buffered_bytes=5, members=["x"],
    )  # fmt: skip
    text = (
        b'{"max_members":3,"partitioning_filters":[{"filter":"a.*","partitioning_wildcards":[1]}],'
        b'"max_buffered_msg":-1,"max_buffered_bytes":5,"members":["x"]}'
    )
    assert write_config(full) == text
    assert read_config(ElasticGroupConfig, "s", "g", text) == full
    nulls = b'{"max_members":3,"partitioning_filters":null,"members":null,"member_mappings":null}'
    assert read_config(ElasticGroupConfig, "s", "g", nulls) == ElasticGroupConfig(max_members=3)


def test_what_is_not_known_is_kept() -> None:
    config = read_config(StaticGroupConfig, "s", "g", b'{"max_members":1,"later":{"a":1}}')
    assert json.loads(write_config(config)) == {"max_members": 1, "later": {"a": 1}}


MAPPED = {"max_members": 2}
BAD_STATIC: list[object] = [
    None, [], 7, "x", {}, {"max_members": 0}, {"max_members": -1}, {"max_members": True}, {"max_members": 1.5}, {"max_members": "2"},
    {"max_members": MAX_PARTITIONS + 1}, {"max_members": 10**30}, {"max_members": 1, "members": "m"}, {"max_members": 1, "members": [1]},
    {"max_members": 1, "members": ["a"], "member_mappings": [{"member": "a", "partitions": [0]}]},
    MAPPED | {"member_mappings": [{"member": "a", "partitions": [0]}]},
    MAPPED | {"member_mappings": [{"member": "a", "partitions": [0, 1, 1]}]},
    MAPPED | {"member_mappings": [{"member": "a", "partitions": [0, 2]}]},
    MAPPED | {"member_mappings": [{"member": "a", "partitions": [0, -1]}]},
    MAPPED | {"member_mappings": [{"member": "a", "partitions": [0]}, {"member": "a", "partitions": [1]}]},
    MAPPED | {"member_mappings": [{"member": name, "partitions": []} for name in "abc"]},
    MAPPED | {"member_mappings": [{"member": "a", "partitions": ["0", "1"]}]},
    MAPPED | {"member_mappings": [7]},
]  # fmt: skip
BAD_FILTERS: list[dict[str, object]] = [
    {"filter": ""}, {}, {"filter": 7}, {"filter": "a.b"},
    {"filter": "a.*", "partitioning_wildcards": [2]}, {"filter": "a.*", "partitioning_wildcards": [0]},
    {"filter": "*.*", "partitioning_wildcards": [1, 1]}, {"filter": "a.*", "partitioning_wildcards": [1, 1]},
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_STATIC, ids=lambda value: json.dumps(value)[:60])
def test_what_makes_no_sense_is_refused(value: object) -> None:
    with pytest.raises(InvalidGroupError):
        read_config(StaticGroupConfig, "s", "g", json.dumps(value).encode())
    with pytest.raises(InvalidGroupError):
        read_config(ElasticGroupConfig, "s", "g", json.dumps(value).encode())


@pytest.mark.parametrize("value", BAD_FILTERS, ids=json.dumps)
def test_a_filter_that_makes_no_sense_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InvalidGroupError):
        read_config(ElasticGroupConfig, "s", "g", json.dumps({"max_members": 2, "partitioning_filters": [value]}).encode())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[" * 100_000, b'{"max_members":1}x'], ids=["empty", "open", "bytes", "deep", "more"]
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidGroupError, match="group 'g' of stream 's' makes no sense"):
        read_config(StaticGroupConfig, "s", "g", data)


def test_what_the_errors_say() -> None:
    assert str(GroupNotFoundError("s", "g")) == "stream 's' has no such consumer group 'g': create it first"
    assert str(GroupExistsError("s", "g")) == "stream 's' has a consumer group 'g' with another configuration: delete it first"
    assert str(InvalidGroupError("s", "g", "no")) == "the configuration of consumer group 'g' of stream 's' makes no sense: no"
    assert str(GroupChangedError("s", "g")) == (
        "the configuration of consumer group 'g' of stream 's' was changed; its members have to join anew"
    )
    assert str(NotAMemberError("s", "g", "m")) == "consumer group 'g' of stream 's' has no member 'm'"
