"""What stories about consumers are made of: requests to the API, messages in a stream, pulls and acknowledgements, in short words."""

import json
from typing import Any

from consumer_player import Ack, Pull
from jetstream_player import Step, api, pub

SECOND = 1_000_000_000
MILLI = 1_000_000


def make(consumer: str = "C", stream: str = "S", action: str = "", at: str = "", **config: Any) -> Step:
    """Create a consumer, durable but for what ``config`` says; ``at`` is the end of the subject, where that is not the name."""
    config = {"durable_name": consumer, "ack_policy": "explicit"} | config
    body: dict[str, Any] = {"stream_name": stream, "config": {key: value for key, value in config.items() if value is not None}}
    if action:
        body["action"] = action
    return api(f"CONSUMER.CREATE.{stream}.{at or consumer}", body)


def push(consumer: str = "C", deliver: str = "push", **config: Any) -> Step:
    """Create a push consumer."""
    return make(consumer, deliver_subject=deliver, **config)


def nameless(stream: str = "S", **config: Any) -> Step:
    """Create one that gets its name from the server; the next moves call it ``<name0>``."""
    return api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {"ack_policy": "explicit"} | config})


def raw(body: Any, end: str = "S.C") -> Step:
    return api(f"CONSUMER.CREATE.{end}", body)


def state(name: str = "C", stream: str = "S") -> Step:
    return api(f"CONSUMER.INFO.{stream}.{name}")


def names(stream: str = "S", **body: Any) -> Step:
    return api(f"CONSUMER.NAMES.{stream}", body or None)


def remove(name: str = "C", stream: str = "S") -> Step:
    return api(f"CONSUMER.DELETE.{stream}.{name}")


def fill(count: int, subject: str = "s.{}", begin: int = 1, size: int = 0) -> list[Step]:
    """Publish so many messages; the subject may take the number."""
    return [pub(subject.format(n), (b"m%d" % n).ljust(size, b".")) for n in range(begin, begin + count)]


def pull(batch: int | None = 1, name: str = "C", until: int | None = None, channel: str = "", stream: str = "S", **body: Any) -> Pull:
    """Ask for messages with a JSON body; durations are in seconds."""
    for key in ("expires", "idle_heartbeat"):
        if isinstance(body.get(key), float):
            body[key] = round(body[key] * SECOND)
    if batch is not None:
        body = {"batch": batch} | body
    return Pull(json.dumps(body).encode(), name, stream, until, channel)


def rest(batch: int = 10, name: str = "C", **body: Any) -> Pull:
    """Ask for what is there, and no more."""
    return pull(batch, name, no_wait=True, **body)


def ack(number: int = -1) -> Ack:
    return Ack(number)


def nak(number: int = -1, body: bytes = b"-NAK") -> Ack:
    return Ack(number, body)
