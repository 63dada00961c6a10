"""model: the JSON is nats-server's, field by field; what a newer server adds comes back."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import msgspec
import pytest

import midge.model
from midge.model.account import AccountInfo
from midge.model.base import ZERO_TIME, Model, decode, encode, time_of, time_text
from midge.model.consumer import ConsumerConfig, ConsumerInfo
from midge.model.responses import ErrorResponse, StreamCreateResponse, StreamListResponse, StreamNamesResponse, type_of
from midge.model.stream import ErrorBody, PubAck, StreamConfig, StreamInfo, StreamState

MODULES = [import_module(f"midge.model.{found.name}") for found in iter_modules([str(Path(midge.model.__file__).parent)])]
MODELS = [
    kind for module in MODULES for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Model) and kind is not Model
]


@pytest.mark.parametrize("kind", dict.fromkeys(MODELS), ids=lambda kind: kind.__name__)
def test_every_model_comes_back(kind: type[Model]) -> None:
    assert decode(kind, encode(kind())) == kind()
    assert decode(kind, b'{"x-new":[1,{"y":2}]}').unknown == {"x-new": [1, {"y": 2}]}


def test_what_is_written_though_it_is_empty() -> None:
    assert encode(PubAck(stream="S", seq=1)) == b'{"stream":"S","seq":1}'
    assert encode(StreamState()) == (
        b'{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z",'
        b'"consumer_count":0}'
    )
    assert encode(StreamConfig(name="S")) == (
        b'{"name":"S","retention":"limits","max_consumers":0,"max_msgs":0,"max_bytes":0,"max_age":0,"max_msgs_per_subject":0,'
        b'"discard":"old","storage":"file","num_replicas":0,"compression":"none","allow_direct":false,"mirror_direct":false,'
        b'"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false}'
    )
    assert encode(ConsumerConfig()) == b'{"deliver_policy":"all","ack_policy":"none","replay_policy":"instant","num_replicas":0}'
    assert b'"streams":null' in encode(StreamNamesResponse()) and b"missing" not in encode(StreamListResponse())


def test_an_answer_begins_with_its_type() -> None:
    assert encode(StreamCreateResponse()).startswith(b'{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{')
    error = ErrorResponse(type=type_of(StreamCreateResponse), error=ErrorBody(code=404, err_code=10059, description="stream not found"))
    assert encode(error) == (
        b'{"type":"io.nats.jetstream.api.v1.stream_create_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}'
    )
    with pytest.raises(msgspec.ValidationError):
        decode(StreamCreateResponse, b'{"type":"something_else"}')


def test_what_a_newer_server_says_is_kept_at_every_depth() -> None:
    text = (
        b'{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{"name":"S","retention":"newer","n1":{"a":[]},'
        b'"sources":[{"name":"A","n2":null}],"mirror":{"name":"B","external":{"api":"x","n3":1}}},"state":{"n4":"x"},"n5":true}'
    )
    found = decode(StreamCreateResponse, text)
    assert found.config.retention == "newer" and found.config.unknown == {"n1": {"a": []}} and found.unknown == {"n5": True}
    back = msgspec.json.decode(encode(found))
    assert back["config"]["n1"] == {"a": []} and back["config"]["sources"][0]["n2"] is None
    assert back["config"]["mirror"]["external"]["n3"] == 1 and back["state"]["n4"] == "x" and back["n5"] is True
    assert decode(StreamInfo, b'{"ts":"2024-01-01T00:00:00Z"}').unknown == {}
    assert decode(AccountInfo, b'{"tiers":{"R1":{"memory":1,"n":2}}}').tiers["R1"].unknown == {"n": 2}
    assert decode(ConsumerInfo, b'{"priority_groups":[{"group":"g","n":1}]}').priority_groups[0].unknown == {"n": 1}


def test_a_member_with_an_empty_name_is_an_unknown_one() -> None:
    assert encode(decode(PubAck, b'{"stream":"S","":5,"x":{"":6}}')) == b'{"stream":"S","seq":0,"":5,"x":{"":6}}'
    config = StreamConfig(metadata={"": "x"})
    assert decode(StreamConfig, encode(config)) == config and b'"metadata":{"":"x"}' in encode(config)


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000000001Z"), (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"), (-62_135_596_800 * 10**9, ZERO_TIME),
    ],
)  # fmt: skip
def test_times(wall: int, text: str) -> None:
    assert time_text(wall) == text and time_of(text) == wall


def test_times_of_other_zones() -> None:
    assert time_of("1970-01-01T02:00:00.25+02:00") == 250_000_000 and time_of("1970-01-01T00:00:00.1234567891Z") == 123_456_789
    with pytest.raises(ValueError, match="not an RFC 3339 time: 'x'"):
        time_of("x")
