"""Conversations about streams with nats-server and with ours: the same answers, byte for byte but for times, ids and names.

Each is played with streams in memory and in files, where that can matter; every answer of ours is valid by its JSON schema.
"""

from collections.abc import Iterator

import batch_conversations
import jetstream_conversations
import pytest
from jetstream_player import Conversation, Player, Talk, both_players, faults

CONVERSATIONS = [*jetstream_conversations.CONVERSATIONS, *batch_conversations.CONVERSATIONS]
CASES = [(conversation, storage) for conversation in CONVERSATIONS for storage in conversation.storages]


@pytest.fixture(scope="module")
def players() -> Iterator[tuple[Player, Player]]:
    with both_players() as pair:
        yield pair


def differences(real: Talk, ours: Talk) -> list[str]:
    """Where two talks differ."""
    found = []
    for (subject, expected), (_, got) in zip(real.answers, ours.answers, strict=True):
        if expected != got:
            found.append(f"{subject}:\n  nats-server {expected!r}\n  midge       {got!r}")
    return found


@pytest.mark.parametrize(("conversation", "storage"), CASES, ids=[f"{each.name}, {storage}" for each, storage in CASES])
def test_both_servers_say_the_same(conversation: Conversation, storage: str, players: tuple[Player, Player]) -> None:
    real, ours = players
    expected, got = real.play(conversation, storage), ours.play(conversation, storage)
    if found := differences(expected, got):
        pytest.fail("\n".join(found), pytrace=False)
    wrong = [fault for _, answers in got.answers for answer in answers for fault in faults(answer)]
    known = [fault for _, answers in expected.answers for answer in answers for fault in faults(answer)]  # nats-server's own
    assert wrong == known


def test_there_are_many() -> None:
    assert len(CASES) >= 150
    assert len({each.name for each in CONVERSATIONS}) == len(CONVERSATIONS)
