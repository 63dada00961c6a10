"""server.latency: which requests are measured. Against nats-server: tests/interop/test_account_conversations.py."""

import pytest

from midge.server.account_options import Latency
from midge.server.latency import sampled

BY_HEADERS = Latency(subject="l", sampling=0)


def block(*lines: str) -> bytes:
    return "\r\n".join(["NATS/1.0", *lines, "", ""]).encode()


@pytest.mark.parametrize("lines, expected", [
    ((), None), (("A: b",), None), (("Uber-Trace-Id: a:b:c:1", "Uberctx-X: y", "Z: z"), {"Uber-Trace-Id", "Uberctx-X"}),
    (("Uber-Trace-Id: a:b:c:0",), None), (("Uber-Trace-Id: a:b:c:zz",), None), (("Uber-Trace-Id: a:b:1",), None),
    (("X-B3-Sampled: 1", "x-b3-traceid: 7"), {"X-B3-Sampled", "X-B3-Traceid"}), (("X-B3-Sampled: 0", "X-B3-TraceId: 7"), None),
    (("X-B3-TraceId: 7", "X-B3-SpanId: 8"), {"X-B3-Traceid", "X-B3-Spanid"}), (("B3: 0",), None), (("B3: a-b-0-c",), None),
    (("b3: a-b-1-c",), {"B3"}), (("Traceparent: 00-a-b-01", "Tracestate: s"), {"Traceparent", "Tracestate"}),
    (("Traceparent: 00-a-b-00",), None), (("Traceparent: 00-a-b-ff",), None), (("Traceparent: x",), None),
])  # fmt: skip
def test_a_request_that_is_traced_is_measured(lines: tuple[str, ...], expected: set[str] | None) -> None:
    measured, why = sampled(BY_HEADERS, block(*lines), lambda count: 0)
    assert (measured, set(why)) == (expected is not None, expected or set())


def test_so_many_of_a_hundred() -> None:
    half = Latency(subject="l", sampling=50)
    assert [sampled(half, b"", lambda count, roll=roll: roll)[0] for roll in (0, 50, 51, 99)] == [True, True, False, False]  # type: ignore[misc]
    assert sampled(Latency(subject="l"), b"", lambda count: 99) == (True, {})
