"""What is told of consumers: subjects, and bodies that their schemas allow."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from schemas import checked

from midge.engine.consumers import advisories
from midge.model.consumer import ConsumerConfig

START = 1_800_000_000_000_000_000
UNFIT = ("consumer_group_pinned", "consumer_group_unpinned", "nak", "terminated")  # schemas that do not fit what nats-server sends
LATER = "2027-01-15T08:00:01Z"


class Ears:
    """An outside where somebody listens, or nobody."""

    def __init__(self) -> None:
        self.listens = True
        self.told: list[tuple[bytes, dict[str, Any]]] = []

    def has_interest(self, account: str, subject: bytes) -> bool:
        return self.listens

    def emit(self, account: str, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> bool:
        self.told.append((subject, json.loads(payload)))
        return True


def world(domain: str = "", dice: int = 0, **config: Any) -> tuple[Any, Ears]:
    """A consumer C of a stream S."""
    ears = Ears()
    engine = SimpleNamespace(outside=ears, nuid=lambda: "ID", wall=START, domain=domain, choose=lambda _: dice)
    stream = SimpleNamespace(engine=engine, account=SimpleNamespace(name="A"), name="S", raw_name=b"S")
    return SimpleNamespace(stream=stream, name="C", raw_name=b"C", config=ConsumerConfig(**config)), ears


def body(kind: str, **rest: Any) -> dict[str, Any]:
    head = {"type": f"io.nats.jetstream.advisory.v1.{kind}", "id": "ID", "timestamp": "2027-01-15T08:00:00Z"}
    return head | {"stream": "S", "consumer": "C"} | rest


CASES: list[tuple[Callable[[Any], None], str, dict[str, Any]]] = [
    (lambda c: advisories.action(c, "create"), "CREATED", body("consumer_action", action="create")),
    (lambda c: advisories.action(c, "delete"), "DELETED", body("consumer_action", action="delete")),
    (lambda c: advisories.paused(c, START), "PAUSE", body("consumer_pause", paused=True, pause_until=LATER)),
    (lambda c: advisories.paused(c, START + 10**9), "PAUSE", body("consumer_pause", paused=False, pause_until=LATER)),
    (lambda c: advisories.pinned(c, "G", "P"), "PINNED", body("consumer_group_pinned", account="A", group="G", pinned_id="P")),
    (lambda c: advisories.unpinned(c, "G", "admin"), "UNPINNED", body("consumer_group_unpinned", account="A", group="G", reason="admin")),
    (lambda c: advisories.max_deliveries(c, 7, 2), "MAX_DELIVERIES", body("max_deliver", stream_seq=7, deliveries=2)),
    (lambda c: advisories.naked(c, 7, 3, 2), "MSG_NAKED", body("nak", stream_seq=7, consumer_seq=3, deliveries=2)),
    (lambda c: advisories.terminated(c, 7, 3, 2, ""), "MSG_TERMINATED", body("terminated", stream_seq=7, consumer_seq=3, deliveries=2)),
    (
        lambda c: advisories.terminated(c, 7, 3, 2, "no good"),
        "MSG_TERMINATED",
        body("terminated", stream_seq=7, consumer_seq=3, deliveries=2, reason="no good"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("tell", "name", "expected"), CASES, ids=[f"{number} {name}" for number, (_, name, _) in enumerate(CASES)])
def test_an_advisory(tell: Callable[[Any], None], name: str, expected: dict[str, Any]) -> None:
    consumer, ears = world(pause_until=LATER)
    tell(consumer)
    assert ears.told == [(b"$JS.EVENT.ADVISORY.CONSUMER.%b.S.C" % name.encode(), expected)]
    kind = expected["type"].rpartition(".")[2]
    if kind not in UNFIT:
        checked(ears.told[0][1])


@pytest.mark.parametrize("tell", [tell for tell, _, _ in CASES])
def test_nothing_is_made_where_nobody_listens(tell: Callable[[Any], None]) -> None:
    consumer, ears = world()
    ears.listens = False
    tell(consumer)
    assert ears.told == []


def test_resuming_without_a_time() -> None:
    consumer, ears = world()
    advisories.paused(consumer, START)
    assert ears.told[0][1]["pause_until"] == "0001-01-01T00:00:00Z"


def test_the_domain_is_told() -> None:
    consumer, ears = world("hub")
    advisories.action(consumer, "create")
    assert ears.told[0][1]["domain"] == "hub"


def test_the_metric_of_an_acknowledgement() -> None:
    consumer, ears = world(sample_freq="100%")
    advisories.acked(consumer, 7, 3, 2, 1_500)
    expected = body("", stream_seq=7, consumer_seq=3, deliveries=2, ack_time=1_500) | {"type": "io.nats.jetstream.metric.v1.consumer_ack"}
    assert ears.told == [(b"$JS.EVENT.METRIC.CONSUMER.ACK.S.C", expected)]


@pytest.mark.parametrize(
    ("frequency", "dice", "told"), [("", 0, 0), ("0", 0, 0), ("30", 30, 1), ("30%", 31, 0), ("100", 99, 1), ("150", 99, 1)]
)
def test_as_many_are_told_of_as_the_frequency_says(frequency: str, dice: int, told: int) -> None:
    """nats-server's dice: one in a hundred more than the frequency says."""
    consumer, ears = world(dice=dice, sample_freq=frequency)
    advisories.acked(consumer, 7, 3, 2, 1_500)
    assert len(ears.told) == told


@pytest.mark.parametrize(
    ("frequency", "rate"),
    [("", 0), ("%", 0), ("30%", 30), ("30%%", 0), ("+5", 5), ("-5", -5), ("+-5", 0), ("5.5", 0), (" 5", 0), ("٣", 0), ("9" * 4_000, 0)],
)
def test_sample_rate(frequency: str, rate: int) -> None:
    assert advisories.sample_rate(frequency) == rate
