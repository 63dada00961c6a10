"""What can be asked of the monitoring port: the parameters of each page, read as nats-server reads them, with its texts for what is wrong.

As there, a parameter that a page does not know is ignored, and of one that is given twice the first counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from midge.server.gotext import parse_bool, parse_int, parse_uint

__all__ = [
    "DEFAULT_LIMIT",
    "ConnzQuery",
    "HealthzQuery",
    "JszQuery",
    "QueryError",
    "SubszQuery",
    "connz_query",
    "flag",
    "healthz_query",
    "jsz_query",
    "subs_flag",
    "subsz_query",
]

DEFAULT_LIMIT = 1024
SORTS = frozenset(
    (
        "", "cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "last", "idle", "uptime", "stop",
        "reason", "rtt",
    )
)  # fmt: skip
_STATES = {"": "open", "open": "open", "closed": "closed", "any": "any", "all": "any"}
_OF_CLOSED = ("stop", "reason")
T = TypeVar("T")
Parameters = Mapping[str, str]


class QueryError(ValueError):
    """A parameter makes no sense; the text is the answer, which has status 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnzQuery:
    """Which connections to show, and what of them.

    Attributes:
        sort: by what, one of SORTS.
        auth: who they are.
        subs, detail: the subjects that they are subscribed to; all of each subscription.
        offset, limit: which part of them.
        cid: that one only, 0 for any.
        state: "open", "closed" or "any".
        user, account: of that user and account only.
        subject: that have a subscription which has messages in common with this one.
    """

    sort: str = ""
    auth: bool = False
    subs: bool = False
    detail: bool = False
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    cid: int = 0
    state: str = "open"
    user: str = ""
    account: str = ""
    subject: str = ""

    def check(self) -> None:
        """Raise QueryError where what is asked for does not go together."""
        if self.sort not in SORTS:
            raise QueryError(f"invalid sorting option: {self.sort}")
        if self.sort in _OF_CLOSED and self.state != "closed":
            raise QueryError(f"sort by {self.sort} only valid on closed connections")
        if self.subject and not self.account:
            raise QueryError("filter by subject only valid with account filtering")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubszQuery:
    """Which subscriptions to show: with ``subs`` a list, of one account, or of those that get what is published to ``test``."""

    subs: bool = False
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    account: str = ""
    test: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthzQuery:
    """Of what the health is asked for; with ``server_only`` streams are not looked at."""

    account: str = ""
    stream: str = ""
    consumer: str = ""
    details: bool = False
    server_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JszQuery:
    """What to show of JetStream.

    Attributes:
        account: that one; empty for none in particular.
        accounts: all of them.
        streams: their streams; ``config``: with their configurations.
        consumers, direct_consumers: and their consumers, those that feed other streams directly by themselves.
        raft: how many streams the server leads.
        offset, limit: which part of the accounts.
    """

    account: str = ""
    accounts: bool = False
    streams: bool = False
    consumers: bool = False
    direct_consumers: bool = False
    config: bool = False
    raft: bool = False
    offset: int = 0
    limit: int = DEFAULT_LIMIT


def connz_query(parameters: Parameters) -> ConnzQuery:
    """Read the parameters of /connz.

    Raises:
        QueryError: one of them makes no sense.
    """
    sort = parameters.get("sort", "")
    auth = flag(parameters, "auth")
    subs, detail = subs_flag(parameters)
    offset = _number(parameters, "offset")
    limit = _number(parameters, "limit")
    cid = _read(parameters, "cid", "uint64", parse_uint, 0)
    state = parameters.get("state", "")
    if state.lower() not in _STATES:
        raise QueryError(f"Error decoding state for {state}")
    subject = parameters.get("filter_subject", "")
    return ConnzQuery(
        sort=sort,
        auth=auth,
        subs=subs,
        detail=detail,
        offset=max(offset, 0),
        limit=1 if cid else limit if limit > 0 else DEFAULT_LIMIT,
        cid=cid,
        state=_STATES[state.lower()],
        user=parameters.get("user", ""),
        account=parameters.get("acc", ""),
        subject="" if subject == ">" else subject,
    )


def subsz_query(parameters: Parameters) -> SubszQuery:
    """Read the parameters of /subsz.

    Raises:
        QueryError: one of them makes no sense.
    """
    subs = flag(parameters, "subs")
    offset = _number(parameters, "offset")
    limit = _number(parameters, "limit")
    test = parameters.get("test", "")
    if test and not _is_literal(test):
        raise QueryError(f"invalid test subject, must be valid publish subject: {test}")
    account = parameters.get("acc", "")
    return SubszQuery(subs=subs, offset=max(offset, 0), limit=limit if limit > 0 else DEFAULT_LIMIT, account=account, test=test)


def healthz_query(parameters: Parameters) -> HealthzQuery:
    """Read the parameters of /healthz.

    Raises:
        QueryError: one of them makes no sense.
    """
    only = [flag(parameters, name) for name in ("js-enabled", "js-enabled-only", "js-server-only", "js-meta-only")]
    details = flag(parameters, "details")
    names = {name: parameters.get(name, "") for name in ("account", "stream", "consumer")}
    return HealthzQuery(details=details, server_only=any(only), **names)


def jsz_query(parameters: Parameters) -> JszQuery:
    """Read the parameters of /jsz.

    Raises:
        QueryError: one of them makes no sense.
    """
    accounts, streams, consumers = (flag(parameters, name) for name in ("accounts", "streams", "consumers"))
    direct_consumers = flag(parameters, "direct-consumers")
    config = flag(parameters, "config")
    for name in ("leader-only", "stream-leader-only"):
        flag(parameters, name)  # without a cluster this server leads everything
    raft = flag(parameters, "raft")
    offset, limit = _number(parameters, "offset"), _number(parameters, "limit")
    return JszQuery(
        account=parameters.get("acc", ""),
        accounts=accounts or streams or consumers,
        streams=streams or consumers,
        consumers=consumers,
        direct_consumers=direct_consumers,
        config=config,
        raft=raft,
        offset=max(offset, 0),
        limit=limit if limit > 0 else DEFAULT_LIMIT,
    )


def flag(parameters: Parameters, name: str) -> bool:
    """Read a boolean, false where it is not given.

    Raises:
        QueryError: it is neither true nor false.
    """
    return _read(parameters, name, "boolean", parse_bool, False)


def subs_flag(parameters: Parameters) -> tuple[bool, bool]:
    """Read ``subs``: whether subjects are to be listed, and whether all of each subscription is.

    Raises:
        QueryError: it is neither a boolean nor "detail".
    """
    detail = parameters.get("subs", "").lower() == "detail"
    return (False, True) if detail else (flag(parameters, "subs"), False)


def _number(parameters: Parameters, name: str) -> int:
    return _read(parameters, name, "int", parse_int, 0)


def _read(parameters: Parameters, name: str, kind: str, parse: Callable[[str], T], default: T) -> T:
    text = parameters.get(name, "")
    try:
        return parse(text) if text else default
    except ValueError as error:
        raise QueryError(f"Error decoding {kind} for '{name}': {error}") from None


def _is_literal(subject: str) -> bool:
    tokens = subject.split(".")
    return all(tokens) and "*" not in tokens and ">" not in tokens and not any(character in subject for character in " \t\r\n\f")
