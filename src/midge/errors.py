"""Every exception that midge raises, in one tree.

    MidgeError
    ├── ProtocolError
    │   ├── LocalProtocolError (ValueError)         you asked for something that NATS does not allow
    │   │   ├── InvalidSubjectError                 a subject, reply subject or queue group name
    │   │   ├── InvalidHeaderError                  a header name or value
    │   │   ├── MaxPayloadError                     header and payload exceed the server's max_payload
    │   │   └── NkeyError                           a seed, a public key or a creds file that cannot be read
    │   ├── RemoteProtocolError (ConnectionError)   the peer did
    │   └── MalformedMessageError (ValueError)      another client did: the headers of a message are malformed
    ├── ServerError                                 the server said -ERR
    │   ├── AuthorizationError (PermissionError)    it does not accept our credentials, and closes the connection
    │   ├── ServerDisconnectError (ConnectionError)   why else it closes the connection
    │   ├── PermissionsViolationError (PermissionError)   it goes on; one subscription or publish was refused
    │   ├── TooManySubscriptionsError               it goes on; one or more subscriptions were refused
    │   └── InvalidOperationError (ValueError)      it goes on; a subject or header was refused as invalid
    ├── JetStreamError                              the JetStream API refused: see err_code
    ├── ConnectError (ConnectionError)              no server could be reached, or none let us in
    │   └── ConnectAuthorizationError (AuthorizationError)   none accepted our credentials; caught as both
    ├── TLSError (ConnectionError)                  the peers could not agree on TLS, or it was broken
    │   ├── CertificateError                        the peer's certificate is not one that we accept
    │   └── TLSNotOfferedError                      you asked for TLS and the server has none; nothing was sent
    ├── CredentialsError (ValueError)               our own credentials cannot be used: a file, or what a callback gave
    ├── UpgradeError (ConnectionError)              a server, or a proxy before it, did not open the WebSocket
    ├── ConnectionClosedError (ConnectionError)     the connection was closed, by you or by an error (see __cause__)
    │   └── ConnectionDrainingError                 it is draining: nothing new may start
    ├── DisconnectedError (ConnectionError)         the link was lost, and the client connects again: it may be tried again
    ├── SubscriptionClosedError (LookupError)       the subscription was unsubscribed, drained or reached its limit
    ├── MidgeTimeoutError (TimeoutError)            it did not happen in time
    ├── NoRespondersError (LookupError)             nobody listens on the subject of a request
    ├── SlowConsumerError                           a subscription's buffer was full and a message was dropped
    ├── OutboundFullError (BufferError)             publishes were not awaited and the outbound buffer is full
    │   └── ReconnectBufferFullError                more was published than may wait for the client to connect again
    ├── ServerStartError (OSError)                  an embedded server could not start
    ├── StoreError (OSError)                        the files of the streams cannot be used
    │   ├── StoreDamagedError                       one that everything depends on cannot be read
    │   ├── StoreLockedError                        somebody else has the directory open
    │   └── StoreVersionError                       a later version wrote them; nothing was changed
    ├── MissingExtraError (ImportError)             an optional dependency is not installed
    └── MissingPackageError (ImportError)           a dependency is not installed, although midge asks for it

Each class holds data; the text is built in ``__str__``. Each is also the built-in that fits: ``except TimeoutError`` does what it says.
"""

from __future__ import annotations

__all__ = [
    "AuthorizationError", "CertificateError", "ConnectAuthorizationError", "ConnectError", "ConnectionClosedError",
    "ConnectionDrainingError", "CredentialsError", "DisconnectedError", "InvalidHeaderError", "InvalidOperationError",
    "InvalidSubjectError", "JetStreamError", "LocalProtocolError", "MalformedMessageError", "MaxPayloadError", "MidgeError",
    "MidgeTimeoutError", "MissingExtraError", "MissingPackageError", "NkeyError", "NoRespondersError", "OutboundFullError",
    "PermissionsViolationError", "ProtocolError", "ReconnectBufferFullError", "RemoteProtocolError", "ServerDisconnectError", "ServerError",
    "ServerStartError", "SlowConsumerError", "StoreDamagedError", "StoreError", "StoreLockedError", "StoreVersionError",
    "SubscriptionClosedError", "TLSError", "TLSNotOfferedError", "TooManySubscriptionsError", "UpgradeError",
]  # fmt: skip


