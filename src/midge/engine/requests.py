"""Requests to the JetStream API, on their way from the wire to an answer.

A request is answered exactly once, by ``respond`` or ``refuse``: at once, or when what it has changed is safe. Its account's next request
waits for that, so an account's requests are answered in the order in which they came.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from midge.engine.decoding import decode
from midge.engine.errors import ApiError
from midge.engine.headers import value_of
from midge.model.base import Model, encode

if TYPE_CHECKING:
    from midge.engine.account import Account

__all__ = ["ApiRequest", "escaped", "is_empty", "is_object"]

ModelT = TypeVar("ModelT", bound=Model)
_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))


class ApiRequest:
    """One request.

    Attributes:
        subject: as it was published to; ``tokens`` are those behind ``$JS.API``.
        body: the payload.
        wall: when it came.
        size: its bytes.
        kind: the ``type`` of its answer.
        client: who has asked, where somebody wants to know; None otherwise.
        is_audited: somebody wants to know.
    """

    __slots__ = ("account", "body", "client", "header", "is_answered", "is_audited", "kind", "reply", "size", "subject", "tokens", "wall")

    def __init__(self, account: Account, subject: bytes, reply: bytes, header: bytes, body: bytes, wall: int) -> None:
        self.account = account
        self.subject = subject
        self.tokens = subject.decode("utf-8", "surrogateescape").split(".")[2:]
        self.reply = reply
        self.header = header
        self.body = body
        self.wall = wall
        self.size = len(subject) + len(reply) + len(header) + len(body)
        self.kind = ""
        self.client: dict[str, object] | None = None
        self.is_audited = False
        self.is_answered = False

    def read(self, kind: type[ModelT], *, strict: bool = True) -> ModelT:
        """Return the body.

        Args:
            strict: refuse fields that are unknown, where the server does.

        Raises:
            ApiError: it is none of this kind (10025).
        """
        return decode(kind, self.body, strict=strict and self.account.engine.settings.strict)

    def check_level(self, level: int) -> None:
        """Refuse a request that wants more than this version of the API.

        Raises:
            ApiError: it does (10185).
        """
        wanted = value_of(self.header, b"Nats-Required-Api-Level")
        if wanted and (not wanted.isdigit() or int(wanted[:9]) > level):
            raise ApiError(10185)

    def respond(self, response: Model, header: bytes = b"") -> None:
        """Answer it, perhaps with a block of headers."""
        self._answer(escaped(encode(response)), header, is_error=getattr(response, "error", None) is not None)

    def hand_over(self, response: Model, header: bytes = b"") -> None:
        """Answer it, but neither count it nor tell who watches: as nats-server does where a message is read."""
        self.hand_over_text(escaped(encode(response)), header)

    def hand_over_text(self, text: bytes, header: bytes = b"") -> None:
        """The same with an answer that is JSON already."""
        self.is_answered = True
        self.account.send(self, text, header)
        self.account.ignore(self)

    def refuse(self, error: ApiError, rest: dict[str, Any] | None = None) -> None:
        """Answer with an error, and what this kind of answer has beside it."""
        body = {"type": self.kind, "error": error.body(), **(rest or {})}
        self._answer(escaped(msgspec.json.encode(body)), b"", is_error=True)

    def _answer(self, payload: bytes, header: bytes, *, is_error: bool) -> None:
        assert not self.is_answered, f"{self.subject!r} is answered already"
        self.is_answered = True
        self.account.answered(self, payload, header, is_error)


def is_empty(body: bytes) -> bool:
    """True if nothing is said: no body, or an object without fields."""
    if not body:
        return True
    if body.startswith(b'{"'):  # most are: this one has a field, or is no JSON
        return False
    try:
        return bool(json.loads(body) == {})
    except (ValueError, RecursionError):
        return False


def is_object(body: bytes) -> bool:
    """True if a body is a JSON object or list; where it need not be one, nats-server ignores what it is then."""
    return body.lstrip(b" \t\r\n")[:1] in (b"{", b"[")


def escaped(text: bytes) -> bytes:
    """Escape what Go escapes. Outside of strings there is none of it."""
    for plain, escape in _ESCAPES:
        text = text.replace(plain, escape)
    return text
