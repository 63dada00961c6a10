"""Stories about key-value buckets and object stores, in the requests that clients make of their calls."""

import base64
import json
from typing import Any

from consumer_moves import MILLI, SECOND, fill
from consumer_player import Expect, Listen, Move, Pass, Story, Unlisten, both, story
from jetstream_player import Step, api, direct, info, pub

KV = "KV_B"
OBJ = "OBJ_B"


def bucket(history: int = 1, **config: Any) -> Step:
    """``create_key_value``."""
    body = {
        "name": KV,
        "subjects": ["$KV.B.>"],
        "max_msgs_per_subject": history,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "num_replicas": 1,
        "discard": "new",
        "duplicate_window": 120 * SECOND,
        "deny_delete": True,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "retention": "limits",
    }
    return api(f"STREAM.CREATE.{KV}", body | config)


def put(key: str, value: bytes = b"v", **headers: str) -> Step:
    """``put``; with ``Nats_Expected_Last_Subject_Sequence`` it is ``create`` or ``update``."""
    return pub(f"$KV.B.{key}", value, **headers)


def revised(key: str, value: bytes, revision: int) -> Step:
    return put(key, value, Nats_Expected_Last_Subject_Sequence=str(revision))


def delete(key: str, **headers: str) -> Step:
    return put(key, b"", KV_Operation="DEL", **headers)


def purge(key: str, **headers: str) -> Step:
    return put(key, b"", KV_Operation="PURGE", Nats_Rollup="sub", **headers)


def get(key: str) -> Step:
    """``get`` as clients ask directly."""
    return api(f"DIRECT.GET.{KV}.$KV.B.{key}")


def stored(key: str) -> Step:
    """``get`` of clients that do not ask directly."""
    return api(f"STREAM.MSG.GET.{KV}", {"last_by_subj": f"$KV.B.{key}"})


def watch(keys: str = ">", channel: str = "watch", subject: str = "w", **config: Any) -> list[Move]:
    """``watch``: the ordered consumer behind it."""
    body = {
        "deliver_policy": "last_per_subject",
        "deliver_subject": subject,
        "ack_policy": "none",
        "max_deliver": 1,
        "filter_subject": f"$KV.B.{keys}",
        "flow_control": True,
        "idle_heartbeat": 5 * SECOND,
        "ack_wait": 22 * 3600 * SECOND,
        "num_replicas": 1,
        "mem_storage": True,
    }
    return [Listen(subject, channel), api(f"CONSUMER.CREATE.{KV}", {"stream_name": KV, "config": body | config})]


SOME: list[Move] = [put("a", b"1"), put("b", b"2"), put("a", b"3"), put("c.d", b"4")]

