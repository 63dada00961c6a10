"""server.stream_imports, service_imports: bounds, ends and hostile clients."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hubs import Client, accounts_hub, member

from midge.server import service_imports
from midge.server.account_options import AccountOptions, Destination, Export, Import, Latency
from midge.server.hub import Hub
from midge.server.peer import Peer, Sink
from midge.server.reload import apply
from midge.server.sublist import Subscription
from midge.wire.publication import Publication


def service_hub(**fields: object) -> Hub:
    export = Export(kind="service", subject="svc", **fields)  # type: ignore[arg-type]
    return accounts_hub(
        AccountOptions(name="A", imports=(Import(kind="service", account="B", subject="svc"),)), AccountOptions(name="B", exports=(export,))
    )


def asked(responder: Client) -> list[bytes]:
    """The reply subjects of the requests that came."""
    return [line.split()[3] for line in responder.heard().split(b"\r\n") if line.startswith(b"HMSG svc ")]


def pending(hub: Hub) -> int:
    return sum(len(export.pending) for export in hub.services.expecting)


@pytest.fixture
def pair() -> Iterator[tuple[Hub, Client, Client]]:
    hub = service_hub()
    yield hub, member(hub, "A", b"SUB in.* 1\r\n", headers=True), member(hub, "B", b"SUB svc 1\r\n", headers=True)


def test_nothing_is_left_of_a_request_that_is_answered(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, b = pair
    a.say(b"PUB svc in.1 0\r\n\r\n")
    assert pending(hub) == 1 and hub.accounts["A"].awaited.keys() == {b"in.1"}
    b.say(b"PUB %b 2\r\nhi\r\n" % asked(b)[0])
    assert a.heard() == b"MSG in.1 1 2\r\nhi\r\n"
    assert pending(hub) == 0 and not hub.accounts["A"].awaited


def test_an_answer_is_waited_for_until_the_threshold(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, b = pair
    a.say(b"PUB svc in.1 0\r\n\r\n", 10.0)
    assert hub.services.deadline == 130.0
    hub.services.handle_timeout(129.0)
    assert pending(hub) == 1 and hub.services.deadline == 130.0
    hub.services.handle_timeout(130.0)
    assert pending(hub) == 0 and not hub.accounts["A"].awaited and hub.services.deadline == float("inf")
    b.say(b"PUB %b 2\r\nhi\r\n" % asked(b)[0])
    assert a.heard() == b""


def test_a_shorter_threshold_is_the_next_deadline() -> None:
    exports = tuple(Export(kind="service", subject=name, threshold=seconds) for name, seconds in (("long", 100.0), ("short", 1.0)))
    imports = tuple(Import(kind="service", account="B", subject=name) for name in ("long", "short"))
    hub = accounts_hub(AccountOptions(name="A", imports=imports), AccountOptions(name="B", exports=exports))
    a, _ = member(hub, "A"), member(hub, "B", b"SUB > 1\r\n")
    a.say(b"PUB long in 0\r\n\r\n", 1.0)
    assert hub.services.deadline == 101.0
    a.say(b"PUB short in 0\r\n\r\n", 2.0)
    assert hub.services.deadline == 3.0
    hub.services.handle_timeout(3.0)
    assert hub.services.deadline == 101.0


def test_parts_of_an_answer_put_the_end_off() -> None:
    hub = service_hub(response="Stream", threshold=10.0)
    a, b = member(hub, "A", b"SUB in 1\r\n"), member(hub, "B", b"SUB svc 1\r\n", headers=True)
    a.say(b"PUB svc in 0\r\n\r\n", 1.0)
    reply = asked(b)[0]
    b.say(b"PUB %b 1\r\n1\r\n" % reply, 9.0)
    hub.services.handle_timeout(12.0)
    b.say(b"PUB %b 1\r\n2\r\n" % reply, 12.0)
    hub.services.handle_timeout(22.0)
    b.say(b"PUB %b 1\r\n3\r\n" % reply, 22.0)
    assert a.heard() == b"MSG in 1 1\r\n1\r\nMSG in 1 1\r\n2\r\n"


def test_only_so_many_answers_are_waited_for(pair: tuple[Hub, Client, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    hub, a, b = pair
    limit = service_imports.MAX_PENDING
    for start in range(0, limit + 100, 1000):
        a.say(b"".join(b"PUB svc in.%d 0\r\n\r\n" % number for number in range(start, start + 1000)))
    replies = asked(b)
    assert pending(hub) == limit and len(hub.accounts["A"].awaited) == limit
    b.say(b"PUB %b 0\r\n\r\nPUB %b 0\r\n\r\n" % (replies[0], replies[-1]))
    assert a.heard() == b"MSG in.%d 1 0\r\n\r\n" % (len(replies) - 1)


def test_the_end_of_a_requestor_ends_the_wait(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, _ = pair
    a.say(b"PUB svc in.1 0\r\n\r\nPUB svc in.2 0\r\n\r\nPUB svc other 0\r\n\r\n")
    assert pending(hub) == 3
    a.session.close("gone")
    assert pending(hub) == 1  # nobody ever listened there, so nobody has ceased to


def test_many_waits_are_not_walked_through_for_each_unsubscribe(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, _ = pair
    a.say(b"".join(b"PUB svc in.%d 0\r\n\r\n" % number for number in range(2000)))
    a.say(b"UNSUB 1\r\n")
    assert pending(hub) == 2000
    a.say(b"SUB in.5 2\r\nUNSUB 2\r\n")
    assert pending(hub) == 1999


def test_an_unsubscribe_does_not_pay_for_thousands(pair: tuple[Hub, Client, Client]) -> None:
    """Thousands of subscriptions that end with one message, while a thousand answers are waited for: the walks are bounded by the turn."""
    hub, a, _ = pair
    a.say(b"".join(b"PUB svc in.%d 0\r\n\r\n" % number for number in range(1000)))
    a.say(b"".join(b"SUB in.* x%d\r\nUNSUB x%d 1\r\n" % (number, number) for number in range(3000)))
    a.say(b"PUB in.x 0\r\n\r\n")
    assert a.heard().count(b"MSG in.x") == 3001 and pending(hub) == 1000


def test_long_reply_subjects_count(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, _ = pair
    long = b"r" * 4000
    for start in range(0, 6000, 100):
        a.say(b"".join(b"PUB svc %b.%d 0\r\n\r\n" % (long, number) for number in range(start, start + 100)))
    assert pending(hub) <= (16 << 20) // 4000 + 1


def test_a_request_comes_to_an_end_in_a_ring_of_services() -> None:
    """Cycles are refused where they can be seen; these cannot, because the subjects only meet in a mapping."""
    ring = 6
    accounts = []
    for number in range(ring):
        following = (number + 1) % ring
        accounts.append(
            AccountOptions(
                name=f"R{number}", exports=(Export(kind="service", subject=f"s{number}"),),
                imports=(Import(kind="service", account=f"R{following}", subject=f"s{following}", to="go"),),
                mappings={f"s{number}": (Destination(subject="go"),)},
            )
        )  # fmt: skip
    hub = accounts_hub(*accounts)
    client = member(hub, "R0", b"SUB in 1\r\n", headers=True, no_responders=True)
    assert client.ask(b"PUB go in 0\r\n\r\n").startswith(b"HMSG in 1 ")


def test_two_accounts_may_be_given_one_export() -> None:
    export = Export(kind="service", subject="q")
    hub = accounts_hub(
        AccountOptions(name="A", exports=(export,)),
        AccountOptions(name="B", exports=(export,), imports=(Import(kind="service", account="A", subject="q"),)),
        AccountOptions(name="C", imports=(Import(kind="service", account="B", subject="q"),)),
    )
    a, c = member(hub, "A", b"SUB q 1\r\n"), member(hub, "C")
    c.say(b"PUB q 0\r\n\r\n")
    assert a.heard() == b"MSG q 1 0\r\n\r\n"


def test_answers_are_waited_for_across_a_reload(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, b = pair
    a.say(b"PUB svc in.1 0\r\n\r\nPUB svc in.2 0\r\n\r\n", 10.0)
    first, second = asked(b)
    apply(hub, replace(hub.options, max_payload=1000))
    assert hub.accounts["A"].awaited.keys() == {b"in.1", b"in.2"} and hub.services.deadline == 130.0
    b.say(b"PUB %b in.b 2\r\nhi\r\n" % first, 11.0)
    assert a.heard().startswith(b"MSG in.1 1 _R_.") and pending(hub) == 2  # the second, and what A may answer to the first
    a.say(b"PUB svc in.1 0\r\n\r\n", 12.0)
    assert len(asked(b)) == 1
    a.say(b"UNSUB 1\r\n")
    assert not hub.accounts["A"].awaited
    b.say(b"PUB %b 2\r\nhi\r\n" % second)
    assert a.heard() == b""
    hub.services.handle_timeout(200.0)
    assert pending(hub) == 0 and not hub.accounts["B"].awaited


def test_answers_are_not_waited_for_where_an_account_has_gone(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, b = pair
    a.say(b"PUB svc in.1 0\r\n\r\n", 10.0)
    reply = asked(b)[0]
    left = [replace(account, imports=(), exports=()) for account in hub.options.accounts]
    for gone in ("B", "A"):
        left = [account for account in left if account.name != gone]
        apply(hub, replace(hub.options, accounts=tuple(left), users=tuple(user for user in hub.options.users if user.account != gone)))
    assert pending(hub) == 0 and a.session.closing is not None and b.session.closing is not None and reply


def test_what_is_about_to_be_said_in_an_account_is_said_after_a_reload(pair: tuple[Hub, Client, Client]) -> None:
    hub, a, _ = pair
    assert hub.emit(hub.accounts["A"], b"in.x", b"", b"", b"hi")
    apply(hub, replace(hub.options, max_payload=1000))
    hub.flush()
    assert a.heard() == b"MSG in.x 1 2\r\nhi\r\n"


def test_chains_are_bounded() -> None:
    count = service_imports.CHAIN + 10
    accounts = []
    for number in range(count):
        exports = (Export(kind="service", subject="s"),) if number else ()
        imports = (Import(kind="service", account=f"N{number + 1}", subject="s"),) if number + 1 < count else ()
        accounts.append(AccountOptions(name=f"N{number}", exports=exports, imports=imports))
    hub = accounts_hub(*accounts)
    near, far = member(hub, f"N{service_imports.CHAIN}", b"SUB s 1\r\n"), member(hub, f"N{service_imports.CHAIN + 1}", b"SUB s 1\r\n")
    member(hub, "N0").say(b"PUB s 0\r\n\r\n")
    assert near.heard() and not far.heard()


class Echo(Sink):
    """A service inside the server."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.heard: list[bytes] = []

    def deliver(self, subscription: Subscription, publication: Publication, producer: Peer | None) -> None:
        self.heard.append(publication.subject())
        if publication.reply_end:
            self.hub.emit(self.hub.accounts["B"], publication.reply(), b"", b"", b"echo")


