"""What outlives a socket: a session that follows another subscribes anew what the first had."""

from typing import Any

from fakes import msg, open_session, open_up, subscribe, taken

from midge.client.encoder import PublishEncoder
from midge.client.interest import Counters
from midge.client.session import Session
from midge.message import Message
from midge.wire.outbox import Outbox


class Waiter:
    """A request: it notes its answer."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def receive(self, message: Message) -> None:
        self.answers.append(message.data)


def followed_by(session: Session) -> Session:
    """A session of the same interest, open, with a server that knows nothing."""
    after = Session(session.interest, PublishEncoder(1 << 20), Counters(), None)
    open_up(after)
    return after


def lines(session: Session) -> bytes:
    """What makes a server send again what the last one sent."""
    session.interest.resubscribe(session.outbox)
    return session.data_to_send()


def test_every_feed_is_subscribed_anew_in_order_under_its_sid() -> None:
    session = open_session()
    plain, grouped, ended, odd = (subscribe(session, *names) for names in (("a.*",), ("b", "q"), ("c",), ("\udcff",)))
    session.unsubscribe(ended)
    session.close()
    after = followed_by(session)
    assert lines(after) == b"SUB a.* 1\r\nSUB b q 2\r\nSUB \xff 4\r\n"
    after.receive_data(msg("a.b", 1, b"1") + msg("b", 2, b"2") + msg("c", 3, b"3") + msg(b"\xff", 4, b"4"))
    assert (taken(plain), taken(grouped), taken(ended), taken(odd)) == ([b"1"], [b"2"], [], [b"4"])


def test_a_limit_counts_what_the_last_server_sent() -> None:
    """A server counts from the SUB on: it is told of what remains."""
    session = open_session()
    feed = subscribe(session)
    session.unsubscribe(feed, 3)
    session.receive_data(msg("a", 1, b"1"))
    session.close()
    after = followed_by(session)
    assert lines(after) == b"SUB a 1\r\nUNSUB 1 2\r\n"
    after.receive_data(msg("a", 1, b"2") + msg("a", 1, b"3") + msg("a", 1, b"4"))
    assert taken(feed) == [b"1", b"2", b"3"] and feed.has_ended
    assert lines(after) == b""


def test_answers_come_by_the_next_socket_too() -> None:
    session, waiter = open_session(), Waiter()
    token = session.request("svc", b"", None, waiter)
    session.close()
    after = followed_by(session)
    assert lines(after) == b"SUB _INBOX.me.* 1\r\n"
    after.receive_data(msg(f"_INBOX.me.{token}", 1, b"late"))
    assert waiter.answers == [b"late"] and not session.interest.requests
    another: Any = Waiter()
    after.request("svc", b"", None, another)
    assert b"SUB" not in after.data_to_send()


def test_without_interest_there_is_nothing_to_say() -> None:
    outbox = Outbox()
    open_session().interest.resubscribe(outbox)
    assert len(outbox) == 0


def test_which_frames_nobody_waits_for() -> None:
    session = open_session()
    interest = session.interest
    token = session.request("svc", b"", None, Waiter())
    inbox = interest.reply_subject(token).rpartition(b".")[0]
    assert not interest.is_forgotten(b"PUB svc %b 0\r\n\r\n" % interest.reply_subject(token))
    assert not interest.is_forgotten(b"PUB svc other.1 0\r\n\r\n") and not interest.is_forgotten(b"PUB svc 0\r\n\r\n")
    assert interest.is_forgotten(b"PUB svc %b.gone 0\r\n\r\n" % inbox)
    assert interest.is_forgotten(b"PUB svc %b.\xff 0\r\n\r\n" % inbox)
