"""server.jetstream: the engine in a running server: what outlives a restart and a reload, what is in INFO, and who has to wait for whom."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import Raw, ask, until

import midge
from midge.errors import ServerStartError, StoreLockedError
from midge.link import reactor
from midge.server import jetstream as module
from midge.server.access import User
from midge.server.account_options import AccountOptions, Export, Import
from midge.server.damage_log import DamageLog
from midge.server.jetstream_options import AccountJetStream, JetStreamLimits, JetStreamOptions
from midge.server.options import ServerOptions
from midge.server.sending import WORK
from midge.server.server import Server
from midge.store import log
from midge.store.recovery import Damage

OPEN: list[Raw] = []


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


class Client:
    """Asks, and waits for the answer."""

    def __init__(self, server: Server, **fields: object) -> None:
        self.raw = Raw(server, headers=True, no_responders=True, **fields)
        OPEN.append(self.raw)
        self.raw.send(b"SUB R 1\r\n")

    def line(self) -> bytes:
        """Read one line that is no PING: the server's first comes two seconds after CONNECT, and a busy machine may take as long."""
        while (line := self.raw.line()) == b"PING":
            pass
        return line

    def ask(self, subject: str, payload: bytes = b"") -> bytes:
        self.raw.send(f"PUB {subject} R {len(payload)}\r\n".encode() + payload + b"\r\n")
        while not (line := self.line()).startswith((b"MSG", b"HMSG")):
            assert not line.startswith(b"-ERR"), line
        return self.raw.take(int(line.split()[-1]) + 2)[:-2]

    def batch(self, lines: str) -> bytes:
        """Publish a message with these header lines."""
        block = f"NATS/1.0\r\n{lines}\r\n".encode()
        self.raw.send(b"HPUB s.a R %d %d\r\n%b\r\n" % (len(block), len(block), block))
        line = self.line()
        return self.raw.take(int(line.split()[-1]) + 2)[:-2]

    def api(self, subject: str, **body: object) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.ask(f"$JS.API.{subject}", json.dumps(body).encode() if body else b""))
        return found

    def create(self, name: str = "S", **config: object) -> dict[str, object]:
        return self.api(f"STREAM.CREATE.{name}", **{"name": name, "subjects": ["s.>"]} | config)


def test_info_says_so() -> None:
    with Server(port=0, jetstream=JetStreamOptions(domain="hub")) as server:
        info = Client(server).raw.info
        assert (info["jetstream"], info["domain"], info["api_lvl"]) == (True, "hub", 5)
    with Server(port=0) as server:
        assert not {"jetstream", "domain", "api_lvl"} & Client(server).raw.info.keys()


def test_the_log_says_where_streams_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "midge.server"), Server(port=0, store_dir=tmp_path):
        pass
    assert "Starting JetStream" in caplog.messages
    assert f'  Store Directory: "{tmp_path}"' in caplog.messages
    assert "  API Level:       5" in caplog.messages and "  Max Memory:      " in caplog.text
    assert re.search(r"Took [0-9.]+(µ|m)?s to start JetStream", caplog.text)
    assert caplog.messages[-4:] == ["Initiating Shutdown...", "Initiating JetStream Shutdown...", "JetStream Shutdown", "Server Exiting.."]


