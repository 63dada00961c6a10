"""The client's entities beside the server's model: what the server may send has a name in the client, and the other way round.

An entity keeps fields that it does not know, so nothing would break without these; but nobody would find them.
"""

import inspect

import msgspec
import pytest

from midge.jetstream import configs, infos
from midge.jetstream.entity import Entity
from midge.model import account, consumer, stream

PAIRS: list[tuple[type[Entity], type[msgspec.Struct]]] = [
    (configs.Placement, stream.Placement),
    (configs.SubjectTransform, stream.SubjectTransformConfig),
    (configs.ExternalStream, stream.ExternalStream),
    (configs.SourceConsumer, stream.StreamConsumerSource),
    (configs.StreamSource, stream.StreamSource),
    (configs.Republish, stream.RePublish),
    (configs.ConsumerLimits, stream.StreamConsumerLimits),
    (configs.StreamConfig, stream.StreamConfig),
    (configs.ConsumerConfig, consumer.ConsumerConfig),
    (infos.LostData, stream.LostStreamData),
    (infos.StreamState, stream.StreamState),
    (infos.PeerInfo, stream.PeerInfo),
    (infos.ClusterInfo, stream.ClusterInfo),
    (infos.SourceInfo, stream.StreamSourceInfo),
    (infos.StreamAlternate, stream.StreamAlternate),
    (infos.StreamInfo, stream.StreamInfo),
    (infos.Sequences, consumer.SequenceInfo),
    (infos.PriorityGroup, consumer.PriorityGroupState),
    (infos.ConsumerInfo, consumer.ConsumerInfo),
    (infos.AccountLimits, account.AccountLimits),
    (infos.Tier, account.Tier),
    (infos.ApiStats, account.ApiStats),
    (infos.AccountInfo, account.AccountInfo),
]


def on_the_wire(kind: type[msgspec.Struct]) -> set[str]:
    """The names that the fields have in JSON, without the field of both sides that keeps what is not known."""
    return {field.encode_name for field in msgspec.structs.fields(kind)} - {"", "unknown"}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[ours.__name__ for ours, _ in PAIRS])
def test_the_client_has_the_fields_that_the_server_knows(ours: type[Entity], theirs: type[msgspec.Struct]) -> None:
    assert on_the_wire(ours) == on_the_wire(theirs)


def test_every_entity_of_both_modules_has_a_row() -> None:
    rows = {ours for ours, _ in PAIRS}
    for module in (configs, infos):
        kinds = {kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Entity) and kind is not Entity}
        assert kinds <= rows
