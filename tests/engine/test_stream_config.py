"""engine.config: what is different from nats-server on purpose, and what only calls can show; test_config_oracle has the rest."""

import pytest

from midge.engine.config import checked, created, is_same, read_request, updated
from midge.engine.errors import ApiError
from midge.engine.metadata import API_LEVEL, decorated, is_supported, keep_level, needed_level, set_level
from midge.engine.terms import Terms
from midge.model.consumer import ConsumerConfig
from midge.model.requests import StreamConfigRequest
from midge.model.stream import RePublish, StreamConfig, StreamConsumerLimits, StreamSource

NOTHING = Terms(streams={})


def stream(**fields: object) -> StreamConfig:
    request = StreamConfigRequest(name="S", **fields)  # type: ignore[arg-type]
    return created(request, "S", NOTHING)


def test_nothing_that_is_given_is_changed() -> None:
    request = read_request(b'{"name":"S","republish":{"dest":"x.>"},"metadata":{"_nats.ver":"1"}}')
    found = created(request, "S", NOTHING)
    assert (request.storage, request.num_replicas, request.subjects, request.metadata) == ("", 0, [], {"_nats.ver": "1"})
    assert request.republish == RePublish(dest="x.>") and found.republish == RePublish(src=">", dest="x.>")
    assert found.metadata == {"_nats.req.level": "0"} and type(found) is StreamConfig


def test_the_same_stream_is_the_one_that_is_there() -> None:
    old = stream(max_msgs=5)
    assert created(StreamConfigRequest(name="S", max_msgs=5), "S", Terms(streams={"S": old})) is old


def test_an_update_may_not_republish_to_the_stream_itself() -> None:
    """nats-server makes ">" of a destination that is left empty, and publishes round in circles."""
    old = stream(republish=RePublish())
    with pytest.raises(ApiError, match="forms a cycle"):
        updated(StreamConfigRequest(name="S", republish=RePublish()), "S", Terms(streams={"S": old}))


def test_layers_of_sources_are_looked_at_once_each() -> None:
    """Each layer doubles the ways that lead to the next; nats-server would walk all of them."""
    streams: dict[str, StreamConfig] = {}
    for layer in range(40):
        below = [StreamSource(name=f"L{layer - 1}{side}") for side in "AB"] if layer else []
        streams |= {f"L{layer}{side}": StreamConfig(name=f"L{layer}{side}", sources=below) for side in "AB"}
    request = StreamConfigRequest(name="S", sources=[StreamSource(name="L39A"), StreamSource(name="L39B")])
    assert created(request, "S", Terms(streams=streams)).name == "S"


def test_new_limits_of_consumers_must_fit_those_that_are_there() -> None:
    terms = Terms(streams={"S": stream()})
    consumers = [("a", ConsumerConfig(max_ack_pending=10)), ("b", ConsumerConfig(inactive_threshold=5)), ("c", ConsumerConfig())]
    request = StreamConfigRequest(name="S", consumer_limits=StreamConsumerLimits(inactive_threshold=4, max_ack_pending=9))
    with pytest.raises(ApiError) as caught:
        updated(request, "S", terms, consumers)
    assert (caught.value.err_code, caught.value.description) == (10069, "change to limits violates consumers: a, b")
    wider = StreamConfigRequest(name="S", consumer_limits=StreamConsumerLimits(inactive_threshold=5, max_ack_pending=10))
    assert updated(wider, "S", terms, consumers).consumer_limits.max_ack_pending == 10


@pytest.mark.parametrize(
    ("config", "level"),
    [
        (StreamConfig(), 0), (StreamConfig(allow_msg_ttl=True), 1), (StreamConfig(subject_delete_marker_ttl=1), 1),
        (StreamConfig(allow_msg_counter=True), 2), (StreamConfig(allow_atomic=True, allow_msg_ttl=True), 2),
        (StreamConfig(allow_msg_schedules=True), 2), (StreamConfig(persist_mode="async"), 2), (StreamConfig(allow_batched=True), 4),
    ],
)  # fmt: skip
def test_the_level_that_a_stream_needs(config: StreamConfig, level: int) -> None:
    assert needed_level(config) == level <= API_LEVEL
    assert set_level(config).metadata == {"_nats.req.level": str(level)}


def test_what_the_server_adds_to_metadata_is_shown_and_not_kept() -> None:
    kept = set_level(StreamConfig(metadata={"a": "b", "_nats.ver": "9", "_nats.level": "9", "_nats.req.level": "9"}))
    assert kept.metadata == {"a": "b", "_nats.req.level": "0"}
    shown = decorated(kept, "2.15.1")
    assert shown.metadata == {"a": "b", "_nats.req.level": "0", "_nats.ver": "2.15.1", "_nats.level": "5"}
    assert is_same(shown, kept) and not is_same(decorated(StreamConfig(), "x"), kept)
    assert keep_level(shown, StreamConfig()).metadata == {"a": "b"}


@pytest.mark.parametrize(
    ("level", "answer"), [("", True), ("0", True), ("5", True), ("6", False), ("x", False), ("9" * 30, False), ("-1", True)]
)
def test_levels_that_are_asked_for(level: str, answer: bool) -> None:
    assert is_supported(level) is answer


def test_a_configuration_that_was_kept_passes_again() -> None:
    config = stream(subjects=["a.>", "b"], sources=[StreamSource(name="X")])
    assert checked(config, NOTHING) == config
