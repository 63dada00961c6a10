"""Looking at a store without changing it: what is found, that it is what a server finds, and that every file stays as it was."""

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from store.disks import message

from midge.errors import StoreLockedError, StoreVersionError
from midge.store.check import Finding, check_stream, find_damages
from midge.store.directory import StoreDirectory
from midge.store.log import FileStore
from midge.store.recovery import Damage
from midge.store.segment import HEAD_SIZE
from midge.store.state import StreamRow
from midge.store.view import LogView, ReadFiles, StoreView, UnindexedFiles


def opened(path: Path) -> StoreDirectory:
    return StoreDirectory(str(path), wake=lambda: None, workers=0, segment_size=4096)


def turn(directory: StoreDirectory) -> None:
    directory.begin()
    directory.finish()


def fill(directory: StoreDirectory, name: str = "S", count: int = 100) -> FileStore:
    """A stream of messages, in three segments, as the engine would make it."""
    store = directory.open("A", name)
    directory.state.put_stream("A", name, json.dumps({"name": name}).encode(), 1)
    for number in range(count):
        store.append(message(b"a.%d" % (number % 3), b"<%d>" % number, b"NATS/1.0\r\nA: b\r\n\r\n"), 1000 + number)
    turn(directory)
    return store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a stream, stopped."""
    directory = opened(tmp_path / "store")
    store = fill(directory)
    store.remove(50)
    turn(directory)
    directory.close()
    return tmp_path / "store"


def snapshot(path: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a path."""
    return {str(each): (each.stat().st_mtime_ns, each.read_bytes()) for each in sorted(path.rglob("*")) if each.is_file()}


def checked(path: Path) -> tuple[list[Damage], list[Finding]]:
    """What is found, and nothing was changed."""
    before = snapshot(path)
    with closing(StoreView(str(path))) as view:
        found = find_damages(view), [check_stream(view, place) for place in view.streams]
    assert snapshot(path) == before
    return found


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("streams/*/*.seg"))


def test_a_good_store(path: Path) -> None:
    damages, (finding,) = checked(path)
    assert (damages, finding.damages) == ([], [])
    assert (finding.place.account, finding.place.stream) == ("A", "S")
    assert (finding.messages, finding.first, finding.last, finding.segments) == (99, 1, 100, len(segments(path)))
    directory = opened(path)
    assert finding.size == directory.open("A", "S").size
    directory.close()


def test_a_store_whose_server_was_killed(tmp_path: Path) -> None:
    """Its state is still in SQLite's log, and there is no index."""
    child = os.fork()
    if child == 0:
        fill(opened(tmp_path))
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "state.db-wal").exists() and not list(tmp_path.glob("streams/*/*2.idx"))
    damages, (finding,) = checked(tmp_path)
    assert (damages, finding.damages, finding.messages, finding.place.stream) == ([], [], 100, "S")


def test_progress_is_told_of_every_byte(path: Path) -> None:
    read: list[int] = []
    with closing(StoreView(str(path))) as view:
        (place,) = view.streams
        check_stream(view, place, read.append)
        assert sum(read) >= view.size_of(place) == sum(each.stat().st_size for each in segments(path))


@pytest.mark.parametrize("with_index", [True, False])
def test_what_a_server_finds_is_found_and_left_as_it_is(path: Path, with_index: bool) -> None:
    """Also behind a clean stop, where a server finds it when the message is read."""
    first, *_, last = segments(path)
    for segment, place in ((first, HEAD_SIZE + 60), (last, 20)):
        data = bytearray(segment.read_bytes())
        data[place] ^= 1
        segment.write_bytes(data)
    if not with_index:
        for checkpoint in path.glob("streams/*/*.idx"):
            checkpoint.unlink()
    damages, (finding,) = checked(path)
    assert damages == [] and finding.messages == 98
    assert [(each.file, each.first, each.last, each.kept_as) for each in finding.damages] == [
        (str(last), 0, -1, ""),
        (str(first), 1, 1, ""),
    ]
    if not with_index:
        directory = opened(path)
        directory.open("A", "S")
        assert [each._replace(kept_as="") for each in directory.quarantine] == finding.damages
        directory.close()
        again = checked(path)[1][0].damages
        assert [os.path.exists(each.kept_as) for each in again] == [True], "known already, and kept"


def test_a_torn_tail_is_not_cut_off(path: Path) -> None:
    last = segments(path)[-1]
    with last.open("r+b") as file:
        file.seek(last.stat().st_size - 64)
        file.write(b"torn")
    _, (finding,) = checked(path)
    assert [each.why for each in finding.damages] == ["a torn tail"] and finding.messages == 99


def test_a_log_that_ends_before_what_was_known(path: Path) -> None:
    """Cut short exactly behind a record, it is whole by itself."""
    with closing(LogView(UnindexedFiles(), str(path / "streams/00000001"))) as log:
        place = log.index.place_of(99)
    last = segments(path)[-1]
    os.truncate(last, place)
    _, (finding,) = checked(path)
    assert finding.last == 98 and [each.why for each in finding.damages] == ["what was known of a segment does not fit the log"]


