"""Message tracing, the trace of one message (ADR-41): what becomes of it, as those hear who listen where it says. Pure.

While a message is routed that asks for it, the hub has a MessageTrace, and those whom the message passes tell it:

    in   it came in, from whom, and why it went no further      sm   a mapping sent it elsewhere
    se   it went through the export of a stream                  si   a service of another account was asked
    eg   it was delivered, or why it was not

All of that is one message of JSON, with nats-server's fields in nats-server's order. A trace has MAX_EVENTS of them; what follows is left
out. On one server there are no hops: ``Nats-Trace-Hop`` is a header like others, as nats-server has it for what comes from a client.
"""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

from midge.server.client_info import timestamp, with_header
from midge.server.gotext import escaped
from midge.server.snappy import MAX_SIZE, frame
from midge.server.trace_headers import DISABLED, TRACE_DEST, TraceHeaders

__all__ = ["CLOSED", "DENIED", "MAX_EVENTS", "NO_ECHO", "MessageTrace", "disabled", "with_dest"]

NO_ECHO = "Not delivered because of no echo"
DENIED = "Not delivered because subscription denies this subject"
CLOSED = "Not delivered because client is closed"
MAX_EVENTS = 16384
_CLIENT = 0  # nats-server's number for that kind of connection
_GZIP_LEVEL = 1
_CONTENT_ENCODING = b"Content-Encoding"
_NO_UTF8 = re.compile("[\ud800-\udfff]")


class MessageTrace:
    """What becomes of one message.

    Args:
        session: the Session that has published it.
        headers: its headers.
        dest: the subject that hears of it.
        subject: what it was published to.
        size: bytes of header and payload.
        seconds: the time of day.

    Attributes:
        account: the Account in which ``dest`` is.
        only: the message is not delivered.
        encoding: what whoever listens understands.
    """

    __slots__ = ("_by", "_events", "_headers", "_ingress", "_refused", "_size", "_time", "account", "dest", "encoding", "only")

    def __init__(self, session: Any, headers: TraceHeaders, dest: bytes, subject: bytes, size: int, seconds: float) -> None:
        self.account = session.account
        self.dest = dest
        self.only = headers.only
        self._by: Any = None
        self._refused: set[Any] = set()
        self.encoding = headers.encoding
        self._headers = headers.headers
        self._size = size
        self._time = timestamp(seconds)  # of all of it: the hub has no clock of its own
        self._ingress: dict[str, object] = {"type": "in", "ts": self._time, **_who(session), "acc": self.account.name}
        self._ingress["subj"] = _text(subject)
        self._events: list[dict[str, object]] = [self._ingress]

    def set_error(self, text: str) -> None:
        """The message goes no further than it came."""
        self._ingress["error"] = text

    def add_mapping(self, subject: bytes) -> None:
        """A mapping has sent it to this subject."""
        self._add("sm", {"to": _text(subject)})

    def enter(self, stream: Any, sub: Any, subject: bytes) -> bool:
        """It goes on into an account that imports the stream, where it has this subject. False where it is not traced there.

        Args:
            sub: the subscription that it comes by, which stands for whoever gets it. Next: ``leave``, after they have got it.
        """
        self._add("se", {"acc": stream.importer, "to": _text(subject)})
        self._by = sub
        return bool(stream.allow_trace)

    def leave(self) -> None:
        """It is in its own account again."""
        self._by = None

    def add_service_import(self, account: str, subject: bytes, to: bytes) -> None:
        """A service of another account is asked, or has answered."""
        self._add("si", {"acc": account, "from": _text(subject), "to": _text(to)})

    def stops(self, producer: Any, sub: Any, publication: Any) -> bool:
        """Note that a client's subscription gets the message, or why not. True if it gets it only here, and is not to be sent it."""
        error = _why_not(producer, sub, publication)
        if error and sub.queue:  # of a group, the hub asks the first ones once more after all have refused
            if sub in self._refused:
                return False
            self._refused.add(sub)
        self._add_egress(sub.peer, self._by or sub, error)
        return self.only and not error

    def _add_egress(self, session: Any, sub: Any, error: str) -> None:
        event = _who(session)
        if session.account.name != self.account.name:
            event["acc"] = session.account.name
        event["sub"] = _text(sub.subject)
        if sub.queue:
            event["queue"] = _text(sub.queue)
        if error:
            event["error"] = error
        self._add("eg", event)

    def encode(self, server: dict[str, object]) -> tuple[bytes, bytes]:
        """Return header block and payload of the message that tells of it; ``server`` says from where it is."""
        headers = {_text(name): [_text(each) for each in values] for name, values in sorted(self._headers.items())}
        found = {"server": server | {"time": self._time}, "request": {"header": headers, "msgsize": self._size}, "events": self._events}
        return _encoded(_go_json(found), self.encoding.lower())

    def __len__(self) -> int:
        return len(self._events)

    def _add(self, kind: str, fields: dict[str, object]) -> None:
        if len(self._events) < MAX_EVENTS:
            self._events.append({"type": kind, "ts": self._time, **fields})


def disabled(header: bytes) -> bytes:
    """Return a header block that asks nobody any more to trace its message."""
    return with_header(header, TRACE_DEST, DISABLED)


def with_dest(header: bytes, dest: bytes) -> bytes:
    """Return a header block that asks for its message to be traced there."""
    return with_header(header, TRACE_DEST, dest)


def _why_not(producer: Any, sub: Any, publication: Any) -> str:
    """Return why the hub does not deliver a message to a client's subscription, empty where it does."""
    session = sub.peer
    if session.closing is not None:
        return CLOSED
    if session is producer and not session.echo:
        return NO_ECHO
    guard = session.guard
    return DENIED if guard is not None and guard.filtering and guard.denies(publication, sub.queue) else ""


def _who(session: Any) -> dict[str, object]:
    name = session.connect.name
    return {"kind": _CLIENT, "cid": session.cid} | ({"name": name} if name else {})


def _encoded(payload: bytes, encoding: bytes) -> tuple[bytes, bytes]:
    """Return header block and payload in an encoding that is among those, which are in lower case."""
    if not encoding:
        return b"", payload
    name = b"identity"
    if b"snappy" in encoding or b"s2" in encoding:
        if len(payload) <= MAX_SIZE:
            name, payload = b"snappy", frame(payload)
    elif b"gzip" in encoding:
        name, payload = b"gzip", gzip.compress(payload, _GZIP_LEVEL, mtime=0)
    return with_header(b"", _CONTENT_ENCODING, name), payload


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _go_json(value: object) -> bytes:
    """Return a value as Go encodes it: each byte that is no UTF-8 is an escaped replacement character."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return escaped(_NO_UTF8.sub(r"\\ufffd", text).encode())
