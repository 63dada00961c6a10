"""A store in files, where it differs from others: batches, what is overwritten, damage that a read finds, damage that opening finds."""

import errno

import pytest
from store.disks import FailingFiles, LoneHome, MemoryFiles, PowerCut, RecordingFiles, message

from midge.errors import StoreVersionError
from midge.store.folder import Folder
from midge.store.log import FileStore
from midge.store.record import ERASED, HEAD, length
from midge.store.segment import HEAD_SIZE

FIRST = "/s/0000000001.seg"


def opened(disk: MemoryFiles, *, segment_size: int = 1 << 20) -> tuple[LoneHome, FileStore]:
    home = LoneHome(disk, segment_size=segment_size)
    return home, FileStore(home, Folder(home.files, "/s"), 77)


def content(store: FileStore) -> dict[int, bytes]:
    return {stored.sequence: stored.payload for stored in store.scan()}


def test_a_batch_is_there_as_a_whole_or_not_at_all() -> None:
    """Wherever the file ends."""
    disk = MemoryFiles()
    home, store = opened(disk)
    store.append(message(b"a", b"before"), 1)
    assert store.append_all([message(b"a", b"%d" % part * 20) for part in range(4)], 2) == 5
    home.turn(store)
    store.close()
    whole = bytes(disk.contents[1])
    one, part = length(1 + 6), length(1 + 20)
    for end in range(HEAD_SIZE + one, HEAD_SIZE + one + 4 * part + 1, 8):
        disk.contents[1][:] = whole[:end]
        disk.paths = {FIRST: 1}
        home, store = opened(disk)
        is_whole = end == HEAD_SIZE + one + 4 * part
        assert store.last == store.messages == (5 if is_whole else 1)
        assert bool(home.damages) is (not is_whole and end > HEAD_SIZE + one)
        assert store.append(message(b"a", b"next"), 3) == store.last
        store.close()
    with pytest.raises(ValueError, match="no messages"):
        opened(disk)[1].append_all([], 1)


def test_a_batch_that_fits_in_no_segment_is_refused() -> None:
    """Places have 32 bits. Nothing of it was stored, and the next one is."""
    home, store = opened(MemoryFiles())
    big = message(b"a", bytes(8 << 20))
    with pytest.raises(ValueError, match="a batch of [0-9]+ bytes, the longest of 8388609: the most is 4294967040"):
        store.append_all([big] * 512, 1)
    assert (store.last, store.messages, store.is_dirty) == (0, 0, False)
    assert store.append_all([message(b"a"), message(b"b")], 1) == 2
    home.turn(store)
    assert store.committed == 2


def test_a_batch_is_never_in_two_segments() -> None:
    disk = MemoryFiles()
    home, store = opened(disk, segment_size=1000)
    store.append(message(b"a", bytes(500)), 1)
    store.append_all([message(b"a", bytes(300)) for _ in range(4)], 2)
    home.turn(store)
    assert store._shelf.segment_of(2) is store._shelf.segment_of(5) is not store._shelf.segment_of(1)


def test_what_is_erased_is_overwritten_before_that_is_told() -> None:
    disk = RecordingFiles()
    home, store = opened(disk)
    for number in range(3):
        store.append(message(b"secret.subject", b"<secret %d>" % number, b"NATS/1.0\r\nSecret: 1\r\n\r\n"), 1)
    home.turn(store)
    told: list[int] = []
    store.erase(2)
    store.settle(lambda error: told.append(len(disk.ops)))
    home.turn(store)
    assert b"<secret 2>" in disk.contents[1] and b"<secret 1>" not in disk.contents[1]
    assert [op.name for op in disk.ops[: told[0]]][-2:] == ["write", "sync"]
    assert b"<secret 1>" not in bytes(store._shelf._blocks[0].buf)
    assert content(store).keys() == {1, 3}
    store.close()
    assert content(opened(disk)[1]).keys() == {1, 3}


