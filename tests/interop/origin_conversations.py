"""Conversations about mirrors and sources, as data: steps as in ``jetstream_player``, and waiting until a stream has what it will get."""

from dataclasses import dataclass
from typing import Any

from jetstream_player import Step, api, create, direct, get, info, pub, update

MINUTE = 60_000_000_000


@dataclass(frozen=True)
class Wait:
    """Until a stream's last sequence is this one, and it has so many messages, unless that is -1."""

    name: str
    last: int
    messages: int = -1


@dataclass(frozen=True)
class Failing:
    """Until a stream tells an error of where it takes messages from."""

    name: str


Part = Step | Wait | Failing


def fill(count: int, subject: str = "s.{}", **headers: str) -> list[Part]:
    return [pub(subject.format(number), b"m%d" % number, **headers) for number in range(1, count + 1)]


def mirror(name: str = "M", origin: str = "S", create_with: dict[str, Any] | None = None, **source: Any) -> Step:
    return api(f"STREAM.CREATE.{name}", {"name": name, "mirror": {"name": origin} | source} | (create_with or {}))


def sourced(name: str = "D", *sources: dict[str, Any], **config: Any) -> Step:
    return api(f"STREAM.CREATE.{name}", {"name": name, "sources": list(sources)} | config)


def messages(name: str, *sequences: int) -> list[Part]:
    return [get(name, seq=sequence) for sequence in sequences]


def consumer(name: str = "C", to: str = "to.D", **config: Any) -> Step:
    """A durable consumer of S that a mirror or source may read through."""
    wanted = {"durable_name": name, "deliver_subject": to, "ack_policy": "flow_control"} | config
    return api(f"CONSUMER.CREATE.S.{name}", {"stream_name": "S", "config": wanted})


def by(name: str = "C", to: str = "to.D", origin: str = "S", **source: Any) -> dict[str, Any]:
    """A source that is read through a consumer."""
    return {"name": origin, "consumer": {"name": name, "deliver_subject": to}} | source


def by_consumer(name: str = "C", to: str = "to.D", **source: Any) -> Step:
    """The mirror M, through a consumer."""
    return mirror(consumer={"name": name, "deliver_subject": to}, **source)


def told(name: str) -> Step:
    """What is said of the stream and where it gets its messages from."""
    return info(name, deleted_details=True)


