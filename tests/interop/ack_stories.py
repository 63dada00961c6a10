"""Stories about acknowledging: every form, in every order; what comes again, when, how often, and what is told about it."""

from typing import Any

from consumer_moves import MILLI, SECOND, ack, fill, make, nak, names, pull, rest, state
from consumer_player import Ack, Again, Expect, Listen, Pass, Story, both, story
from jetstream_player import Step, api, create, info, pub

WAIT = 250 * MILLI
FORMS = {
    "nothing": b"",
    "ack": b"+ACK",
    "ok": b"+OK",
    "ack with a space": b"+ACK ",
    "ack with text": b"+ACK now",
    "nak": b"-NAK",
    "nak with text": b"-NAK why",
    "nak with a bad delay": b'-NAK {"delay": "x"}',
    "nak with no delay": b'-NAK {"delay": 0}',
    "nak with a negative delay": b'-NAK {"delay": -5}',
    "nak with bad JSON": b"-NAK {",
    "in progress": b"+WPI",
    "in progress with text": b"+WPI now",
    "term": b"+TERM",
    "term with a reason": b"+TERM because of it",
    "term with spaces": b"+TERM   because  ",
    "term with more": b"+TERMINATE",
    "garbage": b"hello",
    "a lower case ack": b"+ack",
    "a lone plus": b"+",
    "a long form": b"+ACK" + b"x" * 3000,
}


def form(label: str, body: bytes, policy: str) -> Story:
    """One form of acknowledgement for the second of three messages, and what is to be had afterwards."""
    advisories = Listen("$JS.EVENT.ADVISORY.CONSUMER.*.S.C", "events")
    moves = (create(), fill(4), make(ack_policy=policy), rest(3), advisories, Ack(1, body), Pass(0.05), state(), rest(5), state())
    return both(f"{label}, ack policy {policy}", *moves)


def order(label: str, *numbers: int, count: int = 5, policy: str = "explicit") -> Story:
    """Messages acknowledged in this order, with the state after each."""
    moves = [move for number in numbers for move in (ack(number), state())]
    return both(f"acks in order {label}, {policy}", create(), fill(count), make(ack_policy=policy), rest(count), moves)


FORMED = [form(label, body, policy) for label, body in FORMS.items() for policy in ("explicit", "all")]

ORDERS = [
    order("of delivery", 0, 1, 2, 3, 4),
    order("from the end", 4, 3, 2, 1, 0),
    order("with a gap", 0, 2, 1, 3),
    order("the last", 4),
    order("the middle", 2),
    order("twice", 1, 1, 0, 0, 1),
    order("of delivery", 0, 1, 2, 3, 4, policy="all"),
    order("with a jump", 2, 1, 4, 0, policy="all"),
    order("twice", 3, 3, 1, policy="all"),
    order("of nothing", 0, 4, policy="none"),
]

UNUSUAL = [
    both(
        "acks that are not confirmed",
        create(),
        fill(3),
        make(),
        rest(3),
        Ack(0, b"", False),
        Ack(1, b"+ACK", False),
        state(),
        Ack(2, b"+TERM", False),
        state(),
    ),
    story(
        "an ack of a message that was never sent",
        create(),
        fill(3),
        make(),
        rest(1),
        [
            Step(f"$JS.ACK.S.C.1.{stream}.{number}.1700000000000000000.0", b"+ACK", until="none")
            for stream, number in ((2, 2), (1, 2), (2, 1), (99, 99), (0, 0))
        ],
        state(),
    ),
    story(
        "naks of a message that was never sent",
        create(),
        fill(3),
        make(),
        rest(1),
        [
            Step(f"$JS.ACK.S.C.1.{stream}.{number}.1700000000000000000.0", b"-NAK", until="none")
            for stream, number in ((2, 2), (1, 2), (2, 1), (99, 99), (0, 0))
        ],
        state(),
        rest(3),
        state(),
    ),
    story(
        "ack subjects that are none",
        create(),
        fill(2),
        make(),
        rest(2),
        [
            Step(subject, b"+ACK", until="none")
            for subject in (
                "$JS.ACK.S.C",
                "$JS.ACK.S.C.1.1.1",
                "$JS.ACK.S.C.x.y.z.1.0",
                "$JS.ACK.S.C.1.1.1.1.0.1.2.3.4",
                "$JS.ACK.S.C.1.-1.1.1.0",
            )
        ],
        state(),
    ),
    story(
        "acks for nobody",
        create(),
        fill(1),
        make(),
        rest(1),
        Step("$JS.ACK.S.D.1.1.1.1700000000000000000.0", b"+ACK"),
        Step("$JS.ACK.T.C.1.1.1.1700000000000000000.0", b"+ACK"),
        state(),
    ),
    story(
        "acks in the long form",
        create(),
        fill(3),
        make(),
        rest(3),
        [Step(f"$JS.ACK._.hash.S.C.1.{n}.{n}.1700000000000000000.0{end}", b"+ACK") for n, end in ((1, ""), (2, ".dice"))],
        state(),
    ),
    story("an ack after the consumer has gone", create(), fill(1), make(), rest(1), api("CONSUMER.DELETE.S.C"), ack()),
    story(
        "an ack of another consumer's message",
        create(),
        fill(2),
        make("C"),
        make("D"),
        rest(2, "C"),
        rest(2, "D"),
        ack(0),
        state("C"),
        state("D"),
    ),
    story(
        "a sequence that does not fit",
        create(),
        fill(3),
        make(),
        rest(3),
        Step("$JS.ACK.S.C.1.1.3.1700000000000000000.0", b"+ACK"),
        state(),
        Step("$JS.ACK.S.C.1.3.1.1700000000000000000.0", b"+ACK"),
        state(),
    ),
    story(
        "all acknowledged beyond what was sent",
        create(),
        fill(3),
        make(ack_policy="all"),
        rest(2),
        Step("$JS.ACK.S.C.1.9.9.1700000000000000000.0", b"+ACK", until="none"),
        state(),
        pull(3, expires=0.2),
        state(),
    ),
    story("acks with headers", create(), fill(1), make(), rest(1), Ack(0, b"+ACK"), state()),
    both(
        "many acks",
        create(),
        fill(40),
        make(),
        rest(40),
        [Ack(n, b"+ACK", False) for n in range(0, 40, 8)],
        [ack(n) for n in range(1, 40, 6)],
        state(),
    ),
]