@pytest.mark.parametrize("size", [0, 10, 6000])
def test_an_erasure_of_which_a_part_was_written_is_made_again(size: int) -> None:
    """Half of it is there, which is no record any more, or one with a part of the message; in the end all is overwritten."""

    class Stubborn(MemoryFiles):
        tries = 0

        def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
            if len(data) > 18 and data[18] == ERASED and offset > HEAD_SIZE and self.tries < 2:
                self.tries += 1
                super().pwrite(fd, data[: len(data) // 2], offset)
                raise OSError(errno.ENOSPC, "no space")
            super().pwrite(fd, data, offset)

    disk = Stubborn()
    home, store = opened(disk)
    for letter in (b"x", b"y", b"z"):
        store.append(message(b"a", letter * size), 1)
    home.turn(store)
    told: list[Exception | None] = []
    store.erase(2)
    store.settle(told.append)
    for tries in range(2):
        home.turn(store)
        assert told == [] and disk.tries == tries + 1
        store.repair(lambda repaired: None)
    home.turn(store)
    assert told == [None] and b"y" not in disk.contents[1]
    store.close()
    for forget in (False, True):
        if forget:
            disk.forget_checkpoints()
        home, store = opened(disk)
        assert content(store).keys() == {1, 3} and home.damages == []
        store.close()


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_an_erasure_that_was_interrupted_is_finished(chance: float) -> None:
    """Once the removal is on disk, the next start overwrites what is kept of the message."""
    import random

    disk = RecordingFiles()
    home, store = opened(disk)
    for number in range(3):
        store.append(message(b"a", b"<secret %d>" % number * 900), 1)
    home.turn(store)
    before = len(disk.ops)
    store.erase(2)
    home.turn(store)
    for cut in range(before, len(disk.ops) + 1):
        after = PowerCut(disk.ops[:cut], chance, random.Random(cut)).disk()
        home, store = opened(after)
        assert content(store).keys() in ({1, 2, 3}, {1, 3})
        if 2 not in content(store):
            assert not any(b"<secret 1>" in data for data in after.contents.values())
            assert home.damages == []


def test_damage_that_a_read_finds_is_missing_and_reported_once() -> None:
    disk = MemoryFiles()
    home, store = opened(disk)
    for number in range(1, 5):
        store.append(message(b"a", b"%d" % number * 50), 1)
    home.turn(store)
    for block in list(store._shelf._blocks):
        assert store.release(block)
    place = store._index.place_of(3)
    disk.contents[1][place + HEAD + 20] ^= 4
    assert store.read(3) is None and store.peek(3) is not None
    assert content(store).keys() == {1, 2, 4}
    answers: list[object] = []
    store.load([3, 4], answers.append)
    home.turn(store)
    (loaded,) = answers
    assert isinstance(loaded, list) and loaded[0] is None and loaded[1].sequence == 4
    (damage,) = home.damages
    assert (damage.file, damage.offset, damage.first, damage.last) == (FIRST, place, 3, 3)
    assert disk.contents[disk.paths[damage.kept_as]].startswith(disk.contents[1][place : place + 60])


def test_lost_ranges_are_told_by_their_sequences() -> None:
    disk = MemoryFiles()
    home, store = opened(disk)
    for number in range(1, 11):
        store.append(message(b"a", b"%d" % number * 50), 1)
    home.turn(store)
    first, end = store._index.place_of(4), store._index.place_of(7)
    store.close()
    disk.contents[1][first:end] = bytes(end - first)
    disk.forget_checkpoints()
    home, store = opened(disk)
    (damage,) = home.damages
    assert (damage.offset, damage.first, damage.last, damage.why) == (first, 4, 6, "this is no record")
    assert content(store).keys() == {1, 2, 3, 7, 8, 9, 10}
    assert store.append(message(b"a"), 1) == 11


def test_what_had_been_removed_is_not_missed() -> None:
    disk = MemoryFiles()
    home, store = opened(disk)
    for number in range(1, 11):
        store.append(message(b"a", b"%d" % number * 50), 1)
    for number in (4, 5, 6):
        store.remove(number)
    home.turn(store)
    store.close()
    disk.forget_checkpoints()
    start = HEAD_SIZE + 3 * length(51)
    disk.contents[1][start + 8 : start + 3 * length(51)] = bytes(3 * length(51) - 8)
    home, store = opened(disk)
    assert home.damages == [] and content(store).keys() == {1, 2, 3, 7, 8, 9, 10}


def test_what_looks_like_a_record_in_a_payload_is_none() -> None:
    """Somebody publishes a segment; then the head of that message is damaged."""
    disk = MemoryFiles()
    home, store = opened(disk)
    store.append(message(b"a", b"inner"), 1)
    home.turn(store)
    inner = bytes(disk.contents[1])
    disk = MemoryFiles()
    home = LoneHome(disk)
    store = FileStore(home, Folder(home.files, "/s"), 78)  # the seed is another one
    store.append(message(b"abc", bytes(1) + inner), 1)
    store.append(message(b"b", b"behind"), 1)
    home.turn(store)
    store.close()
    disk.contents[1][HEAD_SIZE + 8] ^= 1
    disk.forget_checkpoints()
    home, store = opened(disk)
    assert content(store) == {2: b"behind"}


def test_a_later_version_is_refused_and_left_alone() -> None:
    import struct
    import zlib

    disk = MemoryFiles()
    home, store = opened(disk)
    store.append(message(b"a"), 1)
    home.turn(store)
    store.close()
    head = bytearray(disk.contents[1][:60])
    head[8:12] = struct.pack("<I", 2)
    disk.contents[1][:128] = 2 * (head + struct.pack("<I", zlib.crc32(head)))
    before = bytes(disk.contents[1])
    with pytest.raises(StoreVersionError, match="has version 2 of the format, and this midge reads up to version 1"):
        opened(disk)
    assert bytes(disk.contents[1]) == before


def test_a_subject_that_is_too_long() -> None:
    home, store = opened(MemoryFiles())
    with pytest.raises(ValueError, match="the most is 65535"):
        store.append(message(b"a" * 65536), 1)
    assert store.append(message(b"a" * 65535), 1) == 1
    home.turn(store)
    assert store.committed == 1


def test_a_full_disk_takes_a_small_step_where_a_large_one_does_not_fit() -> None:
    class Full(FailingFiles, MemoryFiles):
        def __init__(self) -> None:
            MemoryFiles.__init__(self)
            FailingFiles.__init__(self)

        def fallocate(self, fd: int, offset: int, size: int) -> None:
            if size > 1000:
                raise OSError(errno.ENOSPC, "no space")
            super().fallocate(fd, offset, size)

    home, store = opened(Full())
    store.append(message(b"a"), 1)
    home.turn(store)
    assert store.committed == 1 and store.failure is None


def test_segments_go_at_the_head() -> None:
    disk = MemoryFiles()
    home, store = opened(disk, segment_size=1000)
    for number in range(1, 41):
        store.append(message(b"a", bytes(100)), number)
    home.turn(store)
    before = len(disk.paths)
    store.drop(30)
    assert len(disk.paths) == before  # not before it is on disk that they may go
    home.turn(store)
    assert len(disk.paths) < before - 3 and FIRST not in disk.paths
    store.close()
    home, store = opened(disk)
    assert (store.first, store.last, store.messages, home.damages) == (30, 40, 11, [])
    store.purge()
    home.turn(store)
    store.close()
    home, store = opened(disk)
    assert (store.first, store.last, store.messages, home.damages) == (41, 40, 0, [])
    assert len([path for path in disk.paths if path.endswith(".seg")]) == 1


def test_a_head_is_written_anew_where_one_of_its_copies_is_damaged() -> None:
    disk = MemoryFiles()
    home, store = opened(disk, segment_size=600)
    for number in range(1, 11):
        store.append(message(b"a", b"%d" % number * 50), number)
    home.turn(store)
    store.close()
    whole = {number: bytes(content) for number, content in disk.contents.items()}
    for places in ([3], [70], [3, 70]):
        for path, number in list(disk.paths.items()):
            if path.endswith(".seg"):
                for place in places:
                    disk.contents[number][place] ^= 1
                home, store = opened(disk, segment_size=600)
                assert content(store).keys() == set(range(1, 11))
                assert [damage.why for damage in home.damages] == ["its head was damaged"]
                store.close()
                assert disk.contents[number][:64] == disk.contents[number][64:128]
                assert places == [3, 70] or disk.contents[number] == whole[number]
                home, store = opened(disk, segment_size=600)
                assert home.damages == [] and content(store).keys() == set(range(1, 11))
                store.close()


def test_sealed_segments_are_not_kept_open() -> None:
    disk = MemoryFiles()
    home, store = opened(disk, segment_size=600)
    for number in range(1, 101):
        store.append(message(b"a", b"%d" % number * 50), number)
    home.turn(store)
    store.close()
    home, store = opened(disk, segment_size=600)
    assert len(store._shelf.segments) > 10
    assert [segment for segment in store._shelf.segments if segment.fd >= 0] == []
    assert content(store).keys() == set(range(1, 101))
    assert len([segment for segment in store._shelf.segments if segment.fd >= 0]) <= 4


def test_a_store_that_was_emptied_gives_its_space_back() -> None:
    disk = MemoryFiles()
    home, store = opened(disk, segment_size=64 << 20)
    for number in range(1, 31):
        store.append(message(b"a", bytes(100_000)), number)
    home.turn(store)
    assert store.purge() == 30
    home.turn(store)
    assert sum(len(disk.contents[number]) for path, number in disk.paths.items() if path.endswith(".seg")) < 1 << 20
    assert store.append(message(b"a", b"next"), 31) == 31
    home.turn(store)
    store.close()
    home, store = opened(disk)
    assert content(store) == {31: b"next"} and home.damages == []
