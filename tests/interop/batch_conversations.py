"""Conversations with JetStream about batches, counters and schedules, as data: see ``jetstream_player`` for the steps."""

from jetstream_player import Conversation, Step, api, create, get, info, pairs, pub, update

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

START, APPEND, COMMIT, END, PING = range(5)


def fast(number: object, operation: object = APPEND, subject: str = "s.a", place: str = "", **headers: str) -> Step:
    """One message of a fast batch that may have no gaps, unless place says something else."""
    return Step(subject, b"x", pairs(headers), "all", place or f"b.10.fail.{number}.{operation}.$FI")


def loose(number: object, operation: object = APPEND, subject: str = "s.a", flow: object = 10, batch: str = "b", **headers: str) -> Step:
    """One that may."""
    return fast(number, operation, subject, f"{batch}.{flow}.ok.{number}.{operation}.$FI", **headers)


def batched(**config: object) -> Step:
    return create(allow_batched=True, **config)


FAST = [
    talk("a fast batch", batched(), *whole(fast(1, START), fast(2), fast(3), fast(4, COMMIT)), fast(5)),
    talk("a fast batch that ends without a message", batched(), *whole(fast(1, START), fast(2), fast(3, END))),
    once("a fast batch of one", batched(), *whole(fast(1, COMMIT), fast(1, END), fast(1, START), fast(1, START))),
    once("a stream that takes no fast batches", create(), fast(1, START), fast(2), fast("x", "y"), info()),
    once("a sealed stream takes no fast ones", batched(), update(allow_batched=True, sealed=True), fast(1, START)),
    once(
        "places that are none",
        batched(),
        *(
            fast(1, place=each)
            for each in (
                "$FI",
                "0.$FI",
                "1.0.$FI",
                "ok.1.0.$FI",
                "10.ok.1.0.$FI",
                "b.10.ok.1.5.$FI",
                "b.10.ok.1.x.$FI",
                "b.10.ok.x.0.$FI",
                "b.10.ok.0.0.$FI",
                "b.10.ok.2.0.$FI",
                "b.10.ok.1.1.$FI",
                "b.10.ok.1.3.$FI",
                "b.10.OK.1.0.$FI",
                "b.10.ok.18446744073709551615.1.$FI",
                "b.10.ok.18446744073709551616.1.$FI",
                f"{'x' * 65}.10.ok.1.0.$FI",
                f"{'x' * 64}.10.ok.1.2.$FI",
                "b.x.ok.01.00.$FI",
                "c.70000.ok.1.0.$FI",
                "d.0.ok.1.0.$FI",
            )
        ),
    ),
    once("a fast batch that nobody knows", batched(), fast(2), fast(2, COMMIT), fast(2, END), fast(7, PING)),
    talk("a gap ends it", batched(), *whole(fast(1, START), fast(2), fast(4), fast(5))),
    once("a gap at the end", batched(), *whole(fast(1, START), fast(4, COMMIT), fast(1, START), fast(4, END))),
    once("going back ends it", batched(), *whole(fast(1, START), fast(2), fast(2), fast(1, START), fast(1, START))),
    talk("gaps that may be", batched(), *whole(loose(1, START), loose(4), loose(5), loose(9, COMMIT))),
    once("gaps that may be, at the end", batched(), *whole(loose(1, START), loose(4), loose(9, END), loose(1, START), loose(1))),
    once("a gap that may be, and going back", batched(), *whole(loose(1, START), loose(4), loose(3), loose(5))),
    talk(
        "flow", batched(), loose(1, START, flow=3), *(loose(number, flow=3) for number in range(2, 12)), loose(12, COMMIT, flow=3), info()
    ),
    once("a flow of one", batched(), loose(1, START, flow=1), *(loose(number, flow=1) for number in range(2, 5)), loose(5, END, flow=1)),
    once(
        "gaps and flow", batched(), loose(1, START, flow=3), loose(9, flow=3), loose(10, flow=3), loose(20, flow=3), loose(21, END, flow=3)
    ),
    once(
        "the second begins slowly",
        batched(),
        loose(1, START),
        loose(1, START, batch="c", flow=400),
        *(loose(number, batch="c", flow=400) for number in range(2, 40)),
        loose(40, COMMIT, batch="c", flow=400),
        loose(2),
    ),
    talk("pings", batched(), *whole(fast(1, START), fast(1, PING), fast(2), fast(2, PING), fast(3, PING), fast(3, PING), fast(3))),
    once(
        "pings and gaps",
        batched(),
        *whole(loose(1, START, flow=3), loose(1, PING), loose(5, PING), loose(6), loose(9, PING), loose(10, END)),
    ),
    once("a ping at first", batched(), *whole(fast(1, PING), fast(1, START), loose(1, PING, batch="c"), loose(2, batch="c"))),
    once("a level that is too high, fast", batched(), *whole(fast(1, START), fast(2, Nats_Required_Api_Level="99"), fast(2))),
    once("a level that is not, fast", batched(), *whole(fast(1, START, Nats_Required_Api_Level="1"), fast(2, COMMIT))),
    talk(
        "ids, fast",
        batched(),
        pub("s.a", Nats_Msg_Id="0"),
        *whole(
            fast(1, START, Nats_Msg_Id="1"),
            fast(2, Nats_Msg_Id="0"),
            fast(3, Nats_Msg_Id="1"),
            fast(4, COMMIT, Nats_Msg_Id="2"),
            fast(1, START, Nats_Msg_Id="0"),
            fast(2, COMMIT, Nats_Msg_Id="0"),
            fast(1, COMMIT, Nats_Msg_Id="0"),
            loose(1, START, Nats_Msg_Id="0"),
            loose(2, COMMIT, Nats_Msg_Id="1"),
            loose(1, COMMIT, Nats_Msg_Id="1"),
        ),
    ),
    once(
        "ids and flow",
        batched(),
        pub("s.a", Nats_Msg_Id="0"),
        loose(1, START, flow=2),
        *(loose(n, flow=2, Nats_Msg_Id="0") for n in range(2, 7)),
    ),
    talk(
        "errors, fast",
        batched(),
        *whole(
            fast(1, START, Nats_Expected_Last_Sequence="9"),
            fast(1, START),
            fast(2, Nats_Expected_Last_Sequence="9"),
            fast(3),
            loose(1, START, Nats_Expected_Last_Sequence="9"),
            loose(2),
            loose(3, Nats_Expected_Last_Sequence="9"),
            loose(4, COMMIT, Nats_Expected_Stream="T"),
            fast(1, COMMIT, Nats_Rollup="x"),
            loose(1, COMMIT, Nats_Rollup="x"),
            fast(1, START),
            fast(2, COMMIT, Nats_Rollup="x"),
        ),
    ),
    once("headers that are followed, fast", batched(), *whole(fast(1, START, Nats_Expected_Last_Sequence="0"), fast(2, COMMIT, A="1"))),
    once(
        "a last id that is expected, fast",
        batched(),
        *whole(fast(1, START, Nats_Msg_Id="1"), fast(2, COMMIT, Nats_Expected_Last_Msg_Id="2")),
    ),
    once("times to live, fast", batched(allow_msg_ttl=True), *whole(fast(1, START, Nats_TTL="5s"), fast(2, COMMIT, Nats_TTL="x"))),
    once("no times to live, fast", batched(), *whole(fast(1, START), fast(2, COMMIT, Nats_TTL="5s"))),
    talk("rollups, fast", batched(allow_rollup_hdrs=True), pub("s.a"), *whole(fast(1, START), fast(2, COMMIT, Nats_Rollup="sub"))),
    talk("the newest of a fast batch", batched(max_msgs=2), *whole(fast(1, START), fast(2), fast(3), fast(4, COMMIT))),
    talk("no room, fast", batched(max_msgs=2, discard="new"), *whole(fast(1, START), fast(2), fast(3), fast(4, COMMIT))),
    once("no room and gaps, fast", batched(max_msgs=2, discard="new"), *whole(loose(1, START), loose(2), loose(3), loose(4, COMMIT))),
    once("subjects transformed, fast", batched(subject_transform={"src": "s.*", "dest": "t.$1"}), *whole(fast(1, START), fast(2, COMMIT))),
    once(
        "counters, fast",
        batched(allow_msg_counter=True),
        *whole(fast(1, START), fast(1, START, Nats_Incr="1"), Step("s.a", b"", (("Nats-Incr", "1"),), "all", "c.10.fail.1.2.$FI")),
    ),
    once("interest in nothing, fast", batched(retention="interest"), *whole(fast(1, START), fast(2), fast(3, COMMIT))),
    once("both kinds of batches", batched(allow_atomic=True), *whole(fast(1, START), part(1), fast(2, COMMIT), last(2)), last(1)),
    once("fast batches are allowed no more", batched(), fast(1, START), update(), fast(2), update(allow_batched=True), fast(2)),
    once("batched and persisting later", create(allow_batched=True, persist_mode="async", storage="file")),
]

