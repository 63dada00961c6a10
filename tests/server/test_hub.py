"""server.hub: who gets what, what is counted, and what happens to those who take too little. No sockets, no clock."""

import gc
import itertools
import logging
from collections import Counter
from typing import Any

import pytest
from hubs import Client, connect_line, new_client, new_hub

from midge.errors import InvalidSubjectError
from midge.server.access import Permissions, User
from midge.server.hub import Hub
from midge.server.inlet import Inlet
from midge.server.jetstream import WORK_MESSAGE
from midge.server.peer import Peer, Sink
from midge.server.results import Result
from midge.server.sending import FLUSH_AT, WORK
from midge.server.session import Session
from midge.server.sublist import Subscription
from midge.wire.publication import Publication


def pub(subject: str, payload: bytes = b"", reply: str = "") -> bytes:
    return f"PUB {subject} {reply} {len(payload)}\r\n".replace("  ", " ").encode() + payload + b"\r\n"


def counts(client: Client) -> tuple[int, int, int, int]:
    session = client.session
    return session.in_msgs, session.in_bytes, session.out_msgs, session.out_bytes


# Routing


def test_everybody_who_subscribed_gets_it_once_for_each_subscription() -> None:
    hub = new_hub()
    publisher, one, two = new_client(hub), new_client(hub, b"SUB a.b 1\r\nSUB a.* 2\r\n"), new_client(hub, b"SUB a.> 9\r\nSUB b 8\r\n")
    publisher.say(pub("a.b", b"hi", "r"))
    assert sorted(one.heard().split(b"MSG ")) == [b"", b"a.b 1 r 2\r\nhi\r\n", b"a.b 2 r 2\r\nhi\r\n"]
    assert two.heard() == b"MSG a.b 9 r 2\r\nhi\r\n"
    assert publisher.heard() == b""


def test_subscribers_of_one_subject_get_it_in_the_order_in_which_they_subscribed() -> None:
    hub = new_hub()
    client = new_client(hub, b"".join(b"SUB a %d\r\n" % number for number in range(20)))
    heard = client.ask(pub("a"))
    assert [int(line.split()[2]) for line in heard.split(b"\r\n") if line] == list(range(20))


def test_messages_keep_their_order() -> None:
    hub = new_hub()
    publisher, subscriber = new_client(hub), new_client(hub, b"SUB > 1\r\n")
    for start in (0, 100):
        publisher.say(b"".join(pub(f"s{number % 3}", b"%d" % number) for number in range(start, start + 100)))
    assert [int(line) for line in subscriber.heard().split(b"\r\n")[1::2]] == list(range(200))


@pytest.mark.parametrize("echo", [True, False])
def test_echo(echo: bool) -> None:
    hub = new_hub()
    client, other = new_client(hub, b"SUB a 1\r\n", echo=echo), new_client(hub, b"SUB a 1\r\n")
    assert client.ask(pub("a")) == (b"MSG a 1 0\r\n\r\n" if echo else b"")
    assert other.heard() == b"MSG a 1 0\r\n\r\n"


def test_headers_reach_who_understands_them() -> None:
    hub = new_hub()
    publisher = new_client(hub, headers=True)
    new, old = new_client(hub, b"SUB a 1\r\n", headers=True), new_client(hub, b"SUB a 1\r\n")
    publisher.say(b"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHPUB a 0 2\r\nhi\r\n")
    assert new.heard() == b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG a 1 2\r\nhi\r\n"
    assert old.heard() == b"MSG a 1 r 2\r\nhi\r\nMSG a 1 2\r\nhi\r\n"
    assert counts(new)[3] == 16 and counts(old)[3] == 4  # a stripped header was not sent


def test_no_responders() -> None:
    hub = new_hub()
    asker = new_client(hub, b"SUB _INBOX.x.* 7\r\n", headers=True, no_responders=True)
    header = b"NATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n"
    answer = b"HMSG _INBOX.x.1 7 %d %d\r\n%b\r\n" % (len(header), len(header), header)
    assert asker.ask(pub("nobody", b"?", "_INBOX.x.1")) == answer
    assert asker.ask(pub("nobody", b"?", "_INBOX.y.1")) == b"", "not its own inbox"
    assert asker.ask(pub("nobody", b"?")) == b""
    assert new_client(hub, b"SUB r 1\r\n", headers=True).ask(pub("nobody", b"?", "r")) == b"", "not asked for"
    other = new_client(hub, b"SUB nobody 1\r\n")
    assert asker.ask(pub("nobody", b"?", "_INBOX.x.1")) == b"" and other.heard()
    assert counts(asker)[2] == 0


def test_each_request_without_a_responder_is_answered_where_it_says() -> None:
    asker = new_client(new_hub(), no_responders=True, headers=True)
    asker.ask(b"SUB inbox.* 1\r\n")
    for number in range(3):
        assert asker.ask(pub("nobody", b"", f"inbox.{number}")).startswith(b"HMSG inbox.%d 1 " % number)


