"""Conversations of clients in several accounts, as data: worlds of accounts, and what their clients say.

A step is "who| command; command": these are sent at once, then a PING, and the answers are waited for. Who is a user's name and perhaps a
digit, for several connections of one; it connects when it speaks first. Users are named after their accounts, in lower case; ``g`` is
nobody's.

    SUB ..., UNSUB ..., PUB subject [reply] =payload, HPUB subject [reply] Name:value =payload
    ANS [reply] =payload      to the reply subject of the last request that came; ANS2 to the one before, and so on
    RAW bytes                 as they stand
"""

from dataclasses import dataclass, field
from typing import Any

from midge.server.access import User
from midge.server.account_options import AccountOptions, Destination, Export, Import, Latency, MsgTrace

__all__ = ["CASES", "REFUSED", "WORLDS", "Case"]


@dataclass(frozen=True)
class Case:
    """A named conversation in a world; ``fields`` are what a connection says in CONNECT besides its name."""

    world: str
    name: str
    steps: tuple[str, ...]
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)


def stream(subject: str, **fields: Any) -> Export:
    return Export(kind="stream", subject=subject, **fields)


def service(subject: str, **fields: Any) -> Export:
    return Export(kind="service", subject=subject, **fields)


def from_stream(account: str, subject: str, **fields: Any) -> Import:
    return Import(kind="stream", account=account, subject=subject, **fields)


def from_service(account: str, subject: str, **fields: Any) -> Import:
    return Import(kind="service", account=account, subject=subject, **fields)


def to(*destinations: tuple[str, int] | str) -> tuple[Destination, ...]:
    return tuple(
        Destination(subject=each) if isinstance(each, str) else Destination(subject=each[0], weight=each[1]) for each in destinations
    )


def world(*accounts: AccountOptions, **options: Any) -> dict[str, Any]:
    """The options of a server with these accounts and a user in each."""
    users = tuple(User(user=account.name.lower(), password="p", account=account.name) for account in accounts)
    return {"accounts": accounts, "users": users} | options


FUNCTIONS = {
    "p1.*.*": to("d1.{{partition(10,1,2)}}.$1"),
    "p2.*.*": to("d2.{{partition(3,2)}}"),
    "p3.*": to("d3.{{Partition(7)}}"),
    "p4.*": to("d4.{{ partition( 0 , 1 ) }}"),
    "p6.>": to("d6.{{partition(9)}}.>"),
    "p7.*": to("d7.{{partition(-5,1)}}"),
    "w1.*.*": to("e1.$2.$1"),
    "w2.*.*": to("e2.{{wildcard(2)}}.x.{{Wildcard(1)}}.$2"),
    "w3.*": to("e3.$0.$-1.$x.$"),
    "w4.*.>": to("e4.$1.>"),
    "w5.*": to("e5.$+1"),
    "s1.*": to("f1.{{split(1,-)}}"),
    "s2.*": to("f2.{{splitFromLeft(1,2)}}"),
    "s3.*": to("f3.{{SplitFromRight(1, 2)}}"),
    "s4.*": to("f4.{{slicefromleft(1,3)}}"),
    "s5.*": to("f5.{{sliceFromRight(1,3)}}"),
    "s6.*": to("f6.{{left(1,2)}}"),
    "s7.*": to("f7.{{right(1,2)}}"),
    "s8.*": to("f8.{{split(1,ab)}}"),
    "s9.*": to("f9.{{split(1,)}}"),
    "r1.*": to("h1.{{random(1)}}.$1"),
    "r2": to("h2.{{random(1)}}"),
    "r3.*": to("h3.{{random(0)}}"),
}

