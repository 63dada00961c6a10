"""Watches: who wants to know when a subject gets its first subscription and loses its last.

A key is a subject and a queue name or None. The sublist notes the keys whose interest has changed, and tells when it is done with
everything else. A watch is told the state there is when its turn comes, and only what it does not know already: so callbacks may
change subscriptions, nothing recurses, and a storm of changes between two tellings costs one entry per key. A callback
that fails is logged and costs nobody else anything: neither the other watches nor the client whose subscription it was told of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["Watch", "Watches"]

log = logging.getLogger("midge.server")

Key = tuple[bytes, bytes | None]


class Watch:
    """Somebody who wants to know about one key. Returned by ``Sublist.watch``.

    Attributes:
        interested: whether there was interest when this watch was told last, or began.
    """

    __slots__ = ("_watches", "callback", "interested", "key")

    def __init__(self, watches: Watches, key: Key, callback: Callable[[bool], object], interested: bool) -> None:
        self._watches: Watches | None = watches
        self.key = key
        self.callback = callback
        self.interested = interested

    @property
    def cancelled(self) -> bool:
        return self._watches is None

    def cancel(self) -> None:
        """End it: it is not told anything any more."""
        if self._watches is not None:
            self._watches.drop(self)
            self._watches = None


class Watches:
    """The watches of one sublist."""

    __slots__ = ("_present", "_telling", "_untold")

    def __init__(self) -> None:
        self._present: dict[Key, dict[Watch, None]] = {}
        self._untold: dict[Key, None] = {}
        self._telling = False

    def add(self, key: Key, callback: Callable[[bool], object], interested: bool) -> Watch:
        """Begin a watch; interested is the state it starts from."""
        watch = Watch(self, key, callback, interested)
        self._present.setdefault(key, {})[watch] = None
        return watch

    def drop(self, watch: Watch) -> None:
        """Take a watch out that is there."""
        watches = self._present[watch.key]
        del watches[watch]
        if not watches:
            del self._present[watch.key]

    def note(self, key: Key) -> bool:
        """Note that the interest has changed. True where somebody has to be told: next, ``tell``."""
        if key in self._present:
            self._untold[key] = None
        return bool(self._untold)

    def tell(self, has_interest: Callable[[bytes, bytes | None], bool]) -> None:
        """Tell everybody who has to be told. Does nothing within a callback: the call that it came from goes on until all are told."""
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                self._tell(self._untold.popitem()[0], has_interest)
        finally:
            self._telling = False

    def clear(self) -> None:
        """End every watch."""
        for watch in [watch for watches in self._present.values() for watch in watches]:
            watch.cancel()
        self._untold.clear()

    def _tell(self, key: Key, has_interest: Callable[[bytes, bytes | None], bool]) -> None:
        try:
            for watch in list(self._present.get(key, ())):
                interested = has_interest(*key)
                if interested != watch.interested and not watch.cancelled:
                    watch.interested = interested
                    self._call(watch.callback, interested)
        except BaseException:  # an interrupt
            self._untold[key] = None  # the others have to be told yet
            raise

    def _call(self, callback: Callable[[bool], object], interested: bool) -> None:
        """Call a callback. The safety net: it is called in the middle of a client's SUB, UNSUB or end, which must go on."""
        try:
            callback(interested)
        except Exception:
            log.exception("internal error in a watch")
