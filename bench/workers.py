"""The worker processes of one run: each plays one role, talks with us through a pipe, and is gone when the run is over.

A role is a function of (job, pipe). What it returns is its last word; what it sends through the pipe before are the
earlier ones, "ready" by custom. A LoadError or an OSError inside a role becomes the LoadError of whoever waits for its
word. Every wait has an end, and a worker that does not end by itself is killed.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

Role = Callable[[Any, Connection], Any]


class LoadError(Exception):
    """The run cannot be counted: lost, doubled or wrong bytes, a closed connection, or no progress in time."""


class Worker:
    """One process and our end of its pipe."""

    def __init__(self, role: Role, job: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(role, job, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def say(self, word: Any) -> None:
        try:
            self.pipe.send(word)
        except BrokenPipeError:
            raise LoadError("a worker process died") from None

    def word(self, timeout: float) -> Any:
        """Its next word; raises what went wrong there as LoadError."""
        return words([self], timeout)[0]

    def end(self) -> None:
        self.pipe.close()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class Crew:
    """The workers of one run, in the order of their roles; a context manager that leaves none behind."""

    def __init__(self, roles: Iterable[Role], job: Any) -> None:
        self._roles = list(roles)
        self._job = job
        self._workers: list[Worker] = []

    def __enter__(self) -> list[Worker]:
        try:
            for role in self._roles:
                self._workers.append(Worker(role, self._job))
        except BaseException:
            self._end()
            raise
        return self._workers

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            worker.end()


def words(workers: Sequence[Worker], timeout: float) -> list[Any]:
    """The next word of each worker; the first error ends the wait for all."""
    said: dict[Connection, Any] = {}
    deadline = time.monotonic() + timeout
    while len(said) < len(workers):
        waiting = [worker.pipe for worker in workers if worker.pipe not in said]
        ready = wait(waiting, max(0.0, deadline - time.monotonic()))
        if not ready:
            raise LoadError("a worker process does not answer")
        for pipe in waiting:
            if pipe in ready:
                said[pipe] = _word(pipe)
    return [said[worker.pipe] for worker in workers]


def _word(pipe: Connection) -> Any:
    try:
        word = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise LoadError("a worker process died") from None
    if isinstance(word, LoadError):
        raise word
    return word


def _work(role: Role, job: Any, pipe: Connection) -> None:
    """The body of a worker process: its result, or its error as text, goes through the pipe."""
    try:
        pipe.send(role(job, pipe))
    except (LoadError, OSError, EOFError) as error:
        try:
            pipe.send(LoadError(f"{role.__name__}: {error}"))
        except OSError:
            return  # nobody listens any more
