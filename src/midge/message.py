"""Message and Headers: what a subscription delivers, and the header block that travels with it (ADR-4).

Nothing here can lose a message: bytes that are not UTF-8 become surrogate escapes and go out again as they came, and a
malformed header block is read as far as it makes sense (``Headers.is_malformed``). Headers are parsed when somebody looks at them,
not before; it is then that a malformed block is counted and reported.

A message is read-only, compiled or not: its state is in private slots behind properties, which cost nothing when compiled. The
one who fills the slots of a bare ``Message.__new__(Message)`` instead is the client's session, on the message path.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar, Union, overload

from midge.errors import InvalidHeaderError, LocalProtocolError

__all__ = ["Headers", "HeadersLike", "Message"]

VERSION = b"NATS/1.0"
_STARTS = (VERSION + b"\r\n", VERSION + b" ")
FEW = 16  # pairs that are looked through one by one
_NAME = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z|~]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\x00]")
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates, but for the escapes of bytes that are not UTF-8

T = TypeVar("T")
HeadersLike = Union["Headers", Mapping[str, Union[str, Iterable[str]]], Iterable[tuple[str, str]]]


class Headers(MutableMapping[str, str]):
    """A mapping from a name to its first value; names keep their case and are looked up without it.

    A name may come twice, and the order of what came is kept. Everything that a mapping has, ``len``, ``in``, ``items()`` and
    ``dict()`` included, sees each name once, spelled as it came first, with its first value. ``get_all(name)`` returns every value
    of a name, ``multi_items()`` every pair; ``add`` keeps the values that a name has, and setting an item replaces them.

    Two are equal if they have the same names with the same values, and the same status; the case of names does not count, nor
    does the order of different names.

    Args:
        headers: another Headers, a mapping from a name to a value or a list of values, or pairs.
        status: an inline status such as 503, sent by servers.
        description: the text after the status.

    Attributes:
        is_malformed: they were read from a block that is not as ADR-4 wants it, and what made no sense in it is not here.

    Raises:
        InvalidHeaderError: a name is not an HTTP token, or a value is not a str or holds CR, LF or NUL.
    """

    __slots__ = ("_firsts", "_pairs", "description", "is_malformed", "status")

    def __init__(self, headers: HeadersLike | None = None, *, status: int | None = None, description: str = "") -> None:
        self._pairs: list[tuple[str, str]] = []
        self._firsts: dict[str | None, str] | None = None  # value by folded name, made by a look into many pairs
        self.status = status
        self.description = description
        self.is_malformed = False
        if headers is None:
            return
        if isinstance(headers, Headers):
            self._pairs += headers._pairs  # checked already, or as they came from the wire
            if status is None:
                self.status, self.description = headers.status, headers.description
            return
        if isinstance(headers, (str, bytes)):
            raise TypeError(f"headers are a mapping or pairs of name and value, not {type(headers).__name__}")
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            if isinstance(value, str):
                self.add(name, value)
            elif isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
                for one in value:
                    self.add(name, one)
            else:
                raise InvalidHeaderError(name, f"its value is a {type(value).__name__}, not a str")

    def __getitem__(self, name: str) -> str:
        value = self._first(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        """Replace every value of this name by one, at the place of the first."""
        _check(name, value)
        self._firsts = None
        folded = name.lower()
        places = [i for i, pair in enumerate(self._pairs) if pair[0].lower() == folded]
        if not places:
            self._pairs.append((name, value))
            return
        self._pairs[places[0]] = (name, value)
        for place in reversed(places[1:]):
            del self._pairs[place]

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._firsts = None
        folded = name.lower()
        self._pairs = [pair for pair in self._pairs if pair[0].lower() != folded]

    def __contains__(self, name: object) -> bool:
        return self._first(name) is not None

    def __iter__(self) -> Iterator[str]:
        seen: dict[str, str] = {}
        for name, _ in self._pairs:
            seen.setdefault(name.lower(), name)
        return iter(seen.values())

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._pairs})

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return (self._folded(), self.status, self.description) == (other._folded(), other.status, other.description)
        if isinstance(other, Mapping):
            try:
                return self == Headers(other)
            except InvalidHeaderError:
                return False
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        status = "" if self.status is None else f", status={self.status}, description={self.description!r}"
        return f"Headers({self._pairs!r}{status})"

    def __copy__(self) -> Headers:
        return Headers(self)

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: str, default: T) -> str | T: ...
    def get(self, name: str, default: object = None) -> object:
        """Return the first value of a name, or the default."""
        value = self._first(name)
        return default if value is None else value

    def get_all(self, name: str) -> list[str]:
        """Return every value of a name, in order."""
        folded = name.lower()
        return [value for key, value in self._pairs if key.lower() == folded]

    def add(self, name: str, value: str) -> None:
        """Append a value, keeping those that the name has."""
        _check(name, value)
        self._firsts = None
        self._pairs.append((name, value))

    def update(self, headers: Any = (), /, **more: str) -> None:
        """Replace what the given names had by all the values given for them; takes what ``Headers`` takes."""
        for given in (Headers(headers), Headers(more)):
            for name in given:
                self[name], *others = given.get_all(name)
                for value in others:
                    self.add(name, value)

    def multi_items(self) -> list[tuple[str, str]]:
        """Return every (name, value) in order; a name may come twice."""
        return list(self._pairs)

    def encode(self) -> bytes:
        """Return the header block as it goes on the wire, its closing empty line included.

        Raises:
            InvalidHeaderError: the description holds CR, LF or NUL.
        """
        if _FORBIDDEN_IN_VALUE.search(self.description):
            raise InvalidHeaderError(self.description, "a description holds CR, LF or NUL")
        lines = [VERSION]
        if self.status is not None:
            lines[0] += f" {self.status}".encode() + (b" " + _encode(self.description) if self.description else b"")
        lines += [_encode(name) + b": " + _encode(value) for name, value in self._pairs]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @classmethod
    def parse(cls, block: bytes) -> Headers:
        """Read a header block; what makes no sense in it is passed over and makes them ``is_malformed``, but is never an error."""
        headers = cls()
        headers.is_malformed = not block.startswith(_STARTS) or block.find(b"\r\n\r\n") != len(block) - 4
        first, _, rest = block.partition(b"\n")
        inline = first[len(VERSION) :].strip() if first.startswith(VERSION) else b""
        status, _, description = inline.partition(b" ")
        if status.isdigit() and len(status) <= 9:
            headers.status = int(status)
            text = _decode(description.strip())
            if _FORBIDDEN_IN_VALUE.search(text):  # it could not go out again
                headers.is_malformed = True
            else:
                headers.description = text
        for line in rest.split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon and name:
                headers._pairs.append((_decode(name), _decode(value.strip(b" \t\r"))))
            elif line.strip(b"\r"):
                headers.is_malformed = True
        return headers

    @classmethod
    def of_wire(cls, pairs: list[tuple[str, str]]) -> Headers:
        """Return headers of pairs that came from the wire, as ``multi_items`` gives them: a name may be one that ``add`` refuses."""
        headers = cls()
        headers._pairs += pairs
        return headers

    def _first(self, name: object) -> str | None:
        folded = name.lower() if isinstance(name, str) else None
        if len(self._pairs) > FEW:
            return self._find(folded)
        for key, value in self._pairs:
            if key.lower() == folded:
                return value
        return None

    def _find(self, folded: str | None) -> str | None:
        """As ``_first``, where there are many pairs: who sends them must not make every look cost as much as all of them."""
        if self._firsts is None:
            self._firsts = {}
            for key, value in self._pairs:
                self._firsts.setdefault(key.lower(), value)
        return self._firsts.get(folded)

    def _folded(self) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for name, value in self._pairs:
            values.setdefault(name.lower(), []).append(value)
        return values


def _check(name: object, value: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidHeaderError(name, "a name is one or more of A-Z a-z 0-9 and !#$%&'*+-.^_`|~")
    if not isinstance(value, str):
        raise InvalidHeaderError(name, f"its value is a {type(value).__name__}, not a str")
    if _FORBIDDEN_IN_VALUE.search(value):
        raise InvalidHeaderError(name, "its value holds CR, LF or NUL")
    if not value.isascii() and _NO_BYTES.search(value):
        raise InvalidHeaderError(name, "its value holds half a surrogate pair, which no bytes stand for")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _made_of(subject: str, data: bytes = b"", reply: str = "", headers: HeadersLike | None = None) -> None:
    """The signature of Message, which a compiled class does not show by itself."""


class Message:
    """One message, as it was published. It is read-only, and equal to another with the same subject, data, reply and headers.

    A copy, and what comes out of a pickle, is equal to the original but belongs to no connection: it cannot be answered.

    Raises:
        TypeError: an argument is of the wrong type.
    """

    __slots__ = ("__weakref__", "_block", "_data", "_headers", "_publisher", "_reply", "_subject")
    __match_args__ = ("subject", "data", "reply", "headers")
    __signature__ = inspect.signature(_made_of)

    def __init__(self, subject: str, data: bytes = b"", reply: str = "", headers: HeadersLike | None = None) -> None:
        self._subject = _text("subject", subject)
        self._data = _payload(data)
        self._reply = _text("reply", reply)
        self._block: bytes | None = None
        self._headers: Headers | None = None if headers is None else Headers(headers)
        self._publisher: Any = None

    @property
    def subject(self) -> str:
        """The subject it was published to."""
        return self._subject

    @property
    def data(self) -> bytes:
        """The payload."""
        return self._data

    @property
    def reply(self) -> str:
        """The subject that the publisher wants an answer on, or ""."""
        return self._reply

    @property
    def headers(self) -> Headers:
        """The headers; empty where the message came without.

        Never raises: of a malformed block, what made sense is there, and ``is_malformed`` is True. The client counts and reports it.
        """
        if self._headers is None:
            self._headers = Headers() if self._block is None else Headers.parse(self._block)
            if self._headers.is_malformed and self._publisher is not None:
                self._publisher.note_malformed(self)
        return self._headers

    @property
    def status(self) -> int | None:
        """The inline status that a server sent, such as 503 (no responders), or None."""
        return None if self._block is None and self._headers is None else self.headers.status

    @property
    def size(self) -> int:
        """Bytes of header and payload together, which is what limits count."""
        if self._block is not None:
            return len(self._block) + len(self._data)
        headers = self._headers
        if headers is None or (not headers and headers.status is None):
            return len(self._data)
        return len(headers.encode()) + len(self._data)

    def respond(self, data: bytes | bytearray | memoryview | str = b"", *, headers: HeadersLike | None = None) -> Awaitable[None]:
        """Publish an answer to the reply subject; sent without awaiting too, awaiting only holds back a fast publisher.

        Takes what the client's ``publish`` takes, and raises what that raises.

        Raises:
            LocalProtocolError: the message has no reply subject, or was not delivered by a subscription.
        """
        if not self._reply:
            raise LocalProtocolError(f"the message on {self._subject!r} has no reply subject")
        if self._publisher is None:
            raise LocalProtocolError(f"the message on {self._subject!r} was not delivered by a subscription, or is a copy")
        answer: Awaitable[None] = self._publisher.publish(self._reply, data, headers=headers)
        return answer

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        ours, theirs = (self._subject, self._data, self._reply), (other.subject, other.data, other.reply)
        return ours == theirs and self.headers == other.headers

    def __hash__(self) -> int:
        return hash((self._subject, self._data, self._reply))

    def __reduce__(self) -> tuple[object, ...]:
        bare = self._block is None and self._headers is None
        return type(self), (self._subject, self._data, self._reply, None if bare else self.headers)

    def __repr__(self) -> str:
        reply = f", reply={self._reply!r}" if self._reply else ""
        bare = self._block is None and (self._headers is None or self._headers == Headers())
        headers = "" if bare else f", headers={self.headers!r}"
        data = self._data if len(self._data) <= 60 else self._data[:60] + b"..."
        return f"Message({self._subject!r}, {data!r}{reply}{headers})"


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a message's {what} is a str, not {type(value).__name__}")
    return str.__str__(value)


def _payload(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"a message's data is bytes, not {type(value).__name__}" + (": encode it" if isinstance(value, str) else ""))
    return bytes(value)
