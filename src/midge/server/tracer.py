"""Message tracing, who may ask for it: begins the trace of a message, and tells of it (ADR-41). Pure.

The hub hands a publish to ``begin`` whose headers look as if they ask (``trace_headers.asks``). It is traced where the subject that is to
hear of it can be published to, and its client may; else it goes on untraced, or not at all: what was to be traced only is never delivered.
What nats-server does in each case is done here, in its words.

Bounds: of header blocks of more than MAX_BLOCK bytes no trace is made, a trace has so many events, and what it costs to make one is taken
out of the turn. What tells of a trace waits like every message of the server's own: where too much waits already it is lost, and logged.
"""

from __future__ import annotations

from typing import Any

from midge.server.info import NATS_VERSION
from midge.server.message_trace import MessageTrace, disabled, with_dest
from midge.server.publishing import refuse
from midge.server.quote import quote
from midge.server.tokens import is_publishable, is_reserved
from midge.server.trace_headers import MAX_BLOCK, TraceHeaders, is_only, read_headers

__all__ = ["MAX_PAYLOAD_EXCEEDED", "Tracer"]

MAX_PAYLOAD_EXCEEDED = "maximum payload exceeded"
_WORK_BYTE = 4  # of a header block, in deliveries
_WORK_TRACE = 1024
_WORK_EVENT = 64


class Tracer:
    """The message tracing of one server.

    Args:
        hub: the Hub that routes what is traced, and what tells of it.
    """

    __slots__ = ("_hub", "_sequence")

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._sequence = 0

    def begin(self, session: Any, publication: Any) -> Any:
        """Let the hub trace what a session publishes, if that may be. Returns the message as it goes on, None where it goes no further.

        Next: publish it, and then, where the hub has a trace, ``finish``.
        """
        hub = self._hub
        hub.can_spend(_WORK_TRACE + _WORK_BYTE * min(publication.header_size, MAX_BLOCK))
        block = publication.header()
        if len(block) > MAX_BLOCK:
            session.complain("Message tracing disabled because of %d bytes of headers", len(block))
            return None if is_only(block) else publication
        headers = read_headers(block)
        if headers is None:
            return publication
        started = self._start(session, headers, publication.subject(), publication.size())
        if isinstance(started, MessageTrace):
            hub.trace = started
        elif started is _DISABLED:
            return publication.redirected(publication.subject(), publication.reply(), disabled(block))
        return None if started is _STOPPED else publication

    def finish(self, session: Any) -> None:
        """Tell what has become of what the session has published."""
        trace, self._hub.trace = self._hub.trace, None
        self._send(session, trace)

    def deliver_to_shadow(self, producer: Any, sub: Any, shadow: Any, publication: Any) -> bool:
        """Let the hub deliver a message, which is traced, to a subscriber in an account that imports the stream."""
        hub = self._hub
        trace, message = hub.trace, shadow.stream.localise(publication)
        if not trace.enter(shadow.stream, sub, message.subject()):
            if trace.only:
                return True
            hub.trace = None
        try:
            return bool(hub.deliver(producer, shadow.inner, message))
        finally:
            hub.trace = trace
            trace.leave()

    def pass_on(self, account: Any, message: Any, subject: bytes, producer: Any, export: Any, link: Any) -> bool:
        """Let ``Services.pass_on`` route a message, which is traced, in another account. An answer is traced no further.

        Args:
            subject: what it was published to here.
        """
        hub, services = self._hub, self._hub.services
        trace = hub.trace
        trace.add_service_import(account.name, subject, message.subject())
        header = message.header()
        if link is not None and export.options.allow_trace:
            header = with_dest(header, account.responses(services).subject(services, b""))
        elif trace.only:
            return False
        else:
            header = disabled(header)
            hub.trace = None
        try:
            message = message.redirected(message.subject(), message.reply(), header)
            return bool(services.pass_on(account, message, producer, export, link))
        finally:
            hub.trace = trace

    def tell_too_large(self, session: Any, begun: bytes) -> None:
        """A publish of more than the session may send is refused: tell of it, if it was to be traced.

        Args:
            begun: what has come of it, from its verb on; nothing where its headers have not.
        """
        line, _, rest = begun.partition(b"\n")
        words = [word for word in line.strip(b"\r").replace(b"\t", b" ").split(b" ") if word]
        if words[0].upper() != b"HPUB":
            return
        headers = read_headers(rest[: min(int(words[-2]), MAX_BLOCK)])
        started = None if headers is None else self._start(session, headers, words[1], int(words[-1]))
        if isinstance(started, MessageTrace):
            started.set_error(MAX_PAYLOAD_EXCEEDED)
            self._send(session, started)

    def _start(self, session: Any, headers: TraceHeaders, subject: bytes, size: int) -> MessageTrace | object:
        """Return the trace of a message; or what is to be done with one that is not traced."""
        untraced = _STOPPED if headers.only else _UNTRACED
        if headers.origin:
            text = 'Message tracing disabled because of header "Nats-Trace-Origin-Account" with value=%s'
            session.complain(text, quote(headers.origin))
            return _STOPPED if headers.only else _DISABLED
        dest = headers.dest
        if headers.is_external:
            configured = session.account.msg_trace
            if configured is None:
                return _UNTRACED
            if configured.sampling < 100 and self._hub.chance.below(100) > configured.sampling:  # one too many, as nats-server has it
                return _DISABLED
            dest = configured.dest.encode("utf-8", "surrogateescape")
        if not is_publishable(dest):
            session.complain("Destination %s is not valid, won't be able to trace events", quote(dest))
            return untraced
        if not self._may_publish(session, dest):
            refuse(session, dest)
            return _STOPPED
        return MessageTrace(session, headers, dest, subject, size, self._hub.epoch + self._hub.now)

    def _may_publish(self, session: Any, dest: bytes) -> bool:
        """True if a session may publish there, whatever it has been asked for an answer."""
        if is_reserved(dest) and not (session.account.name == self._hub.options.system_account and dest.startswith(b"$NRG.")):
            return False
        return session.guard is None or bool(session.guard.policy.may_publish(dest))

    def _send(self, session: Any, trace: MessageTrace) -> None:
        self._sequence += 1
        header, payload = trace.encode(self._server())
        self._hub.can_spend(_WORK_EVENT * len(trace) + len(payload))
        if not self._hub.emit(trace.account, trace.dest, b"", header, payload):
            session.complain("Message trace to %s is lost, too much waits to be sent", quote(trace.dest))

    def _server(self) -> dict[str, object]:
        """Return what the server says of itself there."""
        hub = self._hub
        about: dict[str, object] = {"name": hub.server_name, "host": hub.info.host, "id": hub.server_id, "ver": NATS_VERSION}
        if hub.options.server_tags:
            about["tags"] = hub.options.server_tags
        if hub.options.server_metadata:
            about["metadata"] = dict(sorted(hub.options.server_metadata.items()))
        return about | {"jetstream": False, "flags": 0, "seq": self._sequence}


_UNTRACED, _DISABLED, _STOPPED = object(), object(), object()
