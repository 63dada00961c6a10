"""/connz: the connections, open and closed, with nats-server's fields. Pure: the caller says what time it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, TypeAlias

from midge.server.access import GLOBAL_ACCOUNT
from midge.server.account import Account
from midge.server.client_info import issuer_of
from midge.server.closed import ClosedConnection, user_of
from midge.server.gotext import duration, timestamp, uptime, wall_time
from midge.server.monitor_queries import ConnzQuery
from midge.server.monitor_state import MonitoredServer
from midge.server.pieces import BATCH, PAUSE, Rows, pieces
from midge.server.session import Session

__all__ = ["connz", "subscription_detail"]

Shown: TypeAlias = Session | ClosedConnection

_TYPES = {"WEBSOCKET": "websocket"}
_ASCENDING = ("", "cid", "start", "uptime", "reason")


def connz(server: MonitoredServer, query: ConnzQuery, now: float) -> Iterator[bytes]:
    """Return the answer, piece by piece.

    Raises:
        QueryError: what is asked for does not go together.
    """
    query.check()
    hub = server.hub
    head: dict[str, Any] = {"server_id": hub.server_id, "now": timestamp(server.wall(now))}
    account = hub.accounts.get(query.account) if query.account else None
    if query.account and account is None:  # nats-server's own answer to that
        none = {"num_connections": 0, "total": 0, "offset": query.offset, "limit": query.limit, "connections": None}
        return pieces(head | {"server_id": ""} | none)
    closed = _closed(server, query)
    total = (len(_open(server, account)) if query.state != "closed" else 0) + len(closed)
    return _listed(server, query, now, head, _chosen(server, query, account, closed), total)


def _listed(
    server: MonitoredServer, query: ConnzQuery, now: float, head: dict[str, Any], chosen: Iterable[Shown | object], total: int
) -> Iterator[bytes]:
    found: list[Shown] = []
    for each in chosen:
        if each is PAUSE:
            yield b""
        else:
            found.append(each)  # type: ignore[arg-type]
    if query.sort not in ("", "cid", "start"):
        found.sort(key=_order(query.sort, now), reverse=query.sort not in _ASCENDING)
    elif query.state == "any":
        found.sort(key=lambda each: each.cid)
    shown = found[query.offset : query.offset + query.limit]
    counts = {"num_connections": len(shown), "total": total, "offset": query.offset, "limit": query.limit}
    rows = Rows(_connection(server, query, each, now) for each in shown)
    yield from pieces(head | counts | {"connections": rows})


def _open(server: MonitoredServer, account: Account | None) -> dict[int, Session]:
    return server.hub.sessions if account is None else account.sessions


def _closed(server: MonitoredServer, query: ConnzQuery) -> list[ClosedConnection]:
    """Return the connections that have ended, of the account that is asked for."""
    if query.state == "open":
        return []
    return [each for each in server.closed if not query.account or each.account_name == query.account]


def _chosen(
    server: MonitoredServer, query: ConnzQuery, account: Account | None, closed: list[ClosedConnection]
) -> Iterator[Shown | object]:
    """Return those that are asked for, in the order in which they came, and pauses."""
    if query.cid:
        session = server.hub.sessions.get(query.cid) if query.state != "closed" else None
        if session is not None:
            yield session
        else:
            yield from (each for each in closed if each.cid == query.cid)
        return
    if query.state != "closed":
        for at, session in enumerate(list(_open(server, account).values())):
            if query.user and user_of(session) != query.user:
                continue
            if query.subject and not _touches(session, query.subject):
                continue
            yield session
            if at % BATCH == 0:
                yield PAUSE
    for each in closed:
        if not query.user or each.user == query.user:
            yield each


def _touches(session: Session, subject: str) -> bool:
    return any(_collide(_text(sub.subject).split("."), subject.split(".")) for sub in session.subs.values())


def _collide(one: list[str], other: list[str]) -> bool:
    """True if some subject fits both patterns."""
    for mine, yours in zip(one, other):
        if mine == ">" or yours == ">":
            return True
        if mine != yours and mine != "*" and yours != "*":
            return False
    return len(one) == len(other)


def _order(sort: str, now: float) -> Callable[[Shown], Any]:
    orders: dict[str, Callable[[Shown], Any]] = {
        "subs": _subscriptions,
        "pending": _pending,
        "msgs_to": lambda each: each.out_msgs,
        "msgs_from": lambda each: each.in_msgs,
        "bytes_to": lambda each: each.out_bytes,
        "bytes_from": lambda each: each.in_bytes,
        "last": lambda each: each.last_active,
        "idle": lambda each: now - each.last_active,
        "uptime": lambda each: _end(each, now) - each.started,
        "stop": lambda each: _end(each, now),
        "reason": lambda each: each.reason if isinstance(each, ClosedConnection) else "",
        "rtt": lambda each: each.rtt or 0.0,
    }
    return orders[sort]


def _subscriptions(each: Shown) -> int:
    return each.subscriptions if isinstance(each, ClosedConnection) else len(each.subs)


def _pending(each: Shown) -> int:
    return each.pending if isinstance(each, ClosedConnection) else len(each.outbox)


def _end(each: Shown, now: float) -> float:
    return each.stopped if isinstance(each, ClosedConnection) else now


def _connection(server: MonitoredServer, query: ConnzQuery, each: Shown, now: float) -> dict[str, Any]:
    """Return one connection; what is empty is left out where nats-server leaves it out."""
    end = _end(each, now)
    row: dict[str, Any] = {"cid": each.cid, "kind": "Client", "type": _TYPES.get(each.origin.kind, "nats")}
    row["ip"], row["port"] = _address(each.address)
    row["start"] = wall_time(server.wall(each.started))
    row["last_activity"] = wall_time(server.wall(each.last_active))
    if isinstance(each, ClosedConnection):
        row["stop"] = wall_time(server.wall(each.stopped))
        row["reason"] = each.reason
    row["rtt"] = _rtt(each.rtt)
    row["uptime"] = uptime(end - each.started)
    row["idle"] = uptime(end - each.last_active)
    row["pending_bytes"] = _pending(each)
    row["in_msgs"], row["out_msgs"] = each.in_msgs, each.out_msgs
    row["in_bytes"], row["out_bytes"] = each.in_bytes, each.out_bytes
    if each.stalls:
        row["stalls"] = each.stalls
    row["subscriptions"] = _subscriptions(each)
    _add_texts(row, name=each.connect.name, lang=each.connect.lang, version=each.connect.version)
    origin = each.origin
    _add_texts(row, tls_version=origin.tls_version, tls_cipher_suite=origin.tls_cipher)
    if query.auth and origin.certificate is not None:
        row["tls_peer_certs"] = [_certificate(origin.certificate)]
    if origin.tls_first:
        row["tls_first"] = True
    if query.auth:
        user = each.user if isinstance(each, ClosedConnection) else user_of(each)
        account = _account(each)
        _add_texts(row, authorized_user=user, account="" if account == GLOBAL_ACCOUNT else account)
    _add_subscriptions(row, query, each)
    if query.auth and isinstance(each, Session):
        _add_texts(row, issuer_key=issuer_of(each))
    if query.auth and (isinstance(each, Session) or _account(each) != GLOBAL_ACCOUNT):
        row["name_tag"] = _account(each)
    return row


def _add_subscriptions(row: dict[str, Any], query: ConnzQuery, each: Shown) -> None:
    subs: Iterable[Any] = each.subs if isinstance(each, ClosedConnection) else each.subs.values()
    if not each.subs or not (query.detail or query.subs):
        return
    subs = list(subs) if isinstance(each, Session) else subs  # they may change before all is written
    if not query.detail:
        row["subscriptions_list"] = Rows(_text(sub.subject) for sub in subs)
        return
    if isinstance(each, ClosedConnection):  # what ends by itself has no limit any more, says nats-server
        row["subscriptions_list_detail"] = Rows(subscription_detail(sub, each.cid, each.account_name, 0) for sub in subs)
    else:
        row["subscriptions_list_detail"] = Rows(subscription_detail(sub, each.cid, "", sub.limit) for sub in subs)


def subscription_detail(sub: Any, cid: int, account: str, limit: int) -> dict[str, Any]:
    """Return all of one subscription; without an account's name, it goes without saying."""
    row: dict[str, Any] = {"account": account, "account_tag": account} if account else {}
    row["subject"] = _text(sub.subject)
    if sub.queue is not None:
        row["qgroup"] = _text(sub.queue)
    row["sid"] = _text(sub.sid)
    row["msgs"] = sub.delivered
    if limit:
        row["max"] = limit
    row["cid"] = cid
    return row


def _account(each: Shown) -> str:
    return each.account_name if isinstance(each, ClosedConnection) else str(each.account.name)


def _address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() else ("", 0)


def _rtt(seconds: float | None) -> str:
    """Return a round trip as Go writes it, cut to microseconds where it is shorter than a millisecond."""
    nanoseconds = int((seconds or 0.0) * 1e9)
    return duration(nanoseconds // 1000 * 1000 if 1000 < nanoseconds < 1_000_000 else nanoseconds)


def _certificate(der: bytes) -> dict[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    hashes = {"spki_sha256": sha256(key).hexdigest(), "cert_sha256": sha256(der).hexdigest()}
    return {"subject": certificate.subject.rfc4514_string()} | hashes


def _add_texts(row: dict[str, Any], **texts: str) -> None:
    row.update({name: text for name, text in texts.items() if text})


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
