"""Reactor: the turns of a server. One epoll of its own, nested in the event loop, watches all sockets; one timer serves all deadlines.

A *turn* is one callback of the event loop:

    1. sockets that are ready; at most BATCH are asked for at a time, and the kernel rotates them;
    2. deferred calls, first come first served. Both stop after SLICE seconds, and what is left comes first in the next turn: so who is
       quiet does not wait until all of those who have more to do have done a piece of it, and the other way round;
    3. ``after``: one bounded step of the work that the turn has made for others, repeated for SLICE seconds at most while it says that
       there is more. So what a hundred readers produced for one peer goes out in one send.

Between two deferred calls, and between two steps, the reactor looks who has become ready meanwhile, and sees to them for GLANCE seconds;
``between`` sends what that made to send, if it is little. So who asks for little waits for one call or one step, and not for the turn.

Is there more to do, the next turn comes after everybody else in the event loop had theirs; otherwise the reactor sleeps until a socket
is ready or a deadline due. Who makes work outside of a turn calls ``schedule``. The reactor measures the time, and nobody else has to:
every callback, deferred call and step is expected to be bounded by a count of its own.

A descriptor that is closed and given to another socket within a turn does not inherit what was reported of it: events are kept with the
link they belong to, and count only as long as it is watched for them. A callback may run the event loop inside itself (turns then
happen inside that turn), raise, or close the reactor. A forked child shares the epoll with its parent and must not touch it: ``abandon``.
"""

from __future__ import annotations

import asyncio
import logging
import select
import selectors
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from midge.link import READ, WRITE, Watched
from midge.link.deadlines import Deadlines

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.link.readiness import Chunks
else:
    from midge.link.readiness import Chunks

__all__ = ["Reactor", "SelectorPoll"]

log = logging.getLogger("midge.server")

BATCH = 64  # sockets asked for at a time, and deadlines that are served in one go
SLICE = 0.002  # seconds of one turn for each of the three,
GLANCE = 0.0001  # and for who becomes ready in the middle of the others
SPARE_CHUNKS = 16
ALONE = 16  # reads of one link, with none of another in between, after which its peer is taken for the only one that is busy
TROUBLE = 8 | 16  # EPOLLERR and EPOLLHUP, which nobody has to ask for: reading or writing finds out what it is
_BATCH = BATCH
_ALONE = ALONE
_READ = READ
_WRITE = WRITE
_READABLE = READ | TROUBLE
_WRITABLE = WRITE | TROUBLE


class Poll(Protocol):
    """What we need of ``select.epoll``."""

    def fileno(self) -> int: ...
    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None = None, maxevents: int = -1, /) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class SelectorPoll:
    """The same by the best selector there is, where there is no epoll: kqueue on macOS and BSD, /dev/poll on Solaris.

    Raises:
        NotImplementedError: there is none that can be watched itself.
    """

    def __init__(self) -> None:
        selector: Any = selectors.DefaultSelector()
        if not hasattr(selector, "fileno"):
            selector.close()
            raise NotImplementedError("this system has neither epoll nor kqueue")
        self._selector = selector
        self.fileno = selector.fileno
        self.unregister = selector.unregister
        self.close = selector.close

    def register(self, fd: int, eventmask: int, /) -> None:
        self._selector.register(fd, self._events(eventmask))

    def modify(self, fd: int, eventmask: int, /) -> None:
        self._selector.modify(fd, self._events(eventmask))

    def poll(self, timeout: float | None = None, maxevents: int = -1, /) -> list[tuple[int, int]]:
        """Return what is ready; all of it, since a selector cannot be asked for less without forgetting the rest."""
        reading = selectors.EVENT_READ
        return [
            (key.fd, (READ if events & reading else 0) | (WRITE if events & ~reading else 0))
            for key, events in self._selector.select(timeout)
        ]

    @staticmethod
    def _events(mask: int) -> int:
        return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)


def open_poll() -> Poll:
    """Return an epoll, or what comes next to it."""
    return select.epoll() if hasattr(select, "epoll") else SelectorPoll()


