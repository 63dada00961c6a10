"""Stories about pulling: what requests may ask, what ends them, where consumers start, and what is still to come."""

from consumer_moves import MILLI, SECOND, ack, fill, make, names, pull, push, remove, rest, state
from consumer_player import Drop, Expect, Listen, Pass, Pull, Story, Unlisten, both, story
from jetstream_player import Step, api, create, info, pub, update

SHORT = 200 * MILLI


def body(name: str, *bodies: bytes, count: int = 3) -> Story:
    """One pull for each of these bodies."""
    return story(name, create(), fill(count), make(), [Pull(each) for each in bodies], state())


BODIES = [
    both("a pull without a body", create(), fill(2), make(), Pull(), Pull(), state()),
    body("a pull with a number", b"1", b"2", b"0"),
    body("a number that is none", b"x", b"-1", b"1.5", b" 1"),
    body("too large a number", b"99999999999999999999"),
    body("a pull with JSON", b'{"batch":2}', b'{"batch":1}'),
    body("a pull without a batch", b'{"expires":200000000}', b"{}"),
    body("a batch of nothing", b'{"batch":0,"expires":200000000}', b'{"batch":-1,"expires":200000000}'),
    body("bad JSON in a pull", b"{", b'{"batch":"1"}', b"[]", b'{"batch":1', b"null"),
    body("fields nobody knows", b'{"batch":1,"zzz":1}'),
    body("negative times", b'{"batch":1,"expires":-5}', b'{"batch":1,"idle_heartbeat":-5,"expires":200000000}'),
    body("negative bytes", b'{"batch":1,"max_bytes":-5,"expires":200000000}'),
    body("heartbeats that are too long", b'{"batch":9,"expires":1000000000,"idle_heartbeat":900000000}', b'{"batch":9,"idle_heartbeat":1}'),
    story("a pull without a reply", create(), fill(1), make(), api("CONSUMER.MSG.NEXT.S.C", b"1", "tell"), Pass(), state()),
    story("nobody there to pull from", create(), Pull(consumer="NOPE"), Pull(stream="NOPE"), make(), remove(), Pull()),
    story("too many tokens in a pull", create(), make(), api("CONSUMER.MSG.NEXT.S.C.D", b"1"), api("CONSUMER.MSG.NEXT.S", b"1")),
    story("a pull from one that pushes", create(), push(), Pull(), pull(5, no_wait=True)),
]

ENDS = [
    both("nothing there", create(), make(), rest(), state()),
    both("less there than asked for", create(), fill(3), make(), rest(5), state()),
    both("as much there as asked for", create(), fill(3), make(), rest(3), rest(), state()),
    both("more there than asked for", create(), fill(5), make(), rest(2), state(), rest(2), rest(2), state()),
    both("a pull expires", create(), make(), pull(1, expires=0.1), state()),
    both("a pull expires with less", create(), fill(2), make(), pull(5, expires=0.15), state()),
    story("no wait, but for a while", create(), fill(2), make(), pull(5, no_wait=True, expires=0.2), state()),
    story("no wait with nothing, but for a while", create(), make(), pull(5, no_wait=True, expires=0.2), state()),
    story("no wait for a while, and then something", create(), make(), pull(2, no_wait=True, expires=0.6, until=0, channel="p"), fill(1),
          Expect(1, "p"), Pass(), state()),
    story("the shortest expiry", create(), make(), pull(1, expires=1), pull(1, expires=MILLI)),
    both("a pull waits", create(), make(), pull(2, expires=2.0, until=0, channel="p"), state(), fill(2), Expect(2, "p"), state()),
    story("a pull that waits for ever", create(), make(), Pull(b"1", until=0, channel="p"), state(), fill(1), Expect(1, "p"), state()),
    story("two wait", create(), make(), pull(2, expires=2.0, until=0, channel="p"), pull(2, expires=2.0, until=0, channel="q"), state(),
          fill(4), Expect(2, "p"), Expect(2, "q"), state()),
    story("three wait for unlike numbers", create(), make(), *(pull(n, expires=2.0, until=0, channel=f"p{n}") for n in (1, 2, 3)), fill(6),
          *(Expect(n, f"p{n}") for n in (1, 2, 3)), state()),
    story("who waits and goes away", create(), make(), pull(1, expires=3.0, until=0, channel="p"), Unlisten("p"), Pass(0.05), fill(1),
          rest(1), state()),
    story("who waits and disconnects", create(), make(), pull(1, expires=3.0, until=0, channel="p"), Drop(), Pass(0.1), fill(1), rest(1), state()),
    both("removed while somebody waits", create(), make(), pull(1, expires=3.0, until=0, channel="p"), remove(), Expect(1, "p")),
    story("removed while several wait", create(), make(), *(pull(n, expires=3.0, until=0, channel=f"p{n}") for n in (1, 2)), remove(),
          Expect(1, "p1"), Expect(1, "p2")),
    both("the stream goes while somebody waits", create(), make(), pull(1, expires=3.0, until=0, channel="p"), api("STREAM.DELETE.S"),
         Expect(1, "p")),
    story("heartbeats of a pull", create(), make(), pull(1, expires=0.5, idle_heartbeat=0.1, until=0, channel="p"), Pass(0.6)),
    story("heartbeats and then something", create(), make(), pull(1, expires=3.0, idle_heartbeat=0.1, until=0, channel="p"), Pass(0.25),
          fill(1), Pass(0.1)),
    story("a pull in another place", create(), fill(1), make(), Pull(stream="T"), Pull(consumer="c")),
]  # fmt: skip

