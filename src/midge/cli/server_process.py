"""A ``midge serve`` that keeps streams, as a process of its own on a free port of this machine, which can be killed and started again."""

from __future__ import annotations

import asyncio
import re
import sys
from types import TracebackType

from midge.errors import ServerStartError

__all__ = ["ServerProcess"]

_LISTENING = re.compile(rb"Listening for client connections on 127\.0\.0\.1:(\d+)")
_TOLD = 20  # lines of a server that does not start


class ServerProcess:
    """The process; ``async with`` starts it and, however the block ends, kills it.

    Args:
        store_dir: where its streams are kept.

    Attributes:
        url: of the server.

    Raises:
        ServerStartError: on entering: it ended before it listened.
    """

    def __init__(self, store_dir: str) -> None:
        self.url = ""
        self._store_dir = store_dir
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> ServerProcess:
        options = ("-a", "127.0.0.1", "-p", "-1", "-js", "-sd", self._store_dir)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "midge", "serve", *options, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            self.url = f"nats://127.0.0.1:{await self._port()}"
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._end()

    def kill(self) -> None:
        """End it at once: it is not asked, and finishes nothing."""
        assert self._process is not None
        self._process.kill()

    async def _port(self) -> int:
        """Return the port, when it listens."""
        assert self._process is not None and self._process.stderr is not None
        said: list[bytes] = []
        async for line in self._process.stderr:
            found = _LISTENING.search(line)
            if found is not None:
                return int(found[1])
            said = [*said[1 - _TOLD :], line]
        raise ServerStartError(b"".join(said).decode("utf-8", "replace").strip() or "the server's process has ended")

    async def _end(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()  # reads what it still says, so that it is not stuck with that
