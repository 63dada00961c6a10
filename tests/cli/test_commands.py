"""pub, sub, req and reply: what they send, what they print, and the exit code for everything that can go wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest
from processes import COMMAND, Run, Spawn, environment

import midge as package
from midge.cli import main, program
from midge.cli.output import describe, printable
from midge.message import Message

Hear = Callable[[str, Callable[[], Any]], list[Message]]


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An embedded server, which commands find in their environment."""
    for name in (
        "NATS_USER",
        "NATS_PASSWORD",
        "NATS_TOKEN",
        "NATS_CREDS",
        "NATS_NKEY",
        "NATS_CA",
        "NATS_CERT",
        "NATS_KEY",
        "NATS_TLSFIRST",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NATS_URL", server)
    return server


@pytest.fixture
def hear(server: str) -> Hear:
    """Return what arrives on a subject while something is done in another thread."""

    async def listen(subject: str, work: Callable[[], Any]) -> list[Message]:
        heard: list[Message] = []
        async with package.connect(server) as nc:
            await nc.subscribe(subject, callback=heard.append)
            await asyncio.to_thread(work)
            await nc.flush()
        return heard

    return lambda subject, work: asyncio.run(listen(subject, work))


@pytest.fixture
def service(server: str) -> Iterator[Callable[[str, Callable[[Message], Awaitable[None]]], None]]:
    """Answer requests from a thread of this process until the test ends."""
    loop = asyncio.new_event_loop()
    clients: list[package.Client] = []

    async def start(subject: str, answer: Callable[[Message], Awaitable[None]]) -> None:
        clients.append(await package.connect(server))
        await clients[-1].subscribe(subject, callback=answer)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda subject, answer: asyncio.run_coroutine_threadsafe(start(subject, answer), loop).result()
    for client in clients:
        asyncio.run_coroutine_threadsafe(client.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def bytes_of(messages: list[Message]) -> list[bytes]:
    return [message.data for message in messages]


# pub


def test_pub_an_argument(midge: Run, hear: Hear, server: str) -> None:
    heard = hear("foo", lambda: check(midge("pub", "foo", "héllo", "--server", server, "--reply", "r", "-H", "A: 1", "-H", "A:2")))
    assert [(one.data, one.reply, one.headers.multi_items()) for one in heard] == [("héllo".encode(), "r", [("A", "1"), ("A", "2")])]


def check(result: subprocess.CompletedProcess[bytes]) -> None:
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("args", [[], ["-"]])
def test_pub_standard_input_whole(midge: Run, hear: Hear, server: str, args: list[str]) -> None:
    heard = hear("foo", lambda: check(midge("pub", "foo", *args, "--count", "2", input=b"one\ntwo\xff\n", NATS_URL=server)))
    assert bytes_of(heard) == [b"one\ntwo\xff\n"] * 2


def test_pub_lines(midge: Run, hear: Hear, server: str) -> None:
    long = b"x" * 100_000
    data = b"one\r\n\n" + long + b"\nlast"
    heard = hear("foo", lambda: check(midge("pub", "foo", "--lines", input=data, NATS_URL=server)))
    assert bytes_of(heard) == [b"one", b"", long, b"last"]


def test_pub_lines_of_a_file(server: str, hear: Hear, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"1\n2\n3\n")

    def work() -> None:
        with path.open("rb") as file:
            subprocess.run([*COMMAND, "pub", "foo", "--lines", "-s", server], stdin=file, check=True, env=environment({}))

    assert bytes_of(hear("foo", work)) == [b"1", b"2", b"3"]


def test_pub_sends_each_line_when_it_comes(spawn: Spawn, server: str) -> None:
    sub = spawn("sub", "foo", "--raw", NATS_URL=server)
    sub.wait_for("Subscribed")
    pub = spawn("pub", "foo", "--lines", NATS_URL=server)
    assert pub.process.stdin is not None
    for text in ("one", "two"):
        pub.process.stdin.write(text.encode() + b"\n")
        pub.process.stdin.flush()
        assert sub.line() == f"{text}\n"
    assert pub.end()[:2] == (0, 'Published 2 messages, 6 bytes, to "foo"\n')


def test_pub_an_argument_that_is_not_utf8(hear: Hear, server: str) -> None:
    def work() -> None:
        command = [os.fsencode(word) for word in [*COMMAND, "pub", "foo"]]
        subprocess.run([*command, b"a\xff"], env=environment({}) | {"NATS_URL": server}, check=True)

    assert bytes_of(hear("foo", work)) == [b"a\xff"]


# sub


def test_sub_for_people(spawn: Spawn, midge: Run, server: str) -> None:
    sub = spawn("sub", "foo.>", "--count", "3", NATS_URL=server)
    assert sub.line("stderr") == 'Subscribed to "foo.>"\n'
    midge("pub", "foo.a", "hello", "--reply", "bar", "-H", "Trace: 1", NATS_URL=server)
    midge("pub", "foo.b", input=b"two\tlines\n\xff\x1b[31m\r\x00\xc2\x9b", NATS_URL=server)
    midge("pub", "foo.c", "", NATS_URL=server)
    code, out, err = sub.end()
    assert (code, err) == (0, "")
    assert out == (
        '[#1] Received on "foo.a" with reply "bar"\nTrace: 1\n\nhello\n\n'
        '[#2] Received on "foo.b"\ntwo\tlines\n\\xff\\x1b[31m\\r\\x00\\x9b\n\n'
        '[#3] Received on "foo.c"\n\n\n'
    )


def test_sub_as_json(spawn: Spawn, midge: Run, server: str) -> None:
    sub = spawn("sub", "foo.*", "--json", "--count", "2", "--queue", "q", NATS_URL=server)
    assert sub.line("stderr") == 'Subscribed to "foo.*" in queue group "q"\n'
    midge("pub", "foo.a", "hé\n", "--reply", "bar", "-H", "A: 1", "-H", "a: 2", NATS_URL=server)
    midge("pub", "foo.b", input=b"\xff\x00", NATS_URL=server)
    code, out, _ = sub.end()
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"subject": "foo.a", "reply": "bar", "headers": [["A", "1"], ["a", "2"]], "data": "hé\n"},
        {"subject": "foo.b", "reply": None, "headers": [], "data_base64": base64.b64encode(b"\xff\x00").decode()},
    ]


