"""What a stream's index costs: memory per message and per subject, and nanoseconds (of the processor) per append, lookup, removal.

    python bench/index.py [--messages 100000 1000000 10000000] [--subjects 1 1000 1000000] [--json]

Memory is what the process grew by (resident pages), so allocators and slack count. Each row runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from midge.store.index import Index
from midge.store.memory import MemoryStore
from midge.wire.publication import Publication

NAMES = "orders.{}.{}.created"  # about 25 bytes
LOOKUPS = 20_000


def resident() -> int:
    """Bytes of memory that this process has in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def nanoseconds(count: int, call: Callable[[], object]) -> int:
    """What each of ``count`` took of the processor, on average, in one call that does all."""
    start = time.process_time_ns()
    call()
    return (time.process_time_ns() - start) // count


def each(count: int, call: Callable[[int], object], arguments: Iterator[int]) -> int:
    chosen = [next(arguments) for _ in range(count)]

    def run() -> None:
        for argument in chosen:
            call(argument)

    return nanoseconds(count, run)


def filled(messages: int, subjects: int, row: dict[str, Any]) -> Index:
    """Make an index, every subject as often as any other; note what that cost."""
    names = [bytearray(NAMES.format(n % 1_000, n).encode()) for n in range(subjects)]
    size = sum(map(len, names)) / subjects
    add, order = Index.add, random.Random(1)
    index = Index()
    before = resident()

    def run() -> None:
        for sequence in range(1, messages + 1):
            name = names[sequence % subjects]
            add(index, sequence, sequence & 0xFFFFFFF, 150, 0, sequence * 1_000, name, 0, len(name))

    row["append"] = nanoseconds(messages, run)
    grown = resident() - before
    row["bytes/message"] = round(grown / messages, 1)
    if subjects > 1_000:
        row["bytes/subject"] = round((grown - 24 * messages) / subjects, 1)
        row["of name"] = round(size, 1)
    order.shuffle(names[: min(subjects, 1_000)])
    return index


def lookups(index: Index, messages: int, subjects: int, row: dict[str, Any]) -> None:
    dice = random.Random(2)
    anywhere = iter(lambda: dice.randrange(1, messages + 1), 0)
    literal = (NAMES.format(7 % subjects % 1_000, 7 % subjects).encode(),)
    few = (NAMES.format("*", 7 % subjects).encode(),)
    many = (NAMES.format("7" if subjects > 7 else "0", "*").encode(),)
    row["next"] = each(LOOKUPS, lambda at: index.next(literal, at), anywhere)
    row["previous"] = each(LOOKUPS, lambda at: index.previous(literal, at), anywhere)
    row["pending"] = each(LOOKUPS, lambda at: index.pending(literal, at), anywhere)
    row["entry"] = each(LOOKUPS, index.entry, anywhere)
    for name, filters in (("*few", few), ("*many", many)):
        row[f"first {name}"] = nanoseconds(1, lambda: index.next(filters, 1))
        row[f"next {name}"] = each(200, lambda at: index.next(filters, at), anywhere)
        row[f"pending {name}"] = each(20, lambda at: index.pending(filters, at), anywhere)
        row[f"lasts {name}"] = nanoseconds(1, lambda: index.lasts(filters))
    row["pending all"] = each(200, lambda at: index.pending((), at), anywhere)
    row["lasts all /subject"] = nanoseconds(subjects, lambda: index.lasts(()))


def rest(index: Index, messages: int, row: dict[str, Any]) -> None:
    data: list[bytes] = []
    run = min(messages, 350_000)
    row["dump"] = nanoseconds(run, lambda: data.append(index.dump(1, run)))
    row["restore"] = nanoseconds(run, lambda: Index().restore(data[0]))
    dice = random.Random(3)
    anywhere = iter(lambda: dice.randrange(1, messages + 1), 0)
    row["remove"] = each(LOOKUPS, index.remove, anywhere)
    row["drop one"] = each(LOOKUPS, lambda _: index.drop(index.first + 1), anywhere)
    third = messages // 3
    row["drop many"] = nanoseconds(third, lambda: index.drop(index.first + third))


def memory_store(row: dict[str, Any]) -> None:
    """Note what a store in memory costs beside the payloads."""
    count, store = 1_000_000, MemoryStore(lambda call: None)
    publication = Publication.compose(b"orders.new", b"", b"", bytes(128))
    before, append = resident(), store.append

    def run() -> None:
        for n in range(count):
            append(publication, n)

    row["append"] = nanoseconds(count, run)
    row["bytes/message"] = round((resident() - before) / count, 1)
    dice = random.Random(2)
    row["peek"] = each(LOOKUPS, store.peek, iter(lambda: dice.randrange(1, count + 1), 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--subjects", type=int, nargs="+", default=[1, 1_000, 1_000_000])
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument(
        "--row", type=int, nargs=2, metavar=("MESSAGES", "SUBJECTS"), help="one row, in this process; 0 0 for a memory store"
    )
    options = parser.parse_args()
    if options.row is None:
        for messages, subjects in [(m, s) for m in options.messages for s in options.subjects if s <= m] + [(0, 0)]:
            extra = ["--json"] if options.json else []
            subprocess.run([sys.executable, __file__, *extra, "--row", str(messages), str(subjects)], check=True)
        return
    messages, subjects = options.row
    row: dict[str, Any] = {"messages": messages, "subjects": subjects}
    if messages:
        index = filled(messages, subjects, row)
        lookups(index, messages, subjects, row)
        rest(index, messages, row)
    else:
        row = {"store": "memory, 128 B"}
        memory_store(row)
    print(
        json.dumps(row) if options.json else "  ".join(f"{name} {value:,}" if value != str(value) else value for name, value in row.items())
    )


if __name__ == "__main__":
    main()
