"""Streams, as our engine has them, beside nats-server's and a small model: published to with every header, purged, deleted from, updated.

After each step all three agree: what was answered, which messages there are, and what the stream says of itself. Ours is closed and opened
again in between. ``MIDGE_LONG=1`` walks many times farther, ``MIDGE_LONG=N`` so often.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from disks_of_engines import closed, opened
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from jetstream_player import Player, Step, api
from servers import need_nats_server, running_nats_server
from trials import LONG, trials

SUBJECTS = ["s.a", "s.b", "s.a.b", "s.c.d"]
FILTERS = ["", ">", "s.*", "s.a", "s.a.>", "nobody"]
DISCARD_FULL, WRONG_LAST = 10077, 10071
sequences = st.integers(-3, 1)  # from the last one on


class PlainStream:
    """The model: what a stream of these limits holds."""

    def __init__(self) -> None:
        self.messages: dict[int, str] = {}  # the subject of each sequence
        self.last = 0
        self.ids: dict[str, int] = {}
        self.max_msgs = self.per_subject = -1
        self.discard = "old"

    def publish(self, subject: str, headers: dict[str, str]) -> tuple[str, int]:
        """Return "seq", "duplicate" or "error", and the number."""
        id = headers.get("Nats-Msg-Id")
        if id in self.ids:
            return "duplicate", self.ids[str(id)]
        mine = [sequence for sequence, its in self.messages.items() if its == subject]
        if int(headers.get("Nats-Expected-Last-Sequence", self.last)) != self.last:
            return "error", WRONG_LAST
        if int(headers.get("Nats-Expected-Last-Subject-Sequence", max(mine, default=0))) != max(mine, default=0):
            return "error", WRONG_LAST
        makes_room = 0 < self.per_subject <= len(mine)
        if self.discard == "new" and 0 < self.max_msgs <= len(self.messages) and not makes_room:
            return "error", DISCARD_FULL
        self.last += 1
        self.messages[self.last] = subject
        if id:
            self.ids[id] = self.last
        if "Nats-Rollup" in headers:
            gone = mine if headers["Nats-Rollup"] == "sub" else [each for each in self.messages if each != self.last]
            self.messages = {sequence: its for sequence, its in self.messages.items() if sequence not in gone}
        self.trim()
        return "seq", self.last

    def trim(self) -> None:
        self.trim_subjects()
        self.trim_all()

    def trim_subjects(self) -> None:
        for subject in set(self.messages.values()):
            mine = [sequence for sequence, its in self.messages.items() if its == subject]
            for sequence in mine[: max(len(mine) - self.per_subject, 0)] if self.per_subject > 0 else []:
                del self.messages[sequence]

    def trim_all(self) -> None:
        while self.discard == "old" and 0 < self.max_msgs < len(self.messages):
            del self.messages[min(self.messages)]

    def purge(self, filter: str, below: int, keep: int) -> int:
        mine = [each for each, its in self.messages.items() if matches(filter, its) and not 0 < below <= each]
        gone = mine[: max(len(mine) - keep, 0)]
        for sequence in gone:
            del self.messages[sequence]
        return len(gone)


def matches(filter: str, subject: str) -> bool:
    mine, its = filter.split("."), subject.split(".")
    if filter in ("", ">"):
        return True
    if mine[-1] == ">":
        return len(its) >= len(mine) and its[: len(mine) - 1] == mine[:-1]
    return len(mine) == len(its) and all(a in ("*", b) for a, b in zip(mine, its, strict=True))


class StreamModel(RuleBasedStateMachine):
    """A stream of ours, one of nats-server's, and the model."""

    real: ClassVar[Player]
    storage: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.world = opened(Path(self.directory.name))
        self.plain = PlainStream()
        self.forgotten: set[str] = set()  # ids of messages that were gone when it was opened again: known by them alone, as there
        self.config: dict[str, Any] = {
            "name": "S", "subjects": ["s.>"], "storage": self.storage, "allow_rollup_hdrs": True,
            "max_msgs": -1, "max_msgs_per_subject": -1,
        }  # fmt: skip
        self.both("STREAM.CREATE.S", self.config)

    def teardown(self) -> None:
        self.both("STREAM.DELETE.S", None)
        closed(self.world)
        self.directory.cleanup()

    def both(self, subject: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Ask both; what does not depend on the day is the same."""
        (answer,) = self.real.ask(api(subject, body))
        real, ours = json.loads(answer), self.world.api(subject, **(body or {}))
        for name in ("error", "success", "purged", "total"):
            assert real.get(name) == ours.get(name), (subject, body, real, ours)
        return dict(ours)

    def send(self, subject: str, payload: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Publish to both; the acknowledgement is the same, byte for byte."""
        (real,) = self.real.ask(Step(subject, payload, tuple(headers.items())))
        ours = self.world.ack(subject, payload, **headers)
        assert ours == real.decode()
        found: dict[str, Any] = json.loads(ours)
        return found

    @rule(
        subject=st.sampled_from(SUBJECTS),
        payload=st.binary(max_size=9),
        kind=st.sampled_from(["", "", "id", "last", "subject", "rollup sub", "rollup all", "id last"]),
        back=sequences,
        id=st.integers(0, 5),
    )
    def publish(self, subject: str, payload: bytes, kind: str, back: int, id: int) -> None:
        mine = [sequence for sequence, its in self.plain.messages.items() if its == subject]
        headers = {}
        if "id" in kind:
            headers["Nats-Msg-Id"] = next(each for n in count() if (each := f"id{id}.{n}") not in self.forgotten)
        if "last" in kind:
            headers["Nats-Expected-Last-Sequence"] = str(max(self.plain.last + back, 0))
        if kind == "subject":
            headers["Nats-Expected-Last-Subject-Sequence"] = str(max(max(mine, default=0) + back, 0))
        if kind.startswith("rollup"):
            headers["Nats-Rollup"] = kind.split()[1]
        answer = self.send(subject, payload, headers)
        if kind == "id last":  # which of the two is looked at first is not the model's business
            if "error" not in answer and not answer.get("duplicate"):
                headers.pop("Nats-Expected-Last-Sequence")
                self.plain.publish(subject, headers)
            return
        what, number = self.plain.publish(subject, headers)
        assert what == ("error" if "error" in answer else "duplicate" if answer.get("duplicate") else "seq"), (answer, what, number)
        assert number == (answer["error"]["err_code"] if what == "error" else answer["seq"])

    @rule(many=st.integers(1, 30), subjects=st.integers(1, 4))
    def publish_many(self, many: int, subjects: int) -> None:
        for number in range(many):
            self.publish_one(SUBJECTS[number % subjects])

    def publish_one(self, subject: str) -> None:
        answer = self.send(subject, b"many", {})
        what, number = self.plain.publish(subject, {})
        assert number == (answer["error"]["err_code"] if what == "error" else answer["seq"])

    @precondition(lambda self: self.plain.last)
    @rule(filter=st.sampled_from(FILTERS), below=st.integers(0, 40), keep=st.integers(0, 4), by=st.sampled_from(["all", "seq", "keep"]))
    def purge(self, filter: str, below: int, keep: int, by: str) -> None:
        below = min(below, self.plain.last) if by == "seq" else 0
        keep = keep if by == "keep" else 0
        body = {"filter": filter, "seq": below, "keep": keep}
        answer = self.both("STREAM.PURGE.S", {name: value for name, value in body.items() if value})
        assert answer["purged"] == self.plain.purge(filter, below, keep)

    @precondition(lambda self: self.plain.messages)
    @rule(data=st.data(), no_erase=st.booleans())
    def delete(self, data: st.DataObject, no_erase: bool) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.plain.messages)))
        self.both("STREAM.MSG.DELETE.S", {"seq": sequence, "no_erase": no_erase})
        del self.plain.messages[sequence]

    @rule(max_msgs=st.sampled_from([-1, 1, 5, 20]), per_subject=st.sampled_from([-1, 1, 3]), discard=st.sampled_from(["old", "new"]))
    def update(self, max_msgs: int, per_subject: int, discard: str) -> None:
        self.config |= {"max_msgs": max_msgs, "max_msgs_per_subject": per_subject, "discard": discard}
        self.both("STREAM.UPDATE.S", self.config)
        self.plain.max_msgs, self.plain.per_subject, self.plain.discard = max_msgs, per_subject, discard
        self.plain.trim_all()
        self.plain.trim_subjects()

    @precondition(lambda self: self.storage == "file")
    @rule()
    def restart(self) -> None:
        """Only ours: nats-server takes too long, and is the one that is asked."""
        closed(self.world)
        self.forgotten |= {id for id, sequence in self.plain.ids.items() if sequence not in self.plain.messages}
        wall = self.world.wall
        self.world = opened(Path(self.directory.name), wall=wall)

    @invariant()
    def all_agree(self) -> None:
        (answer,) = self.real.ask(api("STREAM.INFO.S", {"deleted_details": True, "subjects_filter": ">"}))
        real, ours = json.loads(answer)["state"], self.world.state(deleted_details=True, subjects_filter=">")
        for state in (real, ours):
            state.pop("first_ts"), state.pop("last_ts")
        if not real["last_seq"]:  # nats-server lists sequence 0 as deleted in memory
            real.pop("deleted", None), real.pop("num_deleted", None)
        assert ours == real
        plain = self.plain
        assert [each.sequence for each in self.world.account.streams["S"].store.scan()] == sorted(plain.messages)
        assert ours["last_seq"] == plain.last and ours["first_seq"] == min(plain.messages, default=plain.last + 1 if plain.last else 0)


@pytest.fixture(scope="module")
def real() -> Iterator[Player]:
    need_nats_server()
    with tempfile.TemporaryDirectory() as path, running_nats_server(f"jetstream {{ store_dir: {json.dumps(path)} }}") as address:
        player = Player(*address)
        yield player
        player.close()


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_all_three_agree(storage: str, real: Player) -> None:
    model = type("Model", (StreamModel,), {"real": real, "storage": storage})
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=trials(12, 400),
            stateful_step_count=80 if LONG else 15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
