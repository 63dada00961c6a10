"""``permissions`` of users and accounts."""

from __future__ import annotations

from midge.server.access import Permissions, Responses
from midge.server.config.errors import Fault
from midge.server.config.reading import Report, duration, in_quotes, valid, whole
from midge.server.config.tree import Node, kind_of, shown

__all__ = ["read_permissions"]

_Sides = tuple[tuple[str, ...] | None, tuple[str, ...]]
_MAX = ("max", "max_msgs", "max_messages", "max_responses")
_EXPIRES = ("expires", "expiration", "ttl")


def read_permissions(report: Report, node: Node) -> Permissions:
    """Return what a permissions block says."""
    if not isinstance(node.value, dict):
        raise Fault(node, f"Expected permissions to be a map/struct, got {shown(node.value)}")
    publish: list[_Sides] = [(None, ())]
    subscribe: list[_Sides] = [(None, ())]
    responses: list[Responses | None] = [None]

    def handle(key: str, each: Node) -> None:
        name = key.lower()
        if name in ("pub", "publish", "import"):
            publish[0] = _sides(report, each, False)
        elif name in ("sub", "subscribe", "export"):
            subscribe[0] = _sides(report, each, True)
        elif name in ("publish_allow_responses", "allow_responses"):
            responses[0] = _responses(report, each)
        elif not each.used:
            raise Fault(each, f"Unknown field {in_quotes(key)} parsing permissions")

    report.each(node.value, handle)
    allow, deny = publish[0]
    if responses[0] is not None and allow is None:
        allow = ()  # nothing but answers
    return Permissions(publish_allow=allow, publish_deny=deny, subscribe_allow=subscribe[0][0], subscribe_deny=subscribe[0][1],
                       responses=responses[0])  # fmt: skip


def _sides(report: Report, node: Node, may_have_queue: bool) -> _Sides:
    """Return what is allowed, None for everything, and what is denied."""
    if not isinstance(node.value, dict):
        return _subjects(node, None, may_have_queue) or None, ()  # nats-server does not say where it is wrong
    found: dict[str, tuple[str, ...]] = {}

    def handle(key: str, each: Node) -> None:
        if key.lower() in ("allow", "deny"):
            found[key.lower()] = _subjects(each, each, may_have_queue)
        elif not each.used:
            raise Fault(each, f"Unknown field name {in_quotes(key)} parsing subject permissions, only 'allow' or 'deny' are permitted")

    report.each(node.value, handle)
    return found.get("allow") or None, found.get("deny", ())  # an empty list allows everything, as in nats-server


def _subjects(node: Node, place: Node | None, may_have_queue: bool) -> tuple[str, ...]:
    value = node.value
    if isinstance(value, str):
        return (valid(place, value, may_have_queue),)
    if not isinstance(value, list):
        raise Fault(place, f"Expected subject permissions to be a subject, or array of subjects, got {kind_of(value)}")
    found = []
    for each in value:
        if not isinstance(each.value, str):
            raise Fault(each, "Subject in permissions array cannot be cast to string")
        found.append(each.value)
    return tuple(valid(place, each, may_have_queue) for each in found)


def _responses(report: Report, node: Node) -> Responses | None:
    if isinstance(node.value, bool):
        return Responses() if node.value else None
    if not isinstance(node.value, dict):
        raise Fault(node, "error parsing response permissions, expected a boolean or a map")
    found = [Responses()]

    def handle(key: str, each: Node) -> None:
        old = found[0]
        if key.lower() in _MAX:
            found[0] = Responses(max_msgs=whole(each) or old.max_msgs, expires=old.expires)
        elif key.lower() in _EXPIRES:
            if not isinstance(each.value, str):
                raise Fault(each, "error parsing expires, not a duration string")
            found[0] = Responses(max_msgs=old.max_msgs, expires=duration(each, "error parsing expires: ") or old.expires)
        elif not each.used:
            raise Fault(each, f"Unknown field {in_quotes(key)} parsing permissions")

    report.each(node.value, handle)
    return found[0]
