"""``midge bench`` and ``midge demo``: every kind ends, with figures that add up; the demo holds what it claims, or says so."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from processes import COMMAND, Run, Spawn, environment
from rich.console import Console

import midge as package
from midge.cli import demo as demo_module
from midge.cli import main
from midge.cli.bench import percentile
from midge.cli.server_process import ServerProcess
from midge.cli.target import run_async
from midge.cli.version import NOT_COMPILED

NOTICE = "" if package.compiled else f"midge: {NOT_COMPILED}\n"


def figures(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out)
    for one in found["results"] + found["totals"]:
        assert one["msgs_per_second"] == pytest.approx(one["msgs"] / one["seconds"], rel=0.05)
    return found


@pytest.mark.parametrize(
    ("kind", "msgs", "totals"),
    [
        ("pub", [4, 3, 3], [10]),
        ("pubsub", [4, 3, 3, 10, 10, 10], [10, 30]),
        ("request", [4, 3, 3], [10]),
    ],
)
def test_json_of_an_embedded_server(capsys: pytest.CaptureFixture[str], kind: str, msgs: list[int], totals: list[int]) -> None:
    assert main(["bench", kind, "--embedded", "--json", "--msgs", "10", "--clients", "3", "--size", "0"]) == 0
    out, err = capsys.readouterr()
    found = figures(out)
    assert err == NOTICE and (found["kind"], found["msgs"], found["size"], found["clients"]) == (kind, 10, 0, 3)
    assert [one["msgs"] for one in found["results"]] == msgs
    assert [one["msgs"] for one in found["totals"]] == totals
    assert all(set(one["latency_seconds"]) == {"p50", "p90", "p99"} for one in found["results"] if kind == "request")


@pytest.mark.parametrize("kind", ["pub", "pubsub", "request"])
def test_the_table(capsys: pytest.CaptureFixture[str], server: str, kind: str) -> None:
    assert main(["bench", kind, "foo", "--msgs", "2000", "--clients", "2", "-s", server]) == 0
    out, err = capsys.readouterr()
    assert err == NOTICE
    assert out.startswith(f'{kind}: 2,000 messages of 128 bytes on "foo"\n')
    for word in ["msgs/s", "bytes/s", "all 2 ", *(["p50", "p90", "p99"] if kind == "request" else [])]:
        assert word in out


def test_more_clients_than_messages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "request", "--embedded", "--msgs", "1", "--clients", "2"]) == 0
    assert "requester 2" in capsys.readouterr().out


def test_sub_takes_what_another_process_publishes(spawn: Spawn, midge: Run, server: str) -> None:
    sub = spawn("bench", "sub", "foo", "--msgs", "5", "--json", NATS_URL=server)
    assert sub.line("stderr") == 'Waiting for 5 messages on "foo"\n'
    assert midge("pub", "foo", "x", "--count", "5", NATS_URL=server).returncode == 0
    code, out, err = sub.end()
    assert (code, err) == (0, NOTICE) and figures(out)["results"][0]["msgs"] == 5


def test_a_server_that_goes_away(spawn: Spawn) -> None:
    with package.Server(port=0) as server:
        child = spawn("bench", "pub", "foo", "--msgs", "1000000000", NATS_URL=server.url)
        sub = spawn("sub", "foo", "--count", "1", NATS_URL=server.url)
        assert sub.end()[0] == 0
    code, out, err = child.end()
    assert (code, out) == (1, "") and err.startswith("midge: ") and len(err.splitlines()) == 1


def test_requests_that_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "request", "foo", "--embedded", "--no-responder", "--msgs", "1"]) == 1
    assert capsys.readouterr().err == "midge: no responders on 'foo'\n"


def test_one_of_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "pub", "foo", "--embedded", "--msgs", "1", "--size", "1"]) == 0
    assert capsys.readouterr().out.startswith('pub: 1 message of 1 byte on "foo"\n')


def test_what_is_not_compiled_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for compiled in (True, False):
        monkeypatch.setattr(package, "compiled", compiled)
        assert main(["bench", "pub", "--embedded", "--msgs", "1"]) == 0
        assert capsys.readouterr().err == ("" if compiled else f"midge: {NOT_COMPILED}\n")
        monkeypatch.setattr(demo_module, "COUNT", 10)
        monkeypatch.setattr(demo_module, "ACKS", 10)
        assert main(["demo"]) == 0
        assert (NOT_COMPILED in capsys.readouterr().out) is not compiled


def test_percentile() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert percentile([7.0], 50) == 7


def test_demo(midge: Run) -> None:
    result = midge("demo")
    lines = result.stdout.decode().splitlines()
    assert (result.returncode, result.stderr) == (0, b"")
    assert sum(line.startswith("  ✓ ") for line in lines) == 9 and not [line for line in lines if "✗" in line]
    assert '    sub = await nc.subscribe("orders.*.new")' in lines  # the code that ran
    assert ("docs/performance.md" if package.compiled else NOT_COMPILED) in lines[-3]


def test_the_demo_fits_on_a_terminal_of_80_by_24(spawn: Spawn) -> None:
    """No line is wider than the terminal, and the prompt that follows is on the same page as the first line."""
    main_end, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = environment({"TERM": "xterm", "LANG": "C.UTF-8"})
    del env["COLUMNS"]
    with subprocess.Popen([*COMMAND, "demo"], stdin=terminal, stdout=terminal, stderr=terminal, env=env) as child:
        os.close(terminal)
        shown = b"".join(iter(partial(read_terminal, main_end), b"")).decode()
        os.close(main_end)
    assert child.returncode == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert "\x1b[" in shown and max(map(len, lines)) <= 80 and len(lines) <= 23


def read_terminal(descriptor: int) -> bytes:
    """What a terminal shows next; nothing when its program has ended, which Linux calls an error."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_a_demo_that_does_not_hold_says_which(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "_JOBS", 0)  # no job is ever done: the part runs out of patience
    monkeypatch.setattr(demo_module, "_PATIENCE", 1.0)
    monkeypatch.setattr(demo_module, "_MATCHING", ("orders.eu.new",))
    monkeypatch.setattr(demo_module, "COUNT", 10)
    monkeypatch.setattr(demo_module, "ACKS", 10)
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert out.count("✗") == 2 and "2 of the claims did not hold." in out
    assert err == (
        "midge: the demo failed: got orders.eu.new; not orders.us.new, not orders.eu.paid, not invoices.eu.new; "
        "queue group: it took too long\n"
    )


def test_a_demo_goes_on_where_a_part_fails() -> None:
    with package.Server(port=0) as server:
        console = Console(quiet=True)
        show = demo_module.Demo(server, console)
        server.__exit__()
        run_async(show.run())
    assert len(show.failures) == 8


def test_a_demo_that_misses_an_acked_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stored(nc: package.Client, sequence: int) -> tuple[int, bytes]:
        return sequence, b"" if sequence == 5 else (await read(nc, sequence))[1]

    read = demo_module._stored
    monkeypatch.setattr(demo_module, "_stored", stored)
    monkeypatch.setattr(demo_module, "ACKS", 10)
    failures: list[str] = []

    async def run() -> None:
        async with package.Server(port=0) as server, package.connect(server) as nc:
            show = demo_module.Demo(server, Console(quiet=True))
            await show._killed(nc)
            failures.extend(show.failures)

    run_async(run())
    assert ["acked; its process was killed" in failure for failure in failures] == [True]


def test_a_server_process_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def run() -> None:
        async with ServerProcess(str(tmp_path / "file" / "store")):
            pass

    with pytest.raises(package.ServerStartError, match="storage directory is not a directory"):
        run_async(run())
