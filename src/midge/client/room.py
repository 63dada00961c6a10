"""What ``publish`` returns: three answers to the question whether the publisher must wait, and one for another thread's.

    Ready       no: little waits to be sent. One object that is done already, however often it is awaited
    Turn        for one turn of the event loop, so that a loop of publishes does not keep the others waiting
    Room        until the server has taken enough; the wait begins when it is awaited
    Elsewhere   called in another thread: nothing is published until the client's own event loop awaits it

None need be awaited. All are coroutines to those who ask (``create_task``, ``TaskGroup``, ``run_coroutine_threadsafe``), though no
coroutine object is made where there is nothing to wait for: a real one would cost more than the publish.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import cython  # noqa: F401
else:
    from midge import _nocython as cython  # noqa: F401

__all__ = ["READY", "Answer", "Beginning", "Elsewhere", "Ready", "Room", "Turn"]


T = TypeVar("T")


class Answer(Coroutine[Any, Any, None]):
    """What ``publish`` returns: something to await, or not."""

    __slots__ = ()


class Ready:
    """An awaitable that is done already: one instance serves every publish that need not wait.

    Its iterator is an exhausted one, which says so without raising.
    """

    __slots__ = ("_exhausted",)

    def __init__(self) -> None:
        self._exhausted: Iterator[Any] = iter(())

    def __await__(self) -> Generator[Any, Any, None]:
        return self._exhausted  # type: ignore[return-value]

    def send(self, value: Any) -> Any:
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None) -> Any:
        raise kind if value is None else value

    def close(self) -> None:
        """There is nothing to close."""


Answer.register(Ready)
READY: Answer = Ready()  # type: ignore[assignment]


class Beginning(Coroutine[Any, Any, T]):
    """A coroutine whose real one is made when it begins: it may be awaited again, and dropped without a warning."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: Coroutine[Any, Any, T] | None = None

    def begin(self) -> Coroutine[Any, Any, T]:
        """Make the real one."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, Any, T]:
        return self.begin().__await__()

    def send(self, value: Any) -> Any:
        if self._running is None:
            self._running = self.begin()
        return self._running.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None) -> Any:
        if self._running is None:
            self._running = self.begin()
        return self._running.throw(kind if value is None else value)

    def close(self) -> None:
        if self._running is not None:
            self._running.close()


class Turn(Beginning[None], Answer):
    """Gives everybody else one turn of the event loop."""

    __slots__ = ()

    def begin(self) -> Coroutine[Any, Any, None]:
        return _turn()


class Room(Beginning[None], Answer):
    """Waits until there is room in the outbox."""

    __slots__ = ("_wait",)

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__()
        self._wait = wait

    def begin(self) -> Coroutine[Any, Any, None]:
        return self._wait()


class Elsewhere(Beginning[None], Answer):
    """A publish that another thread asked for: done by the event loop that awaits it, if that is the client's.

    Args:
        publish: publishes, and waits where it must.
        what: says what was asked for, in the warning that it never happened.
    """

    __slots__ = ("_has_begun", "_publish", "_what")

    def __init__(self, publish: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        super().__init__()
        self._publish = publish
        self._what = what
        self._has_begun = False

    def begin(self) -> Coroutine[Any, Any, None]:
        self._has_begun = True
        return self._publish()

    def __del__(self) -> None:
        if not self._has_begun:
            warnings.warn(f"{self._what} was called in another thread and never awaited: nothing was sent", RuntimeWarning, 2, self)


async def _turn() -> None:
    await _Yield()


class _Yield:
    def __await__(self) -> Generator[None, None, None]:
        yield
