"""Stories about what consumers are asked to be: creating, updating, listing and removing them, and every refusal."""

from typing import Any

from consumer_moves import MILLI, SECOND, fill, make, nameless, names, push, raw, remove, state
from consumer_player import Story, both, story
from jetstream_player import Step, api, create, info

MINUTE = 60 * SECOND
LATER = "2099-01-01T00:00:00Z"


def refused(name: str, *steps: Step, **stream: Any) -> Story:
    """A story on one stream, whose consumers are listed in the end."""
    return story(name, create(**stream), list(steps), names())


def each(name: str, *configs: dict[str, Any]) -> Story:
    """The same consumer with each of these, in turn."""
    moves: list[Step] = []
    for config in configs:
        moves += [make(**config), remove()]
    return story(name, create(), moves)


def pushes(name: str, *configs: dict[str, Any]) -> Story:
    moves: list[Step] = []
    for config in configs:
        moves += [push(**config), remove()]
    return story(name, create(), moves)


def changed(name: str, first: dict[str, Any], *then: dict[str, Any], deliver: str = "") -> Story:
    """A consumer, changed in each of these ways."""
    base = {"deliver_subject": deliver} if deliver else {}
    return story(name, create(), make(**base | first), [make(**base | first | config) for config in then], state())


CREATE = [
    both("a durable one", create(), make(), state(), names()),
    both("created again", create(), make(), make(), state()),
    both("one with a name", create(), make(durable_name=None, name="C"), state()),
    both("without a name", create(), nameless(), state("<name0>")),
    both("without a name twice", create(), nameless(), nameless(), api("CONSUMER.LIST.NOPE")),
    both(
        "the durable subject", create(), api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C"}}), state()
    ),
    story(
        "the durable subject with other names",
        create(),
        api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "D"}}),
        api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {}}),
        api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "T", "config": {"durable_name": "C"}}),
        api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "name": "D"}}),
        api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {"name": "C"}}),
        api("CONSUMER.DURABLE.CREATE.S.C"),
        api("CONSUMER.DURABLE.CREATE.S.C", b"{"),
    ),
    story(
        "the nameless subject with a name",
        create(),
        raw({"stream_name": "S", "config": {"durable_name": "C"}}, "S"),
        raw({"stream_name": "S", "config": {"name": "C"}}, "S"),
        raw({"stream_name": "S", "config": {"name": "C", "durable_name": "C"}}, "S"),
        raw({"stream_name": "T", "config": {}}, "S"),
        names(),
    ),
    story("no body", create(), raw(None), raw(None, "S"), raw({}), raw({"stream_name": "S"}), names()),
    story("a config of nothing", create(), raw({"stream_name": "S", "config": {}}), state()),
    story("bad JSON", create(), *(raw(body) for body in (b"{bad", b"[]", b'"C"', b"7", b'{"stream_name":"S",'))),
    story(
        "unknown fields",
        create(),
        raw({"stream_name": "S", "zzz": 1}),
        raw({"stream_name": "S", "config": {"durable_name": "C", "zzz": 1}}),
        raw({"stream_name": "S", "config": {"durable_name": "C", "ack_wait": "5s"}}),
        raw({"stream_name": "S", "config": {"durable_name": 7}}),
        raw({"stream_name": "S", "config": []}),
        raw({"stream_name": "S", "config": {"durable_name": "C", "backoff": 5}}),
        raw({"stream_name": "S", "config": {"durable_name": "C", "max_deliver": 1.5}}),
    ),
    story(
        "unknown policies",
        create(),
        *(make(**{field: "zzz"}) for field in ("ack_policy", "deliver_policy", "replay_policy", "priority_policy")),
        *(make(**{field: 1}) for field in ("ack_policy", "deliver_policy", "replay_policy")),
    ),
    story("no stream", make(), make("C", "T"), state(), names(), remove(), api("CONSUMER.LIST.S")),
    story("a body about another stream", create(), create("T", subjects=["t"]), raw({"stream_name": "T", "config": {"durable_name": "C"}})),
    story("a name in the subject and another in the body", create(), raw({"stream_name": "S", "config": {"name": "D"}}), names()),
    story("a durable name and another name", create(), make(name="D"), make("D", durable_name="C"), names()),
    story(
        "names that may not be",
        create(),
        *(make("C", durable_name=name) for name in ("a b", "a.b", "a*", "a>", "a/b", "a\\b", "")),
        *(make("C", durable_name=None, name=name) for name in ("a b", "a.b", "a*", "a>", "a/b", "a\\b", "")),
        names(),
    ),
    story("long names", create(), make("x" * 255), make("x" * 256), api(f"CONSUMER.INFO.S.{'x' * 256}")),
    story("names of the nameless subject", create(), *(nameless(durable_name=name) for name in ("a b", "a.b", "x" * 300)), names()),
    story("wrong tokens in a subject", create(), api("CONSUMER.CREATE", {}, "none"), api("CONSUMER.DURABLE.CREATE.S", {}, "none")),
    story(
        "the filter in the subject",
        create(),
        make(at="C.s.a", filter_subject="s.a"),
        make("D", at="D.s.a", filter_subject="s.b"),
        make("D", at="D.s.a"),
        make("D", at="D.s.a", filter_subjects=["s.a"]),
        make("D", at="D.s.*", filter_subject="s.*"),
        make("E", at="E.s.>", filter_subject="s.>"),
        make("F", at="F.s.a.b", filter_subject="s.a"),
        names(),
    ),
    story("a filter of the body only", create(), make(filter_subject="s.a"), make("D", filter_subject="t.a"), state("D")),
]