def test_a_request_that_only_its_sender_could_answer_has_no_responder() -> None:
    hub = new_hub()
    asker = new_client(hub, b"SUB r 1\r\nSUB a 2\r\n", headers=True, no_responders=True, echo=False)
    assert b"503" in asker.ask(pub("a", b"", "r"))


@pytest.mark.parametrize(
    "subject, valid",
    [("a", True), ("a.b", True), ("a*", True), ("a.*", False), (">", False), ("a..b", False), (".a", False), ("a.", False)],
)
def test_a_pedantic_client_is_told_of_a_bad_subject_and_heard_all_the_same(subject: str, valid: bool) -> None:
    hub = new_hub()
    client, other = new_client(hub, pedantic=True), new_client(hub, b"SUB > 1\r\n")
    assert client.ask(pub(subject)) == (b"" if valid else b"-ERR 'Invalid Publish Subject'\r\n")
    assert client.session.closing is None
    assert other.heard() == (b"" if "" in subject.split(".") else f"MSG {subject} 1 0\r\n\r\n".encode())


# Queue groups


def received(client: Client) -> int:
    return client.heard().count(b"MSG ")


def test_one_member_of_a_queue_group_gets_it_and_each_gets_its_share() -> None:
    hub = new_hub(seed=7)
    publisher = new_client(hub)
    members = [new_client(hub, b"SUB a q 1\r\n") for _ in range(4)]
    total = 4000
    for _ in range(total):
        publisher.say(pub("a"))
    shares = [received(member) for member in members]
    assert sum(shares) == total and all(share > total / 4 * 0.8 for share in shares), shares


def test_each_queue_group_gets_it_and_plain_subscribers_too() -> None:
    hub = new_hub()
    publisher = new_client(hub)
    groups = {name: [new_client(hub, b"SUB a.* %b 1\r\n" % name) for _ in range(3)] for name in (b"q", b"r")}
    plain = new_client(hub, b"SUB a.b 1\r\n")
    for _ in range(30):
        publisher.say(pub("a.b"))
    assert [sum(map(received, members)) for members in groups.values()] == [30, 30] and received(plain) == 30


def test_the_choice_depends_on_the_seed_only() -> None:
    def shares(seed: int) -> list[int]:
        hub = new_hub(seed=seed)
        publisher, members = new_client(hub), [new_client(hub, b"SUB a q 1\r\n") for _ in range(3)]
        publisher.say(pub("a") * 50)
        return [received(member) for member in members]

    assert shares(5) == shares(5) and len({tuple(shares(seed)) for seed in range(10)}) > 1


def test_a_member_that_may_not_receive_is_passed_over() -> None:
    hub = new_hub()
    publisher = new_client(hub, b"SUB a q 1\r\n", echo=False)
    gone, member = new_client(hub, b"SUB a q 1\r\n"), new_client(hub, b"SUB a q 1\r\n")
    publisher.say(pub("a"))
    gone.session.receive_eof()
    member.heard(), gone.heard()
    publisher.say(pub("a") * 100)
    assert received(member) == 100 and publisher.heard() == gone.heard() == b""


def test_a_group_of_which_nobody_may_receive_counts_as_nobody() -> None:
    hub = new_hub()
    publisher = new_client(hub, b"SUB a q 1\r\nSUB r 2\r\n", echo=False, headers=True, no_responders=True)
    assert b"503" in publisher.ask(pub("a", b"", "r"))


def test_a_queue_group_over_several_patterns_is_weighted_by_members() -> None:
    hub = new_hub()
    publisher = new_client(hub)
    many, lone = new_client(hub, b"".join(b"SUB a.* q %d\r\n" % sid for sid in range(9))), new_client(hub, b"SUB a.b q 1\r\n")
    publisher.say(pub("a.b") * 2000)
    shares = received(many), received(lone)
    assert sum(shares) == 2000 and 100 < shares[1] < 300, shares


def test_every_member_is_tried_whatever_its_pattern() -> None:
    hub = new_hub()
    own = b"".join(b"SUB %b q %d\r\n" % (pattern, sid) for sid, pattern in enumerate((b"a.*", b"*.b", b">") * 3))
    publisher = new_client(hub, own, echo=False)
    member = new_client(hub, b"SUB a.b q 1\r\n")
    publisher.say(pub("a.b") * 100)
    assert received(member) == 100 and publisher.heard() == b""


def test_one_client_with_two_memberships() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a q 1\r\nSUB a q 2\r\n")
    sids = Counter(line.split()[2] for line in client.ask(pub("a") * 200).split(b"\r\n") if line)
    assert sum(sids.values()) == 200 and min(sids[b"1"], sids[b"2"]) > 50


