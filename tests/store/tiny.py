"""A tiny store with everything that files can say, and what a server tells of it: kept in ``tests/data/stores``, so that later versions
are tried with it. ``python tests/store/tiny.py`` makes the one of this version of the format; one that was released is not made again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import midge
from midge.message import Headers
from midge.store.directory import StoreDirectory
from midge.wire.publication import Publication

DATA = Path(__file__).parents[1] / "data/stores"
CENTURY = 36_525 * 86_400 * 1_000_000_000
STREAMS: list[dict[str, Any]] = [
    {
        "subjects": ["s.>"],
        "allow_direct": True,
        "metadata": {"of": "a test"},
        "allow_atomic": True,
        "allow_msg_ttl": True,
        "duplicate_window": CENTURY,
    },
    {"subjects": ["w.>"], "retention": "workqueue"},
    {"mirror": {"name": "S"}},
    {"sources": [{"name": "S", "filter_subject": "s.1"}]},
]
CONSUMERS: list[dict[str, Any]] = [
    {"durable_name": "explicit", "ack_policy": "explicit", "ack_wait": CENTURY, "metadata": {"a": "b"}},
    {
        "durable_name": "all",
        "ack_policy": "all",
        "ack_wait": CENTURY,
        "filter_subjects": ["s.0", "s.2"],
        "deliver_policy": "last_per_subject",
    },
    {"durable_name": "none", "ack_policy": "none"},
    {"durable_name": "push", "ack_policy": "explicit", "ack_wait": CENTURY, "deliver_subject": "push", "deliver_group": "g"},
]


class Asking:
    """Asks a server."""

    def __init__(self, client: midge.Client) -> None:
        self._client = client

    async def api(self, subject: str, body: object = None) -> Any:
        answer = await self._client.request(f"$JS.API.{subject}", b"" if body is None else json.dumps(body).encode())
        found = json.loads(bytes(answer.data))
        assert "error" not in found, (subject, found)
        return found

    async def publish(self, subject: str, data: bytes = b"", **headers: str) -> None:
        lines = {key.replace("_", "-"): value for key, value in headers.items()}
        answer = bytes((await self._client.request(subject, data, headers=Headers(lines) if lines else None)).data)
        assert not answer or "error" not in json.loads(answer), answer


def make(path: Path) -> None:
    """Make a store."""
    asyncio.run(_served(path))
    directory = StoreDirectory(str(path), wake=lambda: None, workers=0, segment_size=1500)
    store = directory.open("$G", "W")

    def turn() -> None:
        for _ in range(6):
            store.settle(lambda error: None)
            directory.begin()
            directory.finish()

    for number in range(60):  # many segments, copies, and such with nothing in them
        for subject in (b"w.brief", b"w.kept") if number in (3, 59) else (b"w.brief",):
            store.append(Publication.compose(subject, b"", b"", b"%d" % number * 60), store.committed + 1)
        turn()
        if number > 3:
            store.remove(store.last - 1)
    for number in range(3):
        store.append(Publication.compose(b"w.erased", b"", b"", b"%d" % number), store.committed + 1)
    store.erase(store.last - 1)
    store.append_all([Publication.compose(b"w.batch", b"", b"", each) for each in (b"1", b"2", b"3")], 100)
    store.skip(store.last + 5, 200)
    turn()
    store.remove(store.first)
    turn()
    directory.close()


async def _served(path: Path) -> None:
    """What a server writes: streams, consumers that have come some way, positions in sources."""
    async with midge.Server(listen=False, store_dir=path) as server, midge.connect(server) as client:
        ask = Asking(client)
        for name, config in zip("SWMG", STREAMS):
            await ask.api(f"STREAM.CREATE.{name}", {"name": name, **config})
        for number in range(20):
            await ask.publish(f"s.{number % 3}", b"<%d>" % number, **({"Key": str(number)} if number % 4 == 0 else {}))
            await ask.publish(f"w.{number % 2}", b"%d" % number)
        await ask.publish("s.id", b"known", Nats_Msg_Id="known")
        for number in (1, 2, 3):
            commit = {"Nats_Batch_Commit": "1"} if number == 3 else {}
            await ask.publish("s.batch", b"%d" % number, Nats_Batch_Id="one", Nats_Batch_Sequence=str(number), **commit)
        await ask.api("STREAM.MSG.DELETE.S", {"seq": 8})
        await ask.api("STREAM.MSG.DELETE.S", {"seq": 9, "no_erase": True})
        await ask.api("STREAM.PURGE.S", {"seq": 4})
        await _consume(ask, client)
        for name, count in (("M", 24), ("G", 7)):
            while (await ask.api(f"STREAM.INFO.{name}"))["state"]["last_seq"] < count:
                await asyncio.sleep(0.02)


async def _consume(ask: Asking, client: midge.Client) -> None:
    for config in CONSUMERS:
        await ask.api(f"CONSUMER.CREATE.S.{config['durable_name']}", {"stream_name": "S", "config": config})
    await ask.api("CONSUMER.CREATE.W.worker", {"stream_name": "W", "config": CONSUMERS[0] | {"durable_name": "worker"}})
    for stream, name, count in (("S", "explicit", 8), ("S", "all", 2), ("S", "none", 5), ("W", "worker", 6)):
        inbox = client.new_inbox()
        async with client.subscribe(inbox) as messages:
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", json.dumps({"batch": count}).encode(), reply=inbox)
            for number in range(count):
                message = await messages.next(timeout=5)
                verb = {0: b"+ACK", 1: b"+ACK", 2: b'-NAK {"delay": %d}' % CENTURY, 4: b"+TERM"}.get(number)
                if verb is not None and name != "none":
                    await client.request(message.reply, verb)


async def _told(path: Path) -> dict[str, Any]:
    """What a server tells of a store."""
    found: dict[str, Any] = {}
    async with midge.Server(listen=False, store_dir=path) as server, midge.connect(server) as client:
        ask = Asking(client)
        for name in "SWMG":
            info = await ask.api(f"STREAM.INFO.{name}", {"deleted_details": True, "subjects_filter": ">"})
            state = info["state"]
            messages = []
            for sequence in range(state["first_seq"], state["last_seq"] + 1):
                if sequence not in state.get("deleted", []):
                    messages.append((await ask.api(f"STREAM.MSG.GET.{name}", {"seq": sequence}))["message"])
            consumers = (await ask.api(f"CONSUMER.LIST.{name}"))["consumers"]
            found[name] = {
                "config": _lasting(info["config"]),
                "created": info["created"],
                "state": state,
                "messages": messages,
                "consumers": [_lasting({key: value for key, value in each.items() if key not in ("ts", "cluster")}) for each in consumers],
            }
        known = await client.request("s.id", b"again", headers=Headers({"Nats-Msg-Id": "known"}))
        found["known"] = json.loads(bytes(known.data)).get("seq")
    return found


def _lasting(value: Any) -> Any:
    """Without what tells of the server, and not of the store."""
    if isinstance(value, dict):
        return {key: _lasting(each) for key, each in value.items() if key not in ("_nats.ver", "_nats.level")}
    return value


def told(path: Path) -> dict[str, Any]:
    """Return what a server tells of a store: all messages, configurations and consumers. Only the first one knows the id of a message."""
    return asyncio.run(_told(path))


def versions() -> list[str]:
    """Return the names of what is kept."""
    return [path.name.removesuffix(".tar.gz") for path in sorted(DATA.glob("*.tar.gz"))]


def unpack(name: str, path: Path) -> dict[str, Any]:
    """Have a copy of what is kept in a directory, and return what was told of it when it was made."""
    with tarfile.open(DATA / f"{name}.tar.gz") as archive:
        archive.extractall(path, filter="data")
    expected: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return expected


def main(name: str) -> None:
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch, "store"))
        Path(scratch, "store/lock").unlink()
        with tarfile.open(DATA / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(f"{scratch}/store", arcname=".")
        (DATA / f"{name}.json").write_text(json.dumps(told(Path(scratch, "store")), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "version-1")