NEXT = [
    both("ack and next", create(), fill(3), make(), rest(1), Ack(0, b"+NXT", True, 1), state(), Ack(1, b"+NXT", True, 1), state()),
    both("ack and the next two", create(), fill(4), make(), rest(1), Ack(0, b"+NXT 2", True, 2), state()),
    story("ack and next in JSON", create(), fill(4), make(), rest(1), Ack(0, b'+NXT {"batch":2,"no_wait":true}', True, 2), state()),
    story("ack and next, bad", create(), fill(4), make(), rest(1), Ack(0, b"+NXT {", True, 1), Ack(0, b"+NXT x", True, 1), state()),
    story("ack and next with nothing there", create(), fill(1), make(), rest(1), Ack(0, b'+NXT {"no_wait":true}', True, 1), state()),
    story("ack and next without a reply", create(), fill(2), make(), rest(1), Ack(0, b"+NXT", False), state()),
    story("ack and next, and it waits", create(), fill(1), make(), rest(1), Ack(0, b"+NXT", True, 0), pub("s.2"), Pass(), state()),
    story("ack all and next", create(), fill(4), make(ack_policy="all"), rest(2), Ack(1, b"+NXT", True, 1), state()),
    story("next without acks", create(), fill(4), make(ack_policy="none"), rest(2), Ack(1, b"+NXT", True, 0), state()),
]

