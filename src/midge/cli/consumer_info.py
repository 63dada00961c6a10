"""How a consumer is described to people: its configuration and how far it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from midge.cli.answers import consumer_answer
from midge.cli.render import Fields, Row, cell, duration, limit, moment, number, print_description, print_table, rows_of, size
from midge.cli.stream_info import cluster_rows, metadata_rows, used

__all__ = ["CONFIG", "show_consumer", "show_consumers"]

_COLUMNS = ("name", "kind", "delivered", "ack floor", "unacknowledged", "redelivered", "waiting", "unprocessed", "last delivery")
_TEXTS = 2

CONFIG: Fields = {
    "description": ("Description", cell),
    "durable_name": ("Durable name", cell),
    "deliver_subject": ("Delivery subject", cell),
    "deliver_group": ("Delivery group", cell),
    "filter_subject": ("Filter subject", cell),
    "filter_subjects": ("Filter subjects", cell),
    "deliver_policy": ("Deliver policy", cell),
    "opt_start_seq": ("Start sequence", number),
    "opt_start_time": ("Start time", moment),
    "ack_policy": ("Ack policy", cell),
    "ack_wait": ("Ack wait", duration),
    "replay_policy": ("Replay policy", cell),
    "max_deliver": ("Maximum deliveries", limit),
    "backoff": ("Backoff", lambda value: ", ".join(map(duration, value))),
    "max_ack_pending": ("Maximum unacknowledged", limit),
    "max_waiting": ("Maximum waiting pulls", limit),
    "max_batch": ("Maximum batch", limit),
    "max_bytes": ("Maximum bytes of a pull", size),
    "max_expires": ("Maximum expiry of a pull", duration),
    "rate_limit_bps": ("Rate limit", lambda value: f"{number(value)} bit/s"),
    "sample_freq": ("Sampling", cell),
    "headers_only": ("Headers only", cell),
    "flow_control": ("Flow control", cell),
    "idle_heartbeat": ("Idle heartbeat", duration),
    "inactive_threshold": ("Inactive threshold", duration),
    "num_replicas": ("Replicas", lambda value: number(value) if value else "as the stream"),
    "mem_storage": ("Memory storage", cell),
    "pause_until": ("Paused until", moment),
    "priority_policy": ("Priority policy", cell),
    "priority_groups": ("Priority groups", cell),
    "priority_timeout": ("Priority timeout", duration),
}
_STATE: Fields = {
    "num_ack_pending": ("Unacknowledged", number),
    "num_redelivered": ("Redelivered", number),
    "num_pending": ("Unprocessed", number),
    "num_waiting": ("Waiting pulls", number),
    "push_bound": ("Bound", cell),
    "paused": ("Paused", cell),
    "pause_remaining": ("Pause remaining", duration),
}


def show_consumers(rows: Iterable[dict[str, Any]]) -> None:
    """Print a table of what ``CONSUMER.LIST`` tells."""
    print_table(_COLUMNS, map(_row, rows), left=_TEXTS)


def show_consumer(found: dict[str, Any]) -> None:
    """Print the answer of ``CONSUMER.INFO``."""
    config = consumer_answer(found)["config"]
    state = {name: found[name] for name in _STATE if found.get(name) is not None}
    print_description(
        f"Consumer {found['name']} of stream {found['stream_name']}, created {moment(found.get('created'))}",
        [
            ("Configuration", rows_of(used(config, ("name", "metadata")), CONFIG)),
            ("Metadata", metadata_rows(config)),
            ("Cluster", cluster_rows(found.get("cluster"))),
            ("State", [*_sequences(found), *rows_of(state, _STATE)]),
            ("Priority groups", [_group(group) for group in found.get("priority_groups") or []]),
        ],
    )


def _sequences(found: dict[str, Any]) -> list[Row]:
    rows = []
    for name, label in (("delivered", "Last delivered"), ("ack_floor", "Acknowledgement floor")):
        at = found.get(name) or {}
        active = f", {moment(at['last_active'])}" if at.get("last_active") else ""
        rows.append(
            (label, f"stream sequence {number(at.get('stream_seq', 0))}, consumer sequence {number(at.get('consumer_seq', 0))}{active}")
        )
    return rows


def _group(group: dict[str, Any]) -> Row:
    pinned = group.get("pinned_client_id")
    return group.get("group", ""), f"pinned to {pinned} since {moment(group.get('pinned_ts'))}" if pinned else "nobody is pinned"


def _row(found: dict[str, Any]) -> list[str]:
    delivered = found.get("delivered", {})
    return [
        found["name"],
        "push" if found["config"].get("deliver_subject") else "pull",
        number(delivered.get("stream_seq", 0)),
        number(found.get("ack_floor", {}).get("stream_seq", 0)),
        number(found.get("num_ack_pending", 0)),
        number(found.get("num_redelivered", 0)),
        number(found.get("num_waiting", 0)),
        number(found.get("num_pending", 0)),
        moment(delivered.get("last_active") or "0001-01-01T00:00:00Z"),
    ]
