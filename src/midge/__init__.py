"""midge: NATS for Python, whole. A client, and a server that runs inside your process or on its own."""

import logging

from midge.server.server import Server

logging.getLogger("midge").addHandler(logging.NullHandler())