KEYS = [
    both("a bucket", bucket(), info(KV), put("a", b"1"), get("a"), put("a", b"2"), get("a"), stored("a"), get("b"), stored("b")),
    both(
        "revisions",
        bucket(5),
        put("a", b"1"),
        revised("a", b"2", 1),
        revised("a", b"3", 1),
        revised("b", b"4", 0),
        revised("b", b"5", 0),
        revised("a", b"6", 0),
        direct(KV, seq=1),
        direct(KV, seq=9),
        get("a"),
    ),
    both(
        "created after it was deleted",
        bucket(3),
        revised("a", b"1", 0),
        delete("a"),
        revised("a", b"2", 0),
        get("a"),
        revised("a", b"2", 2),
        get("a"),
    ),
    both("deleted and purged", bucket(5), SOME, delete("a"), get("a"), purge("a"), get("a"), purge("b"), info(KV)),
    both(
        "deleted by revision",
        bucket(),
        put("a", b"1"),
        delete("a", Nats_Expected_Last_Subject_Sequence="9"),
        delete("a", Nats_Expected_Last_Subject_Sequence="1"),
        get("a"),
    ),
    both("a history", bucket(3), *(put("a", b"%d" % n) for n in range(5)), watch("a", deliver_policy="all"), Expect(3), info(KV)),
    both("watching", bucket(), SOME, watch(), Expect(3), put("a", b"5"), delete("b"), purge("c.d"), Expect(3), info(KV)),
    both("watching nothing", bucket(), watch("nothing"), Pass(), put("nothing", b"x"), Expect(1)),
    both(
        "watching a prefix",
        bucket(),
        SOME,
        put("c.e", b"5"),
        watch("c.>"),
        Expect(2),
        put("c.d", b"6"),
        put("a", b"7"),
        put("c.f.g", b"8"),
        Expect(2),
    ),
    both("watching keys with stars", bucket(), SOME, put("c.e", b"5"), watch("*"), Expect(2), put("b", b"6"), put("c.d", b"7"), Expect(1)),
    both(
        "watching only what is new",
        bucket(),
        SOME,
        watch(deliver_policy="new", filter_subject="$KV.B.>"),
        Pass(),
        put("a", b"9"),
        Expect(1),
    ),
    both("watching with history", bucket(4), SOME, watch(deliver_policy="all"), Expect(4), put("a", b"9"), Expect(1)),
    both(
        "watching from a revision",
        bucket(4),
        SOME,
        watch(deliver_policy="by_start_sequence", opt_start_seq=3),
        Expect(2),
        put("a", b"9"),
        Expect(1),
    ),
    both("watching without values", bucket(), SOME, watch(headers_only=True), Expect(3), delete("a"), put("b", b"12345"), Expect(2)),
    story(
        "watching several",
        bucket(),
        SOME,
        watch(filter_subject=None, filter_subjects=["$KV.B.a", "$KV.B.b"]),
        Expect(2),
        put("c.d", b"x"),
        put("b", b"y"),
        Expect(1),
    ),
    story(
        "two watch",
        bucket(),
        SOME,
        watch("a"),
        Expect(1),
        watch("b", "other", "x"),
        Expect(1, "other"),
        put("a", b"7"),
        put("b", b"8"),
        Expect(1),
        Expect(1, "other"),
        info(KV),
    ),
    story("watching ends", bucket(), SOME, watch(), Expect(3), api(f"CONSUMER.DELETE.{KV}.<name0>"), Unlisten("watch"), info(KV)),
    story(
        "watching while it is purged",
        bucket(),
        SOME,
        watch(),
        Expect(3),
        api(f"STREAM.PURGE.{KV}", {"filter": "$KV.B.a"}),
        info(KV),
        put("a"),
        Expect(1),
    ),
    both("the keys", bucket(), SOME, delete("b"), watch(headers_only=True), Expect(3), api(f"CONSUMER.DELETE.{KV}.<name0>")),
    story("no keys", bucket(), watch(headers_only=True), Pass()),
    both(
        "old markers are purged",
        bucket(2),
        SOME,
        delete("a"),
        purge("b"),
        watch(),
        Expect(3),
        api(f"STREAM.PURGE.{KV}", {"filter": "$KV.B.a"}),
        api(f"STREAM.PURGE.{KV}", {"filter": "$KV.B.b", "keep": 1}),
        info(KV),
    ),
    both(
        "the status",
        bucket(3, max_bytes=100_000, max_age=60 * SECOND, duplicate_window=60 * SECOND),
        SOME,
        info(KV),
        info(KV, subjects_filter="$KV.B.>"),
    ),
    story("a bucket that is full", bucket(max_bytes=300), put("a", b"x" * 150), put("b", b"x" * 150), put("a", b"x" * 150), info(KV)),
    story("values that are too large", bucket(max_msg_size=10), put("a", b"x" * 10), put("a", b"x" * 11), get("a")),
    story(
        "keys that expire",
        bucket(max_age=300 * MILLI, duplicate_window=100 * MILLI),
        put("a"),
        watch(),
        Expect(1),
        Pass(0.6),
        get("a"),
        info(KV),
    ),
    story(
        "keys with a time to live",
        bucket(allow_msg_ttl=True, subject_delete_marker_ttl=SECOND),
        put("a", b"x", Nats_TTL="1s"),
        watch(),
        Expect(1),
        Expect(1),
        get("a"),
        storages=("memory",),
    ),
    story("purged with a time to live", bucket(allow_msg_ttl=True), SOME, purge("a", Nats_TTL="1s"), get("a"), info(KV)),
    story("a time to live where there is none", bucket(), put("a", b"x", Nats_TTL="1s"), purge("a", Nats_TTL="1s")),
    story("nothing can be deleted", bucket(), put("a"), api(f"STREAM.MSG.DELETE.{KV}", {"seq": 1}), api(f"STREAM.PURGE.{KV}"), info(KV)),
    story(
        "odd keys", bucket(), *(put(key) for key in ("a/b", "a=b", "_a", "-", "a.b.c.d", "$x")), info(KV, subjects_filter=">"), get("a/b")
    ),
    story("a bucket with a description", bucket(description="keys", metadata={"a": "b"}, compression="s2"), info(KV)),
    story("a bucket, made again", bucket(), bucket(), bucket(2), info(KV)),
    story("a bucket that changes", bucket(), SOME, api(f"STREAM.UPDATE.{KV}", json.loads(bucket(5).payload)), put("a"), put("a"), info(KV)),
    story("the buckets", bucket(), api("STREAM.NAMES", {"subject": "$KV.*.>"}), api("STREAM.LIST", {"subject": "$KV.*.>"})),
    story(
        "a bucket that is a mirror",
        bucket(),
        SOME,
        api(
            "STREAM.CREATE.KV_M",
            {
                "name": "KV_M",
                "mirror": {"name": KV},
                "mirror_direct": True,
                "allow_direct": True,
                "max_msgs_per_subject": 1,
                "storage": "memory",
            },
        ),
        Pass(0.2),
        api("DIRECT.GET.KV_M.$KV.B.a"),
        Listen("m", "mirror"),
        api(
            "CONSUMER.CREATE.KV_M",
            {
                "stream_name": "KV_M",
                "config": {"deliver_policy": "last_per_subject", "deliver_subject": "m", "ack_policy": "none", "filter_subject": "$KV.B.>"},
            },
        ),
        Expect(3, "mirror"),
    ),
    story(
        "many keys",
        bucket(),
        [put(f"k{n}", b"%d" % n) for n in range(50)],
        watch(),
        Expect(50),
        watch("k1*", "other", "x"),
        Pass(),
        info(KV),
    ),
]


