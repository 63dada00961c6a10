"""Conversations about message tracing (ADR-41), as data; ``account_conversations`` says how they are written.

Who listens for traces, ``a9`` and ``b9``, says nothing else, and waits for so many lines: INFO, PONG, INFO and PONG come before the first
trace. When a trace comes in relation to what other connections hear is nobody's promise.
"""

from account_conversations import Case, from_service, from_stream, service, stream, to, world

from midge.server.access import Permissions, Responses, User
from midge.server.account_options import AccountOptions, MsgTrace

__all__ = ["TRACE_CASES", "TRACE_WORLDS"]

DEST = "Nats-Trace-Dest:t.1"
ONLY = f"{DEST} Nats-Trace-Only:true"
PARENT = "traceparent:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

USERS = (
    User(user="a", password="p", account="A"),
    User(
        user="b", password="p", account="B",
        permissions=Permissions(publish_deny=("no", "secret"), subscribe_deny=("den.*", "quiet q")),
    ),
    User(user="c", password="p", account="C"),
    User(user="r", password="p", account="A", permissions=Permissions(responses=Responses())),
)  # fmt: skip

TRACE_WORLDS = {
    "traces": world(
        AccountOptions(
            name="A",
            exports=(
                service("open", allow_trace=True),
                service("closed"),
                service("far", allow_trace=True),
                service("moved", allow_trace=True),
                service("wild.*", allow_trace=True),
                stream("st.>"),
            ),
            imports=(from_service("C", "deep", to="far"), from_stream("C", "news")),
            mappings={"old": to("new"), "moved": to("there"), "lost": to(("lost", 0))},
            msg_trace=MsgTrace(dest="t.account"),
        ),
        AccountOptions(
            name="B",
            imports=(
                from_service("A", "open", to="mine"),
                from_service("A", "closed"),
                from_service("A", "far"),
                from_service("A", "moved"),
                from_service("A", "wild.x", to="tame"),
                from_stream("A", "st.>", prefix="imp", allow_trace=True),
            ),
        ),
        AccountOptions(
            name="C",
            exports=(service("deep", allow_trace=True), stream("news")),
            imports=(from_stream("A", "st.>"),),
        ),
        users=USERS,
    )
}  # fmt: skip
NAMED = {"a": {"name": "one"}, "b": {"name": "two"}, "a2": {"echo": False}, "a3": {"verbose": True}, "b3": {"verbose": True}}


def of_a(count: int, *steps: str) -> tuple[str, ...]:
    """Steps after which so many traces have come to account A."""
    return ("a9| SUB t.> 1", *steps, f"a9| FRAMES {4 + count}")


def of_b(count: int, *steps: str) -> tuple[str, ...]:
    return ("b9| SUB t.> 1", *steps, f"b9| FRAMES {4 + count}")