WORLDS: dict[str, dict[str, Any]] = {
    "apart": world(AccountOptions(name="A"), AccountOptions(name="B")),
    "limits": world(
        AccountOptions(name="A", max_connections=2),
        AccountOptions(name="B", max_subscriptions=2),
        AccountOptions(name="C", max_payload=10),
        AccountOptions(name="D", max_connections=0),
        AccountOptions(name="E", max_payload=0),
        AccountOptions(name="F", max_payload=2000, max_subscriptions=10),
        max_payload=1000,
        max_subscriptions=4,
    ),
    "streams": world(
        AccountOptions(
            name="A",
            imports=(
                from_stream("B", "pre.>", prefix="imp"),
                from_stream("B", "one.*", to="uno.$1"),
                from_stream("B", "two.*.*", to="swap.$2.$1"),
                from_stream("B", "same.>"),
                from_stream("B", "raw", to="cooked"),
                from_stream("B", "lit"),
                from_stream("B", "for.A.>"),
                from_stream("B", "wide.x.*", prefix="w"),
                from_stream("B", "mix.*.a.>", to="mixed.$1.>"),
                from_stream("B", "three.*.*.*", to="turned.$2.$3.$1"),
                from_stream("B", "only.a"),
            ),
            exports=(stream("chain.>"), stream("imp.>")),
        ),
        AccountOptions(
            name="B",
            exports=(
                stream("pre.>"),
                stream("one.*"),
                stream("two.*.*"),
                stream("same.>"),
                stream("raw"),
                stream("lit"),
                stream("for.*.>", token_position=2),
                stream("wide.>"),
                stream("mix.*.a.>"),
                stream("three.>"),
                stream("only.>", accounts=("A",)),
            ),
            mappings={"map.me": to("pre.mapped")},
        ),
        AccountOptions(name="C", imports=(from_stream("A", "imp.>"), from_stream("B", "same.a", prefix="c"))),
    ),
    "services": world(
        AccountOptions(
            name="A",
            imports=(
                from_service("B", "svc"),
                from_service("B", "echo", to="alias"),
                from_service("B", "rev.*.*", to="ver.$2.$1"),
                from_service("B", "all.>"),
                from_service("B", "many"),
                from_service("B", "chunks"),
                from_service("B", "shared", share=True),
                from_service("B", "one", to="any.*"),
                from_service("B", "via", to="chained"),
                from_service("B", "quick"),
                from_service("B", "both"),
                from_service("C", "both"),
                from_service("B", "to.map"),
                from_service("B", "for.A"),
                from_service("B", "silent"),
                from_service("B", "via.shared"),
                from_service("B", "three.*.*.*", to="turned.$2.$3.$1"),
                from_service("B", "sub.*", to="pre.{{wildcard(1)}}"),
            ),
            mappings={"mapped.request": to("svc"), "answers.a": to("answers.b")},
        ),
        AccountOptions(
            name="B",
            exports=(
                service("svc"),
                service("echo"),
                service("rev.*.*"),
                service("all.>"),
                service("many", response="Stream"),
                service("chunks", response="Chunked"),
                service("shared"),
                service("one"),
                service("via"),
                service("quick", threshold=0.05),
                service("both"),
                service("to.map"),
                service("for.*", token_position=2),
                service("silent"),
                service("via.shared"),
                service("three.>"),
                service("sub.*"),
                stream("all.>"),
            ),
            imports=(from_service("C", "far", to="via"), from_service("C", "far.shared", to="via.shared", share=True)),
            mappings={"to.map": to("mapped")},
        ),
        AccountOptions(
            name="C", exports=(service("far"), service("far.shared"), service("both")), imports=(from_stream("B", "all.>", prefix="heard"),)
        ),
    ),
    "latency": world(
        AccountOptions(
            name="A",
            imports=(
                from_service("B", "slow"),
                from_service("B", "traced"),
                from_service("B", "open", share=True),
                from_service("B", "late"),
            ),
        ),
        AccountOptions(
            name="B",
            exports=(
                service("slow", latency=Latency(subject="lat.slow")),
                service("traced", latency=Latency(subject="lat.traced", sampling=0)),
                service("open", latency=Latency(subject="lat.open")),
                service("late", latency=Latency(subject="lat.late"), threshold=0.05),
            ),
        ),
    ),
    "functions": world(AccountOptions(name="A", mappings=FUNCTIONS)),
    "mappings": world(
        AccountOptions(
            name="A",
            mappings={
                "plain": to("other"),
                "x.*": to("y.$1"),
                "lost": to(("lost", 0)),
                "half.>": to(("half.>", 0)),
                "all": to(("all.a", 100)),
                "never": to(("gone", 0)),
                "to.reserved": to("$NRG.x"),
                "chain.a": to("chain.b"),
                "chain.b": to("chain.c"),
                "self": to("self"),
                "in.cluster": (Destination(subject="elsewhere", cluster="other"),),
                "few.*": (Destination(subject="few.none.$1", weight=0), Destination(subject="few.all.$1", weight=100)),
            },
        )
    ),
    "literal": world(AccountOptions(name="A", mappings={"p5": to("d5.{{partition(100)}}")})),  # with others, nats-server's luck decides
    "global": {"mappings": {"foo": to("bar"), "baz.*": to("$1.baz")}},
}


def cases(name: str, table: dict[str, list[str]], **fields: dict[str, Any]) -> list[Case]:
    return [Case(name, title, tuple(steps), fields) for title, steps in table.items()]


APART = cases(
    "apart",
    {
        "isolation": ["a| SUB > 1", "b| SUB > 1", "a| PUB x =from a", "b| PUB x =from b", "a| PUB y r =q"],
        "queue groups are apart": ["a| SUB q g 1", "b| SUB q g 2", "a| PUB q =1; PUB q =2", "b| PUB q =3"],
        "no responders in one's own": ["b| SUB svc 1", "a| SUB in 1; PUB svc in =x"],
        "who is nobody is not let in": ["z| SUB > 1"],
        "account in INFO": ["a| SUB x 1", "b| SUB x 1"],
    },
)
APART += [
    Case(
        "apart",
        "a second CONNECT into another account",
        (
            "a| SUB > 1; SUB x 2",
            'a| RAW CONNECT {"verbose":false,"pedantic":false,"user":"b","pass":"p"}\\r\\n',
            "b| PUB x =to b",
            "a| SUB x 3",
            "a2| SUB x 1; PUB x =to a",
            "b| PUB x =again",
            "a| ",
        ),
        {},
    )
]

