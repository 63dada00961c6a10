"""A server that answers the JetStream API with what makes no sense, or with what would do something to a terminal."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from commands import Cli

import midge

EVIL = "\x1b[31mEVIL\x1b]0;title\x07\x9b31m\u202e\r\n\x00\x08"
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
DESCRIPTION = {
    "config": {"name": EVIL, "subjects": [EVIL], "metadata": {EVIL: EVIL}, "storage": EVIL, EVIL: {EVIL: [EVIL]}},
    "state": {"messages": 10**18, "bytes": -5, "first_seq": -1, "last_seq": 3},
    "cluster": {"name": EVIL, "leader": EVIL, "replicas": [{"name": EVIL}]},
    "sources": [{"name": EVIL, "error": {"description": EVIL}}],
}
ANSWERS: dict[str, Any] = {
    "nothing": {},
    "kinds": {
        "config": [], "state": 3, "streams": {"a": 1}, "consumers": 5, "name": 5, "purged": "x", "limits": [], "api": 3, "tiers": 5,
        "total": "x", "deliver_subject": 5,
    },
    "within": {"config": {"name": "S"}, "state": {"messages": "x"}, "cluster": {"replicas": [3]}, "streams": [3], "consumers": [[]]},
    "the same page for ever": {
        "config": {"name": "S"}, "state": {"messages": 1, "bytes": 1, "first_seq": 1, "last_seq": 1, "subjects": {"a": 1}}, "total": 10**9,
        "streams": [{"config": {"name": "S"}, "state": {"messages": 1, "bytes": 1}}],
        "consumers": [{"name": "C", "stream_name": "S", "config": {}}],
    },
    "an error": {"error": {"code": 500, "err_code": 10000, "description": EVIL}},
    "escapes": DESCRIPTION | {
        "name": EVIL, "stream_name": EVIL, "streams": [DESCRIPTION, EVIL], "priority_groups": [{"group": EVIL, "pinned_client_id": EVIL}],
        "consumers": [{"name": EVIL, "stream_name": EVIL, "config": {"deliver_subject": EVIL}}], "domain": EVIL, "tiers": {EVIL: {}},
    },
}  # fmt: skip
COMMANDS = (
    """
stream list|stream info S|stream state S|stream subjects S|stream add S|stream edit S --max-age 1d -f|stream purge S -f|stream rm S -f
stream seal S -f|stream get S 1|stream restore B|consumer list S|consumer info S C|consumer add S C|consumer edit S C --wait 5s -f
consumer pause S C 1h -f|consumer reset S C -f|kv list|kv info B|object list|object info B|account info|stream copy S T --to-server URL
bench js pub --msgs 2 --no-progress
""".strip()
    .replace("\n", "|")
    .split("|")
)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Where it is, and what it answers."""
    answer: dict[str, bytes] = {}
    ready, done = threading.Event(), threading.Event()

    async def serve(url: str) -> None:
        async with midge.connect(url) as nc:
            await nc.subscribe("$JS.API.>", callback=lambda message: message.respond(answer["now"]))
            await nc.flush()
            ready.set()
            await asyncio.to_thread(done.wait)

    with midge.Server(port=0) as server:
        thread = threading.Thread(target=lambda: asyncio.run(serve(server.url)))
        thread.start()
        try:
            assert ready.wait(10)
            yield server.url, answer
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_one_line_or_what_a_terminal_can_bear(
    server: tuple[str, dict[str, bytes]],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    answer: str,
) -> None:
    url, answers = server
    answers["now"] = json.dumps(ANSWERS[answer]).encode()
    (tmp_path / "backup.json").write_text('{"config": {"name": "S"}, "state": {}}')
    (tmp_path / "stream.arc.s2").write_bytes(b"x")
    monkeypatch.setenv("NATS_URL", url)
    words = [{"B": str(tmp_path), "URL": url}.get(word, word) if word != "B" or "restore" in command else word for word in command.split()]
    cli = Cli(url, capfd)
    for more in ([], ["--json"]):
        capfd.readouterr()
        code = cli.code(*words, "--timeout", "1", *more)
        out, err = capfd.readouterr()
        assert code in (0, 1) and not BAD.search(out + err), (out, err)
        assert err.count("\n") == code == err.count("midge: "), err
