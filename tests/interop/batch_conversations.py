"""Conversations with JetStream about batches, counters and schedules, as data: see ``jetstream_player`` for the steps."""

from jetstream_player import Conversation, Step, api, create, get, info, pub, update

MINUTE = 60_000_000_000


def talk(name: str, *steps: Step | list[Step], storages: tuple[str, ...] = ("memory", "file")) -> Conversation:
    flat = [step for each in steps for step in (each if isinstance(each, list) else [each])]
    return Conversation(name, tuple(flat), storages)


def once(name: str, *steps: Step | list[Step]) -> Conversation:
    """A conversation for which it does not matter where streams are kept."""
    return talk(name, *steps, storages=("memory",))


def atomic(**config: object) -> Step:
    return create(allow_atomic=True, **config)


def part(number: object, subject: str = "s.a", payload: bytes = b"x", batch: str = "b", until: str = "one", **headers: str) -> Step:
    """One message of an atomic batch."""
    return pub(subject, payload, until, Nats_Batch_Id=batch, Nats_Batch_Sequence=str(number), **headers)


def last(number: object, subject: str = "s.a", payload: bytes = b"x", commit: str = "1", batch: str = "b", **headers: str) -> Step:
    return part(number, subject, payload, batch, Nats_Batch_Commit=commit, **headers)


def whole(*steps: Step) -> list[Step]:
    """The steps, and what they left behind."""
    return [*steps, info(subjects_filter=">"), *(get(seq=number) for number in range(1, 6))]


