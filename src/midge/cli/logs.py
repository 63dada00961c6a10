"""The log of ``midge serve``, in nats-server's form: ``[PID] 2026/08/01 12:34:56.123456 [INF] text``.

Other programs read it: they wait for "Listening for client connections on" and for "Server is ready", and look for "[FTL]". One
record is one line, whatever its text holds: what cannot be printed is escaped, so that no client can write lines of its own. The
one exception is the traceback of an internal error, which follows its line.

Debug and trace are switched apart, as in nats-server, although trace is the lower level of the two.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import IO, Any

from midge.server.trace import LEVEL as TRACE

__all__ = ["Format", "LogFile", "set_levels", "start"]

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
    """A log file that can be opened anew after it was moved away.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def reopen(self) -> None:
        """Go on in a new file of the same name; where it cannot be opened, OSError is raised and the old one goes on."""
        stream = self._open()
        self.acquire()
        try:
            self.stream, old = stream, self.stream
            old.close()
        finally:
            self.release()

    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _PERMISSIONS)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)


def start(path: str = "", *, debug: bool = False, trace: bool = False, stamp: bool = True, utc: bool = False) -> logging.Handler:
    """Send the process's log to stderr, or to a file; return the handler. asyncio's own warnings go the same way.

    Raises:
        OSError: the file cannot be opened.
    """
    handler: logging.Handler = LogFile(path) if path else logging.StreamHandler(sys.stderr)
    set_levels(handler, debug=debug, trace=trace, stamp=stamp, utc=utc)
    logging.getLogger().addHandler(handler)
    return handler


def set_levels(handler: logging.Handler, *, debug: bool, trace: bool, stamp: bool, utc: bool) -> None:
    """Say what is logged from now on, and how."""
    handler.setFormatter(Format(stamp=stamp, utc=utc, colours=not isinstance(handler, LogFile) and _is_terminal(sys.stderr)))
    handler.filters = [_no_debug] if trace and not debug else []
    logging.getLogger("midge").setLevel(TRACE if trace else logging.DEBUG if debug else logging.INFO)


def _no_debug(record: logging.LogRecord) -> bool:
    return record.levelno != logging.DEBUG


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and stream.isatty()


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
