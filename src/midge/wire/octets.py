"""The few byte primitives that exist twice: here for plain Python, in octets.pxd for the compiled modules.

Keep the pair tiny. Callers promise that every index lies inside the buffer; nothing here checks it, because the compiled twin
cannot. ``tests/wire/test_octets.py`` runs hostile input through both and demands equal results.
"""

from __future__ import annotations

__all__ = [
    "CONNECT", "ERR", "HMSG", "HPUB", "INFO", "MAX_FIELDS", "MSG", "NEED_DATA", "OK", "PING", "PONG", "PUB", "SUB", "UNSUB", "cut",
    "fields", "find_byte", "new_buffer", "number", "put", "put_blank", "put_crlf", "put_masked", "put_number",
    "put_slice", "put_subscribed", "resize", "same",
]  # fmt: skip

# What Parser.next() found. The same numbers stand in octets.pxd, and a test compares them.
NEED_DATA, PUB, HPUB, SUB, UNSUB, CONNECT, PING, PONG, INFO, OK, ERR, MSG, HMSG = range(13)
MAX_FIELDS = 6


def new_buffer(size: int) -> bytearray:
    """Return a buffer of size bytes whose content is arbitrary: compiled, nobody has cleared it."""
    return bytearray(size)


def resize(buf: bytearray, size: int) -> None:
    """Make the buffer longer; what it holds stays, and what follows is arbitrary."""
    buf.extend(bytes(size - len(buf)))


def find_byte(buf: bytearray, byte: int, start: int, stop: int) -> int:
    """Return where the byte stands first in buf[start:stop], or -1."""
    return buf.find(byte, start, stop)


def cut(buf: bytearray, start: int, stop: int) -> bytes:
    """Return a copy of buf[start:stop]."""
    return bytes(buf[start:stop])


def same(buf: bytearray, start: int, stop: int, other: bytes) -> bool:
    """True if buf[start:stop] equals other."""
    return buf[start:stop] == other


def number(buf: bytearray, start: int, stop: int) -> int:
    """Return the decimal number of 1 to 9 digits in buf[start:stop], or -1 (nats-server's parseSize)."""
    digits = buf[start:stop]
    return int(digits) if 0 < stop - start <= 9 and digits.isdigit() else -1


def fields(buf: bytearray, start: int, stop: int, spans: list[int]) -> int:
    """Write where each field of buf[start:stop] begins and ends to spans; return how many there are.

    Returns -1 where they are not separated by exactly one space each, or are more than MAX_FIELDS.
    """
    count = 0
    line = bytes(buf[start:stop])
    if b"\t" in line:
        return -1
    for field in line.split(b" "):
        if not field or count == MAX_FIELDS:
            return -1
        spans[2 * count] = start
        start += len(field)
        spans[2 * count + 1] = start
        start += 1
        count += 1
    return count


def put(out: bytearray, at: int, data: bytes) -> int:
    """Copy data to out[at:]; return where it ends."""
    end = at + len(data)
    out[at:end] = data
    return end


def put_blank(out: bytearray, at: int) -> int:
    """Write a space to out[at]; return where it ends."""
    out[at] = 0x20
    return at + 1


def put_crlf(out: bytearray, at: int) -> int:
    """Write the end of a line to out[at:]; return where it ends."""
    out[at] = 0x0D
    out[at + 1] = 0x0A
    return at + 2


def put_slice(out: bytearray, at: int, buf: bytearray, start: int, stop: int) -> int:
    """Copy buf[start:stop] to out[at:]; return where it ends."""
    end = at + stop - start
    out[at:end] = buf[start:stop]
    return end


def put_subscribed(out: bytearray, at: int, buf: bytearray, start: int, stop: int, sid: bytes, tail: int, end: int) -> int:
    """Write a MSG to out[at:], with the subject buf[start:stop], a sid and the rest, buf[tail:end]; return where it ends."""
    at = put_slice(out, put(out, at, b"MSG "), buf, start, stop)
    return put_slice(out, put(out, at, b" %b " % sid), buf, tail, end)


def put_masked(out: bytearray, at: int, buf: bytearray, start: int, stop: int, key: bytes) -> int:
    """Copy buf[start:stop] to out[at:], XORed with the four bytes of the key again and again; return where it ends.

    The two may be the same buffer where at <= start.
    """
    if not any(key):
        return put_slice(out, at, buf, start, stop)
    size = stop - start
    mask = (key * (size // 4 + 1))[:size]
    return put(out, at, (int.from_bytes(buf[start:stop], "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little"))


def put_number(out: bytearray, at: int, value: int) -> int:
    """Write a number from 0 to 10**18 in decimal to out[at:]; return where it ends."""
    return put(out, at, b"%d" % value)
