"""The server that a command talks to: the options every such command has, and the connection they make.

The environment variables and contexts are those of the ``nats`` command. A password or a token belongs there rather than on the command
line, which other users of the machine can read; a seed or a JWT belongs into a file.
"""

from __future__ import annotations

import asyncio
import math
import signal
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import midge
from midge.cli.context_file import Contexts, target_fields
from midge.cli.output import printable
from midge.errors import DisconnectedError, MidgeError
from midge.server.thread import new_event_loop

if TYPE_CHECKING:
    from midge.client.connect import Connecting
    from midge.client.options import ErrorCallback
    from midge.client.tls_config import TLSConfig
    from midge.events import Event
    from midge.server.server import Server

__all__ = ["Target", "complete_contexts", "connection_options", "run_async", "target_of", "target_options"]

T = TypeVar("T")
DEFAULT_URL = "nats://127.0.0.1:4222"
DEFAULT_TIMEOUT = 5.0
TERMINATED = 128 + signal.SIGTERM
NAMES = ("server", "user", "password", "token", "creds", "nkey", "tlsca", "tlscert", "tlskey", "tlsfirst", "timeout", "domain", "prefix")
WHO = ("user", "password", "token", "creds", "nkey", "jwt", "seed")
WHICH = ("domain", "prefix")
_FILE = click.Path(path_type=Path)  # that it can be read is found out at each attempt


class Seconds(click.FloatRange):
    """A number of seconds that a clock can reach: neither infinite nor NaN, which compares with nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how; and the errors that no call raised, such as a publish that the server refused."""

    server: str | Server = DEFAULT_URL
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    creds: Path | None = None
    nkey: Path | None = None
    tlsca: Path | None = None
    tlscert: Path | None = None
    tlskey: Path | None = None
    tlsfirst: bool = False
    timeout: float = DEFAULT_TIMEOUT
    domain: str | None = None
    prefix: str | None = None
    inbox_prefix: str | None = None
    jwt: str | None = field(default=None, repr=False)
    seed: str | None = field(default=None, repr=False)
    errors: list[Exception] = field(default_factory=list)

    def connect(self, name: str, on_error: ErrorCallback | None = None) -> Connecting:
        """Return a connection to await or to enter, which ends where its server goes away.

        Errors without a caller go to ``on_error``, or to ``errors``.

        Raises:
            MidgeError: an option makes no sense.
        """
        return self._connect(name, on_error or self.errors.append, max_reconnects=0)

    def connect_for_good(self, name: str) -> Connecting:
        """Return a connection that outlives its server: it connects again, and says so on stderr. Otherwise as ``connect``."""

        def report(error: Exception) -> None:
            if not isinstance(error, DisconnectedError):  # it is said as an event, and need not be the end of anything
                self.errors.append(error)

        return self._connect(name, report, event_callback=_tell)

    def _connect(self, name: str, report: ErrorCallback, **options: Any) -> Connecting:
        if self.inbox_prefix is not None:
            options["inbox_prefix"] = self.inbox_prefix
        try:
            return midge.connect(
                self.server,
                name=name,
                user=self.user,
                password=self.password,
                token=self.token,
                creds=self.creds,
                nkey_seed=self.nkey if self.seed is None else self.seed,
                jwt=self.jwt,
                tls=self._tls(),
                timeout=self.timeout,
                error_callback=report,
                **options,
            )
        except ValueError as error:
            raise MidgeError(str(error)) from error

    def _tls(self) -> TLSConfig | None:
        """Return what the options say of TLS; any of them means TLS or nothing."""
        if not (self.tlsca or self.tlscert or self.tlskey or self.tlsfirst):
            return None
        return midge.TLSConfig(ca_file=self.tlsca, cert_file=self.tlscert, key_file=self.tlskey, handshake_first=self.tlsfirst)

    def raise_errors(self) -> None:
        """Raise the first error that no call raised, if there is one."""
        if self.errors:
            raise self.errors[0]


def _tell(event: Event) -> None:
    """Say that the server went away or is back."""
    if isinstance(event, midge.events.Disconnected):
        click.echo(printable(f"Disconnected from {event.url}: {event.error}"), err=True)
    elif isinstance(event, midge.events.Reconnected):
        click.echo(printable(f"Connected again to {event.url}"), err=True)