def test_sub_raw(spawn: Spawn, midge: Run, server: str) -> None:
    sub = spawn("sub", "foo", "--raw", "--count", "1", NATS_URL=server)
    sub.wait_for("Subscribed")
    midge("pub", "foo", input=b"\x1b[31m\xff", NATS_URL=server)
    assert sub.process.stdout is not None and sub.process.stdout.read() == b"\x1b[31m\xff\n"
    assert sub.end()[0] == 0


@pytest.mark.parametrize("args", [("sub", "foo"), ("reply", "foo"), ("bench", "sub", "foo")])
def test_an_interrupt_ends_it_quietly(spawn: Spawn, server: str, args: tuple[str, ...]) -> None:
    child = spawn(*args, NATS_URL=server)
    child.wait_for('"foo"')
    code, out, err = child.end(signal.SIGINT)
    assert (code, out, err.strip()) == (130, "", "")


def test_a_reader_that_leaves_ends_it_quietly(spawn: Spawn, midge: Run, server: str) -> None:
    sub = spawn("sub", "foo", "--raw", NATS_URL=server)
    sub.wait_for("Subscribed")
    assert sub.process.stdout is not None
    sub.process.stdout.close()
    sub.process.stdout = None
    midge("pub", "foo", "x", NATS_URL=server)
    assert sub.process.stderr is not None
    assert (sub.process.stderr.read(), sub.process.wait()) == (b"", 1)


def test_a_server_that_goes_away(spawn: Spawn) -> None:
    with package.Server(port=0) as server:
        sub = spawn("bench", "sub", "foo", NATS_URL=server.url)
        sub.wait_for('"foo"')
    code, out, err = sub.end()
    assert (code, out) == (1, "") and err.startswith("midge: ") and len(err.splitlines()) == 1


