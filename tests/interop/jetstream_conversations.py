"""Conversations with JetStream about streams, as data: see ``jetstream_player`` for the steps. What must come back is not written here."""

from typing import Any

from jetstream_player import Conversation, Step, api, batch, create, direct, get, info, pub, update

MINUTE = 60_000_000_000
HUGE = "9" * 30


def talk(name: str, *steps: Step | list[Step], storages: tuple[str, ...] = ("memory", "file")) -> Conversation:
    flat = [step for each in steps for step in (each if isinstance(each, list) else [each])]
    return Conversation(name, tuple(flat), storages)


def fill(count: int, subject: str = "s.{}", **headers: str) -> list[Step]:
    """Publish so many messages; the subject may take the number."""
    return [pub(subject.format(number), b"m%d" % number, **headers) for number in range(1, count + 1)]


def once(name: str, *steps: Step | list[Step]) -> Conversation:
    """A conversation for which it does not matter where streams are kept."""
    return talk(name, *steps, storages=("memory",))


ACCOUNT = [
    once("account info", api("INFO")),
    once("account info with a body", api("INFO", b"whatever")),
    talk("account info with streams", create(max_bytes=1 << 20), fill(2), api("INFO")),
    once(
        "an unknown subject is not answered",
        api("FOO", until="none"),
        api("STREAM.FOO.S", until="none"),
        api("STREAM.CREATE", until="none"),
    ),
    once("too many tokens are not answered", api("STREAM.INFO.S.T", until="none"), api("STREAM.NAMES.S", until="none")),
    once("a direct get of nothing has no responders", direct("S", seq=1), api("CONSUMER.MSG.NEXT.S.C", b"1")),
    once("an API level that is too high", api("INFO", Nats_Required_Api_Level="99"), api("STREAM.NAMES", Nats_Required_Api_Level="99")),
    once(
        "an API level that is none", api("INFO", Nats_Required_Api_Level="x"), create(), api("STREAM.INFO.S", Nats_Required_Api_Level="1")
    ),
    once(
        "what needs a cluster",
        *(
            api(subject)
            for subject in (
                "STREAM.LEADER.STEPDOWN.S",
                "STREAM.PEER.REMOVE.S",
                "STREAM.PEER.EVACUATE.S",
                "STREAM.CANCEL_MOVE.S",
                "CONSUMER.LEADER.STEPDOWN.S.C",
            )
        ),
    ),
    once(
        "of clusters only",
        *(
            api(subject, until="none")
            for subject in (
                "META.LEADER.STEPDOWN",
                "SERVER.REMOVE",
                "ACCOUNT.PURGE.A",
                "ACCOUNT.STREAM.MOVE.A.S",
                "ACCOUNT.STREAM.CANCEL_MOVE.A.S",
            )
        ),
    ),
]