@pytest.mark.parametrize("count", [2, 512])
def test_each_member_of_many_groups_gets_its_share(count: int) -> None:
    """A generator whose low bits repeat soon gives everything to one member, where as many groups as its period are asked in turn."""
    hub = new_hub()
    publisher = new_client(hub)
    members = [new_client(hub, b"".join(b"SUB g%d q %d\r\n" % (group, group) for group in range(count))) for _ in range(2)]
    rounds = 64
    for _ in range(rounds):
        publisher.say(b"".join(pub(f"g{group}") for group in range(count)))
    shares = [Counter(line.split()[1] for line in member.heard().split(b"\r\n") if line) for member in members]
    for group in range(count):
        one, other = (share[b"g%d" % group] for share in shares)
        assert one + other == rounds and min(one, other) > 8, (group, one, other)


# Bounded turns


def test_a_turn_ends_after_a_budget_of_deliveries() -> None:
    hub = new_hub()
    publisher, subscribers = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(100)]
    chunk = bytearray(pub("a", b"x") * 1000)
    done = hub.receive(publisher.session, chunk, len(chunk), 0.0)
    turns = 1
    while not done:
        hub.flush()
        done = hub.proceed(publisher.session, 0.0)
        turns += 1
    hub.flush()
    assert turns == pytest.approx(1000 * 102 / WORK, abs=1)
    assert {received(subscriber) for subscriber in subscribers} == {1000}


def test_a_turn_ends_after_a_budget_of_bytes() -> None:
    hub = new_hub()
    publisher, subscribers = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(10)]
    assert not publisher.session.receive_data(pub("a", b"x" * 100_000) * 100, 0.0)
    assert publisher.session.in_msgs < 20
    assert all(subscriber.session.out_msgs == publisher.session.in_msgs for subscriber in subscribers)


@pytest.mark.parametrize("line", [b"PING\r\n", b"SUB a 1\r\n", b"UNSUB 1\r\n", b"INFO {}\r\n", b"CONNECT {}\r\n"], ids=repr)
def test_a_turn_ends_after_a_budget_of_anything_else(line: bytes) -> None:
    client = new_client(new_hub())
    assert not client.session.receive_data(line * 1000, 0.0)


@pytest.mark.parametrize("line", [b"PUB a 0\r\n\r\n", b"PUB b _R_.a 0\r\n\r\n"], ids=["subject", "reply"])
def test_a_turn_ends_after_a_budget_of_refusals(line: bytes) -> None:
    hub = new_hub(users=(User(user="a", password="p", permissions=Permissions(publish_deny=("a",))),))
    client = new_client(hub, user="a", **{"pass": "p"})
    assert not client.session.receive_data(line * 1000, 0.0)


@pytest.mark.parametrize("queue", [b"", b"g "], ids=["plain", "queue"])
def test_a_turn_ends_after_a_budget_of_deliveries_that_do_not_happen(queue: bytes) -> None:
    hub = new_hub()
    publisher = new_client(hub, b"".join(b"SUB a %b%d\r\n" % (queue, number) for number in range(1000)), echo=False)
    assert not publisher.session.receive_data(pub("a") * 1000, 0.0)
    assert publisher.session.in_msgs <= WORK // 1000 + 1


def test_a_turn_ends_after_a_budget_of_looking_for_who_has_no_responders() -> None:
    hub = new_hub()
    new_client(hub, b"".join(b"SUB r %d\r\n" % number for number in range(1000)))
    publisher = new_client(hub, headers=True, no_responders=True)
    assert not publisher.session.receive_data(pub("nobody", b"", "r") * 1000, 0.0)
    assert publisher.session.in_msgs <= WORK // 1000 + 1


def test_a_turn_ends_after_a_budget_of_searching() -> None:
    """Patterns that lead nowhere: each subject that was not asked for before is looked for in all of them."""
    hub = new_hub()
    patterns = (".".join(tokens) for tokens in itertools.product("a*", repeat=10))
    new_client(hub, b"".join(b"SUB %b.x %d\r\n" % (pattern.encode(), number) for number, pattern in enumerate(patterns)))
    publisher = new_client(hub)
    assert not publisher.session.receive_data(b"".join(pub("a." * 10 + str(number)) for number in range(1000)), 0.0)
    assert publisher.session.in_msgs <= WORK // 1024 + 1


@pytest.mark.parametrize(
    "line", [b"SUB %d" + b".a" * 2000 + b" 1\r\n", b'CONNECT {"%d":[' + b"0," * 2000 + b"0]}\r\n"], ids=["SUB", "CONNECT"]
)
def test_a_turn_ends_after_a_budget_of_what_lines_hold(line: bytes) -> None:
    client = new_client(new_hub())
    assert not client.session.receive_data(b"".join(line % number for number in range(10)), 0.0)


