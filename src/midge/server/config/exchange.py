"""What accounts let each other have: ``exports``, ``imports`` and ``mappings``."""

from __future__ import annotations

from functools import partial
from typing import Any

from midge.durations import parse_duration
from midge.server.account_options import Destination, Export, Import, Latency
from midge.server.config.errors import Fault
from midge.server.config.reading import Handler, Report, array, flag, in_quotes, mapping, text, whole
from midge.server.config.tree import Node, kind_of, shown
from midge.subject import is_valid

__all__ = ["read_exports", "read_imports", "read_mappings"]

_THRESHOLD = ("threshold", "response_threshold", "response_max_time", "response_time")
_RESPONSES = {"single": "Singleton", "singleton": "Singleton", "stream": "Stream", "chunk": "Chunked", "chunked": "Chunked"}


def read_exports(report: Report, node: Node) -> list[Export]:
    """Return the exports that are in order."""
    if not isinstance(node.value, list):
        raise Fault(node, f"Exports should be an array, got {kind_of(node.value)}")
    found: list[Export] = []
    for each in node.value:
        if not isinstance(each.value, dict):
            report.errors.append(str(Fault(each, f"Export Items should be a map with type entry, got {kind_of(each.value)}")))
            continue
        export = _Export(each.value).read(report)
        if export is not None:
            found.append(export)
    return found


class _Export:
    """One export. What only services have must not be said of a stream, in whichever order."""

    def __init__(self, entries: dict[str, Node]) -> None:
        self.entries = entries
        self.given: dict[str, Any] = {}
        self.of_services: list[tuple[Node, str]] = []

    def read(self, report: Report) -> Export | None:
        handlers: dict[str, Handler] = {
            "stream": partial(self._kind, "stream"),
            "service": partial(self._kind, "service"),
            **dict.fromkeys(("response", "response_type"), self._response),
            **dict.fromkeys(_THRESHOLD, self._threshold),
            "accounts": lambda each: self.given.update(accounts=tuple(map(text, array(each))) or None),
            "latency": self._latency,
            "account_token_position": lambda each: self.given.update(token_position=whole(each)),
            "allow_trace": self._allow_trace,
        }
        report.read(self.entries, handlers)
        if self.given.get("kind") == "stream":
            for each, what in self.of_services:
                report.errors.append(str(Fault(each, f"Detected {what} directive on non-service")))
            for name in ("response", "threshold", "latency", "allow_trace"):
                self.given.pop(name, None)
        return Export(**self.given) if "kind" in self.given else None

    def _kind(self, kind: str, node: Node) -> None:
        other = self.given.get("kind")
        if other is not None and other != kind:
            raise Fault(node, f"Detected {kind} {in_quotes(shown(node.value))} but already saw a {other}")
        if not isinstance(node.value, str):
            raise Fault(node, f"Expected {kind} name to be string, got {kind_of(node.value)}")
        self.given.update(kind=kind, subject=node.value)

    def _response(self, node: Node) -> None:
        self.of_services.append((node, "response"))
        if not isinstance(node.value, str):
            raise Fault(node, f"Expected response type to be string, got {kind_of(node.value)}")
        found = _RESPONSES.get(node.value.lower())
        if found is None:
            raise Fault(node, f"Unknown response type: {in_quotes(node.value)}")
        self.given["response"] = found

    def _threshold(self, node: Node) -> None:
        self.of_services.append((node, "response"))
        problem = "Expected response threshold to be a parseable time duration, got "
        if not isinstance(node.value, str):
            raise Fault(node, f"{problem}{kind_of(node.value)}")
        try:
            self.given["threshold"] = parse_duration(node.value)
        except ValueError:
            raise Fault(node, f"{problem}{in_quotes(node.value)}") from None

    def _latency(self, node: Node) -> None:
        self.of_services.append((node, "latency"))
        self.given["latency"] = _latency(node)

    def _allow_trace(self, node: Node) -> None:
        self.of_services.append((node, "allow_trace"))
        self.given["allow_trace"] = flag(node)


def _latency(node: Node) -> Latency:
    value = node.value
    if isinstance(value, str):
        return Latency(subject=value)
    if not isinstance(value, dict):
        raise Fault(node, f"Expected latency entry to be a map/struct or string, got {kind_of(value)}")
    sampling = _sampling(value["sampling"]) if "sampling" in value else 100
    if "subject" not in value:
        raise Fault(node, "Latency subject required, but missing")
    subject = value["subject"]
    if not isinstance(subject.value, str):
        raise Fault(subject, "Expected latency subject to be a string, got string")  # nats-server names the wrong type, too
    return Latency(subject=subject.value, sampling=sampling)


def _sampling(node: Node) -> int:
    value = node.value
    if isinstance(value, str):
        if value.strip().lower() == "headers":
            return 0
        found = _decimal(value.removesuffix("%"))
        if found is None:
            wrong = in_quotes(value.removesuffix("%"))
            raise Fault(node, f"Failed to parse latency sample: strconv.Atoi: parsing {wrong}: invalid syntax")
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    else:
        raise Fault(node, f"Expected latency sample to be a string or map/struct, got {kind_of(value)}")
    if not 1 <= found <= 100:
        raise Fault(node, "bad sampling percentage, should be 1-100")
    return found


