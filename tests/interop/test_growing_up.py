"""The program of ``docs/growing-up.md``, as it is printed there, on its way from a server of its own to a cluster of three."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from js_places import wait_for_leader
from nodes import Node, cluster_nodes, started
from servers import find_nats_server

PAGE = Path(__file__).parents[2] / "docs" / "growing-up.md"
MIDGE = [sys.executable, "-m", "midge", "serve"]


def run(directory: Path, *urls: str) -> str:
    """Run the program, and return what it says."""
    program = PAGE.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    env = dict(os.environ) | ({"NATS_URL": ",".join(urls), "REPLICAS": str(len(urls))} if urls else {})
    result = subprocess.run([sys.executable, "-c", program], cwd=directory, env=env, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return result.stdout.strip()


@pytest.mark.timeout(120)
@pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")
def test_the_program_stays_as_it_is(tmp_path: Path) -> None:
    """By itself; a second time; on a server beside it, with the same directory; and on a cluster. What it has stored is there."""
    done = "1 1 1 b'EUR'"  # one message, the first, which is acknowledged
    assert run(tmp_path) == done
    assert run(tmp_path) == done  # the second publish is a duplicate
    with started(node := Node("", "-js", "-sd", str(tmp_path / "data"), program=MIDGE)):
        assert run(tmp_path, node.url) == done
    nodes = cluster_nodes(3, stores=tmp_path / "cluster")
    with started(*nodes):
        asyncio.run(wait_for_leader(nodes[0].url))
        assert run(tmp_path, *[node.url for node in nodes]) == done
