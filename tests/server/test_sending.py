"""server.sending: whose turn it is to be sent to, and what the server itself may queue. What is routed on the way: test_hub.py."""

from hubs import new_hub

from midge.server.peer import CLIENT, Peer
from midge.server.sending import FLUSH_AT, Sending


class Transport:
    """Notes whose turn it was; what it calls first may do what a peer does meanwhile."""

    def __init__(self, number: int, turns: list[int]) -> None:
        self.number, self.turns = number, turns

    def flush(self) -> None:
        self.turns.append(self.number)


def peers(count: int, turns: list[int]) -> list[Peer]:
    found = [Peer(number, CLIENT, None) for number in range(count)]
    for peer in found:
        peer.transport = Transport(peer.cid, turns)
    return found


def test_everybody_has_a_turn_before_somebody_gets_their_second() -> None:
    turns: list[int] = []
    sending = Sending(1 << 20)
    one, two, three = peers(3, turns)
    for peer in (one, two, three):
        peer.dirty = True
        sending.dirty.append(peer)
    sending.flush_dirty(1)
    assert turns == [0] and not one.dirty and two.dirty and sending.has_more()
    one.dirty = True
    sending.dirty.append(one)  # it got another message
    sending.flush_dirty(10)
    assert turns == [0, 1, 2, 0] and not sending.has_more() and sending.dirty == []


def test_who_is_answered_is_on_the_list_no_more_when_it_is_sent_to() -> None:
    turns: list[int] = []
    sending = Sending(1 << 20)
    gone, here = peers(2, turns)
    gone.transport = None
    for peer in (gone, here):
        peer.urgent = True
        sending.urgent.append(peer)
    sending.flush_urgent()
    assert turns == [1] and sending.urgent == [] and not gone.urgent and not here.urgent


def test_what_is_emitted_is_bounded_and_what_is_answered_is_not_its_matter() -> None:
    hub = new_hub(max_pending=10_000, max_payload=1000)
    emitted = [hub.emit(hub.account, b"a", b"", b"", b"x" * 999) for _ in range(20)]
    assert emitted == [True] * sum(emitted) + [False] * (20 - sum(emitted)) and 9 <= sum(emitted) <= 11
    hub.answer(hub.account, [])
    assert hub.has_more()
    hub.flush()
    assert not hub.has_more() and hub.emit(hub.account, b"a", b"", b"", b"x")


def test_the_marks_follow_from_what_may_wait() -> None:
    large, small = Sending(64 << 20), Sending(40_000)
    assert (large.flush_at, large.wait_at, large.stall_at) == (FLUSH_AT, 1 << 20, 48 << 20)
    assert (small.flush_at, small.wait_at, small.stall_at) == (30_000, 30_000, 30_000)
