"""Pull consumers: what is delivered to whom, by a clock that is turned by hand."""

from __future__ import annotations

from consuming import Consuming, numbers


def test_a_request_gets_what_is_there_and_the_rest_as_it_comes() -> None:
    world = Consuming()
    world.store("s.a", "s.b", "s.c")
    world.consume()
    got = world.pull(4)
    assert [(each.to, each.subject, each.payload) for each in got] == [(b"I.1", b"s.%c" % at, b"x") for at in b"abc"]
    assert numbers(got) == [(1, 1, 1, 2), (1, 2, 2, 1), (1, 3, 3, 0)]
    world.store("s.d", "s.e")
    assert numbers(world.news()) == [(1, 4, 4, 1)]
    assert numbers(world.pull(1)) == [(1, 5, 5, 0)]


def test_what_is_acknowledged_moves_the_floor() -> None:
    world = Consuming()
    world.store("s.a", "s.b", "s.c")
    consumer = world.consume()
    first, second, third = world.pull(3)
    world.reply(second)
    info = consumer.info(world.wall)
    assert (info.ack_floor.stream_seq, info.num_ack_pending) == (0, 2)
    world.reply(first)
    assert consumer.info(world.wall).ack_floor.stream_seq == 2
    world.reply(third)
    assert (consumer.info(world.wall).ack_floor.consumer_seq, consumer.ledger.pending) == (3, 0)


def test_what_is_not_acknowledged_comes_again() -> None:
    world = Consuming()
    world.store("s.a", "s.b")
    world.consume()
    first, _ = world.pull(2)
    world.reply(first)
    world.pull(1, to="I.2", expires=60_000_000_000)
    world.wait(9.9)
    assert world.news() == []
    world.wait(0.2)
    assert [(each.to, *numbers([each])) for each in world.news()] == [(b"I.2", (2, 2, 3, 0))]


def test_a_request_that_does_not_wait() -> None:
    world = Consuming()
    world.consume()
    assert world.pull(1, no_wait=True)[0].header == b"NATS/1.0 404 No Messages\r\n\r\n"
    world.store("s.a")
    assert numbers(world.pull(2, no_wait=True)) == [(1, 1, 1, 0), (0, 0, 0, 404)]
