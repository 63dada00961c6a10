"""Acks: how acknowledgements come in: one subscription for all consumers of an account, and what each kind of them means.

The subject tells everything: ``$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<delivery sequence>.<time>.<pending>``, or the
same behind ``$JS.ACK.<domain>.<account hash>``. The payload says what it is: nothing, ``+ACK`` or ``+OK`` (done), ``-NAK`` (again, with a
delay behind it), ``+WPI`` (working on it), ``+TERM`` (never again, with a reason), ``+NXT`` (done, and the next, as a pull request has it).
Anything else is ignored. Where there is a reply subject, everything but ``+NXT`` is answered with nothing, when it is safe.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.engine.consumers.delivery import Delivery
    from cython.cimports.midge.wire.octets import cut, find_byte, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.engine.consumers.delivery import Delivery
    from midge.wire.octets import cut, find_byte, same
    from midge.wire.publication import Publication

__all__ = ["Acks", "hash_of"]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_ACK, _OK = b"+ACK", b"+OK"
_PREFIX = 8  # bytes of ``$JS.ACK.``
_DOTS = 6  # behind the prefix, in the short form
_DOTS_LONG = 8  # at least, in the long one
_DOT = 46


class Acks:
    """The acknowledgements of one account's consumers.

    Args:
        domain: of JetStream, empty for none.
        account: the name of the account.

    Attributes:
        prefix: what the long form has more.
        deliveries: where acknowledgements go, by the names of stream and consumer with a dot between.
    """

    __slots__ = ("deliveries", "prefix")

    def __init__(self, domain: str, account: str) -> None:
        self.prefix = b"%b.%b." % (domain.encode() or b"_", hash_of(account).encode())
        self.deliveries: dict[bytes, Delivery] = {}

    def receive(self, publication: Publication, wall: int) -> bool:
        """Take an acknowledgement. False where it is for nobody here."""
        buf, end = publication.buf, publication.subject_end
        start = publication.subject_start + _PREFIX
        dots = _count(buf, start, end)
        if dots >= _DOTS_LONG and same(buf, start, start + len(self.prefix), self.prefix):
            start += len(self.prefix)
        elif dots != _DOTS:
            return False
        names = _behind(buf, _behind(buf, start, end), end) - 1
        delivery = self.deliveries.get(cut(buf, start, names))
        if delivery is None:
            return False
        delivery.heard = wall
        after_count = _behind(buf, names + 1, end)
        after_sequence = _behind(buf, after_count, end)
        sequence = _number(buf, after_count, after_sequence - 1)
        place = _number(buf, after_sequence, _behind(buf, after_sequence, end) - 1)
        body = publication.payload_start + (publication.header_size if publication.header_size > 0 else 0)
        if publication.reply_end == 0 and not delivery.sampled and _is_plain(buf, body, publication.payload_end):
            delivery.ack(sequence, place)
        else:
            delivery.consumer.heard(sequence, place, _number(buf, names + 1, after_count - 1), publication, wall)
        return True


def hash_of(name: str) -> str:
    """Return the eight letters that stand for an account in subjects (nats-server's getHash)."""
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in sha256(name.encode("utf-8", "surrogateescape")).digest()[:8])


def _is_plain(buf: bytearray, start: int, end: int) -> bool:
    """True if a body says that a message is done with, and no more."""
    return start == end or same(buf, start, end, _ACK) or same(buf, start, end, _OK)


def _behind(buf: bytearray, start: int, end: int) -> int:
    """Return where the next token begins; a promise: there is one."""
    return find_byte(buf, _DOT, start, end) + 1


def _count(buf: bytearray, start: int, end: int) -> int:
    """Return how many dots there are."""
    count = 0
    at = find_byte(buf, _DOT, start, end)
    while at >= 0:
        count += 1
        at = find_byte(buf, _DOT, at + 1, end)
    return count


def _number(buf: bytearray, start: int, end: int) -> int:
    """Return a number, -1 where it is none or too long: such a message was never delivered."""
    if not 0 < end - start <= 18:
        return -1
    value = 0
    for at in range(start, end):
        digit = buf[at] - 48
        if not 0 <= digit <= 9:
            return -1
        value = 10 * value + digit
    return value