def nothing() -> bool:
    """The work after a turn of a server that has none."""
    return False


class Reactor:
    """Readiness for the links of one server.

    Args:
        loop: the server's event loop. It must have ``add_reader`` as soon as something is watched (else NotImplementedError).

    Attributes:
        after: called at the end of each turn: does one bounded step of what the turn has made to do, and returns True if there is more.
        between: called in the middle of a turn, behind sockets that were seen to: does what should not wait for its end, which is little.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.after: Callable[[], bool] = nothing
        self.between: Callable[[], object] = nothing
        self._poll: Poll | None = None  # opened when something is watched
        self._links: dict[int, Watched] = {}
        self._ready: deque[tuple[Watched, int]] = deque()  # and for what
        self._queue: deque[Callable[[], None]] = deque()
        self._chunks = Chunks(SPARE_CHUNKS)
        self._deadlines = Deadlines()
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0
        self._wanted = False  # ``after`` is to be called
        self._scheduled = False  # a turn comes, without anything having to become ready
        self._closed = False
        self._reader: Watched | None = None  # which read last,
        self._reads = 0  # and how often before that, with no other in between

    # Readiness

    def watch(self, link: Watched, read: bool, write: bool) -> None:
        wanted = (_READ if read else 0) | (_WRITE if write else 0)
        if wanted == link.watched or self._closed:
            return
        poll = self._poll or self._open()
        fd = link.fd
        if not wanted:  # not merely nothing to watch for: trouble would be reported all the same, and for ever
            self.forget(link)
        elif self._links.get(fd) is link:
            poll.modify(fd, wanted)
        else:
            poll.register(fd, wanted)
            self._links[fd] = link
        link.watched = wanted

    def forget(self, link: Watched) -> None:
        link.watched = 0
        if link is self._reader:
            self._reader = None
        fd = link.fd
        if self._links.get(fd) is link:
            del self._links[fd]
            assert self._poll is not None
            try:
                self._poll.unregister(fd)
            except (OSError, KeyError):
                pass  # somebody else has closed it, and with that it was forgotten

    def take_chunk(self) -> bytearray:
        return self._chunks.take()

    def give_back(self, chunk: bytearray) -> None:
        self._chunks.give_back(chunk)

    def time(self) -> float:
        return self.loop.time()

    def defer(self, call: Callable[[], None]) -> None:
        if not self._closed:
            self._queue.append(call)
            self._call_turn()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        if not self._closed:
            self._deadlines.add(call, when)
            self._arm()

    def cancel(self, call: Callable[[], None]) -> None:
        self._deadlines.remove(call)
        if self._timer is not None and not len(self._deadlines):
            self._timer.cancel()
            self._timer = None

    # For the server

    def schedule(self) -> None:
        """See to it that ``after`` is called soon."""
        self._wanted = True
        self._call_turn()

    def has_ready(self) -> bool:
        """True while sockets are ready that the last turn had no time for: the next turn is sure to come."""
        return bool(self._ready)

    def is_alone(self) -> bool:
        """True if only one link has read for a while, and nothing is to be done now: nobody else has to wait when the caller does."""
        if self._reads < _ALONE or self._ready or self._queue or self._poll is None:
            return False
        return not self._poll.poll(0, 1)

    def close(self) -> None:
        """Forget everything: no link is told anything any more, nothing deferred or due is called. Closes no link."""
        poll = self._drop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if poll is not None:
            if not self.loop.is_closed():
                self.loop.remove_reader(poll.fileno())
            poll.close()

    def abandon(self) -> None:
        """In a forked child: let go of our copy of the epoll, without a change to it. The links are abandoned one by one."""
        poll = self._drop()
        if poll is not None:
            poll.close()

    # Turns

    def _open(self) -> Poll:
        poll = open_poll()
        try:
            self.loop.add_reader(poll.fileno(), self._on_ready)
        except BaseException:
            poll.close()
            raise
        self._poll = poll
        return poll

    def _on_ready(self) -> None:
        if not self._scheduled:  # else a turn comes anyway
            self._turn()

    def _call_turn(self) -> None:
        if not self._scheduled and not self._closed and not self.loop.is_closed():
            self.loop.call_soon(self._turn_again)
            self._scheduled = True

    def _turn_again(self) -> None:
        self._scheduled = False
        if self._ready or self._queue or self._wanted:  # else a turn has come in between
            self._turn()

    def _turn(self) -> None:
        self._wanted = True
        try:
            self._serve(monotonic() + SLICE)
            if self._queue:
                self._prompt()
                self._make_calls()
            self._finish()
        finally:  # also where something passes through that is no Exception
            if self._ready or self._queue or self._wanted:
                self._call_turn()

    def _serve(self, until: float) -> None:
        """Tell who is ready, one at least, as long as it is not that late."""
        if not self._ready:
            self._ask()
        ready = self._ready
        while ready:
            link, events = ready.popleft()
            try:
                watched = link.watched
                if events & _READABLE and watched & _READ:
                    if link is self._reader:
                        self._reads += 1
                    else:
                        self._reader = link
                        self._reads = 0
                    link.on_readable()
                    watched = link.watched
                if events & _WRITABLE and watched & _WRITE:
                    link.on_writable()
            except Exception:  # the safety net: owners have their own, but nobody else must suffer where it fails
                log.exception("internal error, closing the connection")
                link.close()
            if monotonic() >= until:
                break

    def _attend(self) -> None:
        """In the middle of what takes long: see to who has become ready meanwhile, shortly."""
        if not self._ready:
            self._ask()
        if self._ready:
            self._serve(monotonic() + GLANCE)
            self._prompt()

    def _prompt(self) -> None:
        try:
            self.between()
        except Exception:  # the safety net again
            log.exception("internal error in the middle of a turn")

    def _ask(self) -> None:
        """Note the sockets that are ready."""
        if self._poll is None:
            return
        links = self._links
        for fd, events in self._poll.poll(0, _BATCH):
            if fd in links:
                self._ready.append((links[fd], events))

    def _make_calls(self) -> None:
        """Make the deferred calls, in order; what they defer comes behind the others."""
        queue = self._queue
        self._reads = 0
        until = monotonic() + SLICE
        for _ in range(max(len(queue), _BATCH)):
            call = queue.popleft()
            try:
                call()
            except Exception:  # the safety net again
                log.exception("internal error in a deferred call")
            if not queue or monotonic() >= until:  # empty before its time: by turns inside this one, or closed
                return
            self._attend()
            if not queue:
                return

    def _finish(self) -> None:
        """Do what the turn has made to do, for SLICE seconds; the next turn goes on with it."""
        self._wanted = False
        if self._closed:
            return
        until = monotonic() + SLICE
        try:
            while self.after():
                if monotonic() >= until:
                    self._wanted = True
                    return
                self._attend()
                if self._closed:
                    return
        except Exception:  # the safety net again
            log.exception("internal error at the end of a turn")

    # Deadlines

    def _arm(self) -> None:
        """Set the timer for the next deadline."""
        due = self._deadlines.next()
        if due is None or self._closed:
            return
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(due, self._on_timer)
        self._timer_due = due

    def _on_timer(self) -> None:
        self._timer = None
        self.defer(self._call_due)

    def _call_due(self) -> None:
        """Make the calls that are due, BATCH at most: the timer comes back for the others."""
        now = self.time()
        try:
            for _ in range(_BATCH):
                call = self._deadlines.pop_due(now)
                if call is None:
                    return
                try:
                    call()
                except Exception:  # the safety net again
                    log.exception("internal error in a deferred call")
        finally:
            self._arm()

    # Ending

    def _drop(self) -> Poll | None:
        """Forget everything; return the poll, for the last time."""
        self._closed = True
        poll, self._poll = self._poll, None
        for link in self._links.values():
            link.watched = 0
        self._links.clear()
        self._ready.clear()
        self._queue.clear()
        self._reader = None
        self._wanted = False
        self._deadlines = Deadlines()
        return poll
