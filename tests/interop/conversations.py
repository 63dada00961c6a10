r"""Raw conversations with a server, as data: what to send on which connection, and when to wait for an answer.

What must come back is not written here: a conversation is played against nats-server and against ours, and both must say the
same (see `transcript.py` for the player and what it levels). So an entry only has to be deterministic: every connection ends with
a step that waits, messages that cross connections are waited for, and subjects are not shared where the late unsubscribe of an
earlier conversation could be seen (no responders, queue groups).

nats-server cuts its input where a read of the socket happened to end, and a carriage return inside a line means different things
on both sides of such a cut; entries with one therefore fit, with all that goes before, in one write of less than 512 bytes.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Options:
    """What the server is started with; None leaves its default. Times in seconds."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    max_payload: int | None = None
    max_control_line: int | None = None
    max_subscriptions: int | None = None
    max_connections: int | None = None
    ping_interval: float | None = None
    ping_max: int | None = None
    auth_timeout: float | None = None


class Step(NamedTuple):
    """One move: its verb, the connection it is about, bytes to send, and a number whose meaning depends on the verb."""

    verb: str
    connection: int
    data: bytes = b""
    number: int = 0


def connect(n: int) -> Step:
    """Open connection n and wait for the server's first line."""
    return Step("connect", n)


def send(n: int, data: bytes, piece: int = 0) -> Step:
    """Send data, in pieces of that many bytes unless 0."""
    return Step("send", n, data, piece)


def sync(n: int, data: bytes = b"", pongs: int = 1) -> Step:
    """Send data and a PING, and wait for that many PONGs (more than one if data asks too) or for the end of the stream."""
    return Step("sync", n, data + b"PING\r\n", pongs)


def frames(n: int, count: int) -> Step:
    """Wait until connection n got that many protocol lines since it was opened; its first INFO is one."""
    return Step("frames", n, b"", count)


def eof(n: int) -> Step:
    """Half-close and read to the end of the stream."""
    return Step("eof", n)


def wait_close(n: int) -> Step:
    """Wait for the server to close."""
    return Step("wait_close", n)


@dataclass(frozen=True)
class Conversation:
    """A named list of steps and the options of the server it needs."""

    name: str
    steps: tuple[Step, ...]
    options: Options = field(default_factory=Options)


def connect_line(**fields: Any) -> bytes:
    """A CONNECT that is neither verbose nor pedantic unless the fields say so."""
    return b"CONNECT " + json.dumps({"verbose": False, "pedantic": False} | fields).encode() + b"\r\n"


def hello(n: int, **fields: Any) -> list[Step]:
    """Open connection n and send its CONNECT."""
    return [connect(n), send(n, connect_line(**fields))]


def ready(n: int, data: bytes, **fields: Any) -> list[Step]:
    """Open connection n, send its CONNECT and data, and wait until both are done."""
    return [*hello(n, **fields), sync(n, data)]


def talk(name: str, *parts: Step | Iterable[Step], **options: Any) -> Conversation:
    """A conversation of steps and lists of steps; the keywords are options of the server."""
    steps = [step for part in parts for step in ([part] if isinstance(part, Step) else part)]
    return Conversation(name, tuple(steps), Options(**options))


def alone(family: str, greeting: bytes, cases: dict[str, bytes], **options: Any) -> list[Conversation]:
    """For each case a conversation on one connection: greeting and case in a single write, then a PING."""
    return [talk(f"{family}: {name}", connect(1), send(1, greeting + case), sync(1), **options) for name, case in cases.items()]


def each(name: str, greeting: bytes, cases: Iterable[bytes], **options: Any) -> Conversation:
    """One conversation that plays every case on a connection of its own, one after the other."""
    parts = [[connect(n), send(n, greeting + case), sync(n), eof(n)] for n, case in enumerate(cases, 1)]
    return talk(name, *parts, **options)


def pub(subject: bytes, payload: bytes = b"", reply: bytes = b"") -> bytes:
    """A PUB of that message."""
    return b"PUB %s %s%d\r\n%s\r\n" % (subject, reply and reply + b" ", len(payload), payload)


def hpub(subject: bytes, header: bytes, payload: bytes = b"", reply: bytes = b"") -> bytes:
    """A HPUB of that message; the header is sent as it stands."""
    sizes = b"%d %d" % (len(header), len(header) + len(payload))
    return b"HPUB %s %s%s\r\n%s%s\r\n" % (subject, reply and reply + b" ", sizes, header, payload)


def split_everywhere(stream: bytes) -> Iterator[Step]:
    """The stream once for every place to cut it in two; connection 2 makes a round trip between the halves."""
    for cut in range(1, len(stream)):
        yield from (send(1, stream[:cut]), sync(2), send(1, stream[cut:]), sync(1))


QUIET = connect_line()
VERBOSE = connect_line(verbose=True)
PEDANTIC = connect_line(verbose=True, pedantic=True)
HEADERS = connect_line(headers=True)
HEAR_ALL = b"SUB > 1\r\n"
HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"
PROTOCOL_TEXT = b"PING\r\nPUB a 1\r\nx\r\nMSG a 1 1\r\n-ERR 'no'\r\nCONNECT {\r\n"

LIFE = [
    talk("life: nothing but the end", connect(1), eof(1)),
    talk("life: CONNECT and PING", hello(1), sync(1), sync(1), eof(1)),
    talk("life: first PING tells the account", hello(1, protocol=1), sync(1), sync(1), eof(1)),
    talk("life: first PING after the second CONNECT", hello(1, protocol=0), sync(1), send(1, connect_line(protocol=1)), sync(1), eof(1)),
    talk("life: PING before CONNECT", connect(1), sync(1), send(1, connect_line(protocol=1)), sync(1), sync(1), eof(1)),
    talk("life: CONNECT twice before the first PING", hello(1), send(1, connect_line(protocol=1)), sync(1), eof(1)),
    talk("life: three PINGs in one write", hello(1, protocol=1), sync(1, b"PING\r\n" * 2, 3), eof(1)),
    talk("life: publish and subscribe without CONNECT", connect(1), send(1, b"SUB a 1\r\n" + pub(b"a", b"hi")), sync(1)),
    talk("life: subscribe without CONNECT, publish from another", connect(1), sync(1, b"SUB a 1\r\n"), hello(2),
         send(2, pub(b"a", b"hi", b"a.long.enough.reply.subject")), sync(2), sync(1)),
    talk("life: pedantic without CONNECT", connect(1), sync(1, b"SUB > 1\r\nPUB a.* 0\r\n\r\n")),
    talk("life: headers without CONNECT", connect(1), sync(1, hpub(b"a", HEADER))),
    talk("life: end in the middle of a verb", hello(1), sync(1), send(1, b"PU"), eof(1)),
    talk("life: end in the middle of a payload", ready(1, b"SUB > 1\r\n"), send(1, b"PUB a 10\r\n12345"), eof(1)),
    talk("life: end right after a publish", ready(1, b"SUB a 1\r\n"), hello(2), send(2, pub(b"a", b"last words")), eof(2),
         sync(1)),
    talk("life: end with PONGs still to come", hello(1), send(1, b"PING\r\n" * 20), eof(1)),
    talk("life: second CONNECT drops the subscriptions", hello(1), send(1, b"SUB a 1\r\n"), sync(1),
         send(1, QUIET + pub(b"a", b"lost") + b"SUB a 1\r\n" + pub(b"a", b"found")), sync(1)),
    talk("life: second CONNECT keeps what it does not name", hello(1, echo=False, headers=True, no_responders=True), sync(1),
         send(1, b"CONNECT {}\r\nSUB life.in 1\r\n" + pub(b"life.in", b"own") + pub(b"life.nobody", b"", b"life.in")), sync(1),
         send(1, b'CONNECT {"echo":true}\r\nSUB life.in 1\r\n' + pub(b"life.in", b"own")), sync(1)),
    talk("life: second CONNECT turns verbose on and off", hello(1, verbose=True), send(1, VERBOSE + QUIET + b"SUB a 1\r\n" + VERBOSE),
         sync(1)),
    talk("life: second CONNECT that does not parse", hello(1), sync(1), send(1, b"CONNECT {\r\n"), sync(1)),
    talk("life: garbage of one connection leaves the others alone", ready(1, b"SUB a 1\r\n"), hello(2), send(2, b"GARBAGE\r\n"),
         wait_close(2), sync(1, pub(b"a", b"fine"))),
    talk("life: what came before the garbage is done", ready(1, b"SUB a 1\r\n"), hello(2),
         send(2, b"SUB b 7\r\n" + pub(b"a", b"1") + pub(b"b", b"2") + b"PING\r\nX" + pub(b"a", b"never")), wait_close(2), sync(1)),
]  # fmt: skip

