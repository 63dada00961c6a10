"""Starts nats-server with any configuration, alone or as a cluster; every process is ended by its own id."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from servers import START_TIMEOUT, find_nats_server, read_log


@contextmanager
def nats_node(config: str = "", *flags: str) -> Iterator[str]:
    """A nats-server on a free port. Gives its URL."""
    executable = find_nats_server()
    assert executable is not None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "nats.conf"
        path.write_text(config)
        process = subprocess.Popen(
            [executable, "--addr", "127.0.0.1", "--port", "-1", "--config", str(path), *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        assert process.stderr is not None
        addresses: SimpleQueue[tuple[str, int]] = SimpleQueue()
        log: list[str] = []
        reader = threading.Thread(target=read_log, args=(process.stderr, log, addresses), daemon=True)
        reader.start()
        try:
            try:
                host, port = addresses.get(timeout=START_TIMEOUT)
            except Empty:
                raise RuntimeError("nats-server did not start:\n" + "".join(log)) from None
            yield f"nats://{host}:{port}"
        finally:
            process.kill()
            process.wait()
            reader.join()
            process.stderr.close()


@contextmanager
def nats_cluster(size: int, pids: Path | None = None) -> Iterator[list[str]]:
    """A cluster of nats-servers. Gives their URLs; when it does, they may not all have met yet.

    Where there is a directory for them, node0, node1 and so on are files in it with the nodes' process ids.
    """
    with ExitStack() as ports:
        listeners = [ports.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(size)]
        routes = [f"nats://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    with ExitStack() as nodes:
        flags = ("--cluster_name", "midge", "--routes", ",".join(routes))
        yield [
            nodes.enter_context(
                nats_node("" if pids is None else f"pid_file: {pids / f'node{i}'}", "--cluster", route, *flags, "--name", f"node{i}")
            )
            for i, route in enumerate(routes)
        ]