BYTES = [
    story("bytes that are too few", create(), fill(2, size=100), make(), pull(5, max_bytes=50, expires=0.3), state()),
    story("bytes for one", create(), fill(3, size=100), make(), pull(5, max_bytes=220, expires=0.3), state()),
    story("bytes for two", create(), fill(3, size=100), make(), pull(5, max_bytes=330, expires=0.3), state()),
    *(
        story(f"bytes at the edge, {size}", create(), fill(3, size=100), make(), pull(5, max_bytes=size, expires=0.3), state())
        for size in (144, 145, 146, 147, 148, 149, 150)
    ),
    story("bytes and a batch that is complete", create(), fill(2, size=10), make(), pull(2, max_bytes=1000, expires=0.3, until=3)),
    story("bytes and nothing there", create(), make(), pull(2, max_bytes=1000, no_wait=True)),
    story("bytes and less there", create(), fill(1), make(), pull(2, max_bytes=1000, no_wait=True)),
    story("bytes with headers", create(), pub("s.a", b"x" * 50, A="b" * 50), make(), pull(2, max_bytes=130, expires=0.3),
          pull(2, max_bytes=230, expires=0.3)),
    story("bytes with headers only", create(), fill(2, size=500), make(headers_only=True), pull(2, max_bytes=300, expires=0.3), state()),
    story("bytes while it waits", create(), make(), pull(5, max_bytes=300, expires=2.0, until=0, channel="p"), fill(4, size=100),
          Expect(3, "p"), state()),
    story("the consumer's limit of bytes", create(), fill(2), make(max_bytes=500), pull(1, max_bytes=501), pull(1, max_bytes=500, expires=0.2),
          Pull()),
]  # fmt: skip

LIMITS = [
    story("the consumer's limit of a batch", create(), fill(3), make(max_batch=2), rest(3), rest(2), Pull(b"3"), state()),
    story("the consumer's limit of time", create(), fill(3), make(max_expires=SECOND), pull(1, expires=2.0), pull(1, expires=1.0), rest(1), Pull()),
    story("too many wait", create(), make(max_waiting=2), *(pull(1, expires=2.0, until=0, channel=f"p{n}") for n in (1, 2)),
          pull(1, expires=1.0), pull(1, expires=1.0, idle_heartbeat=0.2, until=0, channel="q"), rest(1), state()),
    story("too many wait, but one has gone", create(), make(max_waiting=2), *(pull(1, expires=2.0, until=0, channel=f"p{n}") for n in (1, 2)),
          Unlisten("p1"), Pass(0.05), pull(1, expires=0.2), state()),
    story("what is pending is spoken for", create(), make(), pull(5, expires=2.0, until=0, channel="p"), rest(1), state()),
    story("spoken for while acks are missing", create(), fill(3), make(max_ack_pending=1), Pull(), pull(2, expires=2.0, until=0, channel="p"),
          rest(1), rest(5), state()),
    both("acks that are missing stop it", create(), fill(3), make(max_ack_pending=2), pull(3, expires=0.2), state(), ack(0), rest(3), state()),
    story("acks that come let it go on", create(), fill(3), make(max_ack_pending=1), pull(3, expires=3.0, until=1, channel="p"), ack(),
          Expect(1, "p"), ack(), Expect(1, "p"), ack(), state()),
]  # fmt: skip

