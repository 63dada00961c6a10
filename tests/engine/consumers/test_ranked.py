"""The queue of requests with priorities, beside the plain one and a naive one."""

import random

import pytest

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
    queue = Ranked()
    for each in (request("low", 5, 2), request("a", 1, 2), request("b", 1, 3), request("nothing", group=""), request("last", 9)):
        queue.add(each)
    assert [each.reply for each in queue] == [b"a", b"b", b"low", b"last", b"nothing"]
    assert order(queue) == ["a", "b", "a", "b", "b", "low", "low", "last", "nothing"]


def test_passing_over_is_within_a_number() -> None:
    queue = Ranked()
    for each in (request("a", 1), request("b", 1), request("c", 2)):
        queue.add(each)
    queue.pass_over()
    assert order(queue) == ["b", "a", "c"]


@pytest.mark.parametrize("kind", [Waiting, Ranked])
def test_who_ends_is_left_out_wherever_it_is(kind: type[Waiting]) -> None:
    dice = random.Random(7)
    for number in range(60):
        queue = kind()
        waiting = [request(str(each), left=dice.randrange(1, 4)) for each in range(dice.randrange(1, 300))]
        for each in waiting:
            queue.add(each)
        while waiting:
            match dice.randrange(4):
                case 0:
                    queue.end(waiting.pop(dice.randrange(len(waiting))))
                case 1:
                    assert queue.drop() is waiting.pop(0)
                case 2:
                    queue.pass_over()
                    waiting.append(waiting.pop(0))
                case _:
                    first = waiting.pop(0)
                    assert queue.serve() is first
                    waiting += [first] * (first.left > 0)
            assert len(queue) == len(waiting)
            assert number % 20 or list(queue) == waiting
            assert queue.wanted == sum(each.left for each in waiting)
            assert not waiting or queue.first is waiting[0]
        queue.clear()


def test_like_a_list_that_is_sorted() -> None:
    dice = random.Random(9)
    for _ in range(200):
        queue = Ranked()
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
    queues = Waiting(), Ranked()
    for queue in queues:
        for name, left in (("a", 2), ("b", 1), ("c", 3)):
            queue.add(request(name, 0, left))
    assert order(queues[0]) == order(queues[1])
