"""engine/consumers/config beside the real nats-server: the same requests, the same refusals, the same configurations."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from callers import Caller
from consumer_config_cases import LIMITED, PLAIN, Talk, made
from servers import find_nats_server, running_nats_server

from midge.engine.consumers.config import decided, requested
from midge.engine.consumers.terms import ConsumerTerms
from midge.engine.decoding import decode
from midge.engine.errors import ApiError
from midge.engine.metadata import decorated
from midge.model.account import AccountLimits
from midge.model.consumer import ConsumerConfig
from midge.model.requests import ConsumerCreateRequest
from midge.model.stream import StreamConfig

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="nats-server is not installed")

PLAIN_CONF = 'jetstream {{ store_dir: "{store}" }}'
CONF = """
jetstream {{ store_dir: "{store}", limits {{ max_ack_pending: 30, max_request_batch: 10 }} }}
accounts {{ L {{ jetstream {{ max_consumers: 3, max_ack_pending: 20 }}, users [{{ user: l, password: l }}] }} }}
"""
_RANDOM = re.compile(r"-[0-9A-Za-z]{8}$")


class Theirs(Caller):
    """What nats-server says."""

    def play(self, talk: Talk) -> list[Any]:
        stream = {"name": "S", "subjects": ["s.>"], "storage": "memory"} | talk.stream
        assert self.ask("STREAM.CREATE.S", json.dumps(stream).encode())["did_create"]
        answers = [self.ask(f"CONSUMER.{subject}", body) for subject, body in talk.requests]
        assert self.ask("STREAM.DELETE.S", b"")["success"]
        return [answer.get("error") or answer["config"] for answer in answers]


class Ours:
    """The same of engine/consumers/config."""

    def __init__(self, version: str, **terms: Any) -> None:
        self.version = version
        self.terms = terms

    def play(self, talk: Talk) -> list[Any]:
        stream = msgspec.convert({"name": "S", "subjects": ["s.>"], "storage": "memory", "num_replicas": 1} | talk.stream, StreamConfig)
        consumers: dict[str, ConsumerConfig] = {}
        return [self.ask(stream, consumers, *request) for request in talk.requests]

    def ask(self, stream: StreamConfig, consumers: dict[str, ConsumerConfig], subject: str, body: bytes) -> Any:
        try:
            request = decode(ConsumerCreateRequest, body)
            config = requested(request, f"CONSUMER.{subject}".split("."))
            if request.stream_name != stream.name:
                raise ApiError(10059)
            terms = ConsumerTerms(stream=stream, consumers=consumers, **self.terms)
            decision = decided(config, request.action, terms, choose=lambda: "12345678", pedantic=request.pedantic)
        except ApiError as error:
            return json.loads(error.as_json())
        consumers[decision.name] = decision.config
        return json.loads(msgspec.json.encode(decorated(decision.config, self.version)))


@contextmanager
def both(conf: str, options: dict[str, str], **terms: Any) -> Iterator[tuple[Theirs, Ours]]:
    with tempfile.TemporaryDirectory() as store, running_nats_server(conf.format(store=store)) as address:
        theirs = Theirs(address, options)
        try:
            yield theirs, Ours(theirs.version, **terms)
        finally:
            theirs.close()


def levelled(said: Any) -> Any:
    """A configuration without the ends of names that are chosen."""
    return said | {"name": _RANDOM.sub("", said["name"])} if "name" in said else said


def differences(theirs: Theirs, ours: Ours, talks: list[Talk]) -> list[str]:
    """Where they differ, in full."""
    found = []
    for talk in talks:
        for (subject, body), said, says in zip(talk.requests, theirs.play(talk), ours.play(talk)):
            if levelled(said) != levelled(says):
                others = [f"{each[0]} {each[1][:200]!r}" for each in talk.requests]
                found.append(
                    f"{subject[:80]} {body[:300]!r}\n  of {others}, {talk.stream}\n  nats-server: {said}\n  midge:       {says}"[:3000]
                )
    return found


def test_every_configuration_is_taken_or_refused_as_there() -> None:
    talks = PLAIN + made(9, 600)
    assert sum(len(talk.requests) for talk in talks) > 1_000
    with both(PLAIN_CONF, {}) as (theirs, ours):
        found = differences(theirs, ours, talks)
    assert not found, f"{len(found)} differ:\n" + "\n".join(found[:10])


def test_the_limits_of_server_and_account_are_kept_as_there() -> None:
    talks = LIMITED + made(10, 150)
    limits = AccountLimits(max_consumers=3, max_ack_pending=20)
    with both(CONF, {"user": "l", "pass": "l"}, account=limits, max_ack_pending=30, max_request_batch=10) as (theirs, ours):
        found = differences(theirs, ours, talks)
    assert not found, f"{len(found)} differ:\n" + "\n".join(found[:10])
