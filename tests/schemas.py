"""The schemas that NATS publishes for JetStream: what an answer or advisory must look like. Each is read and compiled once.

The files lie in ``data/schemas/jetstream``; the ``type`` of a body names its file. To ask a schema costs up to half a second for a list of
hundreds of consumers, so a test that makes many of a kind lets a few be looked at.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parent / "data" / "schemas" / "jetstream"
PREFIX = "io.nats.jetstream."


@cache
def validator(kind: str) -> Any:
    """The validator of a ``type``; None where there is no schema."""
    path = SCHEMAS / (kind.removeprefix(PREFIX).replace(".", "/") + ".json")
    return jsonschema.Draft7Validator(json.loads(path.read_text())) if path.exists() else None


def checked(body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer or advisory that is what its schema says; AssertionError where it is not, or where there is none."""
    found = faults(body)
    assert validator(body["type"]) is not None and not found, found
    return body


def faults(body: dict[str, Any]) -> list[str]:
    """Return what a body does that its schema does not allow; nothing where there is no schema."""
    kind = body.get("type", f"{PREFIX}api.v1.pub_ack_response" if "seq" in body else "")
    found = validator(kind) if kind else None
    return [] if found is None else [f"{'/'.join(map(str, error.path))}: {error.message}" for error in found.iter_errors(body)]
