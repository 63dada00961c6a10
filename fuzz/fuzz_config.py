"""Fuzzes server.config: whatever the text, it is a configuration or a ConfigError, soon; and what it says makes options or a ValueError.

See mutator.py for how to run it.
"""

import os
import sys
import tempfile
import time

from mutator import run

from midge.server.config.check import check
from midge.server.config.errors import ConfigError
from midge.server.config.load import load_text
from midge.server.options import ServerOptions

SECONDS = 5.0
SEEDS = (
    b"port: 4222\n", b'server_name = "a\\x41\\n"\n', b"max_payload: 1MB;", b"listen 127.0.0.1:4222,", b"# comment\n", b"// comment\n",
    b"x: $y\n", b"y: 3\n", b"y: {a: [1 , 2.5, 'z' ]}\n", b"include a.conf\n", b"a: (\nblock\n)\n", b"a: 2006-01-02T15:04:05Z\n",
    b"authorization { users: [ {user: a, password: $2a$11$x, permissions {publish: [a, b ], subscribe {deny: \"c q\"}}} ] }\n",
    b"authorization { token: t, timeout: \"2s\" }\n", b'{"port": 1, "debug": true}\n', b"ping_interval: \"1m30s\"\n", b"{", b"}", b"[",
    b"accounts { A { exports [ {service: x, latency {subject: y, sampling: 5%}, response: stream} ], users [{user: u}] }, B { imports [ "
    b"{service {account: A, subject: x}, to: z} ] } }\n",
    b"mappings { a: [ {dest: b, weight: 50%} ] }\n", b"tls { cert_file: x, key_file: y, ciphers: [ ] }\n", b"jetstream: off\n",
    b"]", b"websocket { port: -1, no_tls: true, headers {a: b} }\n", b"lame_duck_duration: \"1m\"\n", b"server_tags: [a, b ]\n",
)  # fmt: skip


def fuzz_config(data: bytes) -> None:
    """Read the text, and make options of it."""
    began = time.monotonic()
    try:
        found = load_text(data, "f.conf")
        assert found.options["config_digest"].startswith("sha256:")
        check(found.options)
        ServerOptions(**found.options)
    except ConfigError as error:
        assert str(error), "an error without a text"
    except ValueError as error:
        assert "f.conf" not in str(error), "an error of the configuration that does not say so"
    assert time.monotonic() - began < SECONDS, "it takes too long"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:  # for what is included
        os.chdir(directory)
        with open("a.conf", "wb") as file:
            file.write(b"z: 3\n")
        run(fuzz_config, sys.argv[1:], SEEDS)
