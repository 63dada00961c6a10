"""How long a quiet client waits while others are loud: PING to PONG beside nothing, a fan-out, resets, and a churning group.

    idle     nothing else: what the machine and the method cost
    fan-out  one publisher at full speed (16 B) to 1,000 subscribers
    resets   the same to 300 subscribers, all reset at once while messages are on their way, again and again
    group    a publisher at full speed to a queue group of 10,000 members, beside a connection where members join, get
             or miss a message, and leave, at full speed

The quiet client is a process of its own with one plain socket. It sends a PING every 2 ms whether or not the last one
was answered, so a server that is away for a second is counted five hundred times and not once. Its own delay would be
taken for the server's: where the system lets it, it runs at real-time priority, and *late* is how far it missed its own
ticks. The servers are raised above the load, and the load above whatever else runs here, all alike, so that what is
measured is how a server shares its time, not how the system does. The load keeps four blocks of 64 KiB at the server,
an epoll loop reads for the subscribers, and at the end all bytes are counted: lost or doubled ones are a failure. The
servers take turns; `--before` adds an older midge. Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import select
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from crowd import Readers, open_many, reset_all
from load import PING, PONG, connect
from priority import SERVER_NICE, favour, raised, rise, stand_apart
from report import against, median, print_json, print_table, rate_text, ratio_text, turns
from servers import OURS, THEIRS, Server, ServerError, add_server_options, allow_descriptors, contestants, refuse
from workers import Crew, LoadError, Role, Worker, words

WORST_MS = 20.0
TICK = 0.002
SETTLE = 0.3
PATIENCE = 30.0
WINDOW = 4
BLOCK = 1 << 16
DESCRIPTORS = 2_000

PAYLOAD = b"16\r\n0123456789abcdef\r\n"
PUB = b"PUB fair " + PAYLOAD
SUBSCRIBERS, VICTIMS = 1_000, 300
LISTEN = b"SUB fair 1\r\n"
HEARD = len(b"MSG fair 1 " + PAYLOAD)
RESET_AFTER = 0.05

MEMBER_CONNECTIONS, MEMBERS_EACH, FIRST_SID = 100, 100, 100
GROUP_HEARD = len(b"MSG fair 100 " + PAYLOAD)


@dataclass(frozen=True, slots=True)
class Stream:
    """What one pushing connection repeats: a block, and how many messages are in it."""

    block: bytes
    messages: int


def stream(step: bytes, messages: int) -> Stream:
    """About 64 KiB of `step`, then a PING whose answer says that the server has dealt with it."""
    times = BLOCK // len(step)
    return Stream(step * times + PING, messages * times)


def churning() -> Stream:
    """A member joins, a message comes, it leaves, another message comes."""
    steps = [b"SUB fair workers %d\r\n%bUNSUB %d\r\n%b" % (sid, PUB, sid, PUB) for sid in range(FIRST_SID, 10 * FIRST_SID)]
    return Stream(b"".join(steps) + PING, 2 * len(steps))


@dataclass(frozen=True, slots=True)
class Job:
    host: str
    port: int
    case: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Waits:
    """What the quiet client saw: nanoseconds from each PING to its PONG, how late it was itself, at which priority."""

    waits: list[int]
    late: list[int]
    priority: str


def probe(job: Job, pipe: Connection) -> Waits:
    """The quiet client."""
    sock = connect(job.host, job.port, timeout=PATIENCE)
    priority = rise()
    pipe.send("ready")
    pipe.recv()
    time.sleep(SETTLE)
    gc.disable()
    waits, late = ask(sock, job.seconds)
    sock.close()
    return Waits(waits, late, priority)


def ask(sock: socket.socket, seconds: float) -> tuple[list[int], list[int]]:
    """A PING at every tick; then what is still owed."""
    asked: deque[int] = deque()
    waits: list[int] = []
    late: list[int] = []
    rest = b""
    tick = time.monotonic_ns()
    end = tick + int(seconds * 1e9)
    step = int(TICK * 1e9)
    while asked or tick < end:
        until = (tick if tick < end else asked[0] + int(PATIENCE * 1e9)) - time.monotonic_ns()
        if select.select((sock,), (), (), max(0, until) / 1e9)[0]:
            data = sock.recv(65536)
            now = time.monotonic_ns()
            lines = (rest + data).split(b"\r\n")
            rest = lines.pop()
            for line in lines:
                if line == b"PONG":
                    waits.append(now - asked.popleft())
                elif line == b"PING":
                    sock.sendall(PONG)
                else:
                    raise LoadError(f"was told {line[:80]!r}")
            if not data:
                raise LoadError(f"was cut off with {len(asked)} PINGs unanswered")
        now = time.monotonic_ns()
        if tick <= now and tick < end:
            late.append(now - tick)
            sock.sendall(PING)
            asked.append(now)
            tick = max(tick + step, now)
        elif asked and now - asked[0] > PATIENCE * 1e9:
            raise LoadError(f"waited {PATIENCE:.0f} s for a PONG, {len(asked)} PINGs unanswered")
    return waits, late


def push(job: Job, pipe: Connection) -> list[tuple[int, int]]:
    """The loud side: a thread for each stream, until told to stop; messages published and bytes heard by each."""
    stand_apart()
    stopping = threading.Event()
    results: list[tuple[int, int]] = []
    errors: list[str] = []
    socks = [connect(job.host, job.port, timeout=PATIENCE) for _ in CASES[job.case].streams]

    def repeat(sock: socket.socket, what: Stream) -> None:
        try:
            results.append(pump(sock, what, stopping))
        except (OSError, LoadError) as error:
            errors.append(str(error))

    threads = [threading.Thread(target=repeat, args=item) for item in zip(socks, CASES[job.case].streams, strict=True)]
    pipe.send("ready")
    pipe.recv()
    for thread in threads:
        thread.start()
    pipe.recv()
    stopping.set()
    for thread in threads:
        thread.join()
    if errors:
        raise LoadError("; ".join(errors))
    return results


def pump(sock: socket.socket, what: Stream, stopping: threading.Event) -> tuple[int, int]:
    """Keep WINDOW blocks at the server; returns when all are answered."""
    sent = answered = heard = 0
    tail = b""
    while answered < sent or not stopping.is_set():
        while sent - answered < WINDOW and not stopping.is_set():
            sock.sendall(what.block)
            sent += 1
        if answered == sent:
            break
        data = sock.recv(65536)
        if not data or b"-ERR" in data:
            raise LoadError(f"a publisher was cut off, last words {data[-80:]!r}")
        heard += len(data)
        answered += (tail + data).count(PONG)
        tail = (tail + data)[1 - len(PONG) :]
    return sent * what.messages, heard - answered * len(PONG)


def hear(job: Job, pipe: Connection) -> None:
    """Subscribers that read all; told how much was published, they count what they got."""
    stand_apart()
    case = CASES[job.case]
    socks = open_many(job.host, job.port, case.commands, timeout=PATIENCE)
    readers = Readers(socks)
    pipe.send("ready")
    pipe.recv()
    while not pipe.poll():
        readers.read(0.01)
    results: list[tuple[int, int]] = pipe.recv()
    published = sum(messages for messages, _ in results)
    if job.case == "group":
        settle(readers, published * GROUP_HEARD - sum(heard for _, heard in results))
    else:
        readers.read_until(published * HEARD, PATIENCE)
        for got in readers.heard.values():
            check(got - published * HEARD, 1)
    reset_all(socks)


def settle(readers: Readers, expected: int) -> None:
    """Read until the group as a whole has what was published; who got what is the server's choice."""
    while sum(readers.heard.values()) < expected:
        if not readers.read(PATIENCE):
            raise LoadError(f"the group got {sum(readers.heard.values())} of {expected} bytes")
    check(sum(readers.heard.values()) - expected, len(readers.heard) + 2)


