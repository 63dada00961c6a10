"""Conversations about the configuration of streams, for nats-server and for engine/config: hand-picked ones, and others made by dice.

A conversation is a list of requests, (verb, stream, body); all streams are deleted before the next. The dice have a seed, so that both
sides and every run see the same.
"""

import json
from random import Random
from typing import Any, NamedTuple

__all__ = ["LIMITED", "PLAIN", "Request", "bodies", "made"]


class Request(NamedTuple):
    """One request: "CREATE", "UPDATE" or "DELETE"."""

    verb: str
    stream: str
    body: bytes


MINUTE = 60_000_000_000
NANOS = [0, -1, 1, 99_999_999, 100_000_000, 999_999_999, 1_000_000_000, MINUTE, 2 * MINUTE, 2 * MINUTE + 1, 3 * MINUTE, 7200 * 10**9]
COUNTS = [0, -1, -2, 1, 5, 100, 1 << 40]
SUBJECTS = [
    "a", "a.b", "a.*", "a.>", "*", ">", "*.b", "b.>", "a..b", ".a", "a.", "", " ", "a b", "a.>.b", "$JS.API.x", "$JS.>", "$JS.EVENT.x",
    "$JS.EVENT.>", "$SYS.x", "$SYS.ACCOUNT.x", "$SYS.>", "$NRG.a", "$JSC.a", "$JS", "*.*", "*.>", "a*", "a.*x", "\u00e9.>",
    "q\"uo\\te", "\t",
]  # fmt: skip
SOURCES = ["", ">", "a.*", "a.>", "*.*", "a", "b", "a..b", "a.>.b"]
DESTINATIONS = [
    "", "x", "x.>", "x.$1", "x.{{wildcard(1)}}", "x.{{wildcard(3)}}", "x.{{nothing(1)}}", "x..y", "x.*", "x y", "x.{{left(1,2)}}", ">",
    "x.{{split(1)}}", "a.x", "x.{{partition(9999999999,1)}}",
]  # fmt: skip
NAMES = ["ORIGIN", "MIRROR", "SOURCED", "NONE", "T", "", "a.b", "a b", "a/b", "*"]
FLAGS = [True, False]


def transform(dice: Random) -> dict[str, str]:
    return {"src": dice.choice(SOURCES), "dest": dice.choice(DESTINATIONS)}


def source(dice: Random) -> dict[str, Any]:
    made: dict[str, Any] = {"name": dice.choice(NAMES[:5] if dice.random() < 0.8 else NAMES)}
    if dice.random() < 0.3:
        made["filter_subject"] = dice.choice(SOURCES)
    if dice.random() < 0.3:
        made["subject_transforms"] = [transform(dice) for _ in range(dice.randint(1, 2))]
    if dice.random() < 0.2:
        made["external"] = {
            "api": dice.choice(["$JS.hub.API", "$JS.API", "$JS.>", "", "x..y", "x.*"]),
            "deliver": dice.choice(["", "d", "o", "d.>", "d..e", "o.x"]),
        }
    if dice.random() < 0.2:
        made["consumer"] = {"name": dice.choice(["c", "", "a.b"]), "deliver_subject": dice.choice(["d", "d.*", "", "d..x"])}
    if dice.random() < 0.1:
        made["opt_start_seq"] = dice.choice([0, 1, 9])
    if dice.random() < 0.1:
        made["opt_start_time"] = dice.choice(["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.120+02:00", "2024-13-01T00:00:00Z"])
    return made


def value_of(field: str, dice: Random) -> Any:
    """Something that may stand in a field, or just not."""
    if field in _VALUES:
        return dice.choice(_VALUES[field])
    if field == "subjects":
        return dice.sample(SUBJECTS, dice.choice([0, 1, 1, 2, 2, 3]))
    if field == "mirror":
        return source(dice)
    if field == "sources":
        return [source(dice) for _ in range(dice.choice([1, 1, 2]))]  # an empty list is not none, there, until it is kept in a file
    if field == "subject_transform":
        return transform(dice)
    if field == "republish":
        return {"src": dice.choice(SOURCES), "dest": dice.choice(DESTINATIONS[1:])} | (
            {"headers_only": True} if dice.random() < 0.3 else {}
        )
    assert field == "placement"
    return dice.choice([{}, {"cluster": "c"}, {"tags": ["t"]}, {"preferred": "p"}, {"cluster": ""}])