ACTIONS = [
    both("create what is not there", create(), make(action="create"), state()),
    both("update what is not there", create(), make(action="update"), names()),
    story("create what is there", create(), make(), make(action="create"), make(action="create", max_deliver=5), state()),
    story("update what is there", create(), make(), make(action="update"), make(action="update", max_deliver=5), state()),
    story("an action that is none", create(), make(action="foo"), make(action="CREATE"), names()),
    story("an action for the nameless", create(), raw({"stream_name": "S", "config": {}, "action": "update"}, "S")),
    story(
        "actions of durables",
        create(),
        *(
            api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "max_deliver": n}, "action": action})
            for n, action in ((1, "update"), (1, "create"), (2, "create"), (3, "update"), (4, ""))
        ),
        state(),
    ),
]

LISTS = [
    both("names and lists", create(), make("A"), make("B"), names(), api("CONSUMER.LIST.S")),
    story("names of none", create(), names(), api("CONSUMER.LIST.S")),
    story("names from an offset", create(), make("A"), make("B"), make("C"), *(names(offset=n) for n in (0, 1, 2, 3, 7, -1))),
    story("a list from an offset", create(), make("A"), make("B"), *(api("CONSUMER.LIST.S", {"offset": n}) for n in (1, 2, 5))),
    story("names with a body that is none", create(), *(api("CONSUMER.NAMES.S", body) for body in (b"{", b"7", b'{"zzz":1}'))),
    story("a list with a body that is none", create(), *(api("CONSUMER.LIST.S", body) for body in (b"{", b"7", b'{"zzz":1}'))),
    both("a list of many", create(), [make(f"C{n}") for n in range(12)], names(), info()),
    both("remove", create(), make(), remove(), remove(), state(), names()),
    story("remove with a body", create(), make(), api("CONSUMER.DELETE.S.C", b"{}"), names()),
    story("info with a body", create(), make(), api("CONSUMER.INFO.S.C", b"{}"), api("CONSUMER.INFO.S.C", b"zzz")),
    story("info of none", create(), state("NOPE"), state("NOPE", "NOPE")),
    story("the stream knows how many", create(), make("A"), make("B"), info(), remove("A"), info(), api("INFO")),
    story("they go with their stream", create(), make(), api("STREAM.DELETE.S"), state(), create(), state(), names()),
    both("removed and made again", create(), fill(3), make(), remove(), make(), state()),
]