PUBLISH = [
    talk("publish: one to one", ready(1, b"SUB foo 1\r\n"), hello(2),
         send(2, pub(b"foo", b"hello") + pub(b"bar", b"no")), sync(2), sync(1)),
    talk("publish: with reply", ready(1, b"SUB foo 1\r\n"), hello(2), send(2, pub(b"foo", b"hello", b"_INBOX.1")), sync(2), sync(1)),
    talk("publish: request and reply", ready(1, b"SUB service 1\r\n"), hello(2), send(2, b"SUB in.* 9\r\n"),
         sync(2, pub(b"service", b"ask", b"in.7")), sync(1, pub(b"in.7", b"answer")), sync(2)),
    talk("publish: fan-out to four", [step for n in (1, 2, 3, 4) for step in ready(n, b"SUB fan s%d\r\n" % n)],
         sync(1, b"".join(pub(b"fan", b"%d" % i) for i in range(20))), sync(2), sync(3), sync(4)),
    talk("publish: several subscriptions of one connection", ready(1, b"SUB a 1\r\nSUB a 2\r\nSUB a 3\r\n"), hello(2),
         sync(2, pub(b"a", b"x") + pub(b"a", b"y")), sync(1)),
    talk("publish: wildcards on their own connections",
         [step for n, subject in enumerate((b"*", b"a.*", b"*.b", b"a.>", b">", b"a.b.c", b"*.*.*", b"a.*.c"), 1)
          for step in ready(n, b"SUB %s %d\r\n" % (subject, n))],
         hello(9), sync(9, b"".join(pub(subject, subject) for subject in (b"a", b"a.b", b"a.b.c", b"a.b.c.d", b"b.b"))),
         [sync(n) for n in range(1, 9)]),
    talk("publish: overlapping wildcards on one connection", ready(1, b"SUB a.b 1\r\nSUB a.* 2\r\nSUB a.> 3\r\nSUB > 4\r\n"),
         hello(2), sync(2, pub(b"a.b", b"x")), sync(1)),
    talk("publish: wildcard tokens inside words are literal", hello(1), send(1, b"SUB a*.b 1\r\nSUB a.b> 2\r\nSUB ** 3\r\nSUB >> 4\r\n"),
         sync(1, b"".join(pub(subject, b"x") for subject in (b"a*.b", b"ax.b", b"a.b>", b"a.bx", b"**", b"aa", b">>")))),
    talk("publish: to wildcard subjects", hello(1), send(1, b"SUB foo.* 1\r\nSUB foo.> 2\r\nSUB foo.bar 3\r\nSUB > 4\r\n"),
         sync(1, pub(b"foo.*", b"star") + pub(b"foo.>", b"more") + pub(b"*", b"one") + pub(b">", b"all"))),
    talk("publish: subjects differ in case", hello(1), sync(1, b"SUB Foo 1\r\nSUB foo 2\r\n" + pub(b"foo", b"x") + pub(b"FOO", b"y"))),
    talk("publish: binary subjects", hello(1), send(1, b"SUB \xff\xfe.* \xff\r\nSUB \x00\x01 2\r\n"),
         sync(1, pub(b"\xff\xfe.\x80", b"\xff\x00") + pub(b"\x00\x01", b"", b"\xc3\x28"))),
    talk("publish: unicode subjects", hello(1), sync(1, "SUB grüße.* 1\r\nPUB grüße.welt 2\r\nok\r\n".encode())),
    talk("publish: a subject of 40 tokens and one of 3000 bytes", hello(1),
         send(1, b"SUB " + b"t." * 39 + b"> 1\r\nSUB " + b"x" * 3000 + b" 2\r\n"),
         sync(1, pub(b"t." * 39 + b"t", b"deep") + pub(b"t." * 38 + b"t", b"less") + pub(b"x" * 3000, b"long"))),
    talk("publish: binary payload and protocol text", ready(1, b"SUB a 1\r\n"), hello(2),
         sync(2, pub(b"a", PROTOCOL_TEXT) + pub(b"a", b"\r\n") + pub(b"a", bytes(range(256))) + pub(b"a", b"\r\n\r\n")), sync(1)),
    talk("publish: empty payloads", hello(1), sync(1, b"SUB a 1\r\n" + pub(b"a") * 3 + pub(b"a", b"", b"r"))),
    talk("publish: a mebibyte, just allowed", ready(1, b"SUB big 1\r\n"), hello(2),
         sync(2, pub(b"big", bytes(range(256)) * 4096)), sync(1)),
    talk("publish: a mebibyte in pieces of 10007", ready(1, b"SUB big 1\r\n"), hello(2),
         send(2, pub(b"big", b"0123456789abcdef" * 65536), 10007), sync(2), sync(1)),
    talk("publish: growing payloads", ready(1, b"SUB grow 1\r\n"), hello(2),
         sync(2, b"".join(pub(b"grow", b"x" * size) for size in (1, 30, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 70000))), sync(1)),
    talk("publish: two thousand messages in one write", ready(1, b"SUB many 1\r\n"), hello(2),
         sync(2, b"".join(pub(b"many", b"%d" % i) for i in range(2000))), sync(1)),
    talk("publish: three thousand subjects, twice", ready(1, b"SUB cache.* 1\r\n"), hello(2),
         sync(2, b"".join(pub(b"cache.%d" % i) for i in range(3000)) * 2), sync(1)),
    talk("publish: two thousand subscriptions", ready(1, b"".join(b"SUB own.%d %d\r\n" % (i, i) for i in range(2000))), hello(2),
         sync(2, b"".join(pub(b"own.%d" % i) for i in range(2000))), sync(1, b"".join(b"UNSUB %d\r\n" % i for i in range(0, 2000, 2))),
         sync(2, b"".join(pub(b"own.%d" % i) for i in range(2000))), sync(1)),
    talk("publish: subscriptions come and go between messages", hello(1), hello(2),
         [step for change in (b"SUB go.a 1\r\n", b"SUB go.* 2\r\n", b"SUB go.> q 3\r\n", b"SUB go.b 4\r\n", b"UNSUB 1\r\n",
                              b"SUB *.a r 5\r\n", b"UNSUB 2\r\n", b"UNSUB 3\r\n", b"SUB go.a 1\r\n", b"UNSUB 5\r\nUNSUB 1\r\n",
                              b"UNSUB 4\r\n", b"SUB go.a 1\r\n")
          for step in (sync(1, change), sync(2, pub(b"go.a", change)), sync(2, pub(b"go.b", change)))], sync(1)),
    talk("publish: eight mebibytes to one who does not read yet", ready(1, b"SUB wait 1\r\n"), hello(2),
         sync(2, pub(b"wait", b"0123456789abcdef" * 65536) * 8), sync(1)),
    talk("publish: twenty-four mebibytes to oneself before reading", ready(1, b"SUB self 1\r\n"),
         send(1, pub(b"self", b"0123456789abcdef" * 65536) * 24), sync(1)),
    talk("publish: every kind of line in one write", hello(1, headers=True, protocol=1),
         sync(1, b"PING\r\nSUB a 1\r\nSUB b q 2\r\n" + pub(b"a", b"1") + hpub(b"a", HEADER, b"2") + pub(b"b", b"3", b"r")
              + b"PONG\r\n+OK\r\nUNSUB 1 3\r\nINFO {}\r\n" + pub(b"a", b"4") + pub(b"a", b"5") + b"UNSUB 2\r\n" + pub(b"b", b"6")
              + b"PING\r\n", 3), eof(1)),
    talk("publish: two publishers take turns", ready(1, b"SUB turn 1\r\n"), hello(2), hello(3),
         [sync(2 + i % 2, pub(b"turn", b"%d" % i)) for i in range(10)], sync(1)),
    talk("publish: echo off", ready(1, b"SUB echo 1\r\n", echo=False), ready(2, b"SUB echo 2\r\n"),
         sync(1, pub(b"echo", b"mine")), sync(2, pub(b"echo", b"yours")), sync(1)),
    talk("publish: verbose says OK before the message", hello(1, verbose=True),
         sync(1, b"SUB a 1\r\n" + pub(b"a", b"hi") + b"UNSUB 1\r\nUNSUB 1\r\n" + pub(b"a", b"hi"))),
    talk("publish: verbose with headers", hello(1, verbose=True, headers=True), sync(1, b"SUB a 1\r\n" + hpub(b"a", HEADER, b"hi"))),
    talk("publish: verbose says nothing to PONG, OK and INFO", ready(1, b"PONG\r\n+OK\r\nINFO {}\r\n", verbose=True)),
    talk("publish: split everywhere", hello(1, headers=True), hello(2), sync(1, b"SUB cut 0\r\n"),
         split_everywhere(b"SUB cut 9\r\n" + pub(b"cut", b"ab", b"re") + hpub(b"cut", HEADER, b"xy") + b"UNSUB 9\r\n" + pub(b"cut"))),
    talk("publish: split everywhere, verbose and line feeds", hello(1, verbose=True), hello(2),
         split_everywhere(b"sub cut2 9\nPUB\tcut2   re\t 2 \nab\r\nUNSUB 9  1\nPub cut2 0\n\r\n")),
    talk("publish: one byte at a time", hello(1, headers=True), sync(1),
         send(1, b"SUB byte 9\r\n" + pub(b"byte", PROTOCOL_TEXT, b"re") + hpub(b"byte", HEADER, b"xy") + b"UNSUB 9\r\n" + pub(b"byte"), 1),
         sync(1)),
    talk("publish: CONNECT one byte at a time", connect(1), send(1, connect_line(protocol=1, name="slow"), 1), sync(1), eof(1)),
    talk("publish: a carriage return alone in a write", hello(1), hello(2), sync(1, b"SUB > 1\r\n"), send(1, b"PUB cr 2\r"), sync(2),
         send(1, b"\n"), sync(2), send(1, b"hi\r"), sync(2), send(1, b"\nPING\r"), sync(2), sync(1, b"\n", 2)),
    talk("publish: payload in pieces of one byte", ready(1, b"SUB drip 1\r\n"), send(1, pub(b"drip", b"y" * 5000), 1), sync(1)),
]  # fmt: skip

