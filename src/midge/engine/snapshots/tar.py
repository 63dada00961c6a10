"""The files in a tar archive that comes piece by piece: as much of the format as nats-server's archives before 2.15 use. Pure.

A name, a size and the bytes; a head of PAX may give a longer name. Anything else (directories, links, devices) is refused: there is none in
an archive of a stream. No file is made of any of it, so a name is only a name.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["TarPart", "TarReader"]

BLOCK: Final = 512
PIECE: Final = 1 << 16
MAX_PAX: Final = 1 << 16
_FILES, _PAX, _GLOBAL = (b"0", b"\0"), b"x", b"g"


class TarPart(NamedTuple):
    """A piece of a file; empty ones may come, and there is one ``last``."""

    name: str
    data: bytes
    last: bool


class TarReader:
    """The files of an archive, in pieces. What is kept is bounded by what is fed at once.

    Attributes:
        has_ended: the archive has said that this was all.
    """

    __slots__ = ("_after", "_buf", "_kind", "_left", "_name", "_padding", "_pax", "has_ended")

    def __init__(self) -> None:
        self._buf = bytearray()
        self._name = ""
        self._kind = b""  # of the entry that is under way, empty where none is
        self._left = self._after = self._padding = 0  # bytes: of the entry, of what follows it, of what follows the last one
        self._pax: dict[str, str] = {}
        self.has_ended = False

    @property
    def is_between(self) -> bool:
        """True where no file is under way."""
        return not (self._kind or self._padding or self._buf)

    def feed(self, data: bytes) -> None:
        """Take what comes next. Next: ``next`` until it returns None."""
        if not self.has_ended:
            self._buf += data

    def next(self) -> TarPart | None:
        """Return what comes next of a file, None where it is not here.

        Raises:
            ValueError: it is no such archive.
        """
        while self._has_entry():
            if self._kind in (_PAX, _GLOBAL):
                if len(self._buf) < self._left:
                    return None
                is_ours, data = self._kind == _PAX, self._take(self._left)
                self._pax = _records(data) if is_ours else self._pax
            elif self._left and not self._buf:
                return None
            else:
                data = self._take(min(self._left, len(self._buf), PIECE))
                return TarPart(self._name, data, not self._kind)
        return None

    def _has_entry(self) -> bool:
        """Go to the next entry where none is under way. False where that is not here."""
        if self._padding:
            size = min(self._padding, len(self._buf))
            del self._buf[:size]
            self._padding -= size
        if self._padding or self.has_ended:
            return False
        if not self._kind and len(self._buf) >= BLOCK:
            head = bytes(self._buf[:BLOCK])
            del self._buf[:BLOCK]
            self._open(head)
        return bool(self._kind)

    def _take(self, size: int) -> bytes:
        """Take bytes of the entry, which may end with them."""
        data = bytes(self._buf[:size])
        del self._buf[:size]
        self._left -= size
        if not self._left:
            self._kind = b""
            self._padding = self._after
        return data

    def _open(self, head: bytes) -> None:
        """Read the head of an entry."""
        if not any(head):
            self.has_ended = True
            return
        if _number(head[148:156]) != sum(head) - sum(head[148:156]) + 8 * 32:
            raise ValueError("archive/tar: invalid tar header")
        self._kind = head[156:157]
        self._left = _number(head[124:136])
        if self._kind in (_PAX, _GLOBAL):
            if self._left > MAX_PAX:
                raise ValueError("archive/tar: header field too long")
        elif self._kind in _FILES:
            prefix = _text(head[345:500]) if head[257:262] == b"ustar" else ""
            name = _text(head[:100])
            self._name = self._pax.get("path") or (f"{prefix}/{name}" if prefix else name)
            self._left = _decimal(self._pax["size"]) if "size" in self._pax else self._left
            self._pax = {}
        else:
            raise ValueError("unexpected content")
        self._after = -self._left % BLOCK


def _records(data: bytes) -> dict[str, str]:
    """Return what a head of PAX says: lines of "length name=value"."""
    found = {}
    while data:
        digits, blank, _ = data.partition(b" ")
        size = _decimal(digits[:9].decode("latin-1")) if blank else 0
        if not len(digits) + 1 < size <= len(data) or data[size - 1 : size] != b"\n":
            raise ValueError("archive/tar: invalid tar header")
        name, _, value = data[len(digits) + 1 : size - 1].decode("utf-8", "surrogateescape").partition("=")
        found[name] = value
        data = data[size:]
    return found


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError("archive/tar: invalid tar header")
    return int(text)


def _number(field: bytes) -> int:
    """Read a number in octal."""
    text = field.strip(b" \0")
    if not text:
        return 0
    if not all(48 <= digit < 56 for digit in text):
        raise ValueError("archive/tar: invalid tar header")
    return int(text, 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