def test_streams_without_files_and_files_without_a_configuration(path: Path) -> None:
    directory = opened(path)
    fill(directory, "T", 1)
    directory.open("A", "an empty one is left of what was interrupted")
    directory.state.put_stream("A", "gone", b"{}", 1)
    directory.state.put_stream("A", "S", b"{", 1)
    directory.state.remove_stream("A", "T")
    directory.close()
    damages, findings = checked(path)
    assert sorted(each.why for each in damages) == [
        "the configuration of stream S of account A cannot be read",
        "the files of stream gone of account A are missing",
    ]
    assert {finding.place.stream: [each.why for each in finding.damages] for finding in findings} == {
        "S": [],
        "T": ["there is no configuration: no server has this stream"],
        "an empty one is left of what was interrupted": [],
    }


@pytest.mark.parametrize("kind", ["lost", "damaged"])
def test_streams_are_known_by_their_own_files(path: Path, kind: str) -> None:
    state = path / "state.db"
    state.unlink()
    if kind == "damaged":
        state.write_bytes(b"no database" * 1000)
    damages, (finding,) = checked(path)
    assert [each.file for each in damages] == [str(state)]
    assert (finding.place.account, finding.place.stream, finding.messages) == ("A", "S", 99)
    for text in ('{"account": 1}', "{", None):
        names = path / "streams/00000001/store.json"
        names.unlink() if text is None else names.write_text(text)
        damages, (finding,) = checked(path)
        assert [each.file for each in damages] == [str(state), str(names)]
        assert (finding.place.account, finding.place.stream, finding.messages) == ("", "", 99)


def test_a_server_that_was_killed_before_it_made_a_streams_directory(path: Path) -> None:
    directory = opened(path)
    directory.create(StreamRow("A", "NEW", b"{}", time.time_ns() + 1_000_000_000), lambda error: None)
    directory.begin()
    shutil.copytree(path, path.parent / "killed")
    directory.close()
    assert checked(path.parent / "killed")[0] == []


@pytest.mark.parametrize("what", ["a stream is a file", "a segment is nowhere", "a checkpoint is a directory", "a file of somebody else's"])
def test_one_that_cannot_be_looked_at_keeps_nobody_from_looking_at_the_others(path: Path, what: str) -> None:
    directory = opened(path)
    fill(directory, "T", 10)
    directory.close()
    own = path / "streams" / "00000001"
    if what == "a stream is a file":
        shutil.rmtree(own)
        own.touch()
    elif what == "a segment is nowhere":
        (own / "0000000009.seg").symlink_to(path / "nowhere")
    elif what == "a checkpoint is a directory":
        (own / "0000000001.idx").unlink()
        (own / "0000000001.idx").mkdir()
    else:
        (path / "streams" / "00000007").touch()
    with closing(StoreView(str(path))) as view:
        assert all(view.size_of(place) + view.kept_of(place) >= 0 for place in view.streams)
        found = {place.stream: check_stream(view, place) for place in view.streams}
    assert found["T"].messages == 10 and found["T"].damages == []
    assert [len(finding.damages) for finding in found.values()].count(1) == 1


def test_a_later_version_is_told(path: Path) -> None:
    segment = segments(path)[0]
    data = bytearray(segment.read_bytes())
    for at in (0, 64):
        data[at + 8] = 9
        data[at + 60 : at + 64] = __import__("zlib").crc32(data[at : at + 60]).to_bytes(4, "little")
    segment.write_bytes(data)
    _, (finding,) = checked(path)
    assert "has version 9 of the format" in finding.damages[0].why
    with closing(sqlite3.connect(path / "state.db")) as base:
        base.execute("PRAGMA user_version=9")
    with pytest.raises(StoreVersionError, match=str(path / "state.db")):
        StoreView(str(path))
    (path / "lock").unlink()
    with pytest.raises(StoreVersionError):
        StoreView(str(path))


def test_a_server_keeps_views_away_and_views_a_server(path: Path) -> None:
    directory = opened(path)
    with pytest.raises(StoreLockedError) as caught:
        StoreView(str(path))
    assert caught.value.pid == os.getpid()
    directory.close()
    with closing(StoreView(str(path))), closing(StoreView(str(path))), pytest.raises(StoreLockedError):
        opened(path)
    opened(path).close()


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"there is no store at {tmp_path}"):
        StoreView(str(tmp_path))


def test_messages_are_read_without_the_damaged_ones(path: Path) -> None:
    segment = segments(path)[0]
    data = bytearray(segment.read_bytes())
    data[HEAD_SIZE + 60] ^= 1
    segment.write_bytes(data)
    before = snapshot(path)
    for files in (UnindexedFiles(), ReadFiles()):
        with closing(LogView(files, str(path / "streams/00000001"))) as log:
            assert [stored.sequence for stored in log.scan()] == [*range(2, 50), *range(51, 101)]
            assert [stored.payload for stored in log.scan(99)] == [b"<98>", b"<99>"]
            assert [(each.first, each.last, each.kept_as) for each in log.damages] == [(1, 1, "")]
    assert snapshot(path) == before
