"""The servers that the tests of JetStream in the client run on: one of ours, one real nats-server, and a cluster of three, each for the
whole run.

What is marked ``cluster`` runs on the cluster, too; with ``MIDGE_CLUSTER`` set, everything does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from js_places import Place, cluster
from nodes import nats_node
from servers import find_nats_server

import midge

WHOLE = os.environ.get("MIDGE_CLUSTER", "") not in ("", "0")
needs_server = pytest.mark.skipif(find_nats_server() is None, reason="there is no nats-server")
KINDS = ["midge", pytest.param("nats-server", marks=needs_server), pytest.param("cluster", marks=needs_server)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what need not run on a cluster."""
    if WHOLE:
        return
    left_out = [item for item in items if is_for_cluster(item) and item.get_closest_marker("cluster") is None]
    if left_out:
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


def is_for_cluster(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "url" in item.fixturenames and callspec.params.get("url") == "cluster"  # type: ignore[attr-defined]


@pytest.fixture(scope="session", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with JetStream is."""
    directory = tmp_path_factory.mktemp("streams")
    if request.param == "midge":
        with midge.Server(port=0, store_dir=str(directory)) as server:
            yield Place(server.url)
    elif request.param == "cluster":
        with cluster(directory) as place:
            yield place
    else:
        with nats_node(f'jetstream {{ store_dir: "{directory}" }}') as where:
            yield Place(where)
