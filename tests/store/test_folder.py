"""store.folder: whose a directory is, and what of it is on disk when."""

from pathlib import Path

import pytest
from disks import FailingFiles

from midge.errors import StoreDamagedError
from midge.store.files import Files
from midge.store.folder import Folder

OWNER = ("A", "S", 7)


class Noted(Files):
    """Writes down what is waited for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def fdatasync(self, fd: int) -> None:
        self.calls.append("data")

    def rename(self, source: str, target: str) -> None:
        self.calls.append(f"rename {Path(target).name}")
        super().rename(source, target)

    def sync_directory(self, path: str) -> None:
        self.calls.append(f"names of {Path(path).name}")


def test_it_has_its_name_when_what_it_says_is_on_disk(tmp_path: Path) -> None:
    files = Noted()
    folder = Folder(files, str(tmp_path / "1"))
    folder.give_to(OWNER)
    assert files.calls == [] and folder.owner() is None and folder.is_new
    folder.sync()
    assert files.calls == ["data", "rename store.json", "names of 1", f"names of {tmp_path.name}"]
    assert folder.owner() == OWNER and not folder.is_new
    files.calls.clear()
    folder.sync()
    assert files.calls == ["names of 1"]


def test_an_attempt_that_failed_is_gone_on_with(tmp_path: Path) -> None:
    """Whichever call fails."""
    fails_at = 0
    while True:
        files = FailingFiles(lambda name, number: 0)
        folder = Folder(files, str(tmp_path / f"{fails_at}"))
        folder.give_to(OWNER)
        files.calls, fails_at = 0, fails_at + 1
        files.fails = lambda name, number: 28 if number == fails_at else 0  # noqa: B023 (used before the next turn)
        try:
            folder.sync()
        except OSError:
            assert folder.is_new
            folder.sync()
        else:
            break
        assert folder.owner() == OWNER and not folder.is_new
    assert fails_at > 3


def test_one_that_was_never_named_is_given_away_again(tmp_path: Path) -> None:
    Folder(Files(), str(tmp_path)).give_to(OWNER)
    folder = Folder(Files(), str(tmp_path))
    assert folder.owner() is None
    folder.give_to(("B", "T", 8))
    folder.sync()
    assert folder.owner() == ("B", "T", 8) and sorted(each.name for each in tmp_path.iterdir()) == ["store.json"]


def test_what_does_not_say_it_is_put_aside(tmp_path: Path) -> None:
    folder = Folder(Files(), str(tmp_path))
    folder.give_to(OWNER)
    folder.sync()
    (tmp_path / "store.json").write_text("{}")
    with pytest.raises(StoreDamagedError, match="does not say whose"):
        folder.owner()
    assert Path(folder.put_aside()).read_text() == "{}" and folder.owner() is None