ATOMIC = [
    talk("a batch, committed", atomic(), pub("s.a"), *whole(part(1), part(2, "s.b", b"y"), last(3, "s.c"))),
    talk("a batch that ends without a message", atomic(), *whole(part(1), part(2, "s.b"), last(3, "s.c", commit="eob"))),
    talk("a batch of one", atomic(), *whole(last(1))),
    once("a batch of nothing", atomic(), *whole(last(1, commit="eob"), part(1), last(2))),
    once("a stream that takes no batches", create(), part(1), last(2), last("x"), info()),
    once("a sealed stream takes none", atomic(), update(allow_atomic=True, sealed=True), part(1)),
    once("an id that is too long", atomic(), part(1, batch="x" * 64), last(2, batch="x" * 64), part(1, batch="x" * 65)),
    once("odd ids", atomic(), last(1, batch='a"b'), last(1, batch="ä"), last(1, batch="a b"), last(1, batch="\\")),
    once("sequences that are none", atomic(), *(part(each) for each in ("", "x", "-1", "1.0", "0", "9" * 30)), part("01"), last("+2")),
    once("gaps in batches", atomic(), *whole(part(1), part(3), last(2), part(1), part(1), part(1), part(2), last(4), part(2))),
    once("a batch that nobody knows", atomic(), part(2), last(2), last(1001), last(1002), last(1002, commit="eob")),
    once(
        "commits that are none",
        atomic(),
        *whole(part(1), last(2, commit="x"), last(2), last(1, commit="0"), part(1), last(2, commit="EOB")),
    ),
    once(
        "a level that is too high",
        atomic(),
        *whole(
            part(1),
            part(2, Nats_Required_Api_Level="99"),
            last(3),
            part(1, Nats_Required_Api_Level="2"),
            last(2, Nats_Required_Api_Level="1"),
        ),
    ),
    once("a last id is not expected", atomic(), *whole(part(1), last(2, Nats_Expected_Last_Msg_Id="1"), last(2))),
    talk(
        "expected sequences",
        atomic(),
        pub("s.a"),
        *whole(
            part(1, Nats_Expected_Last_Sequence="1"),
            last(2),
            part(1, Nats_Expected_Last_Sequence="1"),
            last(2),
            part(1),
            last(2, Nats_Expected_Last_Sequence="4"),
            part(1),
            last(2, Nats_Expected_Last_Sequence="3"),
            last(1, Nats_Expected_Last_Sequence="x"),
        ),
    ),
    talk(
        "expected sequences of subjects",
        atomic(),
        pub("s.a"),
        *whole(
            part(1, Nats_Expected_Last_Subject_Sequence="1"),
            last(2, "s.b", Nats_Expected_Last_Subject_Sequence="0"),
            part(1, Nats_Expected_Last_Subject_Sequence="1"),
            last(2),
            part(1),
            last(2, Nats_Expected_Last_Subject_Sequence="2"),
            part(1, "s.c", Nats_Expected_Last_Subject_Sequence="3", Nats_Expected_Last_Subject_Sequence_Subject="s.b"),
            last(2, "s.d", Nats_Expected_Last_Subject_Sequence="9", Nats_Expected_Last_Subject_Sequence_Subject="s.b"),
            part(1, "s.c", Nats_Expected_Last_Subject_Sequence_Subject="s.b"),
            last(2),
            part(1, "s.c", Nats_Expected_Last_Subject_Sequence="3", Nats_Expected_Last_Subject_Sequence_Subject="s.*"),
            last(2, "s.d"),
        ),
    ),
    once("the stream that is expected", atomic(), *whole(part(1, Nats_Expected_Stream="S"), last(2, Nats_Expected_Stream="T"))),
    talk(
        "ids",
        atomic(),
        pub("s.a", Nats_Msg_Id="0"),
        *whole(
            part(1, Nats_Msg_Id="1"),
            last(2, Nats_Msg_Id="2"),
            part(1, Nats_Msg_Id="3"),
            last(2, Nats_Msg_Id="3"),
            part(1, Nats_Msg_Id="3"),
            last(2, Nats_Msg_Id="1"),
            pub("s.a", Nats_Msg_Id="2"),
            pub("s.a", Nats_Msg_Id="3"),
            pub("s.a", Nats_Expected_Last_Msg_Id="3"),
        ),
    ),
    once("times to live, where there are none", atomic(), *whole(part(1, Nats_TTL="5s"), last(2), part(1, Nats_TTL="x"), last(2))),
    once("times to live", atomic(allow_msg_ttl=True), *whole(part(1, Nats_TTL="5s"), last(2), part(1, Nats_TTL="x"), last(2))),
    once(
        "markers live at least so long",
        atomic(subject_delete_marker_ttl=MINUTE),
        *whole(part(1, Nats_TTL="5s"), last(2, Nats_TTL="5m")),
    ),
    talk(
        "rollups",
        atomic(allow_rollup_hdrs=True),
        pub("s.a"),
        pub("s.b"),
        *whole(
            part(1, Nats_Rollup="sub"),
            last(2),
            part(1),
            last(2, Nats_Rollup="sub"),
            part(1),
            last(2, Nats_Rollup="all"),
            part(1, Nats_Rollup="all"),
            last(2, "s.c"),
            last(1, Nats_Rollup="x"),
        ),
    ),
    once("rollups, where they are not allowed", atomic(), *whole(part(1, Nats_Rollup="sub"), last(2), last(1, Nats_Rollup="x"))),
    once("a source is not told by clients", atomic(), *whole(part(1, Nats_Stream_Source="S 1"), last(2))),
    talk("the newest of a batch", atomic(max_msgs=2), pub("s.a"), *whole(part(1), part(2, "s.b"), last(3, "s.c"))),
    talk("the newest of a subject", atomic(max_msgs_per_subject=1), pub("s.a"), *whole(part(1), part(2, "s.b"), last(3))),
    talk("no room for messages", atomic(max_msgs=3, discard="new"), pub("s.a"), *whole(part(1), part(2), last(3), part(1), last(2))),
    talk("no room for bytes", atomic(max_bytes=200, discard="new"), pub("s.a"), *whole(part(1), last(2, payload=b"x" * 150), last(1))),
    talk(
        "no room in a subject",
        atomic(max_msgs_per_subject=2, discard="new", discard_new_per_subject=True),
        pub("s.a"),
        *whole(part(1), last(2), part(1), last(2, "s.b")),
    ),
    once("messages that are too long", atomic(max_msg_size=100), *whole(part(1, payload=b"x" * 200), part(1), last(2))),
    once("subjects transformed", atomic(subject_transform={"src": "s.*", "dest": "t.$1"}), *whole(part(1), last(2, "s.b"))),
    once(
        "counters in batches",
        atomic(allow_msg_counter=True),
        pub("s.a", b"", Nats_Incr="5"),
        *whole(
            part(1, payload=b"", Nats_Incr="1"),
            part(2, "s.b", b"", Nats_Incr="7"),
            last(3, payload=b"", Nats_Incr="-9"),
            part(1),
            last(2, payload=b"", Nats_Incr="1"),
            last(1, payload=b"", Nats_Incr="x"),
            last(1, payload=b"y", Nats_Incr="1"),
        ),
    ),
    once("an increment for no counter", atomic(), *whole(part(1, payload=b"", Nats_Incr="1"), last(2))),
    once("interest in nothing", atomic(retention="interest"), *whole(part(1), last(2))),
    once("a stream that does not answer", atomic(no_ack=True), part(1, until="none"), part(2, until="none", Nats_Batch_Commit="1"), info()),
    once("batches are allowed no more", atomic(), part(1), update(), part(2), update(allow_atomic=True), part(2), last(1)),
    once("many open batches", atomic(), *(part(1, batch=str(number)) for number in range(51)), last(2, batch="0"), part(1, batch="51")),
    once("two batches at a time", atomic(), *whole(part(1), part(1, batch="c"), part(2, batch="c"), last(2), last(3, batch="c"))),
    once("a batch of a thousand", atomic(), *(part(number) for number in range(1, 1001)), last(1001, commit="eob"), info()),
    once("a batch of too many", atomic(), *(part(number) for number in range(1, 1001)), last(1001), last(1001), info()),
    once(
        "batches and persisting later",
        create(allow_atomic=True, persist_mode="async", storage="file"),
        create(allow_atomic=True),
        update(allow_atomic=True, persist_mode="async"),
        api("STREAM.INFO.S"),
    ),
]

CONVERSATIONS = [*ATOMIC]
