"""How a stream is described to people: its configuration, what it holds, and the servers and streams it has to do with.

A field that this version of midge does not know is shown by the name that it has in JSON.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from midge.cli.answers import stream_answer
from midge.cli.render import Fields, Row, cell, duration, limit, moment, number, print_description, print_table, rows_of, size

__all__ = ["CONFIG", "cluster_rows", "metadata_rows", "show_state", "show_stream", "show_streams", "stream_config_rows", "used"]

CONFIG: Fields = {
    "description": ("Description", cell),
    "subjects": ("Subjects", cell),
    "storage": ("Storage", cell),
    "compression": ("Compression", cell),
    "retention": ("Retention", cell),
    "num_replicas": ("Replicas", number),
    "discard": ("Discard", cell),
    "discard_new_per_subject": ("Discard new per subject", cell),
    "duplicate_window": ("Duplicate window", duration),
    "max_msgs": ("Maximum messages", limit),
    "max_msgs_per_subject": ("Maximum per subject", limit),
    "max_bytes": ("Maximum bytes", size),
    "max_age": ("Maximum age", lambda value: duration(value) if value else "unlimited"),
    "max_msg_size": ("Maximum message size", size),
    "max_consumers": ("Maximum consumers", limit),
    "first_seq": ("First sequence", number),
    "no_ack": ("No acknowledgements", cell),
    "sealed": ("Sealed", cell),
    "deny_delete": ("Deny delete", cell),
    "deny_purge": ("Deny purge", cell),
    "allow_rollup_hdrs": ("Allow rollup", cell),
    "allow_direct": ("Allow direct gets", cell),
    "mirror_direct": ("Mirror direct gets", cell),
    "allow_msg_ttl": ("Allow message TTL", cell),
    "subject_delete_marker_ttl": ("Delete marker TTL", duration),
    "allow_msg_counter": ("Allow counters", cell),
    "allow_atomic": ("Allow atomic batches", cell),
    "allow_batched": ("Allow fast batches", cell),
    "allow_msg_schedules": ("Allow schedules", cell),
    "persist_mode": ("Persist mode", cell),
    "placement": ("Placement", cell),
    "mirror": ("Mirror", cell),
    "sources": ("Sources", cell),
    "subject_transform": ("Subject transform", cell),
    "republish": ("Republish", cell),
    "consumer_limits": ("Consumer limits", cell),
}
STATE: Fields = {
    "messages": ("Messages", number),
    "bytes": ("Bytes", size),
    "first_seq": ("First sequence", number),
    "first_ts": ("First message", moment),
    "last_seq": ("Last sequence", number),
    "last_ts": ("Last message", moment),
    "consumer_count": ("Consumers", number),
    "num_subjects": ("Subjects", number),
    "num_deleted": ("Missing messages", number),
    "deleted": ("Missing", cell),
    "lost": ("Lost", cell),
}
_COLUMNS = ("name", "subjects", "messages", "size", "consumers", "last message")
_TEXTS = 2
_OWN = {"name", "metadata"}
_SERVERS_OWN = "_nats."  # how the metadata begin that a server adds


def show_stream(found: dict[str, Any]) -> None:
    """Print the answer of ``STREAM.INFO``."""
    config = stream_answer(found)["config"]
    print_description(
        f"Stream {config['name']}, created {moment(found.get('created'))}",
        [
            ("Configuration", stream_config_rows(config)),
            ("Metadata", metadata_rows(config)),
            ("Cluster", cluster_rows(found.get("cluster"))),
            ("Mirror", _origins([found["mirror"]] if found.get("mirror") else [])),
            ("Sources", _origins(found.get("sources") or [])),
            ("State", rows_of(found["state"], STATE)),
        ],
    )


def show_streams(rows: Iterable[dict[str, Any]]) -> None:
    """Print a table of what ``STREAM.LIST`` tells."""
    print_table(_COLUMNS, map(_row, rows), left=_TEXTS)


def show_state(found: dict[str, Any]) -> None:
    """Print what of it is its state."""
    print_description(f"Stream {found['config']['name']}", [("State", rows_of(found["state"], STATE))])


def stream_config_rows(config: dict[str, Any]) -> list[Row]:
    """Return what a configuration says, without what it does not use."""
    return rows_of(used(config, _OWN), CONFIG)


def used(config: dict[str, Any], but: Container[str]) -> dict[str, Any]:
    """Return the fields of a configuration that say something, but for some."""
    return {name: value for name, value in config.items() if name not in but and value is not False and value not in (None, "", [], {})}


def metadata_rows(config: dict[str, Any]) -> list[Row]:
    """Return the metadata that people have given."""
    return [(name, value) for name, value in sorted((config.get("metadata") or {}).items()) if not name.startswith(_SERVERS_OWN)]


def cluster_rows(cluster: dict[str, Any] | None) -> list[Row]:
    """Return who leads and who follows."""
    if not cluster or not (cluster.get("name") or cluster.get("replicas")):  # one server leads itself
        return []
    rows = [("Name", cell(cluster.get("name"))), ("Leader", cell(cluster.get("leader")))]
    for replica in cluster.get("replicas") or []:
        state = "offline" if replica.get("offline") else "current" if replica.get("current") else "outdated"
        behind = f", {number(replica['lag'])} behind" if replica.get("lag") else ""
        rows.append(("Replica", f"{replica['name']}, {state}{behind}, seen {duration(replica.get('active', 0))} ago"))
    return rows


def _origins(found: list[dict[str, Any]]) -> list[Row]:
    rows = []
    for origin in found:
        seen = f"seen {duration(origin['active'])} ago" if origin.get("active", -1) >= 0 else "never seen"
        rows.append((origin["name"], f"{number(origin.get('lag', 0))} behind, {seen}"))
        if origin.get("error"):
            rows.append(("Error", cell(origin["error"].get("description"))))
    return rows


def _row(found: dict[str, Any]) -> list[str]:
    config, state = found["config"], found["state"]
    return [
        config["name"],
        cell(config.get("subjects")),
        number(state["messages"]),
        size(state["bytes"]),
        number(state.get("consumer_count", 0)),
        moment(state.get("last_ts")),
    ]