CONVERSATIONS: dict[str, list[Part | list[Part]]] = {
    "a mirror": [create(), fill(3), mirror(), Wait("M", 3), told("M"), messages("M", 1, 3), fill(2), Wait("M", 5), told("M")],
    "a mirror with gaps": [
        create(), fill(5), api("STREAM.MSG.DELETE.S", {"seq": 3}), mirror(), Wait("M", 5), told("M"), messages("M", 3, 4),
    ],
    "a mirror of a stream that was purged": [
        create(), fill(5), api("STREAM.PURGE.S", {"seq": 4}), mirror(), Wait("M", 5, 2), told("M"),
    ],
    "a mirror of a stream that was emptied": [create(), fill(5), api("STREAM.PURGE.S"), mirror(), Wait("M", 5, 0), told("M")],
    "a mirror of a stream that begins later": [create(first_seq=100), fill(2), mirror(), Wait("M", 101), told("M")],
    "a mirror from a sequence on": [create(), fill(5), mirror(opt_start_seq=3), Wait("M", 5, 3), told("M")],
    "a mirror from a sequence that is not there yet": [
        create(), fill(2), mirror(opt_start_seq=5), Wait("M", 4, 0), told("M"), fill(4), Wait("M", 6, 2), told("M"),
    ],
    "a mirror from a time on": [
        create(), fill(3), mirror(opt_start_time="2020-01-01T00:00:00Z"), Wait("M", 3), told("M"),
    ],
    "a mirror from a time that is to come": [
        create(), fill(3), mirror(opt_start_time="2090-01-01T00:00:00Z"), Wait("M", 3, 0), told("M"), fill(1), Wait("M", 4), told("M"),
    ],
    "a mirror with a filter": [
        create(), fill(6), pub("s.2", b"again"), mirror(filter_subject="s.2"), Wait("M", 7, 2), told("M"), messages("M", 2, 7),
    ],
    "a mirror with a filter of nothing": [
        create(), fill(3), mirror(filter_subject="t.>"), mirror("N"), Wait("N", 3), get("M", seq=1), fill(1), Wait("N", 4), get("M", seq=1),
    ],
    "a mirror with a transform": [
        create(), fill(3), mirror(subject_transforms=[{"src": "s.*", "dest": "t.{{wildcard(1)}}.x"}]), Wait("M", 3), told("M"),
        messages("M", 1),
    ],
    "a mirror with several transforms": [
        create(), fill(4),
        mirror(subject_transforms=[{"src": "s.1", "dest": "one"}, {"src": "s.3", "dest": ""}, {"src": "s.4", "dest": "four.$1"}]),
        mirror(subject_transforms=[{"src": "s.1", "dest": "one"}, {"src": "s.3", "dest": ""}]), Wait("M", 3, 2), told("M"),
        messages("M", 1, 3),
    ],
    "a mirror and a transform of its own": [
        create(), fill(2), mirror(create_with={"subject_transform": {"src": "s.1", "dest": "one"}}), Wait("M", 2), messages("M", 1, 2),
    ],
    "a mirror of what was expected": [
        create(), pub("s.a", b"x", Nats_Expected_Last_Sequence="0", Nats_Expected_Stream="S", Nats_Msg_Id="1", A="b"),
        pub("s.b", b"x", Nats_Expected_Last_Sequence="1"), mirror(), Wait("M", 2), messages("M", 1, 2),
    ],
    "a mirror with limits": [create(), fill(5), mirror(create_with={"max_msgs": 2}), Wait("M", 5), told("M")],
    "a mirror that keeps the last of each": [
        create(), fill(3), fill(3), mirror(create_with={"max_msgs_per_subject": 1}), Wait("M", 6, 3), told("M"),
    ],
    "a mirror is not published to": [create(), mirror(), pub("M"), api("STREAM.UPDATE.M", {"name": "M", "mirror": {"name": "T"}})],
    "a mirror that is emptied goes on": [
        create(), fill(2), mirror(), Wait("M", 2), api("STREAM.PURGE.M"), fill(1), Wait("M", 3), told("M"),
    ],
    "messages of a mirror can be deleted": [
        create(), fill(3), mirror(), Wait("M", 3), api("STREAM.MSG.DELETE.M", {"seq": 2}), fill(1), Wait("M", 4), told("M"),
    ],
    "a mirror becomes a stream": [
        create(), fill(2), mirror(), Wait("M", 2), api("STREAM.UPDATE.M", {"name": "M", "subjects": ["m"]}), pub("m"), pub("s.1"),
        told("M"), messages("M", 3),
    ],
    "a mirror of a mirror": [create(), fill(2), mirror(), Wait("M", 2), mirror("N", "M"), Wait("N", 2), told("N")],
    "two mirrors": [create(), mirror(), mirror("N"), fill(3), Wait("M", 3), Wait("N", 3), api("STREAM.LIST")],
    "mirrors that cannot be": [
        create(),
        mirror(create_with={"subjects": ["m"]}),
        mirror(create_with={"sources": [{"name": "S"}]}),
        mirror(create_with={"first_seq": 5}),
        mirror(filter_subject="s.1", subject_transforms=[{"src": "s.2", "dest": "x"}]),
        mirror(subject_transforms=[{"src": "s.*", "dest": "x"}, {"src": "s.1", "dest": "y"}]),
        mirror("M", "M"),
        mirror("M", "a.b"),
    ],
    "a mirror with direct gets": [
        create(allow_direct=True), fill(2), mirror(), Wait("M", 2), info("M"), direct("M", seq=1),
        api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"]}), direct("S", seq=1), api("DIRECT.GET.S.s.2"),
    ],
    "a mirror republishes": [
        create(), api("STREAM.CREATE.R", {"name": "R", "subjects": ["r.>"]}), fill(2),
        mirror(create_with={"republish": {"src": "s.*", "dest": "r.$1"}}), Wait("R", 2), messages("R", 1, 2),
    ],
    "a source": [
        create(), fill(3), sourced("D", {"name": "S"}), Wait("D", 3), told("D"), messages("D", 1, 3), fill(2), Wait("D", 5), told("D"),
    ],
    "a source and subjects": [
        create(), fill(2), sourced("D", {"name": "S"}, subjects=["d"]), Wait("D", 2), pub("d"), pub("s.1"), Wait("D", 4), told("D"),
        messages("D", 1, 3, 4),
    ],
    "two sources": [
        create(), create("T", subjects=["t.>"]), fill(2), sourced("D", {"name": "S"}, {"name": "T"}), Wait("D", 2), pub("t.1"),
        Wait("D", 3), told("D"), messages("D", 1, 2, 3),
    ],
    "one stream as several sources": [
        create(), fill(2),
        sourced("D", {"name": "S", "filter_subject": "s.1"}), Wait("D", 1),
        api("STREAM.UPDATE.D", {"name": "D", "sources": [{"name": "S", "filter_subject": "s.1"}, {"name": "S", "filter_subject": "s.2"}]}),
        Wait("D", 2), told("D"), messages("D", 1, 2),
    ],
    "a source with a transform": [
        create(), fill(3), sourced("D", {"name": "S", "subject_transforms": [{"src": "s.*", "dest": "t.$1"}]}), Wait("D", 3), told("D"),
        messages("D", 1),
    ],
    "a source with several transforms": [
        create(), fill(4),
        sourced("D", {"name": "S", "subject_transforms": [{"src": "s.1", "dest": "one"}, {"src": "s.3", "dest": ""}]}),
        Wait("D", 2), told("D"), messages("D", 1, 2),
    ],
    "a source from a sequence on": [
        create(), fill(5), sourced("D", {"name": "S", "opt_start_seq": 4}), Wait("D", 2), told("D"), messages("D", 1),
    ],
    "a source from a time on": [
        create(), fill(2), sourced("D", {"name": "S", "opt_start_time": "2020-01-01T00:00:00Z"}), Wait("D", 2), told("D"),
    ],
    "sources and ids": [
        create(), pub("s.1", b"x", Nats_Msg_Id="1"), pub("s.2", b"x", Nats_Msg_Id="2"),
        sourced("D", {"name": "S"}, duplicate_window=MINUTE, subjects=["d"]), Wait("D", 2), pub("d", b"x", Nats_Msg_Id="1"),
        pub("d", b"y", Nats_Msg_Id="3"), pub("s.1", b"z", Nats_Msg_Id="3"), pub("s.1", b"last"), Wait("D", 4), told("D"), messages("D", 4),
    ],
    "a source of a source": [
        create(), fill(1, A="b"), sourced("D", {"name": "S"}), Wait("D", 1), sourced("E", {"name": "D"}), Wait("E", 1), messages("E", 1),
    ],
    "a source of what was expected": [
        create(), pub("s.a", b"x", Nats_Expected_Last_Sequence="0", Nats_Expected_Stream="S"), sourced("D", {"name": "S"}), Wait("D", 1),
        messages("D", 1),
    ],
    "a source with a rollup": [
        create(allow_rollup_hdrs=True), fill(3), pub("s.1", b"new", Nats_Rollup="sub"),
        sourced("D", {"name": "S"}), sourced("E", {"name": "S"}, allow_rollup_hdrs=True, subjects=["e"]), Wait("D", 3), Wait("E", 3),
        pub("s.2", b"new", Nats_Rollup="sub"),
        Wait("D", 4), Wait("E", 4), told("D"), told("E"),
    ],
    "a source with times to live": [
        create(allow_msg_ttl=True), pub("s.1", b"x", Nats_TTL="1h"), sourced("D", {"name": "S"}), Wait("D", 1), messages("D", 1),
    ],
    "sources are taken out and in": [
        create(), fill(2), sourced("D", {"name": "S"}, subjects=["d"]), Wait("D", 2),
        api("STREAM.UPDATE.D", {"name": "D", "subjects": ["d"]}),
        fill(2), told("D"), api("STREAM.UPDATE.D", {"name": "D", "subjects": ["d"], "sources": [{"name": "S"}]}), Wait("D", 4), told("D"),
        messages("D", 3),
    ],
    "a stream that sources drop the first of": [
        create(), fill(4), sourced("D", {"name": "S"}, max_msgs=2), Wait("D", 4), told("D"),
    ],
    "sources and a transform of the stream": [
        create(), fill(2), sourced("D", {"name": "S"}, subject_transform={"src": "s.1", "dest": "one"}), Wait("D", 2), messages("D", 1, 2),
    ],
    "sources and republish": [
        create(), api("STREAM.CREATE.R", {"name": "R", "subjects": ["r.>"]}), fill(2),
        sourced("D", {"name": "S"}, republish={"src": "s.*", "dest": "r.$1"}), Wait("D", 2), info("R"),
    ],
    "what clients say of sources is refused": [create(), pub("s.1", b"x", Nats_Stream_Source="S 1 > > s.1")],
    "sources that cannot be": [
        create(),
        sourced("D", {"name": "a.b"}),
        sourced("D", {"name": "S"}, {"name": "S"}),
        sourced("D", {"name": "S", "filter_subject": "a", "subject_transforms": [{"src": "b", "dest": "c"}]}),
        sourced("D", {"name": "S", "subject_transforms": [{"src": "b.*", "dest": "c"}, {"src": "b.1", "dest": "d"}]}),
        sourced("S", {"name": "S"}, subjects=["s.>"]),
        sourced("D", {"name": "D"}),
        sourced("D", {"name": "S"}), sourced("E", {"name": "D"}), update(sources=[{"name": "E"}]),
    ],
    "a source by a consumer": [
        create(), fill(3), consumer(), sourced("D", by()), Wait("D", 3), fill(2), Wait("D", 5), told("D"), messages("D", 1, 3, 5),
    ],
    "a source by a consumer of a work queue": [
        create(retention="workqueue"), fill(3), consumer(max_ack_pending=3), sourced("D", by()), Wait("S", 3, 0), told("S"), told("D"),
        messages("D", 1, 3), api("CONSUMER.INFO.S.C"),
    ],
    "a source by a consumer, for interest": [
        create(retention="interest"), consumer(filter_subject="s.2", max_ack_pending=1), fill(3), sourced("D", by()), Wait("S", 3, 0),
        told("D"), messages("D", 1),
    ],
    "a source by a consumer that begins later": [
        create(), fill(5), consumer(deliver_policy="by_start_sequence", opt_start_seq=4), sourced("D", by()), Wait("D", 2), told("D"),
        messages("D", 1, 2),
    ],
    "a source by a consumer with a transform": [
        create(), fill(3), consumer(), sourced("D", by(subject_transforms=[{"src": "s.*", "dest": "t.$1"}])), Wait("D", 3), told("D"),
        messages("D", 1),
    ],
    "a source by a consumer of headers": [
        create(), fill(2, A="b"), consumer(headers_only=True), sourced("D", by()), Wait("D", 2), messages("D", 1, 2),
    ],
    "two sources by consumers": [
        create(), fill(3), consumer(filter_subject="s.1"), consumer("E", "to.E", filter_subject="s.2"), sourced("D", by()), Wait("D", 1),
        api("STREAM.UPDATE.D", {"name": "D", "sources": [by(), by("E", "to.E")]}), Wait("D", 2), told("D"), messages("D", 1, 2),
    ],
    "a source of a work queue": [
        create(retention="workqueue"), fill(3), sourced("D", {"name": "S", "filter_subject": "s.*"}), Wait("S", 3, 0), told("S"), told("D"),
        messages("D", 1, 3), api("CONSUMER.NAMES.S"), api("CONSUMER.INFO.S.JS_SRC_AAbGRlqB"), api("STREAM.DELETE.D"),
        api("CONSUMER.INFO.S.JS_SRC_AAbGRlqB", until="gone"),
    ],
    "a mirror of a stream for interest": [
        create(retention="interest"), mirror(), api("CONSUMER.INFO.S.JS_MIRROR_ih8eMwqr", until="bound"), fill(3), Wait("S", 3, 0),
        told("S"), told("M"), messages("M", 1, 3), api("STREAM.UPDATE.M", {"name": "M", "subjects": ["m"]}),
        api("CONSUMER.INFO.S.JS_MIRROR_ih8eMwqr", until="gone"),
    ],
    "a mirror by a consumer": [
        create(), fill(3), consumer(), by_consumer(), Wait("M", 3), fill(2), Wait("M", 5), told("M"), messages("M", 1, 3, 5),
    ],
    "a mirror by a consumer of a work queue": [
        create(retention="workqueue"), fill(3), consumer(max_ack_pending=3), by_consumer(), Wait("S", 3, 0), told("S"), told("M"),
        api("CONSUMER.INFO.S.C"),
    ],
    "a mirror by a consumer with a filter": [
        create(), fill(5), consumer(filter_subject="s.3"), by_consumer(), Wait("M", 3, 1), told("M"), messages("M", 3),
    ],
    "a mirror by a consumer that begins later": [
        create(), fill(5), consumer(deliver_policy="by_start_sequence", opt_start_seq=4), by_consumer(), Wait("M", 5, 2), told("M"),
    ],
    "a mirror by a consumer of the last of each": [
        create(), fill(3), fill(2), consumer(deliver_policy="last_per_subject", filter_subject="s.*"), by_consumer(), Wait("M", 5),
        told("M"),
    ],
    "a mirror by a consumer becomes a stream": [
        create(), fill(2), consumer(), by_consumer(), Wait("M", 2), api("STREAM.UPDATE.M", {"name": "M", "subjects": ["m"]}), pub("m"),
        told("M"), api("CONSUMER.NAMES.S"),
    ],
    "a consumer with another policy": [
        create(), fill(2), consumer(ack_policy="none"), sourced("D", by()), by_consumer(), Failing("D"), Failing("M"), info("D"), info("M"),
    ],
    "consumers that nothing can be read through": [
        create(),
        *(sourced("D", by(*wrong)) for wrong in (("a.b",), ("",), ("C", ""), ("C", "to.*"), ("C", "to..D"))),
        *(by_consumer(*wrong) for wrong in (("a.b",), ("C", "to.>"))),
        sourced("D", by(opt_start_seq=1)), sourced("D", by(filter_subject="s.1")), by_consumer(opt_start_seq=2),
        by_consumer(filter_subject="s.1"), sourced("D", by(), by(subject_transforms=[{"src": "s.1", "dest": "t"}])),
        sourced("D", by(), by()),
    ],
    "counters are added up": [
        create(allow_msg_counter=True), create("T", subjects=["t.>"], allow_msg_counter=True),
        pub("s.n", b"", Nats_Incr="5"), pub("t.n", b"", Nats_Incr="7"),
        sourced("D", {"name": "S", "subject_transforms": [{"src": "s.*", "dest": "d.$1"}]}, allow_msg_counter=True, allow_direct=True),
        Wait("D", 1),
        api("STREAM.UPDATE.D", {
            "name": "D", "allow_msg_counter": True, "sources": [
                {"name": "S", "subject_transforms": [{"src": "s.*", "dest": "d.$1"}]},
                {"name": "T", "subject_transforms": [{"src": "t.*", "dest": "d.$1"}]},
            ],
        }),
        Wait("D", 2), pub("s.n", b"", Nats_Incr="-2"), Wait("D", 3), messages("D", 1, 2, 3),
    ],
}  # fmt: skip


def settled(state: dict[str, Any], wait: Wait) -> bool:
    """True if a stream's state is what a step waits for."""
    return bool(state["last_seq"] == wait.last and wait.messages in (-1, state["messages"]))


def as_steps(parts: list[Part | list[Part]]) -> list[Part]:
    return [each for part in parts for each in (part if isinstance(part, list) else [part])]
