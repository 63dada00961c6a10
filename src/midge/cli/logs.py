"""The log of ``midge serve``, in nats-server's form: ``[PID] 2026/08/01 12:34:56.123456 [INF] text``.

Other programs read it: they wait for "Listening for client connections on" and for "Server is ready", and look for "[FTL]". One
record is one line, whatever its text holds: what cannot be printed is escaped, so that no client can write lines of its own. The
one exception is the traceback of an internal error, which follows its line.

Debug and trace are switched apart, as in nats-server, although trace is the lower level of the two.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from typing import IO, Any

from midge.quote import quote
from midge.server.trace import LEVEL as TRACE

__all__ = ["Format", "LogFile", "open_log", "replace", "set_levels", "start"]

# level: label, colour
_LABELS = {
    TRACE: ("TRC", "33"),
    logging.DEBUG: ("DBG", "36"),
    logging.INFO: ("INF", "32"),
    logging.WARNING: ("WRN", "0;93"),
    logging.ERROR: ("ERR", "31"),
    logging.CRITICAL: ("FTL", "31"),
}
_LEVELS = sorted(_LABELS, reverse=True)
_PERMISSIONS = 0o640
_BACKUP = "%Y.%m.%d.%H.%M.%S"
_STAMP = re.compile(r"\.\d{4}(\.\d\d){5}\.\d{9}")


class Format(logging.Formatter):
    """Turns a record into nats-server's line."""

    def __init__(self, *, stamp: bool = True, utc: bool = False, colours: bool = False) -> None:
        super().__init__()
        self._stamp = stamp
        self._clock = time.gmtime if utc else time.localtime
        self._labels = {level: f"\x1b[{colour}m{label}\x1b[0m" if colours else label for level, (label, colour) in _LABELS.items()}
        self._prefix = f"[{os.getpid()}] "

    def format(self, record: logging.LogRecord) -> str:
        level = next((level for level in _LEVELS if record.levelno >= level), TRACE)
        line = f"{self._prefix}{self._time(record.created)}[{self._labels[level]}] {_printable(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def _time(self, created: float) -> str:
        if not self._stamp:
            return ""
        seconds, micros = divmod(int(created * 1_000_000), 1_000_000)
        return f"{time.strftime('%Y/%m/%d %H:%M:%S', self._clock(seconds))}.{micros:06d} "


class LogFile(logging.FileHandler):
    """A log file that can be opened anew after it was moved away, and that moves itself away when it is too long.

    Args:
        path: the file.
        limit: bytes after which it is renamed, as nats-server names it, and a new one begun; 0 for none.
        max_files: how many files may be there, this one among them; older ones are deleted. 0 for any number.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str, limit: int = 0, max_files: int = 0) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._wanted_limit = self._limit = limit
        self._max_files = max_files

    def reopen(self) -> None:
        """Go on in a new file of the same name; where it cannot be opened, OSError is raised and the old one goes on."""
        stream = self._open()
        self.acquire()
        try:
            self.stream, old = stream, self.stream
            old.close()
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if self._limit and self.stream is not None and os.fstat(self.stream.fileno()).st_size > self._limit:
            self._rotate()

    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _PERMISSIONS)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def _rotate(self) -> None:
        """Move the file away and begin a new one; where that fails, try again when this one is twice as long."""
        now = time.time_ns()
        backup = f"{self.baseFilename}.{time.strftime(_BACKUP, time.localtime(now // 10**9))}.{now % 10**9:09d}"
        try:
            os.rename(self.baseFilename, backup)
            self.reopen()
        except OSError as error:
            self._limit *= 2
            self._say(logging.ERROR, f"Unable to rotate the log ({error}), will attempt next rotation at size {self._limit}")
            return
        self._limit = self._wanted_limit
        self._say(logging.INFO, f"Rotated log, backup saved as {_in_quotes(backup)}")
        if self._max_files:
            self._purge()

    def _purge(self) -> None:
        """Delete the oldest files: so many are left, this one among them."""
        directory, name = os.path.split(self.baseFilename)
        try:
            backups = sorted(each for each in os.listdir(directory) if each.startswith(name) and _STAMP.fullmatch(each, len(name)))
            for backup in backups[: max(len(backups) - (self._max_files - 1), 0)]:
                os.remove(os.path.join(directory, backup))
                self._say(logging.INFO, f"Purged log file {_in_quotes(backup)}")
        except OSError as error:
            self._say(logging.ERROR, f"Unable to purge log files ({error}), will attempt next rotation")

    def _say(self, level: int, text: str) -> None:
        super().emit(logging.LogRecord("midge.server", level, __file__, 0, text, None, None))


def start(
    path: str = "",
    *,
    debug: bool = False,
    trace: bool = False,
    stamp: bool = True,
    utc: bool = False,
    limit: int = 0,
    max_files: int = 0,
) -> logging.Handler:
    """Send the process's log to stderr, or to a file; return the handler. asyncio's own warnings go the same way.

    Raises:
        OSError: the file cannot be opened.
    """
    handler = open_log(path, limit, max_files)
    set_levels(handler, debug=debug, trace=trace, stamp=stamp, utc=utc)
    logging.getLogger().addHandler(handler)
    return handler


def open_log(path: str, limit: int, max_files: int) -> logging.Handler:
    """Return what writes to stderr, or to a file, and is not used yet; the arguments are those of ``LogFile``.

    Raises:
        OSError: the file cannot be opened.
    """
    return LogFile(path, limit, max_files) if path else logging.StreamHandler(sys.stderr)


def replace(old: logging.Handler, new: logging.Handler) -> None:
    """Let the process's log go another way; what went the old one is closed. They may be the same."""
    if new is not old:
        logging.getLogger().addHandler(new)
        logging.getLogger().removeHandler(old)
        old.close()


def set_levels(handler: logging.Handler, *, debug: bool, trace: bool, stamp: bool, utc: bool) -> None:
    """Say what is logged from now on, and how."""
    handler.setFormatter(Format(stamp=stamp, utc=utc, colours=not isinstance(handler, LogFile) and _is_terminal(sys.stderr)))
    handler.filters = [_no_debug] if trace and not debug else []
    logging.getLogger("midge").setLevel(TRACE if trace else logging.DEBUG if debug else logging.INFO)


def _no_debug(record: logging.LogRecord) -> bool:
    return record.levelno != logging.DEBUG


def _in_quotes(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"))


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and stream.isatty()


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
