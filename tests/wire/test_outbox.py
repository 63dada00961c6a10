"""wire.outbox: always the bytes that were written and not yet sent, in blocks that begin with a whole frame and are given back at once."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from midge.wire.encoder import put_line, put_publish
from midge.wire.outbox import LARGE_BLOCK, MAX_VIEWS, SMALL_BLOCK, Outbox, give_back

SIZES = st.integers(0, 9000) | st.sampled_from([SMALL_BLOCK, SMALL_BLOCK + 1, LARGE_BLOCK - 1, LARGE_BLOCK, LARGE_BLOCK + 1])
DATA = st.binary(max_size=40) | SIZES.map(lambda size: bytes(range(256)) * (size // 256) + b"z" * (size % 256))


def waiting(out: Outbox) -> bytes:
    """What waits, all of it."""
    start, parts = out.start, []
    for block, fill in out.blocks():
        parts.append(bytes(block[start:fill]))
        start = 0
    return b"".join(parts)


class OutboxModel(RuleBasedStateMachine):
    """An outbox beside the frames that were written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.out = Outbox()
        self.expected = b""

    @rule(data=DATA)
    def write(self, data: bytes) -> None:
        self.out.write(data)
        self.expected += data

    @rule(line=st.binary(max_size=20))
    def put_line(self, line: bytes) -> None:
        put_line(self.out, line)
        self.expected += line + b"\r\n"

    @rule(payload=DATA)
    def put_publish(self, payload: bytes) -> None:
        put_publish(self.out, b"a", None, None, payload)
        self.expected += b"PUB a %d\r\n%b\r\n" % (len(payload), payload)

    @rule(size=st.integers(0, 20000))
    def reserve(self, size: int) -> None:
        self.out.reserve(size)
        assert self.out.size - self.out.fill >= size

    @rule(share=st.floats(0, 1))
    def send_a_part(self, share: float) -> None:
        size = int(share * len(self.expected))
        self.out.advance(size)
        self.expected = self.expected[size:]

    @rule()
    def send_all(self) -> None:
        self.out.advance(len(self.out))
        self.expected = b""
        assert (self.out.start, self.out.fill, self.out.size, len(self.out.buf)) == (0, 0, 0, 0)

    @rule()
    def clear(self) -> None:
        self.out.clear()
        self.expected = b""
        assert self.out.size == 0

    @rule(share=st.floats(0, 1))
    def cut(self, share: float) -> None:
        size = int(share * len(self.expected))
        self.out.cut(size)
        self.expected = self.expected[:size]

    @rule()
    def take(self) -> None:
        before = len(self.out)
        block, size = self.out.take()
        assert isinstance(block, bytearray) and block[:size] == self.expected[:size] and (size > 0) == (before > 0)
        self.expected = self.expected[size:]
        give_back(block)

    @rule()
    def take_all(self) -> None:
        assert self.out.take_all() == self.expected
        self.expected = b""

    @rule(parts=st.lists(DATA, max_size=3), sent=st.integers(0, 30))
    def adopt(self, parts: list[bytes], sent: int) -> None:
        other = Outbox()
        for part in parts:
            other.write(part)
        sent = min(sent, len(other))
        other.advance(sent)
        self.out.adopt(other)
        self.expected += b"".join(parts)[sent:]
        assert (len(other), other.size) == (0, 0)

    @invariant()
    def it_holds_what_was_written_and_not_sent(self) -> None:
        out = self.out
        assert 0 <= out.fill <= out.size and out.size <= len(out.buf)
        assert len(out) == out.waiting() == len(self.expected)
        assert waiting(out) == self.expected
        views = b"".join(map(bytes, out.views()))
        assert self.expected.startswith(views) and (len(views) == len(self.expected) or len(out.views()) == MAX_VIEWS)


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(deadline=None, max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])


def test_an_empty_outbox_holds_nothing() -> None:
    out = Outbox()
    assert (len(out), out.start, out.fill, out.size, len(out.buf)) == (0, 0, 0, 0, 0)
    out.write(b"hello")
    assert len(out.buf) == SMALL_BLOCK
    out.advance(5)
    assert len(out.buf) == 0


def test_growing_copies_nothing() -> None:
    """A block is written to until it is full, and then stays where it is until it has been sent."""
    out, blocks = Outbox(), []
    for number in range(100_000):
        out.write(b"%016d" % number)
        if not blocks or out.buf is not blocks[-1]:
            blocks.append(out.buf)
    assert [block for block, _ in out.blocks()] == blocks
    assert [len(block) for block in blocks] == [SMALL_BLOCK] + [LARGE_BLOCK] * (len(blocks) - 1)
    assert waiting(out) == b"".join(b"%016d" % number for number in range(100_000))


