"""Conversations about users and permissions, played against nats-server and against ours: the transcripts must be equal.

A server is started once for each set of options and serves all conversations that need it.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from access_conversations import TALKS, Talk
from configured import conf, midge_server_with
from servers import Pairs, need_nats_server, running_nats_server
from test_conversations import differences
from transcript import Ending, play

from midge import ServerOptions

Servers = Pairs[ServerOptions]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    need_nats_server()
    pytest.importorskip("bcrypt")
    with ExitStack() as stack:
        yield Pairs(stack, lambda options: (running_nats_server(conf(options)), midge_server_with(options)))


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
def test_both_servers_say_the_same(talk: Talk, servers: Servers) -> None:
    real, ours = servers.pair(talk.options)
    expected = play(talk.steps, *real)
    assert Ending.SILENT not in [entry for _, entry in expected], "the conversation waits for what nats-server does not say"
    if found := differences(expected, play(talk.steps, *ours)):
        pytest.fail("\n".join(found), pytrace=False)


def test_names_are_unique() -> None:
    names = [talk.name for talk in TALKS]
    assert len(set(names)) == len(names) >= 200
