"""What JetStream refuses, as exceptions: the kinds that a program tells apart. All others are a plain JetStreamError with its ``err_code``.

JetStreamError
├── JetStreamNotEnabledError                the server, or this account, has no JetStream
├── JetStreamUnavailableError               a stream or consumer, or all of them, has no leader at the moment
├── StreamNotFoundError (LookupError)
├── ConsumerNotFoundError (LookupError)
├── MessageNotFoundError (LookupError)
├── StreamNameInUseError                    there is one of this name with another configuration
├── ConsumerExistsError                     there is one of this name
└── WrongLastError                          what was expected to be the last message, or id, is not
NoRespondersError
└── NoStreamError                           no stream takes the subject of a publish
TooManyPendingError (BufferError)           as many publishes wait for theirs as may
SnapshotError                               a snapshot of a stream ended before it was whole, or its restore was given up
UnheardAckError                             publishes failed, and nobody awaited their acknowledgements
MalformedAnswerError (ValueError)           what answers is no JetStream, or says what makes no sense
"""

from __future__ import annotations

from typing import Any

from midge.errors import JetStreamError, MidgeError, NoRespondersError

__all__ = [
    "AlreadyAcknowledgedError",
    "ConsumerExistsError",
    "ConsumerNotFoundError",
    "JetStreamNotEnabledError",
    "JetStreamUnavailableError",
    "MalformedAnswerError",
    "MessageNotFoundError",
    "NoStreamError",
    "NotAcknowledgedError",
    "SnapshotError",
    "StreamNameInUseError",
    "StreamNotFoundError",
    "TooManyPendingError",
    "UnheardAckError",
    "WrongLastError",
    "error_of",
]


class JetStreamNotEnabledError(JetStreamError):
    """The server has no JetStream, or it is not for this account, or nobody answers for this domain or prefix."""

    def __init__(self, code: int = 503, err_code: int = 10076, description: str = "JetStream not enabled", prefix: str = "") -> None:
        super().__init__(code, err_code, description)
        self.prefix = prefix

    def __str__(self) -> str:
        if self.prefix:
            return (
                f"nobody answers under {self.prefix}: JetStream is not enabled in that server or account (nats-server -js, "
                "midge.Server(jetstream=True)), or the domain or prefix is another one"
            )
        return f"{super().__str__()}: JetStream has to be enabled in the server (nats-server -js, midge.Server(jetstream=True)) and account"


class JetStreamUnavailableError(JetStreamError):
    """Nobody leads this stream or consumer, or the cluster, at the moment; as far as anybody knows, it is there. Try again later."""


class StreamNotFoundError(JetStreamError, LookupError):
    """There is no stream of this name."""


class ConsumerNotFoundError(JetStreamError, LookupError):
    """The stream has no consumer of this name."""


class MessageNotFoundError(JetStreamError, LookupError):
    """The stream has no such message."""


class StreamNameInUseError(JetStreamError, ValueError):
    """There is a stream of this name, and its configuration is another one: update it, or see ``ensure_stream``."""


class ConsumerExistsError(JetStreamError, ValueError):
    """There is a consumer of this name: update it, or see ``ensure_consumer``."""


class WrongLastError(JetStreamError, ValueError):
    """The last sequence, or message id, of the stream or subject is not what was expected; ``last`` says which, where the server does."""

    @property
    def last(self) -> str | None:
        text = self.description.rpartition(": ")
        return text[2] if text[1] else None


class NoStreamError(NoRespondersError):
    """No stream takes what is published to this subject."""

    def __str__(self) -> str:
        return f"no stream takes subject {self.subject!r}: create one with that subject; or JetStream is not enabled"


class AlreadyAcknowledgedError(MidgeError, ValueError):
    """Something final was said about this message already: the server would ignore anything else."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self.subject = subject

    def __str__(self) -> str:
        return f"the message on {self.subject!r} is acknowledged already"


class NotAcknowledgedError(MidgeError):
    """Nobody confirmed the acknowledgement of a message: it may be delivered again; see __cause__."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self.subject = subject

    def __str__(self) -> str:
        return f"nobody confirmed the acknowledgement of a message on {self.subject!r}: it may be delivered again"


class TooManyPendingError(MidgeError, BufferError):
    """As many publishes wait for their acknowledgements as may, and went on waiting for too long; this one was not sent."""

    def __init__(self, limit: int, seconds: float) -> None:
        super().__init__()
        self.limit = limit
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.limit} publishes wait for their acknowledgements, and none came for {self.seconds} s"


class SnapshotError(MidgeError):
    """A snapshot of a stream ended before it was whole, or the server has given up its restore: there is nothing of it to go on with.

    Attributes:
        stream: the stream's name.
        reason: what went wrong.
    """

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__()
        self.stream = stream
        self.reason = reason

    def __str__(self) -> str:
        return f"stream {self.stream!r}: {self.reason}"


class UnheardAckError(MidgeError):
    """Publishes without waiting were not acknowledged, and nobody awaited that: this is reported, see ``error_callback`` and events.

    Attributes:
        count: how many, in one turn of the event loop.
        first: why the first of them was not.
    """

    def __init__(self, count: int, first: Exception) -> None:
        super().__init__()
        self.count = count
        self.first = first

    def __str__(self) -> str:
        others = f"; {self.count - 1} others failed, too" if self.count > 1 else ""
        return f"publish_async: a message was not acknowledged, and nobody awaited that: {self.first}{others}"


class MalformedAnswerError(MidgeError, ValueError):
    """What answers is no JetStream, or says what makes no sense.

    Attributes:
        reason: what is wrong.
        answer: the beginning of what came.
    """

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__()
        self.reason = reason
        self.answer = bytes(answer[:100])

    def __str__(self) -> str:
        return f"{self.reason}: {self.answer!r}" if self.answer else self.reason


_KINDS: dict[int, type[JetStreamError]] = {
    10008: JetStreamUnavailableError,
    10009: JetStreamUnavailableError,
    10013: ConsumerExistsError,
    10014: ConsumerNotFoundError,
    10037: MessageNotFoundError,
    10039: JetStreamNotEnabledError,
    10058: StreamNameInUseError,
    10059: StreamNotFoundError,
    10070: WrongLastError,
    10071: WrongLastError,
    10076: JetStreamNotEnabledError,
    10105: ConsumerExistsError,
    10148: ConsumerExistsError,
    10149: ConsumerNotFoundError,
    10164: WrongLastError,
}


def error_of(body: dict[str, Any]) -> JetStreamError:
    """Return the exception for the ``error`` of an answer."""
    err_code = _code(body.get("err_code"))
    return _KINDS.get(err_code, JetStreamError)(_code(body.get("code")), err_code, str(body.get("description", "")))


def _code(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
