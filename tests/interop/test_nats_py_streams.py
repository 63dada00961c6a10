"""nats-py's JetStream calls on our server and on nats-server: what they return is the same, but for times and names."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import pytest
from servers import need_nats_server, running_nats_server

import midge

nats = pytest.importorskip("nats")
api = pytest.importorskip("nats.js.api")
errors = pytest.importorskip("nats.js.errors")

VARIES = {"created", "cluster", "metadata", "time", "Nats-Time-Stamp"}


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    need_nats_server()
    with ExitStack() as stack:
        theirs, ours = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2))
        host, port = stack.enter_context(running_nats_server(f"jetstream {{ store_dir: {json.dumps(theirs)} }}"))
        server = stack.enter_context(midge.Server(port=0, store_dir=ours))
        yield f"nats://{host}:{port}", server.url


def plain(value: Any) -> Any:
    """Without what depends on the server and the day."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name not in VARIES}
    return [plain(each) for each in value] if isinstance(value, list) else value


async def story(url: str, storage: str) -> list[Any]:
    """Use streams, and return what everything returned or raised."""
    told: list[Any] = []
    nc = await nats.connect(url, allow_reconnect=False)
    js = nc.jetstream()

    async def note(call: Any) -> None:
        try:
            told.append(plain(await call))
        except errors.Error as error:
            told.append((type(error).__name__, getattr(error, "err_code", None), getattr(error, "description", None)))

    name, subjects = f"ORDERS-{storage}", [f"{storage}.>"]
    try:
        await note(js.account_info())
        await note(js.add_stream(name=name, subjects=subjects, storage=storage, allow_direct=True, max_msgs_per_subject=3))
        await note(js.add_stream(name=name, subjects=subjects, storage=storage, max_msgs=1))
        await note(js.add_stream(name=f"{name}-2", subjects=[f"{storage}.a"], storage=storage))
        for number in range(5):
            await note(js.publish(f"{storage}.a", b"%d" % number))
        await note(js.publish(f"{storage}.b", b"x", headers={"Nats-Msg-Id": "1"}))
        await note(js.publish(f"{storage}.b", b"x", headers={"Nats-Msg-Id": "1"}))
        await note(js.publish(f"{storage}.b", b"x", headers={"Nats-Expected-Last-Sequence": "99"}))
        await note(js.publish(f"{storage}.b", b"x", stream="OTHER"))
        await note(js.publish("nobody.listens", b"x", timeout=1))
        for direct in (False, True):
            await note(js.get_msg(name, 6, direct=direct))
            await note(js.get_msg(name, subject=f"{storage}.a", seq=1, next=True, direct=direct))
            await note(js.get_last_msg(name, f"{storage}.a", direct=direct))
            await note(js.get_msg(name, 99, direct=direct))
        await note(js.stream_info(name, subjects_filter=">"))
        await note(js.delete_msg(name, 4))
        await note(js.find_stream_name_by_subject(f"{storage}.a"))
        await note(js.update_stream(name=name, subjects=subjects, storage=storage, max_msgs=2))
        await note(js.purge_stream(name, subject=f"{storage}.a"))
        told.append([plain(each) for each in await js.streams_info()])
        await note(js.delete_stream(name))
        await note(js.delete_stream(name))
        await note(js.stream_info(name))
    finally:
        await nc.close()
    return told


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_the_same_story(urls: tuple[str, str], storage: str) -> None:
    theirs, ours = (asyncio.run(story(url, storage)) for url in urls)
    for number, (expected, got) in enumerate(zip(theirs, ours, strict=True)):
        assert got == expected, number