VALUES = [
    both(
        "all that a pull consumer may say",
        create(),
        make(
            description="d",
            ack_wait=5 * SECOND,
            max_deliver=7,
            filter_subject="s.a",
            sample_freq="50%",
            max_waiting=9,
            max_ack_pending=11,
            headers_only=True,
            max_batch=13,
            max_expires=15 * SECOND,
            max_bytes=1700,
            inactive_threshold=19 * SECOND,
            metadata={"a": "b"},
            replay_policy="original",
            mem_storage=True,
            num_replicas=1,
        ),
        state(),
    ),
    both(
        "all that a push consumer may say",
        create(),
        push(
            description="d",
            ack_wait=5 * SECOND,
            max_deliver=7,
            filter_subjects=["s.a", "s.b"],
            sample_freq="50",
            max_ack_pending=11,
            headers_only=True,
            deliver_group="g",
            idle_heartbeat=5 * SECOND,
            flow_control=True,
            rate_limit_bps=100_000,
            metadata={"a": "b"},
            replay_policy="original",
        ),
        state(),
    ),
    each("ack policies", *({"ack_policy": policy} for policy in ("none", "all", "explicit"))),
    pushes("ack policies of push", *({"ack_policy": policy} for policy in ("none", "all", "explicit"))),
    each("no ack policy", {"ack_policy": None}, {"ack_policy": ""}),
    each("ack waits", *({"ack_wait": wait} for wait in (0, 1, MILLI, SECOND, 90 * MINUTE, -1))),
    each("ack waits without acks", {"ack_policy": "none", "ack_wait": SECOND}, {"ack_policy": "none", "ack_wait": -1}),
    each("max deliver", *({"max_deliver": n} for n in (0, 1, -1, -5, 1 << 40))),
    each(
        "backoff, configured",
        {"backoff": [SECOND, 2 * SECOND]},
        {"backoff": [SECOND], "max_deliver": 1},
        {"backoff": [SECOND, SECOND], "max_deliver": 1},
        {"backoff": [-1]},
        {"backoff": []},
        {"backoff": [0]},
        {"backoff": [SECOND], "ack_wait": 9 * SECOND},
    ),
    each("backoff and ack policies", *({"backoff": [SECOND], "ack_policy": policy} for policy in ("none", "all", "explicit"))),
    each("backoff as long as the deliveries", {"backoff": [1, 2, 3], "max_deliver": 3}, {"backoff": [1, 2, 3], "max_deliver": 4}),
    each("max ack pending", *({"max_ack_pending": n} for n in (0, 1, -1, -5, 100_000))),
    each("max ack pending without acks", {"ack_policy": "none", "max_ack_pending": 5}, {"ack_policy": "all", "max_ack_pending": 5}),
    pushes("max ack pending of push", {"max_ack_pending": 5}, {"ack_policy": "none", "max_ack_pending": 5}, {"max_ack_pending": -1}),
    each("max waiting", *({"max_waiting": n} for n in (0, 1, -1, 5000))),
    pushes("max waiting of push", {"max_waiting": 1}, {"max_waiting": -1}),
    each(
        "limits of a pull",
        {"max_batch": 5},
        {"max_batch": -1},
        {"max_expires": SECOND},
        {"max_expires": 1},
        {"max_expires": -1},
        {"max_bytes": 5},
        {"max_bytes": -1},
    ),
    pushes("limits of a pull for push", {"max_batch": 5}, {"max_expires": SECOND}, {"max_bytes": 5}),
    each("inactive thresholds", *({"inactive_threshold": n} for n in (0, 1, SECOND, -1))),
    each("inactive thresholds of ephemerals", *({"durable_name": None, "name": "C", "inactive_threshold": n} for n in (0, SECOND, -1))),
    each("replicas", *({"num_replicas": n} for n in (0, 1, 3, 6, -1))),
    each("descriptions", {"description": "x" * 4096}, {"description": "x" * 4097}, {"description": "<b>&</b>"}),
    each("metadata", {"metadata": {"a": "b"}}, {"metadata": {"_nats.x": "y"}}, {"metadata": {"a": "x" * 140_000}}, {"metadata": {}}),
    each("samples", *({"sample_freq": text} for text in ("0", "100", "100%", "50%", "101", "-1", "x", "", "%"))),
    each("memory", {"mem_storage": True}, {"mem_storage": False}),
    each(
        "what push has", {"rate_limit_bps": 5}, {"idle_heartbeat": SECOND}, {"flow_control": True}, {"deliver_group": "g"}, {"direct": True}
    ),
    pushes("rates", {"rate_limit_bps": 5}, {"rate_limit_bps": 0}),
    pushes("heartbeats, configured", *({"idle_heartbeat": n} for n in (0, 1, 99 * MILLI, 100 * MILLI, -1))),
    pushes("flow control", {"flow_control": True}, {"flow_control": True, "idle_heartbeat": SECOND}),
    pushes("deliver groups", {"deliver_group": "g"}, {"deliver_group": "a b"}, {"deliver_group": "a.b"}, {"deliver_group": "*"}),
    story(
        "deliver subjects",
        create(),
        *(
            push(f"C{n}", deliver)
            for n, deliver in enumerate(("a b", "a..b", "a.*", ">", "s.x", ".a", "a.", "$JS.API.X", "ok.x", "_INBOX.x"))
        ),
    ),
    story("a deliver subject of two", create(), push("A"), push("B"), push("C", deliver_group="g"), names()),
    each("direct", {"direct": True}, {"direct": True, "durable_name": None, "name": "C"}),
    pushes(
        "direct push",
        {"direct": True},
        {"direct": True, "durable_name": None, "name": "C", "ack_policy": "none"},
        {"direct": True, "durable_name": None, "name": "C"},
    ),
    each(
        "starts",
        {"opt_start_seq": 5},
        {"opt_start_time": LATER},
        {"deliver_policy": "by_start_sequence"},
        {"deliver_policy": "by_start_time"},
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 5},
        {"deliver_policy": "by_start_time", "opt_start_time": LATER},
        {"deliver_policy": "by_start_time", "opt_start_time": "soon"},
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 0},
    ),
    each(
        "starts that exclude each other",
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 5, "opt_start_time": LATER},
        {"deliver_policy": "by_start_time", "opt_start_seq": 5, "opt_start_time": LATER},
    ),
    *(
        each(
            f"starts with {policy}",
            {"deliver_policy": policy},
            {"deliver_policy": policy, "opt_start_seq": 5},
            {"deliver_policy": policy, "opt_start_time": LATER},
        )
        for policy in ("all", "last", "new", "last_per_subject")
    ),
    each(
        "last per subject and filters",
        {"deliver_policy": "last_per_subject", "filter_subject": "s.*"},
        {"deliver_policy": "last_per_subject", "filter_subjects": ["s.a", "s.b"]},
    ),
    each(
        "filters",
        {"filter_subject": "s.a"},
        {"filter_subject": "t"},
        {"filter_subject": ">"},
        {"filter_subject": "s.>"},
        {"filter_subject": ""},
        {"filter_subject": "a..b"},
        {"filter_subject": "a b"},
        {"filter_subject": ">.a"},
    ),
    each(
        "many filters",
        {"filter_subjects": ["s.a", "s.b"]},
        {"filter_subjects": ["s.a", "s.a"]},
        {"filter_subjects": ["s.*", "s.a"]},
        {"filter_subjects": ["s.a", ""]},
        {"filter_subjects": []},
        {"filter_subjects": ["s.a"]},
        {"filter_subjects": ["s.a", "t"]},
        {"filter_subjects": ["a..b"]},
        {"filter_subjects": ["s.>", "s.a.>"]},
    ),
    each(
        "a filter and filters", {"filter_subject": "s.a", "filter_subjects": ["s.b"]}, {"filter_subject": "s.a", "filter_subjects": ["s.a"]}
    ),
    each("replay", {"replay_policy": "instant"}, {"replay_policy": "original"}, {"replay_policy": None}),
    each("a pause from the start", {"pause_until": LATER}, {"pause_until": "2001-01-01T00:00:00Z"}, {"pause_until": "x"}),
    each("sourcing", {"sourcing": True}),
    each("acks by flow control", {"ack_policy": "flow_control"}),
    pushes(
        "acks by flow control and push",
        {"ack_policy": "flow_control"},
        {"ack_policy": "flow_control", "flow_control": True},
        {"ack_policy": "flow_control", "flow_control": True, "idle_heartbeat": SECOND},
    ),
]

