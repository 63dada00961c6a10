"""Configurations, and what ``nats-server -t`` (v2.15.1) says of each: as data, so that it holds where nats-server is not at hand too.

``tests/interop/test_config.py`` asks the real one again. Where the order in which nats-server looks at keys decides what it says,
lines are sorted; what it says of its own null pointers is left out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from certificates import server_certificate

from midge.server.config.errors import ConfigError
from midge.server.config.load import load

FILE = "f.conf"
PLACE = re.compile(r":\d+:\d+:")
ENVIRONMENT = {
    "ENVA": "3", "ENVB": "{a: 1}", "ENVC": "[1 , 2 ]", "ENVD": "$ENVD", "ENVE": "$ENVA", "ENVF": "'x", "ENVG": "a b", "ENVH": "",
}  # fmt: skip


class Case(NamedTuple):
    """A text, and the lines that nats-server answers with, sorted. Where it finds the mistake may be random: its maps have no order."""

    text: bytes
    says: tuple[str, ...]
    random: bool = False

    def is_said(self, lines: tuple[str, ...]) -> bool:
        """True if these are the lines, but for a place that is random."""
        if self.random:
            return [PLACE.sub("", line) for line in lines] == [PLACE.sub("", line) for line in self.says]
        return lines == self.says


def _cases() -> list[Case]:
    with open(Path(__file__).with_name("corpus.jsonl"), encoding="utf-8") as file:
        return [Case(each["text"].encode("latin-1"), tuple(each["says"]), each.get("random", False)) for each in map(json.loads, file)]


CASES = _cases()


def prepare(directory: Path) -> None:
    """Write the files that the texts name."""
    certificate = server_certificate()
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    (directory / "empty.pem").write_text("")
    (directory / "x.conf").write_text("")
    (directory / "inc.conf").write_text("inc: 1\nfoo: {bar: 2}\n")
    (directory / "bad.conf").write_text("a: [\n")
    (directory / "more.conf").write_text("port: 4333\nauthorization { token: x }\n")


def lines_of(text: str) -> tuple[str, ...]:
    """What nats-server prints, without its name, as it stands in a case."""
    kept = [line for line in text.removeprefix("nats-server: ").strip("\n").split("\n") if "nil pointer" not in line]
    return tuple(sorted(kept))


def ours(text: bytes) -> tuple[str, ...]:
    """What midge says of the text, in the current directory."""
    with open(FILE, "wb") as file:
        file.write(text)
    try:
        found = load(FILE)
    except ConfigError as error:
        return lines_of(str(error))
    if found.warnings:
        return lines_of("\n".join(found.warnings))
    return (f"configuration file {FILE} is valid ({found.options['config_digest']})",)


def use(variables: Sequence[str] = tuple(ENVIRONMENT)) -> dict[str, str]:
    """The environment of a process that is to see these variables."""
    return {**os.environ, **{name: ENVIRONMENT[name] for name in variables}}