CREATE = [
    talk("create", create(), info()),
    talk("create again", create(), create(), create(max_msgs=5)),
    once("names do not match", create(), api("STREAM.CREATE.T", {"name": "S"}), api("STREAM.CREATE.T"), api("STREAM.CREATE.T", {})),
    once(
        "bad JSON",
        api("STREAM.CREATE.S", b"{bad"),
        api("STREAM.CREATE.S", b'{"name":"S",'),
        api("STREAM.CREATE.S", b"[]"),
        api("STREAM.CREATE.S", b'"S"'),
    ),
    once("an unknown field", api("STREAM.CREATE.S", {"name": "S", "zzz": 1}), api("STREAM.CREATE.S", {"name": "S", "max_msgs": "5"})),
    once(
        "an unknown policy",
        *(api("STREAM.CREATE.S", {"name": "S", field: "foo"}) for field in ("retention", "discard", "storage", "compression")),
    ),
    once("names that may not be", *(api(f"STREAM.CREATE.{name}", {"name": name}) for name in ("a/b", "a\\b", "a>b", "x" * 256))),
    once("sealed from the start", create(sealed=True)),
    once("mirror direct without a mirror", create(mirror_direct=True)),
    once("no subjects", api("STREAM.CREATE.S", {"name": "S", "storage": "memory"}), pub("S")),
    once("subjects that are none", *(create(subjects=[subject]) for subject in ("a..b", ".a", "a.", "a b", ">.a"))),
    once("subjects twice", create(subjects=["a", "a"]), create(subjects=["a.*", "a.b"])),
    once(
        "subjects of the server",
        create(subjects=["$JS.>"]),
        create(subjects=["$SYS.>"]),
        create(subjects=[">"]),
        create(subjects=["$JS.EVENT.>"]),
    ),
    once("subjects that overlap", create(), create("T", subjects=["s.a"]), create("U", subjects=["*.a"]), create("V", subjects=["t"])),
    once("replicas", create(num_replicas=3), create(num_replicas=6), create(num_replicas=-1)),
    once("age and window", create(max_age=-1), create(max_age=5), create(max_age=MINUTE), create("T", subjects=["t"], duplicate_window=5)),
    once("a window longer than the age", create(max_age=MINUTE, duplicate_window=2 * MINUTE)),
    once("rollup without purge", create(allow_rollup_hdrs=True, deny_purge=True)),
    once("discard new per subject, refused", create(discard_new_per_subject=True), create(discard_new_per_subject=True, discard="new")),
    once("markers", create(subject_delete_marker_ttl=5), create(subject_delete_marker_ttl=MINUTE), info()),
    once("republish in a circle", create(republish={"src": "s.>", "dest": "s.x.>"}), create(republish={"src": "s.*", "dest": "r.$2"})),
    once("a transform that makes no sense", create(subject_transform={"src": "s.*", "dest": "t.{{wildcard(3)}}"})),
    once("descriptions", create(description="x" * 5000), create(description="<b>&</b>"), info()),
    once(
        "metadata",
        create(metadata={"owner": "me", "_nats.ver": "1"}),
        info(),
        create(metadata={"owner": "me"}),
        create(metadata={"owner": "you"}),
    ),
    once(
        "pedantic",
        create(pedantic=True),
        create(pedantic=True, max_msgs=-1, max_bytes=-1, max_msgs_per_subject=-1, max_msg_size=-1, max_consumers=-1),
    ),
    talk(
        "all the limits",
        create(
            max_msgs=10,
            max_bytes=1 << 16,
            max_age=10 * MINUTE,
            max_msgs_per_subject=2,
            max_msg_size=100,
            max_consumers=3,
            discard="new",
            allow_direct=True,
            deny_delete=True,
            allow_rollup_hdrs=True,
            compression="s2",
        ),
        info(),
    ),
    talk("a first sequence", create(first_seq=100), info(), pub("s.a"), info(), create(first_seq=100)),
    once("lists and names", create(), create("T", subjects=["t.>"]), api("STREAM.NAMES"), api("STREAM.LIST")),
    once(
        "names by subject",
        create(),
        create("T", subjects=["t.>", "u"]),
        *(api("STREAM.NAMES", {"subject": subject}) for subject in ("s.a", "s.*", "t.b", "u", "*", ">", "v", "*.a")),
    ),
    once(
        "lists by subject",
        create(),
        create("T", subjects=["t.>"]),
        api("STREAM.LIST", {"subject": "t.x"}),
        api("STREAM.LIST", {"subject": "zz"}),
    ),
    once(
        "pages",
        create("A", subjects=["a"]),
        create("B", subjects=["b"]),
        create("C", subjects=["c"]),
        *(api(f"STREAM.{what}", {"offset": offset}) for what in ("NAMES", "LIST") for offset in (0, 1, 3, 9, -1)),
    ),
    once("no streams", api("STREAM.NAMES"), api("STREAM.LIST"), api("STREAM.NAMES", {"subject": "x"}), api("STREAM.NAMES", b"junk")),
    once("bad requests for lists", api("STREAM.NAMES", {"zzz": 1}), api("STREAM.LIST", {"offset": "x"}), api("STREAM.LIST", b"{")),
]

INFO = [
    once("info of nothing", info(), api("STREAM.INFO.S", {"zzz": 1}), api("STREAM.INFO.S", b"junk")),
    talk("state", create(), info(), fill(3), info(), api("STREAM.PURGE.S"), info(), fill(1), info()),
    talk("subjects", create(), fill(3), pub("s.1"), info(subjects_filter=">"), info(subjects_filter="s.1"), info(subjects_filter="zz")),
    talk("subjects with an offset", create(), fill(5), info(subjects_filter=">", offset=2), info(subjects_filter=">", offset=9)),
    talk(
        "deleted",
        create(),
        fill(6),
        *(api("STREAM.MSG.DELETE.S", {"seq": seq}) for seq in (1, 3, 4, 6)),
        info(),
        info(deleted_details=True),
    ),
]