def store(**config: Any) -> Step:
    """``create_object_store``."""
    body = {
        "name": OBJ,
        "subjects": ["$O.B.C.>", "$O.B.M.>"],
        "discard": "new",
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "num_replicas": 1,
    }
    return api(f"STREAM.CREATE.{OBJ}", body | config)


def encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def meta(name: str, nuid: str = "N1", **more: Any) -> Step:
    """The last step of ``put``: what the object is."""
    body = {"name": name, "bucket": "B", "nuid": nuid, "size": 6, "chunks": 2, "digest": "SHA-256=x", "options": {"max_chunk_size": 3}}
    return pub(f"$O.B.M.{encoded(name)}", json.dumps(body | more).encode(), Nats_Rollup="sub")


def chunks(nuid: str = "N1", *data: bytes) -> list[Step]:
    return [pub(f"$O.B.C.{nuid}", each) for each in data or (b"abc", b"def")]


def found(name: str) -> Step:
    return api(f"DIRECT.GET.{OBJ}.$O.B.M.{encoded(name)}")


def read(subject: str, channel: str = "read", deliver: str = "r", **config: Any) -> list[Move]:
    """The ordered consumer of ``get``, ``list`` and ``watch``."""
    body = {"deliver_subject": deliver, "ack_policy": "none", "max_deliver": 1, "filter_subject": subject, "flow_control": True,
            "idle_heartbeat": 5 * SECOND, "ack_wait": 22 * 3600 * SECOND, "num_replicas": 1, "mem_storage": True}  # fmt: skip
    return [Listen(deliver, channel), api(f"CONSUMER.CREATE.{OBJ}", {"stream_name": OBJ, "config": body | config})]


