"""The queue of requests with priorities, beside the plain one and a naive one."""

import random

from midge.engine.consumers.groups import Claim, rank
from midge.engine.consumers.ranked import Ranked
from midge.engine.consumers.waiting import Request, Waiting


def request(name: str, priority: int = 0, left: int = 1, group: str = "A") -> Request:
    made = Request(name.encode(), None, 0)
    made.left = left
    made.claim = Claim(group, priority=priority) if group else None
    return made


def order(queue: Waiting) -> list[str]:
    served = []
    while len(queue):
        served.append(queue.serve().reply.decode())
    return served


def test_lower_numbers_first_and_in_turns_within_one() -> None:
    queue = Ranked(10)
    for each in (request("low", 5, 2), request("a", 1, 2), request("b", 1, 3), request("nothing", group=""), request("last", 9)):
        queue.add(each)
    assert [each.reply for each in queue] == [b"a", b"b", b"low", b"last", b"nothing"]
    assert order(queue) == ["a", "b", "a", "b", "b", "low", "low", "last", "nothing"]


def test_it_is_full_at_as_many_as_may_wait() -> None:
    queue = Ranked(2)
    queue.add(request("a", 1))
    assert not queue.is_full
    queue.add(request("b", 2))
    assert queue.is_full and len(queue) == 2
    assert queue.drop().reply == b"a"
    assert queue.first.reply == b"b" and not queue.is_full


def test_passing_over_is_within_a_number() -> None:
    queue = Ranked(9)
    for each in (request("a", 1), request("b", 1), request("c", 2)):
        queue.add(each)
    queue.pass_over()
    assert order(queue) == ["b", "a", "c"]


def test_only_those_that_are_kept_stay() -> None:
    queue = Ranked(9)
    kept = [request("a", 1), request("c", 2)]
    for each in (kept[0], request("b", 1), kept[1]):
        queue.add(each)
    queue.keep([each for each in queue if each in kept])
    assert len(queue) == 2
    assert order(queue) == ["a", "c"]


def test_like_a_list_that_is_sorted() -> None:
    dice = random.Random(9)
    for _ in range(200):
        queue = Ranked(99)
        naive: list[Request] = []
        for number in range(dice.randrange(1, 30)):
            if naive and dice.random() < 0.4:
                first = naive.pop(0)
                assert queue.serve() is first
                if first.left > 0:
                    naive.append(first)
            else:
                naive.append(made := request(str(number), dice.randrange(10), dice.randrange(1, 4)))
                queue.add(made)
            naive.sort(key=lambda each: rank(each.claim, "prioritized"))  # stable
            assert list(queue) == naive


def test_without_numbers_it_is_the_plain_queue() -> None:
    queues = Waiting(9), Ranked(9)
    for queue in queues:
        for name, left in (("a", 2), ("b", 1), ("c", 3)):
            queue.add(request(name, 0, left))
    assert order(queues[0]) == order(queues[1])
