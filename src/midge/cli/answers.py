"""Answers of a server before they are shown to people or worked with: what is not what it has to be is an error, and no traceback.

The JSON stays as it is, so that what this version of midge does not know is shown, too; programs, which ask for --json, get it unchecked.
"""

from __future__ import annotations

from typing import Any

from midge.jetstream.entity import Entity, from_json
from midge.jetstream.errors import MalformedAnswerError
from midge.jetstream.infos import AccountInfo, ConsumerInfo, StreamInfo

__all__ = ["account_answer", "consumer_answer", "stream_answer"]


def stream_answer(found: Any) -> dict[str, Any]:
    """Return what describes a stream: it has a configuration with a name, and a state.

    Raises:
        MalformedAnswerError: it does not.
    """
    return _checked(StreamInfo, found, ("config", "name"), ("state", "messages"), ("state", "bytes"), ("state", "last_seq"))


def consumer_answer(found: Any) -> dict[str, Any]:
    """Return what describes a consumer: it has a name, a stream and a configuration.

    Raises:
        MalformedAnswerError: it does not.
    """
    return _checked(ConsumerInfo, found, ("config",), ("name",), ("stream_name",))


def account_answer(found: Any) -> dict[str, Any]:
    """Return what describes an account.

    Raises:
        MalformedAnswerError: it does not.
    """
    return _checked(AccountInfo, found)


def _checked(kind: type[Entity], found: Any, *needed: tuple[str, ...]) -> dict[str, Any]:
    from_json(kind, found)
    for path in needed:
        value = found
        for name in path:
            value = value.get(name)
            if value is None:
                raise MalformedAnswerError(f"what was told of a {kind.__name__} has no {'.'.join(path)}")
    answer: dict[str, Any] = found
    return answer