OBJECTS = [
    both("an object", store(), chunks(), meta("x"), found("x"), read("$O.B.C.N1"), Expect(2), info(OBJ)),
    both(
        "an object again",
        store(),
        chunks(),
        meta("x"),
        chunks("N2", b"g"),
        meta("x", "N2"),
        api(f"STREAM.PURGE.{OBJ}", {"filter": "$O.B.C.N1"}),
        found("x"),
        read("$O.B.C.N2"),
        Expect(1),
        info(OBJ),
    ),
    both(
        "an object is deleted",
        store(),
        chunks(),
        meta("x"),
        meta("x", deleted=True, size=0, chunks=0, digest=""),
        api(f"STREAM.PURGE.{OBJ}", {"filter": "$O.B.C.N1"}),
        found("x"),
        info(OBJ),
    ),
    both(
        "objects are listed",
        store(),
        chunks(),
        meta("x"),
        chunks("N2"),
        meta("y", "N2"),
        meta("x", "N3"),
        read("$O.B.M.>", deliver_policy="last_per_subject"),
        Expect(2),
    ),
    both(
        "objects are watched",
        store(),
        meta("x"),
        read("$O.B.M.>", deliver_policy="last_per_subject"),
        Expect(1),
        chunks("N2"),
        meta("y", "N2"),
        meta("x", deleted=True),
        Expect(2),
    ),
    story("an object that is not there", store(), found("x"), read("$O.B.C.N9"), Pass()),
    story(
        "an object of many chunks",
        store(),
        chunks("N1", *(b"%d" % n * 3000 for n in range(10, 50))),
        meta("x", chunks=40),
        read("$O.B.C.N1"),
        Expect(40),
    ),
    story("a link", store(), meta("x"), meta("l", "", options={"link": {"bucket": "B", "name": "x"}}), found("l")),
    story(
        "an object gets another name",
        store(),
        chunks(),
        meta("x"),
        meta("y"),
        api(f"STREAM.PURGE.{OBJ}", {"filter": f"$O.B.M.{encoded('x')}"}),
        found("x"),
        found("y"),
        info(OBJ),
    ),
    both(
        "an object store is sealed",
        store(),
        chunks(),
        meta("x"),
        api(f"STREAM.UPDATE.{OBJ}", json.loads(store(sealed=True, deny_delete=True, deny_purge=True, allow_rollup_hdrs=False).payload)),
        meta("y"),
        read("$O.B.C.N1"),
        Expect(2),
        info(OBJ),
    ),
    story(
        "an object that expires",
        store(max_age=300 * MILLI, duplicate_window=100 * MILLI),
        chunks(),
        meta("x"),
        Pass(0.6),
        found("x"),
        info(OBJ),
    ),
    story(
        "names of objects",
        store(),
        *(meta(name) for name in ("a b", "ä", "a/b.c", "x" * 100)),
        found("a b"),
        found("ä"),
        info(OBJ, subjects_filter=">"),
    ),
    story("a store that is full", store(max_bytes=200), chunks("N1", b"x" * 100), chunks("N2", b"x" * 100), info(OBJ)),
    story("an object while it is written", store(), read("$O.B.C.N1"), Pass(0.05), fill(3, "$O.B.C.N1"), Expect(3)),
    story("the stores", store(), api("STREAM.NAMES", {"subject": "$O.*.C.>"}), api("STREAM.LIST", {"subject": "$O.*.C.>"})),
]

STORIES: list[Story] = [*KEYS, *OBJECTS]