SUBJECTS = (
    b"",
    b".",
    b"..",
    b".a",
    b"a.",
    b"a..b",
    b"a.b.",
    b"*",
    b">",
    b"a.*",
    b"a.>",
    b"*.b",
    b"a.>.b",
    b"a*",
    b"*a",
    b"a>",
    b"\xff",
    b"a.\x00",
)
OPERATIONS = [
    *alone("subjects", VERBOSE, {
        "subscribe to each kind": b"".join(b"SUB %s s%d\r\n" % (subject, n) for n, subject in enumerate(SUBJECTS) if subject),
        "subscribe as a queue to each kind": b"".join(b"SUB %s q s%d\r\n" % (subject, n) for n, subject in enumerate(SUBJECTS) if subject),
        "publish to each kind": HEAR_ALL + b"".join(pub(subject, subject) for subject in SUBJECTS if subject),
        "reply to each kind": HEAR_ALL + b"".join(pub(b"a", b"x", subject) for subject in SUBJECTS),
        "a bad one under a used sid": b"SUB a 1\r\nSUB a..b 1\r\n" + pub(b"a", b"x"),
        "a used sid after a bad one": b"SUB a..b 1\r\nSUB a 1\r\n" + pub(b"a", b"x"),
        "more after a full wildcard": b"SUB >.> 1\r\nSUB a.>.> 2\r\nSUB >.a 3\r\nSUB a.>. 4\r\n",
    }),
    *alone("pedantic", PEDANTIC, {
        "publish to each kind": b"SUB > 1\r\n" + b"".join(pub(subject) for subject in SUBJECTS if subject not in (b"", b"a.\x00")),
        "publish with headers": connect_line(verbose=True, pedantic=True, headers=True) + HEAR_ALL
            + hpub(b"a.*", HEADER) + hpub(b"a", HEADER),
        "reply to each kind": HEAR_ALL + b"".join(pub(b"a", b"x", subject) for subject in SUBJECTS),
        "subscribe to each kind": b"".join(b"SUB %s s%d\r\n" % (subject, n) for n, subject in enumerate(SUBJECTS) if subject),
        "garbage after PING": b"PING garbage\r\n",
        "too large": b"PUB a.* 2000000\r\n",
    }),
    *alone("subscribe", VERBOSE, {
        "no argument": b"SUB \r\n",
        "no space": b"SUB\r\n",
        "one argument": b"SUB a\r\n",
        "four arguments": b"SUB a b c d\r\n",
        "tabs and spaces": b"SUB\t a \t\t 1 \t\r\n" + pub(b"a", b"x"),
        "duplicate sid": b"SUB a 1\r\nSUB b 1\r\n" + pub(b"a", b"x") + pub(b"b", b"y"),
        "duplicate sid with a queue": b"SUB a 1\r\nSUB a q 1\r\n" + pub(b"a", b"x"),
        "sid used again after UNSUB": b"SUB a 1\r\nUNSUB 1\r\nSUB b 1\r\n" + pub(b"a", b"x") + pub(b"b", b"y"),
        "weird sids": b"".join(b"SUB a%d %s\r\n" % (n, sid) + pub(b"a%d" % n)
                               for n, sid in enumerate((b"0", b"-1", b"abc-def", b"\xff\x00", b'"', b"*"))),
        "same sid with and without zero": b"SUB a 1\r\nSUB a 01\r\n" + pub(b"a", b"x") + b"UNSUB 01\r\n" + pub(b"a", b"y"),
        "a sid of 400 bytes": b"SUB a " + b"s" * 400 + b"\r\n" + pub(b"a", b"x"),
        "system queue": b"SUB a _sys_ 1\r\nSUB b.> _sys_ 2\r\nSUB a _sys_x 3\r\n" + pub(b"a", b"x"),
        "system queue on a bad and a binary subject": b'SUB a..b _sys_ 1\r\nSUB \xff"\\\x01\xc3\xa9 _sys_ 2\r\n',
        "queue that looks like a wildcard": b"SUB a > 1\r\n" + pub(b"a", b"x") + b"SUB b * 2\r\nSUB c .. 3\r\n" + pub(b"c", b"y"),
        "reserved subjects": b"SUB $JS.ACK.> 1\r\nSUB _R_.> 2\r\nSUB _GR_.> 3\r\nSUB $NRG.> 4\r\n",
    }),
    *alone("unsubscribe", VERBOSE + b"SUB a 1\r\n", {
        "unknown sid": b"UNSUB 99\r\nUNSUB 99 3\r\n" + pub(b"a", b"x"),
        "no argument": b"UNSUB \r\n",
        "no space": b"UNSUB\r\n",
        "three arguments": b"UNSUB 1 2 3\r\n",
        "limit of two": b"UNSUB 1 2\r\n" + pub(b"a", b"1") + pub(b"a", b"2") + pub(b"a", b"3"),
        "limit of zero": b"UNSUB 1 0\r\n" + pub(b"a", b"x"),
        "limit below what came": pub(b"a", b"1") * 3 + b"UNSUB 1 2\r\n" + pub(b"a", b"x"),
        "limit equal to what came": pub(b"a", b"1") * 2 + b"UNSUB 1 2\r\n" + pub(b"a", b"x"),
        "limit one above what came": pub(b"a", b"1") * 2 + b"UNSUB 1 3\r\n" + pub(b"a", b"2") + pub(b"a", b"x"),
        "limit that is no number": b"UNSUB 1 abc\r\n" + pub(b"a", b"x"),
        "negative limit": b"UNSUB 1 -5\r\n" + pub(b"a", b"x"),
        "limit with a plus sign": b"UNSUB 1 +5\r\n" + pub(b"a", b"x"),
        "limit of ten digits": b"UNSUB 1 1000000000\r\n" + pub(b"a", b"x"),
        "limit of nine digits": b"UNSUB 1 999999999\r\n" + pub(b"a", b"x"),
        "limit with zeros in front": b"UNSUB 1 0002\r\n" + pub(b"a", b"1") + pub(b"a", b"2") + pub(b"a", b"x"),
        "limit raised": b"UNSUB 1 1\r\nUNSUB 1 2\r\n" + pub(b"a", b"1") + pub(b"a", b"2") + pub(b"a", b"x"),
        "limit lifted by none": b"UNSUB 1 2\r\n" + pub(b"a", b"1") + b"UNSUB 1\r\n" + pub(b"a", b"x"),
        "limit, then the same sid again": b"UNSUB 1 1\r\n" + pub(b"a", b"1") + b"SUB b 1\r\n" + pub(b"b", b"2")
            + pub(b"b", b"3") + pub(b"a", b"x"),
        "limit, same sid too early": b"UNSUB 1 2\r\nSUB b 1\r\n" + pub(b"b", b"x") + pub(b"a", b"1") + pub(b"a", b"2") + pub(b"a", b"x"),
        "sid is not trimmed of zeros": b"UNSUB 01\r\n" + pub(b"a", b"x"),
    }),
    talk("unsubscribe: limits count for each connection",
         [step for n in (1, 2, 3) for step in ready(n, b"SUB lim 1\r\nUNSUB 1 %d\r\n" % n)],
         hello(4), sync(4, b"".join(pub(b"lim", b"%d" % n) for n in range(5))), sync(1), sync(2), sync(3)),
    talk("unsubscribe: own messages do not count with echo off", ready(1, b"SUB lim2 1\r\nUNSUB 1 1\r\n", echo=False), hello(2),
         sync(1, pub(b"lim2", b"own")), sync(2, pub(b"lim2", b"1") + pub(b"lim2", b"2")), sync(1)),
    talk("unsubscribe: limit of a queue member", ready(1, b"SUB lim3 q 1\r\nUNSUB 1 2\r\n"), hello(2),
         sync(2, pub(b"lim3", b"1") + pub(b"lim3", b"2") + pub(b"lim3", b"3")), sync(1)),
    talk("queue: one member", ready(1, b"SUB queue.1 q 1\r\n"), hello(2), sync(2, pub(b"queue.1", b"x") * 3), sync(1)),
    talk("queue: each group gets one", ready(1, b"SUB queue.2 blue 1\r\n"), ready(2, b"SUB queue.2 red 2\r\n"), hello(3),
         sync(3, b"SUB queue.2 3\r\n"), sync(3, pub(b"queue.2", b"x") * 2), sync(1), sync(2)),
    talk("queue: member and plain subscription of one connection", ready(1, b"SUB queue.3 q 1\r\nSUB queue.3 2\r\n"), hello(2),
         sync(2, pub(b"queue.3", b"x")), sync(1)),
    talk("queue: the member that is left takes over", ready(1, b"SUB queue.4 q 1\r\n"), ready(2, b"SUB queue.4 q 2\r\n"),
         sync(1, b"UNSUB 1\r\n"), hello(3), sync(3, pub(b"queue.4", b"x") * 3), sync(2), sync(1)),
    talk("queue: the own member is passed over with echo off", ready(1, b"SUB queue.5 q 1\r\n", echo=False), hello(2),
         sync(2, b"SUB queue.5 q 2\r\n"), sync(1, pub(b"queue.5", b"x") * 8), sync(2)),
    talk("queue: groups on overlapping wildcards", ready(1, b"SUB queue6.* q 1\r\n"),
         sync(1, b"SUB queue6.> r 2\r\n" + pub(b"queue6.a", b"x"))),
]  # fmt: skip

