"""Credentials: what each option puts into CONNECT, that it is asked for anew at each attempt, and that no secret is seen on the way."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeServer, Peer, Script, info, turns

import midge
from midge.client.credentials import MAX_FILE, Credentials, Fields
from midge.client.handshake import ServerInfo
from midge.client.options import Options
from midge.client.servers import Address, parse_servers
from midge.errors import ConnectError, CredentialsError, MidgeTimeoutError, MissingPackageError, NkeyError
from midge.nkeys import KeyPair, Prefix

KEY = KeyPair.create()
OTHER = KeyPair.create()
JWT = "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJHVDQifQ.c_XQT04-WAQ"
NONCE = "PXoWU7zWAMt75FY"
INFO = ServerInfo(nonce=NONCE)


def creds(jwt: str = JWT, key: KeyPair = KEY) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{key.seed()}\n------END USER NKEY SEED------\n"
    )


def signature(key: KeyPair = KEY, nonce: str = NONCE) -> str:
    return base64.urlsafe_b64encode(key.sign(nonce.encode())).decode().rstrip("=")


CREDS = creds()


async def answer(*, info: ServerInfo = INFO, url: str | None = None, **options: Any) -> dict[str, str]:
    address = None if url is None else parse_servers(url)[0]
    return dict(await Credentials(Options(**options), "1").answer(info, address))


async def refused(**options: Any) -> CredentialsError:
    with pytest.raises(CredentialsError) as raised:
        await answer(**options)
    return raised.value


def plain(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def coroutine(value: Any) -> Callable[..., Any]:
    async def give(*_: Any) -> Any:
        await asyncio.sleep(0)
        return value

    return give


def future(value: Any) -> Callable[..., Any]:
    def give(*_: Any) -> Any:
        made = asyncio.get_running_loop().create_future()
        made.set_result(value)
        return made

    return give


each_kind = pytest.mark.parametrize("kind", [plain, coroutine, future])


# What goes into CONNECT


async def test_nothing_is_said_without_options() -> None:
    assert await answer() == {}


async def test_texts() -> None:
    assert await answer(token="t") == {"auth_token": "t"}
    assert await answer(user="u") == {"user": "u", "pass": ""}
    assert await answer(user="u", password="p") == {"user": "u", "pass": "p"}


@each_kind
async def test_callbacks(kind: Callable[[Any], Any]) -> None:
    assert await answer(token=kind("t")) == {"auth_token": "t"}
    assert await answer(user=kind("u")) == {"user": "u", "pass": ""}
    assert await answer(user=kind(("u", "p"))) == {"user": "u", "pass": "p"}
    assert await answer(user=kind("u"), password="p") == {"user": "u", "pass": "p"}
    assert await answer(user="u", password=kind("p")) == {"user": "u", "pass": "p"}
    assert await answer(jwt=kind(JWT + "\n")) == {"jwt": JWT}
    assert await answer(jwt=kind(JWT), sign=kind(KEY.sign(NONCE.encode()))) == {"jwt": JWT, "sig": signature()}
    assert await answer(nkey=kind(KEY.public_key), sign=kind(KEY.sign(NONCE.encode()))) == {"nkey": KEY.public_key, "sig": signature()}
    assert await answer(nkey_seed=kind(KEY.seed())) == {"nkey": KEY.public_key, "sig": signature()}
    assert await answer(creds=kind(creds().encode())) == {"jwt": JWT, "sig": signature()}


async def test_the_nonce_is_what_sign_gets() -> None:
    heard: list[bytes] = []

    def sign(nonce: bytes) -> bytes:
        heard.append(nonce)
        return KEY.sign(nonce)

    assert (await answer(jwt=JWT, sign=sign))["sig"] == signature()
    assert heard == [NONCE.encode()]


async def test_a_signature_is_url_safe_and_not_padded() -> None:
    for number in range(20):
        sig = (await answer(info=ServerInfo(nonce=str(number)), nkey_seed=KEY.seed()))["sig"]
        assert len(sig) == 86 and not set("+/=") & set(sig)
        assert KEY.verify(str(number).encode(), base64.urlsafe_b64decode(sig + "=="))


async def test_nkey_seed(tmp_path: Path) -> None:
    said = {"nkey": KEY.public_key, "sig": signature()}
    path = tmp_path / "user.nk"
    path.write_text(KEY.seed() + "\n")
    for seed in (KEY.seed(), KEY.seed().encode(), f" {KEY.seed()}\n", f"# mine\n{KEY.seed()}\n", path, str(path)):
        assert await answer(nkey_seed=seed) == said
    assert await answer(jwt=JWT, nkey_seed=path) == {"jwt": JWT, "sig": signature()}


async def test_creds(tmp_path: Path) -> None:
    said = {"jwt": JWT, "sig": signature()}
    path = tmp_path / "me.creds"
    path.write_text(creds())
    for source in (creds(), creds().encode(), creds().replace("\n", "\r\n"), path, str(path), lambda: path):
        assert await answer(creds=source) == said


async def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "me.creds").write_text(creds())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await answer(creds="~/me.creds"))["jwt"] == JWT


async def test_everything_is_asked_for_at_each_attempt(tmp_path: Path) -> None:
    path = tmp_path / "me.creds"
    path.write_text(creds())
    tokens = iter(["one", "two"])
    from_file, from_callback = Credentials(Options(creds=path), "1"), Credentials(Options(token=lambda: next(tokens)), "1")
    assert (await from_file.answer(INFO, None))["jwt"] == JWT
    assert await from_callback.answer(INFO, None) == {"auth_token": "one"}
    path.write_text(creds("eyJ.a.b", OTHER))
    assert await from_file.answer(INFO, None) == {"jwt": "eyJ.a.b", "sig": signature(OTHER)}
    assert await from_callback.answer(INFO, None) == {"auth_token": "two"}


async def test_what_fails_once_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "me.creds"
    results = iter([KeyError("x"), "t"])

    def token() -> str:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    for credentials, repair in (
        (Credentials(Options(creds=path), "1"), lambda: path.write_text(creds())),
        (Credentials(Options(token=token), "1"), int),
    ):
        with pytest.raises(CredentialsError):
            await credentials.answer(INFO, None)
        repair()
        assert await credentials.answer(INFO, None)


URL_CASES = {
    "nats://u:p@host": {"user": "u", "pass": "p"},
    "nats://u:@host": {"user": "u", "pass": ""},
    "nats://t@host": {"auth_token": "t"},
}


@pytest.mark.parametrize("url", URL_CASES)
async def test_the_url_wins(url: str) -> None:
    def never() -> str:
        raise AssertionError("asked for in vain")

    wanted = URL_CASES[url]
    for options in ({"token": never}, {"user": never, "password": never}, {"nkey_seed": never}, {"nkey": never, "sign": never}):
        assert await answer(url=url, **options) == wanted
    assert await answer(url=url, info=ServerInfo(), nkey_seed=KEY.seed()) == wanted, "no nonce is needed then"
    assert await answer(url=url, creds=creds()) == wanted | {"jwt": JWT, "sig": signature()}


async def test_a_url_without_credentials_takes_the_options() -> None:
    assert await answer(url="nats://host", token="t") == {"auth_token": "t"}


async def test_a_jwt_may_come_with_a_user_or_a_token() -> None:
    """An authorization service in operator mode gets both (ADR-26)."""
    assert await answer(creds=creds(), token="t") == {"auth_token": "t", "jwt": JWT, "sig": signature()}
    assert await answer(jwt=JWT, user="u", password="p") == {"user": "u", "pass": "p", "jwt": JWT}


async def test_a_server_without_nonce() -> None:
    """As nats.go: an nkey is refused here, a JWT signs nothing."""
    for options in ({"nkey_seed": KEY.seed()}, {"nkey": KEY.public_key, "sign": KEY.sign}):
        error = await refused(info=ServerInfo(), **options)
        assert str(error) == "nkey: the server gives nothing to sign: it knows no nkeys"
    assert await answer(info=ServerInfo(), creds=creds()) == {"jwt": JWT, "sig": signature(nonce="")}


# What goes wrong at an attempt


@pytest.mark.parametrize("name", ["user", "token", "jwt", "creds", "nkey_seed"])
async def test_a_callback_that_raises(name: str) -> None:
    def fails() -> str:
        raise LookupError("vault")

    async def fails_later() -> str:
        await asyncio.sleep(0)
        raise LookupError("vault")

    for callback in (fails, fails_later):
        error = await refused(**{name: callback})
        assert str(error) == f"{name}: its callback raised LookupError" and isinstance(error.__cause__, LookupError)


async def test_a_sign_callback_that_raises() -> None:
    def sign(nonce: bytes) -> bytes:
        raise StopIteration

    error = await refused(jwt=JWT, sign=sign)  # a StopIteration leaves no coroutine as such
    assert str(error) == "sign: its callback raised RuntimeError" and "StopIteration" in str(error.__cause__)


BAD_RESULTS: dict[str, tuple[str, Any, str]] = {
    "token None": ("token", None, "its callback returned nothing, not a str"),
    "token bytes": ("token", b"hunter2", "its callback returned a bytes, not a str"),
    "token surrogate": ("token", "hunter2\ud800", "what its callback returned holds a lone surrogate, which is not text"),
    "user three": ("user", ("u", "p", "hunter2"), "its callback returned a tuple, not a str, or a pair of such"),
    "user pair": ("user", ("u", b"hunter2"), "its callback returned a bytes, not a str, or a pair of such"),
    "user number": ("user", 7, "its callback returned a int, not a str, or a pair of such"),
    "nkey_seed": ("nkey_seed", None, "its callback returned nothing, neither a path nor a content"),
    "seed": ("nkey_seed", KEY.seed()[:-1], "nkey seed: it has 57 characters, not 58"),
    "seed of an account": ("nkey_seed", KeyPair.create(Prefix.ACCOUNT).seed(), "nkey seed: it is of type account, not user"),
    "creds": ("creds", b"hunter2", "JWT: there is none between its BEGIN and END"),
    "creds jwt": ("creds", JWT, "it is neither a path nor a creds file; for a JWT there is the option jwt"),
    "creds no seed": ("creds", creds().partition("\n\n")[0], "nkey seed: there is none between its BEGIN and END, or in a line of its own"),
}


@pytest.mark.parametrize("name", BAD_RESULTS)
async def test_a_callback_that_returns_nonsense(name: str) -> None:
    option, value, reason = BAD_RESULTS[name]
    error = await refused(**{option: lambda: value})
    assert (error.what, error.reason) == (option, reason)
    assert isinstance(error, ValueError)


async def test_a_sign_callback_that_returns_nonsense() -> None:
    assert str(await refused(jwt=JWT, sign=plain("sig"))) == "sign: its callback returned a str, not the bytes of a signature"
    encoded = signature().encode()  # as other clients want it
    assert str(await refused(jwt=JWT, sign=plain(encoded))) == "sign: its callback returned 86 bytes; a signature has 64"


async def test_a_public_key_from_a_callback_is_checked() -> None:
    error = await refused(nkey=plain(KeyPair.create(Prefix.SERVER).public_key), sign=KEY.sign)
    assert str(error) == "nkey: nkey public key: it is of type server, not user"


async def test_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "me.creds"
    missing = await refused(creds=path)
    assert str(missing) == f"creds: {str(path)!r}: No such file or directory" and missing.__cause__ is None
    path.write_text(creds().replace(KEY.seed(), KEY.seed()[:-1]))
    assert str(await refused(creds=path)) == f"creds: {str(path)!r}: nkey seed: it has 57 characters, not 58"
    path.write_text("")
    assert str(await refused(nkey_seed=path)).startswith(f"nkey_seed: {str(path)!r}: nkey seed: there is none")
    path.write_bytes(b" " * (MAX_FILE + 1))
    assert str(await refused(creds=path)) == f"creds: {str(path)!r}: it is larger than {MAX_FILE} bytes"
    assert str(await refused(creds=tmp_path)) == f"creds: {str(tmp_path)!r}: Is a directory"
    assert str(await refused(creds="me\0you")) == "creds: 'me\\x00you': it is not a path"


async def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "me.creds"
    os.mkfifo(path)
    assert str(await refused(creds=path)) == f"creds: {str(path)!r}: it is not a regular file"
    assert str(await refused(creds="/dev/zero")) == "creds: '/dev/zero': it is not a regular file"


@pytest.mark.parametrize("text", [KEY.seed()[:-20], KEY.seed().lower(), "x" + KEY.seed(), "/" + KEY.seed(), "./" + KEY.seed()[:30]])
async def test_a_seed_that_is_taken_for_a_path_is_not_shown(text: str) -> None:
    error = await refused(nkey_seed=text)
    assert str(error) == "nkey_seed: what it names: No such file or directory"
    assert error.__cause__ is None


async def test_a_cancelled_callback_is_an_error_and_a_cancelled_attempt_is_cancelled() -> None:
    async def cancelled() -> str:
        raise asyncio.CancelledError

    error = await refused(token=cancelled)
    assert str(error) == "token: its callback raised RuntimeError" and "was cancelled" in str(error.__cause__)

    async def slow() -> str:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    started = asyncio.Event()
    task = asyncio.ensure_future(Credentials(Options(token=slow), "1").answer(INFO, None))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Credentials(Options(token=slow), "1").answer(INFO, None)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_passes(interrupt: type[BaseException]) -> None:
    def token() -> str:
        raise interrupt

    with pytest.raises(interrupt):
        await answer(token=token)


async def test_without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingPackageError) as raised:
        await answer(creds=CREDS)
    assert await answer(token="t") == {"auth_token": "t"}
    monkeypatch.undo()
    check_hidden(*seen_in(raised.value))


# When options are made


EXCLUSIVE: list[dict[str, Any]] = [
    {"user": "u", "token": "t"},
    {"password": "p"},
    {"password": "p", "token": "t"},
    {"creds": "x.creds", "jwt": JWT},
    {"creds": "x.creds", "nkey_seed": "x.nk"},
    {"creds": "x.creds", "nkey": KEY.public_key, "sign": KEY.sign},
    {"creds": "x.creds", "sign": KEY.sign},
    {"nkey": KEY.public_key},
    {"nkey": KEY.public_key, "nkey_seed": "x.nk"},
    {"nkey_seed": "x.nk", "sign": KEY.sign},
    {"jwt": JWT, "nkey_seed": "x.nk", "sign": KEY.sign},
    {"jwt": JWT, "nkey": KEY.public_key, "sign": KEY.sign},
    {"sign": KEY.sign},
    {"sign": KEY.sign, "token": "t"},
    {"nkey_seed": "x.nk", "user": "u"},
    {"nkey_seed": "x.nk", "token": "t"},
    {"nkey": KEY.public_key, "sign": KEY.sign, "token": "t"},
]


@pytest.mark.parametrize("options", EXCLUSIVE, ids=lambda options: "+".join(options))
def test_what_cannot_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exclude|needs"):
        midge.connect(**options)


@pytest.mark.parametrize("name", ["user", "password", "token", "nkey", "jwt"])
def test_a_text_is_text(name: str) -> None:
    others: dict[str, Any] = {"password": {"user": "u"}, "nkey": {"sign": KEY.sign}}.get(name, {})
    with pytest.raises(TypeError, match=f"{name} is a str or a function that returns one, not bytes"):
        midge.connect(**{name: b"hunter2"}, **others)
    with pytest.raises(ValueError, match=f"{name} holds a lone surrogate"):
        midge.connect(**{name: "\ud800"}, **others)


@pytest.mark.parametrize("name", ["creds", "nkey_seed"])
def test_a_file_is_a_path_or_a_content(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is a path, a content or a function that returns one, not int"):
        midge.connect(**{name: 7})  # type: ignore[arg-type]


def test_sign_is_called() -> None:
    with pytest.raises(TypeError, match="sign is a function or a coroutine function, not bytes"):
        midge.connect(jwt=JWT, sign=b"x" * 64)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"nkey_seed": KEY.seed()[:-1]},
        {"nkey_seed": KEY.seed().encode()[:-1]},
        {"nkey_seed": KeyPair.create(Prefix.OPERATOR).seed()},
        {"creds": creds().replace(KEY.seed(), "")},
        {"creds": creds().replace(JWT, "")},
        {"creds": JWT},
        {"creds": b""},
    ],
)
def test_a_bad_content_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError) as raised:
        Options(**options)
    assert KEY.seed()[:-1] not in str(raised.value) and JWT not in str(raised.value)
    assert raised.value.__cause__ is None and raised.value.__context__ is None


def test_a_bad_public_key_is_refused_at_once() -> None:
    with pytest.raises(NkeyError, match="it is of type account, not user"):
        Options(nkey=KeyPair.create(Prefix.ACCOUNT).public_key, sign=KEY.sign)


# Secrets

PASSWORD = "hunter2"
SECRETS = [PASSWORD, KEY.seed(), JWT]


def check_hidden(*texts: str) -> None:
    raw = bytes(KEY._seed or b"")
    for text in texts:
        for secret in [*SECRETS, repr(raw)[2:-1], raw.hex(), signature()]:
            assert secret not in text


ALL_OPTIONS: list[dict[str, Any]] = [
    {"user": "u", "password": PASSWORD},
    {"token": PASSWORD},
    {"nkey_seed": KEY.seed()},
    {"nkey_seed": KEY.seed().encode()},
    {"creds": creds()},
    {"creds": creds().encode(), "token": PASSWORD},
    {"jwt": JWT, "nkey_seed": KEY.seed()},
]


@pytest.mark.parametrize("options", ALL_OPTIONS)
async def test_what_holds_a_secret_does_not_show_it(options: dict[str, Any]) -> None:
    made = Options(**options)
    credentials = Credentials(made, "1")
    fields = await credentials.answer(INFO, Address("host", 4222, "u", PASSWORD))
    assert fields and type(fields) is Fields
    client = midge.Client(f"nats://u:{PASSWORD}@h", made)
    check_hidden(*(f"{one!r} {one!s}" for one in (made, credentials, fields, client, Address("h", 1, token=PASSWORD))))


def mistyped(seed: str) -> str:
    """The seed with another last letter."""
    return seed[:-1] + ("B" if seed.endswith("A") else "A")


FAILING: dict[str, tuple[dict[str, Any], str]] = {
    "later": ({"creds": creds(), "token": lambda: None}, ""),
    "sign": ({"user": "u", "password": PASSWORD, "jwt": JWT, "sign": lambda nonce: 1 / 0}, ""),
    "seed": ({"token": PASSWORD, "jwt": JWT, "nkey_seed": lambda: mistyped(KEY.seed())}, ""),
    "creds": ({"creds": lambda: creds().replace("SEED", "SED")}, ""),
    "user": ({"user": lambda: (PASSWORD, 7)}, ""),
    "token": ({"token": lambda: PASSWORD.encode()}, ""),
    "signature": ({"token": PASSWORD, "jwt": JWT, "sign": lambda nonce: KEY.sign(nonce)[1:]}, ""),
    "no nonce": ({"nkey_seed": KEY.seed()}, "no nonce"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILING)
async def test_no_local_variable_of_a_traceback_shows_a_secret(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Error trackers print local variables: every frame of ours is looked into."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    options, server = FAILING[name]
    credentials = Credentials(Options(**options), "1")
    info = ServerInfo() if server else INFO
    error: BaseException | None = None
    try:
        await credentials.answer(info, None)
    except CredentialsError as raised:
        error = raised
    assert error is not None
    logging.getLogger("test").error("failed", exc_info=error)
    seen = [str(error), repr(error), caplog.text]
    while error is not None:
        frames = traceback.walk_tb(error.__traceback__)
        ours = [(frame, line) for frame, line in frames if os.path.dirname(midge.__file__) in frame.f_code.co_filename]
        seen += traceback.StackSummary.extract(ours, capture_locals=True).format()
        error = error.__cause__ if error.__suppress_context__ or error.__cause__ else error.__context__
    assert len(seen) > 3
    check_hidden(*seen)


async def test_a_file_is_wiped_when_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from midge.client import credentials as module

    held: list[bytearray] = []
    real = module._read

    def read(name: str, path: str) -> Any:
        content = real(name, path)
        held.append(content.value)
        assert KEY.seed().encode() in held[-1]
        return content

    monkeypatch.setattr(module, "_read", read)
    path = tmp_path / "x"
    path.write_text(creds())
    await answer(creds=path)
    path.write_text(KEY.seed())
    await answer(nkey_seed=str(path))
    path.write_text(creds().replace("JWT", "JET"))
    await refused(creds=path)
    assert [any(one) for one in held] == [False] * 3


# In an attempt


def greets(said: list[dict[str, Any]], **fields: Any) -> Script:
    async def script(peer: Peer) -> None:
        await peer.greet(**fields)
        said.append(peer.connect)
        await peer.serve()

    return script


async def test_an_attempt_says_who_we_are(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    said: list[dict[str, Any]] = []

    async def jwt() -> str:
        return await asyncio.to_thread(lambda: JWT)

    async with FakeServer(greets(said, nonce=NONCE)) as server, midge.connect(server.url, jwt=jwt, sign=KEY.sign, token="t"):
        pass
    wanted = {"jwt": JWT, "sig": signature(), "auth_token": "t"}
    assert {name: said[0].get(name) for name in (*wanted, "user", "pass", "nkey")} == wanted | dict.fromkeys(("user", "pass", "nkey"))


async def test_nothing_is_sent_before_the_callback_has_answered() -> None:
    asked = asyncio.Event()
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def token() -> str:
        asked.set()
        return await answered

    async def script(peer: Peer) -> None:
        peer.send(info())
        await asked.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await peer.reader.read(1)
        answered.set_result("t")
        assert b'"auth_token":"t"' in await peer.line()
        await peer.expect(b"PING")
        peer.send(b"PONG\r\n")
        await peer.serve()

    async with FakeServer(script) as server, midge.connect(server.url, token=token) as nc:
        assert nc.is_connected


async def test_a_callback_has_the_time_of_its_attempt() -> None:
    ended: list[str] = []

    async def token() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        raise AssertionError

    async def script(peer: Peer) -> None:
        peer.send(info())
        assert await peer.line() == b""

    async with FakeServer(script) as server:
        with pytest.raises(ConnectError) as raised:
            await midge.connect(server.url, token=token, timeout=0.5)
    assert [type(error) for _, error in raised.value.attempts] == [MidgeTimeoutError] and ended == ["cancelled"]


async def test_what_a_callback_raises_is_the_error_of_its_attempt() -> None:
    said: list[dict[str, Any]] = []
    results = iter([LookupError("sealed"), "one", "two"])

    def token() -> str:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    async def silent(peer: Peer) -> None:
        peer.send(info())
        assert await peer.line() == b""

    async with FakeServer(silent, greets(said)) as server:
        connecting = midge.connect(server.url, token=token)
        with pytest.raises(ConnectError, match=r"token: its callback raised LookupError$") as raised:
            await connecting
        assert isinstance(raised.value.__cause__, CredentialsError) and isinstance(raised.value.__cause__.__cause__, LookupError)
        async with await connecting:
            pass
    assert [connect["auth_token"] for connect in said] == ["one"]


async def test_each_server_is_told_anew() -> None:
    said: list[dict[str, Any]] = []
    tokens = iter(["one", "two"])

    async def locked(peer: Peer) -> None:
        peer.send(info())
        said.append({"auth_token": (await peer.line()).partition(b'auth_token":"')[2][:3].decode()})
        peer.send(b"-ERR 'Authorization Violation'\r\n")
        peer.close()

    async with FakeServer(locked) as first, FakeServer(greets(said)) as second:
        async with midge.connect([first.url, second.url], token=lambda: next(tokens), randomize=False) as nc:
            assert nc.connected_url == second.url
    assert [connect["auth_token"] for connect in said] == ["one", "two"]


async def test_a_server_that_leaves_while_the_callback_is_under_way() -> None:
    gone = asyncio.Event()

    async def token() -> str:
        await gone.wait()
        await turns(20)
        return "t"

    async def script(peer: Peer) -> None:
        peer.send(info(), b"-ERR 'Authentication Timeout'\r\n")
        peer.close()
        await peer.writer.wait_closed()
        gone.set()

    async with FakeServer(script) as server:
        with pytest.raises(ConnectError, match="Authentication Timeout"):
            await midge.connect(server.url, token=token)


@pytest.mark.parametrize("text", ["User Authentication Expired", "User Authentication Revoked", "Account Authentication Expired"])
@pytest.mark.skipif("max_reconnects" not in Options.__dataclass_fields__, reason="connections are not made again yet")
async def test_credentials_that_end_are_asked_for_again(text: str) -> None:
    said: list[dict[str, Any]] = []
    tokens = iter(["one", "two", "three"])

    async def ends(peer: Peer) -> None:
        await peer.greet()
        said.append(peer.connect)
        peer.send(b"-ERR '" + text.encode() + b"'\r\n")
        peer.close()

    async with FakeServer(ends, ends, greets(said)) as server:
        nc = await midge.connect(server.url, token=lambda: next(tokens), reconnect_wait=0.01)
        while len(said) < 3:
            await asyncio.sleep(0.01)
        await nc.close()
    assert [connect["auth_token"] for connect in said] == ["one", "two", "three"]


# Nowhere in what anybody prints


def seen_in(error: BaseException | None) -> Iterator[str]:
    """An error as printed, and every local variable of midge's frames, also of its causes."""
    while error is not None:
        yield f"{error} {error!r}"
        ours = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_globals["__name__"].startswith("midge")]
        yield from traceback.StackSummary.extract(ours, capture_locals=True).format()
        for inner in getattr(error, "exceptions", ()):
            yield from seen_in(inner)
        error = error.__cause__


