"""A running server goes on with other options: what may change, and what that means for the sessions that there are.

What nats-server cannot change without being started again, cannot be changed here; then nothing is changed. Its words, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from midge.durations import show_duration
from midge.server.identity import ANYBODY, Awaited, Computed, Identity, Pending
from midge.server.jetstream_options import check_change
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.server.options import ServerOptions
from midge.server.reasons import AUTHENTICATION_FAILURE, CLIENT_CLOSED, INTERNAL_ERROR, MAX_CONNECTIONS
from midge.wire.faults import ANSWER_AUTHORIZATION

if TYPE_CHECKING:
    from midge.server.hub import Hub
    from midge.server.session import Session

__all__ = ["FIXED", "apply", "changes"]

log = logging.getLogger("midge.server")

# What cannot be changed, and what nats-server calls it.
FIXED = {
    "host": "Host", "port": "Port", "name": "ServerName", "max_subscriptions": "MaxSubs", "max_pending": "MaxPending",
    "system_account": "SystemAccount", "no_auth_user": "NoAuthUser", "allow_non_tls": "AllowNonTLS", "websocket": "Websocket",
    "always_enable_nonce": "AlwaysEnableNonce", "no_header_support": "NoHeaderSupport", "max_sub_tokens": "MaxSubTokens",
    "max_closed_clients": "MaxClosedClients", "lame_duck_duration": "LameDuckDuration",
    "lame_duck_grace_period": "LameDuckGracePeriod", "http_host": "HTTPHost", "http_port": "HTTPPort", "https_port": "HTTPSPort",
    "http_base_path": "HTTPBasePath", "config_file": "ConfigFile",
}  # fmt: skip
_SECONDS = ("lame_duck_duration", "lame_duck_grace_period", "ping_interval", "write_deadline")
_SECRET = ("websocket",)  # there are passwords in it
_NO_NEWS = ("config_digest", "websocket")
_ACCOUNTS = ("accounts", "mappings", "max_payload")  # what accounts are made of
_AUTHENTICATION = ("user", "password", "token", "users", "default_permissions", "authorizer", *_ACCOUNTS)
# What the log says of those whose values it does not show.
_TEXTS = {
    "user": "authorization username", "password": "authorization password", "token": "authorization token",
    "accounts": "accounts", "mappings": "accounts", "server_tags": "tags", "server_metadata": "metadata",
    "default_permissions": "default permissions", "authorizer": "authorizer",
    "jetstream": "JetStream limits",
}  # fmt: skip


def changes(old: ServerOptions, new: ServerOptions) -> tuple[str, ...]:
    """Return the names of the options that differ.

    Raises:
        ValueError: one of them cannot be changed while a server runs.
    """
    found = []
    for each in fields(ServerOptions):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if before == after or (each.name == "port" and after in (0, -1)):  # any port will do: the one it has, too
            continue
        if each.name == "no_auth_user" and not after and all(before not in (user.user, user.nkey) for user in new.users):
            found.append(each.name)  # the user has gone, too
        elif each.name == "jetstream":
            check_change(before, after)
            found.append(each.name)
        elif each.name == "store_dir":
            raise ValueError("config reload not supported for jetstream storage directory")
        elif each.name == "websocket" and _is_same_but_for_tls(before, after):
            found.append(each.name)  # its certificates
        elif each.name in FIXED:
            values = "" if each.name in _SECRET else f": old={_shown(each.name, before)}, new={_shown(each.name, after)}"
            raise ValueError(f"config reload not supported for {FIXED[each.name]}{values}")
        else:
            found.append(each.name)
    return tuple(found)


def _is_same_but_for_tls(before: WebSocketListener | None, after: WebSocketListener | None) -> bool:
    if before is None or after is None or before.tls is None or after.tls is None:
        return False
    return replace(before, tls=after.tls) == after


def apply(hub: Hub, options: ServerOptions, along: Callable[[], None] | None = None) -> tuple[str, ...]:
    """Let the hub go on with these options; return the names of those that are new. Next: flush.

    Args:
        hub: the server's.
        options: what it goes on with.
        along: called before the log says that it is done.

    Raises:
        ValueError: as ``changes``. The hub goes on as before.
    """
    before = hub.options
    changed = changes(before, options)
    hub.set_options(options)
    sessions = list(hub.sessions.values())
    for line in dict.fromkeys(line for name in changed if name not in _NO_NEWS for line in _news(name, before, options)):
        log.info("%s", line)
    if any(name in _ACCOUNTS for name in changed):
        hub.renew_accounts()
    if any(name in _AUTHENTICATION for name in changed):
        stands = _standing(before, options)
        for session in sessions:
            try:
                _reconsider(hub, session, stands)
            except Exception:  # the safety net: the others must not stay as they were, with permissions that they have no more
                log.exception("%s - internal error, closing the connection", session.address)
                session.abort(INTERNAL_ERROR)
    if "max_control_line" in changed:
        for session in sessions:
            session.parser.set_limits(options.max_control_line, session.account.max_payload)
    if "max_connections" in changed:
        _close_surplus(sessions, options.max_connections)
    if along is not None:
        along()
    log.info("Reloaded server configuration%s", f" ({options.config_digest})" if options.config_digest else "")
    return changed


def _reconsider(hub: Hub, session: Session, stands: Callable[[Identity], bool]) -> None:
    """See whether a session would still be let in, and as whom."""
    if session.closing is not None:
        return
    if session.pending is not None:  # what it will be told was asked of others
        session.close(CLIENT_CLOSED)
        return
    identity: Identity | Pending | None = session.identity
    if session.identity.account not in hub.accounts or not stands(session.identity):
        identity = hub.admission.identify(session)
    if identity is None:
        session.send_error(ANSWER_AUTHORIZATION)
        session.close(AUTHENTICATION_FAILURE)
    elif not session.connected and isinstance(identity, Identity):
        hub.admission.reconsider(session, ANYBODY)  # it has yet to say who it is
    elif isinstance(identity, (Computed, Awaited)) or identity.account != session.identity.account:
        session.close(CLIENT_CLOSED)  # it comes again, and is let into the other one, or asked at leisure
        if isinstance(identity, Awaited):
            identity.drop()
    else:
        hub.admission.reconsider(session, identity)


def _standing(before: ServerOptions, now: ServerOptions) -> Callable[[Identity], bool]:
    """Return what says of whom nothing has changed: so nobody has to be asked, nor a hash compared, once more."""
    names = ("user", "password", "token", "authorizer", "default_permissions")
    is_same = all(getattr(before, name) == getattr(now, name) for name in names)
    are_same = before.users == now.users
    users = [{user.nkey or user.user: user for user in options.users} for options in (before, now)]
    defaults = [{each.name: each.default_permissions for each in options.accounts} for options in (before, now)]

    def stands(identity: Identity) -> bool:
        mine = users[0].get(identity.name) == users[1].get(identity.name) if identity.name else are_same
        return is_same and mine and defaults[0].get(identity.account) == defaults[1].get(identity.account)

    return stands


def _close_surplus(sessions: list[Session], limit: int) -> None:
    """Close those that came last."""
    surplus = [session for session in sessions if session.closing is None][limit:]
    for session in surplus:
        session.send_error("maximum connections exceeded")
        session.close(MAX_CONNECTIONS)
    if surplus:
        log.info("Closed %d connections to fall within max_connections", len(surplus))


def _news(name: str, before: ServerOptions, now: ServerOptions) -> Iterator[str]:
    """Say in nats-server's words that an option has changed."""
    value = getattr(now, name)
    if name in _TEXTS:
        yield f"Reloaded: {_TEXTS[name]}"
    elif name == "client_advertise":
        yield f"Reload: client_advertise = {value}"
    elif name == "auth_timeout":
        yield f"Reloaded: authorization timeout = {_plain(value)}"
    elif name == "users":
        if [each for each in before.users if not each.nkey] != [each for each in now.users if not each.nkey]:
            yield "Reloaded: authorization users"
        if [each for each in before.users if each.nkey] != [each for each in now.users if each.nkey]:
            yield "Reloaded: authorization nkey users"
    elif name == "tls":
        yield from _news_of_tls(before.tls, now.tls)
    else:
        yield f"Reloaded: {name} = {_shown(name, value)}"


def _news_of_tls(before: ServerTLS | None, now: ServerTLS | None) -> Iterator[str]:
    yield f"Reloaded: tls = {'disabled' if now is None else 'enabled'}"
    old, new = before or ServerTLS(), now or ServerTLS()
    if old.timeout != new.timeout:
        yield f"Reloaded: tls timeout = {_plain(new.timeout)}"
    if old.pinned_certs != new.pinned_certs:
        yield f"Reloaded: {len(new.pinned_certs)} pinned_certs"
    if bool(old.handshake_first) != bool(new.handshake_first):
        yield f"Reloaded: Client TLS handshake first: {str(bool(new.handshake_first)).lower()}"
    delays = [0.0 if isinstance(each, bool) else each for each in (old.handshake_first, new.handshake_first)]
    if delays[0] != delays[1]:
        yield f"Reloaded: Client TLS handshake first fallback delay: {show_duration(delays[1])}"


def _shown(name: str, value: Any) -> str:
    return show_duration(value) if name in _SECONDS else str(value)


def _plain(number: float) -> str:
    """Return a number as Go shows it: 2 for 2.0."""
    return repr(number).removesuffix(".0")