UPDATE = [
    once("update of nothing", update()),
    once("update the name", create(), api("STREAM.UPDATE.S", {"name": "T"})),
    talk("update limits", create(), fill(6), update(max_msgs=3), info(), update(max_msgs=3, max_msgs_per_subject=1), info()),
    talk("update limits per subject", create(), fill(6, "s.a"), update(max_msgs_per_subject=2), info(subjects_filter=">")),
    talk("update bytes", create(), fill(10), update(max_bytes=150), info()),
    once("update storage", create(storage="memory"), api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "storage": "file"})),
    once("update retention", create(), update(retention="workqueue"), update(retention="interest"), update(retention="limits")),
    once("update subjects", create(), update(subjects=["t.>"]), pub("s.a"), pub("t.a"), info()),
    once("update to overlap", create(), create("T", subjects=["t"]), update(subjects=["t"])),
    once("unset deny", create(deny_delete=True, deny_purge=True), update(deny_purge=True), update(deny_delete=True)),
    talk(
        "seal",
        create(),
        fill(2),
        update(sealed=True),
        info(),
        pub("s.a"),
        api("STREAM.PURGE.S"),
        api("STREAM.MSG.DELETE.S", {"seq": 1}),
        update(),
    ),
    once("unset ttl", create(allow_msg_ttl=True), update()),
    once("update direct", create(), direct(seq=1), update(allow_direct=True), pub("s.a"), direct(seq=1), update(), direct(seq=1)),
    once("no ack", create(no_ack=True), pub("s.a", until="none"), info(), update(), pub("s.a")),
    once("update the same", create(), update(), update()),
    once("update the description", create(description="a"), update(description="b"), info()),
]