GAPPED: list[Step] = [*fill(9, "s.{}"), *(api("STREAM.MSG.DELETE.S", {"seq": n}) for n in (1, 4, 5, 9))]
SUBJECTS: list[Step] = [pub(f"s.{name}", b"%d" % number) for number, name in enumerate("abacabad", 1)]


def start(name: str, *moves: Step, filled: list[Step] = SUBJECTS, **config: object) -> Story:
    """Where a consumer starts: all that it gives, and something published afterwards."""
    return both(name, create(), filled, make(**config), state(), rest(20), list(moves) or fill(2, "s.a"), rest(20), state())


STARTS = [
    start("start with all"),
    start("start with the last", deliver_policy="last"),
    start("start with new", deliver_policy="new"),
    start("start with the last per subject", deliver_policy="last_per_subject"),
    start("start with the last of a filter", deliver_policy="last", filter_subject="s.b"),
    start("start with the last of filters", deliver_policy="last", filter_subjects=["s.b", "s.c"]),
    start("start with the last of nothing", deliver_policy="last", filter_subject="s.nobody"),
    start("start with new of a filter", deliver_policy="new", filter_subject="s.a"),
    start("start with the last per subject of a filter", deliver_policy="last_per_subject", filter_subject="s.*"),
    start("start with the last per subject of one", deliver_policy="last_per_subject", filter_subject="s.a"),
    start("start with the last per subject of filters", deliver_policy="last_per_subject", filter_subjects=["s.a", "s.b"]),
    *(start(f"start with sequence {n}", deliver_policy="by_start_sequence", opt_start_seq=n) for n in (1, 3, 8, 9, 20)),
    start("start with a sequence and a filter", deliver_policy="by_start_sequence", opt_start_seq=3, filter_subject="s.a"),
    start("start long ago", deliver_policy="by_start_time", opt_start_time="2001-01-01T00:00:00Z"),
    start("start in the future", deliver_policy="by_start_time", opt_start_time="2099-01-01T00:00:00Z"),
    start("start with gaps", filled=GAPPED),
    start("start with gaps and the last", filled=GAPPED, deliver_policy="last"),
    start("start in a gap", filled=GAPPED, deliver_policy="by_start_sequence", opt_start_seq=4),
    start("start with gaps and the last per subject", filled=GAPPED, deliver_policy="last_per_subject"),
    start("start without messages", filled=[]),
    start("start with the last without messages", filled=[], deliver_policy="last"),
    start("start with the last per subject without messages", filled=[], deliver_policy="last_per_subject"),
    story("start with the last per subject of a limited stream", create(max_msgs_per_subject=1), SUBJECTS,
          make(deliver_policy="last_per_subject"), state(), rest(20), fill(1, "s.a"), rest(5), state()),
    story("the last per subject, published while it is read", create(), SUBJECTS, make(deliver_policy="last_per_subject"), rest(2),
          fill(2, "s.c"), rest(20), state()),
    story("the last per subject, removed while it is read", create(), SUBJECTS, make(deliver_policy="last_per_subject"), rest(1),
          api("STREAM.MSG.DELETE.S", {"seq": 6}), rest(20), state()),
    story("start where a purged stream goes on", create(), fill(5), api("STREAM.PURGE.S"), make(), state(), fill(2), rest(9), state()),
    story("start beyond the first", create(first_seq=100), fill(3), make(deliver_policy="by_start_sequence", opt_start_seq=5), rest(9), state()),
]  # fmt: skip