_VALUES: dict[str, list[Any]] = {
    "description": ["", "d", "d" * 4096, "d" * 4097, "\u00e9" * 2048, "\u00e9" * 2049],
    "retention": ["limits", "interest", "workqueue"],
    "max_consumers": COUNTS, "max_msgs": COUNTS, "max_bytes": COUNTS, "max_msgs_per_subject": COUNTS,
    "max_msg_size": [0, -1, -2, 1, 5, 1000], "max_age": NANOS, "duplicate_window": NANOS,
    "discard": ["old", "new"], "storage": ["file", "memory"], "num_replicas": [0, 1, 1, 1, 2, 5, 6, -1],
    "no_ack": FLAGS, "compression": ["none", "s2"], "first_seq": [0, 1, 100], "allow_direct": FLAGS, "mirror_direct": FLAGS,
    "discard_new_per_subject": FLAGS, "sealed": FLAGS, "deny_delete": FLAGS, "deny_purge": FLAGS, "allow_rollup_hdrs": FLAGS,
    "consumer_limits": [{}, {"inactive_threshold": MINUTE}, {"max_ack_pending": 10}, {"inactive_threshold": -1, "max_ack_pending": -1}],
    "allow_msg_ttl": FLAGS, "subject_delete_marker_ttl": NANOS, "allow_msg_counter": FLAGS, "allow_atomic": FLAGS,
    "allow_msg_schedules": FLAGS, "persist_mode": ["default", "async", ""], "allow_batched": FLAGS,
    "metadata": [
        {}, {"a": "b"}, {"_nats.ver": "1.0", "_nats.level": "0", "_nats.req.level": "9", "x": "y"}, {"k": "v" * (128 * 1024)},
        {"k": "v" * (128 * 1024 - 1)},
    ],
    "pedantic": FLAGS,
}  # fmt: skip
FIELDS = (*_VALUES, "subjects", "subjects", "mirror", "sources", "subject_transform", "republish", "placement")
ORIGINS = [
    {"name": "ORIGIN", "subjects": ["o.>"], "max_msg_size": 100, "allow_direct": True, "storage": "memory"},
    {"name": "MIRROR", "mirror": {"name": "ORIGIN"}, "storage": "memory"},
    {"name": "SOURCED", "sources": [{"name": "MIRROR"}, {"name": "T", "filter_subject": "a.*"}], "storage": "memory"},
]


def request(verb: str, body: dict[str, Any]) -> Request:
    return Request(verb, body.get("name", "T"), json.dumps(body).encode())


def config(dice: Random, most: int) -> dict[str, Any]:
    """A configuration with a few fields."""
    fields = {dice.choice(FIELDS) for _ in range(dice.randint(1, most))}
    return {"name": "T"} | {field: value_of(field, dice) for field in sorted(fields)}


def made(seed: int, count: int) -> list[list[Request]]:
    """Conversations by dice: some create, some create the same or another again, some update, some with others' streams there."""
    dice, found = Random(seed), []
    for _ in range(count):
        talk = [request("CREATE", each) for each in ORIGINS] if dice.random() < 0.4 else []
        first = config(dice, 4)
        if dice.random() < 0.5:
            first = {"name": "T"} | {name: value for name, value in first.items() if name in ("storage", "retention", "max_bytes")}
            first |= {name: value_of(name, dice) for name in ("deny_delete", "allow_msg_ttl", "allow_msg_schedules") if dice.random() < 0.2}
        talk.append(request("CREATE", first))
        for _ in range(dice.choice([0, 1, 2])):
            verb, change = dice.choice(["UPDATE", "UPDATE", "UPDATE", "CREATE"]), config(dice, 3)
            talk.append(request(verb, first | change if dice.random() < 0.7 else change))
        found.append(talk)
    return found


def bodies(*written: str | dict[str, Any]) -> list[list[Request]]:
    """Conversations of one request each."""
    return [
        [Request("CREATE", "T", each.encode() if isinstance(each, str) else json.dumps({"name": "T"} | each).encode())] for each in written
    ]


