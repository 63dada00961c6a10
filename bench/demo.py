"""The reference of ``midge demo``'s last line: its loop, and the same loop with nats-py on nats-server.

    python bench/demo.py [--rounds 5]

One client publishes 100,000 messages of a few bytes, awaiting each, and receives them itself. midge's server is embedded, as in the
demo; nats-server is a process of its own. The contestants take turns, each in the fastest event loop that is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Coroutine

import nats
from servers import Server, nats_server

import midge
from midge.server.thread import new_event_loop

MSGS = 100_000


async def ours(url: str) -> float:
    async with midge.connect(url) as nc:
        last = asyncio.Event()
        left = MSGS

        def count(_: midge.Message) -> None:
            nonlocal left
            left -= 1
            if not left:
                last.set()

        await nc.subscribe("speed", callback=count)
        before = time.perf_counter()
        for number in range(MSGS):
            await nc.publish("speed", b"%d" % number)
        await last.wait()
        return time.perf_counter() - before


async def theirs(url: str) -> float:
    nc = await nats.connect(url)
    last = asyncio.Event()
    left = MSGS

    async def count(_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            last.set()

    await nc.subscribe("speed", cb=count, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await nc.flush()
    before = time.perf_counter()
    for number in range(MSGS):
        await nc.publish("speed", b"%d" % number)
    await last.wait()
    took = time.perf_counter() - before
    await nc.close()
    return took


def run(loop: Coroutine[None, None, float]) -> float:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(loop)


def main() -> None:
    parser = argparse.ArgumentParser(description="The demo's loop beside nats-py.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    ratios = []
    with Server("nats-server", nats_server()) as real:
        for _ in range(rounds):
            with midge.Server(port=0) as embedded:
                midge_took = run(ours(embedded.url))
            nats_py_took = run(theirs(real.url))
            ratios.append(nats_py_took / midge_took)
            print(f"midge {midge_took:.3f} s, nats-py {nats_py_took:.3f} s, ratio {ratios[-1]:.1f}")
    print(f"nats-py takes {statistics.median(ratios):.1f} times as long ({min(ratios):.1f}-{max(ratios):.1f})")


if __name__ == "__main__":
    main()