def check(surplus: int, connections: int) -> None:
    """Beyond the messages, each connection may have had a PING of the server, and nothing else."""
    if surplus % len(PING) or abs(surplus) > 2 * len(PING) * connections:
        raise LoadError(f"{surplus} bytes more than were published")


def fall(job: Job, pipe: Connection) -> int:
    """Subscribers that come, hear, and are all reset at once, until told to stop; how often they were."""
    stand_apart()
    times = 0
    socks = open_many(job.host, job.port, CASES[job.case].commands, timeout=PATIENCE)
    pipe.send("ready")
    pipe.recv()
    while True:
        readers = Readers(socks)
        readers.read_until(1, PATIENCE)
        end = time.monotonic() + RESET_AFTER
        while time.monotonic() < end:
            readers.read(0.01)
        readers.close()
        reset_all(socks)
        times += 1
        if pipe.poll():
            pipe.recv()
            return times
        socks = open_many(job.host, job.port, CASES[job.case].commands, timeout=PATIENCE)


@dataclass(frozen=True, slots=True)
class Case:
    """One row: what is pushed, who listens, and what each listening connection says first."""

    name: str
    streams: tuple[Stream, ...] = ()
    listener: Role | None = None
    commands: Sequence[bytes] = ()


def members() -> list[bytes]:
    """What each of the connections says that together hold the queue group."""
    sids = range(FIRST_SID, FIRST_SID + MEMBERS_EACH)
    return [b"".join(b"SUB fair workers %d\r\n" % sid for sid in sids)] * MEMBER_CONNECTIONS