def talk(*requests: tuple[str, dict[str, Any]]) -> list[Request]:
    return [request(verb, {"name": "T"} | body) for verb, body in requests]


PLAIN: list[list[Request]] = [
    *bodies(
        "", "{}", '{"name":"U"}', '{"name":"T","description":"\\ud83d\\ude00"}', {"max_bytes": 1 << 62}, {"max_bytes": (1 << 63) - 1},
        {"max_age": (1 << 63) - 1}, {"duplicate_window": (1 << 63) - 1}, {"first_seq": (1 << 64) - 1}, {"max_msg_size": (1 << 31) - 1},
        {"subjects": ["a"] * 3}, {"subjects": ["a.*", "*.b"]}, {"subjects": [">"], "no_ack": True}, {"subjects": [">"]},
        {"subjects": [">"], "no_ack": True, "num_replicas": 3}, {"subjects": ["$JS.>"], "no_ack": True},
        {"subjects": [">"], "no_ack": True, "retention": "workqueue"},
        {"subjects": ["a"], "republish": {"dest": "a"}}, {"subjects": ["a.>"], "republish": {"src": "b", "dest": "c"}},
        {"subjects": ["a.>"], "subject_transform": {"src": "a.>", "dest": "b.>"}, "republish": {"src": ">", "dest": ">"}},
        {"subjects": ["a.>"], "subject_transform": {"src": "a.>", "dest": "b.>"}, "republish": {"src": ">", "dest": ">"}, "pedantic": True},
        {"subjects": ["a.>"], "subject_transform": {"src": "a.>", "dest": ""}, "republish": {"src": ">", "dest": ">"}},
        {"subjects": ["a.>"], "republish": {"src": ">", "dest": ">"}}, {"republish": {"dest": "x"}, "pedantic": True}, {"republish": {}},
        {"sources": [{"name": "A"}, {"name": "A"}]}, {"sources": [{"name": "A"}, {"name": "A", "filter_subject": ">"}]},
        {"sources": [{"name": "A"}, {"name": "A", "filter_subject": "b"}]}, {"sources": [{"name": "T"}]}, {"mirror": {"name": "T"}},
        {"sources": [{"name": "T", "filter_subject": "zz"}], "subjects": ["a"]}, {"sources": [{"name": "A"}], "subjects": []},
        {"sources": [{"name": "A", "consumer": {"name": "c", "deliver_subject": "d"}}] * 2},
        {"sources": [
            {"name": "A", "consumer": {"name": "c", "deliver_subject": "d"}},
            {"name": "A", "subject_transforms": [{"src": "x", "dest": "y"}], "consumer": {"name": "c", "deliver_subject": "e"}},
        ]},
        {"sources": [{"name": "A", "subject_transforms": [{"src": "a.*", "dest": ""}, {"src": "a.b", "dest": ""}]}]},
        {"sources": [{"name": "A", "subject_transforms": [{"src": "", "dest": ""}, {"src": "", "dest": ""}]}]},
        {"mirror": {"name": "A", "subject_transforms": [{"src": "", "dest": ""}, {"src": "b", "dest": ""}]}},
        {"mirror": {"name": "A", "filter_subject": "a..b"}}, {"sources": [{"name": "A", "filter_subject": "a..b"}]},
        {"mirror": {"name": "A"}, "subjects": ["a"]}, {"mirror": {"name": "A", "external": {"api": "", "deliver": ""}}},
        {"mirror": {"name": "", "external": {"api": "$JS.hub.API"}}}, {"mirror": {"name": "A"}, "subject_delete_marker_ttl": 10**9},
        {"mirror": {"name": "A"}, "sources": [{"name": "B"}]}, {"mirror": {"name": "A"}, "first_seq": 5},
        {"mirror": {"name": "A"}, "allow_msg_counter": True}, {"mirror": {"name": "A"}, "allow_atomic": True},
        {"mirror": {"name": "A"}, "allow_batched": True}, {"mirror": {"name": "A"}, "allow_msg_schedules": True},
        {"sources": [{"name": "A"}], "allow_msg_schedules": True}, {"mirror": {"name": "A"}, "mirror_direct": True},
        {"metadata": {"_nats.ver": "x"}}, {"max_age": MINUTE, "pedantic": True}, {"max_msgs": -5, "pedantic": True},
        {"max_msgs_per_subject": -5, "pedantic": True}, {"max_bytes": -5, "pedantic": True}, {"max_msg_size": -5, "pedantic": True},
        {"max_consumers": -5, "pedantic": True}, {"subject_delete_marker_ttl": 10**9, "pedantic": True},
        {"subject_delete_marker_ttl": 10**9, "allow_msg_ttl": True, "pedantic": True}, {"allow_msg_schedules": True, "pedantic": True},
        {"subject_delete_marker_ttl": 10**9, "deny_purge": True}, {"allow_msg_schedules": True, "deny_purge": True},
        {"deny_purge": True, "allow_rollup_hdrs": True}, {"allow_msg_counter": True, "retention": "interest"},
        {"discard_new_per_subject": True}, {"discard_new_per_subject": True, "discard": "new"},
        {"discard_new_per_subject": True, "discard": "new", "max_msgs_per_subject": 1},
        {"persist_mode": "async"}, {"persist_mode": "async", "storage": "memory"}, {"persist_mode": "async", "num_replicas": 3},
        {"persist_mode": "async", "allow_atomic": True}, {"sealed": True}, {"placement": {"preferred": "x"}},
        {"placement": {"cluster": "x"}},
    ),
    *([Request("CREATE", name, json.dumps({"name": name}).encode())] for name in ("a/b", "a\\b", "N" * 255, "N" * 256, "\u00e9" * 127)),
    [Request("UPDATE", "T", b'{"name":"T"}')],
    [Request("UPDATE", "T", b'{"name":"U"}')],
    [Request("UPDATE", "T", b"{}")],
    [Request("UPDATE", "T", b'{"name":"T","max_age":-1}')],
    talk(("CREATE", {}), ("CREATE", {}), ("CREATE", {"metadata": {"_nats.ver": "0"}}), ("CREATE", {"max_msgs": 1})),
    talk(("CREATE", {"storage": "file"}), ("UPDATE", {"storage": "memory"})),
    talk(("CREATE", {}), ("UPDATE", {"retention": "interest"}), ("UPDATE", {"retention": "workqueue"}), ("UPDATE", {})),
    talk(("CREATE", {"retention": "workqueue"}), ("UPDATE", {})),
    talk(("CREATE", {}), ("UPDATE", {"sealed": True, "max_age": MINUTE, "allow_rollup_hdrs": True}), ("UPDATE", {}),
         ("UPDATE", {"sealed": True})),
    talk(("CREATE", {"deny_delete": True}), ("UPDATE", {})),
    talk(("CREATE", {"deny_purge": True}), ("UPDATE", {}), ("UPDATE", {"deny_purge": True, "subject_delete_marker_ttl": 10**9})),
    talk(("CREATE", {"mirror": {"name": "A"}}), ("UPDATE", {"mirror": {"name": "B"}}), ("UPDATE", {"mirror": {"name": "A"}}),
         ("UPDATE", {})),
    talk(("CREATE", {}), ("UPDATE", {"mirror": {"name": "A"}})),
    talk(("CREATE", {"allow_msg_ttl": True}), ("UPDATE", {})),
    talk(("CREATE", {"allow_msg_counter": True}), ("UPDATE", {}), ("UPDATE", {"allow_msg_counter": True, "max_msgs": 5})),
    talk(("CREATE", {"allow_msg_schedules": True}), ("UPDATE", {})),
    talk(("CREATE", {"persist_mode": "async"}), ("UPDATE", {})),
    talk(("CREATE", {}), ("UPDATE", {"persist_mode": "async"})),
    talk(("CREATE", {}), ("UPDATE", {"num_replicas": 3}), ("UPDATE", {"first_seq": 100}), ("UPDATE", {"compression": "s2"})),
    talk(("CREATE", {"max_bytes": 1000}), ("UPDATE", {"max_bytes": 1 << 62}), ("UPDATE", {"max_bytes": 10})),
    talk(("CREATE", {"subjects": ["a.>"]}), ("CREATE", {"name": "U", "subjects": ["a.b"]}), ("CREATE", {"name": "U", "subjects": ["b"]}),
         ("UPDATE", {"name": "U", "subjects": ["a.b"]}), ("UPDATE", {"name": "U", "subjects": ["*.c"]})),
    talk(("CREATE", {"sources": [{"name": "A"}]}), ("CREATE", {"name": "A", "sources": [{"name": "T"}]}),
         ("CREATE", {"name": "A", "mirror": {"name": "T"}}), ("CREATE", {"name": "A", "sources": [{"name": "T", "filter_subject": "x"}]}),
         ("CREATE", {"name": "A", "subjects": ["y"], "sources": [{"name": "T", "filter_subject": "x"}]})),
    talk(("CREATE", {"name": "D"}), ("CREATE", {"name": "B", "sources": [{"name": "D"}]}),
         ("CREATE", {"name": "C", "sources": [{"name": "D"}]}),
         ("CREATE", {"sources": [{"name": "B"}, {"name": "C"}]}), ("CREATE", {"name": "E", "sources": [{"name": "D"}, {"name": "T"}]})),
    talk(("CREATE", {"name": "A", "allow_direct": True, "max_msg_size": 10}), ("CREATE", {"mirror": {"name": "A"}, "pedantic": True}),
         ("CREATE", {"mirror": {"name": "A"}, "max_msg_size": 5}), ("CREATE", {"sources": [{"name": "A"}], "max_msg_size": 5}),
         ("CREATE", {"mirror": {"name": "A"}}), ("UPDATE", {"mirror": {"name": "A"}})),
    talk(("CREATE", {"name": "A", "subjects": ["d.>"]}),
         ("CREATE", {"sources": [{"name": "A"}, {"name": "B", "external": {"api": "x", "deliver": "d"}}]}),
         ("CREATE", {"sources": [{"name": "A"}, {"name": "B", "external": {"api": "x", "deliver": "e"}}]})),
    talk(("CREATE", {"republish": {"src": "T", "dest": "x"}}), ("UPDATE", {"republish": {"src": "T", "dest": "T"}}), ("UPDATE", {})),
]  # fmt: skip

