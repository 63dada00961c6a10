"""``--signal``: tells a server that runs in another process to reload, to stop and so on."""

from __future__ import annotations

import os
import re
import signal
import subprocess

from midge.cli.flags import in_quotes

__all__ = ["send_signal"]

_NAME = "nats-server"
_COMMANDS = {
    "stop": signal.SIGKILL,
    "quit": signal.SIGINT,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
    "ldm": signal.SIGUSR2,
    "term": signal.SIGTERM,
}
# What a server's command line begins with: a program of nats-server's name, or "midge serve", with Python in front of either.
_SERVER = re.compile(r"(?:\S*python[\d.]*\s+(?:-\S+\s+)*)?(?:\S*/)?(?:nats-server(?:\s|$)|(?:-m\s+)?midge\s+serve(?:\s|$))")
_LOOK_SECONDS = 10


def send_signal(text: str) -> None:
    """Send what ``command``, ``command=PID``, ``command=PIDFILE`` or ``command=PREFIX*`` says.

    Raises:
        ValueError: there is no such command, or no such process; the text is nats-server's.
    """
    command, *more = text.split("=")
    if len(more) > 1:
        raise ValueError(f"invalid signal parameters: [{' '.join(more[1:])}]")
    wanted = _read(more[0]) if more else ""
    prefix = wanted.removesuffix("*")
    is_pattern = wanted.endswith("*")
    if prefix and re.fullmatch(r"[+-]?[0-9]{1,18}", prefix) is None:
        raise ValueError(f"invalid pid: {prefix}")
    processes = _servers() if not prefix or is_pattern else [int(prefix)]
    if len(processes) > 1 and not is_pattern:
        raise ValueError("\n".join((f"multiple {_NAME} processes running:", *map(str, processes))))
    if not processes:
        raise ValueError(f"no {_NAME} processes running")
    number = _COMMANDS.get(command)
    if number is None:
        raise ValueError(f"unknown signal {in_quotes(command)}")
    failed = [
        f'signal "{command}" {process}: {reason}'
        for process in processes
        if str(process).startswith(prefix or "") and (reason := _kill(process, number))
    ]
    if failed:
        raise ValueError("\n".join(("", *failed)))


def _read(text: str) -> str:
    """Return what stands in the file of this name, or the text itself where there is none."""
    try:
        with open(text, encoding="utf-8", errors="replace") as file:
            return file.read(64)
    except (OSError, ValueError):
        return text


def _kill(process: int, number: signal.Signals) -> str:
    """Return why it did not work, or nothing."""
    if process <= 0:
        return "not the number of a process"  # but of a group of them, or of all
    try:
        os.kill(process, number)
    except (OSError, OverflowError) as error:
        return ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
    return ""


def _servers() -> list[int]:
    """Return the numbers of the processes that look like servers, this one left out."""
    try:
        done = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, timeout=_LOOK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        raise ValueError("unable to resolve pid, try providing one") from None
    found = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return [int(pair[0]) for pair in found if len(pair) == 2 and int(pair[0]) != os.getpid() and _SERVER.match(pair[1])]
