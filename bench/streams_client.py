"""JetStream client speed: midge beside nats-py, natsio and nats.go on the real nats-server, in one run.

Each measurement is a fresh process; the peers take turns within a round. The stream is in memory, so that the client is what is measured:

    publish_async   N messages with the same window (4,000), until the last acknowledgement is there
    consume         N messages, one loop, each acknowledged; until the server knows that of all
    fetch           the same by batches of 500
    kv put, kv get  one key, one call after the other
    object put      bytes of one object, into a stream in memory, by chunks of 128 KiB
    object get      and out again, all of it

nats-py has no consume: its part is ``fetch(500)`` in a loop, the fastest way that it has. natsio takes part where ``--natsio`` names a
Python that has it, nats.go, in two of the cases, where Go is. Every message and every byte is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from client import build_go_peer
from report import median, print_json, print_table, rate_text, ratio_text, ratios, turns
from servers import OURS, Server, ServerError, require_compiled
from stream_peers import nats_py, printed, streams_server

NATSPY, NATSIO, GO = "nats-py", "natsio", "nats.go"
MANY = {OURS: 200_000, NATSPY: 20_000, NATSIO: 60_000, GO: 200_000}
COUNTS = {"publish_async": MANY, "consume": MANY, "fetch": MANY}
COUNTS["kv put"] = COUNTS["kv get"] = dict.fromkeys((OURS, NATSPY, NATSIO), 5_000)
COUNTS["object put"] = COUNTS["object get"] = dict.fromkeys((OURS, NATSPY, NATSIO), 64 << 20)  # bytes
GO_CASES = ("publish_async", "consume")
WINDOW = 4_000
BATCH = 500
PAYLOAD = bytes(128)
TIMEOUT = 120.0

Run = Callable[[str, int], Coroutine[Any, Any, float]]


async def fill(url: str, case: str, count: int) -> None:
    """Make the stream anew, with so many messages and a consumer, or the bucket or object store, with what is read of it."""
    import midge

    async with midge.connect(url) as nc:
        js = nc.jetstream()
        if case.startswith("kv"):
            kv = await js.ensure_key_value("B", storage="memory")
            await kv.put("k", PAYLOAD)
            return
        if case.startswith("object"):
            store = await js.ensure_object_store("B", storage="memory")
            await store.put("o", bytes(count if case == "object get" else 1))
            return
        if "B" in [name async for name in js.stream_names()]:
            await js.delete_stream("B")
        stream = await js.create_stream(name="B", subjects=["b"], storage="memory")
        await stream.create_consumer(durable_name="C", max_ack_pending=20_000)
        for _ in range(0 if case == "publish_async" else count):
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


async def midge_bucket(url: str, count: int, is_put: bool) -> float:
    import midge

    async with midge.connect(url) as nc:
        return await use_bucket(nc.jetstream().key_value("B"), count, is_put)


async def midge_object(url: str, size: int, is_put: bool) -> float:
    import midge

    async with midge.connect(url) as nc:
        store = nc.jetstream().object_store("B")
        return await use_store(store.put, store.get_bytes, size, is_put)


async def natspy_publish(url: str, count: int) -> float:
    async with nats_py(url) as nc:
        js = nc.jetstream(publish_async_max_pending=WINDOW)
        start = time.perf_counter()
        for _ in range(count):
            await js.publish_async("b", PAYLOAD)
        await js.publish_async_completed()
        taken = time.perf_counter() - start
        assert (await js.stream_info("B")).state.messages == count
        return taken


async def natspy_consume(url: str, count: int) -> float:
    async with nats_py(url) as nc:
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
        return time.perf_counter() - start


async def natspy_bucket(url: str, count: int, is_put: bool) -> float:
    async with nats_py(url) as nc:
        return await use_bucket(await nc.jetstream().key_value("B"), count, is_put)


async def natspy_object(url: str, size: int, is_put: bool) -> float:
    async with nats_py(url) as nc:
        store = await nc.jetstream().object_store("B")

        async def get(name: str) -> bytes:
            return (await store.get(name)).data or b""

        return await use_store(store.put, get, size, is_put)


async def use_bucket(kv: Any, count: int, is_put: bool) -> float:
    """Put or get one key so often, of a bucket of midge or nats-py."""
    start = time.perf_counter()
    for _ in range(count):
        if is_put:
            await kv.put("k", PAYLOAD)
        else:
            assert (await kv.get("k")).value == PAYLOAD
    return time.perf_counter() - start


async def use_store(put: Callable[..., Any], get: Callable[[str], Any], size: int, is_put: bool) -> float:
    """Put or get one object of so many bytes, once."""
    data = bytes(size) if is_put else b""
    start = time.perf_counter()
    found = (await put("o", data)).size if is_put else len(await get("o"))
    taken = time.perf_counter() - start
    assert found == size
    return taken


def both(name: str, run: Callable[..., Coroutine[Any, Any, float]]) -> dict[str, Run]:
    """The two cases of a bucket or store."""
    return {f"{name} put": partial(run, is_put=True), f"{name} get": partial(run, is_put=False)}


RUNS: dict[str, dict[str, Run]] = {
    OURS: {
        "publish_async": midge_publish, "consume": midge_consume, "fetch": midge_fetch, **both("kv", midge_bucket),
        **both("object", midge_object),
    },
    NATSPY: {
        "publish_async": natspy_publish, "consume": natspy_consume, "fetch": natspy_consume, **both("kv", natspy_bucket),
        **both("object", natspy_object),
    },
}  # fmt: skip


def command_of(peer: str, url: str, case: str, count: int, places: dict[str, str]) -> list[str]:
    """Return what measures a peer; it prints the seconds taken, nats.go's a rate."""
    if peer == NATSIO:
        return [places[NATSIO], str(Path(__file__).with_name("streams_natsio.py")), url, case, str(count)]
    if peer == GO:
        return [places[GO], url, case, str(len(PAYLOAD)), str(count)]
    return [sys.executable, __file__, "--as", peer, url, case, str(count)]