LIMITED: list[list[Request]] = [
    *bodies(
        {}, {"pedantic": True}, {"duplicate_window": MINUTE, "max_bytes": 10}, {"duplicate_window": MINUTE + 1, "max_bytes": 10},
        {"max_bytes": -1}, {"max_bytes": 1}, {"max_bytes": 5000}, {"max_bytes": 5001}, {"max_bytes": 4000, "storage": "memory"},
        {"max_bytes": 4001, "storage": "memory"}, {"max_bytes": 10, "max_consumers": 5}, {"max_bytes": 10, "max_consumers": 6},
        {"max_bytes": 1 << 40}, {"max_bytes": 1 << 40, "storage": "file"}, {"max_bytes": 1 << 40, "storage": "file", "max_age": -1},
        {"max_bytes": 1 << 40, "max_age": -1}, {"max_bytes": 10, "max_age": MINUTE // 2},
        {"max_bytes": 10, "max_age": MINUTE // 2, "pedantic": True},
    ),
    talk(*(("CREATE", {"name": f"S{number}", "max_bytes": 3000}) for number in range(4)), ("UPDATE", {"name": "S0", "max_bytes": 5000})),
    talk(*(("CREATE", {"name": f"S{number}", "max_bytes": 10}) for number in range(5)), ("CREATE", {"name": "S0", "max_bytes": 10})),
    talk(("CREATE", {"max_bytes": 4000, "storage": "memory"}), ("CREATE", {"name": "U", "max_bytes": 4000, "storage": "memory"}),
         ("CREATE", {"name": "V", "max_bytes": 1000, "storage": "memory"}), ("UPDATE", {"max_bytes": 1, "storage": "memory"}),
         ("CREATE", {"name": "V", "max_bytes": 1000, "storage": "memory"}), ("UPDATE", {"max_bytes": 4000, "storage": "memory"})),
]  # fmt: skip