HEADER_LINES = [
    *alone("headers", HEADERS + HEAR_ALL, {
        "plain": hpub(b"a", HEADER, b"hello"),
        "with reply": hpub(b"a", HEADER, b"hello", b"re"),
        "no payload": hpub(b"a", HEADER),
        "no header in a HPUB": hpub(b"a", b"", b"hello"),
        "nothing at all": hpub(b"a", b""),
        "no version line": hpub(b"a", b"A: b\r\n\r\n", b"x"),
        "no blank line at the end": hpub(b"a", b"NATS/1.0\r\nA: b\r\n", b"x"),
        "binary header": hpub(b"a", b"\xff\x00\r\n\r", b"x"),
        "status line": hpub(b"a", b"NATS/1.0 503 No one\r\n\r\n"),
        "header longer than all": b"HPUB a 10 5\r\n12345\r\n",
        "negative header": b"HPUB a -1 5\r\n12345\r\n",
        "negative total": b"HPUB a 1 -5\r\n12345\r\n",
        "zeros in front": b"HPUB a 0018 00023\r\n" + HEADER + b"hello\r\n",
        "ten digits": b"HPUB a 0000000018 23\r\n" + HEADER + b"hello\r\n",
        "one argument": b"HPUB a\r\n",
        "one size": b"HPUB a 12\r\n",
        "five arguments": b"HPUB a b c 1 2\r\nab\r\n",
        "no space": b"HPUB\r\n",
        "lower case and tabs": b"hpub\ta\t18\t23\n" + HEADER + b"hello\r\n",
        "too large": b"HPUB a 12 1048577\r\n",
        "payload too long": b"HPUB a 18 20\r\n" + HEADER + b"hello\r\n",
        "wildcard subject": hpub(b"a.*", HEADER, b"x"),
    }),
    *alone("headers not agreed", QUIET + HEAR_ALL, {
        "plain": hpub(b"a", HEADER, b"hello"),
        "line only": b"HPUB a 18 23\r\n",
        "garbage": b"HPUB\r\n",
        "status in a PUB is payload": pub(b"a", HEADER + b"hello"),
    }),
    talk("headers: stripped for one who cannot take them", ready(1, b"SUB hd 1\r\n"), ready(2, b"SUB hd 2\r\n", headers=True),
         sync(2, hpub(b"hd", HEADER, b"hello") + hpub(b"hd", HEADER, b"", b"re") + hpub(b"hd", b"", b"x")
              + b"HPUB hd 018 0019\r\n" + HEADER + b"x\r\n"),
         sync(1)),
    talk("headers: exactly the maximum", ready(1, b"SUB hm 1\r\n", headers=True),
         sync(1, hpub(b"hm", HEADER, b"x" * 1006)), sync(1, hpub(b"hm", b"h" * 1024)), max_payload=1024),
    talk("headers: one over the maximum", hello(1, headers=True), sync(1), send(1, b"HPUB hm 18 1025\r\n"), wait_close(1),
         max_payload=1024),
    talk("headers: a large block in pieces", ready(1, b"SUB hl 1\r\n", headers=True),
         send(1, hpub(b"hl", b"NATS/1.0\r\n" + b"K: v\r\n" * 5000 + b"\r\n", b"z" * 5000), 997), sync(1)),
]  # fmt: skip

