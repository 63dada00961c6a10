"""Push consumers: what is sent while somebody listens, what holds it back, and heartbeats, by a clock that is turned by hand."""

from __future__ import annotations

import msgspec
import pytest
from consuming import Consuming, numbers
from worlds import SECOND, Delivered


def beats(messages: list[Delivered]) -> list[tuple[int, int]]:
    """Return what each heartbeat counts: consumer's and stream's sequence."""
    found = []
    for each in messages:
        assert each.subject == each.to and each.header.startswith(b"NATS/1.0 100 Idle Heartbeat\r\n"), each
        lines = dict(line.split(b": ") for line in each.header.split(b"\r\n")[1:-2])
        found.append((int(lines[b"Nats-Last-Consumer"]), int(lines[b"Nats-Last-Stream"])))
    return found


def test_messages_go_to_the_deliver_subject_and_keep_their_own() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d")
    world.store("s.a", "s.b")
    got = world.news()
    assert [(each.to, each.subject) for each in got] == [(b"d", b"s.a"), (b"d", b"s.b")]
    assert numbers(got) == [(1, 1, 1, 1), (1, 2, 2, 0)]
    world.reply(got[0])
    assert world.account.streams["S"].consumers["C"].info(world.wall).num_ack_pending == 1


def test_nothing_is_sent_while_nobody_listens() -> None:
    world = Consuming()
    consumer = world.consume(deliver_subject="d")
    world.store("s.a")
    assert world.news() == []
    assert not consumer.info(world.wall).push_bound
    world.outside.bind("d")
    world.turn()
    assert numbers(world.news()) == [(1, 1, 1, 0)]
    assert consumer.info(world.wall).push_bound
    world.outside.bind("d", gone=True)
    world.store("s.b")
    assert world.news() == []
    assert (consumer.info(world.wall).push_bound, consumer.info(world.wall).num_pending) == (False, 1)
    world.outside.bind("d")
    world.turn()
    assert numbers(world.news()) == [(1, 2, 2, 0)]


def test_what_was_not_acknowledged_comes_again_when_somebody_listens() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", ack_wait=SECOND)
    world.store("s.a")
    world.news()
    world.outside.bind("d", gone=True)
    world.wait(5)
    assert world.news() == []
    world.outside.bind("d")
    world.turn()
    assert numbers(world.news()) == [(2, 1, 2, 0)]
    world.wait(1.1)
    assert numbers(world.news()) == [(3, 1, 3, 0)]


def test_a_deliver_group_has_to_be_there_itself() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", deliver_group="g")
    world.store("s.a")
    assert world.news() == []
    world.outside.bind("d", "g")
    world.turn()
    assert numbers(world.news()) == [(1, 1, 1, 0)]


def test_heartbeats_come_when_nothing_else_does_and_somebody_listens() -> None:
    world = Consuming()
    world.consume(deliver_subject="d", idle_heartbeat=SECOND, durable_name="C")
    world.wait(5)
    assert world.news() == []
    assert world.engine.next_deadline() is None
    world.outside.bind("d")
    world.turn()
    world.wait(2.5)
    assert beats(world.news()) == [(0, 0), (0, 0)]
    world.store("s.a")
    world.news()
    world.wait(0.9)
    assert world.news() == []
    world.wait(0.2)
    assert beats(world.news()) == [(1, 1)]
    world.outside.bind("d", gone=True)
    world.turn()
    world.wait(5)
    assert world.news() == []


def test_an_idle_consumer_without_heartbeats_has_no_timer() -> None:
    world = Consuming()
    world.outside.bind("d")
    consumer = world.consume(deliver_subject="d", durable_name="C")
    world.store("s.a")
    world.reply(world.news()[0])
    world.wait(30)
    assert consumer.ledger.pending == 0
    assert world.engine.next_deadline() is None


def test_as_many_as_may_be_unacknowledged_are_sent_and_heartbeats_go_on() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", max_ack_pending=2, idle_heartbeat=SECOND, ack_wait=60 * SECOND)
    world.store("s.a", "s.b", "s.c")
    got = world.news()
    assert numbers(got) == [(1, 1, 1, 2), (1, 2, 2, 1)]
    world.wait(1)
    assert beats(world.news()) == [(2, 2)]
    world.reply(got[1])
    assert numbers(world.news()) == [(1, 3, 3, 0)]


