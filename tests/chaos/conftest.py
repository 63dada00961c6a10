"""A real nats-server for each test of this directory that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from nodes import Node, started
from servers import need_nats_server


@pytest.fixture
def node() -> Iterator[Node]:
    """A nats-server that runs."""
    need_nats_server()
    node = Node()
    with started(node):
        yield node
