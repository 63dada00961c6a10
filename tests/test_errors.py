"""errors: the tree drawn in the docstring is the tree there is, and every error says what it holds."""

import builtins
import copy
import inspect
import pickle
import re

import pytest

from midge import errors
from midge.errors import MidgeError, ServerError

CLASSES = {name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, MidgeError)}
TEXTS: dict[MidgeError, str] = {
    errors.MidgeError("x"): "x",
    errors.ProtocolError("x"): "x",
    errors.LocalProtocolError("x"): "x",
    errors.InvalidSubjectError("a b", "it holds white space or a NUL"): "invalid subject 'a b': it holds white space or a NUL",
    errors.InvalidSubjectError("", "it is empty", what="queue group"): "invalid queue group '': it is empty",
    errors.InvalidSubjectError(7, "it is a int, not a str"): "invalid subject 7: it is a int, not a str",
    errors.InvalidHeaderError("a\nb", "no"): "invalid header 'a\\nb': no",
    errors.MaxPayloadError(11, 10): "header and payload of 11 bytes exceed the server's max_payload of 10",
    errors.RemoteProtocolError("message headers not supported"): "message headers not supported",
    errors.RemoteProtocolError("parser ERROR", "Unknown Protocol Operation"): "parser ERROR",
    errors.MalformedMessageError("a\udcff"): "a message on 'a\\udcff' has malformed headers",
    errors.ServerError("no"): "the server said: no",
    errors.DisconnectedError(): "not connected: the link was lost, and the client is connecting again",
    errors.ReconnectBufferFullError(9, 8): "not connected, 9 bytes wait to be sent and reconnect_buffer is 8",
    errors.ReconnectBufferFullError(9, 8, 2): (
        "not connected, 9 bytes wait to be sent and reconnect_buffer is 8: the 2 oldest publishes were dropped"
    ),
    errors.TLSError("wrong version number"): "TLS: wrong version number",
    errors.CertificateError("it is expired", "h"): "TLS: the certificate of h is not accepted: it is expired",
    errors.UpgradeError(403, "Forbidden"): "no WebSocket: the answer was HTTP 403 Forbidden",
    errors.UpgradeError(None, "the answer is not HTTP"): "no WebSocket: the answer is not HTTP",
    errors.TLSNotOfferedError(): "TLS: the server does not offer it, and you asked for it: nothing was sent",
    errors.AuthorizationError("Authorization Violation"): "the server said: Authorization Violation",
    errors.PermissionsViolationError('Permissions Violation for Publish to "a"'): (
        'the server said: Permissions Violation for Publish to "a"'
    ),
    errors.ServerDisconnectError("Stale Connection"): "the server said: Stale Connection",
    errors.TooManySubscriptionsError("maximum subscriptions exceeded"): "the server said: maximum subscriptions exceeded",
    errors.InvalidOperationError("Invalid Subject"): "the server said: Invalid Subject",
    errors.JetStreamError(404, 10059, "stream not found"): "stream not found (10059)",
    errors.ConnectError([]): "could not connect: no server given",
    errors.ConnectError([("nats://a", OSError("refused")), ("nats://b", TimeoutError())]): (
        "could not connect: nats://a: refused; nats://b: TimeoutError"
    ),
    errors.ConnectAuthorizationError([("nats://a", errors.AuthorizationError("Authorization Violation"))]): (
        "could not connect: nats://a: the server said: Authorization Violation"
    ),
    errors.TLSError("what the peer said is not TLS"): "TLS: what the peer said is not TLS",
    errors.CertificateError("it has expired", "a.example.com"): "TLS: the certificate of a.example.com is not accepted: it has expired",
    errors.CertificateError("it has expired"): "TLS: the certificate of the peer is not accepted: it has expired",
    errors.TLSNotOfferedError(): "TLS: the server does not offer it, and you asked for it: nothing was sent",
    errors.ConnectionClosedError(): "the connection is closed",
    errors.ConnectionClosedError("the server went away"): "the server went away",
    errors.ConnectionDrainingError(): "the connection is draining",
    errors.SubscriptionClosedError("a.*"): "the subscription to 'a.*' has ended",
    errors.MidgeTimeoutError("request to 'a'", 1.5): "request to 'a': nothing came within 1.5 s",
    errors.MidgeTimeoutError("drain", 30.0, "callbacks or loops were not done"): "drain: callbacks or loops were not done within 30.0 s",
    errors.NoRespondersError("a"): "no responders on 'a'",
    errors.SlowConsumerError("a", 3): "slow consumer on 'a': 3 messages dropped so far",
    errors.SlowConsumerError("a", 1): "slow consumer on 'a': 1 message dropped so far",
    errors.OutboundFullError(11, 10): "11 bytes wait to be sent and the limit is 10: await each publish",
    errors.ServerStartError("port 4222 is taken"): "port 4222 is taken",
    errors.StoreError("/data"): "the store at /data cannot be used",
    errors.StoreDamagedError("/data/state.db", "not a database"): "/data/state.db is damaged and was left as it is: not a database",
    errors.StoreLockedError("/data", 7): "the store at /data is in use by process 7",
    errors.StoreLockedError("/data", 0): "the store at /data is in use by another process",
    errors.StoreVersionError("1.seg", 2, 1): "1.seg has version 2 of the format, and this midge reads up to version 1",
    errors.NkeyError("nkey seed", "it has 3 characters, not 58"): "nkey seed: it has 3 characters, not 58",
    errors.CredentialsError("token", "its callback raised KeyError"): "token: its callback raised KeyError",
    errors.MissingPackageError("cryptography", "nkeys"): "nkeys: the package cryptography is not installed: pip install cryptography",
    errors.MissingExtraError("cli", "midge serve"): "midge serve needs an extra: pip install 'midge[cli]'",
}
each_error = pytest.mark.parametrize("error", TEXTS, ids=lambda error: error.__class__.__name__)


