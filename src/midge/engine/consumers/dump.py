"""Dump: a ledger as bytes, and back: what outlives the process of a consumer's progress.

    version (1; 2 with resume behind it; 3 with resume, 0 for none, and the milliseconds at which it was written), next, last, delivered,
    floor, stream floor, entries, exceeded;
    of each entry: sequence and delivery sequence, both as the distance from those before, milliseconds of its time (the distance, zigzag),
    redeliveries; of each message that was delivered as often as it may be: sequence, redeliveries

Where there are entries it says when it was written: a clock that was set back since would keep them from being delivered again for as long.
All are numbers of seven bits a byte, the lowest first, the last byte below 128: a pending message takes about five bytes. Whoever keeps the
bytes checks them. The queue is not among them: who was to get a message again gets it when it expires, as after a start of nats-server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.engine.consumers.ledger import Ledger
else:
    from midge.engine.consumers.ledger import Ledger

__all__ = ["dump", "load"]

_VERSION = 1
_RESUMING = 2  # the version of a ledger that has ``resume``,
_TIMED = 3  # and of one that has entries
_UNIT = 1_000_000  # nanoseconds in a millisecond


def dump(ledger: Ledger, wall: int) -> bytes:
    """Return a ledger as bytes.

    Args:
        wall: now, in nanoseconds.
    """
    out = bytearray()
    _put(out, _TIMED if ledger.pending else _RESUMING if ledger.resume else _VERSION)
    if ledger.resume or ledger.pending:
        _put(out, ledger.resume)
    if ledger.pending:
        _put(out, wall // _UNIT)
    floors = ledger.told_floor, ledger.told_stream_floor
    for number in (ledger.next, ledger.last, ledger.delivered, *floors, ledger.pending, len(ledger.exceeded)):
        _put(out, number)
    sequence = delivery = time = 0
    for each in ledger.sequences():
        entry = ledger.entry(each)
        number, place, moment, count = each, entry[0], entry[1] // _UNIT, entry[2]  # type: ignore[index]
        _put(out, number - sequence)
        _put(out, place - delivery)
        step = moment - time
        _put(out, 2 * step if step >= 0 else -2 * step - 1)
        _put(out, count)
        sequence, delivery, time = number, place, moment
    for each, count in ledger.exceeded.items():
        _put(out, each)
        _put(out, count)
    return bytes(out)


def load(ledger: Ledger, data: bytes, wall: int) -> None:
    """Let a ledger go on where another one was.

    Args:
        wall: now, in nanoseconds; where it was later when the bytes were made, everything is so much sooner than it was to be then.

    Raises:
        ValueError: the bytes are no ledger, or of a later version.
    """
    numbers = _numbers(data)
    resume = numbers.pop(1) if len(numbers) > 1 and numbers[0] in (_RESUMING, _TIMED) else 0
    by = min(wall // _UNIT - numbers.pop(1), 0) if len(numbers) > 1 and numbers[0] == _TIMED else 0
    if len(numbers) < 8 or numbers[0] not in (_VERSION, _RESUMING, _TIMED) or len(numbers) != 8 + 4 * numbers[6] + 2 * numbers[7]:
        raise ValueError("this is not how far a consumer has come")
    ledger.start(numbers[1])
    ledger.resume = resume
    ledger.last, ledger.delivered, ledger.floor, ledger.stream_floor = numbers[2:6]
    ledger.told_floor, ledger.told_stream_floor = numbers[4:6]
    at = 8
    sequence = delivery = time = 0
    for _ in range(numbers[6]):
        sequence += numbers[at]
        delivery += numbers[at + 1]
        step = numbers[at + 2]
        time += -(step + 1) // 2 if step & 1 else step // 2
        ledger.put(sequence, delivery, (time + by) * _UNIT, numbers[at + 3])
        at += 4
    for _ in range(numbers[7]):
        ledger.exceed(numbers[at], numbers[at + 1])
        at += 2


def _put(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _numbers(data: bytes) -> list[int]:
    numbers: list[int] = []
    number = shift = 0
    for byte in data:
        low = byte & 127
        number |= low << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
        elif shift > 56:
            raise ValueError("this is not how far a consumer has come")
    return numbers
