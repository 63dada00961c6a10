"""Who may connect: what a client says in CONNECT, and how it came, against the server's options.

The order is nats-server's: the authorizer where there is one; nkeys; users, by certificate where that is asked for; the token; the one
user and password. Who has no credentials at all is ``no_auth_user`` where there is one. Clients by WebSocket have a door of their own.

Comparisons take the same time for any input, also for users that do not exist. A verdict that takes long (a bcrypt hash, an authorizer that
waits for somebody) is *pending*: see ``identity``. No secret is logged or shown, nor what an authorizer's error says: it may quote one.
"""

from __future__ import annotations

import base64
import inspect
import logging
import os
import re
import traceback
from dataclasses import dataclass
from functools import partial
from typing import Any

from midge.errors import NkeyError
from midge.nkeys import KeyPair
from midge.quote import quote
from midge.server import passwords
from midge.server.access import Permissions, User
from midge.server.certificate import CertificateMap
from midge.server.connect import Connect
from midge.server.identity import ANYBODY, AuthRequest, Awaited, Computed, Identity, Origin, Pending
from midge.server.options import ServerOptions
from midge.server.permissions import Policy

__all__ = ["Authenticator"]

NONCE_BYTES = 11
MAX_POLICIES = 256  # of permissions that only an authorizer has named
MAX_FAULTS = 64  # kinds of errors of an authorizer that are told apart
FAULT_SECONDS = 60.0  # after which one is logged again
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_TO_STANDARD = str.maketrans("-_", "+/")
_NOBODY = User(user="?", password="?")

log = logging.getLogger("midge.server")

Verdict = Identity | Pending | None


@dataclass(frozen=True, slots=True)
class _Door:
    """What clients are asked that come in one way."""

    required: bool
    announced: bool
    timeout: float
    ping_interval: float
    no_auth_user: str
    implicit_user: str
    user: str
    password: str
    token: str
    maps: bool


