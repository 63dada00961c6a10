"""Conversations about the configuration of consumers, for nats-server and for engine/consumers/config: hand-picked ones, others by dice.

A conversation is a stream's configuration and requests: the end of the subject behind ``CONSUMER.`` and the body. The dice have a seed, so
that both sides and every run see the same.
"""

import json
from random import Random
from typing import Any, NamedTuple

__all__ = ["LIMITED", "PLAIN", "Talk", "made"]


class Talk(NamedTuple):
    """Requests about consumers of one stream."""

    stream: dict[str, Any]
    requests: list[tuple[str, bytes]]


SECOND = 1_000_000_000
NANOS = [0, -1, 1, 999_999, 1_000_000, 99_999_999, 100_000_000, SECOND, 5 * SECOND, 30 * SECOND, 120 * SECOND, (1 << 63) - 1]
COUNTS = [0, -1, -2, 1, 3, 100, 5_000, 1 << 40]
SUBJECTS = [
    "a",
    "a.b",
    "a.*",
    "a.>",
    "*",
    ">",
    "*.b",
    "b.>",
    "b",
    "a..b",
    ".a",
    "a.",
    " ",
    "a b",
    "a.>.b",
    "a*",
    "s.x",
    "s.*",
    "\u00e9",
    "\t",
]
FLAGS = [True, False]
TIMES = ["2024-01-02T03:04:05Z", "2024-01-02T05:04:05+02:00", "0001-01-01T00:00:00Z", "2030-01-02T03:04:05.12Z", "2024-13-01T00:00:00Z"]
VALUES: dict[str, list[Any]] = {
    "description": ["", "d", "d" * 4096, "d" * 4097, "\u00e9" * 2049],
    "deliver_policy": ["all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"],
    "opt_start_seq": [0, 1, 9],
    "opt_start_time": TIMES,
    "ack_policy": ["none", "all", "explicit", "explicit", "flow_control"],
    "ack_wait": NANOS,
    "max_deliver": [0, -1, -2, 1, 2, 5],
    "backoff": [[SECOND], [SECOND, 2 * SECOND, 3 * SECOND], [0], [-1], [SECOND, -1]],
    "filter_subject": ["", *SUBJECTS],
    "replay_policy": ["instant", "original"],
    "rate_limit_bps": [0, 1, 1 << 40],
    "sample_freq": ["", "1", "50%", "100", "0", "-1", "+5", "x", "%", "5%%", "1.5", " 5", "9" * 20, "1_000", "\u0663"],
    "max_waiting": COUNTS,
    "max_ack_pending": COUNTS,
    "flow_control": FLAGS,
    "headers_only": FLAGS,
    "max_batch": COUNTS,
    "max_expires": NANOS,
    "max_bytes": COUNTS,
    "deliver_subject": ["", "d", "d.x", "d.*", "d.>", "d..x", "s.x", "a", "d x", ">"],
    "deliver_group": ["", "g", "g h"],
    "idle_heartbeat": NANOS,
    "inactive_threshold": [0, -1, SECOND, 5 * SECOND, 30 * SECOND, (1 << 63) - 1],  # below, it would be gone before the next request
    "num_replicas": [0, 1, 1, 2, 5, -1],
    "mem_storage": FLAGS,
    "direct": [True, False, False],
    "sourcing": [True, False, False],
    "metadata": [{}, {"a": "b"}, {"_nats.ver": "1", "_nats.level": "0", "_nats.req.level": "9"}, {"k": "v" * (128 * 1024)},
                 {"k": "v" * (128 * 1024 - 1)}],
    "pause_until": TIMES,
    "priority_groups": [["g"], ["g", "h"], [""], ["a b"], ["x" * 16], ["x" * 17], ["A/b_=-9"], ["g\n"]],
    "priority_policy": ["none", "overflow", "pinned_client", "prioritized"],
    "priority_timeout": NANOS,
}  # fmt: skip
FIELDS = (*VALUES, "filter_subjects", "deliver_subject", "idle_heartbeat", "ack_policy", "priority_policy", "priority_groups")
PUSHED = {"deliver_subject": "d", "idle_heartbeat": SECOND}
STREAMS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"retention": "interest"},
    {"retention": "workqueue"},
    {"retention": "workqueue"},
    {"max_consumers": 1},
    {"consumer_limits": {"inactive_threshold": SECOND, "max_ack_pending": 50}},
]