CASES = {
    case.name: case
    for case in (
        Case("idle"),
        Case("fan-out", (stream(PUB, 1),), hear, [LISTEN] * SUBSCRIBERS),
        Case("resets", (stream(PUB, 1),), fall, [LISTEN] * VICTIMS),
        Case("group", (stream(PUB, 1), churning()), hear, members()),
    )
}


@dataclass
class Row:
    """One case: what each server did in each round, by figure."""

    case: str
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    priority: str = ""
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, server: str, waits: Waits, load: dict[str, float]) -> None:
        self.priority = waits.priority
        figures = {
            "p50": percentile(waits.waits, 0.5) / 1e6,
            "p99": percentile(waits.waits, 0.99) / 1e6,
            "worst": max(waits.waits) / 1e6,
            "late_p99": percentile(waits.late, 0.99) / 1e6,
            "late_worst": max(waits.late) / 1e6,
            **load,
        }
        for key, value in figures.items():
            self.figures.setdefault(key, {}).setdefault(server, []).append(value)

    def middle(self, key: str, server: str) -> float:
        """The median of the rounds, but of the worst ones the worst."""
        values = self.figures.get(key, {}).get(server, [])
        return max(values, default=math.nan) if "worst" in key else median(values)

    def aims(self) -> dict[str, bool]:
        """Whether ours keeps what it promises; false where it could not be measured."""
        ratio = against(self.figures.get("p99", {})).get(THEIRS, {"median": math.nan})
        counted = OURS not in self.failures
        return {"worst": counted and self.middle("worst", OURS) < WORST_MS, "p99": counted and ratio["median"] <= 1.0}

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        return {
            "case": self.case,
            "milliseconds": {name: {key: self.middle(key, name) for key in self.figures} for name in names},
            "ratio": {key: against(self.figures.get(key, {})) for key in ("p50", "p99", "worst")},
            "aims": self.aims(),
            "priority": self.priority,
            "rounds": self.figures,
            "failures": list(self.failures.values()),
        }


def percentile(values: Sequence[int], share: float) -> int:
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def measure(case: Case, commands: dict[str, list[str]], rounds: int, seconds: float) -> Row:
    """All rounds of one case; a server that fails is out of the rounds that follow, the others go on."""
    row = Row(case.name)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(name, raised(command))) for name, command in commands.items()]
        for server in servers:
            favour(server.pid, SERVER_NICE)
        for order in turns(servers, rounds):
            for server in order:
                if server.name in row.failures:
                    continue
                try:
                    waits, load, failure = run(case, server, seconds)
                    row.add(server.name, waits, load)
                except (LoadError, OSError) as error:
                    failure = str(error)
                if failure:
                    state = "alive" if server.alive else "dead"
                    row.failures[server.name] = f"{server.name} ({state}), {case.name}: {failure}\n{server.log}"
    return row


