"""wire.frames: what is left of an outbox whose connection is gone: every whole publish, not a byte of a half-sent one. And what is to be
finished where the connection is there still."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midge.wire.encoder import put_line, put_publish
from midge.wire.frames import frames_begun, pings_left, publishes_left
from midge.wire.outbox import Outbox

PAYLOADS = st.binary(max_size=60) | st.sampled_from([b"PUB a 1\r\nx\r\n", b"x" * 5000, b"x" * 70_000, b"y" * 140_000])
FRAMES = st.one_of(
    st.tuples(st.just("publish"), PAYLOADS, st.none() | st.just(b"reply"), st.none() | st.just(b"NATS/1.0\r\n\r\n")),
    st.tuples(st.just("line"), st.sampled_from([b"PING", b"SUB a 1", b"UNSUB 1 5", b"CONNECT {}", b"PONG"])),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FRAMES, max_size=8), st.floats(0, 1), st.just(0.0) | st.floats(0, 1))
def test_what_is_left(frames: list[tuple[str, bytes, bytes | None, bytes | None]], share: float, share_begun: float) -> None:
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
    begun = int(share_begun * len(out))
    at, expected, pings, end = 0, [], 0, 0
    for kind, frame in written:
        if at < sent + begun:
            end = at + len(frame)
        elif kind == "publish":
            expected.append(frame)
        else:
            pings += frame == b"PING\r\n"
        at += len(frame)
    assert publishes_left(out, begun) == expected and pings_left(out, begun) == pings
    rest = b"".join(frame for _, frame in written)[sent : max(end, sent)]
    out.cut(frames_begun(out, begun))
    assert out.take_all() == rest


def test_nothing_is_left_of_nothing() -> None:
    assert publishes_left(Outbox()) == []