LIMITS = cases(
    "limits",
    {
        "connections": ["a| SUB x 1", "a2| PUB x =hi", "a3| PUB x =no", "a| "],
        "connections, one leaves": ["a| SUB x 1", "a2| RAW GARBAGE\\r\\n", "a3| PUB x =yes", "a| "],
        "no connection at all": ["d| PUB x =no"],
        "no connection at all, verbose": ["d9| PUB x =no"],
        "subscriptions": ["b| SUB a 1; SUB b 2; SUB c 3; SUB d 4; UNSUB 1; SUB c 3; PUB c =c", "b2| SUB a 1; SUB b 2; SUB c 3; PUB c =c"],
        "subscriptions, the server's limit is less": ["f| SUB a 1; SUB b 2; SUB c 3; SUB d 4; SUB e 5; SUB f 6"],
        "the server's own limit": ["a| SUB a 1; SUB b 2; SUB c 3; SUB d 4; SUB e 5"],
        "payload": ["c| SUB x 1; PUB x =0123456789", "c| PUB x =0123456789a"],
        "payload with header": ["c| SUB x 1; HPUB x =", "c2| SUB x 1"],
        "payload of nothing": ["e| SUB x 1; PUB x =; PUB x =1"],
        "payload, the server's limit is less": ["f| SUB x 1; RAW PUB x 1000\\r\\n" + "x" * 1000 + "\\r\\n", "f| RAW PUB x 1001\\r\\n"],
        "payload of others": ["a| SUB x 1; PUB x =0123456789abc"],
    },
    d9={"verbose": True},
)

STREAMS = cases(
    "streams",
    {
        "prefix": ["a| SUB imp.pre.> 1", "b| PUB pre.x =1; PUB pre.x.y =2; PUB pre =3; PUB imp.pre.x =4"],
        "three wildcards turned": ["a| SUB turned.> 1; SUB turned.x.*.* 2; SUB turned.y.z.x 3", "b| PUB three.x.y.z =1"],
        "prefix, one subject": ["a| SUB imp.pre.x 1", "b| PUB pre.x =1; PUB pre.y =2"],
        "prefix, a wildcard": ["a| SUB imp.pre.* 1", "b| PUB pre.x =1; PUB pre.x.y =2"],
        "everything": ["a| SUB > 1", "b| PUB pre.x =1; PUB one.x =2; PUB two.x.y =3; PUB same.x =4; PUB raw =5; PUB lit =6; PUB no =7"],
        "everything below": ["a| SUB imp.> 1", "b| PUB pre.x =1"],
        "stars": [
            "a| SUB *.* 1; SUB *.*.* 2; SUB * 3",
            "b| PUB pre.x =1; PUB one.x =2; PUB two.x.y =3; PUB same.x =4; PUB raw =5; PUB lit =6",
        ],
        "to": ["a| SUB uno.* 1; SUB uno.x 2; SUB uno.> 3", "b| PUB one.x =1; PUB one.y =2; PUB uno.x =3"],
        "to with the wildcards turned": [
            "a| SUB swap.y.* 1; SUB swap.*.x 2; SUB swap.y.x 3; SUB swap.> 4",
            "b| PUB two.x.y =1; PUB two.y.x =2",
        ],
        "the same": ["a| SUB same.> 1; SUB same.a 2; SUB same.* 3", "b| PUB same.a =1; PUB same.a.b =2"],
        "a literal": ["a| SUB cooked 1; SUB lit 2; SUB raw 3", "b| PUB raw =1; PUB lit =2; PUB cooked =3"],
        "account token": ["a| SUB for.A.> 1; SUB for.> 2; SUB for.*.x 3; SUB for.C.x 4", "b| PUB for.A.x =1; PUB for.C.x =2"],
        "narrow import of a wide export": ["a| SUB w.wide.> 1; SUB w.wide.*.y 2", "b| PUB wide.x.y =1; PUB wide.z.y =2"],
        "mixed wildcards": [
            "a| SUB mixed.q.> 1; SUB mixed.> 2; SUB mixed.*.r 3",
            "b| PUB mix.q.a.r =1; PUB mix.q.a.r.s =2; PUB mix.q.b.r =3",
        ],
        "accounts": ["a| SUB only.> 1", "c| SUB only.> 1", "b| PUB only.a =1; PUB only.b =2"],
        "overlap": ["a| SUB *.a 1; SUB same.*.c 2; SUB *.*.c 3", "b| PUB same.a =1; PUB same.b.c =2; PUB only.a =3"],
        "not the other way": ["b| SUB > 1", "a| PUB imp.pre.x =1; PUB pre.x =2; PUB same.a =3"],
        "its own and the imported": ["a| SUB same.a 1", "a2| PUB same.a =own", "b| PUB same.a =theirs"],
        "a third account": ["c| SUB c.> 1; SUB same.a 2", "a| SUB same.a 1", "b| PUB same.a =1"],
        "no import of what was imported": ["c| SUB imp.> 1", "b| PUB pre.x =1", "a| PUB imp.pre.x =2"],
        "queue group": ["a| SUB imp.pre.x q 1; SUB imp.pre.> r 3", "b| PUB pre.x =1"],
        "queue group with one here and one there": ["a| SUB same.q q 1", "b| PUB same.q =1; PUB same.q =2"],
        "reply stays": ["a| SUB same.a 1", "b| SUB in 1; PUB same.a in =1", "a| PUB in =answer", "b| "],
        "headers": ["a| SUB imp.> 1", "b| HPUB pre.x r A:b =1"],
        "headers for one who has none": ["a0| SUB imp.> 1; SUB same.> 2", "b| HPUB pre.x r A:b =1; HPUB same.x A:b =1"],
        "unsubscribe": ["a| SUB imp.> 1", "b| PUB pre.x =1", "a| UNSUB 1", "b| PUB pre.x =2; SUB in 1; PUB pre.x in =3"],
        "unsubscribe with a number": ["a| SUB imp.> 1; UNSUB 1 2", "b| PUB pre.x =1; PUB pre.x =2; PUB pre.x =3; PUB pre.x =4"],
        "unsubscribe with a number that is over": ["a| SUB imp.> 1", "b| PUB pre.x =1; PUB pre.x =2", "a| UNSUB 1 1", "b| PUB pre.x =3"],
        "unsubscribe with a number, both kinds": [
            "a| SUB same.a 1; UNSUB 1 2",
            "b| PUB same.a =1",
            "a2| PUB same.a =2",
            "b| PUB same.a =3",
            "a2| PUB same.a =4",
            "b| PUB same.a =5",
        ],
        "interest goes with the connection": ["a| SUB imp.> 1", "a| RAW GARBAGE\\r\\n", "b| SUB in 1; PUB pre.x in =1"],
        "a second CONNECT": ["a| SUB imp.> 1", 'a| RAW CONNECT {"verbose":false}\\r\\n', "b| SUB in 1; PUB pre.x in =1"],
        "no responders": ["b| SUB in 1; PUB pre.x in =1", "a| SUB imp.> 1", "b| PUB pre.x in =2"],
        "mapped there": ["a| SUB imp.> 1", "b| PUB map.me =1"],
        "the same sid twice": ["a| SUB imp.> 1; SUB same.> 1", "b| PUB pre.x =1; PUB same.x =2"],
        "literal publishes with wildcards": ["a| SUB imp.> 1; SUB uno.* 2; SUB same.> 3", "b| PUB pre.* =1; PUB one.* =2; PUB same.> =3"],
        "empty tokens": ["a| SUB imp.> 1; SUB same.> 2", "b| PUB pre..x =1; PUB same. =2; PUB .same =3"],
        "many tokens": ["a| SUB imp.> 1", "b| PUB pre" + ".x" * 300 + " =1"],
        "echo off is about the connection": ["a| SUB same.a 1", "b| SUB same.a 1; PUB same.a =1"],
    },
    a0={"headers": False, "no_responders": False},
)