GROUPS = [
    each(
        "priority groups",
        {"priority_groups": ["a"], "priority_policy": "overflow"},
        {"priority_groups": ["a"], "priority_policy": "none"},
        {"priority_groups": ["a"]},
        {"priority_policy": "overflow"},
        {"priority_groups": [], "priority_policy": "overflow"},
    ),
    each(
        "names of priority groups",
        *({"priority_groups": [name], "priority_policy": "overflow"} for name in ("", "a b", "x" * 17, "x" * 16, "a-b_c/d=", "a.b", "ä")),
    ),
    each(
        "two priority groups",
        {"priority_groups": ["a", "b"], "priority_policy": "overflow"},
        {"priority_groups": ["a", "a"], "priority_policy": "overflow"},
    ),
    each(
        "pinned, configured",
        {"priority_groups": ["a"], "priority_policy": "pinned_client"},
        {"priority_groups": ["a"], "priority_policy": "pinned_client", "priority_timeout": 5 * SECOND},
        {"priority_groups": ["a"], "priority_policy": "pinned_client", "priority_timeout": -1},
    ),
    each(
        "prioritized, configured",
        {"priority_groups": ["a"], "priority_policy": "prioritized"},
        {"priority_groups": ["a"], "priority_policy": "prioritized", "priority_timeout": SECOND},
    ),
    each(
        "a timeout without a policy",
        {"priority_timeout": SECOND},
        {"priority_groups": ["a"], "priority_timeout": SECOND, "priority_policy": "overflow"},
    ),
    pushes("priority groups of push", {"priority_groups": ["a"], "priority_policy": "overflow"}),
    changed(
        "groups that change",
        {"priority_groups": ["a"], "priority_policy": "overflow"},
        {"priority_groups": ["b"]},
        {"priority_policy": "pinned_client"},
        {"priority_policy": "prioritized"},
        {"priority_groups": [], "priority_policy": "none"},
    ),
]

