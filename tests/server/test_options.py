"""server.options: nats-server's defaults, and that nonsense is refused when the options are made."""

from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest

from midge.server.options import MAX_PAYLOAD_LIMIT, ServerOptions

DEFAULTS = {
    "host": "127.0.0.1", "port": 4222, "name": "", "user": None, "password": None, "token": None, "auth_timeout": 2.0,
    "max_connections": 65536, "max_subscriptions": 0, "max_payload": 1 << 20, "max_control_line": 4096, "max_pending": 64 << 20,
    "ping_interval": 120.0, "ping_max": 2, "write_deadline": 10.0,
}  # fmt: skip
ACCEPTED: list[dict[str, Any]] = [
    {},
    {"port": 0},
    {"port": -1},
    {"port": 65535},
    {"user": "u", "password": "p"},
    {"user": "u", "password": ""},
    {"token": "t"},
    {"max_connections": 0},
    {"max_payload": MAX_PAYLOAD_LIMIT},
    {"max_payload": 1},
    {"max_payload": 1000, "max_pending": 1000},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_control_line": (1 << 18) + 1}, "at most 262144"),
    ({"port": -2}, "port -2"),
    ({"port": 65536}, "port 65536"),
    ({"user": "u"}, "password"),
    ({"password": "p"}, "user"),
    ({"token": "t", "user": "u", "password": "p"}, "exclude"),
    ({"token": "t", "user": "u"}, "exclude"),
    ({"token": "t", "password": "p"}, "exclude"),
    ({"max_payload": MAX_PAYLOAD_LIMIT + 1}, "max_payload"),
    ({"max_payload": 1001, "max_pending": 1000}, "max_payload 1001 exceeds max_pending 1000"),
    ({"max_connections": -1}, "max_connections -1"),
    ({"max_subscriptions": -1}, "max_subscriptions -1"),
    *[({name: value}, f"{name} {value}: expected more than 0")
      for name in ("auth_timeout", "max_control_line", "max_payload", "max_pending", "ping_interval", "ping_max", "write_deadline")
      for value in (0, -1)],
    *[({name: value}, f"{name} {value}: expected more than 0")
      for name in ("auth_timeout", "ping_interval", "write_deadline") for value in (float("nan"), float("inf"))],
    ({"token": ""}, "everybody"),
    ({"user": "", "password": ""}, "everybody"),
]  # fmt: skip


def test_the_defaults_are_nats_servers() -> None:
    assert asdict(ServerOptions()).items() >= DEFAULTS.items()


@pytest.mark.parametrize("options", ACCEPTED, ids=str)
def test_accepted(options: dict[str, Any]) -> None:
    assert asdict(ServerOptions(**options)).items() >= (DEFAULTS | options).items()


@pytest.mark.parametrize("options, text", REFUSED, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ServerOptions(**options)


def test_a_value_that_does_not_change() -> None:
    options = ServerOptions()
    with pytest.raises(FrozenInstanceError):
        options.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        ServerOptions("127.0.0.1")  # type: ignore[call-arg]
    assert ServerOptions() == ServerOptions() and hash(ServerOptions()) == hash(ServerOptions())


def test_whether_credentials_are_wanted() -> None:
    assert not ServerOptions().auth_required
    assert ServerOptions(token="t").auth_required and ServerOptions(user="u", password="p").auth_required


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(ServerOptions(user="u", password="s3cret")) and "s3cret" not in repr(ServerOptions(token="s3cret"))


@pytest.mark.parametrize("name", ["password", "token"])
@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2x$", "$2y$"])
def test_a_bcrypt_hash_stands_for_a_password(name: str, prefix: str) -> None:
    pytest.importorskip("bcrypt")
    secret = prefix + "11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"
    fields = {name: secret} | ({"user": "u"} if name == "password" else {})
    options = ServerOptions(**fields)  # type: ignore[arg-type]
    assert secret not in repr(options)


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"port": "4222"}, "port must be int, not str"),
        ({"port": True}, "port must be int, not bool"),
        ({"port": None}, "port must be int, not NoneType"),
        ({"host": 4222}, "host must be str, not int"),
        ({"password": b"p", "user": "u"}, "password must be str or None, not bytes"),
        ({"ping_interval": "1"}, "ping_interval must be int or float, not str"),
        ({"max_payload": 1.5}, "max_payload must be int, not float"),
    ],
    ids=str,
)
def test_a_wrong_type_is_said_at_once(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        ServerOptions(**fields)
    assert str(caught.value) == text
    assert ServerOptions(ping_interval=1).ping_interval == 1
