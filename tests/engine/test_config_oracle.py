"""engine.config beside the real nats-server: the same requests, the same refusals, the same configurations."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from callers import Caller
from config_cases import LIMITED, MINUTE, PLAIN, Request, made
from servers import find_nats_server, running_nats_server

from midge.engine.config import created, read_request, updated
from midge.engine.errors import ApiError
from midge.engine.metadata import decorated
from midge.engine.terms import Terms
from midge.model.account import AccountLimits
from midge.model.stream import StreamConfig

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="nats-server is not installed")

CONF = """
jetstream {{ store_dir: "{store}", max_mem: 100000, max_file: 1099511627776, limits {{ duplicate_window: "1m" }} }}
accounts {{ L {{ jetstream {{ max_mem: 8000, max_file: 10000, max_streams: 4, max_consumers: 5,
    max_bytes_required: true, mem_max_stream_bytes: 4000, disk_max_stream_bytes: 5000 }}, users [{{ user: l, password: l }}] }} }}
"""
PLAIN_CONF = 'jetstream {{ store_dir: "{store}", max_mem: 1073741824, max_file: 1099511627776 }}'
LIMITS = AccountLimits(
    max_memory=8000, max_storage=10000, max_streams=4, max_consumers=5, max_bytes_required=True, memory_max_stream_bytes=4000,
    storage_max_stream_bytes=5000,
)  # fmt: skip

STILL_THERE = {"code": 500, "err_code": 10049, "description": "error creating store for stream"}


class Theirs(Caller):
    """What nats-server says."""

    def play(self, talk: list[Request]) -> list[Any]:
        """Return what it answers; once more where it is still removing the files of a stream of that name."""
        for _ in range(50):
            answers = self.play_once(talk)
            if STILL_THERE not in answers:
                break
        return answers

    def play_once(self, talk: list[Request]) -> list[Any]:
        answers = [self.ask(f"STREAM.{verb}.{stream}", body) for verb, stream, body in talk]
        for name in {request.stream for request, answer in zip(talk, answers) if request.verb == "CREATE" and "error" not in answer}:
            assert self.ask(f"STREAM.DELETE.{name}", b"")["success"]
        return [answer.get("error") or answer["config"] for answer in answers]


class Ours:
    """The same of engine.config."""

    def __init__(self, version: str, **terms: Any) -> None:
        self.version = version
        self.terms = terms

    def play(self, talk: list[Request]) -> list[Any]:
        streams: dict[str, StreamConfig] = {}
        return [self.ask(streams, request) for request in talk]

    def ask(self, streams: dict[str, StreamConfig], request: Request) -> Any:
        reserved = {
            f"reserved_{kind}": sum(max(each.max_bytes, 0) for each in streams.values() if each.storage == storage)
            for kind, storage in (("memory", "memory"), ("storage", "file"))
        }
        try:
            body = read_request(request.body)
            change = created if request.verb == "CREATE" else updated
            config = streams[request.stream] = change(body, request.stream, Terms(streams=streams, **self.terms, **reserved))
        except ApiError as error:
            return json.loads(error.as_json())
        return json.loads(msgspec.json.encode(decorated(config, self.version)))


@contextmanager
def both(conf: str, options: dict[str, str], **terms: Any) -> Iterator[tuple[Theirs, Ours]]:
    with tempfile.TemporaryDirectory() as store, running_nats_server(conf.format(store=store)) as address:
        theirs = Theirs(address, options)
        try:
            yield theirs, Ours(theirs.version, **terms)
        finally:
            theirs.close()


def differences(theirs: Theirs, ours: Ours, talks: list[list[Request]]) -> list[str]:
    """Where they differ, in full."""
    found = []
    for talk in talks:
        for request, said, says in zip(talk, theirs.play(talk), ours.play(talk)):
            if said != says:
                others = [f"{each.verb} {each.body[:200]!r}" for each in talk]
                found.append(f"{request.verb} {request.body[:300]!r}\n  of {others}\n  nats-server: {said}\n  midge:       {says}")
    return found


def test_every_configuration_is_taken_or_refused_as_there() -> None:
    talks = PLAIN + made(8, 400)
    assert sum(map(len, talks)) > 900
    with both(PLAIN_CONF, {}, max_memory=1 << 30, max_storage=1 << 40) as (theirs, ours):
        found = differences(theirs, ours, talks)
    assert not found, f"{len(found)} differ:\n" + "\n".join(found[:10])


def test_the_limits_of_server_and_account_are_kept_as_there() -> None:
    talks = LIMITED + made(9, 100)
    with both(CONF, {"user": "l", "pass": "l"}, account=LIMITS, max_memory=100_000, max_storage=1 << 40, duplicate_window=MINUTE) as (
        theirs,
        ours,
    ):
        found = differences(theirs, ours, talks)
    assert not found, f"{len(found)} differ:\n" + "\n".join(found[:10])