def test_a_full_receiver_is_given_time() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.outside.crowded.add(b"d")
    world.consume(deliver_subject="d", ack_policy="none")
    world.store("s.a", "s.b", "s.c")
    assert len(world.news()) == 1
    world.wait(0.001)
    assert len(world.news()) == 1
    world.outside.crowded.clear()
    world.wait(0.1)
    assert len(world.news()) == 1


def test_where_nothing_reaches_those_who_listen_it_is_tried_again() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.outside.deaf.add(b"d")
    world.consume(deliver_subject="d")
    world.store("s.a")
    assert world.news() == []
    world.outside.deaf.clear()
    world.wait(0.9)
    assert world.news() == []
    world.wait(0.2)
    assert numbers(world.news()) == [(1, 1, 1, 0)]


def test_the_window_of_flow_control() -> None:
    """A question when more than 1 MiB is on the way, nothing past 2 MiB, the double when it is answered."""
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", flow_control=True, idle_heartbeat=SECOND, ack_policy="none")
    world.store(*["s.a"] * 60, payload=b"x" * 100_000)
    got = world.news()
    asked = [at for at, each in enumerate(got) if each.header]
    assert asked == [11] and len(got) == 22  # as nats-server
    question = got[11]
    assert (question.to, question.subject, question.reply) == (b"d", b"d", b"$JS.FC.S.C.0000")
    assert question.header == b"NATS/1.0 100 FlowControl Request\r\n\r\n"
    world.wait(1)
    (beat,) = world.news()
    assert beat.header == (
        b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 21\r\nNats-Last-Stream: 21\r\nNats-Consumer-Stalled: $JS.FC.S.C.0000\r\n\r\n"
    )
    assert world.publish("$JS.FC.S.C.0001")  # heard, and no answer to anything
    world.turn()
    assert world.news() == []
    assert world.publish("$JS.FC.S.C.0000")
    world.turn()
    got = world.news()
    assert [at for at, each in enumerate(got) if each.header] == [11] and len(got) == 33
    world.publish("$JS.FC.S.C.0000")
    world.turn()
    assert len([each for each in world.news() if not each.header]) == 7
    world.wait(1)
    assert beats(world.news()) == [(60, 60)]


def test_flow_control_of_nobody_is_not_heard() -> None:
    world = Consuming()
    world.consume("P", deliver_subject="d")
    world.consume("Q")
    assert not world.publish("$JS.FC.S.P.abcd")
    assert not world.publish("$JS.FC.S.Q.abcd")
    assert not world.publish("$JS.FC.S.R.abcd")
    assert not world.publish("$JS.FC.T.P.abcd")


def test_answers_acknowledge_where_the_policy_says_so() -> None:
    world = Consuming()
    world.outside.bind("d")
    consumer = world.consume(
        deliver_subject="d", ack_policy="flow_control", flow_control=True, idle_heartbeat=SECOND, max_ack_pending=3, ack_wait=0
    )
    world.store("s.a", "s.b", "s.c", "s.d", "s.e")
    got = world.news()
    assert [each.header for each in got] == [b"", b"", b"", b"NATS/1.0 100 FlowControl Request\r\n\r\n"]
    world.publish(got[-1].reply.decode(), Nats_Last_Consumer="2", Nats_Last_Stream="2")
    world.turn()
    got = world.news()
    assert [each.subject for each in got] == [b"s.d", b"s.e", b"d"]
    assert (consumer.ledger.floor, consumer.ledger.stream_floor, consumer.ledger.pending) == (2, 2, 3)
    world.publish(got[-1].reply.decode(), Nats_Last_Consumer="5", Nats_Last_Stream="5")
    world.turn()
    assert (consumer.ledger.floor, consumer.ledger.pending) == (5, 0)


def test_what_is_left_to_acknowledge_is_asked_for_with_the_heartbeat() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.consume(deliver_subject="d", ack_policy="flow_control", flow_control=True, idle_heartbeat=SECOND, max_ack_pending=3, ack_wait=0)
    world.store("s.a")
    world.news()
    world.wait(1)
    beat, question = world.news()
    assert beats([beat]) == [(1, 1)]
    assert question.header == b"NATS/1.0 100 FlowControl Request\r\n\r\n"
    world.wait(1)
    assert b"Nats-Consumer-Stalled: $JS.FC.S.C.0000\r\n" in world.news()[0].header