class MidgeError(Exception):
    """The base of everything that midge raises.

    What an error holds is in its attributes, not in ``args``: OSError, a base of some, would take two of those for errno and text.
    """

    def __repr__(self) -> str:
        held = [f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("__")]
        return f"{type(self).__name__}({', '.join(held or map(repr, self.args))})"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, vars(self).copy())


def _printable(text: str) -> str:
    """Return a peer's text as it may be shown: not every stream takes what is not UTF-8, and control characters steer terminals."""
    return text if text.isprintable() else "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _restore(kind: type[MidgeError], args: tuple[object, ...], held: dict[str, object]) -> MidgeError:
    """Make an error anew from what it held: for copy and pickle."""
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(held)
    return error


class _Reason:
    """What is common to errors that their reason tells."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class _Subject:
    """What is common to errors about a subject."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self.subject = subject


class ProtocolError(MidgeError):
    """The NATS protocol was broken, by us or by the peer."""


class LocalProtocolError(ProtocolError, ValueError):
    """You asked for something that the NATS protocol does not allow; nothing was sent."""


class InvalidSubjectError(LocalProtocolError):
    """A subject, reply subject or queue group name that NATS does not allow (ADR-6)."""

    def __init__(self, subject: object, reason: str, *, what: str = "subject") -> None:
        super().__init__()
        self.subject = subject
        self.reason = reason
        self.what = what

    def __str__(self) -> str:
        return f"invalid {self.what} {self.subject!r}: {self.reason}"


class InvalidHeaderError(LocalProtocolError):
    """A header name or value that cannot be sent (ADR-4)."""

    def __init__(self, name: object, reason: str) -> None:
        super().__init__()
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid header {self.name!r}: {self.reason}"


class MaxPayloadError(LocalProtocolError):
    """Header and payload together, in bytes, exceed what the server accepts."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__()
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"header and payload of {self.size} bytes exceed the server's max_payload of {self.limit}"


class NkeyError(LocalProtocolError):
    """An nkey or a creds file that cannot be used. Nothing of what was given is in it: it may be a secret.

    Attributes:
        what: what it was taken for: "nkey seed", "nkey public key", "JWT", "key pair".
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__()
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class RemoteProtocolError(_Reason, ProtocolError, ConnectionError):
    """The peer broke the protocol. ``answer`` is the text of the -ERR that a server owes it, if any."""

    def __init__(self, reason: str, answer: str | None = None) -> None:
        super().__init__(reason)
        self.answer = answer


class MalformedMessageError(_Subject, ProtocolError, ValueError):
    """A message has a malformed header block. It was delivered, with what made sense in it; this is only reported."""

    def __str__(self) -> str:
        return f"a message on {self.subject!r} has malformed headers"


