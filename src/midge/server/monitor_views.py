"""The pages of the monitoring port but for /connz: nats-server's fields, in its order. Pure: the caller says what time it is.

What a server of one node has none of (routes, gateways, leaf nodes) is shown as nats-server shows it where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from midge.server.account import Account
from midge.server.gotext import timestamp, uptime
from midge.server.info import NATS_VERSION, PLATFORM
from midge.server.monitor_connz import subscription_detail
from midge.server.monitor_jsz import jetstream_block
from midge.server.monitor_queries import HealthzQuery, SubszQuery
from midge.server.monitor_state import MonitoredServer
from midge.server.options import ServerOptions
from midge.server.pieces import BATCH, PAUSE, Rows, pieces
from midge.subject import matches

__all__ = ["accountz", "accstatz", "gatewayz", "healthz", "leafz", "routez", "subsz", "varz"]

_NANO = 1_000_000_000
_KINDS = ("clients", "routes", "gateways", "leafs")


def varz(server: MonitoredServer, now: float) -> dict[str, Any]:
    """Return what there is to know of the server as a whole."""
    hub, options = server.hub, server.hub.options
    row: dict[str, Any] = {
        "server_id": hub.server_id,
        "server_name": hub.server_name,
        "version": NATS_VERSION,
        "proto": 1,
        "go": PLATFORM,
        "host": server.address[0],
        "port": server.address[1],
    }
    if options.auth_required:
        row["auth_required"] = True
    if options.tls is not None:
        row["tls_required"] = not options.allow_non_tls
        if options.tls.verify or options.tls.verify_and_map:
            row["tls_verify"] = True
    row["max_connections"] = options.max_connections
    if options.max_subscriptions:
        row["max_subscriptions"] = options.max_subscriptions
    row |= {
        "ping_interval": int(options.ping_interval * _NANO),
        "ping_max": options.ping_max,
        "http_host": options.http_host or options.host,
        "http_port": options.http_port or 0,
        "http_base_path": options.http_base_path,
        "https_port": options.https_port or 0,
        "auth_timeout": _number(options.auth_timeout),
        "max_control_line": options.max_control_line,
        "max_payload": options.max_payload,
        "max_pending": options.max_pending,
        "cluster": {},
        "gateway": {},
        "leaf": {},
        "mqtt": {},
        "websocket": _websocket(options),
        "jetstream": jetstream_block(server),
        "tls_timeout": _number(options.tls.timeout if options.tls is not None else 2.0),
        "write_deadline": int(options.write_deadline * _NANO),
    }
    return row | _running(server, now) | _about(server)


def _websocket(options: ServerOptions) -> dict[str, Any]:
    """Return the block of the WebSocket listener; what is empty is left out."""
    listener = options.websocket
    if listener is None:
        return {}
    block = {
        "host": listener.host,
        "port": listener.port,
        "advertise": listener.advertise,
        "no_auth_user": listener.no_auth_user,
        "jwt_cookie": listener.jwt_cookie,
        "handshake_timeout": int(listener.handshake_timeout * _NANO),
        "auth_timeout": _number(listener.auth_timeout),
        "no_tls": listener.no_tls,
        "same_origin": listener.same_origin,
        "allowed_origins": list(listener.allowed_origins),
        "compression": listener.compression,
    }
    return {name: value for name, value in block.items() if value}


def _running(server: MonitoredServer, now: float) -> dict[str, Any]:
    """Return what changes while the server runs."""
    hub = server.hub
    in_msgs, in_bytes, out_msgs, out_bytes = hub.totals()
    cpu, memory, cores = server.usage()
    return {
        "start": timestamp(server.wall(server.started)),
        "now": timestamp(server.wall(now)),
        "uptime": uptime(now - server.started),
        "mem": memory,
        "cores": cores,
        "gomaxprocs": 1,  # so many threads it has for its work
        "cpu": _number(cpu),
        "connections": len(hub.sessions),
        "total_connections": hub.admission.total,
        "routes": 0,
        "remotes": 0,
        "leafnodes": 0,
        "in_msgs": in_msgs,
        "in_bytes": in_bytes,
        "in_client_msgs": in_msgs,
        "in_client_bytes": in_bytes,
        "out_msgs": out_msgs,
        "out_bytes": out_bytes,
        "out_client_msgs": out_msgs,
        "out_client_bytes": out_bytes,
        "slow_consumers": hub.slow_consumers,
        "stale_connections": hub.stale_connections,
        "stalled_clients": hub.stalls,
        "subscriptions": sum(account.sublist.count for account in hub.accounts.values()),
        "http_req_stats": dict(sorted(server.requests.items())),
    }


def _about(server: MonitoredServer) -> dict[str, Any]:
    """Return what the configuration says of the server, and the statistics that nats-server puts last."""
    hub, options = server.hub, server.hub.options
    row: dict[str, Any] = {"config_load_time": timestamp(server.wall(server.config_loaded)), "config_digest": options.config_digest}
    if options.server_tags:
        row["tags"] = list(options.server_tags)
    if options.server_metadata:
        row["metadata"] = dict(sorted(options.server_metadata.items()))
    return row | {
        "system_account": options.system_account,
        "slow_consumer_stats": dict.fromkeys(_KINDS, 0) | {"clients": hub.slow_consumers},
        "stale_connection_stats": dict.fromkeys(_KINDS, 0) | {"clients": hub.stale_connections},
        "disk_io_wait_stats": {"waiters": 0, "waits": 0, "wait_time": 0, "max_wait_time": 0},
    }


def subsz(server: MonitoredServer, query: SubszQuery, now: float) -> Iterator[bytes]:
    """Return the answer, piece by piece."""
    accounts = [each for each in server.hub.accounts.values() if query.account in ("", each.name)]
    head = {"server_id": server.hub.server_id, "now": timestamp(server.wall(now))} | _sublists(accounts)
    total = 0
    if query.subs:
        for item in _matching(accounts, query.test):
            if item is PAUSE:
                yield b""
            else:
                total += 1
    tail: dict[str, Any] = {"total": total, "offset": query.offset, "limit": query.limit}
    if query.offset < total:
        tail["subscriptions_list"] = Rows(_page(_matching(accounts, query.test), query.offset, query.limit))
    yield from pieces(head | tail)


def _matching(accounts: list[Account], test: str) -> Iterator[Any]:
    """Return the clients' subscriptions, each with its connection's number and its account's name, and pauses."""
    for account in accounts:
        for session in list(account.sessions.values()):
            for at, sub in enumerate(list(session.subs.values())):
                if not test or matches(sub.subject.decode("utf-8", "replace"), test):
                    yield sub, session.cid, account.name, sub.limit
                if at % BATCH == 0:
                    yield PAUSE


