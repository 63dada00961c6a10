"""Agreements: what the accounts export to each other and import from each other, checked and worked out before a server runs. Pure.

``agree`` goes through the configured accounts as nats-server does: first the exports, then the imports of streams, then those of services,
each checked against what is there already, which ``patterns`` finds: thousands of exports and imports are no trouble. The errors are
ValueErrors in nats-server's words, without its file and line. What comes out is what the accounts are wired up by: for each import where it
leads and how its subjects change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from midge.errors import MidgeError
from midge.nkeys import Prefix, check_public
from midge.server.access import GLOBAL_ACCOUNT
from midge.server.account_options import AccountOptions, Destination, Export, Import, MsgTrace
from midge.server.mapping import Mappings, is_valid_subject
from midge.server.patterns import Patterns
from midge.server.tokens import is_publishable
from midge.transform import Transform, is_subset, mark_wildcards, unmark_wildcards

__all__ = ["RESPONSES", "Agreements", "ServiceRoute", "StreamRoute", "agree", "check_mappings"]

RESPONSES = ("Singleton", "Stream", "Chunked")
MAX_DEPTH = 1024  # of accounts in a row, when cycles are searched
T = TypeVar("T", "StreamRoute", "ServiceRoute")


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """An import of a stream.

    Attributes:
        exporter: the name of the account it comes from.
        source: the subject there.
        local: the pattern that its subjects match here.
        transform: from there to here; None where that is not needed.
        is_same: the subjects are the same here.
    """

    exporter: str
    source: str
    local: str
    transform: Transform | None
    is_same: bool
    options: Import


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """An import of a service.

    Attributes:
        exporter: the name of the account that answers.
        local: the pattern of the requests here.
        target: the subject there.
        transform: from here to there; None where that is not needed.
        is_same: the subjects are the same there.
        export: what it is an import of.
    """

    exporter: str
    local: str
    target: str
    transform: Transform | None
    is_same: bool
    export: Export
    options: Import


@dataclass(slots=True)
class Agreements:
    """By the name of the importer."""

    streams: dict[str, list[StreamRoute]] = field(default_factory=dict)
    services: dict[str, list[ServiceRoute]] = field(default_factory=dict)


class _Known:
    """What the accounts offer, and what has been agreed so far.

    Attributes:
        exports: by account and kind.
        streams: what is imported, by importer; the patterns are those here.
        services: the same; the patterns are those there.
        taken: importer, exporter and subject there of every stream.
    """

    def __init__(self, accounts: tuple[AccountOptions, ...]) -> None:
        self.exports = {(each.name, kind): Patterns[Export]() for each in accounts for kind in ("stream", "service")}
        self.streams = {each.name: Patterns[StreamRoute]() for each in accounts}
        self.services = {each.name: Patterns[ServiceRoute]() for each in accounts}
        self.taken: set[tuple[str, str, str]] = set()
        for each in accounts:
            for export in each.exports:
                self.exports[each.name, export.kind].add(export.subject, export)

    def streams_of(self, account: str, subject: str) -> list[StreamRoute]:
        """Return from where an account has what it exports under this subject."""
        return self.streams[account].meeting(subject) if self.exports[account, "stream"].covering(subject) else []

    def services_of(self, account: str, subject: str) -> list[ServiceRoute]:
        """Return to where an account passes requests for this subject on."""
        return self.services[account].meeting(subject)


def agree(accounts: tuple[AccountOptions, ...]) -> Agreements:
    """Return what the accounts import.

    Raises:
        ValueError: one cannot be as it is configured.
    """
    for account, count in Counter(account.name for account in accounts).items():
        if account == GLOBAL_ACCOUNT:
            raise ValueError(f'"{account}" is a Reserved Account')
        if count > 1:
            raise ValueError(f"Duplicate Account Entry: {account}")
    for each in accounts:
        _check_account(each)
    known = _Known(accounts)
    for kind in ("stream", "service"):
        for each in accounts:
            for export in each.exports:
                if export.kind == kind:
                    _check_export(export, each, known)
    agreements = Agreements({each.name: [] for each in accounts}, {each.name: [] for each in accounts})
    for each in accounts:
        for entry in each.imports:
            if entry.kind == "stream":
                stream = _import_stream(entry, each, known)
                known.streams[each.name].add(stream.local, stream)
                agreements.streams[each.name].append(stream)
    for each in accounts:
        for entry in each.imports:
            if entry.kind == "service":
                service = _import_service(entry, each, known)
                known.services[each.name].add(service.target, service)
                agreements.services[each.name].append(service)
    return agreements


def check_mappings(mappings: dict[str, tuple[Destination, ...]]) -> None:
    """Refuse mappings that cannot be."""
    Mappings(mappings, lambda count: 0)


def _check_account(account: AccountOptions) -> None:
    if not account.name:
        raise ValueError("an account needs a name")
    if account.nkey:
        try:
            check_public(account.nkey, Prefix.ACCOUNT)
        except MidgeError as error:
            raise ValueError(f'Not a valid public nkey for an account: "{account.nkey}"') from error
    for name in ("max_connections", "max_subscriptions", "max_payload"):
        if not -1 <= getattr(account, name) < 1 << 31:
            raise ValueError(f"{name} {getattr(account, name)} of account {account.name}: expected 0 or more, or -1 for no limit")
    if account.msg_trace is not None:
        _check_msg_trace(account.msg_trace)
    check_mappings(account.mappings)
    for export in account.exports:
        _check_export_form(export)
    subjects: dict[tuple[str, str], str] = {}
    for entry in account.imports:
        _check_import_form(entry)
        if entry.kind == "service":
            here = entry.to or entry.subject
            if (here, entry.account) in subjects:
                before = subjects[here, entry.account]
                used = f'previously used in import for account "{entry.account}", subject "{before}"'
                raise ValueError(f'Duplicate service import subject "{here}", {used}')
            subjects[here, entry.account] = entry.subject


def _check_msg_trace(trace: MsgTrace) -> None:
    if not is_publishable(trace.dest.encode("utf-8", "surrogateescape")):
        raise ValueError(f'Trace destination "{trace.dest}" is not valid')
    if not 1 <= trace.sampling <= 100:
        raise ValueError(f"Ttrace destination sampling value {trace.sampling} is invalid, needs to be [1..100]")  # as nats-server spells it


def _check_export_form(export: Export) -> None:
    if export.kind not in ("stream", "service"):
        raise ValueError(f'an export is of a "stream" or a "service", not a {export.kind!r}')
    if export.response not in RESPONSES:
        raise ValueError(f'Unknown response type: "{export.response}"')
    if not 0 <= export.threshold < float("inf"):
        raise ValueError(f"threshold {export.threshold}: expected 0 or more seconds")
    if export.kind == "stream":
        given = {
            "response": export.response != RESPONSES[0] or export.threshold,
            "latency": export.latency,
            "allow_trace": export.allow_trace,
        }
        for name, value in given.items():
            if value:
                raise ValueError(f"Detected {name} directive on non-service")


def _check_import_form(entry: Import) -> None:
    if entry.kind not in ("stream", "service"):
        raise ValueError(f'an import is of a "stream" or a "service", not a {entry.kind!r}')
    if not entry.account or not entry.subject:
        raise ValueError("Expect an account name and a subject")
    if entry.kind == "stream" and entry.prefix and entry.to:
        raise ValueError("Stream import can not have a 'prefix' and a 'to' property")
    if entry.kind == "service" and entry.allow_trace:
        raise ValueError("Detected allow_trace directive on a non-stream")


def _check_export(export: Export, account: AccountOptions, known: _Known) -> None:
    for name in export.accounts or ():
        if name not in known.streams:
            raise ValueError(f'"{name}" account not defined for {export.kind} export')
    tokens = export.subject.split(".")
    position = export.token_position
    if position < 0 or (position and (len(tokens) < position or tokens[position - 1] != "*")):
        raise ValueError(f'Error adding {export.kind} export "{export.subject}": sublist: invalid subject')
    if not is_valid_subject(export.subject):
        raise ValueError(f'Error adding {export.kind} export "{export.subject}": sublist: invalid subject')
    latency = export.latency
    if latency is not None:
        reason = ""
        if latency.sampling and not 1 <= latency.sampling <= 100:
            reason = "bad sampling percentage, should be 1-100"
        elif not is_valid_subject(latency.subject) or set("*>") & set(latency.subject.split(".")):
            reason = "invalid publish subject"
        elif known.exports[account.name, "service"].covering(latency.subject):
            reason = "invalid publish subject"
        elif export.response != RESPONSES[0]:
            reason = "bad service response type"
        if reason:
            on = f'"{export.subject}" on subject "{latency.subject}"'
            raise ValueError(f"Error adding service latency sampling for {on}: {reason}")


def _import_stream(entry: Import, importer: AccountOptions, known: _Known) -> StreamRoute:
    if entry.account not in known.streams:
        raise ValueError(f'"{entry.account}" account not defined for stream import')
    failed = f'Error adding stream import "{entry.subject}"'
    if _export_for(entry, importer, known) is None:
        raise ValueError(f"{failed}: stream import not authorized")
    local = entry.to or entry.subject
    if entry.prefix:
        if {"*", ">"} & set(entry.prefix.split(".")):
            raise ValueError(f"{failed}: stream import prefix can not contain wildcard tokens")
        local = f"{entry.prefix}{'' if entry.prefix.endswith('.') else '.'}{entry.subject}"
    for subject in (local, entry.subject):
        _check_cycle(failed, entry.account, subject, importer.name, known.streams_of)
    transform, is_same = None, False
    if _has_wildcard(entry.subject):
        is_same = local == entry.subject
        if not is_same:
            try:
                transform = Transform(entry.subject, mark_wildcards(local), True)
            except ValueError as error:
                what = f'stream import subject from "{entry.subject}" to "{local}"'
                raise ValueError(f"{failed}: failed to create mapping transform for {what}: {error}") from error
            local, _ = unmark_wildcards(local)
    if (importer.name, entry.account, entry.subject) in known.taken:
        raise ValueError(f"{failed}: stream import already exists")
    known.taken.add((importer.name, entry.account, entry.subject))
    return StreamRoute(entry.account, entry.subject, local, transform, is_same, entry)


def _import_service(entry: Import, importer: AccountOptions, known: _Known) -> ServiceRoute:
    if entry.account not in known.services:
        raise ValueError(f'"{entry.account}" account not defined for service import')
    failed = f'Error adding service import "{entry.subject}"'
    local, target = entry.to or entry.subject, entry.subject
    if not is_valid_subject(local) or not is_valid_subject(target):
        raise ValueError(f"{failed}: sublist: invalid subject")
    export = _export_for(entry, importer, known)
    if export is None:
        raise ValueError(f"{failed}: service import not authorized")
    start = unmark_wildcards(local)[0] if _has_wildcard(target) else local
    _check_cycle(failed, entry.account, start, importer.name, known.services_of)
    transform, is_same = None, False
    if _has_wildcard(target):
        is_same = target == local
        if not is_same:
            target, _ = unmark_wildcards(target)
            try:
                transform = Transform(target, mark_wildcards(local), True)
                transform = transform.reverse()
            except ValueError as error:
                what = f'service import subject from "{local}" to "{target}"'
                raise ValueError(f"{failed}: failed to create mapping transform for {what}: {error}") from error
            local, _ = unmark_wildcards(local)
    return ServiceRoute(entry.account, local, target, transform, is_same, export, entry)


def _export_for(entry: Import, importer: AccountOptions, known: _Known) -> Export | None:
    """Return what an import is an import of, None where the importer may not have it."""
    wider = known.exports[entry.account, entry.kind].covering(entry.subject)
    exact = [each for each in wider if each.subject == entry.subject]
    if not is_valid_subject(entry.subject) or not wider:
        return None
    export = (exact or wider)[-1]
    if export.token_position:
        # An import of the very pattern names no account: nobody is meant, as there.
        tokens = entry.subject.split(".")
        is_meant = not exact and tokens[export.token_position - 1 : export.token_position] == [importer.name]
        return export if is_meant else None
    return export if export.accounts is None or importer.name in export.accounts else None


def _check_cycle(failed: str, account: str, subject: str, importer: str, leads_to: Callable[[str, str], list[T]]) -> None:
    """Refuse what would come back to one of the accounts that it has come through.

    Args:
        leads_to: by which imports an account passes a subject on.
    """
    visited = {importer}
    while_here = [(account, subject)]
    while while_here:
        account, subject = while_here.pop()
        if len(visited) >= MAX_DEPTH:
            raise ValueError(f"{failed}: search cycle depth exhausted")
        for route in leads_to(account, subject):
            if route.exporter in visited:
                raise ValueError(f"{failed}: import forms a cycle")
            visited = visited | {account}
            while_here.append((route.exporter, route.local if is_subset(route.local, subject) else subject))


def _has_wildcard(subject: str) -> bool:
    tokens = subject.split(".")
    return "*" in tokens or tokens[-1] == ">"