def target_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options of a Target, and the Target as its first argument."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> T:
        given = {name: kwargs.pop(name) for name in NAMES if name in kwargs}
        return command(target_of(kwargs.pop("context"), given), *args, **kwargs)

    option = click.option(
        "--context", metavar="NAME", envvar="NATS_CONTEXT", shell_complete=complete_contexts, help="Where, and who. [env: NATS_CONTEXT]"
    )
    return option(connection_options(wrapper))


def target_of(context: str | None, given: dict[str, Any]) -> Target:
    """Return the Target that options and a context make: an option wins over the context, and who one is comes from one of them.

    Args:
        context: its name; None for the one that is selected, unless a server is given: who somebody is elsewhere is not told to it.
        given: fields of a Target; None, or False, for what was not given.

    Raises:
        MidgeError: there is no such context, or it cannot be used.
    """
    contexts = Contexts()
    name = context or (contexts.selected if given.get("server") is None else None)
    found = {} if name is None else target_fields(name, contexts.load(name))
    chosen = {field: value for field, value in given.items() if value is not None and value is not False}
    for together in (WHO, WHICH):
        if not chosen.keys().isdisjoint(together):
            found = {field: value for field, value in found.items() if field not in together}
    return Target(**(found | chosen))


def connection_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options that say where to connect and how, as the fields of a Target."""
    options = [
        click.option(
            "--server", "-s", metavar="URL", envvar="NATS_URL", help=f"The server; {DEFAULT_URL} without a context. [env: NATS_URL]"
        ),
        click.option("--user", envvar="NATS_USER", help="The user's name. [env: NATS_USER]"),
        click.option("--password", envvar="NATS_PASSWORD", help="The user's password. [env: NATS_PASSWORD]"),
        click.option("--token", envvar="NATS_TOKEN", help="An authorization token. [env: NATS_TOKEN]"),
        click.option("--creds", metavar="FILE", type=_FILE, envvar="NATS_CREDS", help="A creds file: JWT and seed. [env: NATS_CREDS]"),
        click.option("--nkey", metavar="FILE", type=_FILE, envvar="NATS_NKEY", help="A file with a user's nkey seed. [env: NATS_NKEY]"),
        click.option("--tlsca", metavar="FILE", type=_FILE, envvar="NATS_CA", help="Who may sign the server's certificate. [env: NATS_CA]"),
        click.option("--tlscert", metavar="FILE", type=_FILE, envvar="NATS_CERT", help="A certificate to show. [env: NATS_CERT]"),
        click.option("--tlskey", metavar="FILE", type=_FILE, envvar="NATS_KEY", help="The certificate's key. [env: NATS_KEY]"),
        click.option("--tlsfirst", is_flag=True, envvar="NATS_TLSFIRST", help="Begin TLS before the server speaks. [env: NATS_TLSFIRST]"),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=Seconds(min=0, min_open=True),
            default=DEFAULT_TIMEOUT,
            show_default=True,
            help="How long to wait for the server, and for an answer.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def complete_contexts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of contexts that begin so, for a shell."""
    return [name for name in Contexts().names() if name.startswith(incomplete)]


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end, in the fastest event loop there is; SIGTERM ends it as tidily as an interrupt.

    Raises:
        click.exceptions.Exit: with 143, after that signal.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_until_terminated(main))


async def _until_terminated(main: Coroutine[Any, Any, T]) -> T:
    task, is_told = asyncio.current_task(), False
    assert task is not None

    def tell() -> None:
        nonlocal is_told
        is_told = True
        task.cancel()

    loop, is_main = asyncio.get_running_loop(), threading.current_thread() is threading.main_thread()
    if is_main:
        loop.add_signal_handler(signal.SIGTERM, tell)
    try:
        return await main
    except asyncio.CancelledError:
        if is_told:
            raise click.exceptions.Exit(TERMINATED) from None
        raise
    finally:
        if is_main:
            loop.remove_signal_handler(signal.SIGTERM)  # what may be waited for yet is a thread: another signal ends that