SERVICES = cases(
    "services",
    {
        "one answer": ["b| SUB svc 1", "a| SUB in 1; PUB svc in =ask", "b| ANS =yes", "a| "],
        "a second answer is not for anybody": [
            "b| SUB svc 1",
            "a| SUB in 1; PUB svc in =ask",
            "b| ANS =yes",
            "b| ANS =again; SUB x 9; ANS x =more",
            "a| ",
        ],
        "another name here": ["b| SUB echo 1", "a| SUB in.* 1; PUB alias in.1 =a; PUB echo in.2 =b", "b| ANS =yes", "a| "],
        "wildcards turned": ["b| SUB rev.> 1", "a| SUB in 1; PUB ver.x.y in =a", "b| ANS =yes", "a| "],
        "three wildcards turned": ["b| SUB three.> 1", "a| SUB in 1; PUB turned.x.y.z in =a", "b| ANS =yes", "a| "],
        "wildcards by function": ["b| SUB sub.> 1", "a| SUB in 1; PUB pre.x in =a", "b| ANS =yes", "a| "],
        "all subjects": ["b| SUB all.> 1", "a| SUB in 1; PUB all.x.y in =a; PUB all =b", "b| ANS =yes", "a| "],
        "any subject to one": ["b| SUB one 1", "a| SUB in 1; PUB any.x in =a; PUB any.y in =b", "b| ANS2 =1; ANS =2", "a| "],
        "no responders": ["a| SUB in 1; PUB svc in =ask"],
        "no responders, then one": ["a| SUB in 1; PUB svc in =ask", "b| SUB svc 1", "a| PUB svc in =ask", "b| ANS =yes", "a| "],
        "without a reply": ["b| SUB svc 1", "a| PUB svc =ask"],
        "who hears its own account's": [
            "a| SUB svc 1; SUB in 2",
            "b| SUB svc 1",
            "a2| PUB svc in =ask",
            "a| PUB in =own",
            "b| ANS =yes",
            "a| ",
        ],
        "nobody there, but here": ["a| SUB svc 1; SUB in 2", "a2| SUB in 1; PUB svc in =ask", "a| "],
        "everything is heard there": ["b| SUB > 1", "a| SUB in 1; PUB svc in =ask", "b| PUB x =1; ANS =yes", "a| "],
        "everything is heard here": ["b| SUB svc 1", "a| SUB > 1; PUB svc in =ask", "b| ANS =yes", "a| "],
        "queue group": ["b| SUB svc q 1; SUB svc q 1", "a| SUB in 1; PUB svc in =ask", "b| ANS =yes", "a| "],
        "headers": ["b| SUB svc 1", "a| SUB in 1; HPUB svc in A:b =ask", "b| ANS =yes", "a| "],
        "a header of that name": [
            "b| SUB svc 1",
            "a| SUB in 1; HPUB svc in Nats-Request-Info:x =ask",
            "a| HPUB svc in Nats-Request-Info:{} B:c =ask",
        ],
        "a header of nearly that name": [
            "b| SUB svc 1",
            "a| SUB in 1; HPUB svc in nats-request-info:x =ask; HPUB svc in Nats-Request-Infos:x =ask",
        ],
        "headers for one who has none": ["b0| SUB svc 1", "a| SUB in 1; HPUB svc in A:b =ask", "b0| ANS =yes", "a| "],
        "an answer with headers": ["b| SUB svc 1", "a| SUB in 1; PUB svc in =ask", "b| HANS A:b =yes", "a| "],
        "an empty answer": ["b| SUB svc 1", "a| SUB in 1; PUB svc in =ask", "b| ANS =", "a| "],
        "several answers": ["b| SUB many 1", "a| SUB in 1; PUB many in =ask", "b| ANS =1; ANS =2; ANS =; ANS =3", "a| "],
        "chunks": ["b| SUB chunks 1", "a| SUB in 1; PUB chunks in =ask", "b| ANS =1; ANS =2; ANS =; ANS =3", "a| "],
        "several answers with headers": [
            "b| SUB many 1",
            "a| SUB in 1; PUB many in =ask",
            "b| ANS =1; HANS A:b =; ANS =2; ANS =; ANS =3",
            "a| ",
        ],
        "several answers, then nobody listens": [
            "b| SUB many 1",
            "a| SUB in 1; PUB many in =ask",
            "b| ANS =1",
            "a| UNSUB 1",
            "b| ANS =2",
            "a| SUB in 2",
            "b| ANS =3",
            "a| ",
        ],
        "the interest ends before the answer": [
            "b| SUB svc 1",
            "a| SUB in.1 1; PUB svc in.1 =ask; UNSUB 1",
            "a| SUB in.1 2",
            "b| ANS =yes",
            "a| ",
        ],
        "the interest in a wildcard ends": [
            "b| SUB svc 1",
            "a| SUB in.* 1; PUB svc in.1 =ask; UNSUB 1",
            "a| SUB in.1 2",
            "b| ANS =yes",
            "a| ",
        ],
        "another's interest remains": ["b| SUB svc 1", "a| SUB in.* 1; SUB in.1 3; PUB svc in.1 =ask; UNSUB 1", "b| ANS =yes", "a| "],
        "who asked has gone": ["b| SUB svc 1", "a| SUB in 1; PUB svc in =ask", "a| RAW GARBAGE\\r\\n", "b| ANS =yes", "a2| SUB in 1"],
        "one message is wanted": ["b| SUB svc 1", "a| SUB in 1; UNSUB 1 1; PUB svc in =ask", "b| ANS =yes; ANS =again", "a| "],
        "shared": ["b| SUB shared 1", "a9| SUB in 1; PUB shared in =ask", "b| ANS =yes", "a9| "],
        "three accounts": ["c| SUB far 1", "a| SUB in 1; PUB chained in =ask", "c| ANS =yes", "a| "],
        "three accounts, and one between": [
            "c| SUB far 1",
            "b| SUB via 1",
            "a| SUB in 1; PUB chained in =ask",
            "c| ANS =yes",
            "b| ANS =too",
            "a| ",
        ],
        "three accounts, nobody there": ["a| SUB in 1; PUB chained in =ask"],
        "three accounts, shared at the end": ["c| SUB far.shared 1", "a9| SUB in 1; PUB via.shared in =ask", "c| ANS =yes", "a9| "],
        "two services of one name": [
            "b| SUB both 1",
            "c| SUB both 1",
            "a| SUB in 1; PUB both in =ask",
            "b| ANS =b",
            "a| ",
            "c| ANS =c",
            "a| ",
        ],
        "two services, one there": ["c| SUB both 1", "a| SUB in 1; PUB both in =ask", "c| ANS =c", "a| "],
        "an answer with a reply": [
            "b| SUB svc 1; SUB back 2",
            "a| SUB in 1; PUB svc in =ask",
            "b| ANS back =yes",
            "a| ANS =and you?",
            "b| ",
        ],
        "mapped here": ["b| SUB svc 1", "a| SUB in 1; PUB mapped.request in =ask", "b| ANS =yes", "a| "],
        "mapped there": ["b| SUB to.map 1; SUB mapped 2", "a| SUB in 1; PUB to.map in =ask", "b| ANS =yes", "a| "],
        "the reply is mapped": ["b| SUB svc 1", "a| SUB answers.* 1; PUB svc answers.a =ask", "b| ANS =yes", "a| "],
        "account token": ["b| SUB for.* 1", "a| SUB in 1; PUB for.A in =ask; PUB for.C in =ask", "b| ANS =yes", "a| "],
        "not exported again as a stream": ["c| SUB heard.> 1", "b| SUB all.> 1", "a| PUB all.x =1", "b| PUB all.x =2", "c| "],
        "a service and no stream": ["a| SUB svc 1", "b| PUB svc =no"],
        "a service is no service the other way": ["a| SUB svc 1", "b| SUB in 1; PUB svc in =x"],
        "asking there oneself": ["b| SUB svc 1", "b2| SUB in 1; PUB svc in =own"],
        "ack subjects stay": ["b| SUB svc 1", "a| PUB svc $JS.ACK =ask"],
        "reserved replies are refused": ["a| PUB svc _R_.abc.def =ask; PUB svc _R_. =x"],
        "what nobody waits for": ["b| SUB in 1; PUB _R_.abcdef.ghijkl in =x"],
        "listening to answers": ["b| SUB svc 1; SUB _R_.> 2", "a| SUB in 1; PUB svc in =ask", "b| ANS =yes", "a| "],
        "a wildcard as a reply": ["b| SUB svc 1", "a| SUB > 1; PUB svc in.* =ask", "b| ANS =yes", "a| "],
        "an odd reply": ["b| SUB svc 1", "a| SUB > 1; PUB svc in..x =ask", "b| ANS =yes", "a| "],
        "a publish to a wildcard": ["b| SUB all.> 1", "a| SUB in 1; PUB all.* in =1; PUB all.> in =2; PUB * in =3", "b| ANS =yes", "a| "],
        "echo off is about the connection": ["b| SUB svc 1", "a8| SUB in 1; PUB svc in =ask", "b| ANS =yes", "a8| "],
        "verbose": ["b| SUB svc 1", "a7| SUB in 1; PUB svc in =ask; PUB silent in =no", "b| ANS =yes", "a7| "],
        "a payload of its own limit": ["b| SUB svc 1", "a| SUB in 1; PUB svc in =" + "x" * 5000, "b| ANS =" + "y" * 5000, "a| "],
        "fifty at once": [
            "b| SUB svc 1",
            "a| SUB in.* 1; " + "; ".join(f"PUB svc in.{n} ={n}" for n in range(50)),
            "b| " + "; ".join(f"ANS{n} ={n}" for n in range(1, 51)),
            "a| ",
        ],
        "the answer comes too late": ["b| SUB quick 1", "a| SUB in 1; PUB quick in =ask", "b| WAIT; ANS =late", "a| "],
    },
    b0={"headers": False, "no_responders": False},
    a9={"name": "me & <you>", "lang": "x", "version": "1"},
    a8={"echo": False},
    a7={"verbose": True},
)