PUBLISH = [
    talk("publish", create(), fill(3), pub("s.a", b""), pub("s.b", b"x", A="1"), info()),
    talk("nobody", create(), pub("nobody", b"x")),
    talk("ids of messages", create(), pub("s.a", Nats_Msg_Id="1"), pub("s.a", Nats_Msg_Id="2"), pub("s.b", Nats_Msg_Id="1"), info()),
    talk("ids without a window", create(duplicate_window=0), pub("s.a", Nats_Msg_Id="1"), pub("s.a", Nats_Msg_Id="1")),
    talk("an empty id", create(), pub("s.a", Nats_Msg_Id=""), pub("s.a", Nats_Msg_Id="")),
    talk("ids outlive their messages", create(), pub("s.a", Nats_Msg_Id="1"), api("STREAM.PURGE.S"), pub("s.a", Nats_Msg_Id="1")),
    talk(
        "expected stream",
        create(),
        pub("s.a", Nats_Expected_Stream="S"),
        pub("s.a", Nats_Expected_Stream="T"),
        pub("s.a", Nats_Expected_Stream=""),
    ),
    talk(
        "expected last sequence",
        create(),
        *(pub("s.a", Nats_Expected_Last_Sequence=seq) for seq in ("0", "0", "1", "9", "", "x", "-1", HUGE)),
    ),
    talk(
        "expected sequence of the subject",
        create(),
        *(
            pub(subject, Nats_Expected_Last_Subject_Sequence=seq)
            for subject, seq in (
                ("s.a", "0"),
                ("s.b", "0"),
                ("s.a", "1"),
                ("s.a", "1"),
                ("s.b", "2"),
                ("s.c", "7"),
                ("s.a", "x"),
                ("s.a", ""),
            )
        ),
    ),
    talk(
        "expected sequence of another subject",
        create(),
        fill(3),
        *(
            pub("s.z", Nats_Expected_Last_Subject_Sequence=seq, Nats_Expected_Last_Subject_Sequence_Subject=subject)
            for subject, seq in (
                ("s.1", "1"),
                ("s.2", "1"),
                ("s.9", "0"),
                ("s.*", "3"),
                ("s.*", "4"),
                (">", "5"),
                ("", "4"),
            )
        ),
    ),
    talk("another subject without a sequence", create(), pub("s.a", Nats_Expected_Last_Subject_Sequence_Subject="s.b")),
    talk(
        "expected last id",
        create(),
        pub("s.a", Nats_Msg_Id="1"),
        *(
            pub("s.a", Nats_Expected_Last_Msg_Id=id, Nats_Msg_Id=new)
            for id, new in (("1", "2"), ("1", "3"), ("2", "3"), ("", "4"), ("3", "1"))
        ),
    ),
    talk("the last id is forgotten", create(), pub("s.a", Nats_Msg_Id="1"), pub("s.a"), pub("s.a", Nats_Expected_Last_Msg_Id="1")),
    talk(
        "which error wins",
        create(),
        pub("s.a", Nats_Msg_Id="1"),
        *(
            pub("s.a", **headers)
            for headers in (
                {"Nats_Expected_Stream": "T", "Nats_Expected_Last_Sequence": "9"},
                {"Nats_Expected_Last_Sequence": "9", "Nats_Expected_Last_Subject_Sequence": "8"},
                {"Nats_Expected_Last_Sequence": "9", "Nats_Msg_Id": "1"},
                {"Nats_Msg_Id": "1", "Nats_Expected_Last_Msg_Id": "x"},
                {"Nats_Msg_Id": "1", "Nats_Rollup": "sub"},
                {"Nats_Rollup": "sub", "Nats_Expected_Last_Msg_Id": "x"},
                {"Nats_TTL": "5s", "Nats_Expected_Last_Sequence": "9"},
                {"Nats_Incr": "x", "Nats_Expected_Stream": "T"},
                {"Nats_Incr": "1", "Nats_Expected_Stream": "T"},
                {"Nats_Batch_Id": "b", "Nats_Expected_Stream": "T"},
                {"Nats_Schedule": "@at 2099-01-01T00:00:00Z", "Nats_Expected_Last_Sequence": "9"},
                {"Nats_Stream_Source": "x", "Nats_Msg_Id": "1"},
            )
        ),
    ),
    talk("rollup is not allowed", create(), pub("s.a", Nats_Rollup="sub"), pub("s.a", Nats_Rollup="all"), pub("s.a", Nats_Rollup="x")),
    talk(
        "rollup",
        create(allow_rollup_hdrs=True),
        fill(4, "s.a"),
        fill(2),
        pub("s.a", Nats_Rollup="sub"),
        info(subjects_filter=">"),
        pub("s.b", Nats_Rollup="ALL"),
        info(subjects_filter=">"),
        pub("s.a", Nats_Rollup='x"y'),
        pub("s.a", Nats_Rollup=""),
    ),
    talk(
        "messages too large",
        create(max_msg_size=10),
        pub("s.a", b"x" * 10),
        pub("s.a", b"x" * 11),
        pub("s.a", b"x", A="1"),
        pub("s.a", b""),
    ),
    talk("discard old", create(max_msgs=3), fill(5), info(deleted_details=True)),
    talk("discard old bytes", create(max_bytes=200), fill(12), info()),
    talk(
        "discard old per subject", create(max_msgs_per_subject=2), fill(4, "s.a"), fill(2), info(subjects_filter=">", deleted_details=True)
    ),
    talk("discard new", create(max_msgs=3, discard="new"), fill(5), info()),
    talk("discard new bytes", create(max_bytes=150, discard="new"), fill(6), info()),
    talk(
        "discard new with a limit per subject",
        create(max_msgs_per_subject=1, max_msgs=3, discard="new"),
        fill(5),
        fill(3),
        info(subjects_filter=">"),
    ),
    talk(
        "discard new per subject",
        create(max_msgs_per_subject=2, discard="new", discard_new_per_subject=True),
        fill(4, "s.a"),
        pub("s.b"),
        info(),
    ),
    talk(
        "discard new per subject and rollup",
        create(max_msgs_per_subject=1, discard="new", discard_new_per_subject=True, allow_rollup_hdrs=True),
        fill(2, "s.a"),
        pub("s.a", Nats_Rollup="sub"),
        info(subjects_filter=">"),
    ),
    talk("a status is not stored", create(allow_direct=True), Step("s.a", b"x", (("A", "1"),)), direct(seq=1), get(seq=1)),
    talk("headers are kept", create(), pub("s.a", b"x", A="1", Nats_Msg_Id="7", B="ü"), get(seq=1)),
    talk("batches are refused", create(), pub("s.a", Nats_Batch_Id="b", Nats_Batch_Sequence="1"), pub("s.a", Nats_Batch_Id="")),
    talk(
        "schedules are refused",
        create(),
        pub("s.a", Nats_Schedule="@every 5s", Nats_Schedule_Target="s.b"),
        pub("s.a", Nats_Schedule_Next="purge"),
        pub("s.a", Nats_Schedule_Next="purge", Nats_Scheduler="s.b"),
        pub("s.a", Nats_Scheduler="s.b"),
        pub("s.a", Nats_Schedule_Next="x"),
        pub("s.a", Nats_Schedule="x"),
        pub("s.a", Nats_Schedule=""),
    ),
    talk("ttl is not allowed", create(), *(pub("s.a", Nats_TTL=ttl) for ttl in ("5s", "never", "x", "0", "1ms", ""))),
    talk(
        "ttl",
        create(allow_msg_ttl=True),
        *(
            pub("s.a", Nats_TTL=ttl)
            for ttl in ("5s", "never", "NEVER", "x", "0", "0s", "1ms", "", "10", "-5", "1h30m", "1.5s", "999ms", "5 s", "07")
        ),
        info(),
    ),
    talk(
        "ttl shorter than markers",
        create(subject_delete_marker_ttl=MINUTE),
        pub("s.a", Nats_TTL="5s"),
        get(seq=1),
        pub("s.a", Nats_TTL="2m"),
        get(seq=2),
    ),
    talk(
        "subject transform",
        create(subject_transform={"src": "s.*", "dest": "t.$1"}),
        pub("s.a"),
        pub("s.a.b"),
        get(seq=1),
        get(seq=2),
        info(subjects_filter=">"),
    ),
    talk(
        "counters",
        create(allow_msg_counter=True, allow_direct=True),
        *(pub("s.a", b"", Nats_Incr=by) for by in ("1", "+5", "-10", "0", "x", "", "123456789012345678901234567890", "1.5")),
        pub("s.a", b"x", Nats_Incr="1"),
        pub("s.a", b"x"),
        pub("s.a", b"", Nats_Incr="1", Nats_Rollup="sub"),
        direct(last_by_subj="s.a"),
    ),
    talk("no counter", create(), pub("s.a", b"", Nats_Incr="1"), pub("s.a", b"", Nats_Incr="x")),
    talk("interest without consumers", create(retention="interest"), fill(3), info()),
    talk("work queue", create(retention="workqueue"), fill(3), info()),
    talk("odd subjects", create(subjects=["s.>", "a.*"]), pub("s.a.b.c"), pub("a.x"), pub("s"), info(subjects_filter=">")),
]

