"""Starts nats-server with any configuration, alone or as a cluster; every process is ended by its own id.

A ``Node`` can be killed and started again at its address. Ports are taken below those that the kernel gives to who connects: on a
port of those, a client that keeps trying to reach a server that is down would sooner or later be connected to itself.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from servers import START_TIMEOUT, find_nats_server, read_log

PORTS = range(12_000, 32_000)
DICE = random.SystemRandom()  # a seed that a test has set would give everybody the same port


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, nor is given by chance."""
    while True:
        port = DICE.choice(PORTS)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class Node:
    """One nats-server at one address, which runs between ``start`` and ``kill``, as often as one likes.

    Args:
        config: the text of its configuration file.
        flags: of its command line.
        program: what is run instead of nats-server, and takes the same flags.

    Attributes:
        url: where it is.
        log: the lines that it has logged since it was started last.
        listening_at: ``time.monotonic()`` when its log said that it listens.
    """

    def __init__(self, config: str = "", *flags: str, program: list[str] | None = None) -> None:
        if program is None:
            executable = find_nats_server()
            assert executable is not None
            program = [executable]
        self.log: list[str] = []
        self.listening_at = 0.0
        self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / "nats.conf"
        path.write_text(config)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [*program, "--addr", "127.0.0.1", "--port", str(self.port), "--config", str(path), *flags]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it and return when it listens."""
        assert self._process is None
        process = self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        assert process.stderr is not None
        addresses: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self.log = []
        self._reader = threading.Thread(target=read_log, args=(process.stderr, self.log, addresses), daemon=True)
        self._reader.start()
        try:
            addresses.get(timeout=START_TIMEOUT)
        except Empty:
            raise RuntimeError("nats-server did not start:\n" + "".join(self.log)) from None
        self.listening_at = time.monotonic()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL), if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        assert self._reader is not None and process.stderr is not None
        self._reader.join()
        process.stderr.close()

    def lame_duck(self) -> None:
        """Have it say goodbye to its clients and then end by itself."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGUSR2)

    def wait(self, timeout: float) -> None:
        """Return when it has ended by itself."""
        assert self._process is not None
        self._process.wait(timeout)

    def close(self) -> None:
        """Kill it and remove its files."""
        self.kill()
        self._directory.cleanup()


@contextmanager
def started(*nodes: Node) -> Iterator[None]:
    """Nodes that run for the duration of a block."""
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.close)
        for node in nodes:
            node.start()
        yield


@contextmanager
def nats_node(config: str = "", *flags: str) -> Iterator[str]:
    """A nats-server on a free port. Gives its URL."""
    node = Node(config, *flags)
    with started(node):
        yield node.url


def cluster_nodes(size: int, config: str = "", pids: Path | None = None, stores: Path | None = None) -> list[Node]:
    """The nodes of a cluster; none is started. Where there is a directory for them, node0 and so on are files with their process ids,
    or directories in which they keep streams.
    """
    routes = [f"nats://127.0.0.1:{free_port()}" for _ in range(size)]
    flags = ("--cluster_name", "midge", "--routes", ",".join(routes))
    nodes = []
    for i, route in enumerate(routes):
        text = config if pids is None else f"pid_file: {pids / f'node{i}'}\n{config}"
        if stores is not None:
            text += f'\njetstream {{ store_dir: "{stores / f"node{i}"}" }}\n'
        nodes.append(Node(text, "--cluster", route, "--name", f"node{i}", *flags))
    return nodes


@contextmanager
def nats_cluster(size: int, pids: Path | None = None) -> Iterator[list[str]]:
    """A cluster of nats-servers. Gives their URLs; when it does, they may not all have met yet."""
    nodes = cluster_nodes(size, pids=pids)
    with started(*nodes):
        yield [node.url for node in nodes]