def value_of(field: str, dice: Random) -> Any:
    """Something that may stand in a field, or just not."""
    if field == "filter_subjects":
        return dice.sample(SUBJECTS[:9] if dice.random() < 0.8 else [*SUBJECTS, ""], dice.choice([1, 2, 2, 3]))
    return dice.choice(VALUES[field])


def config(dice: Random, most: int) -> dict[str, Any]:
    """A configuration with a few fields; many of them push."""
    made = dict(PUSHED) if dice.random() < 0.35 else {}
    return made | {field: value_of(field, dice) for field in sorted({dice.choice(FIELDS) for _ in range(dice.randint(1, most))})}


def request(subject: str, config: dict[str, Any], stream: str = "S", **rest: Any) -> tuple[str, bytes]:
    return subject, json.dumps({"stream_name": stream, "config": config} | rest).encode()


def named(dice: Random, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A subject to ask under, and the configuration with the name that it needs."""
    form = dice.choice(["new", "new", "durable", "legacy durable", "legacy"])
    name = dice.choice(["C", "C", "D"])
    if form == "new":
        return f"CREATE.S.{name}", config
    if form == "durable":
        return f"CREATE.S.{name}", config | {"durable_name": name}
    if form == "legacy durable":
        return f"DURABLE.CREATE.S.{name}", config | {"durable_name": name}
    return "CREATE.S", config | {"name": name}


def made(seed: int, count: int) -> list[Talk]:
    """Conversations by dice: consumers are created, created again, changed, and join others."""
    dice, found = Random(seed), []
    for _ in range(count):
        stream = dice.choice(STREAMS)
        requests = []
        first = config(dice, 4)
        if stream.get("retention") == "workqueue" and dice.random() < 0.7:
            first["ack_policy"] = "explicit"
        rest: dict[str, Any] = {"pedantic": True} if dice.random() < 0.15 else {}
        subject, full = named(dice, first)
        requests.append(request(subject, full, **rest))
        for _ in range(dice.choice([0, 1, 2, 2])):
            change = config(dice, 2)
            again, full = named(dice, (first | change) if dice.random() < 0.75 else change)
            action = dice.choice([{}, {}, {"action": "create"}, {"action": "update"}])
            requests.append(request(subject if dice.random() < 0.5 else again, full, **rest, **action))
        found.append(Talk(stream, requests))
    return found


def each(*configs: dict[str, Any], subject: str = "CREATE.S.C", stream: dict[str, Any] | None = None, **rest: Any) -> list[Talk]:
    """Conversations of one request."""
    return [Talk(stream or {}, [request(subject, config, **rest)]) for config in configs]


def talk(*requests: tuple[str, bytes], **stream: Any) -> Talk:
    return Talk(stream, list(requests))


def changed(before: dict[str, Any], *after: dict[str, Any], **rest: Any) -> list[Talk]:
    """Conversations in which a consumer is created and then becomes each of the others."""
    return [talk(request("CREATE.S.C", before), request("CREATE.S.C", each, **rest)) for each in after]


WORK = {"retention": "workqueue"}
EXPLICIT = {"ack_policy": "explicit"}
PUSH = {"deliver_subject": "d"}
FED = {"deliver_subject": "d", "ack_policy": "flow_control"}
PLAIN: list[Talk] = [
    Talk({}, [("CREATE.S.C", b"")]), Talk({}, [("CREATE.S.C", b"{}")]), Talk({}, [("CREATE.S", b'{"stream_name":"S"}')]),
    Talk({}, [("CREATE.S.C", b'{"stream_name":"S","zzz":1}')]), Talk({}, [("CREATE.S.C", b'{"stream_name":"S","config":{"zzz":1}}')]),
    Talk({}, [("CREATE.S.C", b'{"stream_name":"S","config":[]}')]), Talk({}, [("CREATE.S.C", b'{"stream_name":"S","action":"x"}')]),
    Talk({}, [("CREATE.S.C", b'{"stream_name":"S","config":null}')]),
    Talk({}, [("CREATE.S.C", b'{"stream_name":"S","config":{"ack_policy":"x"}}')]),
    Talk({}, [("CREATE.S.C", b'{"stream_name":"S","config":{"priority_policy":"x"}}')]),
    *each({}, {}, subject="CREATE.S.C", stream_name="T"), *each({}, subject="CREATE.T.C", stream_name="T"),
    *each({"name": "D"}, {"durable_name": "D"}, {"durable_name": "C", "name": "D"}, {"durable_name": "C"}, {"durable_name": "C x"}),
    *each({}, {"durable_name": "D"}, {"durable_name": "C"}, {"durable_name": "C", "name": "D"}, subject="DURABLE.CREATE.S.C"),
    *each({"durable_name": "D"}, {"name": "a/b"}, {"name": "a.b"}, {"name": "a b"}, {"name": "\u00e9"}, {"name": "n" * 300},
          subject="CREATE.S"),
    *(talk(request(f"CREATE.S.{name}", {"durable_name": name}))
      for name in ("a/b", "a\\b", "n" * 255, "n" * 256, "\u00e9" * 127, "DURABLE")),
    *each({}, {"filter_subject": "a.b"}, {"filter_subject": "a.>"}, {"filter_subjects": ["a.b"]}, {"filter_subjects": ["a.b", "c"]},
          subject="CREATE.S.C.a.b"),
    *each({"filter_subject": "a.>"}, subject="CREATE.S.C.a.>"),
    *each({"num_replicas": 2}, {"num_replicas": 2, "durable_name": "X"}, {"num_replicas": -1}),
    *each({"num_replicas": 1}, {"num_replicas": 0}, stream={"retention": "interest"}),
    *each(*({field: value} for field in ("max_deliver", "max_waiting", "max_ack_pending", "max_batch", "max_expires", "max_bytes",
                                         "idle_heartbeat", "inactive_threshold", "priority_timeout") for value in (-1, -2)), pedantic=True),
    *each({"backoff": [SECOND]}, {"backoff": [SECOND], "ack_wait": SECOND}, {"backoff": [SECOND], "ack_wait": 5}, FED, {}, pedantic=True),
    *each({}, {"max_ack_pending": 10, "inactive_threshold": 5}, {"max_ack_pending": 10}, stream=STREAMS[-1], pedantic=True),
    *each({}, EXPLICIT, {"max_ack_pending": 51}, {"max_ack_pending": 50}, {"inactive_threshold": SECOND + 1},
          {"inactive_threshold": SECOND}, {"max_ack_pending": -1}, PUSH, {"durable_name": "C"}, stream=STREAMS[-1]),
    *each({"ack_policy": "flow_control"}, FED, FED | {"ack_wait": 5}, FED | {"backoff": [5]}, FED | {"max_deliver": 5},
          FED | {"max_ack_pending": -1}, FED | {"idle_heartbeat": 5 * SECOND}, FED | {"max_ack_pending": 5}),
    *each(FED | {"flow_control": True}, FED | {"flow_control": True, "idle_heartbeat": SECOND}, pedantic=True),
    *each({"backoff": [1, 2, 3], "max_deliver": 2}, {"backoff": [1, 2, 3], "max_deliver": 3}, {"backoff": [1, 2, 3]}),
    *each({"deliver_subject": "s.x"}, {"deliver_subject": "s.x.y"}, {"deliver_subject": "t"}, PUSH | {"max_waiting": 5},
          PUSH | {"max_ack_pending": 5}, PUSH | EXPLICIT | {"max_ack_pending": 5}, PUSH | {"idle_heartbeat": 99_999_999},
          PUSH | {"flow_control": True}, PUSH | {"flow_control": True, "idle_heartbeat": SECOND}, PUSH | {"rate_limit_bps": 5},
          PUSH | {"max_batch": 5, "max_expires": 1, "max_bytes": 7}),
    *each({"ack_policy": "none"}, {"ack_policy": "all"}, EXPLICIT | {"deliver_policy": "new"}, PUSH, PUSH | {"ack_policy": "all"},
          PUSH | {"direct": True}, PUSH | {"sourcing": True}, FED, EXPLICIT, EXPLICIT | {"filter_subject": "zzz"}, stream=WORK),
    *each({"direct": True}, PUSH | {"direct": True}, PUSH | {"direct": True, "durable_name": "C"},
          PUSH | {"direct": True, "sourcing": True}, {"sourcing": True}),
    *each({"filter_subject": "a", "filter_subjects": ["b"]}, {"filter_subjects": [""]}, {"filter_subjects": ["a", ""]},
          {"filter_subjects": ["a", "a"]}, {"filter_subjects": ["a.*", "a.b"]}, {"filter_subjects": ["a.b", "a.*"]},
          {"filter_subjects": ["a.*", "*.b"]}, {"filter_subjects": ["a..b", "a.*"]}, {"filter_subjects": ["a.*", "a.b", "a..b"]},
          {"filter_subjects": [">", "a"]}, {"filter_subjects": []}, {"filter_subject": "zzz"}, {"filter_subjects": ["zzz", "s.a"]}),
    *each(*({"deliver_policy": policy} | start for policy in VALUES["deliver_policy"] for start in (
        {}, {"opt_start_seq": 5}, {"opt_start_time": TIMES[0]}, {"opt_start_seq": 5, "opt_start_time": TIMES[0]}, {"filter_subject": "a"},
    ))),
    *each({"deliver_policy": "last_per_subject", "filter_subjects": ["a", "b"]}, {"deliver_policy": "undefined"},
          {"deliver_policy": "by_start_time", "opt_start_time": "0000-01-01T00:00:00Z"}),
    *each(*({"sample_freq": text} for text in VALUES["sample_freq"])),
    *each(*({"priority_policy": policy, "priority_groups": groups} for policy in VALUES["priority_policy"]
            for groups in VALUES["priority_groups"])),
    *each({"priority_timeout": 5}, {"priority_policy": "overflow", "priority_groups": ["g"], "priority_timeout": 5},
          {"priority_policy": "pinned_client", "priority_groups": ["g"], "priority_timeout": 5}, PUSH | {"priority_policy": "overflow"},
          {"priority_policy": None}, {"priority_policy": ""}),
    *each(*({"metadata": value} for value in VALUES["metadata"])), *each(*({"pause_until": value} for value in TIMES)),
    *changed({}, {}, {"description": "x"}, {"max_deliver": 7}, {"ack_wait": 7}, {"deliver_policy": "new"}, EXPLICIT, PUSH,
             {"replay_policy": "original"}, {"mem_storage": True}, {"max_waiting": 7}, {"max_ack_pending": 7}, {"headers_only": True},
             {"inactive_threshold": 7 * SECOND}, {"filter_subject": "a"}, {"filter_subjects": ["a", "b"]}, {"backoff": [1, 2]},
             {"backoff": [1, 2], "max_deliver": 1}, {"pause_until": TIMES[3]}, {"metadata": {"a": "b"}}, {"sample_freq": "5"},
             {"priority_policy": "overflow", "priority_groups": ["g"]}, {"durable_name": "C"}, {"num_replicas": 1}, {"max_batch": 4},
             {"max_expires": SECOND}, {"max_bytes": 7}, {"sourcing": True}),
    *changed({}, {}, {"description": "x"}, {"inactive_threshold": 5 * SECOND}, action="create"),
    *changed({"durable_name": "C"}, {"durable_name": "C"}, {"durable_name": "C", "metadata": {"_nats.ver": "7"}},
             {"durable_name": "C", "description": "x"}, {}, {"durable_name": "C", "metadata": {"_nats.req.level": "4"}}, action="create"),
    *changed({"durable_name": "C"}, {"durable_name": "C"}, {"durable_name": "C", "inactive_threshold": 7 * SECOND}, {}, action="update"),
    *changed({"durable_name": "C", "inactive_threshold": 7 * SECOND}, {"durable_name": "C"}),
    *changed(PUSH, {}, {"deliver_subject": "e"}, PUSH | {"idle_heartbeat": SECOND}, PUSH | {"deliver_group": "g"},
             PUSH | {"flow_control": True, "idle_heartbeat": SECOND}, PUSH | {"direct": True}, PUSH | {"rate_limit_bps": 100}),
    *changed({"deliver_policy": "by_start_time", "opt_start_time": TIMES[0]}, *(
        {"deliver_policy": "by_start_time", "opt_start_time": value} for value in (TIMES[0], TIMES[1], TIMES[3])
    ), {"deliver_policy": "by_start_sequence", "opt_start_seq": 5}, {}),
    *changed({"deliver_policy": "by_start_sequence", "opt_start_seq": 5}, {"deliver_policy": "by_start_sequence", "opt_start_seq": 6}),
    *changed({"durable_name": "C", "pause_until": TIMES[3]}, {"durable_name": "C"}, {"durable_name": "C", "pause_until": TIMES[0]}),
    *changed({"priority_policy": "pinned_client", "priority_groups": ["g"]}, {}, {"priority_policy": "overflow", "priority_groups": ["h"]}),
    *each({}, EXPLICIT, action="update"), *each({}, action="create"),
    talk(request("CREATE.S.A", {}), request("CREATE.S.B", {}), request("CREATE.S.A", {}), max_consumers=1),
    talk(request("CREATE.S.A", PUSH | {"direct": True}), request("CREATE.S.B", PUSH | {"sourcing": True}), request("CREATE.S.C", {}),
         request("CREATE.S.D", PUSH | {"direct": True}), request("CREATE.S.E", PUSH | {"sourcing": True}), request("CREATE.S.F", {}),
         max_consumers=1),
    *(talk(request("CREATE.S.A", EXPLICIT | one), request("CREATE.S.B", EXPLICIT | two), **WORK) for one, two in (
        ({}, {}), ({}, {"filter_subject": "s.a"}), ({"filter_subject": "s.a"}, {}), ({"filter_subject": "s.a"}, {"filter_subject": "s.b"}),
        ({"filter_subject": "s.*"}, {"filter_subject": "s.b"}), ({"filter_subject": "s.b"}, {"filter_subject": "s.*"}),
        ({"filter_subject": "s.*.b"}, {"filter_subject": "s.a.*"}),
        ({"filter_subjects": ["s.a", "s.b"]}, {"filter_subjects": ["s.c", "s.b"]}),
        ({"filter_subjects": ["s.a", "s.b"]}, {"filter_subjects": ["s.c", "s.d"]}),
    )),
    talk(request("CREATE.S.A", EXPLICIT | {"filter_subject": "s.a"}), request("CREATE.S.B", EXPLICIT | {"filter_subject": "s.b"}),
         request("CREATE.S.B", EXPLICIT | {"filter_subject": "s.>"}), request("CREATE.S.B", EXPLICIT | {"filter_subject": "s.c"}),
         request("CREATE.S.B", EXPLICIT), **WORK),
    talk(request("CREATE.S.A", PUSH | {"direct": True}), request("CREATE.S.B", EXPLICIT), request("CREATE.S.C", PUSH | {"direct": True}),
         **WORK),
]  # fmt: skip

LIMITED: list[Talk] = [
    *each({}, EXPLICIT, {"max_ack_pending": 21}, {"max_ack_pending": 20}, {"max_ack_pending": 31}, {"max_batch": 11}, {"max_batch": 10},
          PUSH, PUSH | EXPLICIT, PUSH | {"max_batch": 50}),
    *each({}, {"max_batch": 5}, PUSH, pedantic=True),
    talk(*(request(f"CREATE.S.C{number}", {}) for number in range(4))),
    talk(*(request(f"CREATE.S.C{number}", {}) for number in range(4)), max_consumers=2),
    *each(EXPLICIT, {"max_ack_pending": 12}, {"max_ack_pending": 21}, stream={"consumer_limits": {"max_ack_pending": 11}}),
]  # fmt: skip