REMOVE = [
    once("delete nothing", api("STREAM.DELETE.S"), create(), api("STREAM.DELETE.S", {"zzz": 1}), api("STREAM.DELETE.S", {}), info()),
    talk("delete and create again", create(), fill(2), api("STREAM.DELETE.S"), pub("s.a"), create(), info()),
    once("purge nothing", api("STREAM.PURGE.S"), create(), api("STREAM.PURGE.S")),
    talk("purge", create(), fill(5), api("STREAM.PURGE.S", {}), info(), fill(1), info()),
    talk("purge a subject", create(), fill(3), fill(3, "s.a"), api("STREAM.PURGE.S", {"filter": "s.a"}), info(subjects_filter=">")),
    talk("purge with wildcards", create(), fill(3), pub("s.a.b"), api("STREAM.PURGE.S", {"filter": "s.*"}), info(subjects_filter=">")),
    talk("purge all by a filter", create(), fill(3), api("STREAM.PURGE.S", {"filter": ">"}), info()),
    talk("purge below", create(), fill(5), *(api("STREAM.PURGE.S", {"seq": seq}) for seq in (1, 3, 2, 0)), info()),
    talk("purge beyond the end", create(), fill(3), api("STREAM.PURGE.S", {"seq": 10}), info(), fill(1), info()),
    talk(
        "purge a subject below",
        create(),
        fill(4, "s.a"),
        fill(2),
        api("STREAM.PURGE.S", {"filter": "s.a", "seq": 3}),
        info(deleted_details=True),
    ),
    talk("purge and keep", create(), fill(5), api("STREAM.PURGE.S", {"keep": 2}), info(), api("STREAM.PURGE.S", {"keep": 9}), info()),
    talk(
        "purge a subject and keep",
        create(),
        fill(4, "s.a"),
        fill(3),
        api("STREAM.PURGE.S", {"filter": "s.a", "keep": 1}),
        info(deleted_details=True),
    ),
    once(
        "purge with both",
        create(),
        api("STREAM.PURGE.S", {"keep": 1, "seq": 1}),
        api("STREAM.PURGE.S", {"zzz": 1}),
        api("STREAM.PURGE.S", b"junk"),
    ),
    once("purge is denied", create(deny_purge=True), api("STREAM.PURGE.S")),
    talk(
        "delete messages",
        create(),
        fill(5),
        *(
            api("STREAM.MSG.DELETE.S", body)
            for body in ({"seq": 3}, {"seq": 3}, {"seq": 1, "no_erase": True}, {"seq": 9}, {"seq": 0}, {}, None, {"zzz": 1})
        ),
        info(deleted_details=True),
    ),
    once("delete messages of nothing", api("STREAM.MSG.DELETE.S", {"seq": 1})),
    once("deleting is denied", create(deny_delete=True), pub("s.a"), api("STREAM.MSG.DELETE.S", {"seq": 1})),
    talk(
        "delete the first and last",
        create(),
        fill(4),
        *(api("STREAM.MSG.DELETE.S", {"seq": seq}) for seq in (1, 4, 2, 3)),
        info(),
        fill(1),
        info(),
    ),
]