def test_a_service_of_the_servers_own_is_imported_as_any() -> None:
    hub = service_hub()
    echo = Echo(hub)
    hub.accounts["B"].subscribe(echo, b"svc")
    a = member(hub, "A", b"SUB in 1\r\n")
    assert a.ask(b"PUB svc in 0\r\n\r\n") == b"MSG in 1 4\r\necho\r\n"
    assert hub.emit(hub.accounts["A"], b"svc", b"in", b"", b"")
    hub.flush()
    assert a.heard() == b"MSG in 1 4\r\necho\r\n"


def test_a_sink_hears_imported_streams() -> None:
    hub = accounts_hub(
        AccountOptions(name="A", imports=(Import(kind="stream", account="B", subject="ev.>", prefix="p"),)),
        AccountOptions(name="B", exports=(Export(kind="stream", subject="ev.>"),)),
    )
    echo = Echo(hub)
    sub = hub.accounts["A"].subscribe(echo, b"p.>")
    publisher = member(hub, "B")
    publisher.say(b"PUB ev.x 0\r\n\r\n")
    hub.accounts["A"].unsubscribe(sub)
    publisher.say(b"PUB ev.y 0\r\n\r\n")
    assert echo.heard == [b"p.ev.x"] and hub.accounts["B"].sublist.count == 0


