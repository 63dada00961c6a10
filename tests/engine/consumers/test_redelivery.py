"""engine/consumers/redelivery: a ring that grows, is renewed and let go of. What the ledger makes of it: test_window.py and the models."""

from midge.engine.consumers.redelivery import RedeliveryQueue


def put(queue: RedeliveryQueue, *sequences: int) -> list[int]:
    """Append, and renew the queue as the ledger does where nobody has given a ticket up."""
    tickets = []
    for sequence in sequences:
        if queue.is_full():
            old = queue.renew(queue.rear - queue.front)
            while old.front < old.rear:
                queue.append(old.first())
                old.skip()
        tickets.append(queue.append(sequence))
    return tickets


def taken(queue: RedeliveryQueue) -> list[int]:
    found = []
    while queue.front < queue.rear:
        found.append(queue.first())
        queue.skip()
    return found


def test_first_in_first_out_round_the_ring() -> None:
    queue = RedeliveryQueue()
    assert queue.is_full() and put(queue, 5, 3, 9) == [1, 2, 3]
    for number in range(100):
        assert queue.first() == (5, 3, 9)[number % 3]
        put(queue, queue.first())
        queue.skip()
    assert len(taken(queue)) == 3


def test_a_ring_grows_and_keeps_the_order() -> None:
    queue = RedeliveryQueue()
    put(queue, *range(1, 1001))
    assert taken(queue) == list(range(1, 1001))


def test_a_ring_of_which_little_is_used_is_not_made_longer() -> None:
    queue = RedeliveryQueue()
    put(queue, *range(8))
    old = queue.renew(3)
    assert (old.front, old.rear, queue.front, queue.rear) == (0, 8, 0, 0) and taken(old) == list(range(8))
    for number in range(8):
        assert not queue.is_full()
        queue.append(number)
    assert queue.is_full()


def test_nothing_is_left_when_it_is_cleared_or_passed_over() -> None:
    queue = RedeliveryQueue()
    put(queue, *range(100))
    queue.skip_all()
    assert taken(queue) == [] and put(queue, 7) == [101] and queue.first() == 7
    queue.clear()
    assert (queue.front, queue.rear) == (0, 0) and queue.is_full(), "a long ring is not kept"
