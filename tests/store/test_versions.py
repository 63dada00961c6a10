"""Stores that released versions wrote: all of what they hold is there. What is kept of this version has everything that files can say."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from store.tiny import told, unpack, versions

from midge.store.check import check_stream, find_damages
from midge.store.files import Files
from midge.store.record import DROP, ERASED, MESSAGE, MORE, OVERWRITE, REMOVE, SKIP
from midge.store.segment import Scan, read_head
from midge.store.state import State
from midge.store.view import StoreView


def differences(expected: Any, found: Any, where: str = "") -> Iterator[str]:
    """What was told then and is not told now; more may be told."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            yield from differences(value, found.get(key), f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, pair in enumerate(zip(expected, found)):
            yield from differences(*pair, f"{where}[{number}]")
    elif expected != found:
        yield f"{where}: {expected} is now {found}"


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("stopped", ["cleanly", "killed"])
def test_all_of_it_is_there(version: str, stopped: str, tmp_path: Path) -> None:
    expected = unpack(version, tmp_path)
    with closing(StoreView(str(tmp_path))) as view:
        assert find_damages(view) == []
        assert [check_stream(view, place).damages for place in view.streams] == [[]] * 4
    if stopped == "killed":
        for path in tmp_path.glob("streams/*/*.idx"):
            path.unlink()
    for _ in range(2):
        assert list(differences(expected, told(tmp_path))) == []


def test_the_one_of_this_version_has_everything(tmp_path: Path) -> None:
    *_, version = versions()
    expected = unpack(version, tmp_path)
    files, heads, records = Files(), [], []
    for path in tmp_path.glob("streams/*/*.seg"):
        fd = files.open(str(path))
        head = read_head(files.pread(fd, 128, 0))
        assert head is not None
        heads.append(head)
        records += [(record.kind, record.flags) for record in Scan(files, fd, path.stat().st_size, head.seed)]
        files.close(fd)
    assert {(MESSAGE, 0), (MESSAGE, MORE), (REMOVE, 0), (REMOVE, OVERWRITE), (DROP, 0), (SKIP, 0), (ERASED, 0)} == set(records)
    assert [head for head in heads if head.applied] and [head for head in heads if head.follows] and [head for head in heads if head.floor]
    assert len(list(tmp_path.glob("streams/*/*.idx"))) >= 4
    with closing(State(str(tmp_path / "state.db"))) as state:
        assert [row.name for row in state.streams()] == ["G", "M", "S", "W"]
        assert [row.name for row in state.consumers("$G", "S")] == ["all", "explicit", "none", "push"]
        assert state.sources("$G", "G") and state.consumers("$G", "W")
    explicit = next(each for each in expected["S"]["consumers"] if each["name"] == "explicit")
    assert explicit["num_ack_pending"] and explicit["ack_floor"]["consumer_seq"] == 2 and expected["known"]