def _page(found: Iterator[Any], offset: int, limit: int) -> Iterator[Any]:
    """Return a part of what was found, and the pauses."""
    at = 0
    for item in found:
        if item is PAUSE:
            yield PAUSE
            continue
        if at >= offset:
            yield subscription_detail(*item)
        at += 1
        if at >= offset + limit:
            return


def _sublists(accounts: list[Account]) -> dict[str, Any]:
    """Return the statistics of the accounts' subscriptions, taken together."""
    sublists = [account.sublist for account in accounts]
    cached = sum(each.cached() for each in sublists)
    matched, hits = sum(each.matches for each in sublists), sum(each.hits for each in sublists)
    fanouts = [each.fanout() for each in sublists]
    total = sum(each for _, each in fanouts)
    return {
        "num_subscriptions": sum(each.count for each in sublists),
        "num_cache": cached,
        "num_inserts": sum(each.inserts for each in sublists),
        "num_removes": sum(each.removes for each in sublists),
        "num_matches": matched,
        "cache_hit_rate": _number(hits / matched) if matched else 0,
        "max_fanout": max((most for most, _ in fanouts), default=0),
        "avg_fanout": _number(total / cached) if total else 0,
    }


def routez(server: MonitoredServer, now: float) -> dict[str, Any]:
    """There are no routes."""
    hub = server.hub
    at = timestamp(server.wall(now))
    return {"server_id": hub.server_id, "server_name": hub.server_name, "now": at, "num_routes": 0, "routes": []}


def gatewayz(server: MonitoredServer, now: float) -> dict[str, Any]:
    """There are no gateways."""
    at = timestamp(server.wall(now))
    return {"server_id": server.hub.server_id, "now": at, "outbound_gateways": {}, "inbound_gateways": {}}


def leafz(server: MonitoredServer, now: float) -> dict[str, Any]:
    """There are no leaf nodes."""
    return {"server_id": server.hub.server_id, "now": timestamp(server.wall(now)), "leafnodes": 0, "leafs": []}


