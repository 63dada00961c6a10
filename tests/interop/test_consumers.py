"""Stories about consumers with nats-server and with ours: the same messages on every channel but for times, ids and names.

All that are chosen are played at once, each in an account of its own; those that then differ are played again, fewer and fewer at once,
because they measure time and the machine may have been busy. Every answer of ours is valid by its JSON schema. Where nats-server's
behaviour is a fault that ours does not have, the story is in ``KNOWN``, and its test says so.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ack_stories
import bucket_stories
import config_stories
import limit_stories
import pull_stories
import push_stories
import pytest
import retention_stories
from consumer_player import Story, Transcript, play_all
from jetstream_player import faults
from servers import need_nats_server, running_nats_server

import midge

STORIES: list[Story] = [
    *config_stories.STORIES,
    *pull_stories.STORIES,
    *ack_stories.STORIES,
    *push_stories.STORIES,
    *limit_stories.STORIES,
    *retention_stories.STORIES,
    *bucket_stories.STORIES,
]
CASES = [(tale, storage) for tale in STORIES for storage in tale.storages]
USERS = [f"u{number}" for number in range(28)]
FEW = (8, 3, 1)  # at once, where they are played again
MANY = 60  # that are played again: of more the machine is not the reason
KNOWN = {
    "the last per subject, removed while it is read": "nats-server stands still where one of those messages is gone, until something comes",
    "many keys": "nats-server counts what a filter does not match: it takes a star inside of a token for one that stands for something",
}

Told = dict[tuple[str, str], Transcript]


def configuration(directory: str) -> str:
    """A server where every user has an account of its own."""
    accounts = "\n".join(f"  A{user} {{ jetstream: enabled, users: [ {{ user: {user}, password: p }} ] }}" for user in USERS)
    return f"jetstream {{ store_dir: {json.dumps(directory)} }}\naccounts {{\n{accounts}\n}}\n"


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest) -> Iterator[tuple[Told, Told]]:
    """What both servers say in all the stories that are chosen."""
    need_nats_server()
    chosen = [
        item.callspec.params["case"] for item in request.session.items if hasattr(item, "callspec") and "case" in item.callspec.params
    ]
    cases = [case for case in CASES if case in chosen]
    with ExitStack() as stack:
        directories = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        real = stack.enter_context(running_nats_server(configuration(directories[0])))
        config = Path(directories[1]) / "midge.conf"
        config.write_text(configuration(directories[1] + "/store"))
        server = stack.enter_context(midge.Server(config=config, port=0))
        addresses = real, (server.host, server.port)
        theirs, ours = asyncio.run(play_both(addresses, USERS, cases))
        for few in FEW:
            again = [each for each in cases if each[0].name not in KNOWN and differences(*(told[name_of(each)] for told in (theirs, ours)))]
            if again:
                second = asyncio.run(play_both(addresses, USERS[:few], again[:MANY]))
                theirs, ours = theirs | second[0], ours | second[1]
        yield theirs, ours


async def play_both(
    addresses: tuple[tuple[str, int], tuple[str, int]], users: list[str], cases: list[tuple[Story, str]]
) -> tuple[Told, Told]:
    theirs, ours = await asyncio.gather(*(play_all(address, users, cases) for address in addresses))
    return theirs, ours


def differences(real: Transcript, ours: Transcript) -> list[str]:
    """Where two transcripts differ."""
    found = []
    for channel in sorted(real.channels | ours.channels):
        expected, got = real.channels.get(channel, []), ours.channels.get(channel, [])
        if expected != got:
            found.append(f"{channel}:\n  nats-server {expected!r}\n  midge       {got!r}")
    return found


def name_of(case: tuple[Story, str]) -> tuple[str, str]:
    tale, storage = case
    return tale.name, storage


def marked(case: tuple[Story, str]) -> Any:
    """A case as a parameter: one of which it is known that it differs has to."""
    reason = KNOWN.get(case[0].name)
    return pytest.param(case, marks=pytest.mark.xfail(reason=reason, strict=True) if reason else (), id=", ".join(name_of(case)))


@pytest.mark.timeout(300)  # the first of them waits for all, and the machine may be busy
@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_both_servers_say_the_same(case: tuple[Story, str], told: tuple[Told, Told]) -> None:
    expected, got = (each[name_of(case)] for each in told)
    if found := differences(expected, got):
        pytest.fail("\n".join(found), pytrace=False)
    wrong = [fault for body in got.bodies for fault in faults(body)]
    known = [fault for body in expected.bodies for fault in faults(body)]  # nats-server's own
    assert sorted(wrong) == sorted(known)


def test_there_are_many() -> None:
    assert len({tale.name for tale in STORIES}) == len(STORIES)
    assert len(CASES) >= 400
