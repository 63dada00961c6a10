"""Conversations about mirrors and sources with nats-server and with ours: the same answers but for times, ids and names."""

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jetstream_player import Player, both_players, faults, levelled, with_storage
from origin_conversations import CONVERSATIONS, Failing, Wait, as_steps, settled

PATIENCE = 10.0
PAUSE = 0.01
_IDENTITY = re.compile(rb"(Nats-Stream-Source: [^ ]+ \d+ [^ ]+ [^ ]+ [^ ]+) \w{8}\r\n")
_INBOX = re.compile(rb'("deliver_subject": ?"\$JS\.[SM]\.)\w{8}"')
STORAGES = ("memory", "file")
CASES = [(name, storage) for name in CONVERSATIONS for storage in STORAGES]


@pytest.fixture(scope="module")
def players() -> Iterator[tuple[Player, Player]]:
    with both_players() as pair:
        yield pair


def wait(player: Player, step: Wait | Failing) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + PATIENCE
    info: dict[str, Any] = {}
    while time.monotonic() < deadline:
        info = json.loads(player.request(f"$JS.API.STREAM.INFO.{step.name}"))
        if settled(info["state"], step) if isinstance(step, Wait) else is_failing(info):
            return
        time.sleep(PAUSE)
    raise AssertionError(f"{step}, but {info}")


def is_failing(info: dict[str, Any]) -> bool:
    return any("error" in each for each in (*info.get("sources", []), *([info["mirror"]] if "mirror" in info else [])))


def plain(answer: bytes) -> bytes:
    """Return an answer without what depends on the moment, the order of sources, and which stream of a name it is."""
    answer = _INBOX.sub(rb'\1<id>"', levelled(answer))
    if not answer.startswith(b"{"):
        return _IDENTITY.sub(rb"\1 <id>\r\n", answer)
    body = json.loads(answer)
    if hdrs := body.get("message", {}).get("hdrs"):
        body["message"]["hdrs"] = levelled(_IDENTITY.sub(rb"\1 <id>\r\n", base64.b64decode(hdrs))).decode()
    for stream in body["streams"] if isinstance(body.get("streams"), list) else [body]:
        if isinstance(stream, dict):
            origins = stream.get("sources", []) + ([stream["mirror"]] if "mirror" in stream else [])
            for each in origins:
                each["active"] = 0
                if "stream_create" in body["type"] or "stream_update" in body["type"]:  # nats-server does not know yet, or we do not
                    each["lag"] = 0
                    each.pop("filter_subject", None)
                    each.pop("seq", None)
            stream.get("sources", []).sort(key=lambda each: json.dumps(each, sort_keys=True))
    return json.dumps(body, sort_keys=True).encode()


def play(player: Player, name: str, storage: str) -> tuple[list[tuple[str, list[bytes]]], list[str]]:
    talk: list[tuple[str, list[bytes]]] = []
    wrong: list[str] = []
    try:
        for step in as_steps(CONVERSATIONS[name]):
            if isinstance(step, Wait | Failing):
                wait(player, step)
            else:
                answers = player.ask(with_storage(step, storage))
                wrong += [fault for answer in answers for fault in faults(answer)]
                talk.append((step.subject, [plain(answer) for answer in answers]))
    finally:
        for stream in json.loads(player.request("$JS.API.STREAM.NAMES"))["streams"] or []:
            player.request(f"$JS.API.STREAM.DELETE.{stream}")
    return talk, wrong


def differences(said: list[bytes], ours: list[bytes]) -> list[str]:
    """Where two answers differ."""
    if len(said) != len(ours) or not all(each.startswith(b"{") for each in (*said, *ours)):
        return [f"{said!r}\n  midge       {ours!r}"]
    found = []
    for one, other in zip(map(json.loads, said), map(json.loads, ours), strict=True):
        for field in sorted(one.keys() | other.keys()):
            if one.get(field) != other.get(field):
                found.append(f"{field}: {one.get(field)}\n  midge       {field}: {other.get(field)}")
    return found


@pytest.mark.parametrize(("name", "storage"), CASES, ids=[f"{name}, {storage}" for name, storage in CASES])
def test_both_servers_say_the_same(name: str, storage: str, players: tuple[Player, Player]) -> None:
    (expected, known), (got, wrong) = (play(player, name, storage) for player in players)
    found = [
        f"{subject}:\n  nats-server {difference}"
        for (subject, said), (_, ours) in zip(expected, got, strict=True)
        if said != ours
        for difference in differences(said, ours)
    ]
    if found:
        pytest.fail("\n".join(found), pytrace=False)
    assert wrong == known