def test_the_log_says_what_is_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once, however often it is found; behind a clean stop, when it is read, which what ids may be known by is at the start."""
    with Server(port=0, store_dir=tmp_path) as server:
        client = Client(server)
        client.create(allow_direct=True)
        for _ in range(3):
            client.ask("s.a", b"payload")
    (segment,) = tmp_path.glob("streams/*/*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"payload")] ^= 1
    segment.write_bytes(data)
    line = f"JetStream found damage: {segment} at byte 128: a message is not what was written: message 1 is lost (kept as {tmp_path}"
    with caplog.at_level("ERROR", "midge.server"), Server(port=0, store_dir=tmp_path) as server:
        Client(server).api("STREAM.MSG.GET.S", seq=1)
        until(server, lambda: caplog.messages)  # it is told when its bytes are kept
        assert [message.startswith(line) for message in caplog.messages] == [True]
    caplog.clear()
    segment.with_suffix(".idx").unlink()
    with caplog.at_level("ERROR", "midge.server"), Server(port=0, store_dir=tmp_path):
        line = line.replace("a message is not what was written", "this is no record")
        assert [message.startswith(line) for message in caplog.messages] == [True]


def test_the_log_of_much_damage_is_short(caplog: pytest.LogCaptureFixture) -> None:
    found: list[Damage] = []
    damages = DamageLog(found)
    with caplog.at_level("ERROR", "midge.server"):
        damages.tell(0.0)
        for at in range(19):
            found.append(Damage("f", at, 0, -1, "why", ""))
        damages.tell(1.0)
        assert len(caplog.messages) == 19 and caplog.messages[1] == "JetStream found damage: f at byte 1: why"
        found += 500 * [Damage("f", 1, 2, 3, "why", "k")]
        damages.tell(2.0)
        assert caplog.messages[19:] == [
            "JetStream found damage: f at byte 1: why: messages 2 to 3 are lost (kept as k)",
            "JetStream found more damage, 499 times and counting: midge check tells all of it",
        ]
        found += 500 * [Damage("f", 1, 2, 3, "why", "k")]
        damages.tell(3.0)
        assert len(caplog.messages) == 21
        found.append(Damage("f", 1, 2, 3, "why", "k"))
        damages.tell(70.0)
        assert len(caplog.messages) == 22


def test_without_jetstream_nobody_answers() -> None:
    with Server(port=0) as server:
        assert Client(server).ask("$JS.API.INFO").startswith(b"NATS/1.0 503")


def test_what_was_acked_is_there_again(tmp_path: Path) -> None:
    with Server(port=0, store_dir=tmp_path) as server:
        client = Client(server)
        assert client.create()["did_create"]
        assert client.ask("s.a", b"one") == b'{"stream":"S","seq":1}'
    with Server(port=0, store_dir=tmp_path) as server:
        client = Client(server)
        assert client.ask("s.a", b"two") == b'{"stream":"S","seq":2}'
        assert client.api("STREAM.MSG.GET.S", seq=1)["message"]["data"] == "b25l"  # type: ignore[index]


def rounds_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The last sequence of each round that one chunk of 600 messages is written in, where each turn takes a slice of it."""
    found: list[int] = []

    class Noted(log.Round):
        def run(self) -> None:
            if sum(part.stop - part.start for part in self.parts) > 0:
                found.append(self.last)
            super().run()

    with Server(port=0, jetstream=JetStreamOptions(), store_dir=str(tmp_path)) as server:
        client = Client(server)
        client.create()
        assert server._jetstream is not None
        workers = server._jetstream._directory._workers
        until(server, lambda: workers._under_way == 0)  # when something is written, what has come meanwhile is next
        monkeypatch.setattr(log, "Round", Noted)
        monkeypatch.setattr(reactor, "SLICE", 0.0)
        chunk = b"PUB s.a 1\r\nx\r\n" * 599 + b"PUB s.a R 1\r\nx\r\n"
        ask(server, lambda: client.raw.send(chunk))
        assert client.line().startswith(b"MSG R")
    return found


def test_a_round_waits_for_the_rest_of_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER", 1e6)
    assert rounds_of(tmp_path, monkeypatch) == [600]


def test_but_not_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER", 0.0)
    found = rounds_of(tmp_path, monkeypatch)
    assert len(found) > 1 and found[0] <= 2 * WORK // module.WORK_MESSAGE and found[-1] == 600


def test_a_directory_has_one_server(tmp_path: Path) -> None:
    with Server(port=0, store_dir=tmp_path):
        with pytest.raises((StoreLockedError, ServerStartError)):
            Server(port=0, store_dir=tmp_path).start_thread()
    with Server(port=0, store_dir=tmp_path):
        pass