def drawn() -> dict[str, tuple[str, str | None]]:
    """The tree in the docstring: name -> (parent, builtin base or None)."""
    assert errors.__doc__ is not None
    found: dict[str, tuple[str, str | None]] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+Error)(?: \((\w+)\))?(?: {3,}\S|$)", line)
        if match is None:
            assert "──" not in line, line
            continue
        depth = len(match[1]) // 4
        assert depth <= len(path)
        del path[depth:]
        found[match[2]] = path[-1] if path else "Exception", match[3]
        path.append(match[2])
    return found


def real() -> dict[str, tuple[str, str | None]]:
    """The tree there is."""
    found = {}
    for name, value in CLASSES.items():
        ours, *others = [base for base in value.__bases__ if not base.__name__.startswith("_")]  # without what only shares code
        assert len(others) <= 1
        assert all(getattr(builtins, other.__name__, None) is other or CLASSES.get(other.__name__) is other for other in others)
        found[name] = ours.__name__, others[0].__name__ if others else None
    return found


def test_the_tree_drawn_is_the_tree_there_is() -> None:
    assert drawn() == real()


def test_every_line_of_a_leaf_says_what_it_means() -> None:
    assert errors.__doc__ is not None
    lines = [line for line in errors.__doc__.splitlines() if "Error" in line and line.startswith("    ")]
    parents = {parent for parent, _ in drawn().values()}
    silent = [line for line in lines if not re.search(r"\S {3,}\S", line.partition("── ")[2] or line.strip())]
    assert {re.search(r"\w+Error", line)[0] for line in silent} <= parents  # type: ignore[index]


def test_every_class_is_public() -> None:
    assert sorted(CLASSES) == errors.__all__


def test_every_class_has_a_text() -> None:
    assert {type(error) for error in TEXTS} == set(CLASSES.values())


@each_error
def test_text(error: MidgeError) -> None:
    assert str(error) == TEXTS[error]


@each_error
def test_docstring(error: MidgeError) -> None:
    assert error.__class__.__doc__


@each_error
def test_an_error_survives_copying_and_pickling(error: MidgeError) -> None:
    """Process pools and test runners pickle exceptions; one that cannot be read back hangs or hides the failure."""
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert str(other) == str(error)
        held = {name: value for name, value in vars(error).items() if name != "attempts"}
        assert {name: vars(other)[name] for name in held} == held


@each_error
def test_an_error_without_an_errno_does_not_pretend_to_have_one(error: MidgeError) -> None:
    """TimeoutError, ConnectionError and PermissionError are OSErrors, which take two arguments for errno and strerror."""
    if isinstance(error, OSError):
        assert (error.errno, error.strerror, error.filename) == (None, None, None)


def test_what_callers_catch() -> None:
    assert issubclass(errors.InvalidSubjectError, ValueError)
    assert issubclass(errors.RemoteProtocolError, ConnectionError)
    assert issubclass(errors.AuthorizationError, ServerError) and issubclass(errors.AuthorizationError, PermissionError)
    assert issubclass(errors.MidgeTimeoutError, TimeoutError)
    assert issubclass(errors.ConnectionDrainingError, errors.ConnectionClosedError)


def test_what_a_server_said_can_be_written_anywhere() -> None:
    """Bytes that are not UTF-8 are no text, and control characters steer terminals and forge lines of logs; ``text`` is as it came."""
    error = ServerError("bad \udcff\r\x1b[31m subject \u20ac")
    assert str(error) == r"the server said: bad \udcff\r\x1b[31m subject €"
    assert error.text == "bad \udcff\r\x1b[31m subject \u20ac" and "\x1b" not in repr(error)
    str(error).encode()
