"""Every conversation of the table, played against nats-server and against ours: the transcripts must be equal.

A server is started once for each set of options and serves all conversations that need it, so conversations must not leave
anything behind; they close their connections, and use subjects of their own where a late unsubscribe could be seen.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from os.path import commonprefix

import pytest
from conversations import CONVERSATIONS, Conversation, Options
from servers import Pairs, midge_server, nats_server, need_nats_server
from transcript import Ending, Transcript, play

Servers = Pairs[Options]


def differences(real: Transcript, ours: Transcript) -> list[str]:
    """Where two transcripts differ, in a few words: some run to megabytes."""
    found = []
    for (connection, heard), (_, got) in zip(real, ours, strict=True):
        if heard == got:
            continue
        if isinstance(heard, bytes) and isinstance(got, bytes):
            at = len(commonprefix([heard, got]))
            window = slice(max(0, at - 80), at + 200)
            found.append(f"connection {connection}, byte {at}: nats-server {heard[window]!r}, midge {got[window]!r}")
        else:
            found.append(f"connection {connection}: nats-server {heard!r}, midge {got!r}")
    return found


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    need_nats_server()
    with ExitStack() as stack:
        yield Pairs(stack, lambda options: (nats_server(options), midge_server(options)))


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.name)
def test_both_servers_say_the_same(conversation: Conversation, servers: Servers) -> None:
    real, ours = servers.pair(conversation.options)
    expected = play(conversation.steps, *real)
    assert Ending.SILENT not in [entry for _, entry in expected], "the conversation waits for what nats-server does not say"
    if found := differences(expected, play(conversation.steps, *ours)):
        pytest.fail("\n".join(found), pytrace=False)


def test_names_are_unique() -> None:
    names = [conversation.name for conversation in CONVERSATIONS]
    assert len(set(names)) == len(names) >= 100


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.name)
def test_every_connection_is_waited_for(conversation: Conversation) -> None:
    """The last step of a connection must wait: what follows a mere send would depend on timing."""
    last = {step.connection: step.verb for step in conversation.steps}
    assert set(last.values()) <= {"sync", "frames", "eof", "wait_close"}