class Authenticator:
    """Lets clients in.

    Args:
        options: the server's options.

    Attributes:
        gives_nonce: clients get a nonce in INFO, to sign it.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._authorizer = options.authorizer
        self._accounts = frozenset(options.account_names())
        self._defaults = {each.name: each.default_permissions for each in options.accounts}
        self._default = options.default_permissions
        self._users = {each.user: each for each in options.users if not each.nkey}
        self._nkeys = {each.nkey: each for each in options.users if each.nkey}
        self._by_tcp, self._by_websocket = _tcp_door(options), _websocket_door(options)
        self._certificates = CertificateMap(self._users) if self._by_tcp.maps or self._by_websocket.maps else None
        self._policies: dict[Permissions, Policy] = {}
        self._lasting = {each: Policy(each) for user in options.users if (each := self._permissions(user)) is not None}
        self._faults: dict[str, float] = {}
        self.gives_nonce = options.always_enable_nonce or bool(self._nkeys) or self._authorizer is not None

    def door(self, origin: Origin) -> _Door:
        """Return what is asked of a client that came this way."""
        return self._by_websocket if origin.kind == "WEBSOCKET" else self._by_tcp

    def nonce(self) -> str:
        """Return what one client is to sign; empty where none has to."""
        return base64.urlsafe_b64encode(os.urandom(NONCE_BYTES)).decode().rstrip("=") if self.gives_nonce else ""

    def policy(self, permissions: Permissions | None) -> Policy | None:
        """Return permissions ready to be asked, None where they allow everything.

        Raises:
            ValueError: they are none.
        """
        if permissions is None or permissions == Permissions():
            return None
        policy = self._lasting.get(permissions) or self._policies.get(permissions)
        if policy is None:
            policy = Policy(permissions)
            if len(self._policies) >= MAX_POLICIES:
                self._policies.clear()
            self._policies[permissions] = policy
        return policy

    def admits_silent(self, origin: Origin) -> bool:
        """True if a client that came this way may begin with anything, and is ``no_auth_user`` then."""
        user = self._users.get(self.door(origin).implicit_user)
        return user is not None and _may_come_by(user, origin)

    def identify(self, connect: Connect, origin: Origin, nonce: str, address: str, now: float) -> Verdict:
        """Return as whom a client is let in, None where it is not, or what that depends on.

        Args:
            nonce: what it was given to sign.
            address: where it comes from.
            now: the time.
        """
        if connect.account or connect.new_account:
            return None
        door = self.door(origin)
        if self._authorizer is not None:
            return self._ask(connect, origin, nonce, address, now)
        if not door.required:
            return ANYBODY
        silent = not (connect.user or connect.password or connect.auth_token)
        if self._nkeys:
            nkey = connect.nkey or (door.no_auth_user if silent and door.no_auth_user in self._nkeys else "")
            if nkey:
                return self._by_nkey(nkey, connect, origin, nonce, door)
        if self._users:
            if door.maps:
                return self._by_certificate(connect, origin)
            if silent and door.no_auth_user in self._users:
                user = self._users[door.no_auth_user]
                return self._identity(user) if _may_come_by(user, origin) else None
            if connect.user:
                return self._by_password(connect, origin, door)
        if door.token:
            return _check(ANYBODY, door.token, connect.auth_token)
        if door.user:
            is_right = passwords.compare(door.user, connect.user)
            if not is_right and passwords.is_hash(door.password):
                return None
            verdict = _check(Identity(name=door.user), door.password, connect.password)
            return verdict if is_right else None
        return None

    # The ways to be somebody

    def _by_nkey(self, nkey: str, connect: Connect, origin: Origin, nonce: str, door: _Door) -> Identity | None:
        user = self._nkeys.get(nkey)
        if user is None or not _may_come_by(user, origin):
            return None
        if nkey == door.no_auth_user:
            return self._identity(user)
        signature = _decode(connect.sig)
        try:
            is_good = bool(signature) and KeyPair.from_public(nkey).verify(nonce.encode(), signature)
        except NkeyError:
            return None
        return self._identity(user) if is_good else None

    def _by_certificate(self, connect: Connect, origin: Origin) -> Verdict:
        if origin.certificate is None:
            return None
        assert self._certificates is not None
        name = self._certificates.find(origin.certificate, lambda name: _may_come_by(self._users[name], origin))
        if name is None:
            return None
        if connect.user:
            log.warning("User %s found in connect proto, but user required from cert", quote(connect.user.encode("utf-8", "replace")))
        return _check(self._identity(self._users[name]), self._users[name].password, connect.password)

    def _by_password(self, connect: Connect, origin: Origin, door: _Door) -> Verdict:
        user = self._users.get(connect.user, _NOBODY)
        if user is _NOBODY or not _may_come_by(user, origin):
            passwords.compare(_NOBODY.password, connect.password)
            return None
        if not user.password and user.user != door.no_auth_user and self._is_for_certificates(user):
            return None
        return _check(self._identity(user), user.password, connect.password)

    def _is_for_certificates(self, user: User) -> bool:
        """True if a user without a password is one that some certificate names: then nothing else does."""
        kinds = user.connection_types
        by_tcp = self._by_tcp.maps and (kinds is None or "STANDARD" in kinds)
        return by_tcp or (self._by_websocket.maps and (kinds is None or "WEBSOCKET" in kinds))

    def _identity(self, user: User) -> Identity:
        return Identity(name=user.nkey or user.user, account=user.account, permissions=self._permissions(user), deadline=user.deadline)

    def _permissions(self, user: User) -> Permissions | None:
        return user.permissions or self._default_permissions(user.account)

    def _default_permissions(self, account: str) -> Permissions | None:
        return self._defaults.get(account) or self._default

    # The authorizer

    def _ask(self, connect: Connect, origin: Origin, nonce: str, address: str, now: float) -> Verdict:
        assert self._authorizer is not None
        request = AuthRequest(
            user=connect.user, password=connect.password, token=connect.auth_token, nkey=connect.nkey, jwt=connect.jwt,
            nonce=nonce, signature=_decode(connect.sig), name=connect.name, lang=connect.lang, version=connect.version,
            address=address, origin=origin,
        )  # fmt: skip
        conclude = partial(self._conclude, connect.user or connect.nkey, now)
        try:
            answer = self._authorizer(request)
        except Exception as error:  # the safety net: a bug of the authorizer's refuses one client
            return conclude(error)
        return Awaited(answer, conclude) if inspect.isawaitable(answer) else conclude(answer)

    def _conclude(self, name: str, now: float, answer: Any) -> Identity | None:
        """Make a verdict of what the authorizer has answered, or of what it has raised."""
        if answer is None or answer is False:
            return None
        if answer is True:
            answer = Identity(name=name)
        if isinstance(answer, BaseException):
            self._complain(type(answer).__name__ + _where(answer), now)
        elif not isinstance(answer, Identity):
            self._complain(f"it returned a {type(answer).__name__}, and not None, a bool or an Identity", now)
        elif answer.account not in self._accounts:
            self._complain("there is no account of the name that it returned", now)
        else:
            return self._with_permissions(answer, now)
        return None

    def _with_permissions(self, identity: Identity, now: float) -> Identity | None:
        permissions = identity.permissions or self._default_permissions(identity.account)
        try:
            self.policy(permissions)
        except (TypeError, ValueError, AttributeError):
            self._complain("it returned permissions with a subject that is none", now)
            return None
        return Identity(name=identity.name, account=identity.account, permissions=permissions, deadline=identity.deadline)

    def _complain(self, what: str, now: float) -> None:
        """Log what is wrong with the authorizer: each kind of fault once a minute at most, however many clients run into it."""
        last = self._faults.get(what)
        if last is not None and now - last < FAULT_SECONDS:
            return
        if len(self._faults) >= MAX_FAULTS:
            self._faults.clear()
        self._faults[what] = now
        log.error("The authorizer failed, clients are refused: %s", what)


def _tcp_door(options: ServerOptions) -> _Door:
    required = options.auth_required
    return _Door(
        required=required, announced=required and not options.no_auth_user, timeout=options.auth_timeout,
        ping_interval=options.ping_interval, no_auth_user=options.no_auth_user, implicit_user=options.no_auth_user,
        user=options.user or "", password=options.password or "", token=options.token or "",
        maps=options.tls is not None and options.tls.verify_and_map,
    )  # fmt: skip


def _websocket_door(options: ServerOptions) -> _Door:
    """The door of clients by WebSocket, whose credentials replace the server's where it has any."""
    door = _tcp_door(options)
    own = options.websocket
    if own is None:
        return door
    replaces = bool(own.user or own.token or own.no_auth_user)
    required = door.required or replaces
    return _Door(
        required=required, announced=required, timeout=own.auth_timeout or options.auth_timeout,
        ping_interval=own.ping_interval or options.ping_interval,
        no_auth_user=own.no_auth_user if replaces else door.no_auth_user, implicit_user=own.no_auth_user or door.no_auth_user,
        user=own.user if replaces else door.user, password=own.password if replaces else door.password,
        token=own.token if replaces else door.token, maps=own.tls is not None and own.tls.verify_and_map,
    )  # fmt: skip


def _may_come_by(user: User, origin: Origin) -> bool:
    return not user.connection_types or origin.kind in user.connection_types


def _check(identity: Identity, wanted: str, given: str) -> Verdict:
    """Return the identity where the password is right, or what that depends on where it takes long to find out."""
    if passwords.is_hash(wanted):
        return Computed(partial(_compute, identity, wanted, given))
    return identity if passwords.compare(wanted, given) else None


def _compute(identity: Identity, wanted: str, given: str) -> Identity | None:
    return identity if passwords.compare(wanted, given) else None


def _decode(signature: str) -> bytes:
    """Return the bytes of a signature: base64 for URLs without padding, or standard base64 with it. Nothing where it is neither."""
    if _URL_SAFE.fullmatch(signature):
        signature = signature.translate(_TO_STANDARD) + "=" * (-len(signature) % 4)
    try:
        return base64.b64decode(signature, validate=True)
    except ValueError:  # binascii.Error, or not ASCII
        return b""


def _where(error: BaseException) -> str:
    """Return where an error was raised, without what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
