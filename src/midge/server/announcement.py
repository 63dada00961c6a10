"""What a server logs when it is ready: what nats-server logs, in its order, because other programs wait for these lines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from midge.server.advice import advice
from midge.server.hub import Hub
from midge.server.info import NATS_VERSION
from midge.server.ports import Ports

if TYPE_CHECKING:
    from midge.server.jetstream import JetStream
    from midge.server.monitor import Monitor  # both are imported where there is one

__all__ = ["announce"]

log = logging.getLogger("midge.server")


def announce(hub: Hub, ports: Ports, monitor: Monitor | None, jetstream: JetStream | None) -> None:
    """Say which server this is, where it listens, and that it is ready."""
    options = hub.options
    log.info("Starting nats-server")
    log.info("  Version:  %s", NATS_VERSION)
    log.info("  Name:     %s", hub.server_name)
    log.info("  ID:       %s", hub.server_id)
    # Where no logging is set up, Python prints warnings: an embedded server keeps its advice to itself then.
    about_credentials, about_limits = advice(options) if log.hasHandlers() else ("", "")
    if about_credentials:
        log.warning(about_credentials)
    if options.config_file:
        log.info("Using configuration file: %s (%s)", options.config_file, options.config_digest)
    if about_limits:
        log.warning(about_limits)
    if monitor is not None:
        log.info("Starting %s monitor on %s", monitor.protocol, monitor.address)
    if jetstream is not None:
        jetstream.announce()
    if ports.is_open:
        ports.announce()
    log.info("Server is ready")