def accountz(server: MonitoredServer, name: str, now: float) -> dict[str, Any]:
    """Return the names of the accounts, or all of one.

    Raises:
        ValueError: there is no such account.
    """
    hub = server.hub
    system = hub.options.system_account
    row: dict[str, Any] = {"server_id": hub.server_id, "now": timestamp(server.wall(now)), "system_account": system}
    if not name:
        return row | {"accounts": list(hub.accounts)}
    account = hub.accounts.get(name)
    if account is None:
        raise ValueError(f"Account {name} does not exist")
    detail: dict[str, Any] = {"account_name": name, "update_time": timestamp(server.wall(server.config_loaded))}
    if name == system:
        detail["is_system"] = True
    detail |= {
        "expired": False,
        "complete": True,
        "jetstream_enabled": _jetstream_of(server, name) is not None,
        "leafnode_connections": 0,
        "client_connections": len(account.sessions),
        "subscriptions": account.sublist.count,
        "name_tag": name,
        "sublist_stats": _sublists([account]),
    }
    return row | {"account_detail": detail}


def _jetstream_of(server: MonitoredServer, name: str) -> Any:
    """Return the account of a name as the engine has it, None where it has no JetStream."""
    account = server.jetstream.engine.accounts.get(name) if server.jetstream is not None else None
    return account if account is not None and account.limits is not None else None


def accstatz(server: MonitoredServer, unused: bool, now: float) -> dict[str, Any]:
    """Return what was counted for each account that has connections, or for all."""
    accounts = [each for each in server.hub.accounts.values() if unused or each.sessions]
    statz = [_account_statistics(server, each) for each in accounts]
    return {"server_id": server.hub.server_id, "now": timestamp(server.wall(now)), "account_statz": statz}


def _account_statistics(server: MonitoredServer, account: Account) -> dict[str, Any]:
    in_msgs, in_bytes, out_msgs, out_bytes = account.totals()
    others = {name: {"msgs": 0, "bytes": 0} for name in ("gateways", "routes", "leafs")}
    return {
        "acc": account.name,
        "name": account.name,
        "conns": len(account.sessions),
        "leafnodes": 0,
        "total_conns": len(account.sessions),
        "num_subscriptions": account.sublist.count,
        "sent": {"msgs": out_msgs, "bytes": out_bytes} | others,
        "received": {"msgs": in_msgs, "bytes": in_bytes} | others,
        "slow_consumers": server.closed.slow_consumers[account.name],
    }


def healthz(server: MonitoredServer, query: HealthzQuery) -> tuple[int, dict[str, Any]]:
    """Return the status of the answer and the answer."""
    if not query.account and query.stream:
        return 400, _unhealthy(query, "BAD_REQUEST", '"account" must not be empty when checking stream health')
    if not query.stream and query.consumer:
        return 400, _unhealthy(query, "BAD_REQUEST", '"stream" must not be empty when checking consumer health')
    if not server.is_ready():
        return 500, _unhealthy(query, "CONNECTION", "failed to be ready for connections after 1ms: server")
    if query.account and server.jetstream is not None and not query.server_only:
        return _streams_health(server, query)
    return 200, {"status": "ok"}


def _streams_health(server: MonitoredServer, query: HealthzQuery) -> tuple[int, dict[str, Any]]:
    """Return whether what is asked for is there."""
    account = _jetstream_of(server, query.account)
    if account is None:
        return 404, _missing(query, 1, f'JetStream account "{query.account}" not found')
    if not query.stream:
        return 200, {"status": "ok"}
    stream = account.streams.get(query.stream)
    if stream is None:
        return 404, _missing(query, 2, f'JetStream stream "{query.stream}" not found on account "{query.account}"')
    if query.consumer and query.consumer not in stream.consumers:
        text = f'JetStream consumer "{query.consumer}" not found for stream "{query.stream}" on account "{query.account}"'
        return 404, _missing(query, 3, text)
    return 200, {"status": "ok"}


def _missing(query: HealthzQuery, depth: int, text: str) -> dict[str, Any]:
    """Say what of the account, stream and consumer is not there: the first, second or third of them."""
    if not query.details:
        return {"status": "unavailable", "error": text}
    names = {"account": query.account, "stream": query.stream, "consumer": query.consumer}
    *_, (kind, _) = found = list(names.items())[:depth]
    return {"status": "error", "errors": [{"type": kind.upper()} | dict(found) | {"error": text}]}


def _unhealthy(query: HealthzQuery, kind: str, text: str) -> dict[str, Any]:
    return {"status": "error", "errors": [{"type": kind, "error": text}]} if query.details else {"status": "error", "error": text}


def _number(value: float) -> int | float:
    """Return a float as Go writes it: without a fraction where there is none."""
    return int(value) if value == int(value) else value