def test_a_step_ends_after_a_budget_of_what_the_server_itself_has_to_say() -> None:
    hub = new_hub()
    client = new_client(hub, b"".join(b"SUB a %d\r\n" % number for number in range(1000)))
    for _ in range(100):
        hub.emit(hub.account, b"a", b"", b"", b"x")
    assert hub.flush_some(100) and client.session.out_msgs <= WORK + 1000
    hub.flush()
    assert client.session.out_msgs == 100_000


def test_a_turn_ends_after_a_budget_of_what_streams_store() -> None:
    """So much that nobody waits longer for a turn of a busy publisher to a stream than for one of a fan-out."""
    hub = new_hub()
    stored = []
    hub.account.subscribe(Inlet(lambda publication, wall: stored.append(wall) or True, WORK_MESSAGE), b"a")  # type: ignore[func-returns-value]
    publisher = new_client(hub)
    assert not publisher.session.receive_data(pub("a") * 1000, 0.0)
    assert publisher.session.in_msgs == len(stored) <= WORK // WORK_MESSAGE + 1


def test_a_step_ends_after_a_budget_of_answers() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\n")
    count = 1000
    hub.answer(hub.account, [Publication.compose(b"a", b"", b"", b"%d" % number) for number in range(count)])
    steps = []
    while hub.flush_some(1):
        steps.append(client.session.out_msgs)
    assert client.session.out_msgs == count and 100 < steps[0] < WORK // 32
    assert client.heard() == b"".join(b"MSG a 1 %d\r\n%d\r\n" % (len(b"%d" % number), number) for number in range(count))


def test_what_was_held_back_for_long_enough_goes_on() -> None:
    hub = new_hub(max_pending=400_000, max_payload=10_000)
    publisher, slow = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    slow.takes = False
    fill(hub, publisher, slow, 300_000)
    publisher.session.stalled_by = None
    publisher.session.receive_data(pub("a") * 100, 0.0)
    assert publisher.session.stalled_by is slow.session and publisher.session.in_msgs < 400
    publisher.session.stalled_by = None
    publisher.session.hurried = True
    assert hub.proceed(publisher.session, 0.0) and publisher.session.stalled_by is None
    publisher.session.receive_data(pub("a") * 100, 0.0)
    assert publisher.session.stalled_by is slow.session, "the next read is another matter"


def test_a_publisher_that_is_to_be_held_back_stops_in_the_middle_of_its_chunk() -> None:
    hub = new_hub(max_pending=400_000, max_payload=10_000)
    publisher, slow = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    slow.takes = False
    assert not publisher.session.receive_data(pub("a", b"x" * 1000) * 1000, 0.0)
    assert publisher.session.stalled_by is slow.session and slow.session.closing is None
    assert len(slow.session.outbox) < hub.stall_at + 2000


def test_who_is_answered_is_sent_to_before_who_only_gets_messages() -> None:
    hub = new_hub()
    publisher, subscribers, quiet = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(50)], new_client(hub)
    publisher.session.receive_data(pub("a"), 0.0)
    quiet.session.receive_data(b"PING\r\n", 0.0)
    assert hub.flush_some(10)
    assert quiet.heard() == b"PONG\r\n" and sum(map(received, subscribers)) == 10
    while hub.flush_some(10):
        pass
    assert sum(map(received, subscribers)) == 40 and not hub.has_more() and hub.piled == 0


def test_everybody_is_sent_to_before_anybody_twice() -> None:
    hub = new_hub()
    publisher, subscribers = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(50)]
    for _ in range(5):
        publisher.session.receive_data(pub("a"), 0.0)
        hub.flush_some(10)
    assert [subscriber.flushes for subscriber in subscribers] == [subscribers[0].flushes] * 50


# The server itself


class Notes(Sink):
    """Keeps what it is given, and does something with it."""

    def __init__(self, answer: Any = None) -> None:
        self.notes: list[tuple[bytes, bytes, bytes]] = []
        self.answer = answer

    def deliver(self, subscription: Subscription, publication: Publication, producer: Peer | None) -> None:
        self.notes.append((subscription.subject, publication.subject(), publication.payload()))
        if self.answer is not None:
            self.answer(publication, producer)


def test_a_sink_gets_what_is_published_beside_the_others() -> None:
    hub = new_hub()
    sink = Notes()
    sub = hub.account.subscribe(sink, b"a.*")
    publisher, other = new_client(hub), new_client(hub, b"SUB a.b 1\r\n")
    publisher.say(pub("a.b", b"hi") + pub("b", b"no"))
    assert sink.notes == [(b"a.*", b"a.b", b"hi")] and received(other) == 1 and sub.delivered == 1
    assert hub.account.unsubscribe(sub) and not hub.account.unsubscribe(sub)
    publisher.say(pub("a.b", b"hi"))
    assert len(sink.notes) == 1 and received(other) == 1


