"""``msg_trace`` of an account: where messages are traced to whose ``traceparent`` header asks for it."""

from __future__ import annotations

from midge.server.account_options import MsgTrace
from midge.server.config.errors import Fault
from midge.server.config.reading import Report, in_quotes
from midge.server.config.tree import Node, kind_of
from midge.server.gotext import parse_int
from midge.server.tokens import is_publishable

__all__ = ["read_msg_trace"]


def read_msg_trace(report: Report, name: str, node: Node) -> MsgTrace | None:
    """Return what a block or a subject says; None, and there is a warning, where it is about how many messages and not where to.

    Raises:
        Fault: it makes no sense.
    """
    if isinstance(node.value, str):
        return MsgTrace(dest=_dest(name, node))
    if not isinstance(node.value, dict):
        raise Fault(node, f"Expected account message trace {in_quotes(name)} to be a string or a map/struct, got {kind_of(node.value)}")
    dest, sampling = "", 0
    for key, each in node.value.items():
        if key.lower() == "dest":
            dest = _dest(key, each)
        elif key.lower() == "sampling":
            sampling = _sampling(key, each)
        elif not each.used:
            raise Fault(each, f"Unknown field {in_quotes(key)} parsing account message trace map/struct {in_quotes(name)}")
    if dest:
        return MsgTrace(dest=dest, sampling=sampling or 100)
    if sampling:
        report.warnings.append(str(Fault(node, "Trace destination sampling ignored since no destination was set")))
    return None


def _dest(name: str, node: Node) -> str:
    value = node.value
    if not isinstance(value, str):
        raise Fault(node, f"Field {in_quotes(name)} should be a string, got {kind_of(value)}")
    if not is_publishable(value.encode("utf-8", "surrogateescape")):
        raise Fault(node, f"Trace destination {in_quotes(value)} is not valid")
    return value


def _sampling(name: str, node: Node) -> int:
    value = node.value
    if isinstance(value, str):
        try:
            found = parse_int(value.removesuffix("%"))
        except ValueError:
            raise Fault(node, f"Invalid trace destination sampling value {in_quotes(value)}") from None
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    else:
        what = f"Trace destination sampling field {in_quotes(name)} should be an integer or a percentage"
        raise Fault(node, f"{what}, got {kind_of(value)}")
    if not 1 <= found <= 100:
        raise Fault(node, f"Ttrace destination sampling value {found} is invalid, needs to be [1..100]")  # as nats-server spells it
    return found
