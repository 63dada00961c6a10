"""Service latency: how long a service took, told to whoever its account lets know. Pure.

Which requests are measured: so many of a hundred, or those that are traced already, which their headers tell (Uber, B3 and W3C trace
headers). What is told is nats-server's ``io.nats.server.metric.v1.service_latency``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from midge.server.account_options import Latency
from midge.server.client_info import describe, go_json, nanoseconds, timestamp

__all__ = ["BAD_REQUEST", "NO_RESPONDER", "OK", "REQUEST_TIMEOUT", "SERVICE_TIMEOUT", "metric", "sampled"]

TYPE = "io.nats.server.metric.v1.service_latency"
OK = 200, ""
BAD_REQUEST = 400, "Bad Request"
REQUEST_TIMEOUT = 408, "Request Timeout"
NO_RESPONDER = 503, "Service Unavailable"
SERVICE_TIMEOUT = 504, "Service Timeout"
_HEX = re.compile(r"[0-9a-fA-F]{1,2}")

Headers = dict[str, list[str]]


def sampled(latency: Latency, block: bytes, choose: Callable[[int], int]) -> tuple[bool, Headers]:
    """Return whether a request is to be measured, and the headers that say so."""
    if latency.sampling >= 100 or (latency.sampling > 0 and choose(100) <= latency.sampling):
        return True, {}
    headers = _parse(block)
    if uber := headers.get("Uber-Trace-Id"):
        parts = uber[0].split(":")
        if len(parts) == 4 and _HEX.fullmatch(parts[3]) and int(parts[3], 16) & 1:
            return True, {"Uber-Trace-Id": uber} | {name: value for name, value in headers.items() if name.startswith("Uberctx-")}
        return False, {}
    if flag := headers.get("X-B3-Sampled"):
        return (True, _b3(headers)) if flag[0] == "1" else _b3_undecided(headers, flag[0])
    if "X-B3-Traceid" in headers:
        return True, _b3(headers)
    if b3 := headers.get("B3"):
        parts = b3[0].split("-")
        denied = parts[2] == "0" if len(parts) > 2 else parts == ["0"]
        return (False, {}) if denied else (True, {"B3": b3})
    if parent := headers.get("Traceparent"):
        parts = parent[0].split("-")
        if len(parts) == 4 and len(parts[3]) == 2 and _HEX.fullmatch(parts[3]) and int(parts[3], 16) & 1 and int(parts[3], 16) < 128:
            return True, {"Traceparent": parent} | {name: headers[name] for name in ("Tracestate",) if name in headers}
    return False, {}


def metric(services: Any, status: tuple[int, str], requestor: Any, responder: Any, share: bool, headers: Headers, at: float) -> bytes:
    """Return the message about one request that came at ``at`` and is over now; ``share``: who asked may be shown."""
    now, epoch, server_name = services.hub.now, services.epoch, services.hub.server_name
    code, text = status
    asked = nanoseconds(None if requestor is None else requestor.rtt)
    answered = nanoseconds(None if responder is None else responder.rtt)
    found: dict[str, object] = {"type": TYPE, "id": services.ids(), "timestamp": timestamp(epoch + now), "status": code}
    if text:
        found["description"] = text
    if requestor is not None:
        found["requestor"] = _describe(requestor, share, server_name, epoch)
    if responder is not None:
        found["responder"] = _describe(responder, True, server_name, epoch)
    if headers:
        found["header"] = headers
    found["start"] = timestamp(epoch + at - asked / 1e9)
    took = nanoseconds(now - at) if code == OK[0] else 0
    found |= {"service": max(0, took - answered), "system": 0, "total": asked + took if code == OK[0] else 0}
    return go_json(found)


def _describe(session: Any, detailed: bool, server_name: str, epoch: float) -> dict[str, object]:
    if detailed:
        return {name: value for name, value in describe(session, server_name, epoch).items() if value}
    rtt = nanoseconds(session.rtt)
    return {"acc": session.account.name} | ({"rtt": rtt} if rtt else {})


def _b3(headers: Headers) -> Headers:
    names = ("X-B3-Sampled", "X-B3-Traceid", "X-B3-Parentspanid", "X-B3-Spanid")
    return {name: headers[name] for name in names if name in headers}


def _b3_undecided(headers: Headers, flag: str) -> tuple[bool, Headers]:
    if flag == "0" or "X-B3-Traceid" not in headers:
        return False, {}
    return True, _b3(headers)


def _parse(block: bytes) -> Headers:
    """Return the headers of a block by their names as Go spells them."""
    headers: Headers = {}
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault("-".join(part.capitalize() for part in name.split("-")), []).append(value.strip(" \t"))
    return headers