def test_a_sink_in_a_queue_group_and_for_no_responders() -> None:
    hub = new_hub()
    sink = Notes()
    hub.account.subscribe(sink, b"a", b"q")
    asker = new_client(hub, b"SUB r 1\r\n", headers=True, no_responders=True)
    assert asker.ask(pub("a", b"", "r")) == b"" and len(sink.notes) == 1


def test_a_sink_with_a_bug_costs_nobody_anything(caplog: pytest.LogCaptureFixture) -> None:
    hub = new_hub()

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    hub.account.subscribe(Notes(fail), b"a")
    publisher, other = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    assert publisher.ask(pub("a") + b"PING\r\n") == b"PONG\r\n" and received(other) == 1
    assert "ZeroDivisionError: a bug" in caplog.text and 'a message to "a" is lost' in caplog.text


def test_a_malformed_subject_and_an_end_that_is_none() -> None:
    hub = new_hub()
    with pytest.raises(InvalidSubjectError):
        hub.account.subscribe(Notes(), b"a..b")
    with pytest.raises(TypeError, match="a Peer or a Sink, not a function"):
        Subscription(lambda *_: None, b"a", None, b"")  # type: ignore[arg-type]


def test_what_the_server_emits_is_routed_when_the_hub_is_flushed() -> None:
    hub = new_hub()
    client, old = new_client(hub, b"SUB a 1\r\n", headers=True), new_client(hub, b"SUB a 1\r\n")
    assert hub.emit(hub.account, b"a", b"r", b"NATS/1.0\r\n\r\n", b"hi")
    assert hub.has_more() and client.heard() == b""
    hub.flush()
    assert client.heard() == b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n" and old.heard() == b"MSG a 1 r 2\r\nhi\r\n"


def test_a_sink_that_answers_itself_for_ever_holds_up_nobody() -> None:
    hub = new_hub()
    sink = Notes(lambda *_: hub.emit(hub.account, b"a", b"", b"", b"again"))
    hub.account.subscribe(sink, b"a")
    publisher = new_client(hub)
    publisher.session.receive_data(pub("a"), 0.0)
    for count in range(2, 2002, 10):
        assert hub.flush_some(10) and len(sink.notes) <= count + 10
    publisher.session.receive_data(b"PING\r\n", 0.0)
    hub.flush_urgent()
    assert publisher.heard() == b"PONG\r\n"


def test_a_sink_that_multiplies_is_refused_in_time() -> None:
    hub = new_hub(max_pending=100_000, max_payload=1000)
    refused = []

    def twice(publication: Publication, _: Peer | None) -> None:
        refused.extend(not hub.emit(hub.account, b"a", b"", b"", b"x" * 500) for _ in range(2))

    hub.account.subscribe(Notes(twice), b"a")
    new_client(hub).session.receive_data(pub("a"), 0.0)
    for _ in range(1000):
        hub.flush_some(10)
    assert any(refused) and hub.has_more()


def test_hooks_hear_who_comes_subscribes_and_goes() -> None:
    hub = new_hub()
    events: list[tuple[object, ...]] = []

    def connected(session: Session) -> None:
        events.append(("connected", session.cid))

    def subscribed(session: Session, sub: Subscription) -> None:
        events.append(("subscribed", session.cid, sub.subject))

    def closed(session: Session, reason: str) -> None:
        events.append(("closed", session.cid, reason))

    hub.on_connected.append(connected)
    hub.on_subscribed.append(subscribed)
    hub.on_closed.append(closed)
    client, mute = new_client(hub), Client(hub)
    client.say(b"SUB a 1\r\nSUB a..b 2\r\nCONNECT {}\r\nFOO\r\n")
    mute.session.receive_eof()
    assert events == [("connected", 1), ("subscribed", 1, b"a"), ("closed", 1, "Protocol Violation"), ("closed", 2, "Client Closed")]


@pytest.mark.parametrize("others", [0, 1, 5])
def test_a_sink_that_subscribes_anew_is_delivered_to_once(others: int) -> None:
    class Again(Notes):
        def deliver(self, subscription: Subscription, publication: Publication, producer: Peer | None) -> None:
            super().deliver(subscription, publication, producer)
            hub.account.unsubscribe(subscription)
            if len(self.notes) < 100:
                hub.account.subscribe(self, b"a")

    hub = new_hub()
    sink = Again()
    hub.account.subscribe(sink, b"a")
    subscribers = [new_client(hub, b"SUB a 1\r\n") for _ in range(others)]
    new_client(hub).say(pub("a"))
    assert len(sink.notes) == 1 and all(received(subscriber) == 1 for subscriber in subscribers)


# Auto-unsubscribe


def test_a_subscription_ends_at_its_limit_whoever_publishes() -> None:
    hub = new_hub()
    publishers, subscriber = [new_client(hub) for _ in range(3)], new_client(hub, b"SUB a 1\r\nUNSUB 1 4\r\n")
    for _ in range(3):
        for publisher in publishers:
            publisher.say(pub("a"))
    assert received(subscriber) == 4 and hub.account.sublist.count == 0 and not subscriber.session.subs


