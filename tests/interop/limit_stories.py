"""Stories about what a stream limits of its consumers, and what becomes of them when the stream changes."""

from consumer_moves import MILLI, SECOND, ack, fill, make, nameless, names, pull, push, raw, remove, rest, state
from consumer_player import Again, Story, both, story
from jetstream_player import api, create, info, update

STORIES: list[Story] = [
    both(
        "a stream with two consumers at most",
        create(max_consumers=2),
        make("A"),
        make("B"),
        make("C"),
        make("A"),
        nameless(),
        remove("A"),
        make("C"),
        names(),
    ),
    story("a stream with ephemeral ones at most", create(max_consumers=1), nameless(), nameless(), names()),
    story("no consumers at all", create(max_consumers=0), make(), names()),
    story("the limit is lowered", create(max_consumers=3), make("A"), make("B"), update(max_consumers=1), make("C"), info()),
    both(
        "defaults of the stream",
        create(consumer_limits={"inactive_threshold": SECOND, "max_ack_pending": 7}),
        make(),
        nameless(),
        make("D", max_ack_pending=5, inactive_threshold=100 * MILLI),
        state("D"),
    ),
    story(
        "more than the stream lets them",
        create(consumer_limits={"inactive_threshold": SECOND, "max_ack_pending": 7}),
        make(max_ack_pending=8),
        make(inactive_threshold=2 * SECOND),
        make(max_ack_pending=-1),
        make(ack_policy="none"),
        names(),
    ),
    story(
        "more than the stream lets them, pedantic",
        create(consumer_limits={"inactive_threshold": SECOND, "max_ack_pending": 7}),
        raw({"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit"}, "pedantic": True}),
        names(),
    ),
    story("limits of pushing", create(consumer_limits={"max_ack_pending": 7}), push(), push("D", "d", max_ack_pending=9), state()),
    story(
        "the stream's defaults change",
        create(),
        make(),
        update(consumer_limits={"max_ack_pending": 3}),
        state(),
        make("D"),
        make(max_ack_pending=5),
    ),
    story(
        "limits that are none", create(consumer_limits={"max_ack_pending": -5}), create(consumer_limits={"inactive_threshold": -1}), info()
    ),
    story(
        "subjects of the stream change", create(), fill(2), make(filter_subject="s.1"), update(subjects=["t.>"]), state(), rest(3), state()
    ),
    story("a stream is sealed", create(), fill(2), make(), update(sealed=True), rest(9), ack(0), state()),
    story("a stream without acks", create(no_ack=True), make(), rest(1), state()),
    story(
        "consumers of a mirror",
        create(),
        fill(3),
        api("STREAM.CREATE.M", {"name": "M", "mirror": {"name": "S"}, "storage": "memory"}),
        Again(api("STREAM.INFO.M"), '"messages":3'),
        make("C", "M"),
        pull(3, "C", stream="M", expires=2.0),
        names("M"),
    ),
    story("a consumer of replicas", create(), make(num_replicas=2), make(num_replicas=1), state()),
    both(
        "a limit of age", create(max_age=400 * MILLI, duplicate_window=100 * MILLI), fill(2), make(), rest(1), pull(5, expires=0.8), state()
    ),
    both("discard new and consumers", create(max_msgs=2, discard="new"), make(), fill(3), rest(9), ack(0), fill(1), state(), info()),
    story(
        "many consumers",
        create(),
        fill(2),
        [make(f"C{n}") for n in range(30)],
        [rest(1, f"C{n}") for n in range(0, 30, 7)],
        info(),
        names(),
    ),
    story("names in order", create(), [make(name) for name in ("b", "a", "c", "B", "A", "10", "9")], names(), api("CONSUMER.LIST.S")),
]
