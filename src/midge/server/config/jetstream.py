"""The ``jetstream`` block of a server, and that of an account.

What only matters in a cluster is read and has no effect, as on a server of its own in nats-server. What midge does not do is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from midge.durations import parse_duration
from midge.server.config.errors import Fault
from midge.server.config.reading import Handler, Report, flag, in_quotes, not_supported, text, whole
from midge.server.config.tree import Node, kind_of, shown
from midge.server.jetstream_options import AccountJetStream, JetStreamLimits, JetStreamOptions

__all__ = ["read_account", "read_server"]

_NOT_SUPPORTED = {
    **dict.fromkeys(("key", "ek", "encryption_key", "prev_key", "prev_ek", "prev_encryption_key", "cipher", "tpm"),
                    "streams are not encrypted; encrypt the disk"),
    **dict.fromkeys(("max_buffered_size", "max_buffered_msgs"), "a stream has no queue that messages wait in"),
    "max_concurrent_io": "",
}  # fmt: skip
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_INT64 = 1 << 63
_ACCOUNT = {
    **dict.fromkeys(("max_memory", "max_mem", "mem", "memory"), "max_memory"),
    **dict.fromkeys(("max_store", "max_file", "max_disk", "store", "disk"), "max_store"),
    **dict.fromkeys(("max_streams", "streams"), "max_streams"),
    **dict.fromkeys(("max_consumers", "consumers"), "max_consumers"),
    **dict.fromkeys(("mem_max_stream_bytes", "memory_max_stream_bytes"), "memory_max_stream_bytes"),
    **dict.fromkeys(("disk_max_stream_bytes", "store_max_stream_bytes"), "store_max_stream_bytes"),
    "max_ack_pending": "max_ack_pending",
}


def read_server(report: Report, node: Node, has_directory: bool) -> dict[str, Any]:
    """Return the fields of ServerOptions, ``jetstream`` and ``store_dir``, that a block says something of.

    Args:
        report: where errors go.
        node: the block, or what switches it on or off.
        has_directory: there is a ``store_dir`` beside it.
    """
    if not isinstance(node.value, dict):
        return {"jetstream": _is_on(node, node)}
    given: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    is_on = [True]

    def take(name: str, read: Callable[[Node], object]) -> Handler:
        return lambda each: fields.update({name: read(each)})

    def directory(each: Node) -> None:
        if has_directory or given.get("store_dir"):
            raise Fault(each, "Duplicate 'store_dir' configuration")
        given["store_dir"] = text(_placed(each, node))

    handlers: dict[str, Handler] = {
        "strict": take("strict", _strict),
        **dict.fromkeys(("store", "store_dir", "storedir"), directory),
        **{name: take("sync_interval", partial(_sync, report, name, node)) for name in ("sync", "sync_interval")},
        **dict.fromkeys(("max_memory_store", "max_mem_store", "max_mem"), take("max_memory_store", partial(_limit, "max_mem_store"))),
        **dict.fromkeys(("max_file_store", "max_file"), take("max_file_store", partial(_limit, "max_file_store"))),
        "domain": take("domain", lambda each: text(_placed(each, node))),
        **dict.fromkeys(("enable", "enabled"), lambda each: is_on.append(flag(_placed(each, node)))),
        "limits": take("limits", partial(_limits, report, node)),
        **{name: take(name, partial(_queue, name)) for name in ("request_queue_limit", "info_queue_limit")},
        **_without_effect(node),
        **{name: partial(_refuse, name) for name in _NOT_SUPPORTED},
    }
    report.read(node.value, handlers)
    if report.errors:
        return given
    return given | {"jetstream": JetStreamOptions(**fields) if is_on[-1] else False}


def read_account(report: Report, node: Node) -> AccountJetStream | None:
    """Return what an account may use; None where it is switched off."""
    if not isinstance(node.value, dict):
        # nats-server does not say where
        return AccountJetStream() if _is_on(node, None) else None
    fields: dict[str, Any] = {}

    def required(key: str, each: Node) -> bool:
        if not isinstance(each.value, bool):
            raise Fault(each, f"Expected a parseable bool for {in_quotes(key)}, got {shown(each.value)}")
        return each.value

    def traffic(key: str, each: Node) -> None:
        """Which account the replicas of a cluster talk in."""
        if not isinstance(each.value, str):
            raise Fault(each, f"Expected either 'system' or 'owner' string value for {in_quotes(key)}, got {shown(each.value)}")
        if each.value not in ("system", "owner", ""):
            raise Fault(each, f"Expected 'system' or 'owner' string value for {in_quotes(key)}, got {each.value}")

    def handle(key: str, each: Node) -> None:
        name = key.lower()
        if name in _ACCOUNT:
            fields[_ACCOUNT[name]] = max(_number(key, each), -1)
        elif name in ("max_bytes_required", "max_stream_bytes", "max_bytes"):
            fields["max_bytes_required"] = required(key, each)
        elif name == "cluster_traffic":
            traffic(key, each)
        elif not each.used:
            raise Fault(each, f"unknown field {in_quotes(key)}")

    report.each(node.value, handle)
    return AccountJetStream(**fields)


def _is_on(node: Node, place: Node | None) -> bool:
    value = node.value
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise Fault(place, f"Expected map, bool or string to define JetStream, got {kind_of(value)}")
    if value.lower() not in ("enabled", "enable", "disabled", "disable"):
        raise Fault(place, f"Expected 'enabled' or 'disabled' for string value, got '{value}'")
    return value.lower().startswith("en")


def _limits(report: Report, block: Node, node: Node) -> JetStreamLimits:
    if not isinstance(node.value, dict):
        raise Fault(node, f"Expected a map to define JetStreamLimits, got {kind_of(node.value)}")
    fields: dict[str, Any] = {}

    def batch(each: Node) -> None:
        if not isinstance(each.value, dict):
            raise Fault(each, f"Expected a map to define batch limits, got {kind_of(each.value)}")
        report.read(
            each.value,
            {
                "max_inflight_per_stream": lambda one: fields.update(max_batch_inflight_per_stream=_whole(block, one)),
                "max_inflight_total": lambda one: fields.update(max_batch_inflight_total=_whole(block, one)),
                "max_msgs": lambda one: fields.update(max_batch_size=_whole(block, one)),
                "timeout": lambda one: fields.update(max_batch_timeout=_seconds(block, one)),
            },
        )

    report.read(
        node.value,
        {
            "max_ack_pending": lambda each: fields.update(max_ack_pending=_whole(block, each)),
            "max_ha_assets": partial(_whole, block),  # of clusters
            "max_request_batch": lambda each: fields.update(max_request_batch=_whole(block, each)),
            "default_max_consumers": lambda each: fields.update(default_max_consumers=max(whole(_placed(each, block)), -1)),
            "duplicate_window": lambda each: fields.update(duplicate_window=_seconds(block, each)),
            "batch": batch,
        },
    )
    return JetStreamLimits(**fields)


def _absolute(name: str, read: Callable[[Node], int], node: Node) -> None:
    if read(node) < 0:
        raise Fault(node, f"Expected an absolute size for {in_quotes(name)}, got {shown(node.value)}")


def _count(node: Node) -> int:
    return node.value if isinstance(node.value, int) and not isinstance(node.value, bool) else -1


def _refuse(name: str, node: Node) -> None:
    raise not_supported(node, name, _NOT_SUPPORTED[name])


def _strict(node: Node) -> bool:
    if not isinstance(node.value, bool):
        found = node.value if isinstance(node.value, str) else f"%!s({kind_of(node.value)}={shown(node.value)})"
        raise Fault(node, f"Expected 'true' or 'false' for bool value, got '{found}'")
    return node.value


def _sync(report: Report, name: str, block: Node, node: Node) -> float | str:
    if isinstance(node.value, str) and node.value.lower() in ("always", "os"):
        return node.value.lower()
    try:
        found = report.duration(name, node)
    except Fault:
        if not isinstance(node.value, str):
            whole(_placed(node, block))
        raise
    if found <= 0:
        raise not_supported(node, name, 'it is a duration of more than 0, or "always" or "os"')
    return found


def _whole(block: Node, node: Node) -> int:
    return max(whole(_placed(node, block)), 0)


def _seconds(block: Node, node: Node) -> float:
    try:
        return max(parse_duration(text(_placed(node, block))), 0.0)
    except ValueError as error:
        raise Fault(None, str(error)) from None  # nats-server does not say where


def _limit(name: str, node: Node) -> int:
    return max(_size(name, node), -1)


def _queue(name: str, node: Node) -> int:
    """Return how many requests may wait; 0 stands for the default."""
    number = _number(name, node)
    return number if number > 0 else JetStreamOptions().request_queue_limit


def _number(key: str, node: Node) -> int:
    if not isinstance(node.value, int) or isinstance(node.value, bool):
        raise Fault(node, f"Expected a parseable size for {in_quotes(key)}, got {shown(node.value)}")
    return node.value


def _size(name: str, node: Node) -> int:
    """Return bytes, given as a number, or as a text with a suffix."""
    value = node.value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise Fault(node, f"{name} must be int64 or string")
    if not value:
        return 0
    digits, suffix = value[:-1], value[-1]
    number = digits[1:] if digits[:1] in ("+", "-") else digits
    if not (number.isascii() and number.isdigit()):
        raise Fault(node, f"{name} strconv.ParseInt: parsing {in_quotes(digits)}: invalid syntax")
    if len(number.lstrip("0")) > 19 or not -_INT64 <= int(digits) < _INT64:
        raise Fault(node, f"{name} strconv.ParseInt: parsing {in_quotes(digits)}: value out of range")
    if suffix not in _SIZES:
        raise Fault(node, f"{name} sizes defined as strings must end in K, M, G, T")
    return min(int(digits) * _SIZES[suffix], _INT64 - 1)


def _placed(node: Node, block: Node) -> Node:
    """Return a value as if it stood where its block begins: there nats-server sees values of a type that it does not expect."""
    return Node(node.value, block.line, block.column, block.file)


def _without_effect(block: Node) -> dict[str, Handler]:
    """What is about clusters."""
    return {
        **{name: lambda each: text(_placed(each, block)) for name in ("extension_hint", "unique_tag")},
        "max_outstanding_catchup": partial(_size, "max_outstanding_catchup"),
        "meta_compact": partial(_absolute, "meta_compact", _count),
        "meta_compact_size": partial(_absolute, "meta_compact_size", partial(_size, "meta_compact_size")),
        "meta_compact_sync": lambda each: flag(_placed(each, block)),
    }