TABLE = {
    "delivered": of_a(1, "a| SUB new 1; SUB new q 2", f"a| HPUB new {DEST} =x"),
    "only traced": of_a(1, "a| SUB new 1; SUB new q 2", f"a| HPUB new {ONLY} =x", "a| PUB new =y"),
    "what only is": of_a(
        6, "a| SUB x 1", *(f"a| HPUB x {DEST} Nats-Trace-Only:{value} =x" for value in ("1", "On", "TRUE", "yes", "0", "false"))
    ),
    "only, written otherwise": of_a(1, "a| SUB x 1", f"a| HPUB x {DEST} nats-trace-only:true =x"),
    "only, and no place": ("a| SUB x 1; HPUB x Nats-Trace-Only:true =x",),
    "nobody": of_a(2, f"a| HPUB nobody {DEST} =x; HPUB nobody {ONLY} =x"),
    "nobody, of a request": of_a(2, "a| SUB in 1", f"a| HPUB nobody in {DEST} =x; HPUB nobody in {ONLY} =x"),
    "somebody, of a request": of_a(2, "a| SUB in 1; SUB svc 2", f"a| HPUB svc in {DEST} =x", f"a| HPUB svc in {ONLY} =x"),
    "a mapping": of_a(2, "a| SUB > 1; UNSUB 1; SUB new 2", f"a| HPUB old {DEST} =x; HPUB old {ONLY} =x"),
    "a mapping that loses it": of_a(1, f"a| HPUB lost {DEST} =x"),
    "a queue group": of_a(2, "a| SUB x q 1; SUB x r 2", f"a| HPUB x {DEST} =x; HPUB x {ONLY} =x"),
    "no echo": of_a(1, "a2| SUB x 1; SUB x q 2", f"a2| HPUB x {DEST} =x"),
    "no echo, only": of_a(1, "a2| SUB x 1", f"a2| HPUB x {ONLY} =x"),
    "verbose": of_a(1, f"a3| HPUB x {ONLY} =x; PUB y =y"),
    "a number that is not used up": of_a(2, "a| SUB x 1; UNSUB 1 1", f"a| HPUB x {ONLY} =x", f"a| HPUB x {DEST} =x", "a| PUB x =y"),
    "one who has no headers": of_a(1, "a4| SUB x 1", f"a| HPUB x {DEST} =x"),
    "denied": of_b(2, f"b| HPUB no {DEST} =x; HPUB no {ONLY} =x", "b| "),
    "denied to the subscriber": of_b(2, "b| SUB den.* 1; SUB *.a q 2", f"b| HPUB den.a {DEST} =x", f"b| HPUB den.a {ONLY} =x", "b| "),
    "denied to one of a group": of_b(1, "b| SUB quie* 1; SUB * q 2", f"b| HPUB quiet {DEST} =x"),
    "a reserved subject": of_b(2, f"b| HPUB $NRG.x {DEST} =x; HPUB _GR_.x {DEST} =x", "b| "),
    "a reserved reply": of_b(1, f"b| HPUB x _R_.y {DEST} =x", "b| "),
    "denied to hear of it": ("b| SUB x 1; HPUB x Nats-Trace-Dest:secret =x; PUB x =y",),
    "denied to hear of it, verbose": ("b3| SUB x 1", "b3| HPUB x Nats-Trace-Dest:secret =x; PUB x =y"),
    "reserved to hear of it": ("b| SUB x 1; HPUB x Nats-Trace-Dest:$NRG.a =x; HPUB x Nats-Trace-Dest:_GR_.a =x; PUB x =y",),
    "no subject": ("b| SUB x 1; " + "; ".join(f"HPUB x Nats-Trace-Dest:{dest} =x" for dest in ("a.*", "a..b", ">", "a.", ".a")),),
    "no subject, only": ("b| SUB x 1; HPUB x Nats-Trace-Dest:a.* Nats-Trace-Only:on =x; PUB x =y",),
    "answers only": ("a| SUB x 1", "r| SUB x 2; HPUB x Nats-Trace-Dest:in =x", "a| PUB x in =q", "r| HPUB in Nats-Trace-Dest:in =x", "a| "),
    "an account named": of_b(0, "b| SUB x 1", f"b| HPUB x {DEST} Nats-Trace-Origin-Account:A =x", "b| "),
    "an account named, only": of_b(0, "b| SUB x 1", f"b| HPUB x {ONLY} Nats-Trace-Origin-Account:A =x; PUB x =y"),
    "disabled": of_a(0, f"a| SUB x 1; RAW {'HPUB x 47 48'}\\r\\nNATS/1.0\\r\\nNats-Trace-Dest: trace disabled\\r\\n\\r\\n\\r\\nx\\r\\n"),
    "other headers": of_a(1, f"a| HPUB x B:2 {DEST} a:1 B:<&> A:1 Nats-Trace-Hop:1.2 b:ü =x"),
    "no text": of_a(1, 'a| RAW HPUB x 40 42\\r\\nNATS/1.0\\r\\nA: \t"\\ \\r\\n: x\\r\\nb:\\r\\nNats-Trace-Dest:\tt.1 \\r\\n\\r\\nxy\\r\\n'),
    "twice": of_a(1, f"a| HPUB x {DEST} Nats-Trace-Dest:t.2 =x"),
    "written otherwise": of_a(0, "a| SUB x 1; HPUB x nats-trace-dest:t.1 =x"),
    "with a status": of_a(0, f"a| SUB x 1; RAW HPUB x 39 39\\r\\nNATS/1.0 503\\r\\n{DEST}\\r\\n\\r\\n\\r\\n\\r\\n"),
    "a line without a colon": of_a(0, f"a| SUB x 1; RAW HPUB x 41 42\\r\\nNATS/1.0\\r\\nabcdef\\r\\n{DEST}\\r\\n\\r\\nx\\r\\n"),
    "traceparent": of_a(1, "a| SUB x 1", f"a| HPUB x {PARENT} =x"),
    "traceparent of many forms": of_a(
        6,
        "a| "
        + "; ".join(f"HPUB x TraceParent:{value} =x" for value in ("a-b-c-01", "a-b-c-03", "a-b-c-0f", "---7F", "a-b-c-+1", "a-b-c-1b")),
        "a| "
        + "; ".join(
            f"HPUB x traceparent:{value} =x"
            for value in (
                "a-b-c-00",
                "a-b-c-02",
                "a-b-c-1",
                "a-b-c-001",
                "a-b-c-xx",
                "a-b-01",
                "a-b-c-d-01",
                "a-b-c-ff",
                "a-b-c-0x",
                "a-b-c-_1",
            )
        ),
    ),
    "traceparent, only": of_a(1, "a| SUB x 1", f"a| HPUB x {PARENT} Nats-Trace-Only:true =x"),
    "traceparent and a place": of_a(1, "a| SUB x 1", f"a| HPUB x {PARENT} {DEST} =x"),
    "traceparent where nobody wants it": ("b| SUB x 1; HPUB x " + PARENT + " =x",),
    "an import of a stream": of_a(
        2, "b| SUB imp.st.> 1; SUB imp.st.x 2; SUB * q 4; SUB *.*.x q 3", f"a| HPUB st.x {DEST} =x", f"a| HPUB st.x {ONLY} =x", "b| "
    ),
    "an import of a stream that is not traced": of_a(
        2, "c| SUB st.x 1; SUB st.* q 2", f"a| HPUB st.x {DEST} =x", f"a| HPUB st.x {ONLY} =x", "c| "
    ),
    "an import of a stream, no echo": of_a(1, "b2| SUB imp.> 1", f"a2| SUB st.x 1; HPUB st.x {DEST} =x", "b2| "),
    "a service": of_b(1, "a| SUB open 1", "b| SUB in 1", f"b| HPUB mine in {DEST} =x", "a| ANS =y", "b| "),
    "a service, only": of_b(1, "a| SUB open 1", "b| SUB in 1", f"b| HPUB mine in {ONLY} =x", "a| ", "b| "),
    "a service without a reply": of_b(2, "a| SUB open 1", f"b| HPUB mine {DEST} =x", f"b| HPUB mine {ONLY} =x", "a| "),
    "a service that nobody is": of_b(2, "b| SUB in 1", f"b| HPUB mine in {DEST} =x", f"b| HPUB mine in {ONLY} =x", "b| "),
    "a service that is not traced": of_b(1, "a| SUB closed 1", "b| SUB in 1", f"b| HPUB closed in {DEST} =x", "a| ANS =y", "b| "),
    "a service that is not traced, only": of_b(1, "a| SUB closed 1", "b| SUB in 1", f"b| HPUB closed in {ONLY} =x", "a| ", "b| "),
    "a service by another name": of_b(1, "a| SUB wild.* 1", "b| SUB in 1", f"b| HPUB tame in {DEST} =x", "a| ANS =y", "b| "),
    "a service that is mapped": of_b(1, "a| SUB there 1", "b| SUB in 1", f"b| HPUB moved in {DEST} =x", "a| ANS =y", "b| "),
    "a service of a service": of_b(
        2, "c| SUB deep 1", "b| SUB in 1", f"b| HPUB far in {DEST} =x", f"b| HPUB far in {ONLY} =x", "c| ANS =y", "b| "
    ),
    "an answer": of_a(1, "a| SUB open 1", "b| SUB in 1; PUB mine in =x", f"a| HANS {DEST} =y", "b| "),
    "an answer, only": of_a(1, "a| SUB open 1", "b| SUB in 1; PUB mine in =x", f"a| HANS {ONLY} =y", "a| ANS =y", "b| "),
    "an answer to one in one's own": of_a(1, "a| SUB in 1; SUB svc 2; PUB svc in =x", f"a| HPUB in {DEST} =y"),
    "an answer with the request's headers": of_a(
        0, "a| SUB open 1", "b| SUB in 1", f"b| HPUB mine in {DEST} =x", "a| HANS Nats-Trace-Dest:_R_.a.b =y", "b| "
    ),
    "compressed by gzip": of_a(1, f"a| HPUB x {DEST} Accept-Encoding:br,GZip =x"),
    "compressed by snappy": of_a(2, f"a| HPUB x {DEST} Accept-Encoding:gzip,Snappy =x; HPUB x {DEST} Accept-Encoding:s2 =x"),
    "compressed by nobody": of_a(1, f"a| HPUB x {DEST} Accept-Encoding:br =x"),
    "too large": of_a(1, "a5| RAW HPUB x y 33 2000000\\r\\nNATS/1.0\\r\\nNats-Trace-Dest:t.1\\r\\n\\r\\n"),
    "too large, only": of_a(1, "a5| RAW hpub x\t57 2000000\\r\\nNATS/1.0\\r\\nNats-Trace-Dest:t.1\\r\\nNats-Trace-Only:true\\r\\n\\r\\n"),
    "too large, not traced": of_a(0, "a5| RAW PUB x 2000000\\r\\nNATS/1.0\\r\\nNats-Trace-Dest:t.1\\r\\n\\r\\n"),
    "too large, denied": of_b(0, "b5| RAW HPUB x 36 2000000\\r\\nNATS/1.0\\r\\nNats-Trace-Dest:secret\\r\\n\\r\\n"),
}
TRACE_CASES = [Case("traces", title, steps, NAMED | {"a4": {"headers": False, "no_responders": False}}) for title, steps in TABLE.items()]