LATENCY = cases(
    "latency",
    {
        "measured": ["b| SUB slow 1", "b2| SUB lat.> 1", "a| SUB in 1; PUB slow in =ask", "b| ANS =yes", "a| ", "b2| FRAMES 5"],
        "shared": ["b| SUB open 1", "b2| SUB lat.> 1", "a9| SUB in 1; PUB open in =ask", "b| ANS =yes", "a9| ", "b2| FRAMES 5"],
        "no reply": ["b| SUB slow 1", "b2| SUB lat.> 1", "a| PUB slow =ask", "b2| FRAMES 5"],
        "nobody there": ["b2| SUB lat.> 1", "a| SUB in 1; PUB slow in =ask", "b2| FRAMES 5"],
        "nobody waits any more": ["b| SUB slow 1", "b2| SUB lat.> 1", "a| SUB in 1; PUB slow in =ask; UNSUB 1", "b2| FRAMES 5"],
        "too late": ["b| SUB late 1", "b2| SUB lat.> 1", "a| SUB in 1; PUB late in =ask", "b2| FRAMES 5"],
        "not measured": ["b| SUB traced 1", "b2| SUB lat.> 1", "a| SUB in 1; PUB traced in =ask", "b| ANS =yes", "a| ", "b2| "],
        **{
            f"headers {header}": [
                "b| SUB traced 1",
                "b2| SUB lat.> 1",
                f"a| SUB in 1; HPUB traced in {header} =ask",
                "b| ANS =yes",
                "a| ",
                "b2| FRAMES 5",
            ]
            for header in (
                "Uber-Trace-Id:479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:1",
                "X-B3-Sampled:1",
                "X-B3-TraceId:80f198ee56343ba8",
                "B3:80f198ee-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
                "traceparent:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            )
        },
        **{
            f"not for {header}": [
                "b| SUB traced 1",
                "b2| SUB lat.> 1",
                f"a| SUB in 1; HPUB traced in {header} =ask",
                "b| ANS =yes",
                "a| ",
                "b2| ",
            ]
            for header in (
                "Uber-Trace-Id:479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:0",
                "X-B3-Sampled:0",
                "B3:0",
                "A:b",
                "traceparent:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            )
        },
    },
    a9={"name": "me", "lang": "x", "version": "1"},
)

TOKENS = ("abcdef", "a-b--c-", "-", "ab", "a", "0123456789", "ababab", "grün")
MAPPED = cases(
    "functions",
    {
        f"function {source}": [
            "a| SUB > 1",
            "a2| " + "; ".join(f"PUB {source.replace('*', token).replace('>', token)} =x" for token in TOKENS),
            "a| ",
        ]
        for source in FUNCTIONS
    },
)
MAPPED += cases(
    "mappings",
    {
        "plain": ["a| SUB > 1; PUB plain r =1; PUB other =2"],
        "wildcard": ["a| SUB > 1; PUB x.a =1; PUB x.a.b =2; PUB x =3; PUB x.* =4; PUB x. =5"],
        "subscribing is not mapped": ["a| SUB plain 1; SUB other 2; PUB plain =1"],
        "lost": ["a| SUB > 1; PUB lost =1; PUB lost r =2; PUB half.a =3"],
        "lost with a reply": ["a| SUB in 1; PUB lost in =1"],
        "nobody at the destination": ["a| SUB in 1; SUB plain 2; PUB plain in =1"],
        "weights": ["a| SUB > 1; PUB all =1; PUB never =2; PUB few.a =3; PUB few.b =4"],
        "no chain": ["a| SUB > 1; PUB chain.a =1; PUB chain.b =2"],
        "itself": ["a| SUB > 1; PUB self =1"],
        "reserved at the end": ["a| SUB > 1; PUB to.reserved =1"],
        "of another cluster": ["a| SUB > 1; PUB in.cluster =1"],
        "headers": ["a| SUB > 1; HPUB plain r A:b =1"],
        "verbose": ["a7| SUB > 1; PUB plain r =1; PUB lost =2"],
        "pedantic": ["a6| SUB > 1; PUB x.* =1; PUB plain =2; PUB x. =3"],
        "reply is not mapped": ["a| SUB > 1; PUB q plain =1"],
        "alternately": [
            "a| SUB > 1; " + "; ".join(f"PUB {subject} ={n}" for n, subject in enumerate(["plain", "x.a", "q", "x.b", "plain", "q"] * 5))
        ],
    },
    a7={"verbose": True},
    a6={"verbose": True, "pedantic": True},
)
MAPPED += cases(
    "global",
    {
        "the global account": ["g| SUB > 1; PUB foo =1; PUB baz.x =2; PUB baz =3"],
    },
)

MAPPED += cases("literal", {"a partition of a literal": ["a| SUB > 1; PUB p5 =1; PUB p5.x =2"]})

CASES = [*APART, *LIMITS, *STREAMS, *SERVICES, *LATENCY, *MAPPED]

B_ALL = AccountOptions(name="B", exports=(stream(">"), service(">")))
REFUSED: dict[str, tuple[AccountOptions, ...]] = {
    "unknown account, stream": (AccountOptions(name="A", imports=(from_stream("X", "a"),)),),
    "unknown account, service": (AccountOptions(name="A", imports=(from_service("X", "a"),)),),
    "unknown account in an export": (AccountOptions(name="A", exports=(stream("a", accounts=("X",)),)),),
    "unknown account in a service export": (AccountOptions(name="A", exports=(service("a", accounts=("X",)),)),),
    "no export, stream": (AccountOptions(name="A", imports=(from_stream("B", "a"),)), AccountOptions(name="B")),
    "no export, service": (AccountOptions(name="A", imports=(from_service("B", "a"),)), AccountOptions(name="B")),
    "a stream is no service": (
        AccountOptions(name="A", imports=(from_service("B", "a"),)),
        AccountOptions(name="B", exports=(stream("a"),)),
    ),
    "too wide": (AccountOptions(name="A", imports=(from_stream("B", "a.>"),)), AccountOptions(name="B", exports=(stream("a.*"),))),
    "not for us": (
        AccountOptions(name="A", imports=(from_stream("B", "a"),)),
        AccountOptions(name="B", exports=(stream("a", accounts=("C",)),)),
        AccountOptions(name="C"),
    ),
    "token of another": (
        AccountOptions(name="A", imports=(from_service("B", "a.C"),)),
        AccountOptions(name="B", exports=(service("a.*", token_position=2),)),
    ),
    "token position without a wildcard": (AccountOptions(name="B", exports=(service("a.b", token_position=2),)),),
    "token position too far": (AccountOptions(name="B", exports=(stream("a.*", token_position=3),)),),
    "prefix with a wildcard": (AccountOptions(name="A", imports=(from_stream("B", "a", prefix="x.*"),)), B_ALL),
    "the same stream twice": (AccountOptions(name="A", imports=(from_stream("B", "a"), from_stream("B", "a", prefix="x"))), B_ALL),
    "the same service twice": (AccountOptions(name="A", imports=(from_service("B", "a"), from_service("B", "b", to="a"))), B_ALL),
    "wildcards that do not fit": (AccountOptions(name="A", imports=(from_service("B", "a.*", to="b"),)), B_ALL),
    "wildcards that do not fit a stream": (AccountOptions(name="A", imports=(from_stream("B", "a.*.*", to="b.$1"),)), B_ALL),
    "allow_trace of a stream's export": (AccountOptions(name="B", exports=(stream("a", allow_trace=True),)),),
    "allow_trace of a service's import": (AccountOptions(name="A", imports=(from_service("B", "a", allow_trace=True),)), B_ALL),
    "allow_trace of the others": (
        AccountOptions(name="A", imports=(from_stream("B", "a", allow_trace=True), from_service("B", "b"))),
        AccountOptions(name="B", exports=(stream("a"), service("b", allow_trace=True))),
    ),
    "traced to a wildcard": (AccountOptions(name="A", msg_trace=MsgTrace(dest="a.*")),),
    "traced to nowhere": (AccountOptions(name="A", msg_trace=MsgTrace(dest="")),),
    "one of too few traced": (AccountOptions(name="A", msg_trace=MsgTrace(dest="a", sampling=0)),),
    "one of too many traced": (AccountOptions(name="A", msg_trace=MsgTrace(dest="a", sampling=101)),),
    "functions in an import": (AccountOptions(name="A", imports=(from_stream("B", "a.*", to="b.{{split(1,-)}}"),)), B_ALL),
    "wildcard out of range": (AccountOptions(name="A", imports=(from_stream("B", "a.*", to="b.$2"),)), B_ALL),
    "an open end that does not fit": (AccountOptions(name="A", imports=(from_stream("B", "a.>", to="b"),)), B_ALL),
    "a cycle of services": (
        AccountOptions(name="A", exports=(service("a"),), imports=(from_service("B", "b", to="a"),)),
        AccountOptions(name="B", exports=(service("b"),), imports=(from_service("A", "a", to="b"),)),
    ),
    "a cycle of streams": (
        AccountOptions(name="A", exports=(stream("a.>"),), imports=(from_stream("B", "a.>"),)),
        AccountOptions(name="B", exports=(stream("a.>"),), imports=(from_stream("A", "a.>"),)),
    ),
    "latency to a wildcard": (AccountOptions(name="B", exports=(service("a", latency=Latency(subject="x.*")),)),),
    "latency to a service": (AccountOptions(name="B", exports=(service("a", latency=Latency(subject="a")),)),),
    "latency of several answers": (AccountOptions(name="B", exports=(service("a", response="Stream", latency=Latency(subject="l")),)),),
    **{
        f"mapping {source} to {destination}": (AccountOptions(name="A", mappings={source: to(destination)}),)
        for source, destination in (
            ("a", "b.$1"),
            ("a", "b.*"),
            ("a.*", "b.*"),
            ("a.*", "b.$2"),
            ("a.*", "b.{{wildcard(3)}}"),
            ("a.*", "b.{{wildcard()}}"),
            ("a.*", "b.{{wildcard(x)}}"),
            ("a.*", "b.{{wildcard(1,2)}}"),
            ("a.*", "b.{{foo(1)}}"),
            ("a.*", "b.{{partition()}}"),
            ("a.*", "b.{{partition(x,1)}}"),
            ("a.*", "b.{{partition(2,9)}}"),
            ("a.*", "b.{{split(1)}}"),
            ("a.*", "b.{{split(1,a,b)}}"),
            ("a.*", "b.{{left(1)}}"),
            ("a.*", "b.{{right(1,x)}}"),
            ("a.*", "b.{{slicefromleft(1,2,3)}}"),
            ("a.*", "b.{{random()}}"),
            ("a.*", "b.{{random(1,2)}}"),
            ("a.*", "b.{{partition(99999999999,1)}}"),
            ("a.*", "b..c"),
            ("a.>", "b"),
            ("a", "b.>"),
            ("a.*", "b. c"),
            ("a..b", "c"),
            ("a.>.b", "c"),
            ("a.*", "b.>.c"),
            ("a", "{{wildcard(1)}}"),
            ("a", "{{split(1,-)}}"),
            ("a.*", "b.{{splitfromleft(1,9999999999)}}"),
            ("a b", "c"),
            ("a.*", "b.{{wildcard(1)}"),
            ("a.*", "b.{{}}"),
            ("a.*", "{{ wildcard ( 1 ) }}"),
            ("a.*", "x{{wildcard(1)}}"),
            ("a.*", "b.{{partition(0)}}"),
            ("a.*", "b.$99999999999999999999"),
            ("a.*.b", "c.{{splitFROMleft(1,2)}}"),
            ("", "b"),
        )
    },
    "weights above a hundred": (AccountOptions(name="A", mappings={"a": to(("b", 60), ("c", 60))}),),
    "a destination twice": (AccountOptions(name="A", mappings={"a": to(("b", 10), ("b", 20))}),),
}