LOGINS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"user": "u", "password": PASSWORD}, "", {"user": "u", "password": PASSWORD}),
    ({"token": PASSWORD}, "", {"token": PASSWORD}),
    ({"token": PASSWORD}, PASSWORD + "@", {}),
    ({"user": "u", "password": PASSWORD}, f"u:{PASSWORD}@", {}),
    ({"token": "another"}, "", {"user": lambda: ("u", PASSWORD)}),
    ({"token": "another"}, f"u:{PASSWORD}@", {}),
    ({"token": "another"}, "", {"creds": CREDS, "token": lambda: PASSWORD}),
    ({"token": "another"}, "", {"jwt": JWT, "sign": KEY.sign, "user": "u", "password": PASSWORD}),
    ({"user": "u", "password": "another"}, "", {"token": PASSWORD}),
]


@pytest.mark.parametrize(("server_options", "user_info", "options"), LOGINS)
@pytest.mark.parametrize("max_control_line", [4096, 100])
async def test_no_line_of_any_log_shows_a_secret(
    server_options: dict[str, Any], user_info: str, options: dict[str, Any], max_control_line: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything at the lowest level: the client's log, the trace of our own server, asyncio's; and every error with its frames."""
    caplog.set_level(1)
    caplog.set_level(1, "midge.server")
    caplog.set_level(1, "midge.client")
    asyncio.get_running_loop().set_debug(True)
    seen: list[str] = []
    async with midge.Server(port=0, max_control_line=max_control_line, **server_options) as server:
        connecting = midge.connect(
            server.url.replace("//", f"//{user_info}"), error_callback=lambda error: seen.extend(seen_in(error)), **options
        )
        try:
            nc = await connecting
            await nc.publish("a", b"x")
            await nc.flush()
            seen += [repr(nc), repr(nc._options), repr(nc._connection), repr(server.clients())]
            await nc.drain()
        except ConnectError as error:
            seen += seen_in(error)
            for _, refusal in error.attempts:
                seen += seen_in(refusal)
        seen += [repr(server), repr(server.options), repr(server.counters())]
    assert ("<<- [CONNECT " if max_control_line > 1000 else "maximum control line exceeded") in caplog.text
    check_hidden(caplog.text, *seen)


@pytest.mark.skipif("max_reconnects" not in Options.__dataclass_fields__, reason="connections are not made again yet")
async def test_connecting_again_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Refused once in between, by what its callback raises: that is logged, too, and what it had is not."""
    caplog.set_level(1)
    caplog.set_level(1, "midge.server")
    caplog.set_level(1, "midge.client")
    seen: list[str] = []
    results = iter([PASSWORD, None, PASSWORD])
    async with midge.Server(port=0, user="u", password=PASSWORD) as server:
        nc = await midge.connect(
            server.url, user="u", password=lambda: next(results), jwt=JWT, sign=KEY.sign, name="victim",
            reconnect_wait=0.01, error_callback=lambda error: seen.extend(seen_in(error)),
        )  # fmt: skip
        await nc.subscribe("a", callback=lambda message: message.respond(b"back"))
        await nc.flush()
        server.disconnect("victim")
        async with midge.connect(server.url, user="u", password=PASSWORD) as other:
            while True:
                try:
                    assert (await other.request("a", timeout=5)).data == b"back"
                    break
                except midge.NoRespondersError:
                    await asyncio.sleep(0.01)
        await nc.drain()
    assert next(results, "asked three times") == "asked three times"
    assert seen
    check_hidden(caplog.text, *seen)
