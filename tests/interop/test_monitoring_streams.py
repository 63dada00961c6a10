"""What the monitoring port says of JetStream, beside the real nats-server's: the same requests on both, and the same pages asked for.

Left out are names, times and what the files of either count for; and, by name, what ours has none of.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from servers import find_nats_server, need_nats_server

import midge

DIFFERS = {"server_id", "now", "created", "ts", "first_ts", "last_ts", "leader", "store_dir", "sync_interval", "sync_always"}
MISSING = {"compress_ok"}
CONFIGURATION = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
jetstream {
    store_dir: %s, max_mem: 100MB, max_file: 1GB, domain: hub
    limits {
        max_ack_pending: 500, max_request_batch: 70, duplicate_window: "3m"
        batch { max_msgs: 7, max_inflight_total: 20, timeout: "5s" }
    }
}
accounts {
    A { jetstream: {max_mem: 10MB, max_file: 10MB, max_streams: 5}, users: [{user: a, password: a}] }
    B { jetstream: true, users: [{user: b, password: b}] }
    C { users: [{user: c, password: c}] }
    SYS { users: [{user: s, password: s}] }
}
system_account: SYS
no_auth_user: a
"""
CONFIGS: list[dict[str, Any]] = [
    {"name": "ORDERS", "subjects": ["orders.*"]},
    {"name": "MEM", "subjects": ["mem.*"], "storage": "memory", "max_bytes": 1000},
    {"name": "AAA", "subjects": ["aaa.*"], "max_bytes": 2000, "description": "<&>"},
]
CONSUMERS = [
    ("ORDERS", "billing", {"durable_name": "billing", "ack_policy": "explicit"}),
    ("ORDERS", "audit", {"durable_name": "audit", "filter_subject": "orders.x", "metadata": {"a": "<&>"}}),
    ("AAA", "pushed", {"durable_name": "pushed", "deliver_subject": "nobody.listens"}),
    ("AAA", "hidden", {"deliver_subject": "nobody.listens", "direct": True, "inactive_threshold": 3600 * 10**9}),
    ("MEM", "pinned", {"durable_name": "pinned", "priority_policy": "pinned_client", "priority_groups": ["g"]}),
]
PATHS = [
    "/jsz", "/jsz?accounts=1", "/jsz?streams=true", "/jsz?streams=1&config=1", "/jsz?consumers=1", "/jsz?acc=A",
    "/jsz?acc=A&streams=1&config=1&raft=1", "/jsz?acc=B&streams=1", "/jsz?acc=C&streams=1", "/jsz?acc=SYS", "/jsz?acc=nobody",
    "/jsz?accounts=1&limit=1", "/jsz?accounts=1&limit=1&offset=1", "/jsz?accounts=1&offset=5&limit=-1",
    "/jsz?accounts=1&offset=-1", "/jsz?acc=A&offset=1", "/jsz?raft=1", "/jsz?leader-only=1", "/jsz?accounts=x", "/jsz?streams=x",
    "/jsz?consumers=x", "/jsz?config=x", "/jsz?raft=x", "/jsz?leader-only=x", "/jsz?direct-consumers=x",
    "/jsz?consumers=1&config=1", "/jsz?acc=A&consumers=1&direct-consumers=1", "/jsz?direct-consumers=1", "/jsz?acc=A&direct-consumers=1",
    "/jsz?acc=A&streams=1&direct-consumers=1",
    "/jsz?stream-leader-only=x", "/jsz?limit=x", "/jsz?offset=x", "/jsz?limit=x&accounts=x", "/varz",
    "/healthz?js-enabled-only=1", "/healthz?account=A", "/healthz?account=A&stream=ORDERS", "/healthz?account=A&stream=NO",
    "/healthz?account=A&stream=NO&details=1", "/healthz?account=C", "/healthz?account=NO&stream=X",
    "/healthz?account=NO&stream=X&details=1", "/healthz?account=SYS", "/healthz?js-server-only=1&account=NO",
    "/healthz?account=A&stream=ORDERS&consumer=billing", "/healthz?account=A&stream=AAA&consumer=hidden",
    "/healthz?account=A&stream=AAA&consumer=billing",
    "/healthz?account=A&stream=ORDERS&consumer=C", "/healthz?account=A&stream=ORDERS&consumer=C&details=1", "/accountz?acc=A",
    "/accountz?acc=C",
]  # fmt: skip


