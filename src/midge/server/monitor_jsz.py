"""The page /jsz of the monitoring port, and what /varz says of JetStream: nats-server's fields, in its order.

Left out is what a server without clusters has none of: ``meta_cluster``. ``compress_ok`` is missing because nothing is compressed. With
``sync_always`` what was acknowledged has been synced; without it, and without ``sync_interval``, the operating system decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from midge.server.gotext import timestamp
from midge.server.monitor_queries import JszQuery
from midge.server.monitor_state import MonitoredServer
from midge.server.pieces import PAUSE, Rows, pieces

__all__ = ["jetstream_block", "jsz"]

_NANO = 1_000_000_000
_MANY = (1 << 64) - 1


def jsz(server: MonitoredServer, query: JszQuery, now: float) -> Iterator[bytes]:
    """Return the answer, piece by piece."""
    about = {"server_id": server.hub.server_id, "now": timestamp(server.wall(now))}
    if server.jetstream is None:
        config = {"max_memory": 0, "max_storage": 0}
        return pieces(
            _used(0, 0, 0, 0) | {"api": _api(0, 0, 0)} | about | {"disabled": True, "config": config} | _counts([]) | {"total": 0}
        )
    accounts = _accounts(server)
    counts = _counts([stream for account in accounts for stream in account.streams.values()])
    if query.raft:  # each stream is led by the one server that there is
        counts = {"streams": counts["streams"], "streams_leader": counts["streams"]} | counts
    row: dict[str, Any] = _statistics(server) | about | {"config": _config(server)} | _limits(server) | counts
    chosen = [account for account in accounts if account.name == query.account] if query.account else _page(accounts, query)
    if chosen and (query.account or query.accounts):
        row["account_details"] = Rows(_details(server, chosen, query))
    return pieces(row | {"total": len(accounts)})


def jetstream_block(server: MonitoredServer) -> dict[str, Any]:
    """Return what /varz says; nothing where there is no JetStream."""
    if server.jetstream is None:
        return {}
    return {"config": _config(server), "stats": _statistics(server)} | _limits(server)


def _accounts(server: MonitoredServer) -> list[Any]:
    """Return the engine's accounts that have JetStream, by name."""
    accounts = server.jetstream.engine.accounts
    return [accounts[name] for name in sorted(accounts) if accounts[name].limits is not None]


def _page(accounts: list[Any], query: JszQuery) -> list[Any]:
    """Return a part of the accounts; an offset behind the last one counts for nothing, as in nats-server."""
    start = query.offset if query.offset < len(accounts) else 0
    return accounts[start : start + query.limit]


def _statistics(server: MonitoredServer) -> dict[str, Any]:
    """Return what all accounts use together."""
    accounts, engine = _accounts(server), server.jetstream.engine
    reserved_memory, reserved_storage = (sum(account.reserved(storage) for account in accounts) for storage in ("memory", "file"))
    total, errors = sum(account.total for account in accounts), sum(account.errors for account in accounts)
    used = _used(engine.used["memory"], engine.used["file"], reserved_memory, reserved_storage, len(accounts))
    return used | {"api": _api(engine.api_level, total, errors)}


def _config(server: MonitoredServer) -> dict[str, Any]:
    """Return how streams are kept."""
    jetstream = server.jetstream
    options = server.hub.options.jetstream
    sync = "always" if options is None else options.sync_interval
    config: dict[str, Any] = {
        "max_memory": jetstream.engine.limits["memory"],
        "max_storage": jetstream.engine.limits["file"],
        "store_dir": jetstream.path,
        "sync_interval": 0 if isinstance(sync, str) else int(sync * _NANO),
        "sync_always": sync == "always",
        "domain": jetstream.engine.domain,
        "strict": jetstream.engine.settings.strict,
    }
    return {name: value for name, value in config.items() if value or name.startswith("max_")}


def _limits(server: MonitoredServer) -> dict[str, Any]:
    """Return what all accounts are held to, where they are."""
    settings = server.jetstream.engine.settings
    limits = {
        "max_request_batch": settings.max_request_batch,
        "max_ack_pending": settings.max_ack_pending,
        "max_duplicate_window": settings.max_window,
        "max_batch_inflight_per_stream": settings.batches.per_stream,
        "max_batch_inflight_total": settings.batches.total,
        "max_batch_size": settings.batches.size,
        "max_batch_timeout": settings.batches.timeout,
        "default_max_consumers": settings.max_consumers,
    }
    return {"limits": {name: limit for name, limit in limits.items() if limit}}


def _counts(streams: list[Any]) -> dict[str, Any]:
    stores = [stream.store for stream in streams]
    messages, size = sum(store.messages for store in stores), sum(store.size for store in stores)
    consumers = sum(not each.config.direct for stream in streams for each in stream.consumers.values())
    return {"streams": len(streams), "consumers": consumers, "messages": messages, "bytes": size}


def _details(server: MonitoredServer, accounts: list[Any], query: JszQuery) -> Iterator[Any]:
    """Return what there is to say about each account, and its streams, where they are asked for."""
    for account in accounts:
        limits = account.limits
        if limits is None:
            yield PAUSE  # it has lost JetStream meanwhile
            continue
        row: dict[str, Any] = {"name": account.name, "id": account.name}
        row |= _used(account.used["memory"], account.used["file"], limits.max_memory & _MANY, limits.max_storage & _MANY)
        row |= {"api": _api(0, account.total, account.errors)}
        streams = sorted(account.streams.values(), key=lambda stream: stream.created)
        if query.streams and streams:
            row["stream_detail"] = Rows(_stream(server, stream, query) for stream in streams)
        yield row


def _stream(server: MonitoredServer, stream: Any, query: JszQuery) -> dict[str, Any]:
    row: dict[str, Any] = server.jetstream.stream_row(stream)
    if not query.config:
        del row["config"]
    for name, is_wanted, is_direct in (
        ("consumer_detail", query.consumers, False),
        ("direct_consumer_detail", query.direct_consumers, True),
    ):
        found = [each for each in stream.consumers.values() if each.config.direct is is_direct] if is_wanted else []
        if found:
            row[name] = Rows(_consumer(server, each, query) for each in found)
    return row


def _consumer(server: MonitoredServer, consumer: Any, query: JszQuery) -> dict[str, Any]:
    row: dict[str, Any] = server.jetstream.consumer_row(consumer)
    if not query.config:
        del row["config"]
    return row


def _used(memory: int, storage: int, reserved_memory: int, reserved_storage: int, accounts: int = 0) -> dict[str, Any]:
    return {
        "memory": memory,
        "storage": storage,
        "reserved_memory": reserved_memory,
        "reserved_storage": reserved_storage,
        "accounts": accounts,
        "ha_assets": 0,
    }


def _api(level: int, total: int, errors: int) -> dict[str, int]:
    return {"level": level, "total": total, "errors": errors}
