"""What a consumer costs that nobody uses: no timer, and little memory."""

import gc
import json
import tracemalloc

from consuming import Consuming

import midge

NUMBER = 25
MOST = 2_048 if midge.compiled else 4_096  # bytes of each; numbers of plain Python are objects


def make(world: Consuming, number: int) -> None:
    config = {"durable_name": f"C{number}", "ack_policy": "explicit", "filter_subject": f"s.{number}"}
    body = json.dumps({"stream_name": "S", "config": config}).encode()
    ((_, answer),) = world.ask(f"$JS.API.CONSUMER.CREATE.S.C{number}", body)
    assert b"error" not in answer
    world.outside.sent.clear()


def use(world: Consuming, number: int) -> None:
    """Pull a few messages and acknowledge them."""
    world.store(*[f"s.{number}"] * 12)
    for message in world.pull(12, f"C{number}"):
        world.reply(message)
    world.api("STREAM.PURGE.S")
    world.outside.sent.clear()
    world.outside.delivered.clear()
    world.seen = 0


def memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_an_idle_consumer_takes_two_kilobytes_at_most() -> None:
    world = Consuming()
    for number in range(5):
        make(world, number)
        use(world, number)
    world.wait(60)
    assert world.engine.next_deadline() is None
    tracemalloc.start()
    try:
        before = memory()
        for number in range(NUMBER):
            make(world, 100 + number)
        assert memory() - before <= NUMBER * MOST
        for number in range(NUMBER):
            use(world, 100 + number)
        assert memory() - before <= NUMBER * MOST * 8 // 5  # a small array is kept
    finally:
        tracemalloc.stop()
    world.wait(60)
    assert world.engine.next_deadline() is None