FAR = "@at 2099-01-01T00:00:00Z"


PAST = "@at 2020-01-01T00:00:00Z"


def found(subject: str) -> Step:
    """Wait until there is a message of a subject."""
    return api("STREAM.MSG.GET.S", {"last_by_subj": subject}, "found")


def scheduled(**config: object) -> Step:
    return create(allow_msg_schedules=True, **config)


def schedule(pattern: str, subject: str = "s.x", target: str = "s.y", **headers: str) -> Step:
    return pub(subject, b"x", Nats_Schedule=pattern, Nats_Schedule_Target=target, **headers)


def patterns(name: str, *these: str, **headers: str) -> Conversation:
    return once(name, scheduled(), *(schedule(each, **headers) for each in these), info())


SCHEDULES = [
    talk(
        "a schedule", scheduled(), *whole(pub("s.a"), schedule(FAR), schedule(FAR), schedule(FAR, "s.z"), pub("s.x"), schedule("@hourly"))
    ),
    once(
        "a stream that takes no schedules",
        create(),
        schedule(FAR),
        schedule("x"),
        pub("s.x", Nats_Schedule_Time_Zone="x"),
        pub("s.x", Nats_Schedule_Time_Zone="UTC"),
        pub("s.x", Nats_Schedule_Target="s.y"),
        pub("s.x", Nats_Scheduler="s.y"),
        pub("s.x", Nats_Scheduler="s.y", Nats_Schedule_Next="purge"),
        pub("s.x", Nats_Schedule_Next="purge"),
        info(),
    ),
    once(
        "streams that can have none",
        scheduled(discard="new"),
        scheduled(allow_msg_counter=True),
        scheduled(deny_purge=True),
        scheduled(),
        update(),
        update(allow_msg_schedules=True, deny_purge=True),
        info(),
    ),
    patterns(
        "times of schedules", FAR, "@at 2099-01-01", "@at x", "@at ", "@at", "@at 2099-01-01T00:00:00+02:00", "@at 2099-02-30T00:00:00Z"
    ),
    patterns(
        "intervals of schedules", "@every 1h", "@every 1s", "@every 999ms", "@every -1h", "@every x", "@every", "@every 1.5h", "@every  1h"
    ),
    patterns(
        "names of schedules", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@Hourly", "@minutely", "x"
    ),
    patterns(
        "fields of schedules",
        "0 0 0 1 1 *",
        "0 0 0 1 1",
        "0 0 0 1 1 * *",
        "0  0   0 1 1 *",
        "0 0 0 1 jan sun",
        "0 0 0 1 JAN-dec mon-FRI",
        "60 0 0 1 1 *",
        "0 60 0 1 1 *",
        "0 0 24 1 1 *",
        "0 0 0 0 1 *",
        "0 0 0 32 1 *",
        "0 0 0 1 13 *",
        "0 0 0 1 0 *",
        "0 0 0 1 1 7",
        "0 0 0 1 1 -1",
        "0 0 0 30 2 *",
        "0 0 0 30 2 ?",
        "0 0 0 29 2 *",
        "0 0 0 30 2 1",
        "0 0 0 31 4,6,9,11 *",
        "0-10/2,30 */5 0/3 ? * ?",
        "10-5 0 0 1 1 *",
        "0-1-2 0 0 1 1 *",
        "0/1/2 0 0 1 1 *",
        "0/0 0 0 1 1 *",
        "0/x 0 0 1 1 *",
        "+0 0 0 1 1 *",
        ", 0 0 1 1 *",
        "0,,1 0 0 1 1 *",
        "0, 0 0 , 1 *",
        "*/x 0 0 1 1 *",
        "1- 0 0 1 1 *",
        "-1 0 0 1 1 *",
        "/2 0 0 1 1 *",
        "*-5 0 0 1 1 *",
        "é 0 0 1 1 *",
    ),
    patterns("a time zone", "0 0 0 1 1 *", "@daily", FAR, "@every 1h", Nats_Schedule_Time_Zone="Europe/Amsterdam"),
    once(
        "time zones",
        scheduled(),
        *(
            schedule("@daily", Nats_Schedule_Time_Zone=each)
            for each in ("UTC", "America/New_York", "+02:00", "x", "../x", "EST", "Europe/", "")
        ),
        pub("s.x", Nats_Schedule_Time_Zone="x"),
    ),
    once(
        "targets of schedules",
        scheduled(subjects=["s.>", "t.*"]),
        *(schedule(FAR, target=each) for each in ("s.x", "s.*", "s.", "t.a", "t.a.b", "u", "", "a b")),
        pub("s.x", Nats_Schedule=FAR),
    ),
    once(
        "sources of schedules", scheduled(), *(schedule(FAR, Nats_Schedule_Source=each) for each in ("s.z", "s.x", "s.y", "s.*", "t", ""))
    ),
    once(
        "times to live of schedules, where there are none",
        scheduled(),
        *(schedule(FAR, Nats_Schedule_TTL=each) for each in ("5s", "x", "")),
    ),
    once(
        "times to live of schedules",
        scheduled(allow_msg_ttl=True),
        *(schedule(FAR, Nats_Schedule_TTL=each) for each in ("5s", "x", "never", "0", "1")),
        schedule(FAR, Nats_TTL="1h"),
    ),
    once("rollups of schedules", scheduled(), *(schedule(FAR, Nats_Schedule_Rollup=each) for each in ("sub", "all", "SUB", "x", ""))),
    once("schedules that roll up", scheduled(), *(schedule(FAR, Nats_Rollup=each) for each in ("sub", "all", "SUB", "x")), info()),
    talk(
        "schedules that are ended",
        scheduled(),
        *whole(
            schedule(FAR),
            pub("s.a", Nats_Schedule_Next="purge"),
            pub("s.a", Nats_Scheduler="s.x"),
            pub("s.a", Nats_Scheduler="s.x", Nats_Schedule_Next="2099-01-01T00:00:00Z"),
            pub("s.x", Nats_Scheduler="s.x", Nats_Schedule_Next="purge"),
            pub("s.a", Nats_Scheduler="s.*", Nats_Schedule_Next="purge"),
            pub("s.a", Nats_Scheduler="s.nothing", Nats_Schedule_Next="purge"),
            pub("s.b", Nats_Scheduler="s.a", Nats_Schedule_Next="purge"),
            pub("s.b", Nats_Scheduler="s.x", Nats_Schedule_Next="purge", Nats_Expected_Last_Subject_Sequence="0"),
            pub("s.c", Nats_Scheduler="s.x", Nats_Schedule_Next="purge", Nats_Expected_Last_Subject_Sequence="7"),
        ),
    ),
    talk(
        "schedules that are due",
        scheduled(allow_msg_ttl=True),
        pub("s.source", b"sampled", A="1", Nats_Msg_Id="7", Nats_TTL="1h"),
        schedule(PAST, "s.1", "s.y1", B="2", Nats_Msg_Id="8", Nats_Expected_Last_Subject_Sequence="0", Nats_TTL="2h"),
        schedule(PAST, "s.2", "s.y2", Nats_Schedule_TTL="5m", Nats_Schedule_Rollup="sub"),
        schedule(PAST, "s.3", "s.y3", Nats_Schedule_Source="s.source"),
        schedule(PAST, "s.4", "s.y4", Nats_Schedule_Source="s.none"),
        *(found(f"s.y{number}") for number in range(1, 5)),
        info(subjects_filter=">"),
    ),
    once(
        "a schedule that transforms",
        scheduled(subjects=["s.*"], subject_transform={"src": "s.*", "dest": "t.$1"}),
        schedule(PAST, "s.1", "s.y1"),
        found("t.y1"),
        info(subjects_filter=">"),
    ),
    once("a schedule at Go's zero time is none", scheduled(), schedule("@at 0001-01-01T00:00:00Z"), info(), get(seq=1)),
    once(
        "schedules in batches",
        scheduled(allow_atomic=True, allow_batched=True),
        *whole(
            part(1, "s.x", Nats_Schedule=FAR, Nats_Schedule_Target="s.y"),
            part(2, "s.a", Nats_Schedule_Next="purge", Nats_Scheduler="s.x"),
            last(3, "s.b"),
            part(1, "s.z"),
            last(2, "s.a", Nats_Schedule_Next="purge", Nats_Scheduler="s.z"),
            part(1, "s.x"),
            last(2, "s.x", Nats_Schedule=FAR, Nats_Schedule_Target="s.y"),
            last(1, "s.x", Nats_Schedule="x", Nats_Schedule_Target="s.y"),
            fast(1, 2, "s.x", Nats_Schedule=FAR, Nats_Schedule_Target="s.y"),
            fast(1, 2, "s.x", Nats_Schedule=FAR),
        ),
    ),
]

CONVERSATIONS = [*ATOMIC, *FAST, *SCHEDULES]