@pytest.mark.parametrize("args", [("sub", "foo", "--count", "1"), ("reply", "foo", "hi", "--count", "1")])
def test_a_server_that_is_back(spawn: Spawn, midge: Run, args: tuple[str, ...]) -> None:
    with package.Server(port=0) as server:
        child = spawn(*args, NATS_URL=server.url)
        child.wait_for('"foo"')
    child.wait_for("Disconnected from nats://")
    with package.Server(port=server.port) as server:
        child.wait_for("Connected again to nats://")
        server.wait_for_subscription("foo")
        check(midge("pub", "foo", "after all", NATS_URL=server.url))
        code, out, err = child.end()
        assert code == 0 and "after all" in out and err == ""


# req and reply


def test_reply_echoes(spawn: Spawn, midge: Run, server: str) -> None:
    reply = spawn("reply", "svc", "--count", "1", NATS_URL=server)
    assert reply.line("stderr") == 'Answering on "svc" in queue group "NATS-RPLY-22"\n'
    result = midge("req", "svc", "hi", "-H", "A: 1", "--json", NATS_URL=server)
    check(result)
    answer = json.loads(result.stdout)
    assert (answer["data"], answer["headers"]) == ("hi", [["A", "1"]])
    code, out, _ = reply.end()
    assert code == 0 and out.startswith('[#1] Received on "svc" with reply "_INBOX.') and out.endswith("A: 1\n\nhi\n\n")


def test_reply_with_data(spawn: Spawn, midge: Run, server: str) -> None:
    reply = spawn("reply", "svc", "fixed", "-H", "B: 2", "--queue", "mine", "--count", "2", "--raw", NATS_URL=server)
    assert reply.line("stderr") == 'Answering on "svc" in queue group "mine"\n'
    midge("pub", "svc", "no answer wanted", NATS_URL=server)
    result = midge("req", "svc", NATS_URL=server)
    check(result)
    head, *rest = result.stdout.decode().splitlines()
    assert head.startswith("Received in ") and rest == ["B: 2", "", "fixed", ""]
    assert reply.end()[:2] == (0, "no answer wanted\n\n")


def test_req_raw_from_standard_input(midge: Run, server: str, service: Callable[..., None]) -> None:
    async def answer(message: Message) -> None:
        await message.respond(message.data[::-1])

    service("svc", answer)
    result = midge("req", "svc", "-", "--raw", input=b"abc\xff", NATS_URL=server)
    check(result)
    assert result.stdout == b"\xffcba\n"


def test_req_without_responders(midge: Run, server: str) -> None:
    result = midge("req", "nobody", NATS_URL=server)
    assert (result.returncode, result.stdout, result.stderr) == (3, b"", b"midge: no responders on 'nobody'\n")


def test_req_without_an_answer(midge: Run, server: str, service: Callable[..., None]) -> None:
    async def silence(message: Message) -> None:
        pass

    service("svc", silence)
    result = midge("req", "svc", "--timeout", "0.5", NATS_URL=server)
    assert (result.returncode, result.stdout, result.stderr) == (4, b"", b'midge: no answer on "svc" within 0.5 s\n')


# What goes wrong; in this process, for speed, where a process of its own would show no more