AGAIN = [
    both("what is nakked comes again", create(), fill(3), make(), rest(3), nak(1), rest(3), state()),
    both("naks in an order of their own", create(), fill(4), make(), rest(4), nak(2), nak(0), nak(3), rest(9), state()),
    both("nakked twice", create(), fill(2), make(), rest(2), nak(0), nak(0), rest(9), state()),
    both("nakked and then acknowledged", create(), fill(2), make(), rest(2), nak(0), ack(0), rest(9), state()),
    both("comes again and is acknowledged", create(), fill(2), make(), rest(2), nak(0), rest(9), ack(), state(), ack(1), state()),
    story(
        "comes again, and the first copy is acknowledged",
        create(),
        fill(3),
        make(),
        rest(2),
        nak(0),
        rest(1),
        ack(0),
        state(),
        rest(3),
        state(),
    ),
    story("comes before what is new", create(), fill(4), make(), rest(2), nak(1), nak(0), rest(9), state()),
    story(
        "comes again and again",
        create(),
        fill(1),
        make(),
        [[rest(1), nak()] for _ in range(3)][0],
        rest(1),
        nak(),
        rest(1),
        nak(),
        rest(1),
        state(),
    ),
    both(
        "a nak with a delay",
        create(),
        fill(2),
        make(),
        rest(2),
        nak(0, b'-NAK {"delay": 200000000}'),
        rest(2),
        pull(1, expires=2.0),
        state(),
    ),
    story("a nak with a duration", create(), fill(2), make(), rest(2), nak(0, b"-NAK 200ms"), rest(2), pull(1, expires=2.0), state()),
    story(
        "naks with delays",
        create(),
        fill(3),
        make(),
        rest(3),
        nak(0, b'-NAK {"delay": 400000000}'),
        nak(1, b'-NAK {"delay": 200000000}'),
        nak(2, b'-NAK {"delay": 50000000}'),
        pull(3, expires=3.0),
        state(),
    ),
    story(
        "a nak with a delay, and another",
        create(),
        fill(1),
        make(),
        rest(1),
        nak(0, b'-NAK {"delay": 200000000}'),
        nak(0),
        pull(1, expires=2.0),
        pull(1, expires=0.5),
        state(),
    ),
    story(
        "a nak with a delay longer than the wait",
        create(),
        fill(1),
        make(ack_wait=WAIT),
        rest(1),
        nak(0, b'-NAK {"delay": 700000000}'),
        pull(1, expires=0.4),
        pull(1, expires=2.0),
        state(),
    ),
    both("too late", create(), fill(2), make(ack_wait=WAIT), rest(2), pull(2, expires=2.0), state(), ack(2), state()),
    story("too late, one of them", create(), fill(3), make(ack_wait=WAIT), rest(3), ack(1), pull(2, expires=2.0), state()),
    story(
        "too late, with acks of all",
        create(),
        fill(3),
        make(ack_policy="all", ack_wait=WAIT),
        rest(3),
        ack(1),
        pull(1, expires=2.0),
        state(),
    ),
    story(
        "in progress puts it off",
        create(),
        fill(1),
        make(ack_wait=400 * MILLI),
        rest(1),
        Pass(0.25),
        Ack(0, b"+WPI"),
        pull(1, expires=0.25),
        pull(1, expires=2.0),
        state(),
    ),
    story("who waits gets it", create(), fill(1), make(ack_wait=WAIT), rest(1), pull(1, expires=2.0), state()),
    story("nobody asks for what comes again", create(), fill(1), make(ack_wait=100 * MILLI), rest(1), Pass(0.4), state(), rest(1), state()),
    story(
        "too late, and the message is gone",
        create(),
        fill(2),
        make(ack_wait=WAIT),
        rest(2),
        api("STREAM.MSG.DELETE.S", {"seq": 1}),
        pull(2, expires=0.6),
        state(),
    ),
    story(
        "nakked, and the message is gone",
        create(),
        fill(3),
        make(),
        rest(3),
        nak(0),
        api("STREAM.MSG.DELETE.S", {"seq": 1}),
        rest(3),
        state(),
    ),
    story("nakked by ack policy none", create(), fill(2), make(ack_policy="none"), rest(2), nak(0), rest(2), state()),
    story("what comes again goes to who asks", create(), fill(2), make(), pull(2, channel="p"), nak(0), rest(1), nak(1), rest(1), state()),
    story("again with acks that are missing", create(), fill(4), make(max_ack_pending=2), rest(2), nak(0), pull(3, expires=0.3), state()),
    story("headers only, again", create(), fill(1), make(headers_only=True), rest(1), nak(0), rest(1)),
]

BACKOFF = [
    story(
        "backoff",
        create(),
        fill(1),
        make(backoff=[100 * MILLI, 300 * MILLI, SECOND]),
        rest(1),
        pull(1, expires=2.0),
        pull(1, expires=2.0),
        pull(1, expires=0.3),
        state(),
    ),
    story(
        "backoff does not wait for naks",
        create(),
        fill(1),
        make(backoff=[9 * SECOND, 9 * SECOND]),
        rest(1),
        nak(),
        rest(1),
        nak(),
        rest(1),
        state(),
    ),
    story(
        "backoff and progress",
        create(),
        fill(1),
        make(backoff=[300 * MILLI, 9 * SECOND]),
        rest(1),
        Pass(0.15),
        Ack(0, b"+WPI"),
        pull(1, expires=0.2),
        pull(1, expires=2.0),
        state(),
    ),
    story("backoff of several", create(), fill(3), make(backoff=[100 * MILLI, 9 * SECOND]), rest(3), ack(1), pull(3, expires=0.5), state()),
]


def limited(name: str, *moves: Any, **config: Any) -> Story:
    """Deliveries that are limited, with the advisories."""
    return both(name, create(), fill(2), Listen("$JS.EVENT.ADVISORY.CONSUMER.*.S.C", "events"), make(**config), *moves, state())


