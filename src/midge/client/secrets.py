"""What an option for credentials may hold, which go together, and how a text, a path and the content of a file are told apart.

A text may be a secret even where it was meant as a path: a mistyped seed, a JWT without its seed. So a path is shown in an error only
where it cannot be one. Seeds are base32 and a creds file has several lines; neither can be the name of a file that somebody means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

from midge.errors import CredentialsError, NkeyError
from midge.nkeys import Prefix, check_seed, find_jwt, find_seed, wipe

__all__ = [
    "CREDENTIALS", "FileSource", "SignCallback", "TextSource", "UserSource",
    "check_file_source", "check_text", "check_text_source", "check_together", "shown", "text_problem", "to_content", "to_path",
]  # fmt: skip

TextSource = str | Callable[[], str | Awaitable[str]]
UserSource = str | Callable[[], str | tuple[str, str] | Awaitable[str | tuple[str, str]]]
FileSource = str | bytes | os.PathLike[str] | Callable[[], str | bytes | os.PathLike[str] | Awaitable[str | bytes | os.PathLike[str]]]
SignCallback = Callable[[bytes], bytes | Awaitable[bytes]]

CREDENTIALS = ("user", "password", "token", "nkey_seed", "nkey", "creds", "jwt", "sign")
_EXCLUSIVE = (("user", "token"), ("creds", "jwt"), ("creds", "nkey_seed"), ("creds", "nkey"), ("creds", "sign"), ("jwt", "nkey"),
              ("nkey_seed", "nkey"), ("nkey_seed", "sign"))  # fmt: skip
_SHORTEST_SEED = 40  # characters of what is a seed, though perhaps a wrong one, and not a name
_SECRET_LOOKING = re.compile(r"[A-Z2-7]{16}|(?i:[A-Z0-9]{40})|eyJ")


def check_text_source(name: str, value: object) -> None:
    """Check a text that goes into CONNECT, or the callback that gives it; otherwise as ``check_text``."""
    if not callable(value):
        check_text(name, value, "a str or a function that returns one")


def check_text(name: str, value: object, wanted: str = "a str") -> None:
    """Check a text that goes into CONNECT.

    Raises:
        TypeError: it is none, and not what is wanted.
        ValueError: it is not text.
    """
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} is {wanted}, not {type(value).__name__}")
    problem = text_problem(value)
    if problem:
        raise ValueError(f"{name} {problem}")


def check_file_source(name: str, value: object) -> None:
    """Check a path, a content or a callback; a content is read, to find out here and now what is wrong with it.

    Raises:
        TypeError: it is none of these.
        CredentialsError: it is a content, and a bad one.
    """
    if value is None or callable(value) or isinstance(value, os.PathLike):
        return
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{name} is a path, a content or a function that returns one, not {type(value).__name__}")
    if to_path(name, value) is None:
        problem = _content_problem(name, value)
        if problem:
            raise CredentialsError(name, problem)


def check_together(given: set[str]) -> None:
    """Refuse what cannot go together, of the names in CREDENTIALS.

    A JWT may come with a user or a token: an authorization service may want both (ADR-26). It is signed for, or else a bearer's.

    Raises:
        ValueError: two exclude each other, or one needs another.
    """
    for first, second in _EXCLUSIVE:
        if {first, second} <= given:
            raise ValueError(f"{first} and {second} exclude each other")
    if "jwt" not in given and given & {"nkey_seed", "nkey"} and given & {"user", "token"}:
        raise ValueError("an nkey and a user or token exclude each other")
    if "password" in given and "user" not in given:
        raise ValueError("a password needs a user")
    if "nkey" in given and "sign" not in given:
        raise ValueError("nkey is public and needs sign; with the seed, give nkey_seed alone")
    if "sign" in given and not given & {"nkey", "jwt"}:
        raise ValueError("sign needs nkey or jwt: whose signature it is")


def to_path(name: str, value: str | bytes | os.PathLike[str]) -> str | None:
    """Return the path that an option names, None where it is the content itself.

    Raises:
        CredentialsError: it is a JWT, where a whole creds file is wanted.
    """
    if isinstance(value, bytes):
        return None
    if not isinstance(value, str):
        return os.fspath(value)
    text = value.strip()
    if "\n" in text or "-----" in text:
        return None
    if name == "creds":
        if text.startswith("eyJ"):
            raise CredentialsError(name, "it is neither a path nor a creds file; for a JWT there is the option jwt")
        return value
    is_seed = text.startswith("S") and len(text) >= _SHORTEST_SEED and not re.search(r"[/\\.~]", text)
    return None if is_seed else value


def to_content(value: Any) -> bytearray:
    """Return a content that is no path, as bytes to be wiped."""
    return bytearray(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)


def shown(path: str) -> str:
    """Return a path for an error, unless it looks as if it were a secret."""
    return "what it names" if _SECRET_LOOKING.search(path) else repr(path)


def text_problem(text: str) -> str:
    """Return what keeps a text from going into CONNECT, "" where nothing does."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "holds a lone surrogate, which is not text"
    return ""


def _content_problem(name: str, content: Any) -> str:
    try:
        if name == "creds":
            find_jwt(content)
        seed = find_seed(content)
        try:
            check_seed(seed, Prefix.USER)
        finally:
            wipe(seed)
    except NkeyError as error:
        return str(error)
    return ""