class ServerError(MidgeError):
    """The server said ``-ERR 'text'``."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def __str__(self) -> str:
        return f"the server said: {_printable(self.text)}"


class AuthorizationError(ServerError, PermissionError):
    """The server did not accept, or no longer accepts, our credentials."""


class ServerDisconnectError(ServerError, ConnectionError):
    """The server says why it closes the connection: it is full or shuts down, takes us for dead, or we broke a limit or the protocol."""


class PermissionsViolationError(ServerError, PermissionError):
    """The server refused one subscription or publish; the connection goes on.

    Attributes:
        operation: "subscribe", "publish", or "reply" for a publish whose reply subject was refused; "" where the text does not say it.
        subject: what was subscribed to, published to or wanted as reply subject, None where the text does not say it.
        queue: the queue group of the subscription, or None.
    """

    def __init__(self, text: str, operation: str = "", subject: str | None = None, queue: str | None = None) -> None:
        super().__init__(text)
        self.operation = operation
        self.subject = subject
        self.queue = queue


class TooManySubscriptionsError(ServerError):
    """The server refused a subscription because this client has as many as it may; the connection goes on.

    It does not say which one. Everybody who waits for the confirmation of a subscription then gets this error.
    """


class InvalidOperationError(ServerError, ValueError):
    """The server refused one subscription or publish as invalid, and does not say which; the connection goes on."""


class JetStreamError(MidgeError):
    """The JetStream API refused.

    Attributes:
        code: what kind of refusal, in the numbers of HTTP.
        err_code: which error; ``midge.jetstream_errors`` lists them.
        description: the server's text.
    """

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__()
        self.code = code
        self.err_code = err_code
        self.description = description

    def __str__(self) -> str:
        return f"{_printable(self.description)} ({self.err_code})"


class ConnectError(MidgeError, ConnectionError):
    """No server could be reached, or none let us in.

    ``attempts`` holds (url, exception) for each that was tried; the ``__cause__`` is the one exception, or a group of several.
    """

    def __init__(self, attempts: list[tuple[str, Exception]]) -> None:
        super().__init__()
        self.attempts = attempts

    def __str__(self) -> str:
        tried = "; ".join(f"{url}: {str(error) or error.__class__.__name__}" for url, error in self.attempts)
        return f"could not connect: {tried or 'no server given'}"


class ConnectAuthorizationError(ConnectError, AuthorizationError):
    """No server accepted our credentials: caught as a ConnectError, and as the AuthorizationError that it came to."""

    def __init__(self, attempts: list[tuple[str, Exception]]) -> None:
        AuthorizationError.__init__(self, next((error.text for _, error in attempts if isinstance(error, ServerError)), ""))
        self.attempts = attempts


class TLSError(_Reason, MidgeError, ConnectionError):
    """TLS could not be agreed on, or was broken; what OpenSSL says is the ``__cause__``."""

    def __str__(self) -> str:
        return f"TLS: {self.reason}"


class CertificateError(TLSError):
    """The peer's certificate is not one that we accept. ``host`` is the name that a server's has to be for."""

    def __init__(self, reason: str, host: str | None = None) -> None:
        super().__init__(reason)
        self.host = host

    def __str__(self) -> str:
        return f"TLS: the certificate of {self.host or 'the peer'} is not accepted: {self.reason}"


class TLSNotOfferedError(TLSError):
    """You asked for TLS, and the server has none: nothing was sent to it."""

    def __init__(self, reason: str = "the server does not offer it, and you asked for it: nothing was sent") -> None:
        super().__init__(reason)


class CredentialsError(MidgeError, ValueError):
    """What we were given to log in with cannot be used; nothing was sent. No secret is in its text.

    What a callback or the file system raised is the ``__cause__``.

    Attributes:
        what: the option that it came from, such as "creds".
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__()
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class UpgradeError(MidgeError, ConnectionError):
    """The WebSocket was not opened.

    ``status`` is the HTTP status of the answer (401 and 403 come from a proxy that wants to know who asks, 404 means another path, 503 no
    server behind it), None where there was no answer, or none of HTTP. ``reason`` is its text, or what is wrong with the answer.
    """

    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__()
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        answer = "" if self.status is None else f"the answer was HTTP {self.status} "
        return f"no WebSocket: {answer}{self.reason}".rstrip()


class ConnectionClosedError(_Reason, MidgeError, ConnectionError):
    """The connection is closed; where an error closed it, that error is the ``__cause__``."""

    def __init__(self, reason: str = "the connection is closed") -> None:
        super().__init__(reason)


class ConnectionDrainingError(ConnectionClosedError):
    """The connection is draining: it finishes what was begun and starts nothing new."""

    def __init__(self, reason: str = "the connection is draining") -> None:
        super().__init__(reason)


class DisconnectedError(_Reason, MidgeError, ConnectionError):
    """The link to the server is lost, and the client connects again by itself; why is the ``__cause__``, where it is known.

    What was asked for may have been done or not. It may be asked for again: that waits for the new link.

    Attributes:
        reason: what happened, in words.
        lost: publishes that are reported as lost with the link, as they were half sent.
    """

    def __init__(self, reason: str = "not connected: the link was lost, and the client is connecting again", lost: int = 0) -> None:
        super().__init__(reason)
        self.lost = lost


