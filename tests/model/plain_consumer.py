"""The model of consumers: what each of a stream has delivered, what it waits for, and what it may deliver next."""

import os
from dataclasses import dataclass, field

from worlds import SECOND, Delivered

SUBJECTS = ["s.a", "s.b", "s.a.b", "s.c.d"]
FILTERS = [(), ("s.a",), ("s.*",), ("s.a", "s.c.>"), ("s.x",)]
APART = {"A": (), "B": ("s.b",), "C": ("s.a", "s.a.b"), "D": ("s.c.>",)}  # of a work queue: each message is for one; A is for all
DISK = "/dev/shm" if os.path.isdir("/dev/shm") else None  # syncing is not what is tested
FUZZ = SECOND // 100  # the engine looks at what is due a little later


@dataclass
class Entry:
    """A delivered message that is not acknowledged."""

    count: int  # deliveries
    place: int  # the first delivery sequence; 0 where it is not known any more
    time: int
    queued: str = ""  # to be delivered again: "" (no), "maybe", "yes"


@dataclass
class Plain:
    """The model of a consumer."""

    policy: str
    filters: tuple[str, ...]
    next: int
    ack_wait: int = 10 * SECOND
    backoff: tuple[int, ...] = ()
    max_deliver: int = -1
    max_pending: int = 1_000
    places: int = 0  # deliveries
    skips: list[int] = field(default_factory=list)
    pending: dict[int, Entry] = field(default_factory=dict)
    leaving: dict[int, Entry] = field(default_factory=dict)  # gone, or given up: counted, or not any more
    given_up: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    confirmed: set[int] = field(default_factory=set)
    came: set[int] = field(default_factory=set)
    floor: tuple[int, int] = (0, 0)
    born: int = 0  # the stream's last sequence when it was made

    def wants(self, subject: str) -> bool:
        return not self.filters or any(matches(each, subject) for each in self.filters)

    def wait_of(self, entry: Entry) -> int:
        return self.backoff[min(entry.count, len(self.backoff)) - 1] if self.backoff else self.ack_wait

    def is_over(self, entry: Entry) -> bool:
        return 0 < self.max_deliver <= entry.count

    def due_in(self, wall: int) -> bool:
        """True if for some entry it depends on the engine's mood whether its time is over."""
        return any(0 <= wall - each.time - self.wait_of(each) < FUZZ for each in self.pending.values() if each.queued != "yes")

    def pass_time(self, wall: int) -> None:
        for sequence, entry in list(self.pending.items()):
            if entry.queued != "yes" and entry.time + self.wait_of(entry) < wall:
                entry.queued = "yes"
            if entry.queued and self.is_over(entry):
                self.give_up(sequence)

    def give_up(self, sequence: int) -> None:
        self.leaving[sequence] = self.pending.pop(sequence)
        self.given_up.add(sequence)

    def finish(self, sequence: int) -> None:
        self.pending.pop(sequence, None)
        self.leaving.pop(sequence, None)
        self.given_up.discard(sequence)
        self.done.add(sequence)


def matches(filter: str, subject: str) -> bool:
    mine, its = filter.split("."), subject.split(".")
    if mine[-1] == ">":
        return len(its) >= len(mine) and its[: len(mine) - 1] == mine[:-1]
    return len(mine) == len(its) and all(a in ("*", b) for a, b in zip(mine, its, strict=True))


def numbers(message: Delivered) -> tuple[int, ...]:
    """Deliveries, the stream's and the consumer's sequence, time, and how many are left."""
    return tuple(map(int, message.reply.split(b".")[-5:]))


def consumer_of(message: Delivered) -> str:
    return message.reply.split(b".")[3].decode()
