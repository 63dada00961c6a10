"""What it costs a client to watch a bucket with many keys: midge beside nats-py on the real nats-server, memory per key and time.

    passing   every entry is counted and forgotten: what the watch itself needs
    kept      a dict of key to value, as a program has it that mirrors the bucket
    entries   a dict of key to entry: with revision, time and all

From a bucket in memory whose keys are ``tenant.<number>.name`` with values of 32 bytes; until the mark that says that all have come.
Each measurement is a fresh process, and memory is the most that was resident, less what was before the watch. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

from report import print_json, print_table, rate_text
from servers import OURS, Server, ServerError, require_compiled
from stream_peers import nats_py, printed, streams_server

PEERS = (OURS, "nats-py")
CASES = ("passing", "kept", "entries")
VALUE = bytes(32)
TIMEOUT = 600.0


async def fill(url: str, keys: int) -> None:
    """Make the bucket, with so many keys."""
    import midge

    async with midge.connect(url) as nc:
        js = nc.jetstream()
        await js.create_key_value("W", storage="memory")
        for number in range(keys):
            await js.publish_async(f"$KV.W.tenant.{number}.name", VALUE)
        await js.publish_async_done(TIMEOUT)
        assert (await js.key_value("W").status()).values == keys


async def midge_watch(url: str, case: str) -> tuple[int, float, int]:
    import midge
    from midge.jetstream.caught_up import Mark

    async with midge.connect(url) as nc:
        found: dict[str, Any] = {}
        count, before, start = 0, memory("VmRSS"), time.perf_counter()
        async with nc.jetstream().key_value("W").watch() as watcher:
            async for entry in watcher:
                if isinstance(entry, Mark):
                    break
                count += 1
                if case != "passing":
                    found[entry.key] = entry if case == "entries" else entry.value
        return count, time.perf_counter() - start, memory("VmHWM") - before


async def natspy_watch(url: str, case: str) -> tuple[int, float, int]:
    async with nats_py(url) as nc:
        kv = await nc.jetstream().key_value("W")
        found: dict[str, Any] = {}
        count, before, start = 0, memory("VmRSS"), time.perf_counter()
        async for entry in await kv.watchall():
            if entry is None:
                break
            count += 1
            if case != "passing":
                found[entry.key] = entry if case == "entries" else entry.value
        return count, time.perf_counter() - start, memory("VmHWM") - before


def memory(field: str) -> int:
    """Bytes of resident memory: now ("VmRSS"), or the most there ever were ("VmHWM")."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(field))


def measure(server: Server, peer: str, case: str, keys: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--as", peer, f"nats://{server.host}:{server.port}", case]
    count, seconds, memory = printed(command, f"{peer} {case}", TIMEOUT).split()
    if int(count) != keys:
        raise ServerError(f"{peer} {case}: {count} keys of {keys}")
    return {"peer": peer, "case": case, "keys": keys, "rate": keys / float(seconds), "bytes": int(memory) / keys}


def main() -> int:
    if sys.argv[1:2] == ["--as"]:
        peer, url, case = sys.argv[2:]
        print(*asyncio.run((midge_watch if peer == OURS else natspy_watch)(url, case)))
        return 0
    parser = argparse.ArgumentParser(description="midge and nats-py, watching a bucket with many keys on the real nats-server.")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--allow-pure", action="store_true", help="measure an uncompiled midge all the same")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    require_compiled(options.allow_pure)
    try:
        with streams_server() as server:
            asyncio.run(fill(f"nats://{server.host}:{server.port}", options.keys))
            found = [measure(server, peer, case, options.keys) for case in options.cases for peer in options.peers]
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print_json("watched", found)
        return 0
    rows = [[each["case"], each["peer"], rate_text(each["rate"]), f"{each['bytes']:.0f} B"] for each in found]
    print_table(["case", "client", "keys /s", "memory a key"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