def test_the_limit_within_one_read() -> None:
    hub = new_hub()
    publisher, subscriber = new_client(hub), new_client(hub, b"SUB a 1\r\nUNSUB 1 3\r\n")
    publisher.say(pub("a") * 10)
    assert received(subscriber) == 3


def test_subscriptions_that_end_within_a_fan_out_skip_nobody() -> None:
    hub = new_hub()
    publisher = new_client(hub)
    clients = [new_client(hub, b"SUB a 1\r\n" + (b"UNSUB 1 2\r\n" if number % 3 else b"")) for number in range(30)]
    publisher.say(pub("a") * 5)
    assert [received(client) for client in clients] == [2 if number % 3 else 5 for number in range(30)]
    assert hub.account.sublist.count == 10 and not hub.account.sublist.unsettled and hub.account.sublist.routing == 0


def test_the_limit_counts_what_was_delivered_before() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\nSUB a 2\r\n" + pub("a") * 2)
    client.heard()
    client.say(b"UNSUB 1 3\r\nUNSUB 2 2\r\n")
    assert list(client.session.subs) == [b"1"]
    assert client.ask(pub("a") * 3) == b"MSG a 1 0\r\n\r\n"


def test_the_limit_of_a_queue_member() -> None:
    hub = new_hub()
    publisher, limited, other = new_client(hub), new_client(hub, b"SUB a q 1\r\nUNSUB 1 5\r\n"), new_client(hub, b"SUB a q 1\r\n")
    publisher.say(pub("a") * 100)
    assert (received(limited), received(other)) == (5, 95)


def test_what_a_session_does_not_get_does_not_count_towards_its_limit() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB a 1\r\nUNSUB 1 1\r\n", echo=False)
    client.say(pub("a") * 3)
    assert hub.account.sublist.count == 1
    new_client(hub).say(pub("a") * 3)
    assert received(client) == 1 and hub.account.sublist.count == 0


# Counters


def test_what_is_counted() -> None:
    hub = new_hub()
    publisher, one, two = new_client(hub), new_client(hub, b"SUB a 1\r\n"), new_client(hub, b"SUB a 1\r\nSUB > 2\r\n")
    publisher.say(pub("a", b"hello") + pub("b", b"xy") + b"PING\r\n")
    assert counts(publisher) == (2, 7, 0, 0)
    assert counts(one) == (0, 0, 1, 5) and counts(two) == (0, 0, 3, 12)
    assert hub.totals() == (2, 7, 4, 17)


def test_the_totals_include_who_has_left() -> None:
    hub = new_hub()
    assert hub.totals() == (0, 0, 0, 0)
    publisher, subscriber = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    publisher.say(pub("a", b"hello"))
    subscriber.session.receive_eof()
    assert hub.totals() == (1, 5, 1, 5)
    publisher.say(pub("a", b"hello"))
    publisher.session.receive_eof()
    publisher.session.receive_eof()
    assert hub.totals() == (2, 10, 1, 5) and not hub.sessions and hub.admission.total == 2


def test_a_refused_publish_came_in_but_went_nowhere() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB > 1\r\n")
    assert client.ask(pub("$NRG.a", b"hello")).startswith(b"-ERR 'Permissions Violation for Publish to ")
    assert counts(client) == (1, 5, 0, 0)


# Who takes too little


@pytest.fixture
def slow_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "midge.server")
    return caplog


def fill(hub: Hub, publisher: Client, slow: Client, beyond: int) -> None:
    """Publish until more than that many bytes wait for the slow one."""
    while slow.session.closing is None and len(slow.session.outbox) <= beyond:
        publisher.say(pub("a", b"x" * 1000))


def test_a_slow_consumer_is_closed_counted_and_logged_and_nobody_else_notices(slow_log: pytest.LogCaptureFixture) -> None:
    hub = new_hub(max_pending=200_000, max_payload=10_000)
    publisher, slow, healthy = new_client(hub), new_client(hub, b"SUB a 1\r\n"), new_client(hub, b"SUB a 1\r\n")
    slow.takes = False
    sent = 0
    while slow.session.closing is None:
        publisher.say(pub("a", b"x" * 1000))
        sent += 1
    waiting = 1000 + len("MSG a 1 1000\r\n\r\n")
    assert sent == 200_000 // waiting + 1
    assert slow.session.closing == "Slow Consumer (Pending Bytes)" and slow.session.aborted and len(slow.session.outbox) == 0
    assert hub.slow_consumers == 1 and hub.account.sublist.count == 1 and slow.session.cid not in hub.sessions
    assert [record.message for record in slow_log.records if record.levelno >= logging.INFO] == [
        "127.0.0.1:4000 - cid:2 - Slow Consumer Detected: MaxPending of 200000 Exceeded"
    ]
    publisher.say(pub("a", b"x" * 1000))
    assert received(healthy) == sent + 1 and publisher.ask(b"PING\r\n") == b"PONG\r\n" and slow.heard() == b""