COUNTS = [
    limited("delivered once only", rest(1), nak(), rest(2), rest(1), max_deliver=1),
    limited("delivered twice only", rest(1), nak(), rest(1), nak(), rest(2), rest(2), max_deliver=2),
    limited("delivered twice and too late", rest(2), pull(2, expires=1.0), pull(2, expires=0.6), max_deliver=2, ack_wait=100 * MILLI),
    limited("delivered once and too late", rest(2), pull(2, expires=0.5), Expect(2, "events"), max_deliver=1, ack_wait=100 * MILLI),
    limited("delivered once and acknowledged late", rest(2), pull(2, expires=0.4), ack(0), state(), max_deliver=1, ack_wait=100 * MILLI),
    limited(
        "delivered as often as backoff says",
        rest(1),
        pull(1, expires=1.0),
        pull(1, expires=0.6),
        Pass(0.4),
        max_deliver=2,
        backoff=[100 * MILLI, 100 * MILLI],
    ),
    limited("the limit is raised", rest(1), nak(), rest(1), make(max_deliver=3), rest(2), state(), max_deliver=1),
    limited("naks are told", rest(2), nak(0), nak(1, b"-NAK why"), Pass(0.05)),
    limited("terms are told", rest(2), Ack(0, b"+TERM"), Ack(1, b"+TERM a reason"), Pass(0.05)),
]

SAMPLES = [
    story(
        "samples of all",
        create(),
        fill(3),
        Listen("$JS.EVENT.METRIC.>", "metrics"),
        make(sample_freq="100"),
        rest(3),
        ack(0),
        Ack(1, b"+TERM"),
        nak(2),
        rest(1),
        ack(),
        Pass(0.1),
        state(),
    ),
    story(
        "samples of none",
        create(),
        fill(2),
        Listen("$JS.EVENT.METRIC.>", "metrics"),
        make(sample_freq="0"),
        rest(2),
        ack(0),
        ack(1),
        Pass(0.1),
    ),
    story(
        "samples with acks of all",
        create(),
        fill(3),
        Listen("$JS.EVENT.METRIC.>", "metrics"),
        make(sample_freq="100%", ack_policy="all"),
        rest(3),
        ack(2),
        Pass(0.1),
    ),
    story(
        "samples of ack and next",
        create(),
        fill(3),
        Listen("$JS.EVENT.METRIC.>", "metrics"),
        make(sample_freq="100"),
        rest(1),
        Ack(0, b"+NXT", True, 1),
        Pass(0.1),
    ),
]

MISSING = [
    both(
        "max ack pending is raised",
        create(),
        fill(4),
        make(max_ack_pending=1),
        pull(4, expires=3.0, until=1, channel="p"),
        make(max_ack_pending=3),
        Expect(2, "p"),
        state(),
    ),
    both(
        "max ack pending is lowered",
        create(),
        fill(6),
        make(max_ack_pending=4),
        rest(3),
        make(max_ack_pending=2),
        pull(3, expires=0.2),
        ack(0),
        pull(3, expires=0.2),
        ack(1),
        pull(3, expires=0.2),
        state(),
    ),
    story(
        "the ack wait is shortened",
        create(),
        fill(2),
        make(ack_wait=9 * SECOND),
        rest(2),
        make(ack_wait=100 * MILLI),
        pull(2, expires=1.0),
        state(),
    ),
    story(
        "a term makes room",
        create(),
        fill(3),
        make(max_ack_pending=1),
        pull(3, expires=3.0, until=1, channel="p"),
        Ack(-1, b"+TERM"),
        Expect(1, "p"),
        state(),
    ),
    story("a nak makes no room", create(), fill(3), make(max_ack_pending=1), rest(1), nak(), pull(2, expires=0.3), state()),
]

GONE = [
    story(
        "an ephemeral one goes when it is not used",
        create(),
        make(durable_name=None, name="C", inactive_threshold=150 * MILLI),
        state(),
        Again(names(), '"total":0'),
        state(),
    ),
    story("a durable one with a threshold goes", create(), make(inactive_threshold=150 * MILLI), state(), Again(names(), '"total":0')),
    story(
        "pulls keep it",
        create(),
        make(durable_name=None, name="C", inactive_threshold=400 * MILLI),
        pull(1, expires=0.3),
        pull(1, expires=0.3),
        pull(1, expires=0.3),
        state(),
    ),
    story(
        "acks keep it",
        create(),
        fill(4),
        make(durable_name=None, name="C", inactive_threshold=500 * MILLI),
        rest(4),
        Pass(0.3),
        ack(0),
        Pass(0.3),
        ack(1),
        Pass(0.3),
        ack(2),
        state(),
    ),
    story(
        "a waiting pull keeps it",
        create(),
        make(durable_name=None, name="C", inactive_threshold=100 * MILLI),
        pull(1, expires=1.5),
        state(),
    ),
    story(
        "acks that are missing keep it",
        create(),
        fill(2),
        make(durable_name=None, name="C", inactive_threshold=100 * MILLI, ack_wait=9 * SECOND),
        rest(2),
        Pass(1.4),
        state(),
        info(),
    ),
]

STORIES: list[Story] = [*FORMED, *ORDERS, *UNUSUAL, *NEXT, *AGAIN, *BACKOFF, *COUNTS, *SAMPLES, *MISSING, *GONE]