def read_imports(report: Report, node: Node) -> list[Import]:
    """Return the imports that are in order."""
    if not isinstance(node.value, list):
        raise Fault(node, f"Imports should be an array, got {kind_of(node.value)}")
    found: list[Import] = []
    services: dict[tuple[str, str], Import] = {}
    for each in node.value:
        try:
            imported = _read_import(report, each)
            if imported is None:
                continue
            if imported.kind == "service":
                to = imported.to or imported.subject
                old = services.setdefault((to, imported.account), imported)
                if old is not imported:
                    raise Fault(
                        each,
                        f"Duplicate service import subject {in_quotes(to)}, previously used in import for account "
                        f"{in_quotes(old.account)}, subject {in_quotes(old.subject)}",
                    )
            found.append(imported)
        except Fault as fault:
            report.errors.append(str(fault))
    return found


def _read_import(report: Report, node: Node) -> Import | None:
    if not isinstance(node.value, dict):
        raise Fault(node, f"Import Items should be a map with type entry, got {kind_of(node.value)}")
    given: dict[str, Any] = {}
    traced: list[Node] = []

    def kind(name: str, each: Node) -> None:
        if given.get("kind", name) != name:
            raise Fault(each, f"Detected {name} but already saw a {given['kind']}")
        account, subject = _source(report, each, name)
        given.update(kind=name, account=account, subject=subject)

    def allow_trace(each: Node) -> None:
        traced.append(each)
        given["allow_trace"] = flag(each)

    handlers: dict[str, Handler] = {
        "stream": partial(kind, "stream"),
        "service": partial(kind, "service"),
        "prefix": lambda each: given.update(prefix=text(each)),
        "to": lambda each: given.update(to=text(each)),
        "share": lambda each: given.update(share=flag(each)),
        "allow_trace": allow_trace,
    }
    report.read(node.value, handlers)
    if given.get("kind") == "stream":
        given.pop("share", None)
        if given.get("prefix") and given.get("to"):
            to = next(each for key, each in node.value.items() if key.lower() == "to")
            raise Fault(to, "Stream import can not have a 'prefix' and a 'to' property")
    elif given.get("kind") == "service":
        given.pop("prefix", None)
        if traced:
            raise Fault(traced[0], "Detected allow_trace directive on a non-stream")
    return Import(**given) if "kind" in given else None


def _source(report: Report, node: Node, kind: str) -> tuple[str, str]:
    if not isinstance(node.value, dict):
        raise Fault(node, f"{kind.capitalize()} entry should be an account map, got {kind_of(node.value)}")
    found = {"account": "", "subject": ""}
    handlers = {name: partial(lambda name, each: found.update({name: text(each)}), name) for name in found}
    report.read(node.value, handlers)
    if not all(found.values()):
        raise Fault(node, "Expect an account name and a subject")
    return found["account"], found["subject"]


def read_mappings(report: Report, node: Node) -> dict[str, tuple[Destination, ...]]:
    """Return the mappings that are in order. Whether a destination can be made from its subject is checked with the options."""
    found: dict[str, tuple[Destination, ...]] = {}

    def handle(subject: str, each: Node) -> None:
        if not is_valid(subject):
            raise Fault(node, f"Subject {in_quotes(subject)} is not a valid subject")
        if isinstance(each.value, str):
            found[subject] = (Destination(subject=each.value),)
        else:
            several = each.value if isinstance(each.value, list) else [each]
            found[subject] = tuple(_destination(one) for one in several)

    report.each(mapping(node), handle)
    return found


def _destination(node: Node) -> Destination:
    if not isinstance(node.value, dict):
        raise Fault(node, "Expected an entry for the mapping destination")
    given: dict[str, Any] = {}
    last = node
    for key, last in node.value.items():
        name = key.lower()
        if name in ("dest", "destination"):
            given["subject"] = text(last)
        elif name == "weight":
            given["weight"] = _weight(last)
        elif name == "cluster":
            given["cluster"] = text(last)
        else:
            raise Fault(last, f"Unknown field {in_quotes(key)} for mapping destination")
    if "weight" not in given:
        raise Fault(node, f"Missing weight for mapping destination {in_quotes(given.get('subject', ''))}")
    return Destination(**{"subject": "", **given})


def _weight(node: Node) -> int:
    value = node.value
    if isinstance(value, str):
        found = _decimal(value.removesuffix("%"))
        if found is None:
            raise Fault(node, f"Invalid weight {in_quotes(value.removesuffix('%'))} for mapping destination")
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    else:
        raise Fault(node, f"Unknown entry type for weight of {shown(value)}\n")
    if not 0 <= found <= 100:
        raise Fault(node, f"Invalid weight {found} for mapping destination")
    return found


def _decimal(value: str) -> int | None:
    digits = value[1:] if value[:1] in ("+", "-") else value
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
