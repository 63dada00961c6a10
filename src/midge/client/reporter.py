"""Reporter: where events go, and errors that no caller can be given.

    report(error)   ──► log ──► error callback ──► emit(ErrorOccurred), or the event that says the same with more in it
    emit(event)     ──► every stream of events ──► event callback ──► log, if nobody listens and it matters

Nothing here blocks or raises, whoever calls it in the loop's thread. The callbacks are called by Tellers, in tasks of their own. What
happens again and again is logged in full at first, then counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import fields
from typing import Any
from weakref import WeakSet

from midge.client.event_stream import MAX_EVENTS, EventStream
from midge.client.options import ErrorCallback, EventCallback
from midge.client.teller import Teller
from midge.events import Closed, ErrorOccurred, Event, LameDuck, Reconnected, ReconnectFailed, ServersDiscovered

__all__ = ["Reporter"]

log = logging.getLogger("midge.client")

MAX_WAITING = 1024  # errors that wait for a slow callback; it is not told of more, the log is
MAX_LINES = 10  # log lines about errors of one kind from one place, within
LOG_SECONDS = 1.0  # this long; then one line says how many more there were
MAX_KINDS = 256
# What nobody listens for is logged, so that a program that does not care about events can still be understood; errors are in any case,
# a lost connection is among them.
LEVELS: dict[type[Event], int] = {
    Reconnected: logging.WARNING, LameDuck: logging.WARNING,
    ReconnectFailed: logging.INFO, ServersDiscovered: logging.INFO,
}  # fmt: skip


class Reporter:
    """Tells one error callback, one event callback, any number of streams of events, and the log.

    Args:
        error_callback, event_callback: plain functions or coroutine functions, or None.
        run: starts a task that somebody looks after.

    Attributes:
        last_error: what was reported last.
    """

    def __init__(
        self, error_callback: ErrorCallback | None, event_callback: EventCallback | None,
        run: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:  # fmt: skip
        self.last_error: Exception | None = None
        self._errors = None if error_callback is None else Teller(error_callback, run, self._error_callback_failed)
        self._events = None if event_callback is None else Teller(event_callback, run, self._event_callback_failed)
        self._streams: WeakSet[EventStream] = WeakSet()
        self._awaited: set[EventStream] = set()
        self._closed: Closed | None = None
        self._counts: dict[tuple[int, str, str], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """Those that call the callbacks."""
        return {teller.task for teller in (self._errors, self._events) if teller is not None and teller.task is not None}

    def report(self, error: Exception, where: str = "") -> None:
        """Log an error, and tell the error callback and who listens for events; ``where`` says what it belongs to."""
        self.report_quietly(error, where)
        self.emit(ErrorOccurred(error, where))

    def report_quietly(self, error: Exception, where: str = "") -> None:
        """Report an error that an event of its own says, or that an event callback has made."""
        self.last_error = error
        self._log_error(error, where)
        if self._errors is None:
            return
        if len(self._errors.waiting) >= MAX_WAITING:
            self._count(logging.ERROR, "errors that the error callback is too slow for, so that it is not told of them", "", 0)
        else:
            self._errors.tell(error)

    def report_callback(self, subject: str, error: BaseException) -> None:
        """Report what a subscription's callback raised."""
        if not isinstance(error, Exception):
            cause, error = error, RuntimeError(f"the callback ended with {type(error).__name__}").with_traceback(error.__traceback__)
            error.__cause__ = cause
        where = f"in the callback of the subscription to {subject!r}"
        _note(error, where)
        self.report(error, where)

    def emit(self, event: Event) -> None:
        """Tell everybody who listens for events; nothing more after Closed."""
        if self._closed is not None:
            return
        if isinstance(event, Closed):
            self._closed = event
        if self._events is not None:
            if len(self._events.waiting) >= MAX_EVENTS:
                self._events.waiting.popleft()
                self._count(logging.ERROR, "events that the event callback is too slow for, so that it is not told of them", "", 0)
            self._events.tell(event)
        streams = list(self._streams) if self._streams else ()
        for stream in streams:
            if not stream.put(event):
                self._count(logging.ERROR, "events that a loop over events is too slow for, so that it is not told of them", "", 0)
        is_heard = bool(streams) or self._events is not None
        if (level := LEVELS.get(type(event))) is not None and (not is_heard or isinstance(event, Reconnected)):
            self._log_event(event, level)  # that it is back is logged in any case, because the loss was

    def listen(self, check: Callable[[], None]) -> EventStream:
        """Return a stream of the events from now on; after Closed it gets that. ``check`` refuses who may not wait in it."""
        stream = EventStream(self._awaited, check)
        if self._closed is None:
            self._streams.add(stream)
        else:
            stream.put(self._closed)
        return stream

    def close(self) -> None:
        """Log what was counted, and count no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._log_counts()

    # Private

    def _error_callback_failed(self, failure: Exception) -> None:
        self._log_error(failure, "in the error callback")  # there is nobody left to tell but the log

    def _event_callback_failed(self, failure: Exception) -> None:
        self.report_quietly(failure, "in the event callback")

    def _log_error(self, error: Exception, where: str) -> None:
        kind = type(error).__name__
        seen = self._count(logging.ERROR, kind, where, MAX_LINES)
        if seen <= MAX_LINES:
            has_trace = seen == 1 and error.__traceback__ is not None
            log.error("%s: %s%s", kind, error, f" ({where})" if where else "", exc_info=error if has_trace else None)

    def _log_event(self, event: Event, level: int) -> None:
        if self._count(level, event.kind, "", MAX_LINES) <= MAX_LINES:
            said = ((field.name, getattr(event, field.name)) for field in fields(event))
            log.log(level, "%s: %s", event.kind.replace("_", " "), ", ".join(_said(name, value) for name, value in said))

    def _count(self, level: int, kind: str, where: str, lines: int) -> int:
        """Count one more of this kind, of which so many are logged one by one. Returns how many there were lately."""
        key = (level, kind, where)
        if key not in self._counts and len(self._counts) >= MAX_KINDS:
            key = (logging.ERROR, "errors", "of many kinds")
        seen = self._counts[key] = self._counts.get(key, MAX_LINES - lines) + 1
        if self._timer is None and (loop := asyncio._get_running_loop()) is not None:
            self._timer = loop.call_later(LOG_SECONDS, self._log_counts)
        return seen

    def _log_counts(self) -> None:
        self._timer = None
        counts, self._counts = self._counts, {}
        for (level, kind, where), seen in counts.items():
            if seen > MAX_LINES:
                log.log(level, "%d more: %s%s", seen - MAX_LINES, kind, f" ({where})" if where else "")


def _said(name: str, value: object) -> str:
    return f"{value:.3f} {name}" if isinstance(value, float) else f"{name} {value}"


def _note(error: BaseException, where: str) -> None:
    """Note where an error was raised, unless it is an error of the application's that lets nobody; the log says it in any case."""
    try:
        if where not in getattr(error, "__notes__", ()):  # the same error may be raised again and again
            error.add_note(where)
    except Exception as refusal:  # a frozen dataclass, for one
        log.debug("%s takes no note: %r", type(error).__name__, refusal)
