"""What a process does that stores messages until it is killed, and says over a pipe what was acknowledged. For ``test_kill``.

A line for each round: the first and the last sequence when it was begun. The payload follows from the sequence.
"""

import os
import random
import threading

from midge.store.directory import StoreDirectory
from midge.wire.publication import Publication


def payload_of(sequence: int) -> bytes:
    """What message ``sequence`` holds."""
    return random.Random(sequence).randbytes(sequence * 37 % 1500)


def write(path: str, seed: int, output: int) -> None:
    """Store messages, and never return."""
    dice = random.Random(seed)
    woken = threading.Event()
    directory = StoreDirectory(path, wake=woken.set, segment_size=200_000)
    store = directory.open("A", "S")
    while True:
        for _ in range(dice.choice([1, 10, 100])):
            sequence = store.last + 1
            store.append(Publication.compose(b"a.%d" % (sequence % 10), b"", b"", payload_of(sequence)), sequence)
        if store.messages > 600:
            store.drop(store.last - 500)
        told: list[Exception | None] = []
        store.settle(told.append)
        last, first = store.last, store.first
        directory.begin()
        while not told:
            woken.wait()
            woken.clear()
            directory.finish()
        if told != [None]:
            raise SystemExit(f"not stored: {told}")
        os.write(output, b"%d %d\n" % (first, last))
