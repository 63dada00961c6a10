"""Who goes first, so that a bench of delays measures a server and not the scheduler: the probe, the server, the load, the rest.

All of it is tried and none of it is needed: without the rights, everything runs at normal priority. Linux may share the
processor between sessions first (autogroups), and then the niceness of a process counts only inside its own session;
so server and load get sessions of their own, which are raised as a whole. Nothing but our own processes is touched.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

SERVER_NICE, LOAD_NICE = -10, -5


def rise() -> str:
    """The highest priority that the system gives."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "real-time"
    except OSError:
        pass  # not allowed here: the next best
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        return "nice -20"
    except OSError:
        return "normal"


def raised(command: list[str]) -> list[str]:
    """The command in a session of its own, above normal priority where the system allows it."""
    return ["setsid", *(("nice", "-n", str(SERVER_NICE)) if may_raise() else ()), *command]


def stand_apart() -> None:
    """A process of the load leaves our group, and is raised with all its threads."""
    os.setsid()
    if favour(os.getpid(), LOAD_NICE):
        os.setpriority(os.PRIO_PROCESS, 0, LOAD_NICE)


def favour(pid: int, nice: int) -> bool:
    """Raise the scheduling group of a session leader: Linux may share its time between sessions first, where the
    niceness of a process counts only inside of its own. False where we may not; without such groups, nothing to do."""
    group = Path(f"/proc/{pid}/autogroup")
    try:
        if group.exists():
            group.write_text(str(nice))
        return may_raise()
    except OSError:
        return False


@functools.cache
def may_raise() -> bool:
    """Whether the system lets us run something above normal priority."""
    try:
        return not subprocess.run(["nice", "-n", str(SERVER_NICE), "true"], capture_output=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return False
