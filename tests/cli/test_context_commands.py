"""``midge context`` and ``--context``: the files of the ``nats`` command, read and written; and which of option and context wins."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import Cli

import midge as package
from midge.cli.context_file import Contexts
from midge.cli.target import DEFAULT_URL, target_of
from midge.errors import MidgeError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where contexts are; there are none."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "nats"


@pytest.fixture
def ours(home: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    return Cli("", capfd)


def put(home: Path, name: str, **context: Any) -> None:
    (home / "context").mkdir(parents=True, exist_ok=True)
    (home / "context" / f"{name}.json").write_text(json.dumps(context))


def test_add_show_select_rm(ours: Cli, home: Path) -> None:
    assert "There are no contexts" in ours("context", "ls")
    assert "no context is selected" in ours.refused("context", "show")
    ours("context", "add", "a", "-s", "nats://u:secret@one:4222", "--token", "hidden", "--description", "first", "--js-domain", "hub")
    path = home / "context" / "a.json"
    assert json.loads(path.read_text()) == {
        "description": "first", "url": "nats://u:secret@one:4222", "token": "hidden", "jetstream_domain": "hub",
    }  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    out = ours("context", "show", "a")
    assert "secret" not in out and "hidden" not in out and "hub" in out
    assert ours.json("context", "show", "a")["token"] == "hidden"
    ours("context", "add", "b", "-s", "nats://two:4222", "--creds", "x.creds", "--select")
    assert json.loads((home / "context" / "b.json").read_text())["creds"] == str(Path("x.creds").absolute())
    assert (home / "context.txt").read_text() == "b"
    ours("context", "select", "a")
    assert "a*" in ours("context", "ls") and "secret" not in ours("context", "ls")
    assert [each["selected"] for each in ours.json("context", "ls")] == [True, False]
    ours("context", "previous")
    assert Contexts().selected == "b"
    assert "needs --force" in ours.both("context", "rm", "b", code=2)[1]
    ours("context", "rm", "b", "-f")
    assert Contexts().selected is None and ours.json("context", "ls", "-n") == ["a"]
    ours("context", "select", "a")
    ours("context", "unselect")
    assert Contexts().selected is None
    for args in (["select", "nix"], ["show", "nix"], ["rm", "nix", "-f"], ["add", "../x"]):
        assert "context" in ours.refused("context", *args)


def test_what_is_not_known_stays(ours: Cli, home: Path) -> None:
    put(home, "a", url="nats://one:4222", color_scheme="blue", of_the_future={"x": [1]})
    ours("context", "add", "a", "--user", "me")
    found = json.loads((home / "context" / "a.json").read_text())
    assert found == {"url": "nats://one:4222", "color_scheme": "blue", "of_the_future": {"x": [1]}, "user": "me"}


def test_what_wins(home: Path) -> None:
    put(home, "a", url="nats://one:4222", user="me", password="p", jetstream_domain="hub", creds="~/x.creds", inbox_prefix="_I.me")
    put(home, "b", url="nats://two:4222", nsc="nsc://operator")
    (home / "context.txt").write_text("a\n")
    target = target_of(None, {"timeout": 2.0})
    assert (target.server, target.user, target.domain, target.inbox_prefix) == ("nats://one:4222", "me", "hub", "_I.me")
    assert target.creds == Path.home() / "x.creds"
    target = target_of("a", {"server": "nats://three:4222", "token": "t", "prefix": "$JS.x.API"})
    assert (target.server, target.user, target.creds, target.token) == ("nats://three:4222", None, None, "t")
    assert (target.domain, target.prefix) == (None, "$JS.x.API")
    target = target_of(None, {"server": "nats://three:4222"})
    assert target.user is None, "who one is elsewhere is not told to a server that is named"
    with pytest.raises(MidgeError, match="nsc"):
        target_of("b", {})
    (home / "context.txt").write_text("")
    assert target_of(None, {}).server == DEFAULT_URL
    (home / "context" / "c.json").write_text("[")
    with pytest.raises(MidgeError, match="damaged"):
        target_of("c", {})


def test_a_command_in_a_context(ours: Cli, home: Path) -> None:
    with package.Server(port=0, user="me", password="p") as server:
        put(home, "a", url=server.url, user="me", password="p")
        ours("pub", "subject", "x", "--context", "a")
        ours.refused("pub", "subject", "x", "--context", "nix")
        ours("context", "select", "a")
        ours("pub", "subject", "x")
        ours.refused("pub", "subject", "x", "-s", server.url)


def test_the_nats_command_reads_what_we_write(ours: Cli, home: Path) -> None:
    nats = shutil.which("nats")
    if nats is None:
        pytest.skip("there is no nats command")
    ours("context", "add", "a", "-s", "nats://one:4222", "--js-domain", "hub", "--select")
    subprocess.run([nats, "context", "add", "b", "--server", "nats://two:4222", "--select"], check=True, capture_output=True)
    assert Contexts().selected == "b" and target_of(None, {}).server == "nats://two:4222"
    done = subprocess.run([nats, "context", "ls", "--json"], check=True, capture_output=True)
    assert b'"a"' in done.stdout and b'"b"' in done.stdout


def test_what_is_selected_as_json(ours: Cli, home: Path) -> None:
    put(home, "a", url="nats://one:4222")
    put(home, "b", url="nats://two:4222")
    assert ours.json("context", "select", "a") == ours.json("context", "select", "a") == {"selected": "a"}
    assert ours.json("context", "select", "b") == {"selected": "b"} and ours.json("context", "previous") == {"selected": "a"}
    assert ours.json("context", "unselect") == {"selected": None} and ours.json("context", "rm", "a", "-f") == {"success": True}


def test_a_damaged_context_does_not_hide_the_others(ours: Cli, home: Path) -> None:
    put(home, "a", url="nats://one:4222")
    (home / "context" / "bad.json").write_text("[1")
    assert "nats://one:4222" in (out := ours("context", "ls")) and "'bad' is damaged" in out
    a, bad = ours.json("context", "ls")
    assert a["context"] == {"url": "nats://one:4222"} and "is damaged" in bad["error"]


@pytest.mark.parametrize("context", [{"url": 5}, {"password": ["x"]}, {"creds": 7}, {"tls_first": "yes"}])
def test_a_field_that_is_no_text_is_an_error(ours: Cli, home: Path, context: dict[str, Any]) -> None:
    put(home, "a", **context)
    assert ours.refused("account", "info", "--context", "a").startswith("context 'a' is damaged: ")


def test_a_link_to_a_context_stays_one_and_nobody_else_sees_the_directories(ours: Cli, home: Path, tmp_path: Path) -> None:
    ours("context", "add", "a", "-s", "nats://one:4222")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "context")] == [0o700, 0o700]
    kept = tmp_path / "kept.json"
    kept.write_text('{"url": "nats://two:4222"}')
    (home / "context" / "b.json").symlink_to(kept)
    ours("context", "add", "b", "--description", "changed")
    assert (home / "context" / "b.json").is_symlink()
    assert json.loads(kept.read_text()) == {"url": "nats://two:4222", "description": "changed"}