def test_max_pending_holds_however_small_it_is() -> None:
    hub = new_hub(max_pending=1000, max_payload=100)
    publisher, slow = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    slow.takes = False
    for _ in range(100):
        publisher.say(pub("a"))
        assert len(slow.session.outbox) <= 1000
    assert slow.session.closing == "Slow Consumer (Pending Bytes)"


@pytest.mark.parametrize("line, fields", [
    (b"PING\r\n", {}), (b"SUB a 1\r\n", {"verbose": True}), (b"SUB a..b 1\r\n", {}), (pub("$NRG.x"), {}), (pub("x", b"", "r"), {}),
], ids=repr)  # fmt: skip
def test_a_client_that_only_asks_and_never_listens_is_a_slow_consumer(line: bytes, fields: dict[str, Any]) -> None:
    """Every answer counts, not only messages; else a flood of PING would fill the memory."""
    hub = new_hub(max_pending=100_000, max_payload=10_000)
    client = new_client(hub, b"SUB r 9\r\n", headers=True, no_responders=True, **fields)
    client.takes = False
    for _ in range(100_000 // 5 + 1):
        client.say(line)
        assert len(client.session.outbox) <= 100_000
    assert client.session.closing == "Slow Consumer (Pending Bytes)" and hub.slow_consumers == 1


def test_a_publisher_that_does_not_read_its_own_messages() -> None:
    hub = new_hub(max_pending=200_000, max_payload=10_000)
    client, other = new_client(hub, b"SUB a 1\r\n"), new_client(hub, b"SUB a 1\r\n")
    client.takes = False
    client.say(pub("a", b"x" * 1000) * 1000)
    assert client.session.closing == "Slow Consumer (Pending Bytes)" and hub.slow_consumers == 1
    assert received(other) == client.session.in_msgs < 1000, "what came after its end is not routed"
    assert hub.totals()[0] == client.session.in_msgs


def test_a_publisher_is_marked_before_a_slow_subscriber_overflows() -> None:
    hub = new_hub(max_pending=400_000, max_payload=10_000)
    publisher, slow = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    assert hub.stall_at == 300_000
    slow.takes = False
    fill(hub, publisher, slow, 298_000)
    assert publisher.session.stalled_by is None and slow.session.closing is None
    fill(hub, publisher, slow, 300_000)
    assert publisher.session.stalled_by is slow.session and slow.session.closing is None
    publisher.session.stalled_by = None
    publisher.say(pub("b"))
    assert publisher.session.stalled_by is None, "another subject does not matter"


def test_a_healthy_subscriber_stalls_nobody() -> None:
    hub = new_hub(max_pending=400_000, max_payload=10_000)
    publisher, healthy = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    publisher.say(pub("a", b"x" * 1000) * 2000)
    assert publisher.session.stalled_by is None and received(healthy) == 2000


def test_a_long_outbox_is_sent_within_the_read() -> None:
    hub = new_hub()
    publisher, subscriber = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    before = subscriber.flushes
    publisher.session.receive_data(pub("a", b"x" * 1000) * 1000, 0.0)
    assert subscriber.flushes - before > 10 and len(subscriber.session.outbox) <= FLUSH_AT + 2000
    hub.flush()
    assert received(subscriber) == 1000


# Who is sent to


def test_everybody_with_something_to_send_is_on_the_list_once() -> None:
    hub = new_hub()
    publisher, one, two = new_client(hub), new_client(hub, b"SUB a 1\r\nSUB > 2\r\n"), new_client(hub, b"SUB b 1\r\n")
    publisher.session.receive_data(pub("a") * 3 + b"PING\r\nPING\r\n", 0.0)
    assert [session.cid for session in hub.urgent] == [1] and [session.cid for session in hub.dirty] == [2]
    before = [client.flushes for client in (publisher, one, two)]
    hub.flush()
    assert [client.flushes - count for client, count in zip((publisher, one, two), before)] == [1, 1, 0]
    assert hub.dirty == [] and received(one) == 6
    publisher.say(pub("a"))
    assert received(one) == 2


class Failing(Client):
    """A client whose driver has a bug."""

    def flush(self) -> None:
        raise OSError("a bug")


def test_a_driver_that_fails_keeps_nobody_from_being_sent_to() -> None:
    """A session that stayed marked without being on the list would never be sent to again."""
    hub = new_hub()
    publisher, healthy = new_client(hub), [new_client(hub, b"SUB a 1\r\n") for _ in range(5)]
    failing = new_client(hub, b"SUB a 1\r\n")
    failing.__class__ = Failing
    healthy += [new_client(hub, b"SUB a 1\r\n") for _ in range(5)]
    for _ in range(2):
        publisher.session.receive_data(pub("a"), 0.0)
        with pytest.raises(OSError):
            hub.flush()
        hub.flush()
        assert hub.dirty == [] and [received(client) for client in healthy] == [1] * 10


def test_a_driver_that_fails_in_the_middle_of_a_fan_out() -> None:
    """The pass is over then: what it held up goes on."""
    hub = new_hub(max_payload=FLUSH_AT)
    publisher, failing = new_client(hub), new_client(hub, b"SUB a 1\r\n")
    failing.__class__ = Failing
    with pytest.raises(OSError):
        publisher.session.receive_data(pub("a", b"x" * FLUSH_AT) * 2, 0.0)
    assert hub.account.sublist.routing == 0


class Leaving(Client):
    """A client whose connection turns out to be gone when it is sent to."""

    def flush(self) -> None:
        self.session.abort("Client Closed")
        self.session.release()


def test_a_client_that_goes_in_the_middle_of_a_fan_out() -> None:
    hub = new_hub(max_payload=FLUSH_AT)
    publisher, clients = new_client(hub), [new_client(hub, b"SUB a 1\r\nSUB a 2\r\nSUB > 3\r\n") for _ in range(5)]
    clients[2].__class__ = Leaving
    publisher.say(pub("a", b"x" * (FLUSH_AT - 1)) * 3)
    assert [received(client) for client in clients] == [9, 9, 0, 9, 9]
    assert clients[2].session.closing == "Client Closed" and len(clients[2].session.outbox) == 0
    assert hub.dirty == [] and len(hub.sessions) == 5 and hub.account.sublist.count == 12


def test_a_publisher_that_goes_in_the_middle_of_its_own_fan_out() -> None:
    hub = new_hub(max_payload=FLUSH_AT)
    publisher, other = new_client(hub, b"SUB a 1\r\n"), new_client(hub, b"SUB a 1\r\n")
    publisher.__class__ = Leaving
    publisher.say(pub("a", b"x" * FLUSH_AT) * 3)
    assert received(other) == 1 and list(hub.sessions) == [other.session.cid] and publisher.heard() == b""


def test_a_session_that_ends_is_forgotten_by_match_results_in_time() -> None:
    """Results that nobody asks for again would keep the sessions of long ago."""
    hub = new_hub()
    publisher = new_client(hub)
    for number in range(5000):
        client = Client(hub)
        client.say(connect_line() + b"SUB s%d 1\r\n" % number)
        publisher.say(pub(f"s{number}") * 2)
        client.session.receive_eof()
    publisher.wait()
    assert hub.account.sublist.count == 0 and hub.account.sublist.cached() < 1000


def test_a_room_of_talkers_holds_one_result() -> None:
    """Each of them has published since the last one came; copies of the members would add up to a quadratic heap."""
    hub = new_hub()
    gc.collect()
    before = sum(type(thing) is Result for thing in gc.get_objects())
    clients = []
    for _ in range(300):
        client = new_client(hub, b"SUB room 1\r\n")
        client.say(pub("room"))
        clients.append(client)
    gc.collect()
    assert sum(type(thing) is Result for thing in gc.get_objects()) - before <= 2
    assert received(clients[0]) == 300


def test_a_subject_is_bytes() -> None:
    hub = new_hub()
    client = new_client(hub, b"SUB \xff\x00.* \x01 1\r\nSUB \xff\x00.\x80 \xfe\r\n")
    heard = client.ask(b"PUB \xff\x00.\x80 \x7f 1\r\n\x00\r\n")
    assert sorted(heard.split(b"MSG ")) == [b"", b"\xff\x00.\x80 1 \x7f 1\r\n\x00\r\n", b"\xff\x00.\x80 \xfe \x7f 1\r\n\x00\r\n"]


def test_the_parts_of_a_message_can_come_one_byte_at_a_time() -> None:
    hub = new_hub()
    slow, subscriber = new_client(hub, headers=True), new_client(hub, b"SUB > 1\r\n", headers=True)
    message = b"HPUB a.b r 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"
    for byte in message:
        slow.say(bytes([byte]))
    assert subscriber.heard() == b"HMSG a.b 1 r 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"


def test_a_hook_that_fails_costs_nobody_anything(caplog: pytest.LogCaptureFixture) -> None:
    hub = new_hub()
    told: list[str] = []

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    for hooks in (hub.on_connected, hub.on_subscribed, hub.on_closed):
        hooks += [fail, lambda *_: told.append("told")]
    client = new_client(hub, b"SUB a 1\r\nSUB b 2\r\n")
    client.session.receive_eof()
    assert told == ["told"] * 4 and hub.sessions == {} and hub.account.sublist.count == 0
    assert caplog.text.count("ZeroDivisionError: a bug") == 4
