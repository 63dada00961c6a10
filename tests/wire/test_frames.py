"""wire.frames: what is left of an outbox whose connection is gone: every whole publish, not a byte of a half-sent one."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midge.wire.encoder import put_line, put_publish
from midge.wire.frames import publishes_left
from midge.wire.outbox import Outbox

PAYLOADS = st.binary(max_size=60) | st.sampled_from([b"PUB a 1\r\nx\r\n", b"x" * 5000, b"x" * 70_000, b"y" * 140_000])
FRAMES = st.one_of(
    st.tuples(st.just("publish"), PAYLOADS, st.none() | st.just(b"reply"), st.none() | st.just(b"NATS/1.0\r\n\r\n")),
    st.tuples(st.just("line"), st.sampled_from([b"PING", b"SUB a 1", b"UNSUB 1 5", b"CONNECT {}", b"PONG"])),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FRAMES, max_size=8), st.floats(0, 1))
def test_what_is_left(frames: list[tuple[str, bytes, bytes | None, bytes | None]], share: float) -> None:
    out, written = Outbox(), []
    for kind, *parts in frames:
        alone = Outbox()
        for target in (out, alone):
            if kind == "line":
                put_line(target, parts[0])
            else:
                put_publish(target, b"orders.new", parts[1], parts[2], parts[0])
        written.append((kind, bytes(alone.buf[: alone.fill])))
    sent = int(share * len(out))
    out.advance(sent)
    at, expected = 0, []
    for kind, frame in written:
        if at >= sent and kind == "publish":
            expected.append(frame)
        at += len(frame)
    assert publishes_left(out) == expected


def test_nothing_is_left_of_nothing() -> None:
    assert publishes_left(Outbox()) == []
