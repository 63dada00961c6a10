"""A consumer that another account uses: requests and acknowledgements by service imports, deliveries by answers and by a stream import."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import midge

CONFIG = """
jetstream {}
accounts {
  A { jetstream: enabled, users: [{user: a, password: p}], exports: [
    {service: "$JS.API.CONSUMER.MSG.NEXT.>", response: RESPONSE}, {service: "$JS.ACK.>"}, {stream: "deliver.>"}] }
  B { users: [{user: b, password: p}], imports: [
    {service: {account: A, subject: "$JS.API.CONSUMER.MSG.NEXT.S.C"}, to: "next"}, {service: {account: A, subject: "$JS.ACK.>"}},
    {stream: {account: A, subject: "deliver.>"}}] }
}
"""


@pytest.mark.parametrize(("response", "count"), [("stream", 3), ("single", 1)])
async def test_pulled_and_pushed_across_accounts(tmp_path: Path, response: str, count: int) -> None:
    path = tmp_path / "server.conf"
    path.write_text(CONFIG.replace("RESPONSE", response))
    async with (
        midge.Server(config=path, port=0) as server,
        midge.connect(server.url, user="a", password="p") as ours,
        midge.connect(server.url, user="b", password="p") as theirs,
    ):

        async def consumer(name: str, **config: object) -> dict[str, object]:
            body = {"stream_name": "S", "config": {"durable_name": name, "ack_policy": "explicit"} | config}
            answer = await ours.request(f"$JS.API.CONSUMER.CREATE.S.{name}", json.dumps(body).encode())
            found: dict[str, object] = json.loads(bytes(answer.data))
            return found

        await ours.jetstream().create_stream(name="S", subjects=["s.>"], storage="memory")
        for number in range(4):
            await ours.jetstream().publish("s.a", b"%d" % number)
        assert "error" not in await consumer("C")
        async with theirs.subscribe("inbox") as sub:
            await theirs.publish("next", b'{"batch":3,"expires":1000000000}', reply="inbox")
            got = [await sub.next(5) for _ in range(count)]
            assert [(str(each.subject), bytes(each.data)) for each in got] == [("s.a", b"%d" % number) for number in range(count)]
            for each in got:
                assert str(each.reply).startswith("$JS.ACK.S.C.1.")
                await theirs.request(str(each.reply), b"+ACK", timeout=5)
        info = json.loads(bytes((await ours.request("$JS.API.CONSUMER.INFO.S.C")).data))
        assert (info["ack_floor"]["stream_seq"], info["num_ack_pending"]) == (count, 3 - count)
        async with theirs.subscribe("deliver.d") as sub:
            await theirs.flush()
            assert "error" not in await consumer("D", deliver_subject="deliver.d")
            got = [await sub.next(5) for _ in range(4)]
            assert [(str(each.subject), bytes(each.data)) for each in got] == [("s.a", b"%d" % number) for number in range(4)]


async def test_who_waits_hears_so_across_accounts(tmp_path: Path) -> None:
    path = tmp_path / "server.conf"
    path.write_text(CONFIG.replace("RESPONSE", "stream"))
    async with (
        midge.Server(config=path, port=0) as server,
        midge.connect(server.url, user="a", password="p") as ours,
        midge.connect(server.url, user="b", password="p") as theirs,
    ):
        await ours.jetstream().create_stream(name="S", subjects=["s.>"], storage="memory")
        body = {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit"}}
        await ours.request("$JS.API.CONSUMER.CREATE.S.C", json.dumps(body).encode())
        async with theirs.subscribe("inbox") as sub:
            for request, code in ((b'{"batch":1,"no_wait":true}', 404), (b'{"batch":1,"expires":1000000}', 408)):
                await theirs.publish("next", request, reply="inbox")
                status = await asyncio.wait_for(sub.next(5), 5)
                assert status.headers is not None and status.headers.status == code
                assert status.subject == "inbox"  # some clients know by it that it is not a message