REQUESTER = {"headers": True, "no_responders": True}
NO_RESPONDERS = [
    talk("no responders: told", hello(1, **REQUESTER), sync(1, b"SUB nr1.in 9\r\n" + pub(b"nr1.nobody", b"", b"nr1.in"))),
    talk("no responders: wildcard inbox", hello(1, **REQUESTER),
         sync(1, b"SUB nr2.in.* abc\r\n" + pub(b"nr2.nobody", b"ask", b"nr2.in.7"))),
    talk("no responders: no reply subject", hello(1, **REQUESTER), sync(1, b"SUB nr3.in 9\r\n" + pub(b"nr3.nobody", b"ask"))),
    talk("no responders: nobody hears the reply", hello(1, **REQUESTER), sync(1, pub(b"nr4.nobody", b"ask", b"nr4.in"))),
    talk("no responders: only another hears the reply", ready(2, b"SUB nr5.in 2\r\n"), hello(1, **REQUESTER),
         sync(1, pub(b"nr5.nobody", b"ask", b"nr5.in")), sync(2)),
    talk("no responders: the inbox is a queue", hello(1, **REQUESTER), sync(1, b"SUB nr6.in q 9\r\n" + pub(b"nr6.nobody", b"", b"nr6.in"))),
    talk("no responders: not asked for", hello(1, headers=True), sync(1, b"SUB nr7.in 9\r\n" + pub(b"nr7.nobody", b"", b"nr7.in"))),
    talk("no responders: without headers", hello(1, no_responders=True), sync(1)),
    talk("no responders: there is one", hello(1, **REQUESTER), ready(2, b"SUB nr8.service 2\r\n"),
         sync(1, b"SUB nr8.in 9\r\n" + pub(b"nr8.service", b"", b"nr8.in")), sync(2)),
    talk("no responders: only the asker itself, echo on", hello(1, **REQUESTER),
         sync(1, b"SUB nr9.in 9\r\nSUB nr9.service 8\r\n" + pub(b"nr9.service", b"", b"nr9.in"))),
    talk("no responders: only the asker itself, echo off", hello(1, echo=False, **REQUESTER),
         sync(1, b"SUB nr10.in 9\r\nSUB nr10.service 8\r\n" + pub(b"nr10.service", b"", b"nr10.in"))),
    talk("no responders: only the asker's own queue member, echo off", hello(1, echo=False, **REQUESTER),
         sync(1, b"SUB nr11.in 9\r\nSUB nr11.service q 8\r\n" + pub(b"nr11.service", b"", b"nr11.in"))),
    talk("no responders: verbose", hello(1, verbose=True, **REQUESTER),
         sync(1, b"SUB nr12.in 9\r\n" + pub(b"nr12.nobody", b"", b"nr12.in"))),
    talk("no responders: request with headers", hello(1, **REQUESTER),
         sync(1, b"SUB nr13.in 9\r\n" + hpub(b"nr13.nobody", HEADER, b"x", b"nr13.in"))),
    talk("no responders: does not count for a limit", hello(1, **REQUESTER),
         sync(1, b"SUB nr14.in 9\r\nUNSUB 9 1\r\n" + pub(b"nr14.nobody", b"", b"nr14.in") * 2 + pub(b"nr14.in", b"real") * 2)),
    talk("no responders: the responder left", hello(1, **REQUESTER), ready(2, b"SUB nr15.service 2\r\n"), sync(2, b"UNSUB 2\r\n"),
         sync(1, b"SUB nr15.in 9\r\n" + pub(b"nr15.service", b"", b"nr15.in"))),
    talk("no responders: the responder had its limit", hello(1, **REQUESTER), ready(2, b"SUB nr16.service 2\r\nUNSUB 2 1\r\n"),
         sync(1, b"SUB nr16.in 9\r\n" + pub(b"nr16.service", b"1", b"nr16.in") + pub(b"nr16.service", b"2", b"nr16.in")), sync(2)),
    talk("no responders: odd subjects", hello(1, **REQUESTER),
         sync(1, b"SUB nr17.in 9\r\n"
              + b"".join(pub(subject, b"", b"nr17.in") for subject in (b"nr17..x", b".nr17", b"nr17.*", b"nr17.\xff")))),
    talk("no responders: the inbox itself is asked", hello(1, **REQUESTER),
         sync(1, b"SUB nr18.in 9\r\n" + pub(b"nr18.in", b"x", b"nr18.in"))),
]  # fmt: skip

