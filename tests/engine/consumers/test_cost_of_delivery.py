"""What deliveries cost: nothing is left of one that was acknowledged, and beginning with the last of each subject walks no stream."""

import gc
import tracemalloc

import pytest
from consuming import Consuming
from counting import calls
from worlds import SECOND

import midge

ROUNDS = 120
BATCH = 50


def round_of(world: Consuming) -> None:
    """Messages come, are delivered, and acknowledged; the stream keeps a few of them."""
    for _ in range(BATCH):
        world.publish("s.a", b"x")
    for message in world.pull(BATCH, expires=SECOND):
        world.publish(message.reply.decode(), b"+ACK")
    world.turn()
    world.outside.sent.clear()
    world.outside.delivered.clear()
    world.seen = 0


def memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.skipif(not midge.compiled, reason="it takes a minute, and numbers of plain Python are objects")
@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_nothing_is_left_of_a_message_that_was_delivered_and_acknowledged(retention: str) -> None:
    world = Consuming(retention=retention, max_msgs=BATCH)
    world.consume(durable_name="C", max_ack_pending=-1)
    for _ in range(5):
        round_of(world)
    tracemalloc.start()
    try:
        round_of(world)
        before = memory()
        for _ in range(ROUNDS):
            round_of(world)
        assert memory() - before < 24 * ROUNDS * BATCH  # less than the smallest object of each; blocks of the store come and go
    finally:
        tracemalloc.stop()
    info = world.stream.consumers["C"].info(world.wall)
    assert info.num_ack_pending == 0
    assert info.ack_floor.consumer_seq == (ROUNDS + 6) * BATCH


def test_beginning_with_the_last_of_each_subject_does_not_walk_the_stream() -> None:
    def work(messages: int) -> int:
        world = Consuming()
        for number in range(messages):
            world.publish(f"s.{number % 10}", b"x")
        world.turn()

        def consume() -> None:
            for number in range(20):
                consumer = world.consume(f"C{number}", filter_subject="s.>", deliver_policy="last_per_subject")
                assert consumer.info(world.wall).num_pending == 10

        return calls(consume)

    assert work(6_000) < 1.1 * work(200)