def test_files_need_a_directory() -> None:
    with Server(port=0, jetstream=True) as server:
        client = Client(server)
        assert "store_dir" in str(client.create()["error"])
        assert client.create(storage="memory")["did_create"]


def test_messages_expire_though_nothing_else_happens() -> None:
    with Server(port=0, jetstream=True) as server:
        client = Client(server)
        client.create(storage="memory", max_age=100_000_000)
        client.ask("s.a")
        until(server, lambda: server._jetstream.engine.accounts["$G"].streams["S"].store.messages == 0)  # type: ignore[union-attr]


def test_accounts_have_streams_of_their_own_and_some_have_none() -> None:
    accounts = (AccountOptions(name="A", jetstream=AccountJetStream(max_streams=1)), AccountOptions(name="B", jetstream=AccountJetStream()),
                AccountOptions(name="C"))  # fmt: skip
    users = tuple(User(user=name.lower(), password="x", account=name) for name in "ABC")
    with Server(ServerOptions(port=0, jetstream=True, accounts=accounts, users=users)) as server:  # type: ignore[arg-type]
        a, b, c = (Client(server, user=name, **{"pass": "x"}) for name in "abc")
        assert a.create(storage="memory")["did_create"] and b.create(storage="memory")["did_create"]
        assert a.ask("s.a") == b.ask("s.a") == b'{"stream":"S","seq":1}'
        assert a.create("T", subjects=["t"], storage="memory")["error"]["err_code"] == 10027  # type: ignore[index]
        assert c.api("INFO")["error"]["err_code"] == 10039  # type: ignore[index]
        assert c.ask("s.a").startswith(b"NATS/1.0 503")


def test_an_account_that_imports_the_api_has_one_answer() -> None:
    """As with nats-server: where the import leaves the question for the account's information alone, it is told that there is nothing."""

    def options(imported: str) -> ServerOptions:
        export = Export(kind="service", subject="$JS.API.>")
        mine = AccountOptions(name="A", jetstream=AccountJetStream(), exports=(export,))
        other = AccountOptions(name="B", imports=(Import(kind="service", account="A", subject=imported),))
        return ServerOptions(port=0, jetstream=True, accounts=(mine, other), users=(User(user="b", password="x", account="B"),))  # type: ignore[arg-type]

    with Server(options("$JS.API.>")) as server:
        client = Client(server, user="b", **{"pass": "x"})
        kinds = ("INFO", "STREAM.NAMES", "STREAM.LIST", "INFO")
        found = [client.api(kind) for kind in kinds]
        assert not any("error" in each for each in found)
        assert [str(each["type"]).split(".")[-1] for each in found] == [
            "account_info_response", "stream_names_response", "stream_list_response", "account_info_response",
        ]  # fmt: skip
        server.reload(options("$JS.API.STREAM.>"))
        client = Client(server, user="b", **{"pass": "x"})
        assert client.api("INFO")["error"]["err_code"] == 10039  # type: ignore[index]


def test_streams_go_on_after_a_reload() -> None:
    def options(streams: int, *more: AccountOptions) -> ServerOptions:
        mine = AccountOptions(name="A", jetstream=AccountJetStream(max_streams=streams))
        users = (User(user="a", password="x", account="A"),)
        return ServerOptions(port=0, jetstream=True, accounts=(mine, *more), users=users)  # type: ignore[arg-type]

    with Server(options(1)) as server:
        client = Client(server, user="a", **{"pass": "x"})
        client.create(storage="memory")
        client.ask("s.a")
        server.reload(options(2, AccountOptions(name="B", jetstream=AccountJetStream())))
        assert client.ask("s.a") == b'{"stream":"S","seq":2}'
        assert client.create("T", subjects=["t"], storage="memory")["did_create"]
        server.reload(options(2))
        assert client.ask("t") == b'{"stream":"T","seq":1}'
        assert set(server._jetstream.engine.accounts) == {"A", "$G"}  # type: ignore[union-attr]