def filtered(name: str, *filters: str) -> Story:
    """What filters let through, and how much they say is pending."""
    config: dict[str, object] = {"filter_subjects": list(filters)} if len(filters) > 1 else {"filter_subject": filters[0]}
    published = [pub(subject, b"x") for subject in ("s.a", "s.b.c", "s.b", "t", "s.a.b", "s.a", "t", "s.c.c")]
    return both(
        name, create(subjects=["s.>", "t"]), published, make(**config), state(), rest(3), rest(20), pub("s.a"), pub("t"), rest(9), state()
    )


FILTERS = [
    filtered("a literal filter", "s.a"),
    filtered("a filter with a star", "s.*"),
    filtered("a filter with a greater than", "s.>"),
    filtered("a filter of everything", ">"),
    filtered("a filter of stars", "*.*"),
    filtered("a filter of nothing", "s.z"),
    filtered("a filter of another stream", "zzz"),
    filtered("two literal filters", "s.a", "t"),
    filtered("two filters with stars", "s.*", "s.*.c"),
    filtered("filters of nothing", "s.z", "zz"),
    filtered("three filters", "s.a", "s.b", "s.c.c"),
]

REMOVALS = [
    both("removed before it is read", create(), fill(4), make(), api("STREAM.MSG.DELETE.S", {"seq": 2}), state(), rest(9), state()),
    both("purged before it is read", create(), fill(4), make(), rest(1), api("STREAM.PURGE.S"), state(), rest(9), fill(1), rest(9), state()),
    both("purged of a subject", create(), fill(4), make(), rest(1), api("STREAM.PURGE.S", {"filter": "s.3"}), state(), rest(9), state()),
    both("purged up to a sequence", create(), fill(6), make(), rest(2), api("STREAM.PURGE.S", {"seq": 5}), state(), rest(9), state()),
    story("purged but for some", create(), fill(6), make(), rest(2), api("STREAM.PURGE.S", {"keep": 2}), state(), rest(9), state()),
    both("removed while an ack is missing", create(), fill(3), make(), rest(3), api("STREAM.MSG.DELETE.S", {"seq": 2}), state(), ack(1), state()),
    both("purged while acks are missing", create(), fill(3), make(), rest(3), api("STREAM.PURGE.S"), state(), ack(1), ack(2), state()),
    story("the limit removes what is not read", create(max_msgs=3), make(), fill(6), state(), rest(9), state()),
    story("the limit of a subject removes what is not read", create(max_msgs_per_subject=1), make(), fill(6, "s.a"), state(), rest(9), state()),
    story("filters and removed messages", create(), fill(3, "s.a"), fill(3, "s.b"), make(filter_subject="s.b"), state(),
          api("STREAM.MSG.DELETE.S", {"seq": 5}), state(), api("STREAM.MSG.DELETE.S", {"seq": 1}), state(), rest(9), state()),
    story("filters and purges", create(), fill(3, "s.a"), fill(3, "s.b"), make(filter_subject="s.b"), rest(1),
          api("STREAM.PURGE.S", {"filter": "s.b"}), state(), rest(9), fill(1, "s.b"), rest(9), state()),
]  # fmt: skip