class Site:
    """A server: where clients connect, and its monitoring port."""

    def __init__(self, url: str, monitor: str) -> None:
        self.url = url
        self.monitor = monitor

    def get(self, path: str) -> tuple[int, Any]:
        """Return the status, and the JSON values or the text."""
        try:
            with urllib.request.urlopen(self.monitor + path, timeout=20) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            return error.code, json.loads(text) if text.startswith("{") else text

    def fill(self) -> None:
        """Do what the pages tell of."""
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        async with midge.connect(self.url) as nc:
            for config in CONFIGS:
                answer = json.loads((await nc.request(f"$JS.API.STREAM.CREATE.{config['name']}", json.dumps(config).encode())).data)
                assert "error" not in answer
            for stream, name, config in CONSUMERS:
                body = json.dumps({"stream_name": stream, "config": config}).encode()
                assert "error" not in json.loads((await nc.request(f"$JS.API.CONSUMER.CREATE.{stream}.{name}", body)).data)
            for subject in ("orders.x", "aaa.x", "aaa.y", "aaa.x", "mem.x"):
                await nc.request(subject, b"1234")
            await nc.request("$JS.API.STREAM.MSG.DELETE.AAA", b'{"seq": 2}')
            await nc.request("$JS.API.STREAM.CREATE.X", b"{")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    executable = need_nats_server()
    path = tmp_path_factory.mktemp("real")
    (path / "conf").write_text(CONFIGURATION % json.dumps(str(path / "store")))
    process = subprocess.Popen([executable, "-c", str(path / "conf")], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    ports: dict[str, str] = {}
    for line in process.stderr:
        for name, mark in (("monitor", "Starting http monitor on "), ("url", "Listening for client connections on ")):
            if mark in line:
                ports[name] = line.rpartition(mark)[2].strip()
        if "Server is ready" in line:
            break
    try:
        site = Site(f"nats://{ports['url']}", f"http://{ports['monitor']}")
        site.fill()
        yield site
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("ours")
    (path / "conf").write_text(CONFIGURATION % json.dumps(str(path / "store")))
    with midge.Server(config=path / "conf") as server:
        assert server.monitoring_url is not None
        site = Site(server.url, server.monitoring_url)
        site.fill()
        yield site


def comparable(value: Any) -> Any:
    """The values without what differs, as ordered pairs, because the order of fields counts, too; nats-server has no order of lists."""
    if isinstance(value, dict):
        for name in ("account_details", "stream_detail"):
            value.get(name, []).sort(key=itemgetter("name"))
        return [(name, comparable(each)) for name, each in value.items() if name not in DIFFERS | MISSING]
    return [comparable(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", PATHS)
def test_pages(real: Site, ours: Site, path: str) -> None:
    wanted, found = real.get(path), ours.get(path)
    if path == "/varz":
        wanted, found = (wanted[0], wanted[1]["jetstream"]), (found[0], found[1]["jetstream"])
    if path.startswith("/accountz"):
        wanted, found = [(status, body["account_detail"]["jetstream_enabled"]) for status, body in (wanted, found)]  # type: ignore[assignment]
    assert (found[0], comparable(found[1])) == (wanted[0], comparable(wanted[1]))


def test_without_jetstream(real: Site) -> None:
    executable = find_nats_server()
    assert executable is not None
    command = [executable, "-a", "127.0.0.1", "-p", "-1", "-m", "-1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, midge.Server(port=0, http_port=0) as server:
        try:
            assert process.stderr is not None and server.monitoring_url is not None
            line = next(line for line in process.stderr if "Starting http monitor on " in line)
            theirs = Site("", f"http://{line.rpartition(' ')[2].strip()}")
            mine = Site("", server.monitoring_url)
            for path in ("/jsz", "/jsz?accounts=1&streams=1", "/healthz?account=A&stream=X", "/healthz?js-enabled-only=1"):
                wanted, found = theirs.get(path), mine.get(path)
                assert (found[0], comparable(found[1])) == (wanted[0], comparable(wanted[1]))
        finally:
            process.terminate()


def test_how_it_syncs(tmp_path: Path) -> None:
    for sync, wanted in (("always", {"sync_always": True}), (1.5, {"sync_interval": 1_500_000_000}), ("os", {})):
        jetstream = midge.JetStreamOptions(sync_interval=sync)
        with midge.Server(port=0, http_port=0, store_dir=tmp_path, jetstream=jetstream) as server:
            assert server.monitoring_url is not None
            config = Site("", server.monitoring_url).get("/jsz")[1]["config"]
        assert {name: value for name, value in config.items() if name.startswith("sync_")} == wanted
        assert config["store_dir"] == str(tmp_path)