def test_latency_is_told_with_times_and_who_answered() -> None:
    hub = service_hub(latency=Latency(subject="lat"))
    hub.services.epoch = 1_700_000_000.0
    a, b = member(hub, "A", b"SUB in 1\r\n", headers=True), member(hub, "B", b"SUB svc 1\r\nSUB lat 2\r\n", headers=True, name="me")
    a.say(b"PUB svc in 0\r\n\r\n", 1.0)
    b.say(b"PUB %b 0\r\n\r\n" % asked(b)[0], 1.5)
    told = json.loads(b.heard().split(b"\r\n")[1])
    assert (told["status"], told["requestor"], told["responder"]["name"]) == (200, {"acc": "A"}, "me")
    assert told["service"] == told["total"] == 500_000_000
    assert told["start"] == "2023-11-14T22:13:21Z" and told["timestamp"] == "2023-11-14T22:13:21.5Z"


def test_who_asks_cannot_say_who_it_is(pair: tuple[Hub, Client, Client]) -> None:
    _, a, b = pair
    header = b'NATS/1.0\r\nNats-Request-Info: {"acc":"ADMIN"}\r\nNats-Request-Info: {"acc":"X"}\r\n\r\n'
    a.say(b"HPUB svc in.1 %d %d\r\n%b\r\n" % (len(header), len(header), header))
    heard = b.heard()
    assert heard.count(b"Nats-Request-Info") == 1 and b'{"acc":"A"}' in heard


def test_a_hole_in_the_net_costs_nobody_anything(pair: tuple[Hub, Client, Client]) -> None:
    """Responders that answer twice, answer nobody, or answer themselves."""
    hub, a, b = pair
    a.say(b"PUB svc in.1 0\r\n\r\n")
    reply = asked(b)[0]
    prefix = reply.rpartition(b".")[0]
    b.say(b"PUB %b 0\r\n\r\n" % reply * 3 + b"PUB %b.x 0\r\n\r\nPUB %b. 0\r\n\r\nPUB %b 0\r\n\r\n" % (prefix, prefix, prefix))
    assert a.heard() == b"MSG in.1 1 0\r\n\r\n" and b.session.closing is None and pending(hub) == 0
