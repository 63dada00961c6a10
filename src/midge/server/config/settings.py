"""All that a server's process is told: the server's options, and what belongs to the process around it."""

from __future__ import annotations

from dataclasses import dataclass

from midge.server.options import ServerOptions

__all__ = ["NAMES", "Settings"]

# What each is called in a configuration.
NAMES = {
    "debug": "debug",
    "trace": "trace",
    "stamp": "logtime",
    "utc": "logtime_utc",
    "log_file": "log_file",
    "log_size_limit": "logfile_size_limit",
    "log_max_files": "logfile_max_num",
    "pid_file": "pid_file",
    "ports_dir": "ports_file_dir",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What command line and file ask for.

    Attributes:
        options: the server's.
        debug, trace: what is logged beyond the usual.
        stamp, utc: whether log lines have the time, and whether it is UTC.
        log_file: where the log goes, stderr where empty.
        log_size_limit: bytes, from which on a new log file is begun; 0 for any number.
        log_max_files: how many log files there may be, the current one among them; 0 for any number.
        pid_file: where the process writes its number.
        ports_dir: where it writes a file that says where to connect.
    """

    options: ServerOptions
    debug: bool = False
    trace: bool = False
    stamp: bool = True
    utc: bool = False
    log_file: str = ""
    log_size_limit: int = 0
    log_max_files: int = 0
    pid_file: str = ""
    ports_dir: str = ""