PEDANTIC = [
    story(
        f"pedantic about {label}", create(), raw({"stream_name": "S", "config": {"durable_name": "C"} | config, "pedantic": True}), names()
    )
    for label, config in {
        "nothing": {},
        "all that is said": {
            "max_deliver": -1,
            "max_waiting": 512,
            "ack_policy": "explicit",
            "ack_wait": 30 * SECOND,
            "max_ack_pending": 1000,
        },
        "max deliver": {"max_deliver": 0},
        "ack wait": {"ack_policy": "explicit", "ack_wait": 0},
        "backoff": {"ack_policy": "explicit", "backoff": [SECOND], "ack_wait": 2 * SECOND},
        "the same backoff": {"ack_policy": "explicit", "backoff": [SECOND], "ack_wait": SECOND},
        "max waiting": {"max_waiting": 5},
        "max ack pending": {"ack_policy": "explicit", "max_ack_pending": 5},
        "groups": {"priority_groups": ["a"], "priority_policy": "pinned_client"},
        "an empty start": {"opt_start_seq": 0},
    }.items()
]

UPDATES = [
    changed(
        "updates",
        {},
        {"description": "d"},
        {"ack_wait": 5 * SECOND},
        {"max_deliver": 9},
        {"sample_freq": "20"},
        {"max_ack_pending": 7},
        {"headers_only": True},
        {"max_batch": 5},
        {"max_expires": SECOND},
        {"max_bytes": 9},
        {"inactive_threshold": MINUTE},
        {"metadata": {"a": "b"}},
        {"backoff": [SECOND, SECOND]},
        {"filter_subject": "s.a"},
        {"filter_subjects": ["s.a", "s.b"]},
        {"pause_until": LATER},
    ),
    changed(
        "updates that may not be",
        {},
        {"deliver_policy": "new"},
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 3},
        {"ack_policy": "none"},
        {"ack_policy": "all"},
        {"replay_policy": "original"},
        {"max_waiting": 5},
        {"mem_storage": True},
        {"deliver_subject": "x"},
        {"num_replicas": 3},
        {"direct": True},
    ),
    changed("updates of starts", {"deliver_policy": "by_start_sequence", "opt_start_seq": 3}, {"opt_start_seq": 4}, {"opt_start_seq": 3}),
    changed("updates of times", {"deliver_policy": "by_start_time", "opt_start_time": LATER}, {"opt_start_time": "2098-01-01T00:00:00Z"}),
    changed(
        "updates of push",
        {"idle_heartbeat": SECOND, "flow_control": True},
        {"idle_heartbeat": 2 * SECOND},
        {"flow_control": False},
        {"flow_control": False, "idle_heartbeat": 0},
        {"rate_limit_bps": 7},
        {"deliver_subject": "other"},
        {"deliver_group": "g"},
        {"deliver_subject": None, "idle_heartbeat": None, "flow_control": None},
        deliver="push",
    ),
    changed("updates of groups of push", {"deliver_group": "g"}, {"deliver_group": "h"}, {"deliver_group": None}, deliver="push"),
    changed(
        "an update that makes no sense",
        {"max_deliver": 3},
        {"backoff": [1, 2, 3, 4]},
        {"max_ack_pending": -1},
        {"ack_wait": -1},
        {"filter_subject": "a b"},
        {"description": "x" * 5000},
    ),
    changed(
        "an update to less",
        {"description": "d", "max_batch": 5, "metadata": {"a": "b"}},
        {"description": None},
        {"max_batch": None},
        {"metadata": None},
    ),
    changed("an ephemeral becomes durable", {"durable_name": None, "name": "C"}, {"durable_name": "C"}, {"durable_name": None}),
    both(
        "filters that change",
        create(),
        fill(4),
        make(filter_subject="s.1"),
        state(),
        make(filter_subject="s.*"),
        state(),
        make(filter_subjects=["s.2", "s.3"]),
        state(),
        make(),
        state(),
    ),
]

STORIES: list[Story] = [*CREATE, *ACTIONS, *LISTS, *VALUES, *GROUPS, *PEDANTIC, *UPDATES]
