"""Whose a store's files are: what a crash while a stream is deleted, a lost or damaged state, and forked processes may not change."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from counting import calls
from store.disks import FailingFiles, message

from midge.errors import MidgeError, StoreDamagedError
from midge.store.directory import StoreDirectory
from midge.store.files import Files
from midge.store.recovery import Damage
from midge.store.state import State, StreamRow
from midge.store.view import StoreView


def opened(path: Path) -> StoreDirectory:
    return StoreDirectory(str(path), wake=lambda: None, workers=0)


def turn(directory: StoreDirectory) -> None:
    directory.begin()
    directory.finish()


def fill(path: Path, stream: str = "S") -> None:
    """A directory with a stream that has a message and a configuration."""
    directory = opened(path)
    directory.open("A", stream).append(message(b"a", stream.encode()), 1)
    turn(directory)
    directory.state.put_stream("A", stream, b'{"max_msgs":1000}', 1)
    directory.close()


def in_a_child(call: Callable[[], object]) -> bool:
    """Call something in a process that is forked off, and tell whether it was refused."""
    child = os.fork()
    if child == 0:
        try:
            call()
        except RuntimeError:
            os._exit(7)
        except BaseException:
            os._exit(8)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_lost_state_does_not_give_a_streams_files_to_another(tmp_path: Path) -> None:
    fill(tmp_path)
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    directory = opened(tmp_path)
    assert [damage.file for damage in directory.quarantine] == [str(tmp_path / "streams" / "00000001")]
    assert directory.open("A", "T").messages == 0
    stored = directory.open("A", "S").read(1)
    assert stored is not None and stored.payload == b"S"
    directory.close()


def test_files_of_another_stream_are_not_opened(tmp_path: Path) -> None:
    fill(tmp_path, "S")
    fill(tmp_path, "T")
    one, two, aside = (tmp_path / "streams" / name for name in ("00000001", "00000002", "x"))
    one.rename(aside)
    two.rename(one)
    aside.rename(two)
    directory = opened(tmp_path)
    with pytest.raises(StoreDamagedError, match="it is of stream 'T'"):
        directory.open("A", "S")
    directory.close()


def test_what_says_whose_it_is_is_written_anew(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "streams" / "00000001" / "store.json"
    path.write_text(path.read_text().replace('"S"', '"X"'))
    directory = opened(tmp_path)
    assert directory.open("A", "S").messages == 1
    assert [damage.kept_as for damage in directory.quarantine] == [str(path.parent / "quarantine" / "store.json")]
    directory.close()
    directory = opened(tmp_path)
    assert directory.open("A", "S").messages == 1 and directory.quarantine == []
    directory.close()


def test_a_deleted_stream_does_not_come_back_after_a_crash(tmp_path: Path) -> None:
    """Its configuration goes, the process ends before its files do, and a stream of the same name is made."""
    fill(tmp_path)
    state = State(str(tmp_path / "state.db"))
    state.remove_stream("A", "S")
    state.close()
    directory = opened(tmp_path)
    assert list((tmp_path / "streams").iterdir()) == [] and directory.quarantine == []
    assert directory.open("A", "S").messages == 0
    assert [path.name for path in (tmp_path / "streams").iterdir()] == ["00000002"]
    directory.close()


def test_every_byte_of_the_state_is_served_reported_or_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "state.db"
    whole = path.read_bytes()
    text = (b"max_msgs", b"1000", b"SS", b"A")
    places = {at for word in text for at in range(len(whole)) if whole.startswith(word, at)}
    for place in sorted(places | set(range(0, len(whole), 97))):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        check(tmp_path, f"byte {place}")
    for size in range(0, len(whole), 511):
        path.write_bytes(whole[:size])
        check(tmp_path, f"{size} bytes")


def check(path: Path, what: str) -> None:
    try:
        directory = opened(path)
    except (MidgeError, OSError):
        left = {each.name for each in path.iterdir()}
        assert left >= {"state.db", "streams"}, what
        return
    try:
        rows = [(row.account, row.name, row.config, row.created) for row in directory.state.streams()]
        assert rows == [("A", "S", b'{"max_msgs":1000}', 1)] or directory.quarantine, what
    finally:
        directory.close()
        for each in path.glob("state.db-*"):
            each.unlink()


def test_a_forked_process_neither_makes_nor_deletes_streams(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    store = directory.open("A", "S")
    assert in_a_child(lambda: store.delete(lambda: None))
    assert in_a_child(lambda: directory.open("A", "T"))
    assert not in_a_child(directory.close)
    assert [path.name for path in (tmp_path / "streams").iterdir()] == ["00000001"]
    store.append(message(b"a"), 1)
    turn(directory)
    assert store.committed == 1
    directory.close()


def test_the_lock_ends_with_its_process_and_not_with_those_it_forked_off(tmp_path: Path) -> None:
    heard, told = os.pipe()
    owner = os.fork()
    if owner == 0:
        directory = opened(tmp_path)
        child = os.fork()
        if child == 0:
            os.write(told, b"%d" % os.getpid())
            time.sleep(60)
            os._exit(0)
        os.waitpid(child, 0)
        directory.close()
        os._exit(0)
    child = int(os.read(heard, 20))
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    try:
        opened(tmp_path).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(heard)
        os.close(told)


def test_a_deleted_store_is_let_go_of(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    for number in range(3):
        store = directory.open("A", f"S{number}")
        store.append(message(b"a"), 1)
        turn(directory)
        store.delete(lambda: None)
    assert len(directory._held) == 0 and directory._held.size == 0
    directory.close()


def test_a_store_that_goes_costs_the_same_beside_any_number(tmp_path: Path) -> None:
    """Each of them has something in memory."""
    directory = opened(tmp_path)
    stores = [directory.open("A", f"S{number}") for number in range(100)]
    for store in stores:
        store.append(message(b"a"), 1)
    turn(directory)
    assert len(directory._held) == 100
    early = calls(lambda: directory._let_go(stores.pop()))
    for store in stores[2:]:
        directory._let_go(store)
    assert len(directory._held) == 2 and early == calls(lambda: directory._let_go(stores[0])) < 20
    directory._let_go(stores[1])
    assert len(directory._held) == 0 and directory._held.size == 0 and directory._held._of == {}
    directory.close()


def test_a_directory_that_is_missing_is_reported(tmp_path: Path) -> None:
    """Not that of a stream that was noted last, whose directory nobody has made yet."""
    fill(tmp_path)
    directory = opened(tmp_path)
    directory.state.put_stream("A", "NEW", b"{}", time.time_ns())
    directory.state.add_store("A", "NEW", 1, 2)
    directory.close()
    shutil.rmtree(tmp_path / "streams" / "00000001")
    directory = opened(tmp_path)
    directory.open("A", "NEW")
    store = directory.open("A", "S")
    why = "it is missing, and with it all messages of the stream"
    assert directory.quarantine == [Damage(str(tmp_path / "streams" / "00000001"), 0, 0, -1, why, "")]
    store.append(message(b"a"), 1)
    turn(directory)
    directory.close()
    directory = opened(tmp_path)
    assert directory.open("A", "S").last == 1 and directory.quarantine == []
    directory.close()


def test_one_that_is_missing_after_a_stop_is_reported(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    directory.state.put_stream("A", "S", b"{}", time.time_ns())
    directory.open("A", "S")
    directory.close()
    shutil.rmtree(tmp_path / "streams" / "00000001")
    directory = opened(tmp_path)
    directory.open("A", "S")
    assert [damage.why for damage in directory.quarantine] == ["it is missing, and with it all messages of the stream"]
    directory.close()


def test_all_segments_of_a_stream_are_missing(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "streams" / "00000001" / "0000000001.seg").unlink()
    directory = opened(tmp_path)
    directory.open("A", "S")
    assert [damage.why for damage in directory.quarantine] == ["all its segments are missing, and with them all messages"]
    directory.close()


@pytest.mark.parametrize("left", ["a directory in it", "a file"])
def test_what_is_left_of_a_deleted_stream_keeps_nobody_from_opening_the_others(tmp_path: Path, left: str) -> None:
    fill(tmp_path)
    gone = tmp_path / "streams" / "00000009.gone"
    if left == "a file":
        gone.touch()
    else:
        (gone / "somebody's").mkdir(parents=True)
    directory = opened(tmp_path)
    directory.finish()
    assert [damage.file for damage in directory.quarantine] == [str(gone)] and directory.open("A", "S").last == 1
    directory.close()


def test_a_stream_is_gone_though_its_files_cannot_be_removed(tmp_path: Path) -> None:
    """Who deletes it is told that it is gone, as it is, and the next start removes the rest."""
    fill(tmp_path)
    disk = FailingFiles()
    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, files=disk)
    store = directory.open("A", "S")
    for call in ("unlink", "rename"):
        disk.fails = lambda name, number, call=call: errno.EIO if name == call else 0  # type: ignore[misc]
        told: list[bool] = []
        store.delete(lambda told=told: told.append(True))  # type: ignore[misc]
        turn(directory)
        turn(directory)
        assert told == [True]
        store = directory.open("A", "S")
        assert store.last == 0
    disk.fails = lambda name, number: 0
    assert len(directory.quarantine) == 2 and len(list((tmp_path / "streams").iterdir())) == 3
    directory.close()
    directory = opened(tmp_path)
    assert directory.quarantine == [] and len(list((tmp_path / "streams").iterdir())) == 1
    directory.close()


@pytest.mark.parametrize("name", ["99999999999999999999999", str((1 << 63) - 1), "1", "\N{ARABIC-INDIC DIGIT THREE}" * 8, "0000001x"])
def test_a_directory_of_somebody_elses_is_not_a_streams(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    (tmp_path / "streams" / name).mkdir()
    directory = opened(tmp_path)
    told: list[object] = []
    directory.create(StreamRow("A", "T", b"{}", 1), told.append)
    turn(directory)
    assert told == [None] and directory.open("A", "T").last == 0 and directory.quarantine == []
    directory.close()
    with closing(StoreView(str(tmp_path))) as view:
        assert [place.stream for place in view.streams] == ["S", "T"] and view.damages == []


def test_what_says_whose_it_is_is_nested_too_deeply(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "streams" / "00000001" / "store.json").write_text("[" * 100_000)
    directory = opened(tmp_path)
    assert directory.open("A", "S").last == 1 and len(directory.quarantine) == 1
    directory.close()


def test_only_directories_of_deleted_streams_are_removed(tmp_path: Path) -> None:
    opened(tmp_path).close()
    other = tmp_path / "streams" / "somebody's.gone"
    other.mkdir()
    (other / "precious").touch()
    opened(tmp_path).close()
    assert (other / "precious").exists()


def test_a_stream_that_was_moved_and_linked_to_is_deleted_as_a_whole(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    here, there = tmp_path / "store" / "streams" / "00000001", tmp_path / "there"
    here.rename(there)
    here.symlink_to(there)
    directory = opened(tmp_path / "store")
    store = directory.open("A", "S")
    assert store.last == 1
    store.delete(lambda: None)
    assert list(here.parent.iterdir()) == list(there.iterdir()) == [] and directory.quarantine == []
    directory.close()


def test_the_names_of_streams_are_on_disk_before_one_is_shown(tmp_path: Path) -> None:
    """Who made them may have been killed before it had waited for that."""
    fill(tmp_path)
    synced: list[str] = []

    class Disk(Files):
        def sync_directory(self, path: str) -> None:
            synced.append(path)
            super().sync_directory(path)

    directory = StoreDirectory(str(tmp_path), wake=lambda: None, workers=0, files=Disk())
    directory.open("A", "S")
    assert str(tmp_path / "streams") in synced
    directory.close()
