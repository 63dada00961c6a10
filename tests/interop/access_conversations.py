"""Raw conversations about who may come in and what they may do, with the options of the server that each needs (see ``conversations``)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conversations import Step, connect, connect_line, eof, frames, hello, hpub, pub, send, sync, wait_close

from midge import ServerOptions
from midge.nkeys import KeyPair, Prefix
from midge.server.access import Permissions, Responses, User

SECRET = "s3cret"
HASH = "$2a$04$kaC1B7m0deiMSzB6dTl2Jei/mV5n7Yqdzk2J3OHGjGVo3V6tPk4ua"  # of SECRET
PAIR = KeyPair._from_raw_seed(Prefix.USER, bytearray(range(32)))
OTHER = KeyPair._from_raw_seed(Prefix.USER, bytearray(range(1, 33)))
SILENT = KeyPair._from_raw_seed(Prefix.USER, bytearray(range(2, 34)))


@dataclass(frozen=True)
class Talk:
    """A named list of steps and the options of the server it needs."""

    name: str
    steps: tuple[Step, ...]
    options: ServerOptions


def server(**options: Any) -> ServerOptions:
    return ServerOptions(port=0, **options)


def user(name: str, **permissions: Any) -> User:
    """A user whose password is SECRET, with these permissions."""
    return User(user=name, password=SECRET, permissions=Permissions(**permissions) if permissions else None)


def as_user(n: int, name: str, **fields: Any) -> list[Step]:
    """Open connection n and say CONNECT as this user."""
    return hello(n, **{"user": name, "pass": SECRET, **fields})


def talk(options: ServerOptions, name: str, *parts: Step | Iterable[Step]) -> Talk:
    return Talk(name, tuple(step for part in parts for step in ([part] if isinstance(part, Step) else part)), options)


def alone(options: ServerOptions, family: str, cases: dict[str, bytes]) -> list[Talk]:
    """For each case a conversation on one connection, in one write, then a PING."""
    return [
        talk(options, f"{family}: {name}", connect(1), [send(1, case)] if case else [], sync(1), eof(1)) for name, case in cases.items()
    ]


USERS = server(
    users=(
        user("alice"),
        User(user="bob", password=HASH),
        user("pub", publish_allow=("foo.*", "bar.>", "lit", "a.*.c", "wild.*", "$NRG.>", "_INBOX.>")),
        user("nopub", publish_deny=("foo.*", "bar.>", "lit")),
        user("somepub", publish_allow=("foo.>", "_INBOX.>"), publish_deny=("foo.bar", "foo.*.secret")),
        user("mute", publish_allow=()),
        user("sub", subscribe_allow=("foo.*", "bar.>", "lit", "*.c")),
        user("nosub", subscribe_deny=("foo.bar", "baz.>", "*.secret", "lit")),
        user("somesub", subscribe_allow=("foo.>",), subscribe_deny=("foo.bar", "foo.*.x")),
        user("queue", subscribe_allow=("foo v1", "foo v2.*", "bar", "baz *.x", "qux", "qux v1", "any >")),
        user("noqueue", subscribe_deny=("foo prod", "bar *.prod", "baz", "q.* dev", "w.> >")),
        user("resp", subscribe_allow=("svc.>", "_INBOX.>"), responses=Responses()),
        user("resp2", responses=Responses(max_msgs=2)),
        user("resps", publish_allow=("ok.>",), publish_deny=("no.>",), responses=Responses(max_msgs=-1)),
        user("denied", publish_deny=("_INBOX.>",), responses=Responses(max_msgs=2)),
        User(user="ws", password=SECRET, connection_types=("WEBSOCKET",)),
        User(user="std", password=SECRET, connection_types=("STANDARD", "MQTT")),
        User(user="empty"),
        User(user="ünï", password="pässwörd"),
    )
)


def login(**fields: Any) -> bytes:
    return connect_line(**fields)


AUTHENTICATION = [
    *alone(
        USERS,
        "users",
        {
            "the right password": login(user="alice", **{"pass": SECRET}),
            "verbose": login(user="alice", verbose=True, **{"pass": SECRET}),
            "a protocol that wants the account": login(user="alice", protocol=1, **{"pass": SECRET}),
            "a wrong password": login(user="alice", **{"pass": "s3creT"}),
            "a password that only begins right": login(user="alice", **{"pass": SECRET[:-1]}),
            "a password with more behind it": login(user="alice", **{"pass": SECRET + "x"}),
            "no password": login(user="alice"),
            "an unknown user": login(user="nobody", **{"pass": SECRET}),
            "a user in capitals": login(user="ALICE", **{"pass": SECRET}),
            "a user with a blank": login(user="alice ", **{"pass": SECRET}),
            "an empty user": login(user="", **{"pass": SECRET}),
            "nothing": login(),
            "a token instead": login(auth_token=SECRET),
            "an nkey instead": login(nkey=PAIR.public_key, sig="AAAA"),
            "an nkey beside the right password": login(user="alice", nkey=PAIR.public_key, **{"pass": SECRET}),
            "a jwt beside the right password": login(user="alice", jwt="eyJ0.e30.x", **{"pass": SECRET}),
            "a token beside the right password": login(user="alice", auth_token="x", **{"pass": SECRET}),
            "an account": login(user="alice", account="A", **{"pass": SECRET}),
            "a new account": login(user="alice", new_account=True, **{"pass": SECRET}),
            "a user without a password": login(user="empty"),
            "a user without a password, and one": login(user="empty", **{"pass": "x"}),
            "a name that is not ASCII": login(user="ünï", **{"pass": "pässwörd"}),
            "a NUL": login(user="alice\0", **{"pass": SECRET}),
            "half a surrogate pair": b'CONNECT {"verbose":false,"user":"alice","pass":"\\ud800"}\r\n',
            "user twice, the last counts": b'CONNECT {"verbose":false,"pedantic":false,"user":"nobody","pass":"s3cret","user":"alice"}\r\n',
            "names in capitals": b'CONNECT {"VERBOSE":false,"USER":"alice","PASS":"s3cret"}\r\n',
            "a number as password": b'CONNECT {"verbose":false,"user":"alice","pass":1}\r\n',
            "null as password": b'CONNECT {"verbose":false,"user":"alice","pass":null}\r\n',
            "a long password": login(user="alice", **{"pass": "x" * 3000}),
            "bcrypt, the right password": login(user="bob", **{"pass": SECRET}),
            "bcrypt, a wrong password": login(user="bob", **{"pass": "secret"}),
            "bcrypt, no password": login(user="bob"),
            "bcrypt, the hash itself": login(user="bob", **{"pass": HASH}),
            "bcrypt, 73 bytes": login(user="bob", **{"pass": "x" * 73}),
            "bcrypt, a NUL": login(user="bob", **{"pass": "s3cret\0"}),
            "only by WebSocket": login(user="ws", **{"pass": SECRET}),
            "by TCP among others": login(user="std", **{"pass": SECRET}),
            "no headers, but no responders": login(user="alice", no_responders=True, **{"pass": SECRET}),
            "a bad protocol": login(user="alice", protocol=2, **{"pass": SECRET}),
        },
    ),
    *alone(
        USERS,
        "before CONNECT",
        {
            "PING": b"",
            "PUB": pub(b"a", b"x"),
            "SUB": b"SUB a 1\r\n",
            "UNSUB": b"UNSUB 1\r\n",
            "PONG": b"PONG\r\n",
            "INFO": b"INFO {}\r\n",
            "+OK": b"+OK\r\n",
            "-ERR": b"-ERR 'x'\r\n",
            "rubbish": b"GET / HTTP/1.1\r\n\r\n",
            "an empty line": b"\r\n",
            "a verb that begins like CONNECT": b"CAT\r\n",
            "lower case": b'connect {"user":"alice","pass":"s3cret","verbose":false}\r\n',
        },
    ),
    talk(
        USERS,
        "bcrypt: what comes behind CONNECT waits",
        connect(1),
        send(1, login(user="bob", verbose=True, **{"pass": SECRET}) + b"SUB a 1\r\n" + pub(b"a", b"hi") + b"PING\r\n"),
        sync(1, b"", 2),
        eof(1),
    ),
    talk(
        USERS,
        "bcrypt: what comes behind a wrong password is not heard",
        connect(1),
        send(1, login(user="bob", **{"pass": "no"}) + b"SUB bcrypt.no 1\r\n" + pub(b"bcrypt.no", b"hi")),
        sync(1),
        eof(1),
    ),
    talk(
        USERS,
        "bcrypt: twice in one write",
        connect(1),
        send(1, login(user="bob", **{"pass": SECRET}) * 2 + b"PING\r\n"),
        sync(1, b"", 2),
        eof(1),
    ),
    talk(USERS, "bcrypt: in pieces", connect(1), send(1, login(user="bob", **{"pass": SECRET}) + pub(b"a", b"x" * 50), 7), sync(1), eof(1)),
    talk(
        USERS,
        "again: the same user",
        as_user(1, "alice"),
        sync(1, b"SUB again 1\r\n"),
        send(1, login()),
        sync(1, pub(b"again", b"x")),
        eof(1),
    ),
    talk(
        USERS,
        "again: another user with other permissions",
        as_user(1, "mute"),
        sync(1, pub(b"x")),
        send(1, login(user="alice")),
        sync(1, pub(b"x")),
        send(1, login(user="mute")),
        sync(1, pub(b"x")),
        eof(1),
    ),
    talk(USERS, "again: a wrong password", as_user(1, "alice"), sync(1), send(1, login(**{"pass": "no"})), sync(1, pub(b"x")), eof(1)),
    talk(USERS, "again: bcrypt after plain", as_user(1, "alice"), sync(1), send(1, login(user="bob", **{"pass": SECRET})), sync(1), eof(1)),
    talk(
        USERS,
        "again: a filter is gone with the permissions",
        as_user(1, "nosub"),
        sync(1, b"SUB foo.* 1\r\n"),
        send(1, login(user="alice")),
        sync(1, b"SUB foo.* 1\r\n" + pub(b"foo.bar", b"x")),
        eof(1),
    ),
]

PUBLISH = [
    *alone(
        USERS,
        "publish allow",
        {
            "a token": pub(b"foo.x", b"1"),
            "two tokens": pub(b"foo.x.y", b"1"),
            "the rest": pub(b"bar.x.y.z", b"1"),
            "too short": pub(b"bar", b"1"),
            "literal": pub(b"lit", b"1"),
            "another literal": pub(b"Lit", b"1"),
            "in the middle": pub(b"a.b.c", b"1"),
            "a star": pub(b"foo.*", b"1"),
            "a rest for a star": pub(b"foo.>", b"1"),
            "a star for the rest": pub(b"bar.*", b"1"),
            "only a rest": pub(b">", b"1"),
            "an empty token": pub(b"foo.", b"1"),
            "an empty token within": pub(b"bar..x", b"1"),
            "dots": pub(b"bar...", b"1"),
            "not UTF-8": pub(b"\xff\xfe", b"1"),
            "quotes": pub(b'a"b', b"1"),
            "NRG": pub(b"$NRG.x", b"1"),
            "long": pub(b"foo." + b"x" * 2000, b"1"),
            "many tokens": pub(b"bar" + b".x" * 1000, b"1"),
            "denied, with a reply": pub(b"no", b"1", b"reply"),
            "allowed, with a reserved reply": pub(b"lit", b"1", b"_R_.x"),
            "denied, with a reserved reply": pub(b"no", b"1", b"_R_.x"),
            "a header": hpub(b"no", b"NATS/1.0\r\nA: b\r\n\r\n", b"1"),
            "twice": pub(b"no") * 2,
            "in turns": (pub(b"no") + pub(b"lit")) * 3,
        },
    ),
]
for _index, _talk in enumerate(PUBLISH):
    PUBLISH[_index] = Talk(
        _talk.name,
        tuple(
            Step(step.verb, 1, connect_line(user="pub", headers=True, verbose=True, **{"pass": SECRET}) + b"SUB > 1\r\n" + step.data, 0)
            if step.verb == "send"
            else step
            for step in _talk.steps
        ),
        USERS,
    )


def says(name: str, case: str, data: bytes, **fields: Any) -> Talk:
    """A user who hears everything that it publishes itself."""
    return talk(USERS, f"{name}: {case}", as_user(1, name, **fields), sync(1, data), eof(1))


PUBLISH += (
    [
        says("nopub", case, b"SUB > 1\r\n" + pub(subject, b"x"))
        for case, subject in {
            "a denied token": b"foo.x",
            "more tokens": b"foo.x.y",
            "the rest": b"bar.a.b",
            "literal": b"lit",
            "else": b"else",
            "a star": b"foo.*",
            "an empty token": b"foo.",
            "a rest": b"foo.>",
        }.items()
    ]
    + [
        says("somepub", case, b"SUB > 1\r\n" + pub(subject, b"x", reply))
        for case, subject, reply in (
            ("allowed", b"foo.x", b""),
            ("denied", b"foo.bar", b""),
            ("deeper", b"foo.bar.x", b""),
            ("denied deeper", b"foo.x.secret", b""),
            ("not allowed", b"x", b""),
            ("a reply that is not allowed", b"foo.x", b"x"),
        )
    ]
    + [
        says("mute", "everything", pub(b"x") + pub(b"y.z") + pub(b"_INBOX.x")),
        says("mute", "verbose: no +OK", b"SUB a 1\r\n" + pub(b"x") + b"UNSUB 1\r\n", verbose=True),
        says("mute", "pedantic, and a wildcard", pub(b"x.*"), pedantic=True),
        says("mute", "gateway and NRG", pub(b"$GR.x.y") + pub(b"_GR_.x.y") + pub(b"$NRG.x")),
        says("mute", "no responders", b"SUB r 1\r\n" + pub(b"x", b"", b"r"), headers=True, no_responders=True),
        says("alice", "NRG", pub(b"$NRG.x") + pub(b"a", b"", b"$JS.ACK.x")),
        says("pub", "many subjects in turn", b"".join(pub(b"foo.%d" % n) + pub(b"no.%d" % n) for n in range(300))),
    ]
)

HEARD = b"".join(
    pub(subject, b"x")
    for subject in (
        b"foo",
        b"foo.bar",
        b"foo.x",
        b"foo.a.x",
        b"foo.a.b",
        b"bar",
        b"baz",
        b"baz.x",
        b"baz.x.y",
        b"z.secret",
        b"secret",
        b"lit",
        b"q.a",
        b"w.a.b",
        b"qux",
    )
)


def hears(name: str, case: str, data: bytes, **fields: Any) -> Talk:
    """A user who subscribes, and what it gets then."""
    return talk(USERS, f"{name}: {case}", as_user(1, name, **fields), sync(1, data + HEARD), eof(1))


SUBSCRIBE = (
    [
        hears(name, subject.decode("utf-8", "replace"), b"SUB " + subject + b" 1\r\n")
        for name, subjects in {
            "sub": (
                b"foo.x",
                b"foo.*",
                b"foo",
                b"foo.x.y",
                b"foo.*.*",
                b"bar.x",
                b"bar.>",
                b"bar.*",
                b"bar.*.>",
                b">",
                b"*",
                b"lit",
                b"*.c",
                b"x.c",
                b"*.*",
                b"foo.c",
                b"foo.",
                b"foo..x",
                b'"',
            ),
            "nosub": (
                b"foo.bar",
                b"foo.*",
                b"foo.>",
                b">",
                b"*.*",
                b"baz",
                b"baz.x",
                b"baz.>",
                b"baz.*",
                b"*",
                b"z.secret",
                b"*.secret",
                b"*.>",
                b"lit",
                b"foo.*.*",
                b"else",
                b"else.*",
            ),
            "somesub": (b"foo.>", b"foo.*", b"foo.bar", b"foo.a.x", b"foo.*.x", b"foo.a.*", b"foo.*.*", b"x", b">"),
        }.items()
        for subject in subjects
    ]
    + [
        hears("queue", words.decode(), b"SUB " + words + b" 1\r\n")
        for words in (
            b"foo",
            b"foo v1",
            b"foo v2",
            b"foo v2.a",
            b"foo v2.a.b",
            b"foo v3",
            b"bar",
            b"bar v1",
            b"baz",
            b"baz a.x",
            b"baz a.y",
            b"qux",
            b"qux v1",
            b"qux v2",
            b"any",
            b"any x",
            b"any x.y",
            b"none",
            b"none v1",
            b"foo _sys_",
            b"bar _sys_",
            b"foo v2.*",
            b"baz *.x",
        )
    ]
    + [
        hears("noqueue", words.decode(), b"SUB " + words + b" 1\r\n")
        for words in (
            b"foo",
            b"foo prod",
            b"foo dev",
            b"bar a.prod",
            b"bar a.dev",
            b"bar",
            b"baz",
            b"baz x",
            b"q.a dev",
            b"q.* dev",
            b"q.*",
            b"q.* prod",
            b"* prod",
            b"* dev",
            b"*",
            b"> prod",
            b"> dev",
            b"> x",
            b"w.>",
            b"w.> x",
            b"w.a.b x",
            b"*.* dev",
            b"*.* x",
        )
    ]
    + [
        hears("nosub", "verbose: no +OK where denied", b"SUB lit 1\r\nSUB ok 2\r\nSUB foo.* 3\r\n", verbose=True),
        hears("nosub", "denied, then the same sid", b"SUB lit 1\r\nSUB ok 1\r\nSUB lit 1\r\n"),
        hears("nosub", "a filter and its limit", b"SUB foo.* 1\r\nUNSUB 1 1\r\n"),
        hears("nosub", "a filter and a literal beside it", b"SUB foo.* 1\r\nSUB foo.x 2\r\nSUB foo.x q 3\r\n"),
        hears("nosub", "a queue with a filter", b"SUB foo.* q 1\r\nSUB > r 2\r\n"),
        hears("nosub", "a filter stays after UNSUB", b"SUB foo.* 1\r\nUNSUB 1\r\nSUB foo.x 2\r\n"),
        hears("nosub", "malformed", b"SUB foo. 1\r\nSUB .lit 2\r\nSUB > > 3\r\n"),
        hears("sub", "malformed and denied", b"SUB x..y 1\r\nSUB foo..y 2\r\n"),
        talk(
            USERS,
            "a queue: who may not have it is passed over",
            as_user(1, "nosub"),
            sync(1, b"SUB foo.* q 1\r\n"),
            as_user(2, "alice"),
            sync(2, b"SUB foo.bar q 2\r\n"),
            as_user(3, "alice"),
            sync(3, pub(b"foo.bar", b"x") * 8),
            sync(2),
            sync(1),
            eof(1),
            eof(2),
        ),
        talk(
            USERS,
            "no responders where the only one may not have it",
            as_user(1, "nosub"),
            sync(1, b"SUB foo.* 1\r\n"),
            as_user(2, "alice", headers=True, no_responders=True),
            sync(2, b"SUB r 1\r\n" + pub(b"foo.bar", b"x", b"r")),
            eof(2),
            eof(1),
        ),
    ]
)


def answers(
    name: str, case: str, requests: list[tuple[bytes, bytes]], data: bytes, subs: bytes = b"SUB svc.> 1\r\n", **fields: Any
) -> Talk:
    """A service that gets requests, and what it publishes then; somebody listens to everything."""
    asked = b"".join(pub(subject, b"?", reply) for subject, reply in requests)
    count = subs.count(b"SUB ") * len(requests) + 1
    return talk(
        USERS,
        f"{name}: {case}",
        as_user(1, name, **fields),
        sync(1, subs),
        as_user(2, "alice"),
        sync(2, b"SUB _INBOX.> 1\r\n" + asked),
        frames(1, count + 1),
        sync(1, data),
        sync(2),
        eof(1),
        eof(2),
    )


ONE = [(b"svc.a", b"_INBOX.1")]
RESPONSES = [
    answers("resp", "an answer", ONE, pub(b"_INBOX.1", b"!")),
    answers("resp", "two answers", ONE, pub(b"_INBOX.1", b"!") * 2),
    answers("resp", "an answer to nobody", ONE, pub(b"_INBOX.2", b"!")),
    answers("resp", "nothing but answers", ONE, pub(b"svc.a", b"!")),
    answers("resp", "the same request twice", ONE * 2, pub(b"_INBOX.1", b"!") * 2),
    answers("resp", "the same request three times", ONE * 3, pub(b"_INBOX.1", b"!") * 2),
    answers("resp", "two subscriptions get one request", ONE, pub(b"_INBOX.1", b"!") * 2, b"SUB svc.> 1\r\nSUB svc.a 2\r\n"),
    answers(
        "resp", "two requests", [(b"svc.a", b"_INBOX.1"), (b"svc.b", b"_INBOX.2")], pub(b"_INBOX.2", b"!") + pub(b"_INBOX.1", b"!") * 2
    ),
    answers("resp", "no reply subject", [(b"svc.a", b"")], pub(b"_INBOX.1", b"!")),
    answers("resp", "verbose", ONE, pub(b"_INBOX.1", b"!") * 2, verbose=True),
    answers("resp", "an answer that asks back", ONE, pub(b"_INBOX.1", b"!", b"_INBOX.mine")),
    answers("resp2", "three answers", ONE, pub(b"_INBOX.1", b"!") * 3),
    answers("resp2", "the same request twice", ONE * 2, pub(b"_INBOX.1", b"!") * 3),
    answers("resp2", "the same request three times", ONE * 3, pub(b"_INBOX.1", b"!") * 3),
    answers("resp2", "the same request four times", ONE * 4, pub(b"_INBOX.1", b"!") * 3),
    answers("resps", "many answers", ONE, pub(b"_INBOX.1", b"!") * 9),
    answers("resps", "an answer where it may publish", [(b"svc.a", b"ok.1")], pub(b"ok.1", b"!") * 2),
    answers("resps", "an answer where it may not", [(b"svc.a", b"no.1")], pub(b"no.1", b"!") * 2),
    answers("denied", "an answer where all else is denied", ONE, pub(b"_INBOX.1", b"!") * 3),
    talk(
        USERS,
        "resp: its own request",
        as_user(1, "resp"),
        sync(1, b"SUB svc.a 1\r\n" + pub(b"svc.a", b"", b"_INBOX.1") + pub(b"_INBOX.1", b"!")),
        eof(1),
    ),
    talk(
        USERS,
        "resp: gone with the next CONNECT",
        as_user(1, "resp"),
        sync(1, b"SUB svc.a 1\r\n"),
        as_user(2, "alice"),
        sync(2, pub(b"svc.a", b"?", b"_INBOX.1")),
        frames(1, 3),
        send(1, login()),
        sync(1, pub(b"_INBOX.1", b"!")),
        eof(1),
        eof(2),
    ),
]

GUEST = server(users=(user("guest", publish_deny=("no.>",), subscribe_deny=("no.>",)), user("alice")), no_auth_user="guest")
GUEST_NKEY = server(users=(User(nkey=SILENT.public_key), User(nkey=PAIR.public_key)), no_auth_user=SILENT.public_key)
GUEST_WS = server(users=(User(user="guest", password=SECRET, connection_types=("WEBSOCKET",)), user("alice")), no_auth_user="guest")
NO_AUTH_USER = [
    *alone(
        GUEST,
        "no_auth_user",
        {
            "nothing": b"",
            "no CONNECT": b"SUB ok 1\r\n" + pub(b"ok", b"x"),
            "no CONNECT, what is denied": b"SUB no.x 1\r\n" + pub(b"no.x", b"x"),
            "CONNECT without credentials": login(protocol=1),
            "then what is denied": login() + pub(b"no.x"),
            "the right user": login(user="alice", **{"pass": SECRET}),
            "a wrong password": login(user="alice", **{"pass": "x"}),
            "no password": login(user="alice"),
            "only a password": login(**{"pass": SECRET}),
            "an unknown user": login(user="x"),
            "a token": login(auth_token="x"),
            "an nkey": login(nkey=PAIR.public_key),
            "a jwt": login(jwt="x.y.z"),
            "itself, with its password": login(user="guest", **{"pass": SECRET}),
            "itself, without": login(user="guest"),
            "CONNECT after the first operation": pub(b"ok") + login(user="alice", protocol=1, **{"pass": SECRET}) + pub(b"no.x"),
            "CONNECT after it, wrong": pub(b"ok") + login(user="alice", **{"pass": "x"}) + pub(b"no.x"),
            "CONNECT after it, without credentials": b"SUB ok 1\r\n" + login(protocol=1) + pub(b"ok"),
            "rubbish": b"GET / HTTP/1.1\r\n",
            "an empty line": b"\r\n",
            "-ERR": b"-ERR 'x'\r\n",
            "INFO": b"INFO {}\r\n",
            "an account": login(account="A"),
        },
    ),
    *alone(
        GUEST_NKEY,
        "an nkey as no_auth_user",
        {
            "nothing": b"",
            "no CONNECT": pub(b"ok"),
            "CONNECT without credentials": login(protocol=1),
            "its nkey without a signature": login(nkey=SILENT.public_key),
            "another nkey without a signature": login(nkey=PAIR.public_key),
            "a user": login(user="x"),
            "a token": login(auth_token="x"),
        },
    ),
    *alone(
        GUEST_WS,
        "no_auth_user by another way",
        {"nothing": b"", "CONNECT without credentials": login(), "the right user": login(user="alice", **{"pass": SECRET})},
    ),
]


def signed(pair: KeyPair, kind: str = "raw", **fields: Any) -> bytes:
    """A CONNECT with the signature of the nonce."""
    return login(**{"nkey": pair.public_key, "sig": f"<<signature of {pair.seed()} as {kind}>>", **fields})


NKEYS = server(
    users=(
        User(nkey=PAIR.public_key),
        User(nkey=SILENT.public_key, permissions=Permissions(publish_allow=("ok",)), connection_types=("STANDARD",)),
        User(nkey=OTHER.public_key, connection_types=("WEBSOCKET",)),
        user("alice"),
    )
)
STRANGER = KeyPair._from_raw_seed(Prefix.USER, bytearray(range(9, 41)))
BY_NKEY = [
    *alone(
        NKEYS,
        "nkey",
        {
            "a signature": signed(PAIR),
            "standard base64": signed(PAIR, "std"),
            "protocol 1": signed(PAIR, protocol=1),
            "permissions": signed(SILENT) + pub(b"ok") + pub(b"no"),
            "another's signature": signed(SILENT, nkey=PAIR.public_key),
            "no signature": login(nkey=PAIR.public_key),
            "an empty signature": login(nkey=PAIR.public_key, sig=""),
            "a signature that is no base64": login(nkey=PAIR.public_key, sig="?" * 86),
            "a short signature": login(nkey=PAIR.public_key, sig="AAAA"),
            "a long signature": login(nkey=PAIR.public_key, sig="A" * 400),
            "zeros": login(nkey=PAIR.public_key, sig="A" * 86),
            "not by TCP": signed(OTHER),
            "a stranger": signed(STRANGER),
            "a key in lower case": signed(PAIR, nkey=PAIR.public_key.lower()),
            "no key": login(sig="AAAA"),
            "a user beside it": signed(PAIR, user="alice"),
            "a user instead": login(user="alice", **{"pass": SECRET}),
            "a user with a wrong password beside a good key": signed(PAIR, user="alice", **{"pass": "x"}),
            "nothing": login(),
            "a bad key and a good user": login(nkey="U", user="alice", **{"pass": SECRET}),
            "before CONNECT": pub(b"x"),
        },
    ),
    talk(
        NKEYS,
        "nkey: the nonce holds for a second CONNECT",
        connect(1),
        send(1, signed(PAIR)),
        sync(1),
        send(1, signed(PAIR)),
        sync(1),
        eof(1),
    ),
    talk(
        NKEYS,
        "nkey: a signature of another connection",
        connect(1),
        connect(2),
        sync(1, signed(PAIR)),
        sync(2, login(nkey=PAIR.public_key, sig="x")),
        eof(1),
        eof(2),
    ),
]

TOKEN_HASH, USER_HASH = server(token=HASH), server(user="bob", password=HASH)
TOKENS, NO_HEADERS = server(max_sub_tokens=3), server(no_header_support=True)
DEFAULTS = server(
    users=(user("alice"), user("own", publish_allow=("own",))),
    default_permissions=Permissions(publish_deny=("no",), subscribe_allow=("foo.*", "_INBOX.>")),
)
TIMEOUT = server(users=(user("alice"),), auth_timeout=0.1)
GUEST_TIMEOUT = server(users=(user("alice"),), no_auth_user="alice", auth_timeout=0.1)
OTHERS = [
    *alone(
        TOKEN_HASH,
        "token as bcrypt",
        {
            "right": login(auth_token=SECRET),
            "wrong": login(auth_token="x"),
            "the hash": login(auth_token=HASH),
            "none": login(),
            "as password": login(user="x", **{"pass": SECRET}),
        },
    ),
    *alone(
        USER_HASH,
        "one user with bcrypt",
        {
            "right": login(user="bob", **{"pass": SECRET}),
            "wrong": login(user="bob", **{"pass": "x"}),
            "another": login(user="x", **{"pass": SECRET}),
            "none": login(),
            "the hash": login(user="bob", **{"pass": HASH}),
            "a token": login(auth_token=SECRET),
        },
    ),
    *alone(
        TOKENS,
        "max_sub_tokens",
        {
            name: login(verbose=True) + b"SUB " + subject + b" 1\r\n" + pub(b"a.b.c", b"x")
            for name, subject in {
                "three": b"a.b.c",
                "four": b"a.b.c.d",
                "a queue": b"a.b.c.d q",
                "wildcards": b"a.*.>",
                "four wildcards": b"*.*.*.*",
                "empty ones": b"a...",
                "malformed": b"a..c",
                "one": b"a",
                "system queue": b"a.b.c.d _sys_",
                "quotes": b'a.b."c".d',
            }.items()
        },
    ),
    *alone(
        NO_HEADERS,
        "no headers",
        {
            "nothing": b"",
            "CONNECT": login(headers=True, protocol=1),
            "HPUB": login(headers=True) + hpub(b"a", b"NATS/1.0\r\n\r\n", b"x"),
            "no responders": login(headers=True, no_responders=True),
            "HPUB without CONNECT": hpub(b"a", b"NATS/1.0\r\n\r\n", b"x"),
        },
    ),
    *[
        talk(DEFAULTS, f"default permissions: {name}, {case}", as_user(1, name), sync(1, data), eof(1))
        for name in ("alice", "own")
        for case, data in {"publish": pub(b"x") + pub(b"no") + pub(b"own"), "subscribe": b"SUB foo.x 1\r\nSUB x 2\r\nSUB > 3\r\n"}.items()
    ],
    talk(TIMEOUT, "auth timeout: nothing is said", connect(1), wait_close(1)),
    talk(TIMEOUT, "auth timeout: half a CONNECT", connect(1), send(1, b'CONNECT {"user"'), wait_close(1)),
    talk(GUEST_TIMEOUT, "auth timeout: with no_auth_user too", connect(1), wait_close(1)),
]

TALKS = [*AUTHENTICATION, *PUBLISH, *SUBSCRIBE, *RESPONSES, *NO_AUTH_USER, *BY_NKEY, *OTHERS]