VERBS = (b"CONNECT", b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG", b"INFO", b"+OK", b"-ERR", b"HMSG")
LINES = [
    *alone("lines", QUIET + HEAR_ALL, {
        "lower case": b"pub a 2\r\nhi\r\nunsub 1\r\nsub b 2\r\npub b 2\r\nho\r\nping\r\n",
        "mixed case": b"pUb a 2\r\nhi\r\nUnSuB 1\r\nsUb b 2\r\nPuB b 2\r\nho\r\npInG\r\npOnG\r\n",
        "tabs": b"PUB\ta\t2\r\nhi\r\nPUB \t a\t \t2\t\r\nhi\r\n",
        "line feeds only": b"PUB a 2\nhi\r\nPING\nPUB a re 0\n\r\n",
        "payload ends with a line feed only": b"PUB a 2\r\nhi\n",
        "payload ends with two carriage returns": b"PUB a 2\r\nhi\r\r\n",
        "spaces at the end": b"PUB a 2   \r\nhi\r\nPUB a r 2\t\r\nhi\r\n",
        "space at the start": b" PUB a 2\r\nhi\r\n",
        "empty line": b"\r\n",
        "line feed alone": b"\n",
        "carriage return before the line feed twice": b"PING\r\r\nSUB b 2\r\r\nPUB b 1\r\nx\r\nUNSUB 2\r\r\nPUB b 1\r\ny\r\n",
        "carriage return twice after a size": b"PUB a 2\r\r\nhi\r\n",
        "carriage return inside a publish subject": b"PUB a\rb 2\r\nhi\r\n",
        "carriage return splits the words of SUB": b"SUB b\rq 2\r\nPUB b 1\r\nx\r\nSUB c 3\r4\r\nPUB c 1\r\ny\r\n",
        "carriage return eats the last byte": b"SUB bc\r 2x\nPUB bc 1\r\ny\r\n",
        "carriage return eats the last digit": b"PUB a \r 23\nhi\r\n",
        "carriage return inside a verb": b"P\rUB a 2\r\nhi\r\n",
        "carriage return right after the verb": b"PUB\r a 2\r\nhi\r\n",
        "line feed right after PUB and a space": b"PUB \na 2\r\nhi\r\n",
        "line feed right after SUB and a space": b"SUB \nb 2\r\nPUB b 1\r\nx\r\n",
        "line feed right after UNSUB and a space": b"UNSUB \n1\r\nPUB b 1\r\nx\r\n",
        "carriage return right after PUB and a space": b"PUB \ra 2\r\nhi\r\n",
        "form feed and vertical tab are no spaces": b"PUB a\x0bb 2\r\nhi\r\nPUB a\x0c2\r\n",
        "null bytes": b"\x00\x00\x00\x00",
        "null byte in a subject": b"PUB a\x00b 2\r\nhi\r\n",
        "high bytes": b"\xff\xfe\xfd\r\n",
        "web request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "TLS greeting": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
        "long dash verb": b"--------\r\n",
    }),
    *alone("ping", QUIET, {
        "garbage after PING": b"PING garbage\r\n",
        "no space before the garbage": b"PINGPONG\r\n",
        "ten thousand bytes after PING": b"PING " + b"x" * 10000 + b"\r\n",
        "garbage after PONG": b"PONG garbage\r\nPONGX\r\n",
        "many PONGs": b"PONG\r\n" * 50,
        "garbage after OK": b"+OK garbage\r\n+ok\r\n+OKX\r\n",
        "almost OK": b"+OX\r\n",
        "PING without line end": b"PING",
        "carriage return only": b"PING\r",
    }),
    talk("ping: odd forms are all answered", hello(1), sync(1, b"PING\nping\r\nPiNg \t\r\nPINGX\r\nPING PING\r\n", 6)),
    *alone("info", QUIET + HEAR_ALL, {
        "object": b"INFO {}\r\ninfo {\"server_id\":\"x\"}\r\n",
        "no space": b"INFO{}\r\n",
        "nothing": b"INFO\r\n",
        "null and white space": b"INFO null\r\nINFO  \t {} \r\n",
        "not JSON": b"INFO {\r\n",
        "an array": b"INFO []\r\n",
        "wrong type": b'INFO {"port":"x"}\r\n',
        "unknown field": b'INFO {"strange":[1,2]}\r\n',
        "letters after the verb": b"INFOX {}\r\n",
    }),
    *alone("error from the client", QUIET + HEAR_ALL, {
        "plain": b"-ERR 'gone'\r\n",
        "lower case": b"-err x\r\nPING\r\n",
        "no space": b"-ERR\r\n",
        "space only": b"-ERR \r\n",
        "cut": b"-ER\r\n",
        "tab": b"-ERR\tx\n",
    }),
    *alone("server verbs", VERBOSE + HEAR_ALL, {
        "MSG": b"MSG a 1 2\r\nhi\r\n",
        "HMSG": b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "HMSG with no payload": b"HMSG a 1 0 0\r\n\r\n",
        "HMSG with any arguments": b"HMSG x\r\n\r\nHMSG ???? ???? ????\r\n\r\nPUB a 1\r\nx\r\n",
        "HMSG without arguments": b"HMSG\r\n",
        "HMSG to a short line": b"hmsg\ta\nPING\r\n",
    }),
    each("verbs: for routes and leaf nodes", QUIET, (
        b"RS+ a\r\n", b"RS- a\r\n", b"RMSG a 1\r\nx\r\n", b"LS+ a\r\n", b"LS- a\r\n", b"LMSG a 1\r\nx\r\n",
        b"A+ a\r\n", b"A- a\r\n", b"AUSUB a\r\n", b"R", b"L", b"A",
    )),
    each("verbs: cut short at each letter", QUIET, (
        verb[:cut] + b"\r\n" for verb in VERBS for cut in range(1, len(verb))
    )),
    each("verbs: wrong at each letter", QUIET, (
        verb[:cut] + b"X\r\n" for verb in VERBS for cut in range(1, len(verb))
    )),
    each("verbs: a letter too many", QUIET, (
        b"PUBX a 0\r\n\r\n", b"SUBX a 1\r\n", b"UNSUBX 1\r\n", b"HPUBX a 0 0\r\n\r\n", b"CONNECTX {}\r\n", b"-ERRX\r\n", b"HMSGX\r\n",
    )),
    each("verbs: every other first byte", QUIET, (bytes([byte]) for byte in range(256) if bytes([byte]).upper() not in b"PHSUCI+-")),
]  # fmt: skip

SIZES = [
    *alone("sizes", QUIET + HEAR_ALL, {
        "missing": b"PUB a\r\n",
        "nothing but the verb": b"PUB \r\n",
        "no space after the verb": b"PUB\r\n",
        "four arguments": b"PUB a b c 2\r\nhi\r\n",
        "negative": b"PUB a -1\r\n",
        "minus zero": b"PUB a -0\r\n\r\n",
        "plus sign": b"PUB a +2\r\nhi\r\n",
        "hexadecimal": b"PUB a 0x2\r\nhi\r\n",
        "fraction": b"PUB a 2.0\r\nhi\r\n",
        "exponent": b"PUB a 2e0\r\nhi\r\n",
        "underscore": b"PUB a 1_0\r\n0123456789\r\n",
        "letters": b"PUB a two\r\nhi\r\n",
        "other digits": "PUB a ٢\r\nhi\r\n".encode(),
        "zeros in front": b"PUB a 0002\r\nhi\r\nPUB a 00\r\n\r\nPUB a re 000000002\r\nhi\r\n",
        "ten digits": b"PUB a 0000000002\r\nhi\r\n",
        "nine digits": b"PUB a 999999999\r\n",
        "ten nines": b"PUB a 9999999999\r\n",
        "wraps 32 bits": b"PUB a 4294967298\r\nhi\r\n",
        "wraps 64 bits": b"PUB a 18446744073709551618\r\nhi\r\n",
        "forty digits": b"PUB a " + b"9" * 40 + b"\r\n",
        "one over a mebibyte": b"PUB a 1048577\r\n",
        "too large, and then some": b"PUB a 1048577\r\nPING\r\nPUB b 1\r\nx\r\n",
        "shorter than said": b"PUB a 5\r\nhi\r\nPING\r\n",
        "longer than said": b"PUB a 2\r\nhello\r\n",
        "empty but something": b"PUB a 0\r\nx\r\n",
        "empty and no end": b"PUB a 0\r\nPING\r\n",
    }),
    talk("max payload: told in INFO and exactly met", ready(1, b"SUB mp 1\r\n", protocol=1), sync(1, pub(b"mp", b"x" * 1024)),
         eof(1), max_payload=1024),
    talk("max payload: one over, line only", hello(1), sync(1), send(1, b"PUB mp 1025\r\n"), wait_close(1), max_payload=1024),
    talk("max payload: one over, with the payload", hello(1), sync(1), sync(1, pub(b"mp", b"x" * 1025)), max_payload=1024),
    talk("max payload: what came before arrives", ready(1, b"SUB mp1 1\r\n"), hello(2),
         send(2, b"SUB mp1 2\r\n" + pub(b"mp1", b"ok") + b"PUB mp1 2000\r\n"), wait_close(2), sync(1), max_payload=1024),
    talk("max payload: refused while the line is still whole", hello(1), sync(1), send(1, b"PUB mp 1025"), sync(1, b"\r\n"),
         max_payload=1024),
    talk("max payload: before CONNECT", connect(1), send(1, b"PUB mp 1025\r\n"), wait_close(1), max_payload=1024),
    *alone("control line", QUIET, {
        "4096 bytes": b"PUB " + b"s" * 4094 + b" 0\r\n\r\n",
        "4097 bytes": b"PUB " + b"s" * 4095 + b" 0\r\n",
        "4096 bytes and a line feed": b"SUB " + b"s" * 4094 + b" 1\n",
        "4097 bytes without an end": b"SUB " + b"s" * 4097,
        "4096 bytes and no end yet": b"SUB " + b"s" * 4094 + b" 1",
        "five thousand spaces before the words": b"PUB " + b" " * 5000 + b"a 0\r\n\r\n",
        "five thousand spaces after the words": b"PUB a 0" + b" " * 5000 + b"\r\n\r\n",
        "five thousand spaces between the words": b"PUB a" + b" " * 5000 + b"0\r\n\r\n",
        "CONNECT too long": b'CONNECT {"name":"' + b"n" * 4096 + b'"}\r\n',
        "CONNECT just long enough": b'CONNECT {"verbose":false,"name":"' + b"n" * (4096 - 27) + b'"}\r\n',
        "INFO too long": b'INFO {"x":"' + b"n" * 4096 + b'"}\r\n',
        "error too long": b"-ERR " + b"n" * 4097 + b"\r\n",
        "UNSUB too long": b"UNSUB " + b"n" * 4097 + b"\r\n",
        "a verb that never ends": b"PING" + b"g" * 20000,
    }),
    *alone("control line of 64", QUIET, {
        "64 bytes": b"SUB " + b"s" * 62 + b" 1\r\n" + pub(b"s" * 62, b"x"),
        "65 bytes": b"SUB " + b"s" * 63 + b" 1\r\n",
        "65 bytes without an end": b"SUB " + b"s" * 65,
        "HPUB of 65 bytes without headers": b"HPUB " + b"s" * 61 + b" 0 0\r\n\r\n",
        "payload does not count": pub(b"a", b"x" * 500),
        "two short lines": b"SUB " + b"s" * 40 + b" 1\r\nSUB " + b"t" * 40 + b" 2\r\n",
        "trailing space counts": b"SUB a 1" + b" " * 62 + b"\r\n",
    }, max_control_line=64),
    talk("control line of 64: CONNECT does not fit", hello(1, name="x" * 64), sync(1), max_control_line=64),
    talk("control line of 64: split in the middle", hello(1), sync(1), send(1, b"SUB " + b"s" * 40), sync(1, b"t" * 30 + b" 1\r\n"),
         max_control_line=64),
]  # fmt: skip

CONNECTS = [
    *alone("connect", b"", {
        "empty object": b"CONNECT {}\r\nSUB a 1\r\nPUB a.* 0\r\n\r\n",
        "lower case and line feed": b"connect\t{}\n",
        "no space": b"CONNECT{}\r\n",
        "nothing": b"CONNECT\r\n",
        "space only": b"CONNECT \r\n",
        "line feed before the object": b"CONNECT \n{}\r\n",
        "white space around": b"CONNECT \t  { \t} \t \r\n",
        "carriage return inside": b'CONNECT {\r"verbose":false}\r\n',
        "not JSON": b"CONNECT {bad\r\n",
        "cut": b'CONNECT {"verbose":fal\r\n',
        "two objects": b"CONNECT {}{}\r\n",
        "object and garbage": b"CONNECT {} x\r\n",
        "array": b"CONNECT []\r\n",
        "null": b"CONNECT null\r\n",
        "string": b'CONNECT "x"\r\n',
        "number": b"CONNECT 1\r\n",
        "single quotes": b"CONNECT {'verbose':false}\r\n",
        "comma too many": b'CONNECT {"verbose":false,}\r\n',
        "comment": b'CONNECT {"verbose":false /* no */}\r\n',
        "upper case keys": b'CONNECT {"VERBOSE":false,"Pedantic":false}\r\nPUB a.* 0\r\n\r\n',
        "long s in a key": 'CONNECT {"verbo\u017fe":false}\r\n'.encode(),
        "duplicate keys": b'CONNECT {"verbose":false,"verbose":true,"VERBOSE":false}\r\n',
        "duplicate key with null": b'CONNECT {"verbose":false,"verbose":null}\r\n',
        "nulls": b'CONNECT {"verbose":null,"pedantic":null,"echo":null,"protocol":null,"name":null}\r\nSUB a 1\r\nPUB a 0\r\n\r\n',
        "unknown fields": b'CONNECT {"verbose":false,"future":{"a":[1,2,{"b":null}]},"":0}\r\n',
        "string for a boolean": b'CONNECT {"verbose":"false"}\r\n',
        "number for a boolean": b'CONNECT {"verbose":0}\r\n',
        "number for a string": b'CONNECT {"name":1}\r\n',
        "string for a number": b'CONNECT {"protocol":"1"}\r\n',
        "boolean for a number": b'CONNECT {"protocol":true}\r\n',
        "fraction for a number": b'CONNECT {"protocol":1.0}\r\n',
        "exponent for a number": b'CONNECT {"protocol":1e0}\r\n',
        "object for a string": b'CONNECT {"lang":{}}\r\n',
        "wrong type in tls_required": b'CONNECT {"tls_required":"no"}\r\n',
        "wrong type in user": b'CONNECT {"user":["a"]}\r\n',
        "wrong type in no_responders": b'CONNECT {"no_responders":1}\r\n',
        "wrong type in echo": b'CONNECT {"echo":"no"}\r\n',
        "wrong type in headers": b'CONNECT {"headers":"yes"}\r\n',
        "wrong type in nkey": b'CONNECT {"nkey":5}\r\n',
        "wrong type in an unknown field": b'CONNECT {"verbose":false,"verbos":"x"}\r\n',
        "huge protocol": b'CONNECT {"protocol":99999999999999999999}\r\n',
        "protocol 2": b'CONNECT {"protocol":2}\r\n',
        "protocol -1": b'CONNECT {"protocol":-1}\r\n',
        "protocol 2 and quiet": b'CONNECT {"protocol":2,"verbose":false}\r\nPING\r\n',
        "protocol 2 and no responders without headers": b'CONNECT {"protocol":2,"no_responders":true}\r\n',
        "no responders without headers": b'CONNECT {"no_responders":true}\r\n',
        "account": b'CONNECT {"account":"x"}\r\n',
        "empty account": b'CONNECT {"verbose":false,"account":"","new_account":false}\r\n',
        "new account": b'CONNECT {"new_account":true}\r\n',
        "account and protocol 2": b'CONNECT {"account":"x","protocol":2}\r\n',
        "bad UTF-8 in a name": b'CONNECT {"verbose":false,"name":"\xff\xc3"}\r\n',
        "bad UTF-8 outside of strings": b'CONNECT {"verbose":false}\xff\r\n',
        "control character in a name": b'CONNECT {"verbose":false,"name":"a\x01b"}\r\n',
        "tab in a name": b'CONNECT {"verbose":false,"name":"a\tb"}\r\n',
        "escapes": b'CONNECT {"verb\\u006fse":false,"name":"\\u0000\\ud83d\\ude00\\n\\/"}\r\n',
        "half of a surrogate pair": b'CONNECT {"verbose":false,"name":"\\ud800"}\r\n',
        "bad escape": b'CONNECT {"verbose":false,"name":"\\x"}\r\n',
        "byte order mark": b'CONNECT \xef\xbb\xbf{"verbose":false}\r\n',
        "bad number in an unknown field": b'CONNECT {"verbose":false,"x":01}\r\n',
        "odd numbers in an unknown field": b'CONNECT {"verbose":false,"x":[-0,1E+9,-1.5e-3,123456789012345678901234567890]}\r\n',
        "a number past all floats in an unknown field": b'CONNECT {"verbose":false,"x":1e999}\r\n',
        "not a number": b'CONNECT {"verbose":false,"x":NaN}\r\n',
        "infinity": b'CONNECT {"verbose":false,"x":Infinity}\r\n',
        "nested": b'CONNECT {"verbose":false,"x":' + b"[" * 200 + b"]" * 200 + b"}\r\n",
        "credentials nobody asked for": connect_line(user="u", **{"pass": "p"}, auth_token="t", nkey="UABC", sig="c2ln", jwt="e30.e30.e30"),
        "client wants TLS": b'CONNECT {"verbose":false,"tls_required":true}\r\n',
        "everything a client sends": connect_line(tls_required=False, lang="python3", version="1.0.0", name="n", protocol=1,
                                                  echo=True, headers=True, no_responders=True, server_id="x"),
        "PING ends up in the object": b"CONNECT {",
        "PUB in the same write": b'CONNECT {"verbose":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\n',
        "bad one, then PING": b"CONNECT x\r\nPING\r\n",
    }),
    talk("connect: split in two writes", connect(1), sync(1), send(1, b'CONNECT {"verb'), send(1, b'ose":true}\r\n'), sync(1)),
]  # fmt: skip

RESERVED = [
    *alone("reserved", VERBOSE + HEAR_ALL, {
        "replies": b"".join(pub(b"a", b"x", reply) for reply in (
            b"_R_", b"_R_.", b"_R_.x", b"_r_.x", b"_R_x", b"$JS.ACK", b"$JS.ACK.", b"$JS.ACK.x", b"$JS.ACK.S.C.1.2.3.4.5", b"$js.ack.x",
            b"_GR_.", b"_GR_.x", b"_GR_.c.s.x", b"$GR.x", b"$GR.", b"$GRx",
        )),
        "replies with odd bytes": b"".join(pub(b"a", b"x", b"_R_." + end) for end in (
            b'"q"', b"\xff\x00\x7f", "ü€\u2028".encode(), b"\\\a\b\x1b", b"'`", b"\xe2\x82",
            "\u00ad\ufeff\u3000\U0001f600\U0001f700\ufffd".encode(), b"\xed\xa0\x80\xc0\x80",
        )),
        "raft subjects": pub(b"$NRG.x", b"x") + pub(b"$NRG", b"x") + pub(b"$NRG.", b"x") + pub(b"$nrg.x", b"x") + pub(b"$NRG.V.\xff", b"x"),
        "raft subject with a reserved reply": pub(b"$NRG.x", b"x", b"_R_.x"),
        "gateway subjects": b"".join(pub(subject, b"x") for subject in (
            b"_GR_.x", b"_GR_.", b"_GR_", b"$GR.x", b"$GR.", b"$GR", b"$GRx", b"$gr.x",
        )),
        "reserved subjects that are free": pub(b"_R_.x", b"x") + pub(b"$JS.ACK.x", b"x") + pub(b"$SYS.x", b"x") + pub(b"_INBOX.x", b"x"),
        "bad subject and reserved reply": pub(b"a..b", b"x", b"_R_.x") + pub(b"a.*", b"x", b"_R_.x"),
        "payload of a refused message is skipped": pub(b"a", PROTOCOL_TEXT, b"_R_.x") + pub(b"a", b"next"),
    }),
    *alone("reserved, pedantic", PEDANTIC + HEAR_ALL, {"wildcard in the subject": pub(b"$NRG.*", b"x") + pub(b"a.*", b"x", b"_R_.x")}),
    talk("reserved: with headers", hello(1, headers=True, verbose=True),
         sync(1, b"SUB > 1\r\n" + hpub(b"a", HEADER, b"x", b"_R_.x") + hpub(b"$NRG.x", HEADER))),
    talk("reserved: refused is not no responders", hello(1, **REQUESTER),
         sync(1, b"SUB _R_.in 1\r\n" + pub(b"reserved.nobody", b"", b"_R_.in"))),
]  # fmt: skip

PASSWORD = {"user": "derek", "password": "s3cret"}
LOGIN = {"user": "derek", "pass": "s3cret"}
TOKEN = {"token": "t0ken"}
REFUSED = [
    *alone("password", b"", {
        "right": connect_line(**LOGIN) + b"SUB a 1\r\nPUB a 2\r\nhi\r\n",
        "right and verbose": connect_line(verbose=True, protocol=1, **LOGIN),
        "wrong password": connect_line(user="derek", **{"pass": "wrong"}),
        "wrong user": connect_line(user="Derek", **{"pass": "s3cret"}),
        "none": b"CONNECT {}\r\n",
        "only the user": connect_line(user="derek"),
        "null password": connect_line(user="derek", **{"pass": None}),
        "in a token": connect_line(auth_token="s3cret"),
        "called password": connect_line(user="derek", password="s3cret"),
        "upper case keys": b'CONNECT {"USER":"derek","Pass":"s3cret"}\r\n',
        "bad JSON": b"CONNECT {bad\r\n",
        "wrong password and protocol 5": connect_line(protocol=5, user="derek", **{"pass": "wrong"}),
        "right and protocol 5": connect_line(protocol=5, **LOGIN),
        "right and account": connect_line(account="x", **LOGIN),
        "right and no responders without headers": connect_line(no_responders=True, **LOGIN),
        "wrong password, then a publish": connect_line(user="derek", **{"pass": "wrong"}) + b"PUB a 2\r\nhi\r\nPING\r\n",
        "PING first": b"PING\r\n",
        "PONG first": b"PONG\r\n",
        "PUB first": b"PUB a 2\r\nhi\r\n",
        "SUB first": b"SUB a 1\r\n",
        "INFO first": b"INFO {}\r\n",
        "OK first": b"+OK\r\n",
        "error first": b"-ERR 'x'\r\n",
        "garbage first": b"garbage\r\n",
        "empty line first": b"\r\n",
        "one letter first": b"P",
        "almost CONNECT first": b"CONNEXT {}\r\n",
        "a letter C first": b"CX\r\n",
        "line too long": b'CONNECT {"name":"' + b"n" * 5000 + b'"}\r\n',
        "second CONNECT with a wrong password": connect_line(**LOGIN) + connect_line(user="derek", **{"pass": "wrong"}),
        "second CONNECT without credentials": connect_line(**LOGIN) + b"SUB a 1\r\n" + VERBOSE + b"PUB a 2\r\nhi\r\n",
        "second CONNECT with an empty password": connect_line(**LOGIN) + connect_line(**{"pass": ""}),
    }, **PASSWORD),
    talk("password: first PING tells the account", hello(1, protocol=1, **LOGIN), sync(1), sync(1), eof(1), **PASSWORD),
    talk("password: one letter is enough", connect(1), send(1, b"S"), wait_close(1), **PASSWORD),
    talk("password: end of stream before CONNECT", connect(1), eof(1), **PASSWORD),
    talk("password: one refused, the other goes on", ready(1, b"SUB a 1\r\n", **LOGIN), hello(2, user="x"), wait_close(2),
         sync(1, pub(b"a", b"x")), **PASSWORD),
    *alone("token", b"", {
        "right": connect_line(auth_token="t0ken"),
        "wrong": connect_line(auth_token="T0ken"),
        "none": b"CONNECT {}\r\n",
        "empty": connect_line(auth_token=""),
        "in the user": connect_line(user="t0ken"),
        "in the password": connect_line(user="", **{"pass": "t0ken"}),
        "right, and a user": connect_line(auth_token="t0ken", user="u", **{"pass": "p"}),
        "PUB first": b"PUB a 0\r\n\r\n",
    }, **TOKEN),
]  # fmt: skip

FULL = [
    *alone("max subscriptions", connect_line(verbose=True) + b"SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n", {
        "one more": b"SUB d 4\r\nPUB d 1\r\nx\r\nPUB c 1\r\ny\r\n",
        "one more of a queue": b"SUB d q 4\r\nSUB d _sys_ 5\r\n",
        "used sid when full": b"SUB d 1\r\n",
        "bad subject when full": b"SUB a..b 4\r\n",
        "room again after UNSUB": b"UNSUB 1\r\nSUB d 4\r\nSUB e 5\r\nPUB d 1\r\nx\r\n",
        "room again after a limit": b"UNSUB 1 1\r\nSUB d 4\r\nPUB a 1\r\nx\r\nSUB d 4\r\nPUB d 1\r\ny\r\n",
        "room again after a second CONNECT": VERBOSE + b"SUB d 1\r\nSUB e 2\r\nSUB f 3\r\nSUB g 4\r\n",
    }, max_subscriptions=3),
    talk("max subscriptions: a bad subject takes no room",
         ready(1, b"SUB a..b 1\r\nSUB a. 2\r\nSUB .a 3\r\nSUB a 4\r\nSUB b 5\r\nPUB b 1\r\nx\r\n"), max_subscriptions=3),
    talk("max subscriptions: counted for each connection", ready(1, b"SUB a 1\r\nSUB a 2\r\nSUB a 3\r\n"), hello(2),
         sync(2, b"SUB a 1\r\nSUB a 2\r\nSUB a 3\r\nSUB a 4\r\n"), max_subscriptions=3),
    talk("max connections: the third is refused", hello(1), sync(1), connect(2), sync(2), connect(3), wait_close(3), sync(1), sync(2),
         max_connections=2),
    talk("max connections: none at all after one", ready(1, b""), connect(2), wait_close(2), connect(3), wait_close(3), eof(1),
         max_connections=1),
]  # fmt: skip

TIME = [
    talk("auth timeout: nothing said", connect(1), wait_close(1), auth_timeout=0.4, **PASSWORD),
    talk("auth timeout: half a CONNECT", connect(1), send(1, b"CONNECT {"), wait_close(1), auth_timeout=0.4, **PASSWORD),
    talk("auth timeout: not for one that has connected", hello(1, **LOGIN), sync(1), connect(2), wait_close(2), sync(1), auth_timeout=0.4,
         **PASSWORD),
    talk("stale: no PONG", hello(1), wait_close(1), ping_interval=0.4, ping_max=1),
    talk("stale: no CONNECT either", connect(1), wait_close(1), ping_interval=0.4, ping_max=1),
    talk("stale: two PINGs allowed", hello(1), sync(1), wait_close(1), ping_interval=0.3, ping_max=2),
    talk("stale: PONG keeps it alive", hello(1), frames(1, 2), send(1, b"PONG\r\n"), frames(1, 3), send(1, b"PONG\r\n"), frames(1, 4),
         sync(1), ping_interval=0.4, ping_max=1),
    talk("stale: garbage PONG counts", hello(1), frames(1, 2), send(1, b"pongo\n"), frames(1, 3), sync(1), ping_interval=0.4, ping_max=1),
]  # fmt: skip

CONVERSATIONS = [*LIFE, *PUBLISH, *OPERATIONS, *HEADER_LINES, *NO_RESPONDERS, *LINES, *SIZES, *CONNECTS, *RESERVED, *REFUSED, *FULL, *TIME]