def test_a_client_of_the_same_process() -> None:
    async def run() -> bytes:
        async with midge.Server(listen=False, jetstream=True) as server, midge.connect(server) as client:
            body = b'{"name":"S","subjects":["s"],"storage":"memory"}'
            await client.request("$JS.API.STREAM.CREATE.S", body)
            return bytes((await client.request("s", b"x")).data)

    assert asyncio.run(run()) == b'{"stream":"S","seq":1}'


def test_what_fails_in_jetstream_holds_up_no_core_message(caplog: pytest.LogCaptureFixture) -> None:
    with Server(port=0, jetstream=True) as server:
        client = Client(server)
        client.create(subjects=["s"], storage="memory")
        jetstream = server._running().jetstream
        works = jetstream.engine.step

        def fail(wall: int) -> bool:
            raise RuntimeError("no")

        jetstream.engine.step = fail
        client.raw.send(b"SUB core 2\r\n")
        for _ in range(3):
            client.raw.send(b"PUB core 1\r\nx\r\nPUB s 1\r\nx\r\n")
            assert client.line().startswith(b"MSG core 2 1")
            assert client.line() == b"x"
        assert [record.message for record in caplog.records if "JetStream failed" in record.message] == [
            "JetStream failed at the end of a turn: no"
        ]
        jetstream.engine.step = works
        assert json.loads(client.ask("s", b"x"))["seq"] == 4


def test_the_limits_of_batches_are_the_options() -> None:
    limits = JetStreamLimits(max_batch_inflight_per_stream=1, max_batch_inflight_total=2, max_batch_size=3, max_batch_timeout=0.5)
    with Server(port=0, jetstream=JetStreamOptions(limits=limits)) as server:
        client = Client(server)
        client.create(storage="memory", allow_atomic=True, allow_batched=True)
        answers = [
            client.batch(f"Nats-Batch-Id: {id}\r\nNats-Batch-Sequence: {number}\r\n") for id, number in (("1", 1), ("2", 1), ("3", 4))
        ]
        assert answers[0] == b"" and b'"err_code":10210' in answers[1] and b"batch is too large: 3" in answers[2]
        while client.batch("Nats-Batch-Id: 2\r\nNats-Batch-Sequence: 1\r\n"):
            pass  # until the first one is over


def test_the_engine_is_told_who_listens_also_after_a_reload() -> None:
    options = ServerOptions(port=0, jetstream=True)  # type: ignore[arg-type]

    async def run() -> None:
        async with midge.Server(options) as server, midge.connect(server) as client:
            jetstream = server._jetstream
            assert jetstream is not None
            told: list[bool] = []
            grouped: list[bool] = []
            eye = jetstream.watch("$G", b"d", None, told.append)
            jetstream.watch("$G", b"d", b"g", grouped.append)
            assert not eye.interested
            subscription = await client.subscribe("d")
            assert (told, grouped, eye.interested) == ([True], [], True)
            before = server._running().hub.accounts["$G"]
            server.reload(ServerOptions(port=0, jetstream=True, accounts=(AccountOptions(name="B"),)))  # type: ignore[arg-type]
            assert server._running().hub.accounts["$G"] is not before
            assert (told[-1], eye.interested) == (True, True)  # in between it may be told that nobody does
            await subscription.unsubscribe()
            await client.flush()
            assert (told[-1], eye.interested) == (False, False)
            await client.subscribe("d", queue="g")
            assert (told[-1], grouped) == (False, [True])
            jetstream.unwatch(eye)
            await client.subscribe("d")
            assert not told[-1]

    asyncio.run(run())