def test_a_frame_larger_than_a_block_gets_one_of_its_own() -> None:
    out = Outbox()
    out.write(b"a")
    out.write(b"x" * 5_000_000)
    out.write(b"b")
    assert [len(block) for block, _ in out.blocks()] == [SMALL_BLOCK, 5_000_000, LARGE_BLOCK]


def test_it_shrinks_while_it_is_sent() -> None:
    out = Outbox()
    for _ in range(10 * LARGE_BLOCK // 1000):
        out.write(b"x" * 1000)
    counts = []
    while len(out):
        out.advance(min(LARGE_BLOCK, len(out)))
        counts.append(len(out.blocks()))
    assert counts == sorted(counts, reverse=True) and counts[-1] == 1
    assert out.size == 0


@pytest.mark.parametrize("lag", [0, 1, 100, 3000, 50_000])
def test_a_steady_stream_needs_steady_memory(lag: int) -> None:
    """What is sent makes room again: a receiver that always lags a little does not make the outbox grow for ever."""
    out = Outbox()
    out.write(b"x" * lag)
    for _ in range(5000):
        out.write(b"y" * 1000)
        out.advance(1000)
    assert len(out) == lag
    assert sum(len(block) for block, _ in out.blocks()) <= 2 * LARGE_BLOCK + lag


def test_who_says_much_gets_a_large_block_at_once_and_who_says_little_a_small_one() -> None:
    out, sizes = Outbox(), []
    for size in (100, 5000, 5000, 100, 100, 100):
        for _ in range(size // 100):
            out.write(b"x" * 100)
        sizes.append(len(out.blocks()[0][0]))
        out.advance(size)
    assert sizes == [SMALL_BLOCK, SMALL_BLOCK, LARGE_BLOCK, LARGE_BLOCK, SMALL_BLOCK, SMALL_BLOCK]


def test_take_hands_over_the_block_itself() -> None:
    out = Outbox()
    out.write(b"hello")
    before = out.buf
    block, size = out.take()
    assert block is before and block[:size] == b"hello"
    assert out.buf is not before


def test_adopting_moves_blocks_and_copies_only_what_is_small() -> None:
    out, other = Outbox(), Outbox()
    other.write(b"x" * 5000)
    block = other.buf
    out.write(b"a")
    out.adopt(other)
    assert out.buf is block
    other.write(b"tail")
    out.adopt(other)
    assert out.buf is block
    assert waiting(out) == b"a" + b"x" * 5000 + b"tail"


def test_the_views_are_the_blocks_themselves() -> None:
    """Nothing is copied to send."""
    out = Outbox()
    out.write(b"hello world")
    out.advance(6)
    (view,) = out.views()
    assert view.obj is out.buf
    assert bytes(view) == b"world"


@pytest.fixture
def a_thousand() -> Iterator[list[Outbox]]:
    outboxes = [Outbox() for _ in range(1000)]
    yield outboxes
    for out in outboxes:
        out.clear()


def test_free_blocks_are_kept_within_bounds(a_thousand: list[Outbox]) -> None:
    """A burst to a thousand connections leaves a few megabytes of free blocks at most."""
    seen = set()
    for _ in range(2):
        for out in a_thousand:
            out.write(b"x" * 60_000)
            seen.add(id(out.buf))
    del out
    blocks = [block for out in a_thousand for block, _ in out.blocks()]
    for out in a_thousand:
        out.clear()
    free = []
    for out in a_thousand:
        out.write(b"x" * 60_000)
        free += [block for block in blocks if block is out.buf]
        if not free or free[-1] is not out.buf:
            break
    assert sum(map(len, free)) <= 64 * LARGE_BLOCK < 9 << 20


def test_an_outbox_whose_blocks_are_taken_goes_back_to_small_ones() -> None:
    out = Outbox()
    for size in (LARGE_BLOCK, LARGE_BLOCK, 16):
        out.write(b"x" * size)
    sizes = []
    for _ in range(3):
        while len(out):
            out.take()
        out.write(b"x" * 16)
        sizes.append(out.size)
    assert sizes == [LARGE_BLOCK, SMALL_BLOCK, SMALL_BLOCK]