@pytest.mark.parametrize("header", [{}, {"Nats_Last_Stream": "x"}, {"Nats_Last_Stream": "0"}, {"Nats_Last_Stream": "-1"}])
def test_an_answer_that_does_not_say_how_far_acknowledges_nothing(header: dict[str, str]) -> None:
    world = Consuming()
    world.outside.bind("d")
    consumer = world.consume(
        deliver_subject="d", ack_policy="flow_control", flow_control=True, idle_heartbeat=SECOND, max_ack_pending=1, ack_wait=0
    )
    world.store("s.a")
    question = world.news()[-1]
    world.publish(question.reply.decode(), **header)
    world.turn()
    assert (consumer.ledger.floor, consumer.ledger.pending) == (0, 1)


def test_a_rate_limit() -> None:
    """1,000 bytes a second, a burst of one message of the largest size."""
    world = Consuming(max_msg_size=600)
    world.outside.bind("d")
    world.consume(deliver_subject="d", rate_limit_bps=8_000, ack_policy="none", idle_heartbeat=10 * SECOND)
    world.store(*["s.a"] * 3, payload=b"x" * 480)
    assert len(world.news()) == 1
    size = 480 + len("s.a") + len("$JS.ACK.S.C.1.1.1.1800000000000000000.2")
    world.wait((2 * size - 600) / 1000 - 0.001)
    assert world.news() == []
    world.wait(0.002)
    assert len(world.news()) == 1
    world.wait(size / 1000 + 0.001)
    assert len(world.news()) == 1


def test_a_replay_keeps_the_gaps_until_it_has_caught_up() -> None:
    world = Consuming()
    for gap in (0, 2, 1):
        world.wait(gap)
        world.store("s.a")
    world.wait(100)
    world.outside.bind("d")
    consumer = world.consume(deliver_subject="d", replay_policy="original", ack_policy="none")
    assert len(world.news()) == 1
    world.wait(1.9)
    assert world.news() == []
    world.wait(0.2)
    assert len(world.news()) == 1
    world.wait(1)
    assert len(world.news()) == 1
    assert consumer.replay is None
    world.wait(50)
    world.store("s.b")
    assert numbers(world.news()) == [(1, 4, 4, 0)]


def test_who_pulls_has_the_gaps_too() -> None:
    world = Consuming()
    world.store("s.a")
    world.wait(2)
    world.store("s.b")
    world.consume(replay_policy="original")
    assert numbers(world.pull(2)) == [(1, 1, 1, 1)]
    world.wait(1.9)
    assert world.news() == []
    world.wait(0.2)
    assert numbers(world.news()) == [(1, 2, 2, 0)]


def test_another_deliver_subject_gets_what_is_not_acknowledged() -> None:
    world = Consuming()
    world.outside.bind("d")
    consumer = world.consume(deliver_subject="d", max_ack_pending=2)
    world.store("s.a", "s.b", "s.c")
    world.news()
    world.outside.bind("d", gone=True)
    world.outside.bind("e")
    consumer.update(msgspec.structs.replace(consumer.config, deliver_subject="e"), world.wall)
    world.turn()
    got = world.news()
    assert numbers(got) == [(2, 1, 3, 1), (2, 2, 4, 1)]
    assert {each.to for each in got} == {b"e"}
    assert len(world.outside.eyes) == 1


def test_a_consumer_that_ends_watches_no_more() -> None:
    world = Consuming()
    world.outside.bind("d")
    consumer = world.consume(deliver_subject="d", idle_heartbeat=SECOND)
    world.engine.remove_consumer(consumer, b"409 Consumer Deleted")
    assert world.outside.eyes == []
    world.store("s.a")
    world.wait(5)
    assert world.news() == []
    assert world.engine.next_deadline() is None


def test_pushing_is_all_a_push_consumer_does() -> None:
    world = Consuming()
    world.outside.bind("d")
    world.store("s.a")
    world.consume(deliver_subject="d")
    ((header, _),) = world.ask("$JS.API.CONSUMER.MSG.NEXT.S.C", b"1")
    assert header == b"NATS/1.0 409 Consumer is push based\r\n\r\n"
    world.reply(world.news()[0], b"+NXT", "I.1")
    assert [header for to, header, _ in world.outside.sent if to == b"I.1"] == [b"NATS/1.0 409 Consumer is push based\r\n\r\n"]