def measure(server: Server, peer: str, case: str, count: int, places: dict[str, str]) -> float:
    """Messages, or bytes, a second of one run."""
    url = f"nats://{server.host}:{server.port}"
    asyncio.run(fill(url, case, count))
    told = float(printed(command_of(peer, url, case, count, places), f"{peer} {case}", TIMEOUT))
    return told if peer == GO else count / told


def found_places(natsio: str, directory: str) -> dict[str, str]:
    """Return the peers that take part besides midge and nats-py, and what runs them."""
    places = {NATSIO: natsio} if natsio else {}
    binary = Path(directory) / "gopeer"
    if reason := build_go_peer(binary):
        print(f"skipped nats.go: {reason}", file=sys.stderr)
    else:
        places[GO] = str(binary)
    return places


def compare(case: str, server: Server, rounds: int, scale: float, places: dict[str, str]) -> dict[str, list[float]]:
    """All rounds of one case, by peer."""
    peers = [OURS, NATSPY, *(peer for peer in places if peer != GO or case in GO_CASES)]
    rates: dict[str, list[float]] = {peer: [] for peer in peers}
    for order in turns(peers, rounds):
        for peer in order:
            rates[peer].append(measure(server, peer, case, int(COUNTS[case][peer] * scale), places))
    return rates


def main() -> int:
    if sys.argv[1:2] == ["--as"]:
        peer, url, case, count = sys.argv[2:]
        print(asyncio.run(RUNS[peer][case](url, int(count))))
        return 0
    parser = argparse.ArgumentParser(description="midge and others as JetStream clients of the real nats-server, in turns.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=COUNTS, default=list(COUNTS))
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of messages")
    parser.add_argument("--natsio", default="", metavar="PYTHON", help="also measure the natsio that is installed for this interpreter")
    parser.add_argument("--allow-pure", action="store_true", help="measure an uncompiled midge all the same")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    require_compiled(options.allow_pure)
    try:
        with tempfile.TemporaryDirectory() as directory, streams_server() as server:
            places = found_places(options.natsio, directory)
            rates = {case: compare(case, server, options.rounds, options.scale, places) for case in options.cases}
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    others = [NATSPY, *places]
    if options.json:
        ratio = {case: {peer: ratios(found[OURS], found[peer]) for peer in found if peer != OURS} for case, found in rates.items()}
        print_json("streams_client", [{"case": case, "rounds": found, "ratio": ratio[case]} for case, found in rates.items()])
        return 0
    rows = []
    for case, found in rates.items():
        texts = [rate_text(median(found[peer])) if peer in found else "-" for peer in (OURS, *others)]
        rows.append([case, *texts, *(ratio_text(ratios(found[OURS], found[peer])) if peer in found else "-" for peer in others)])
    print_table(["case", *(f"{peer} /s" for peer in (OURS, *others)), *(f"midge/{peer} (min-max)" for peer in others)], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
