"""What ``midge serve`` is asked for: the command line, the configuration file that it names, and what both say together.

A flag that was given has precedence over the file. ``settings_of`` reads the file each time that it is called: that is how a
reload finds what is new.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass, field, replace
from typing import Any

from midge.cli import flags
from midge.server.config import settings as process
from midge.server.config.errors import ConfigError, Fault
from midge.server.listener_options import ServerTLS
from midge.server.options import ServerOptions

__all__ = ["TEMPORARY_STORE", "USAGE", "Settings", "reload_settings", "settings_of", "tls_usage"]

TEMPORARY_STORE = os.path.join(tempfile.gettempdir(), "midge")
_HOST = "0.0.0.0"
# Fields of Settings, and what the flags for them are called.
_SETTINGS = {
    "debug": "debug", "trace": "trace",
    "stamp": "logtime", "utc": "logtime_utc", "log_file": "log_file", "log_size_limit": "log_size_limit",
    "pid_file": "pid_file", "ports_dir": "ports_dir",
}  # fmt: skip

USAGE = """
Usage: midge serve [options]

Server Options:
    -a, --addr, --net <host>         Bind to host address (default: 0.0.0.0)
    -p, --port <port>                Use port for clients
                                     (default: 4222; -1 takes a free one)
    -n, --name
        --server_name <server_name>  Server name (default: auto)
    -P, --pid <file>                 File to store PID
    -m, --http_port <port>           Use port for http monitoring
    -ms,--https_port <port>          Use port for https monitoring
    -c, --config <file>              Configuration file
    -t                               Test configuration and exit
    -sl,--signal <signal>[=<pid>]    Send signal to a server's process
                                     (ldm, stop, quit, term, reopen, reload);
                                     <pid> is a PID or the path of a PID file
    -js,--jetstream                  Enable JetStream, for streams
    -sd,--store_dir <dir>            Directory to keep streams in
        --client_advertise <string>  Client URL to advertise to clients
        --ports_file_dir <dir>       Creates a ports file in the specified
                                     directory (nats-server_<pid>.ports)

Logging Options:
    -l, --log <file>                 File to redirect log output
                                     (SIGUSR1 opens it anew)
    -T, --logtime                    Timestamp log entries (default: true)
        --logtime_utc                Timestamps in UTC instead of local
                                     timezone (default: false)
    -D, --debug                      Enable debugging output
    -V, --trace                      Trace the raw protocol
    -VV                              The same
    -DV, -DVV                        Debug and trace
        --log_size_limit <limit>     Logfile size limit (default: auto)
        --max_traced_msg_len <len>   Maximum printable length for traced
                                     messages (default: unlimited)

Authorization Options:
        --user <user>                User required for connections
        --pass <password>            Password required for connections
        --auth <token>               Token required for connections

TLS Options:
        --tls                        Enable TLS, do not verify clients
                                     (default: false)
        --tlscert <file>             Server certificate file
        --tlskey <file>              Private key for server certificate
        --tlsverify                  Enable TLS, verify client certificates
        --tlscacert <file>           Client certificate CA for verification

Common Options:
    -h, --help                       Show this message
    -v, --version                    Show version
        --help_tls                   TLS help
"""

_TLS_USAGE = """
TLS configuration is specified in the tls section of a configuration file:

e.g.

    tls {{
        cert_file:      "./certs/server-cert.pem"
        key_file:       "./certs/server-key.pem"
        ca_file:        "./certs/ca.pem"
        verify:         true
        verify_and_map: true

        cipher_suites: [
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        ]
        curve_preferences: [
            "CurveP256",
            "CurveP384",
            "CurveP521"
        ]
    }}

Available cipher suites include:
{ciphers}

