"""Requests to the JetStream API, by whatever prefix leads there: a JSON object out, a JSON object or an exception back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from midge.errors import MidgeTimeoutError, NoRespondersError
from midge.jetstream.errors import JetStreamNotEnabledError, MalformedAnswerError, error_of
from midge.jetstream.names import check_name
from midge.message import HeadersLike, Message

if TYPE_CHECKING:
    from midge.client.client import Client

__all__ = ["API_PREFIX", "Requests", "answer_of", "api_prefix", "info_of", "preferring", "whole"]

API_PREFIX = "$JS.API"
_ANSWER = {"type", "did_create", "total", "offset", "limit"}
_MOST_PAGES = 100_000  # of one list, whatever a server says
_ROOM = 10_000  # entries of a list that may be new since it was begun, beside as many as there were


def api_prefix(domain: str | None, prefix: str | None) -> str:
    """Return what the subjects of the API begin with, in a domain or by a prefix of its own.

    Raises:
        ValueError: both are given.
        InvalidSubjectError: the domain cannot be one.
    """
    if domain is not None and prefix is not None:
        raise ValueError("give a domain or a prefix, not both")
    if domain is not None:
        return f"$JS.{check_name(domain, 'domain')}.API"
    return API_PREFIX if prefix is None else prefix.rstrip(".")


class Requests:
    """The API that one JetStream context speaks to.

    Args:
        client: who asks.
        prefix: what the subjects begin with, without the last dot.
        timeout: seconds that an answer may take, where the caller says nothing.
    """

    __slots__ = ("client", "prefix", "timeout")

    def __init__(self, client: Client, prefix: str, timeout: float | None) -> None:
        self.client = client
        self.prefix = prefix
        self.timeout = timeout

    async def ask(self, name: str, body: dict[str, Any] | None = None, *, timeout: float | None = None) -> dict[str, Any]:
        """Ask for something such as ``STREAM.INFO.orders``, and return the answer.

        Args:
            timeout: seconds; None for what the context says.

        Raises:
            JetStreamError: it was refused; of the class that fits.
            JetStreamNotEnabledError: nobody answers there.
            MidgeTimeoutError: no answer came in time.
            MalformedAnswerError: what came makes no sense.
        """
        message = await self.send(name, b"" if body is None else msgspec.json.encode(body), timeout=timeout)
        return answer_of(message)

    async def send(
        self, name: str, payload: bytes = b"", *, headers: HeadersLike | None = None, timeout: float | None = None
    ) -> Message:  # fmt: skip
        """The same for an answer that is no JSON object."""
        timeout = self.timeout if timeout is None else timeout
        try:
            return await self.client.request(f"{self.prefix}.{name}", payload, timeout=timeout, headers=headers)
        except NoRespondersError:
            raise JetStreamNotEnabledError(prefix=self.prefix) from None
        except MidgeTimeoutError as error:
            raise MidgeTimeoutError(f"the JetStream request {name}", error.timeout, error.unmet) from error.__cause__

    async def pages(
        self, name: str, field: str, body: dict[str, Any] | None = None, *, timeout: float | None = None
    ) -> AsyncIterator[Any]:  # fmt: skip
        """Iterate over all that the pages of an answer list in one of its fields: a list, or an object of which (name, value) is given.

        It ends, whatever the server does: the list may grow on the way, but not for ever.

        Raises:
            MalformedAnswerError: there is no list, it comes again and again, or it goes on far beyond what there was when it was begun.
        """
        offset, most, last = 0, 0, None
        for number in range(_MOST_PAGES):
            answer = await self.ask(name, {**(body or {}), "offset": offset}, timeout=timeout)
            entries, total = _page_of(answer, name, field)
            names = [_name_of(entry) for entry in entries]
            most = most if number else 2 * total + _ROOM
            if entries and (names == last or (number and offset + len(entries) > most)):
                break
            for entry in entries:
                yield entry
            offset += len(entries)
            if not entries or offset >= total:
                return
            last = names
        raise MalformedAnswerError(f"the server's list of {field} does not end: {name}")


def _page_of(answer: dict[str, Any], name: str, field: str) -> tuple[list[Any], int]:
    """Return what a page lists, and how many there are in all.

    Raises:
        MalformedAnswerError: it lists nothing.
    """
    found = answer.get(field)
    if found is None and isinstance(answer.get("state"), dict):
        found = answer["state"].get(field)
    entries = list(found.items()) if isinstance(found, dict) else found or []
    total = answer.get("total", 0)
    if not isinstance(entries, list) or not isinstance(total, int):
        raise MalformedAnswerError(f"the answer to {name} has no list of {field}")
    return entries, total


def _name_of(entry: Any) -> Any:
    """Return what tells one entry of a list from another, in which numbers and times may have changed."""
    if isinstance(entry, tuple):
        return entry[0]
    if not isinstance(entry, dict):
        return entry
    config = entry.get("config")
    return entry.get("name") or (config.get("name") if isinstance(config, dict) else None)


def answer_of(message: Message) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        JetStreamError: it is an error.
        MalformedAnswerError: it is no JSON object.
    """
    try:
        answer = msgspec.json.decode(message.data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise MalformedAnswerError("not an answer of the JetStream API", message.data)
    if isinstance(answer.get("error"), dict):
        raise error_of(answer["error"])
    return answer


def info_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that describes something, without what makes it an answer."""
    return {name: value for name, value in answer.items() if name not in _ANSWER}


def preferring(server: str | None) -> dict[str, Any] | None:
    """Return the body of a request that a leader steps down: for a server of this name, or for any."""
    return None if server is None else {"placement": {"preferred": server}}


def whole(answer: dict[str, Any], name: str) -> int:
    """Return a number that an answer has, 0 where it is left out.

    Raises:
        MalformedAnswerError: it is none.
    """
    number = answer.get(name, 0)
    if not isinstance(number, int):
        raise MalformedAnswerError(f"expected a number as {name}, not {number!r:.80}")
    return number
