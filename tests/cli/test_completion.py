"""``midge completion``, and what a shell is told: commands, options, and names that the server has."""

from __future__ import annotations

import pytest
from commands import Cli

from midge.cli import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_reads(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert "_MIDGE_COMPLETE" in capsys.readouterr().out


def completed(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is told for a command line, of which the last word is not complete."""
    monkeypatch.setenv("_MIDGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    with pytest.raises(SystemExit):
        main([])
    monkeypatch.delenv("_MIDGE_COMPLETE")
    return [line.partition(",")[2] for line in capsys.readouterr().out.split()]


def test_commands_and_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert completed("midge st", monkeypatch, capsys) == ["stream", "store"]
    assert completed("midge stream re", monkeypatch, capsys) == ["restore"]
    assert completed("midge stream purge --k", monkeypatch, capsys) == ["--keep"]


def test_names(cli: Cli, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    name = cli.name() + "complete"
    cli("stream", "add", name)
    cli("consumer", "add", name, "billing")
    cli("kv", "add", name)
    assert completed(f"midge stream info {name[:-1]}", monkeypatch, capfd) == [name]
    assert completed(f"midge consumer info {name} bi", monkeypatch, capfd) == ["billing"]
    assert completed(f"midge kv get {name[:-1]}", monkeypatch, capfd) == [name]
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    assert completed("midge stream info N", monkeypatch, capfd) == []