GET = [
    once("get of nothing", get(seq=1), create(), get(seq=1), get(), api("STREAM.MSG.GET.S"), api("STREAM.MSG.GET.S", b"junk")),
    talk("get by sequence", create(), fill(3), *(get(seq=seq) for seq in (1, 3, 4, 0)), get(seq=1, no_hdr=True)),
    talk(
        "get the last by subject",
        create(),
        fill(3),
        fill(2, "s.a"),
        *(get(last_by_subj=subject) for subject in ("s.1", "s.a", "s.*", ">", "zz")),
    ),
    talk(
        "get the next by subject",
        create(),
        fill(3),
        fill(2, "s.a"),
        *(get(next_by_subj=subject, seq=seq) for subject, seq in (("s.1", 0), ("s.1", 2), ("s.*", 2), ("s.a", 5), ("s.a", 6), (">", 3))),
        get(next_by_subj="s.a"),
    ),
    once(
        "get with what does not fit",
        create(),
        pub("s.a"),
        get(seq=1, last_by_subj="s.a"),
        get(last_by_subj="s.a", next_by_subj="s.a"),
        get(batch=1, seq=1),
        get(max_bytes=1, seq=1),
        get(seq=1, zzz=1),
        get(seq=-1),
        get(seq="1"),
        get(start_time="x"),
        get(start_time="2020-01-01T00:00:00Z", seq=1),
    ),
    talk(
        "get by time",
        create(),
        fill(2),
        get(start_time="2020-01-01T00:00:00Z"),
        get(start_time="2099-01-01T00:00:00Z"),
        get(start_time="2020-01-01T00:00:00Z", next_by_subj="s.2"),
    ),
    talk("get with headers", create(), pub("s.a", b"\x00\xff", A="1"), get(seq=1), get(seq=1, no_hdr=True)),
]


def stored(*subjects: str, **config: Any) -> list[Step]:
    return [create(allow_direct=True, **config), *(pub(subject, subject.encode()) for subject in subjects)]


