"""The protocol trace: what ``-V`` shows of every operation, in nats-server's form."""

from __future__ import annotations

import re
from typing import Any

from midge.quote import quote
from midge.server.connect import fold
from midge.wire import octets

__all__ = ["LEVEL", "log_delivery", "log_dropped", "log_in", "log_mapping", "log_out", "log_publish"]

LEVEL = 5
_NAMES = {
    octets.SUB: "SUB",
    octets.UNSUB: "UNSUB",
    octets.CONNECT: "CONNECT",
    octets.PING: "PING",
    octets.PONG: "PONG",
}
_SECRETS = ("pass", "auth_token", "jwt", "sig", "nkey")
# Patterns as text: ``re`` compiles them when a CONNECT is traced, not when the package is imported.
_STRING = r'"(?:[^"\\]|\\.)*"?'  # the closing quote may be missing where the line is cut
_MEMBER = rf"({_STRING})(\s*:\s*)({_STRING}|[^,{{}}\s]+)"
# As nats-server looks for them, in case the quotes do not pair.
_LOOSE = r'(?i)("?\s*(?:auth_token\S*?|pass\S*?|jwt|sig|nkey)"?\s*[:=]\s*"?)[^",\r\n}]*'


def log_in(session: Any, op: int) -> None:
    """Log an operation other than a publish; credentials are not shown."""
    name = _NAMES.get(op)
    if name is None:
        return
    if op == octets.CONNECT:
        _log(session, "<<-", f"CONNECT {_redact(session.parser.line())}")
    elif op in (octets.PING, octets.PONG):
        _log(session, "<<-", name)
    else:
        _log(session, "<<-", f"{name} {_text(session.parser.line())}")


def log_publish(session: Any, op: int) -> None:
    """Log a publish and its payload."""
    publication = session.parser.publication
    parts = [publication.subject()] + ([publication.reply()] if publication.reply_end else [])
    sizes = [publication.payload_end - publication.payload_start]
    if op == octets.HPUB:
        sizes.insert(0, publication.header_size)
    line = " ".join([*map(_text, parts), *map(str, sizes)])
    _log(session, "<<-", f"{'HPUB' if op == octets.HPUB else 'PUB'} {line}")
    _log_payload(session, "<<-", publication.body())


def log_mapping(session: Any, subject: bytes, target: bytes) -> None:
    """Log where a publish really goes."""
    _log(session, "<<-", f"MAPPING {_text(subject)} -> {_text(target)}")


def log_delivery(session: Any, sid: bytes, publication: Any) -> None:
    """Log a message on its way to a subscriber."""
    has_header = publication.header_size > 0 and session.headers
    parts = [publication.subject(), sid] + ([publication.reply()] if publication.reply_end else [])
    payload = publication.body() if has_header else publication.payload()
    sizes = ([publication.header_size] if has_header else []) + [len(payload)]
    _log(session, "->>", f"{'HMSG' if has_header else 'MSG'} {' '.join([*map(_text, parts), *map(str, sizes)])}")
    _log_payload(session, "->>", payload)


def log_dropped(session: Any, sid: bytes) -> None:
    """Log that a subscription is gone."""
    _log(session, "<->", f"DELSUB {_text(sid)}")


def log_out(session: Any, line: bytes) -> None:
    """Log a line on its way to a client; nats-server does not trace INFO."""
    verb, _, rest = line.partition(b" ")
    if verb in (b"PING", b"PONG"):
        _log(session, "->>", _text(verb))
    elif verb == b"+OK":
        _log(session, "->>", "OK")
    elif verb == b"-ERR":
        _log(session, "->>", f"-ERR {_text(rest[1:-1])}")
    elif verb == b"HMSG":
        _log(session, "->>", _text(line.partition(b"\r\n")[0]))


def _log(session: Any, arrow: str, text: str) -> None:
    session.log(LEVEL, "%s [%s]", arrow, text)


def _log_payload(session: Any, arrow: str, payload: bytes) -> None:
    limit = session.hub.options.max_traced_msg_len
    if 0 < limit < len(payload):
        session.log(LEVEL, '%s MSG_PAYLOAD: [%s..."]', arrow, quote(payload[:limit])[:-1])
    elif payload:
        session.log(LEVEL, "%s MSG_PAYLOAD: [%s]", arrow, quote(payload))


def _redact(line: bytes) -> str:
    """Return a CONNECT line with its credentials replaced, also where it is broken or hides their names."""

    def replace(member: re.Match[str]) -> str:
        name = fold(_unescape(member[1]))
        return f'{member[1]}{member[2]}"[REDACTED]"' if name in _SECRETS else member[0]

    return re.sub(_LOOSE, r"\1[REDACTED]", re.sub(_MEMBER, replace, _text(line)))


def _unescape(name: str) -> str:
    """Return the name that a quoted string spells."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), name).strip('"')


def _text(field: bytes) -> str:
    return field.decode("utf-8", "replace")
