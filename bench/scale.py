"""How a stream in files grows: what each message costs with 10^4 to 10^7 of them, with many subjects, and with many streams.

    python bench/scale.py [--messages 10000 100000 1000000 10000000] [--subjects 1 1000000] [--streams 1000]

No server: a store directory as a server has it, written in rounds that are synced. Reported are messages a second that are stored and
committed, messages a second that are read in order, bytes of memory that the process grew by for each, and milliseconds to open it
after a clean stop and after a kill. Each row runs in a process of its own. What stays the same down a column does not grow with the stream.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import print_json, print_table, rate_text

from midge.store.directory import StoreDirectory
from midge.store.log import FileStore
from midge.wire.publication import Publication

PAYLOAD = bytes(128)
ROUND = 4_000  # messages that wait for one sync
READS = 100_000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def opened(path: str) -> StoreDirectory:
    return StoreDirectory(path, wake=lambda: None, workers=0)


def names(subjects: int) -> Iterator[bytes]:
    while True:
        for number in range(subjects):
            yield b"orders.%d.%d.created" % (number % 1_000, number)


def fill(directory: StoreDirectory, store: FileStore, messages: int, subjects: int) -> None:
    """Store so many, a round at a time."""
    subject = names(subjects)
    for start in range(0, messages, ROUND):
        for sequence in range(start, min(start + ROUND, messages)):
            store.append(Publication.compose(next(subject), b"", b"", PAYLOAD), 1_700_000_000_000_000_000 + sequence)
        directory.begin()
        directory.finish()


def growing(path: str, messages: int, subjects: int) -> dict[str, Any]:
    """One row, in a process of its own; then it kills itself, so that the next one opens what a kill leaves."""
    directory = opened(path)
    store, before, begin = directory.open("A", "S"), resident(), time.monotonic()
    fill(directory, store, messages, subjects)
    row: dict[str, Any] = {"stored/s": messages / (time.monotonic() - begin), "bytes each": (resident() - before) / messages}
    begin, count = time.monotonic(), 0
    for _ in store.scan():
        count += 1
        if count == READS:
            break
    row["read/s"] = count / (time.monotonic() - begin)
    return row


def many(path: str, streams: int) -> dict[str, Any]:
    """As many streams, ten messages in each."""
    directory, before, begin = opened(path), resident(), time.monotonic()
    for number in range(streams):
        fill(directory, directory.open("A", f"S{number}"), 10, 1)
    return {"stored/s": 10 * streams / (time.monotonic() - begin), "bytes each": (resident() - before) / streams, "read/s": 0.0}


def opening(path: str) -> float:
    """Milliseconds until all streams are there; then it is stopped cleanly."""
    begin = time.monotonic()
    directory = opened(path)
    for account, stream in directory.state.stores().values():
        directory.open(account, stream)
    taken = time.monotonic() - begin
    directory.close()
    return taken * 1e3


def apart(*job: object) -> Any:
    """Run a part of a row in a process of its own; return what it prints before it ends, however it does."""
    done = subprocess.run([sys.executable, __file__, "--job", json.dumps(job)], stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, -signal.SIGKILL) or not done.stdout:
        raise SystemExit(f"scale.py: {job} failed")
    return json.loads(done.stdout)


def work(kind: str, path: str, *numbers: int) -> None:
    if kind == "opening":
        print(json.dumps(opening(path)))
        return
    print(json.dumps(growing(path, *numbers) if kind == "growing" else many(path, *numbers)), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def measured(what: str, kind: str, *numbers: int, parent: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=parent) as path:
        row: dict[str, Any] = {"what": what, **apart(kind, path, *numbers)}
        row["after a kill"], row["after a stop"] = apart("opening", path), apart("opening", path)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description="How a stream in files grows.")
    parser.add_argument("--messages", type=int, nargs="*", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--subjects", type=int, nargs="*", default=[1, 1_000_000])
    parser.add_argument("--streams", type=int, nargs="*", default=[1_000])
    parser.add_argument("--directory", help="where the streams are kept")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        work(*json.loads(options.job))
        return
    rows = []
    for subjects in options.subjects:
        for messages in options.messages:
            if subjects <= messages:
                what = f"{messages:,} messages, {subjects:,} subject{'s' if subjects > 1 else ''}"
                rows.append(measured(what, "growing", messages, subjects, parent=options.directory))
    for streams in options.streams:
        rows.append(measured(f"{streams:,} streams of ten messages (bytes each: of a stream)", "many", streams, parent=options.directory))
    if options.json:
        print_json("scale", rows)
        return
    head = ["stored/s", "read/s", "bytes each", "after a kill", "after a stop"]
    cells = [
        [row["what"], rate_text(row["stored/s"]), rate_text(row["read/s"]), *(f"{row[name]:,.0f}" for name in head[2:])] for row in rows
    ]
    print_table(["", "stored and synced /s", "read /s", "bytes each", "open, ms, after a kill", "after a stop"], cells)


if __name__ == "__main__":
    main()
