"""What is shown to people: on a narrow terminal nothing is cut off."""

from __future__ import annotations

import pytest

from midge.cli.render import print_description, print_table

COLUMNS = ("name", "subjects", "messages", "size", "consumers", "last message")
ROW = ("ORDERS", "orders.>", "1,234,567", "19.8 MiB", "12", "2026-11-26 15:10:15")


@pytest.mark.parametrize("width", [10, 40, 60, 79, 80, 100])
def test_a_table_shows_everything_however_narrow_the_terminal_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(COLUMNS, [ROW, ROW], left=2)
    out = capsys.readouterr().out
    assert all(out.count(value) == 2 for value in ROW), out
    assert all(name in out for name in COLUMNS)


def test_a_long_text_is_folded_and_not_what_is_beside_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(COLUMNS, [("N" * 200, *ROW[1:])], left=2)
    out = capsys.readouterr().out
    assert out.count("N") == 200 and "1,234,567" in out and "2026-11-26 15:10:15" in out


def test_a_long_label_leaves_room_for_its_value(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_description("title", [("Metadata", [("K" * 300, "value"), ("Maximum message size", "1.0 MiB")])])
    out = capsys.readouterr().out
    assert out.count("K") == 300 and "value" in out and "1.0 MiB" in out


def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "c"), [("[red]x[/red]", "[/]")])
    print_description("[bold]t[/bold]", [("h[i]", [("[l]", "[v]")])])
    out = capsys.readouterr().out
    assert all(text in out for text in ("[red]x[/red]", "[/]", "[bold]t[/bold]", "h[i]", "[l]", "[v]"))