SOME = ("s.a", "s.b", "s.a", "s.c", "s.b", "s.a")
DIRECT = [
    talk("direct get", stored(*SOME), *(direct(seq=seq) for seq in (1, 6, 7)), direct(seq=2, no_hdr=True)),
    talk(
        "direct get with headers",
        create(allow_direct=True),
        pub("s.a", b"x", A="1", Nats_Msg_Id="2"),
        direct(seq=1),
        direct(seq=1, no_hdr=True),
    ),
    talk("direct get, last of a subject", stored(*SOME), *(direct(last_by_subj=subject) for subject in ("s.a", "s.c", "s.*", ">", "zz"))),
    talk(
        "direct get by the subject",
        stored(*SOME),
        api("DIRECT.GET.S.s.a"),
        api("DIRECT.GET.S.zz"),
        api("DIRECT.GET.S.s.a", {"seq": 1}),
        api("DIRECT.GET.S.s.a", {"no_hdr": True}),
        api("DIRECT.GET.S.s.a", {"batch": 1}),
        api("DIRECT.GET.S.s.a", b"junk"),
    ),
    talk(
        "direct get, next of a subject",
        stored(*SOME),
        *(
            direct(next_by_subj=subject, seq=seq)
            for subject, seq in (("s.a", 0), ("s.a", 2), ("s.b", 3), ("s.*", 4), ("s.c", 5), ("zz", 1))
        ),
        direct(next_by_subj="s.c"),
    ),
    talk(
        "direct get by time",
        stored(*SOME),
        direct(start_time="2020-01-01T00:00:00Z"),
        direct(start_time="2099-01-01T00:00:00Z"),
        direct(start_time="2020-01-01T00:00:00Z", next_by_subj="s.c"),
    ),
    once(
        "direct gets that make no sense",
        stored("s.a"),
        api("DIRECT.GET.S"),
        api("DIRECT.GET.S", b"junk"),
        api("DIRECT.GET.S", {}),
        direct(zzz=1, seq=1),
        direct(seq=1, last_by_subj="s.a"),
        direct(seq=1, start_time="2020-01-01T00:00:00Z"),
        direct(last_by_subj="s.a", next_by_subj="s.a"),
        direct(last_by_subj="s.a", batch=2),
        direct(last_by_subj="s.a", multi_last=["s.a"]),
        direct(next_by_subj="s.a", multi_last=["s.a"]),
        direct(seq="x"),
        direct(seq=-1),
        direct(batch=3),
        direct(multi_last="s.a"),
        direct(start_time="x"),
        direct(seq=1.5),
        direct(seq=None),
        direct(multi_last=["s.a"], up_to_seq=1, up_to_time="2020-01-01T00:00:00Z"),
        api("DIRECT.GET.S", {"seq": 1}, Nats_Required_Api_Level="99"),
    ),
    talk(
        "a batch",
        stored(*SOME),
        batch(batch=3, seq=1),
        batch(batch=10, seq=1),
        batch(batch=3, seq=5),
        batch(batch=2, seq=9),
        batch(batch=3, seq=2),
    ),
    talk(
        "a batch of a subject",
        stored(*SOME),
        batch(batch=2, next_by_subj="s.a"),
        batch(batch=9, next_by_subj="s.a"),
        batch(batch=9, next_by_subj="s.b", seq=3),
        batch(batch=2, next_by_subj="zz"),
        batch(batch=9, next_by_subj="s.*", seq=4),
    ),
    talk("a batch bounded by bytes", stored(*SOME), batch(batch=9, seq=1, max_bytes=10), batch(batch=9, seq=1, max_bytes=1)),
    talk(
        "a batch by time",
        stored(*SOME),
        batch(batch=2, start_time="2020-01-01T00:00:00Z"),
        batch(batch=2, start_time="2099-01-01T00:00:00Z"),
    ),
    talk(
        "a batch with gaps",
        stored(*SOME),
        api("STREAM.MSG.DELETE.S", {"seq": 2}),
        api("STREAM.MSG.DELETE.S", {"seq": 3}),
        batch(batch=3, seq=1),
        batch(batch=2, seq=2),
    ),
    talk(
        "a batch with headers",
        create(allow_direct=True),
        pub("s.a", b"x", A="1"),
        pub("s.a", b"y"),
        batch(batch=5, seq=1),
        batch(batch=5, seq=1, no_hdr=True),
    ),
    talk(
        "the last of many",
        stored(*SOME),
        batch(multi_last=["s.*"]),
        batch(multi_last=["s.a", "s.c"]),
        batch(multi_last=["zz"]),
        batch(multi_last=[">", "s.a"]),
    ),
    talk(
        "the last of many, in part",
        stored(*SOME),
        batch(multi_last=["s.*"], batch=2),
        batch(multi_last=["s.*"], batch=2, seq=5),
        batch(multi_last=["s.*"], up_to_seq=3),
        batch(multi_last=["s.*"], max_bytes=5),
        batch(multi_last=["s.*"], seq=5),
    ),
    talk(
        "the last of many by time",
        stored(*SOME),
        batch(multi_last=["s.*"], up_to_time="2020-01-01T00:00:00Z"),
        batch(multi_last=["s.*"], up_to_time="2099-01-01T00:00:00Z"),
    ),
]

CONVERSATIONS = [*ACCOUNT, *CREATE, *INFO, *UPDATE, *PUBLISH, *REMOVE, *GET, *DIRECT]
