"""A midge server with a user who has permissions, for `route.py --permissions`; the flags are the two of nats-server that a bench gives.

``CONF`` says the same to nats-server.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from midge import Server
from midge.server.access import Permissions, User
from midge.server.thread import new_event_loop

ALLOWED, DENIED = ("bench.*", "other.>"), ("private.>", "*.private")
USER = User(
    user="bench",
    password="bench",
    permissions=Permissions(publish_allow=ALLOWED, publish_deny=DENIED, subscribe_allow=ALLOWED, subscribe_deny=DENIED),
)
CONF = """
authorization { users: [ { user: bench, password: bench, permissions: {
    publish: { allow: ["bench.*", "other.>"], deny: ["private.>", "*.private"] }
    subscribe: { allow: ["bench.*", "other.>"], deny: ["private.>", "*.private"] }
} } ] }
"""


async def serve(host: str, port: int) -> None:
    async with Server(host=host, port=port, users=(USER,)):
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-a", default="127.0.0.1")
    parser.add_argument("-p", type=int, default=-1)
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(flags.a, flags.p))


if __name__ == "__main__":
    main()
