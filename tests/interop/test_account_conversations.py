"""Clients of several accounts, against nats-server and against ours with the same configuration: both must say the same.

What must differ is levelled: the random parts of reply subjects, the numbers and times in what services and their owners are told of
who asks, and with them the sizes of those messages.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from account_configuration import accounts_conf
from account_conversations import CASES, REFUSED, WORLDS, Case
from conversations import connect_line
from servers import Address, Pairs, Starting, need_nats_server, running_nats_server
from trace_conversations import TRACE_CASES, TRACE_WORLDS
from trace_events import is_trace, level_trace
from transcript import Ending, Line, frame_end, reduce_info

import midge
from midge.server.options import ServerOptions

RANDOM = re.compile(rb"_R_\.\w{6}\.\w{6}(\.\w{8}\.T)?")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
VARYING = ("id", "rtt", "server", "service", "system", "total")
OVER = 0.2  # seconds: more than twice the threshold of the services that are asked too late


@contextmanager
def our_server(options: dict[str, Any]) -> Iterator[Address]:
    with midge.Server(host="127.0.0.1", port=0, **options) as server:
        yield server.host, server.port


def both_servers(world: str) -> tuple[Starting, Starting]:
    options = (WORLDS | TRACE_WORLDS)[world]
    limits = "".join(f"{name}: {options[name]}\n" for name in ("max_payload", "max_subscriptions") if name in options)
    return running_nats_server(limits + accounts_conf(ServerOptions(**options))), our_server(options)


@pytest.fixture(scope="module")
def servers() -> Iterator[Pairs[str]]:
    need_nats_server()
    with ExitStack() as stack:
        yield Pairs(stack, both_servers)


def play(case: Case, address: Address) -> dict[str, list[bytes | Ending]]:
    """Play a case and return what every connection heard."""
    lines: dict[str, Line] = {}
    try:
        for step in case.steps:
            who, _, commands = step.partition("| ")
            if who not in lines:
                lines[who] = greet(who, case.fields.get(who, {}), address)
            perform(lines[who], commands)
        for line in lines.values():
            if line.ending is None:
                line.sync(b"PING\r\n", 1)
        for line in lines.values():
            line.finish()
    finally:
        for line in lines.values():
            line.socket.close()
    return {who: [*normalise(bytes(line.received)), line.ending or Ending.SILENT] for who, line in lines.items()}


def greet(who: str, fields: dict[str, Any], address: Address) -> Line:
    line = Line(*address)
    user = {} if who == "g" else {"user": who.rstrip("0123456789"), "pass": "p"}
    # By itself: nats-server maps nothing that comes in one read with a CONNECT.
    line.sync(connect_line(**({"headers": True, "no_responders": True, "protocol": 1} | user | fields)) + b"PING\r\n", 1)
    return line


def perform(line: Line, commands: str) -> None:
    """Send the commands of one step and wait for the answers."""
    data = b""
    if "ANS" in commands:
        line.sync(b"PING\r\n", 1)  # the request has to be read before it can be answered
    for command in commands.split("; "):
        verb, _, rest = command.partition(" ")
        if verb == "FRAMES":
            line.wait_for_frames(int(rest))
        elif verb == "WAIT":
            time.sleep(OVER)  # a threshold has to pass on nats-server's own clock
        elif verb == "RAW":
            data += rest.replace("\\r\\n", "\r\n").encode()
        elif verb:
            data += encode(line, verb, rest)
    if line.ending is None:
        line.sync(data + b"PING\r\n", 1)


def encode(line: Line, verb: str, rest: str) -> bytes:
    if not rest.startswith("=") and "=" not in rest:
        return f"{verb} {rest}\r\n".encode()
    head, _, text = rest.partition("=")
    words, payload = head.split(), text.encode()
    if "ANS" in verb:
        which = int(verb.lstrip("HANS") or "1")
        words.insert(0, reply_of(bytes(line.received), which))
        verb = "HPUB" if verb.startswith("H") else "PUB"
    if verb == "PUB":
        return " ".join(["PUB", *words, str(len(payload))]).encode() + b"\r\n" + payload + b"\r\n"
    names = [word for word in words if ":" not in word]
    header = "NATS/1.0\r\n" + "".join(f"{word}\r\n" for word in words if ":" in word and word not in names) + "\r\n"
    sizes = [str(len(header)), str(len(header) + len(payload))]
    return " ".join(["HPUB", *names, *sizes]).encode() + b"\r\n" + header.encode() + payload + b"\r\n"


def reply_of(received: bytes, which: int) -> str:
    found = [match[0].decode() for line in received.split(b"\r\n") if b"MSG " in line[:5] for match in [RANDOM.search(line)] if match]
    assert len(found) >= which, "nothing was asked"
    return found[-which]


def normalise(data: bytes) -> list[bytes]:
    """The frames of one connection; neighbours that are messages in the order of their bytes, since nats-server walks maps."""
    frames, start = [], 0
    while (end := frame_end(data, start)) >= 0:
        frames.append(level(data[start:end]))
        start = end
    sorted_frames: list[bytes] = []
    run: list[bytes] = []
    for frame in [*frames, data[start:]]:
        if b"MSG " in frame[:5]:
            run.append(frame)
            continue
        sorted_frames += [*sorted(run), frame]
        run = []
    return [*sorted_frames, *sorted(run)]


def level(frame: bytes) -> bytes:
    """A frame without what must differ."""
    if frame.startswith(b"INFO "):
        return reduce_info(frame)
    frame = RANDOM.sub(lambda found: b"_R_.random" + (b".T" if found[1] else b""), frame)
    head, _, body = frame.partition(b"\r\n")
    if b"Nats-Request-Info" in body:
        words = head.split(b" ")
        size = int(words[-2])
        start, colon, rest = body[: size - 4].partition(b"Nats-Request-Info: ")
        value, _, behind = rest.partition(b"\r\n")
        told = b"" if not value.startswith(b'{"') else json.dumps(reduce(json.loads(value))).encode()
        return b" ".join(words[:-2]) + b"\r\n" + start + colon + (told or value) + b"\r\n" + behind + body[size - 4 :]
    if is_trace(body):
        return level_trace(frame)
    if b"io.nats.server.metric" in body:
        return head.rpartition(b" ")[0].rstrip() + b"\r\n" + json.dumps(reduce(json.loads(body))).encode()
    return frame


def reduce(value: Any, name: str = "") -> Any:
    """JSON with what varies as the name of its type. The order of its keys counts."""
    if isinstance(value, dict):
        return {key: reduce(each, key) for key, each in value.items() if key != "rtt"}  # 0 is left out, and may be 0 for one
    if name in VARYING:
        return type(value).__name__
    return TIME.sub("time", value) if isinstance(value, str) else value


@pytest.mark.parametrize("case", CASES + TRACE_CASES, ids=lambda case: f"{case.world}: {case.name}")
def test_both_servers_say_the_same(case: Case, servers: Pairs[str]) -> None:
    real, ours = servers.pair(case.world)
    expected = play(case, real)
    assert Ending.SILENT not in [heard[-1] for heard in expected.values()], expected
    got = play(case, ours)
    for who, heard in expected.items():
        assert got[who] == heard, who


def test_names_are_unique() -> None:
    assert len({(case.world, case.name) for case in CASES + TRACE_CASES}) == len(CASES + TRACE_CASES) >= 80


@pytest.mark.parametrize("accounts", REFUSED.values(), ids=list(REFUSED))
def test_both_refuse_it_in_the_same_words(accounts: Any, tmp_path: Path) -> None:
    executable = need_nats_server()
    options = ServerOptions.__new__(ServerOptions)  # what may not be made, to be written down all the same
    for name, value in {"accounts": accounts, "users": (), "mappings": {}, "system_account": "$SYS"}.items():
        object.__setattr__(options, name, value)
    (tmp_path / "nats.conf").write_text(accounts_conf(options))
    command = [executable, "-t", "-c", str(tmp_path / "nats.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=tmp_path)
    try:
        ServerOptions(accounts=accounts)
    except ValueError as error:
        assert done.returncode == 1, str(error)
        text = str(error)
        if "cycle" in text:  # which of its imports is the last is a matter of nats-server's maps
            text = text.rpartition('": ')[2]
        assert text in done.stderr
    else:
        assert done.returncode == 0, done.stderr
