"""The servers that the tests of JetStream in the client run on: one real nats-server and one of ours, each for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from nodes import nats_node
from servers import find_nats_server

import midge

KINDS = ["midge", pytest.param("nats-server", marks=pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server"))]


@pytest.fixture(scope="session", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with JetStream is."""
    directory = tmp_path_factory.mktemp("streams")
    if request.param == "midge":
        with midge.Server(port=0, store_dir=str(directory)) as server:
            yield server.url
    else:
        with nats_node(f'jetstream {{ store_dir: "{directory}" }}') as where:
            yield where