Available curve preferences include:
{curves}
"""


@dataclass(frozen=True, slots=True)
class Settings(process.Settings):
    """What command line and file ask for, and the command line itself, for the next time."""

    parsed: flags.Parsed = field(default_factory=flags.Parsed, compare=False, repr=False)


def tls_usage() -> str:
    """Return what ``--help_tls`` says."""
    from midge.server.config.tls import CIPHERS, CURVES, INSECURE_CIPHERS

    return _TLS_USAGE.format(
        ciphers="\n".join(f"    {name}" for name in CIPHERS + INSECURE_CIPHERS), curves="\n".join(f"    {name}" for name in CURVES)
    )


def reload_settings(settings: Settings) -> Settings:
    """Return what the same command line asks for now.

    Raises:
        ValueError: as ``settings_of``; or there is no file.
    """
    if not settings.parsed.values.get("config"):
        raise ValueError("can only reload config when a file is provided using -c or --config")
    return settings_of(settings.parsed)


def settings_of(parsed: flags.Parsed) -> Settings:
    """Return what a command line and its file ask for, with nats-server's defaults.

    Raises:
        ConfigError: the file cannot be read, or there is something wrong in it.
        ValueError: something is asked for that midge does not do, or that makes no sense.
    """
    if parsed.rest:
        raise ValueError(f"unrecognized command: {flags.in_quotes(parsed.rest[0])}")
    if parsed.refused:
        one = len(parsed.refused) == 1
        names = ", ".join(f"-{name}" for name in parsed.refused)
        raise ValueError(f"flag{'' if one else 's'} {names} {'is' if one else 'are'} not supported yet by midge")
    values = _spread(parsed.values)
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    path, checks = str(values.get("config", "")), bool(values.get("check"))
    if path:
        from midge.server.config.load import load  # with its language, which a server without a file does without

        found = load(path)
        if found.warnings and checks:
            raise ConfigError((), found.warnings)
        for warning in found.warnings:
            print(warning, file=sys.stderr)
        options, settings = found.options, found.settings
    elif checks:
        raise ConfigError(["must specify [-c, --config] option to check configuration file syntax"])
    _override(options, values)
    settings.update({name: values[flag] for name, flag in _SETTINGS.items() if flag in values})
    if path:
        from midge.server.config.check import check, unchecked

        options = unchecked(options) if checks else options
        check(options)
    try:
        made = ServerOptions(**options)
    except ValueError as error:
        if path:
            raise ConfigError([str(error)]) from None
        raise
    return Settings(made, parsed=parsed, **settings)


def _spread(values: dict[str, bool | int | str]) -> dict[str, bool | int | str]:
    """Return the values with what the flags mean that stand for two."""
    found = dict(values)
    for both, debug in (("DV", True), ("DVV", True), ("VV", False)):  # the order in which nats-server lets them win
        if both in found:
            found["trace"] = found[both]
            if debug:
                found["debug"] = found[both]
    return found


def _override(options: dict[str, Any], values: dict[str, bool | int | str]) -> None:
    """Put what flags say in the place of what the file says."""
    name = str(values.get("name", ""))
    if " " in name:
        raise ValueError("server name cannot contain spaces")
    for each in ("host", "port", "name", "http_port", "https_port", "client_advertise", "max_traced_msg_len"):
        if values.get(each):
            options[each] = values[each]
        elif each in values:
            options.pop(each, None)  # zero and nothing stand for the default
    options.setdefault("host", _HOST)
    port = int(options.get("port", 0))
    if not -1 <= port <= 65535:
        raise ValueError(f"port {port}: expected 1 to 65535, or -1 for a free one")
    for each, flag in (("user", "--user"), ("password", "--pass"), ("token", "--auth")):
        if each in values:
            options[each] = _secret(values[each], flag)
    _override_jetstream(options, values)
    _override_tls(options, values)


def _override_jetstream(options: dict[str, Any], values: dict[str, bool | int | str]) -> None:
    """Switch streams on or off. A directory alone does not, and where there is none, it is one for temporary files, as there."""
    if values.get("store_dir"):
        options["store_dir"] = values["store_dir"]
    is_on = options.get("jetstream", False)
    if "jetstream" in values and not (values["jetstream"] and is_on):
        is_on = values["jetstream"]  # options from the file stay
    options["jetstream"] = is_on
    if is_on and not options.get("store_dir"):
        options["store_dir"] = TEMPORARY_STORE


def _override_tls(options: dict[str, Any], values: dict[str, bool | int | str]) -> None:
    names = ("tls", "tls_verify", "tls_cert", "tls_key", "tls_ca")
    if values.get("tls") is False:
        options.pop("tls", None)
        return
    if not any(name in values for name in names):
        return
    if not values.get("tls_cert"):
        raise ValueError("TLS Server certificate must be present and valid")
    if not values.get("tls_key"):
        raise ValueError("TLS Server private key must be present and valid")
    from midge.server.config.tls import check_files

    given = ServerTLS(
        cert_file=str(values["tls_cert"]),
        key_file=str(values["tls_key"]),
        ca_file=str(values.get("tls_ca", "")),
        verify=bool(values.get("tls_verify", False)),
    )
    try:
        check_files(None, given)
    except Fault as fault:
        raise ConfigError([str(fault)]) from None
    old = options.get("tls")
    options["tls"] = given if old is None else replace(given, timeout=old.timeout, handshake_first=old.handshake_first)
    options.setdefault("auth_timeout", options["tls"].timeout + 1.0)


def _secret(value: bool | int | str, flag: str) -> str:
    """Return what clients must present.

    Raises:
        ValueError: it is empty. nats-server takes that for none, and lets everybody in where a variable was not set.
    """
    if value == "":
        raise ValueError(f"{flag} is empty, which would let everybody in: leave it out if that is meant")
    return str(value)
