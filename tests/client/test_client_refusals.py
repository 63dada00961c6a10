"""What -ERR means: every text that nats-server sends to a client, and some that nobody sends."""

import time

import pytest
from fakes import open_session, subscribe

from midge.client.refusals import Refusal, read_refusal
from midge.client.states import Refused
from midge.errors import AuthorizationError, PermissionsViolationError, ServerError

DENIED = 'Permissions Violation for Subscription to "a.>"'
TEXTS: list[tuple[str, type[ServerError], tuple[str | None, str | None, int | None]]] = [
    (DENIED, PermissionsViolationError, ("a.>", None, None)),
    (f'{DENIED} using queue "q"', PermissionsViolationError, ("a.>", "q", None)),
    (f'{DENIED} (sid "7")', PermissionsViolationError, ("a.>", None, 7)),
    (f'{DENIED} (sid "123456789012")', PermissionsViolationError, ("a.>", None, 123456789012)),
    (f'{DENIED} using queue "q" (sid "7")', PermissionsViolationError, ("a.>", "q", 7)),
    (DENIED.lower(), PermissionsViolationError, ("a.>", None, None)),
    (f"{DENIED} and more", PermissionsViolationError, ("a.>", None, None)),
    ('Permissions Violation for Subscription to "we\\"ird\\\\" using queue "q\\""', PermissionsViolationError, ('we"ird\\', 'q"', None)),
    ('Permissions Violation for Publish to "a.>"', PermissionsViolationError, (None, None, None)),
    ('Permissions Violation for Publish with Reply of "r"', PermissionsViolationError, (None, None, None)),
    ("Permissions Violation", PermissionsViolationError, (None, None, None)),
    ("Authorization Violation", AuthorizationError, (None, None, None)),
    ("'Authorization Violation'", AuthorizationError, (None, None, None)),
    ("Authentication Timeout", AuthorizationError, (None, None, None)),
    ("User Authentication Expired", AuthorizationError, (None, None, None)),
    ("User Authentication Revoked", AuthorizationError, (None, None, None)),
    ("Account Authentication Expired", AuthorizationError, (None, None, None)),
    ("Stale Connection", ServerError, (None, None, None)),
    ("maximum connections exceeded", ServerError, (None, None, None)),
    ("maximum subscriptions exceeded", ServerError, (None, None, None)),
    ("Maximum Payload Violation", ServerError, (None, None, None)),
    ("Invalid Subject", ServerError, (None, None, None)),
    ("Invalid Publish Subject", ServerError, (None, None, None)),
    ("Slow Consumer", ServerError, (None, None, None)),
    ("", ServerError, (None, None, None)),
    ("\udcff never heard of", ServerError, (None, None, None)),
]


@pytest.mark.parametrize(("text", "kind", "about"), TEXTS)
def test_read(text: str, kind: type[ServerError], about: tuple[str | None, str | None, int | None]) -> None:
    refusal = read_refusal(text)
    assert (type(refusal.error), refusal.error.text, refusal[1:]) == (kind, text, about)


def test_a_long_text_is_read_in_no_time() -> None:
    text = 'Permissions Violation for Subscription to "' + '" using queue "' * 6000 + "x"
    before = time.process_time()
    assert read_refusal(text).subject == ""
    assert time.process_time() - before < 2  # it was a minute


def test_no_more_of_a_text_is_kept_than_any_server_says() -> None:
    """A thousand errors may wait for a slow error callback."""
    session = open_session()
    longest = 'Permissions Violation for Subscription to "' + "\\x01" * 4000 + '"'
    session.receive_data(b"-ERR '" + longest.encode() + b"'\r\n-ERR '" + b"x" * 1_000_000 + b"'\r\n")
    one, other = session.take_events()
    assert one == Refused(longest)
    assert isinstance(other, Refused) and len(other.text) < 20_000


def test_find() -> None:
    session = open_session()
    one, two, grouped, other = (subscribe(session, *names) for names in (("a",), ("a",), ("a", "q"), ("b",)))
    error = ServerError("x")
    for refusal, feed in (
        (Refusal(error, "a"), one),
        (Refusal(error, "a", None, 2), two),
        (Refusal(error, "a", "q"), grouped),
        (Refusal(error, "b", None, 4), other),
        (Refusal(error, "b", "q"), None),
        (Refusal(error, "a", None, 9), None),
        (Refusal(error), None),
    ):
        assert refusal.find(session.interest) is feed