def run(case: Case, server: Server, seconds: float) -> tuple[Waits, dict[str, float], str]:
    """One round: what the quiet client saw, what the load was meanwhile, and what went wrong with that."""
    job = Job(server.host, server.port, case.name, seconds)
    roles: list[Role] = [probe] if case.listener is None else [probe, push, case.listener]
    with Crew(roles, job) as (quiet, *loud):
        words([quiet, *loud], 2 * PATIENCE)
        start, used = time.perf_counter(), server.cpu()
        for worker in reversed((quiet, *loud)):
            worker.say("go")
        waits: Waits = quiet.word(seconds + 2 * PATIENCE)
        load = {"cores": (server.cpu() - used) / (time.perf_counter() - start)}
        try:
            return waits, load | (finish(loud[0], loud[1], start) if loud else {}), ""
        except LoadError as error:
            return waits, load, str(error)


def finish(pushing: Worker, listening: Worker, start: float) -> dict[str, float]:
    """End the load; every byte of it must be there. Messages published a second, and how often all were reset."""
    pushing.say("stop")
    results: list[tuple[int, int]] = pushing.word(2 * PATIENCE)
    published = sum(messages for messages, _ in results) / (time.perf_counter() - start)
    listening.say(results)
    resets: int | None = listening.word(2 * PATIENCE)
    return {"published": published} | ({} if resets is None else {"resets": resets})


def show(rows: list[Row], names: list[str]) -> None:
    lines = []
    for row in rows:
        ratios = {key: against(row.figures.get(key, {})) for key in ("p99", "worst")}
        for name in names:
            figures = [f"{row.middle(key, name):.2f}" for key in ("p50", "p99", "worst", "late_p99", "late_worst")]
            compared = [ratio_text(ratios[key][name]) if name in ratios[key] else "" for key in ratios]
            cores = f"{row.middle('cores', name):.2f}"
            published = rate_text(row.middle("published", name)) if "published" in row.figures else ""
            resets = f"{row.middle('resets', name):.0f}" if "resets" in row.figures else ""
            lines.append([f"{row.case}, {name}", *figures, *compared, cores, published, resets])
    header = ["ms to a PONG", "p50", "p99", "worst", "late p99", "late worst", f"p99 {OURS}/it (min-max)", f"worst {OURS}/it"]
    print_table([*header, "cores", "published /s", "resets"], lines)
    print()
    for row in rows:
        if row.case != "idle":
            aims = row.aims()
            worst, p99 = ("holds" if aims[key] else "MISSED" for key in ("worst", "p99"))
            print(f"{row.case}: worst under {WORST_MS:.0f} ms {worst}; p99 no worse than {THEIRS}'s {p99}")
    print(f"the quiet client ran at {rows[0].priority or 'no'} priority")


def main() -> int:
    parser = argparse.ArgumentParser(description="How long a quiet client waits for its PONG beside loud ones.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long the quiet client asks, in each round")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--json", action="store_true")
    add_server_options(parser)
    options = parser.parse_args()
    if sys.platform != "linux":
        refuse("needs Linux")
    commands = contestants(options)
    if allow_descriptors(DESCRIPTORS) < DESCRIPTORS:
        refuse(f"needs {DESCRIPTORS} descriptors")
    rows = []
    try:
        for case in (CASES[name] for name in options.cases):
            print(f"{case.name}: {options.rounds} rounds of {options.seconds:.0f} s", file=sys.stderr)
            rows.append(measure(case, commands, options.rounds, options.seconds))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    names = list(commands)
    if options.json:
        print_json("fairness", [row.summary(names) for row in rows])
    else:
        show(rows, names)
    failures = [failure for row in rows for failure in row.failures.values()]
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