CONTENT = [
    both("headers come along", create(), pub("s.a", b"x", A="b", C="d"), pub("s.b", b""), make(), rest(9)),
    both("headers only", create(), fill(2), pub("s.a", b"", A="b"), pub("s.b", b"yy", A="b"), make(headers_only=True), rest(9), state()),
    story("headers only where a size is said", create(), pub("s.a", b"xx", Nats_Msg_Size="7"), make(headers_only=True), rest(9)),
    both("a large message", create(), pub("s.a", b"x" * 200_000), make(), rest(9), state()),
    story("a long subject", create(), pub("s." + "a" * 500), make(), rest(9)),
    story("replay as it was", create(), fill(1), Pass(0.2), fill(1), make(replay_policy="original"), pull(2, expires=2.0), state()),
    story("many at once", create(), fill(60), make(), rest(50), state(), rest(50), state()),
    story("paused and resumed", create(), fill(2), make(), api("CONSUMER.PAUSE.S.C", {"pause_until": "2099-01-01T00:00:00Z"}), state(),
          rest(1), pull(1, expires=0.2), api("CONSUMER.PAUSE.S.C"), state(), rest(1), state()),
    story("a pause that ends", create(), fill(1), make(pause_until="2001-01-01T00:00:00Z"), state(), rest(1)),
    story("pauses that are none", create(), make(), api("CONSUMER.PAUSE.S.C", {"pause_until": "x"}), api("CONSUMER.PAUSE.S.C", b"{"),
          api("CONSUMER.PAUSE.S.C", {"pause_until": "2001-01-01T00:00:00Z"}), api("CONSUMER.PAUSE.S.NOPE"), api("CONSUMER.PAUSE.NOPE.C"), state()),
    story("resumed while somebody waits", create(), fill(2), make(pause_until="2099-01-01T00:00:00Z"), pull(2, expires=3.0, until=0, channel="p"),
          api("CONSUMER.PAUSE.S.C", {}), Expect(2, "p"), state()),
    story("a consumer reads the subjects that a transform makes", create(subject_transform={"src": "s.*", "dest": "t.{{wildcard(1)}}"}), fill(2),
          make(filter_subject="t.1"), rest(9), state()),
    story("the stream is updated", create(), fill(2), make(), update(max_msgs=1), rest(9), state(), info()),
]  # fmt: skip

RESETS = [
    both("reset", create(), fill(3), make(), rest(2), ack(0), api("CONSUMER.RESET.S.C"), state(), rest(9), state()),
    both("reset to a sequence", create(), fill(5), make(), rest(4), ack(0), api("CONSUMER.RESET.S.C", {"seq": 3}), state(), rest(9), state()),
    story("reset forward", create(), fill(5), make(), api("CONSUMER.RESET.S.C", {"seq": 4}), rest(9), state()),
    story("reset beyond the end", create(), fill(2), make(), api("CONSUMER.RESET.S.C", {"seq": 40}), state(), rest(9), fill(1), rest(9), state()),
    story("resets that are none", create(), fill(2), make(), api("CONSUMER.RESET.S.C", b"{"), api("CONSUMER.RESET.S.C", {"seq": -1}),
          api("CONSUMER.RESET.S.NOPE"), api("CONSUMER.RESET.NOPE.C"), api("CONSUMER.RESET.S.C", {"zzz": 1}), state()),
    *(story(f"reset of one that starts with {policy}", create(), fill(4), make(deliver_policy=policy), rest(2),
            api("CONSUMER.RESET.S.C", {"seq": 1}), api("CONSUMER.RESET.S.C"), state(), rest(9)) for policy in ("last", "new", "last_per_subject")),
    story("reset of one that starts with a sequence", create(), fill(6), make(deliver_policy="by_start_sequence", opt_start_seq=3), rest(2),
          api("CONSUMER.RESET.S.C", {"seq": 1}), api("CONSUMER.RESET.S.C", {"seq": 4}), rest(9), api("CONSUMER.RESET.S.C"), rest(9), state()),
    story("reset while somebody waits", create(), fill(1), make(), rest(1), pull(1, expires=2.0, until=0, channel="p"),
          api("CONSUMER.RESET.S.C"), Expect(1, "p"), state()),
]  # fmt: skip

