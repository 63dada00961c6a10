"""Credentials: who a client says it is, asked for anew at every attempt to connect.

What an option holds may be a file or a callback, so that what was rotated meanwhile is what is sent: files are read again, callbacks
called again, and a signature is made for the nonce of this one server. All of that happens within the attempt's deadline. What goes
wrong is a CredentialsError of that attempt, without a secret in it; the next attempt asks again.

A callback that is a plain function runs in the event loop: one that blocks holds up everything else there. It should be a
coroutine function, which may use ``asyncio.to_thread``.

Between being asked for and being sent, a secret is in a ``Secret`` or in ``Fields``, whose reprs do not show it: tools that print
tracebacks print local variables, too.
"""

from __future__ import annotations

import asyncio
import base64
import os
import stat
from typing import Any

from midge.client.callbacks import call
from midge.client.handshake import ServerInfo, connect_line
from midge.client.options import Options
from midge.client.secrets import shown, text_problem, to_content, to_path
from midge.client.servers import Address
from midge.errors import CredentialsError, NkeyError
from midge.nkeys import KeyPair, Prefix, check_public, check_seed, find_jwt, find_seed, wipe

__all__ = ["Credentials", "Fields"]

MAX_FILE = 1 << 16  # bytes of a file with credentials; the largest JWTs are a few KiB
SIGNATURE_SIZE = 64


class Fields(dict[str, str]):
    """Fields of CONNECT; its repr names them and shows none."""

    def __repr__(self) -> str:
        return f"<Fields {' '.join(self)}>"


class Secret:
    """Holds a value and does not show it.

    Attributes:
        value: the secret, of any type.
        origin: where it was read, for an error: "'/etc/nats/me.creds': ", or "".
    """

    __slots__ = ("origin", "value")

    def __init__(self, value: Any, origin: str = "") -> None:
        self.value = value
        self.origin = origin


class Credentials:
    """The credentials of one client.

    Args:
        options: the client's options, which hold them or say where they come from.
        version: our version, for CONNECT.
    """

    __slots__ = ("_options", "_version")

    def __init__(self, options: Options, version: str) -> None:
        self._options = options
        self._version = version

    async def connect_line(self, address: Address | None, info: ServerInfo) -> bytes:
        """Return the JSON of CONNECT for this server. Raises what ``answer`` raises."""
        return connect_line(self._options, address, self._version, info, await self.answer(info, address))

    async def answer(self, info: ServerInfo, address: Address | None) -> Fields:
        """Return the fields of CONNECT that say who we are, for a server that has said this in its INFO.

        What stands in its URL takes the place of the options' user, token or nkey; a JWT goes with each of them.

        Raises:
            CredentialsError: they cannot be had: a file, a seed, a callback; or the server knows no nkeys.
            MissingPackageError: ``cryptography`` is not installed, and an nkey has to sign.
        """
        options = self._options
        fields = Fields()
        if address is not None and (address.token is not None or address.user is not None):
            _put_login(fields, address.token, address.user, address.password)
        elif options.token is not None or options.user is not None:
            await self._ask_login(fields)
        elif options.jwt is None and (options.nkey is not None or options.nkey_seed is not None):
            await self._use_nkey(fields, info.nonce)
        if options.creds is not None:
            await self._use_creds(fields, info.nonce or "")
        elif options.jwt is not None:
            fields["jwt"] = (await _ask_text("jwt", options.jwt)).value.strip()
            if options.sign is not None or options.nkey_seed is not None:
                await self._sign(fields, info.nonce or "")
        return fields

    async def _ask_login(self, fields: Fields) -> None:
        """Ask for a token, or for a user and password, which one callback may give together."""
        options = self._options
        if options.token is not None:
            _put_login(fields, (await _ask_text("token", options.token)).value, None, None)
            return
        user, password = await _ask("user", options.user), Secret("")
        if options.password is not None:
            password = await _ask_text("password", options.password)
        elif isinstance(user.value, tuple) and len(user.value) == 2:
            user, password = Secret(user.value[0]), Secret(user.value[1])
            _check_text("user", password, "a str, or a pair of such")
        _check_text("user", user, "a str, or a pair of such")
        _put_login(fields, None, user.value, password.value)

    async def _use_nkey(self, fields: Fields, nonce: str | None) -> None:
        """Sign with an nkey alone."""
        if nonce is None:  # as nats.go: a signature of nothing would say nothing
            raise CredentialsError("nkey", "the server gives nothing to sign: it knows no nkeys")
        options = self._options
        if options.nkey is not None:
            public = await _ask_text("nkey", options.nkey)
            try:
                check_public(public.value, Prefix.USER)
            except NkeyError as error:
                raise CredentialsError("nkey", str(error)) from None
            fields["nkey"] = public.value
        await self._sign(fields, nonce)

    async def _sign(self, fields: Fields, nonce: str) -> None:
        """Sign the nonce: with the seed, which says whose it is where no JWT does, or by the callback."""
        options = self._options
        if options.sign is None:
            assert options.nkey_seed is not None
            content = await _load("nkey_seed", options.nkey_seed)
            try:
                public, signature = _sign_with(content.value, nonce)
            except NkeyError as error:
                raise CredentialsError("nkey_seed", f"{content.origin}{error}") from None
            finally:
                wipe(content.value)
            if "jwt" not in fields:
                fields["nkey"] = public
        else:
            held = await _ask("sign", options.sign, nonce.encode())
            if not isinstance(held.value, bytes):
                raise CredentialsError("sign", f"its callback returned {_kind(held)}, not the bytes of a signature")
            if len(held.value) != SIGNATURE_SIZE:  # base64 of it, perhaps, which other clients want
                raise CredentialsError("sign", f"its callback returned {len(held.value)} bytes; a signature has {SIGNATURE_SIZE}")
            signature = held.value
        fields["sig"] = base64.urlsafe_b64encode(signature).decode().rstrip("=")

    async def _use_creds(self, fields: Fields, nonce: str) -> None:
        content = await _load("creds", self._options.creds)
        try:
            fields["jwt"] = find_jwt(content.value)
            _, signature = _sign_with(content.value, nonce)
        except NkeyError as error:
            raise CredentialsError("creds", f"{content.origin}{error}") from None
        finally:
            wipe(content.value)
        fields["sig"] = base64.urlsafe_b64encode(signature).decode().rstrip("=")


