"""JetStream client speed: midge beside nats-py on the real nats-server, in one run.

Each measurement is a fresh process; the peers take turns within a round. The stream is in memory, so that the client is what is measured:

    publish_async   N messages with the same window (4,000), until the last acknowledgement is there
    consume         N messages, one loop, each acknowledged; until the server knows that of all
    fetch           the same by batches of 500

nats-py has no consume: its part is ``fetch(500)`` in a loop, the fastest way that it has. Every message is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from typing import Any

from report import median, print_json, print_table, rate_text, ratio_text, ratios, turns
from servers import OURS, THEIRS, Server, ServerError, nats_server, require_compiled

PEERS = (OURS, "nats-py")
COUNTS = {"publish_async": {OURS: 200_000, "nats-py": 20_000}, "consume": {OURS: 200_000, "nats-py": 20_000}}
COUNTS["fetch"] = COUNTS["consume"]
WINDOW = 4_000
BATCH = 500
PAYLOAD = bytes(128)
TIMEOUT = 120.0


async def fill(url: str, count: int) -> None:
    """Make the stream anew, with so many messages and a consumer."""
    import midge

    async with midge.connect(url) as nc:
        js = nc.jetstream()
        if "B" in [name async for name in js.stream_names()]:
            await js.delete_stream("B")
        stream = await js.create_stream(name="B", subjects=["b"], storage="memory")
        await stream.create_consumer(durable_name="C", max_ack_pending=20_000)
        for _ in range(count):
            await js.publish_async("b", PAYLOAD)
        await js.publish_async_done(TIMEOUT)


async def midge_publish(url: str, count: int) -> float:
    import midge

    async with midge.connect(url) as nc:
        js = nc.jetstream(max_pending=WINDOW)
        start = time.perf_counter()
        for _ in range(count):
            await js.publish_async("b", PAYLOAD)
        await js.publish_async_done(TIMEOUT)
        taken = time.perf_counter() - start
        assert (await js.stream("B").info()).state.messages == count
        return taken


async def midge_consume(url: str, count: int) -> float:
    import midge

    async with midge.connect(url) as nc:
        consumer = nc.jetstream().stream("B").consumer("C")
        start = time.perf_counter()
        seen = 0
        async for message in consumer.consume():
            await message.ack()
            seen += 1
            if seen == count:
                break
        await nc.flush()
        while (await consumer.info()).ack_floor.stream_seq < count:
            pass
        return time.perf_counter() - start


async def midge_fetch(url: str, count: int) -> float:
    import midge

    async with midge.connect(url) as nc:
        consumer = nc.jetstream().stream("B").consumer("C")
        start = time.perf_counter()
        seen = 0
        while seen < count:
            for message in await consumer.fetch(BATCH):
                await message.ack()
                seen += 1
        while (await consumer.info()).ack_floor.stream_seq < count:
            pass
        return time.perf_counter() - start


async def natspy_publish(url: str, count: int) -> float:
    import nats

    nc = await nats.connect(url)
    js: Any = nc.jetstream(publish_async_max_pending=WINDOW)
    start = time.perf_counter()
    for _ in range(count):
        await js.publish_async("b", PAYLOAD)
    await js.publish_async_completed()
    taken = time.perf_counter() - start
    assert (await js.stream_info("B")).state.messages == count
    await nc.close()
    return taken


async def natspy_consume(url: str, count: int) -> float:
    import nats

    nc = await nats.connect(url)
    js = nc.jetstream()
    subscription = await js.pull_subscribe_bind("C", stream="B")
    start = time.perf_counter()
    seen = 0
    while seen < count:
        for message in await subscription.fetch(BATCH):
            await message.ack()
            seen += 1
    await nc.flush()
    while (await js.consumer_info("B", "C")).ack_floor.stream_seq < count:
        pass
    taken = time.perf_counter() - start
    await nc.close()
    return taken


RUNS = {
    OURS: {"publish_async": midge_publish, "consume": midge_consume, "fetch": midge_fetch},
    "nats-py": {"publish_async": natspy_publish, "consume": natspy_consume, "fetch": natspy_consume},
}


def measure(server: Server, peer: str, case: str, count: int) -> float:
    """Messages a second of one run."""
    url = f"nats://{server.host}:{server.port}"
    asyncio.run(fill(url, 0 if case == "publish_async" else count))
    command = [sys.executable, __file__, "--as", peer, url, case, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise ServerError(f"{peer} {case}: {done.stderr.strip()[-2000:]}")
    return count / float(done.stdout)


def main() -> int:
    if sys.argv[1:2] == ["--as"]:
        peer, url, case, count = sys.argv[2:]
        print(asyncio.run(RUNS[peer][case](url, int(count))))
        return 0
    parser = argparse.ArgumentParser(description="midge and nats-py as JetStream clients of the real nats-server, in turns.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=COUNTS, default=list(COUNTS))
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of messages")
    parser.add_argument("--allow-pure", action="store_true", help="measure an uncompiled midge all the same")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    require_compiled(options.allow_pure)
    rates: dict[str, dict[str, list[float]]] = {case: {peer: [] for peer in PEERS} for case in options.cases}
    try:
        with tempfile.TemporaryDirectory() as directory, Server(THEIRS, [*nats_server(), "-js", "-sd", directory]) as server:
            for case in options.cases:
                for order in turns(PEERS, options.rounds):
                    for peer in order:
                        rates[case][peer].append(measure(server, peer, case, int(COUNTS[case][peer] * options.scale)))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print_json("streams_client", [{"case": case, "rounds": found, "ratio": ratios(*found.values())} for case, found in rates.items()])
        return 0
    rows = [
        [case, *(rate_text(median(each)) for each in found.values()), ratio_text(ratios(*found.values()))] for case, found in rates.items()
    ]
    print_table(["case", *(f"{peer} /s" for peer in PEERS), "midge/nats-py (min-max)"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