PRIORITY = [
    story("overflow, no group said", create(), fill(2), make(priority_groups=["a"], priority_policy="overflow"), Pull(), rest(1),
          rest(1, group="b"), rest(1, group="a"), state()),
    story("overflow, pending", create(), fill(3), make(priority_groups=["a"], priority_policy="overflow"),
          pull(1, group="a", min_pending=5, expires=0.2), pull(1, group="a", min_pending=3, expires=0.2), state()),
    story("overflow, acks pending", create(), fill(3), make(priority_groups=["a"], priority_policy="overflow"),
          pull(1, group="a", min_ack_pending=1, expires=0.2), rest(1, group="a"), pull(1, group="a", min_ack_pending=1, expires=0.2), state()),
    story("a group where there is none", create(), fill(2), make(), rest(1, group="a"), state()),
    story("pinned", create(), fill(4), make(priority_groups=["a"], priority_policy="pinned_client", priority_timeout=2 * SECOND),
          pull(1, group="a", expires=1.0), state(), Pull(b'{"batch":1,"group":"a","id":"<pin>","expires":500000000}'),
          pull(1, group="a", expires=0.2), pull(1, group="a", id="wrong", expires=0.2), state()),
    story("pinned, and unpinned", create(), fill(4), make(priority_groups=["a"], priority_policy="pinned_client", priority_timeout=9 * SECOND),
          pull(1, group="a", expires=1.0), api("CONSUMER.UNPIN.S.C", {"group": "a"}), state(),
          Pull(b'{"batch":1,"group":"a","id":"<pin>","expires":500000000}'), pull(1, group="a", expires=0.5), state()),
    story("pinned, and too late", create(), fill(4), make(priority_groups=["a"], priority_policy="pinned_client", priority_timeout=SHORT),
          pull(1, group="a", expires=1.0), pull(1, group="a", expires=2.0), state()),
    story("unpinned wrongly", create(), make(), api("CONSUMER.UNPIN.S.C", {"group": "a"}), api("CONSUMER.UNPIN.S.C"),
          make("D", priority_groups=["a"], priority_policy="pinned_client"), api("CONSUMER.UNPIN.S.D", {"group": "b"}),
          api("CONSUMER.UNPIN.S.D", {"group": ""}), api("CONSUMER.UNPIN.S.D", b"{"), api("CONSUMER.UNPIN.S.D", {"group": "a"}),
          api("CONSUMER.UNPIN.S.NOPE", {"group": "a"}), api("CONSUMER.UNPIN.NOPE.C", {"group": "a"})),
    story("pins and ids that are not for it", create(), fill(2), make(), rest(1, id="x"), rest(1, group="a", id="x")),
    story("prioritized", create(), make(priority_groups=["a"], priority_policy="prioritized"),
          *(pull(1, group="a", priority=n, expires=3.0, until=0, channel=f"p{n}") for n in (3, 1, 2)), state(), fill(3),
          *(Expect(1, f"p{n}") for n in (3, 1, 2))),
    story("prioritized, out of range", create(), fill(1), make(priority_groups=["a"], priority_policy="prioritized"),
          rest(1, group="a", priority=10), rest(1, group="a", priority=-1), rest(1, group="a", priority=9)),
    story("prioritized, large batches", create(), make(priority_groups=["a"], priority_policy="prioritized"),
          *(pull(2, group="a", priority=n, expires=3.0, until=0, channel=f"p{n}") for n in (1, 0)), fill(4), Expect(2, "p0"), Expect(2, "p1")),
]  # fmt: skip

ADVISORIES = [
    story("advisories of consumers", create(), Listen("$JS.EVENT.ADVISORY.CONSUMER.>", "events"), make(),
          api("CONSUMER.PAUSE.S.C", {"pause_until": "2099-01-01T00:00:00Z"}), api("CONSUMER.PAUSE.S.C"), make(max_deliver=5), remove(), Pass(0.1)),
    story("advisories of pins", create(), fill(1), Listen("$JS.EVENT.ADVISORY.CONSUMER.>", "events"),
          make(priority_groups=["a"], priority_policy="pinned_client", priority_timeout=9 * SECOND), pull(1, group="a", expires=1.0),
          api("CONSUMER.UNPIN.S.C", {"group": "a"}), Pass(0.1)),
    story("advisories of a timed out pin", create(), fill(1), Listen("$JS.EVENT.ADVISORY.CONSUMER.>", "events"),
          make(priority_groups=["a"], priority_policy="pinned_client", priority_timeout=SHORT), pull(1, group="a", expires=1.0), Pass(0.5)),
    story("an ephemeral one goes", create(), Listen("$JS.EVENT.ADVISORY.CONSUMER.>", "events"),
          make(durable_name=None, name="C", inactive_threshold=100 * MILLI), Expect(2, "events"), names()),
]  # fmt: skip

STORIES: list[Story] = [
    *BODIES, *ENDS, *BYTES, *LIMITS, *STARTS, *FILTERS, *REMOVALS, *CONTENT, *RESETS, *PRIORITY, *ADVISORIES,
]  # fmt: skip