def _put_login(fields: Fields, token: str | None, user: str | None, password: str | None) -> None:
    if token is not None:
        fields["auth_token"] = token
    elif user is not None:
        fields["user"] = user
        fields["pass"] = password or ""


def _sign_with(content: bytearray, nonce: str) -> tuple[str, bytes]:
    """Return the public key of the seed in a content, and its signature of the nonce.

    Raises:
        NkeyError: there is no seed, or not a user's.
    """
    seed = find_seed(content)
    try:
        check_seed(seed, Prefix.USER)
        with KeyPair.from_seed(seed) as key:
            return key.public_key, key.sign(nonce.encode())
    finally:
        wipe(seed)


# What an option stands for


async def _ask(name: str, source: Any, *args: bytes) -> Secret:
    """Return what an option holds, or what its callback returns.

    Raises:
        CredentialsError: the callback raised. To be cancelled because we are is not to raise.
    """
    if not callable(source):
        return Secret(source)
    try:
        return Secret(await call(source, *args))
    except Exception as error:
        raise CredentialsError(name, f"its callback raised {type(error).__name__}") from error


async def _ask_text(name: str, source: Any) -> Secret:
    held = await _ask(name, source)
    _check_text(name, held, "a str")
    return held


async def _load(name: str, source: Any) -> Secret:
    """Return the content of what an option names, in a bytearray to be wiped."""
    held = await _ask(name, source)
    if not isinstance(held.value, (str, bytes, os.PathLike)):
        raise CredentialsError(name, f"its callback returned {_kind(held)}, neither a path nor a content")
    path = to_path(name, held.value)
    if path is not None:
        return await asyncio.to_thread(_read, name, path)
    return Secret(to_content(held.value))


def _read(name: str, path: str) -> Secret:
    """Read a file: off the event loop, as it may be on a network.

    Raises:
        CredentialsError: it cannot be read, or is no file of credentials.
    """
    origin = f"{shown(path)}: "
    content = bytearray(MAX_FILE + 1)
    reason = ""
    try:
        with open(os.path.expanduser(path), "rb", buffering=0, opener=_open_at_once) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                del content[file.readinto(content) :]
            else:
                reason = "it is not a regular file"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError:
        reason = "it is not a path"  # a NUL
    if len(content) > MAX_FILE:
        reason = reason or f"it is larger than {MAX_FILE} bytes"
    if reason:  # not raised from the error, which names the path, whatever it is
        wipe(content)
        raise CredentialsError(name, f"{origin}{reason}")
    return Secret(content, origin)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for who may never come: the writer of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_text(name: str, held: Secret, expected: str) -> None:
    if not isinstance(held.value, str):
        raise CredentialsError(name, f"its callback returned {_kind(held)}, not {expected}")
    problem = text_problem(held.value)
    if problem:
        raise CredentialsError(name, f"what its callback returned {problem}")


def _kind(held: Secret) -> str:
    return "nothing" if held.value is None else f"a {type(held.value).__name__}"
