"""Bytes of a small store changed, and files of it cut short: served, reported or refused, and never wrong data.

``MIDGE_LONG`` changes every bit of every byte, and cuts at every place.
"""

import random
from collections.abc import Callable, Iterator

import pytest
from store.disks import LoneHome, MemoryFiles, message
from trials import LONG

from midge.store.folder import Folder
from midge.store.log import FileStore

BITS = range(8) if LONG else (None,)
STEP = 1 if LONG else 6
STRIDE = 1 if LONG else 7  # of what is zero: space set aside
pytestmark = pytest.mark.timeout(36_000 if LONG else 120)


class Original:
    """A small store with some of everything.

    Attributes:
        disk: its files.
        stored: sequence: what was ever stored of a message.
        kept: the sequences that are there.
    """

    def __init__(self) -> None:
        self.disk = MemoryFiles()
        home = LoneHome(self.disk, segment_size=450)
        store = FileStore(home, Folder(home.files, "/s"), 0x12345678)
        self.stored: dict[int, tuple[bytes, bytes, bytes]] = {}
        for number in range(24):
            parts = (b"a.%d" % (number % 3), b"NATS/1.0\r\nA: b\r\n\r\n" if number % 4 == 0 else b"", b"<%d>" % number * (number % 9))
            sequence = store.append(message(parts[0], parts[2], parts[1]), 1000 + number)
            self.stored[sequence] = parts
            if number == 9:
                store.remove(8)
                store.erase(9)
                store.skip(13, 1010)
                home.turn(store)
        store.append_all([message(b"batch", b"1"), message(b"batch", b"2")], 2000)
        self.stored[store.last - 1], self.stored[store.last] = (b"batch", b"", b"1"), (b"batch", b"", b"2")
        store.drop(3)
        home.turn(store)
        self.kept = {stored.sequence for stored in store.scan()}
        self.last = store.last
        assert len([path for path in self.disk.paths if path.endswith(".seg")]) >= 3
        store.close()

    def copy(self, *, with_index: bool = True) -> MemoryFiles:
        """The same, with what a clean stop leaves or, as after a kill, without."""
        disk = MemoryFiles()
        disk.paths = {path: number for path, number in self.disk.paths.items() if with_index or not path.endswith(".idx")}
        disk.contents = {number: bytearray(content) for number, content in self.disk.contents.items()}
        return disk


@pytest.fixture(scope="module")
def original() -> Original:
    return Original()


def damaged(original: Original) -> Iterator[tuple[str, int, MemoryFiles]]:
    """Every changed byte."""
    dice = random.Random(8)
    for path, number in 2 * [*original.disk.paths.items()]:  # with and without an index, and other places
        content = original.disk.contents.get(number, b"")
        used = len(bytes(content).rstrip(b"\0")) + 64
        places = [*range(min(used, len(content))), *range(used, len(content), 997 * STRIDE)]
        for place in places[dice.randrange(STEP) :: STEP]:
            for bit in BITS:
                disk = original.copy(with_index=path.endswith(".idx") or dice.random() < 0.5)
                disk.contents[number][place] ^= 1 << (dice.randrange(8) if bit is None else bit)
                yield path, place, disk


def cut_short(original: Original) -> Iterator[tuple[str, int, MemoryFiles]]:
    """Every shorter file."""
    for path, number in original.disk.paths.items():
        content = original.disk.contents.get(number, b"")
        used = len(bytes(content).rstrip(b"\0")) + 64
        for size in [*range(min(used, len(content))), *range(used, len(content), 997 * STRIDE)][number % STEP :: STEP]:
            disk = original.copy(with_index=path.endswith(".idx") or size % 4 < 2)
            del disk.contents[number][size:]
            yield path, size, disk


def test_a_changed_byte_is_found(original: Original, figure: Callable[[str], None]) -> None:
    count = 0
    for count, (path, place, disk) in enumerate(damaged(original), 1):
        try:
            check(original, disk, path)
        except BaseException as error:
            error.add_note(f"byte {place} of {path}")
            raise
    figure(f"{count} changed bytes")


def test_a_file_that_was_cut_short_is_found(original: Original, figure: Callable[[str], None]) -> None:
    count = 0
    for count, (path, size, disk) in enumerate(cut_short(original), 1):
        try:
            check(original, disk, path, is_cut=True)
        except BaseException as error:
            error.add_note(f"{path} with {size} bytes")
            raise
    figure(f"{count} files cut short")


def test_a_missing_file_is_found(original: Original) -> None:
    for path in [path for path, number in original.disk.paths.items() if number]:
        disk = original.copy()
        del disk.paths[path]
        check(original, disk, path, is_cut=True)


def check(original: Original, disk: MemoryFiles, path: str, *, is_cut: bool = False) -> None:
    """Open a damaged store, and again."""
    before = sum(len(content) for content in disk.contents.values())
    home = LoneHome(disk, segment_size=450)
    store = FileStore(home, Folder(home.files, "/s"), 1)
    found = {stored.sequence: (stored.subject, stored.header, stored.payload) for stored in store.scan()}
    home.finish()  # what was found damaged is copied, and reported then
    for sequence, parts in found.items():
        assert original.stored[sequence] == parts
    is_last = path == max(path for path in original.disk.paths if path.endswith(".seg"))
    if not home.damages and not (is_cut and is_last):  # cut behind a record, the last segment is a shorter one that is whole
        assert found.keys() == original.kept
        assert store.last == original.last
    assert store.messages == len(found) or home.damages and disk.checkpoints()  # known, and found to be damaged when read
    for sequence in original.kept - found.keys():
        assert home.damages or is_cut and is_last, sequence
    kept = [damage for damage in home.damages if damage.kept_as]
    assert all(damage.kept_as in disk.paths for damage in kept)
    assert sum(len(content) for content in disk.contents.values()) + 128 * 1024 >= before, "something was thrown away"
    sequence = store.append(message(b"more", b"!"), 3000)
    home.turn(store)
    assert store.failure is None
    store.close()
    again = LoneHome(disk, segment_size=450)
    store = FileStore(again, Folder(again.files, "/s"), 1)
    assert {stored.sequence for stored in store.scan()} == found.keys() | {sequence}
    store.close()
