"""What streams_client.py measures of natsio, by a Python that has it: ``PYTHON streams_natsio.py URL CASE COUNT`` prints the seconds."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import natsio  # type: ignore[import-not-found, unused-ignore]

WINDOW = 4_000
BATCH = 500
PAYLOAD = bytes(128)


async def acknowledged(consumer: Any, count: int) -> None:
    while (await consumer.info()).ack_floor.stream_seq < count:
        pass


async def run(case: str, nc: Any, count: int) -> float:
    js = nc.jetstream(publish_async_max_pending=WINDOW)
    if case.startswith("kv"):
        kv = await js.key_value("B")
    elif case.startswith("object"):
        store = await js.object_store("B")
    else:
        stream = await js.stream("B")
        consumer = await stream.consumer("C")
    data = bytes(count) if case == "object put" else b""
    start = time.perf_counter()
    if case == "publish_async":
        for _ in range(count):
            last = await js.publish_async("b", PAYLOAD)
        await last
        while (await stream.info()).state.messages < count:
            pass
    elif case == "consume":
        left = count
        async with consumer.consume() as messages:
            async for message in messages:
                await message.ack()
                left -= 1
                if not left:
                    break
        await acknowledged(consumer, count)
    elif case == "fetch":
        left = count
        while left:
            for message in await consumer.fetch(BATCH):
                await message.ack()
                left -= 1
        await acknowledged(consumer, count)
    elif case == "kv put":
        for _ in range(count):
            await kv.put("k", PAYLOAD)
    elif case == "kv get":
        for _ in range(count):
            assert (await kv.get("k")).value == PAYLOAD
    elif case == "object put":
        assert (await store.put("o", data)).size == count
    else:
        assert len(await store.get_bytes("o")) == count
    return time.perf_counter() - start


async def main(url: str, case: str, count: int) -> None:
    async with await natsio.connect(url) as nc:
        print(await run(case, nc, count))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