COMMANDS = [("pub", "foo", "x"), ("sub", "foo"), ("req", "foo"), ("reply", "foo"), ("bench", "pub")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_refused_connection(capsys: pytest.CaptureFixture[str], free_port: int, command: tuple[str, ...]) -> None:
    assert main([*command, "-s", f"127.0.0.1:{free_port}"]) == 1
    text = f"midge: could not connect to nats://127.0.0.1:{free_port}: Connection refused\n"
    assert capsys.readouterr() == ("", text)


def test_a_refused_connection_as_a_process_ends(midge: Run, free_port: int) -> None:
    result = midge("sub", "foo", "-s", f"127.0.0.1:{free_port}")
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, b"", 1)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("url", ["http://x", "nats://:4222", "nats://h:port", "", "tls://h"])
def test_a_bad_url(capsys: pytest.CaptureFixture[str], command: tuple[str, ...], url: str) -> None:
    assert main([*command, "-s", url]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("midge: ") and len(err.splitlines()) == 1


@pytest.mark.parametrize("credentials", [[], ["--user", "u", "--password", "wrong"], ["--token", "t"]])
def test_wrong_credentials(capsys: pytest.CaptureFixture[str], credentials: list[str]) -> None:
    with package.Server(port=0, user="u", password="p") as server:
        assert main(["pub", "foo", "x", "-s", server.url, *credentials]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"midge: could not connect to {server.url}: the server said: Authorization Violation\n")


def test_credentials_from_the_environment(midge: Run) -> None:
    with package.Server(port=0, user="u", password="p") as server:
        check(midge("pub", "foo", "x", "--user", "u", NATS_URL=server.url, NATS_PASSWORD="p"))
    with package.Server(port=0, token="t") as server:
        check(midge("pub", "foo", "x", NATS_URL=server.url, NATS_TOKEN="t"))


def test_a_message_that_is_too_large(midge: Run) -> None:
    with package.Server(port=0, max_payload=1000) as server:
        for args in ([], ["--lines"]):
            result = midge("pub", "foo", *args, input=b"x" * 1001, NATS_URL=server.url)
            text = "midge: header and payload of 1001 bytes exceed the server's max_payload of 1000\n"
            assert (result.returncode, result.stderr.decode()) == (1, text)


@pytest.mark.parametrize("subject", ["", "a b", "a..b", ".a"])
def test_a_subject_that_is_not_one(url: str, capsys: pytest.CaptureFixture[str], subject: str) -> None:
    for command in (["pub", subject, "x"], ["sub", subject], ["req", subject], ["bench", "pub", subject]):
        assert main(command) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"midge: invalid subject {subject!r}") and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "args",
    [
        ["pub"],
        ["nonsense"],
        ["pub", "foo", "--nonsense"],
        ["pub", "foo", "x", "--lines"],
        ["pub", "foo", "x", "-H", "no colon"],
        ["pub", "foo", "x", "-H", "bad name: x"],
        ["pub", "foo", "x", "--count", "0"],
        ["sub", "foo", "--count", "x"],
        ["req", "foo", "--timeout", "0"],
        ["req", "foo", "--timeout", "nan"],
        ["req", "foo", "--timeout", "inf"],
        ["pub", "foo", "x", "-H", "a: two\nlines"],
        ["bench", "pub", "--size", "99999999999999"],
        ["--nonsense"],
        ["reply", "foo", "x", "--echo"],
        ["bench", "nonsense"],
        ["bench", "sub", "--embedded"],
    ],
)
def test_a_usage_error_is_one_line_with_a_hint_and_exits_with_2(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert main(args) == 2
    out, err = capsys.readouterr()
    command = ["midge", *args[:1]] if args[0] in ("pub", "sub", "req", "reply", "bench") else ["midge"]
    assert out == "" and err.startswith("midge: ") and err.endswith(f". Try '{' '.join(command)} --help'.\n")
    assert len(err.splitlines()) == 1


def test_what_a_usage_error_says(capsys: pytest.CaptureFixture[str]) -> None:
    main(["pub", "foo", "--cuont", "1"])
    assert capsys.readouterr().err.startswith("midge: no such option '--cuont'")
    main(["pub"])
    assert capsys.readouterr().err == "midge: missing argument 'SUBJECT'. Try 'midge pub --help'.\n"


def test_without_a_command_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Usage: midge") and "Publish messages." in err


@pytest.mark.parametrize("name", ["pub", "sub", "req", "reply", "bench"])
def test_help_names_the_environment(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(f"[env: NATS_{word}]" in out for word in ("URL", "USER", "PASSWORD", "TOKEN"))


@pytest.mark.parametrize(
    ("args", "hint", "result"),
    [
        (["pub", "foo"], "Type the payload, and end it with Ctrl-D", 'Published 1 message, 3 bytes, to "foo"'),
        (["pub", "foo", "--lines"], "Each line that you type is a message; end with Ctrl-D.", 'Published 1 message, 2 bytes, to "foo"'),
    ],
)
def test_a_person_at_a_terminal_is_told_what_is_waited_for(spawn: Spawn, server: str, args: list[str], hint: str, result: str) -> None:
    main_end, terminal = pty.openpty()
    with subprocess.Popen([*COMMAND, *args, "-s", server], stdin=terminal, stdout=-1, stderr=-1, env=environment({})) as child:
        os.close(terminal)
        assert child.stderr is not None and child.stdout is not None
        assert hint in child.stderr.readline().decode()
        os.write(main_end, b"hi\n\x04")
        assert child.stdout.read().decode() == result + "\n"
        os.close(main_end)
    assert child.returncode == 0


def test_one_byte(midge: Run, server: str) -> None:
    assert midge("pub", "foo", "x", NATS_URL=server).stdout == b'Published 1 message, 1 byte, to "foo"\n'
    assert midge("pub", "foo", "x", "--count", "2000", NATS_URL=server).stdout == b'Published 2,000 messages, 2,000 bytes, to "foo"\n'


@pytest.mark.parametrize("name", ["", "serve", "demo", "pub", "sub", "req", "reply", "bench", "check", "store", "nkey"])
def test_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([*([name] if name else []), "--help"]) == 0
    out, err = capsys.readouterr()
    assert f"Usage: midge {name}".rstrip() in out and err == ""


@pytest.mark.parametrize("word", ["--version", "version"])
def test_version(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out == f"midge {package.__version__} ({'compiled' if package.compiled else 'pure Python'})\n"


def test_a_status_shows_in_json(hear: Hear, server: str) -> None:
    head = b"NATS/1.0 503 No Responders\r\n\r\n"
    port = int(server.rpartition(":")[2])

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
            connection.sendall(b"HPUB foo %d %d\r\n%s\r\nPING\r\n" % (len(head), len(head), head))
            while b"PONG" not in connection.recv(4096):
                pass

    found = describe(hear("foo", work)[0])
    assert (found["status"], found["description"], found["headers"], found["data"]) == (503, "No Responders", [], "")


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands that are no groups, by what is typed."""
    if not isinstance(command, click.Group):
        yield path.strip(), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, f"{path} {name}")


def test_every_command_that_tells_something_has_json() -> None:
    """The others are a server, a tour, a script for a shell, bare keys, and what is JSON already."""
    without = [path for path, command in leaves(program._program) if not any("--json" in parameter.opts for parameter in command.params)]
    assert without == ["serve", "demo", "store export", "nkey create", "nkey public", "nkey sign", "completion"]


def test_pub_as_json(midge: Run, server: str) -> None:
    assert json.loads(midge("pub", "a", "hello", "--count", "2", "--json", "-s", server).stdout) == {
        "subject": "a", "messages": 2, "bytes": 10,
    }  # fmt: skip


def test_printable() -> None:
    assert printable("ü\n\x1b\u202e\udcff") == "ü\\n\\x1b\\u202e\\udcff"
    assert printable("a\n\tb\r", "\n\t") == "a\n\tb\\r"


# With the real server


def test_against_nats_server(spawn: Spawn, midge: Run, nats_server_executable: str) -> None:
    server = spawn("-a", "127.0.0.1", "-p", "-1", "--user", "u", "--pass", "p", command=[nats_server_executable])
    url = f"nats://u:p@127.0.0.1:{server.wait_for(r'connections on .*:([0-9]+)')[1]}"
    reply = spawn("reply", "svc", "--count", "1", "--raw", NATS_URL=url)
    reply.wait_for("Answering")
    result = midge("req", "svc", "hi", "--raw", "-H", "A: 1", NATS_URL=url)
    check(result)
    assert result.stdout == b"hi\n" and reply.end()[:2] == (0, "hi\n")
    assert midge("req", "svc", NATS_URL=url).returncode == 3


def test_the_console_script() -> None:
    scripts = [script for script in entry_points(group="console_scripts") if script.name == "midge"]
    if not scripts:
        pytest.skip("midge is not installed")
    assert scripts[0].load() is main