class SubscriptionClosedError(_Subject, MidgeError, LookupError):
    """The subscription has ended and nothing is left in it."""

    def __str__(self) -> str:
        return f"the subscription to {self.subject!r} has ended"


class MidgeTimeoutError(MidgeError, TimeoutError):
    """Something did not happen in time.

    Attributes:
        what: what was asked for.
        timeout: how many seconds it had.
        unmet: what did not happen by then.
    """

    def __init__(self, what: str, timeout: float | None, unmet: str = "nothing came") -> None:
        super().__init__()
        self.what = what
        self.timeout = timeout
        self.unmet = unmet

    def __str__(self) -> str:
        return f"{self.what}: {self.unmet} within {self.timeout} s"


class NoRespondersError(_Subject, MidgeError, LookupError):
    """Nobody listens on the subject of a request (status 503, ADR-4)."""

    def __str__(self) -> str:
        return f"no responders on {self.subject!r}"


class SlowConsumerError(MidgeError):
    """A subscription's buffer was full and a message was dropped; reported once, until a message fits again."""

    def __init__(self, subject: str, dropped: int) -> None:
        super().__init__()
        self.subject = subject
        self.dropped = dropped

    def __str__(self) -> str:
        return f"slow consumer on {self.subject!r}: {self.dropped} message{'' if self.dropped == 1 else 's'} dropped so far"


class OutboundFullError(MidgeError, BufferError):
    """The outbound buffer is full because publishes are not awaited; nothing of this publish was sent."""

    def __init__(self, pending: int, limit: int) -> None:
        super().__init__()
        self.pending = pending
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.pending} bytes wait to be sent and the limit is {self.limit}: await each publish"


class ReconnectBufferFullError(OutboundFullError):
    """More was published than may wait for the client to connect again (``reconnect_buffer``).

    Raised, it means that nothing of this publish is kept. Reported, it says how many of the oldest were ``dropped``.
    """

    def __init__(self, pending: int, limit: int, dropped: int = 0) -> None:
        super().__init__(pending, limit)
        self.dropped = dropped

    def __str__(self) -> str:
        dropped = f": the {self.dropped} oldest publishes were dropped" if self.dropped else ""
        return f"not connected, {self.pending} bytes wait to be sent and reconnect_buffer is {self.limit}{dropped}"


class ServerStartError(_Reason, MidgeError, OSError):
    """The embedded server could not start, mostly because the port is taken."""


class StoreError(MidgeError, OSError):
    """The files that streams are kept in cannot be used."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def __str__(self) -> str:
        return f"the store at {self.path} cannot be used"


class StoreDamagedError(StoreError):
    """A file that everything depends on cannot be read; it was left as it is."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} is damaged and was left as it is: {self.reason}"


class StoreLockedError(StoreError):
    """Somebody else has the directory of a store open: the process ``pid``, 0 where that is not known."""

    def __init__(self, path: str, pid: int) -> None:
        super().__init__(path)
        self.pid = pid

    def __str__(self) -> str:
        return f"the store at {self.path} is in use by {f'process {self.pid}' if self.pid else 'another process'}"


class StoreVersionError(StoreError):
    """A file of a store was written by a later version of midge; nothing was changed."""

    def __init__(self, path: str, version: int, known: int) -> None:
        super().__init__(path)
        self.version = version
        self.known = known

    def __str__(self) -> str:
        return f"{self.path} has version {self.version} of the format, and this midge reads up to version {self.known}"


class MissingExtraError(MidgeError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, what: str) -> None:
        super().__init__()
        self.extra = extra
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} needs an extra: pip install 'midge[{self.extra}]'"


class MissingPackageError(MidgeError, ImportError):
    """A package that midge depends on is not installed; it was installed without its dependencies."""

    def __init__(self, package: str, what: str) -> None:
        super().__init__()
        self.package = package
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}: the package {self.package} is not installed: pip install {self.package}"