@pytest.mark.parametrize("inbox", ["$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.MSG.NEXT.S.C", "$JS.FC.S.C.x", "$JS.API.DIRECT.GET.S"])
def test_messages_that_are_asked_for_to_the_servers_own_subjects_are_no_requests(inbox: str, caplog: pytest.LogCaptureFixture) -> None:
    with Server(port=0, jetstream=True) as server:
        client = Client(server)
        client.create(storage="memory", allow_direct=True, subjects=["one", "s.>"])
        client.api("CONSUMER.CREATE.S.C", stream_name="S", config={"name": "C", "ack_policy": "none"})
        for subject in ("one", "s.a"):
            client.ask(subject)
        asked = b'{"batch":1000,"no_wait":true}'
        client.raw.sync(b"PUB $JS.API.CONSUMER.MSG.NEXT.S.C %b %d\r\n%b\r\n" % (inbox.encode(), len(asked), asked))
        until(server, lambda: server._jetstream.engine.accounts["$G"].streams["S"].consumers["C"].target.waiting == 0)  # type: ignore[union-attr]
        assert client.api("CONSUMER.INFO.S.C")["delivered"]["consumer_seq"] == 0  # type: ignore[index]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_log_of_many_failures_is_short(caplog: pytest.LogCaptureFixture) -> None:
    with Server(port=0, jetstream=True) as server:
        jetstream = server._jetstream
        assert jetstream is not None
        for number in range(5_000):
            jetstream.failed(f"reading messages of stream {number}", OSError("no"))
        assert len(caplog.messages) == 101
        assert caplog.messages[-1] == "JetStream failed in more than 100 other ways: no more of them are logged for now"


@pytest.mark.parametrize("step", [-3_600, 3_600])
def test_requests_wait_as_long_as_they_say_when_the_clock_was_set(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(port=0, jetstream=True) as server:
        client = Client(server)
        client.create(storage="memory")
        client.api("CONSUMER.CREATE.S.C", stream_name="S", config={"name": "C", "durable_name": "C", "ack_policy": "explicit"})
        now, wall = time.time, time.time_ns
        monkeypatch.setattr("midge.server.jetstream.time_ns", lambda: wall() + step * 1_000_000_000)
        monkeypatch.setattr("midge.server.turns.wall_clock", lambda: now() + step)
        for _ in range(2):
            begun = time.monotonic()
            answer = client.ask("$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":1,"expires":300000000}')
            assert answer.startswith(b"NATS/1.0 408")
            assert 0.25 < time.monotonic() - begun < 10


def test_who_waits_for_messages_is_told_that_the_server_shuts_down(tmp_path: Path) -> None:
    with Server(port=0, store_dir=tmp_path) as server:
        client = Client(server)
        client.create()
        client.api("CONSUMER.CREATE.S.C", stream_name="S", config={"name": "C", "inactive_threshold": 60_000_000_000})
        client.raw.send(b'PUB $JS.API.CONSUMER.MSG.NEXT.S.C R 36\r\n{"batch":10,"expires":60000000000}  \r\nPING\r\n')
        assert client.raw.line() == b"PONG"
    assert client.raw.line().startswith(b"HMSG R 1 ")
    assert client.raw.take(84).startswith(b"NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 10\r\n")


@pytest.mark.parametrize("step", [-86_400, 86_400])
def test_a_request_that_waits_while_the_clock_is_set_ends_in_time(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(port=0, jetstream=True) as server:
        client = Client(server)
        client.create(storage="memory")
        client.api("CONSUMER.CREATE.S.C", stream_name="S", config={"name": "C", "durable_name": "C", "ack_policy": "explicit"})
        now, wall, begun = time.time, time.time_ns, time.monotonic()

        def shift() -> int:
            return step if time.monotonic() > begun + 0.1 else 0

        monkeypatch.setattr("midge.server.jetstream.time_ns", lambda: wall() + shift() * 1_000_000_000)
        monkeypatch.setattr("midge.server.turns.wall_clock", lambda: now() + shift())
        answer = client.ask("$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":1,"expires":500000000}')
        assert answer.startswith(b"NATS/1.0 408")
        assert 0.45 < time.monotonic() - begun < 10
