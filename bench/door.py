"""`midge serve` with a link that its command line does not have: TLS, WebSocket, or both, with the files of `links`.

It takes the link, the directory, the port of the WebSocket, and what `midge serve` takes for the address: -a HOST -p PORT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
from pathlib import Path

from midge import Server
from midge.cli import logs
from midge.cli.serve import GC_THRESHOLDS
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.server.options import ServerOptions
from midge.server.thread import new_event_loop


async def serve(options: ServerOptions) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Server(options):
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("link", choices=("tls", "ws", "wss"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("websocket", type=int, help="the port of the WebSocket")
    parser.add_argument("-a", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=-1)
    given = parser.parse_args()
    tls = websocket = None
    if given.link != "ws":
        tls = ServerTLS(cert_file=str(given.directory / "chain.pem"), key_file=str(given.directory / "key.pem"))
    if given.link != "tls":
        websocket = WebSocketListener(host=given.host, port=given.websocket, tls=tls, no_tls=tls is None)
    options = ServerOptions(host=given.host, port=given.port, tls=tls if given.link == "tls" else None, websocket=websocket)
    logs.start("", debug=False, trace=False, stamp=True, utc=False)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
