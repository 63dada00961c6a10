"""wire.outbox: always the bytes that were written and not yet sent, in a buffer that neither grows nor moves without need."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from midge.wire.encoder import put_line, put_publish
from midge.wire.outbox import Outbox

KEEP = 1 << 20
DATA = st.binary(max_size=40) | st.integers(0, 9000).map(lambda size: bytes(range(256)) * (size // 256) + b"z" * (size % 256))


class OutboxModel(RuleBasedStateMachine):
    """An outbox beside the plain bytes that it stands for."""

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
        assert len(self.out.buf) - self.out.fill >= size

    @rule(share=st.floats(0, 1))
    def send_a_part(self, share: float) -> None:
        size = int(share * len(self.expected))
        self.out.advance(size)
        self.expected = self.expected[size:]

    @rule()
    def send_all(self) -> None:
        self.out.advance(len(self.out))
        self.expected = b""
        assert (self.out.start, self.out.fill) == (0, 0)

    @rule()
    def clear(self) -> None:
        self.out.clear()
        self.expected = b""

    @rule()
    def trim(self) -> None:
        self.out.trim()
        assert self.expected or len(self.out.buf) == 0

    @rule()
    def take(self) -> None:
        taken = self.out.take()
        assert isinstance(taken, bytearray) and taken == self.expected
        self.expected = b""

    @invariant()
    def it_holds_what_was_written_and_not_sent(self) -> None:
        out = self.out
        assert 0 <= out.start <= out.fill <= len(out.buf)
        assert len(out) == len(self.expected)
        with out.view() as view:
            assert view == self.expected


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(deadline=None, max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])


def test_new() -> None:
    out = Outbox()
    assert (len(out), out.start, out.fill, len(out.buf)) == (0, 0, 0, 0)
    assert bytes(out.take()) == b""


def test_growing_is_amortised() -> None:
    """A megabyte in pieces of 16 bytes moves to a new buffer a handful of times."""
    out, moves = Outbox(), 0
    for _ in range(65536):
        before = out.buf
        out.write(b"0123456789abcdef")
        moves += out.buf is not before
    assert moves <= 10
    assert len(out.buf) <= 2 * len(out)


def test_a_large_write_makes_one_buffer() -> None:
    out = Outbox()
    out.write(b"x" * 5_000_000)
    assert len(out.buf) == 5_000_000


@pytest.mark.parametrize("lag", [0, 1, 100, 3000, 50_000])
def test_a_steady_stream_needs_a_steady_buffer(lag: int) -> None:
    """What is sent makes room again: a receiver that always lags a little does not make the buffer grow for ever."""
    out = Outbox()
    out.write(b"x" * lag)
    for _ in range(5000):
        out.write(b"y" * 1000)
        out.advance(1000)
    assert len(out) == lag
    assert len(out.buf) <= 4 * (lag + 1000) + 8192


def test_a_buffer_that_grew_large_is_given_back_when_it_is_empty() -> None:
    out = Outbox()
    out.write(b"x" * (KEEP + 1))
    out.advance(KEEP)
    assert len(out.buf) > KEEP
    out.advance(1)
    assert len(out.buf) == 0
    out.write(b"x" * KEEP)
    out.advance(KEEP)
    assert len(out.buf) == KEEP


def test_take_does_not_copy_what_starts_at_the_front() -> None:
    out = Outbox()
    out.write(b"hello")
    before = out.buf
    assert out.take() is before
    assert before == b"hello"


def test_the_view_is_the_buffer_itself() -> None:
    """Nothing is copied to send, and growing is refused by Python while a view is out of a buffer that would be given away."""
    out = Outbox()
    out.write(b"hello world")
    out.advance(6)
    with out.view() as view:
        assert view.obj is out.buf
        assert bytes(view) == b"world"
        with pytest.raises(BufferError):
            out.buf.extend(b"x")
