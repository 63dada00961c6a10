"""Server: the NATS server inside your process. Opens the ports, lets clients in, and drives the pure hub with asyncio.

    async with Server(port=0) as server:      in the caller's event loop; or ``await server.start()``, ``await server.stop()``
    with Server(port=0) as server:            in an event loop of its own thread; or ``server.start_thread()``, ``server.stop_thread()``

Either way it is ready, listening and reachable when the block is entered, and everything is closed when it is left. Any number
of servers can live in one process. A client in the same process can connect without a socket: ``midge.connect(server)``.

``clients``, ``subscriptions``, ``counters``, ``wait_for_subscription``, ``disconnect`` and the like look into a running server and
disturb it, from any thread: for tests (``inspection``). A process that was forked off a running server cannot use it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar, Unpack

from midge.errors import MidgeTimeoutError, ServerStartError
from midge.link.memory import MemoryLink
from midge.link.reactor import Reactor
from midge.link.readiness import LoopReadiness
from midge.server import inspection, reload
from midge.server.announcement import announce
from midge.server.calls import ask, is_here, tell
from midge.server.connections import Connections
from midge.server.dice import jitter, seed, server_id
from midge.server.given import Given
from midge.server.hub import Hub
from midge.server.identity import IN_PROCESS
from midge.server.inspection import ClientInfo, Counters, SubscriptionInfo, Waiting
from midge.server.lame_duck import send_away, tell_clients
from midge.server.lobby import Gate, Lobby
from midge.server.options import ServerKeywords, ServerOptions
from midge.server.ports import Ports
from midge.server.reasons import KICKED, SERVER_SHUTDOWN
from midge.server.thread import ServerThread
from midge.server.turns import Turns
from midge.wire.outbox import Outbox

if TYPE_CHECKING:
    from midge.server.config.load import Config
    from midge.server.jetstream import JetStream
    from midge.server.monitor import Monitor

__all__ = ["Server"]

log = logging.getLogger("midge.server")

STOP_SECONDS = 2.0  # how long a stopping server waits for clients to take what is on its way to them
EVERYBODY = 1 << 62
T = TypeVar("T")


class Server:
    """A NATS server. Every keyword but ``listen`` is a field of ``ServerOptions``, where None stands for its default.

    Args:
        options: a ServerOptions, for those who have one; otherwise the keywords make it.
        config: the path of a configuration file in nats-server's language, or a dict in its vocabulary. Keywords override it.
        host: the address to listen on, 127.0.0.1 by default; a name stands for all its addresses.
        port: the port, 4222 by default; 0 or -1 takes a free one, see ``port`` and ``url`` afterwards.
        listen: False opens no port: only clients of the same process can connect.

    Raises:
        ValueError: an option has a value that makes no sense.
        TypeError: an option has the wrong type.
        ServerStartError: on entering, where the server cannot listen.
    """

    def __init__(
        self,
        options: ServerOptions | None = None,
        *,
        config: Config | None = None,
        listen: bool = True,
        **keywords: Unpack[ServerKeywords],
    ) -> None:
        self._given = Given(options, config, keywords)
        self.options = self._given.options
        self._ports = Ports(self.options, listen)
        self._process = 0
        self._hub: Hub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: Turns | None = None
        self._lobby: Lobby | None = None
        self._jetstream: JetStream | None = None
        self._monitor: Monitor | None = None
        self._connections = Connections()
        self._waiting = Waiting()
        self._starting = False
        self._stopping: asyncio.Future[None] | None = None
        self._lame_duck: asyncio.Event | None = None  # there from when that mode begins; set when the server stops
        self._thread: ServerThread | None = None

    @property
    def url(self) -> str:
        """Where clients connect: ``nats://127.0.0.1:4222``, ``tls://`` where TLS is required; with no port ``pipe://`` and the name."""
        return self._ports.url

    @property
    def ws_url(self) -> str | None:
        """Where clients connect by WebSocket, such as ``wss://127.0.0.1:8080``; None where the server has no port for that."""
        return self._ports.websocket_url

    @property
    def host(self) -> str:
        """The address that the client port is on; ``0.0.0.0`` for every interface."""
        return self._ports.host

    @property
    def port(self) -> int:
        """The client port; 0 for a free one until the server has been started."""
        return self._ports.port

    @property
    def monitoring_url(self) -> str | None:
        """Where monitoring answers, such as ``http://127.0.0.1:8222``; None where it does not."""
        return None if self._monitor is None else self._monitor.url

    @property
    def hub(self) -> Hub:
        """The routing core: accounts and sessions. Only for the server's own thread; after a stop, the last state."""
        if self._hub is None:
            raise ServerStartError("the server is not running")
        return self._hub

    @property
    def is_running(self) -> bool:
        return self._loop is not None and not self._loop.is_closed() and self._process == os.getpid()

    def __repr__(self) -> str:
        return f"<Server {self.url}{'' if self.is_running else ' (not running)'}>"

    # In the caller's event loop

    async def start(self) -> None:
        """Listen; ready when it returns. Without an event loop: ``start_thread``.

        Raises:
            ServerStartError: the address cannot be listened on, or the server runs already.
        """
        self._check_process()
        if self.is_running or self._starting:
            raise ServerStartError("the server runs already")
        self._drop_everything()  # where its last loop was closed underneath it
        self._starting = True
        try:
            if self.options.http_port is not None or self.options.https_port is not None:
                from midge.server.monitor import open_monitor  # only where it is used: a process starts as fast as what it imports

                self._monitor = await open_monitor(self.options)
            await self._ports.bind()
            self._open(asyncio.get_running_loop())
            if self._monitor is not None:
                await self._monitor.start(self.hub, (self.host, self.port), self._is_ready, self._jetstream)
        except BaseException:
            self._drop_everything()
            raise
        finally:
            self._starting = False

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let clients in through the ports that are bound."""
        hub = Hub(self.options, server_id(), seed())
        turns = Turns(hub, Reactor(loop))
        jetstream: JetStream | None = None
        lobby = Lobby(turns, partial(self._connections.let_in, turns), partial(self._connections.take_over, turns))
        try:
            if self.options.jetstream is not None:
                from midge.server.jetstream import JetStream  # with the engine, which a server without streams does without

                jetstream = JetStream.open(turns, self.options)
            self._ports.open(lobby, lambda gate: partial(self._adopt_socket, gate))
        except BaseException as error:
            if jetstream is not None:
                jetstream.close()
            turns.reactor.close()
            if isinstance(error, NotImplementedError):
                raise ServerStartError(f"{type(loop).__name__} has no add_reader, which a server needs") from None
            raise
        self._ports.tell(hub.info)
        self._hub = hub
        self._loop = loop
        self._turns = turns
        self._lobby = lobby
        self._jetstream = jetstream
        self._process = os.getpid()
        self._connections.refuse(0)
        announce(hub, self._ports, self._monitor, jetstream)

    async def stop(self) -> None:
        """Close the port and every connection; what is on its way to clients is sent first, for STOP_SECONDS at most.

        Called again, or where the server does not run, it does nothing but wait for the first call to be done.

        Raises:
            RuntimeError: the server runs in another event loop.
        """
        self._check_process()
        loop = self._loop
        if loop is None:
            return
        if loop.is_closed():
            self._drop_everything()
            return
        if loop is not asyncio.get_running_loop():
            raise RuntimeError("the server runs in another event loop, and can only be stopped there, or by stop_thread()")
        if self._stopping is not None:
            await asyncio.shield(self._stopping)
            return
        log.info("Initiating Shutdown...")
        if self._lame_duck is not None:
            self._lame_duck.set()
        self._stopping = loop.create_future()
        self._ports.close()
        self._turn_away(SERVER_SHUTDOWN)
        if self._jetstream is not None:
            self._jetstream.engine.take_leave()
        try:
            await self._connections.close(SERVER_SHUTDOWN, STOP_SECONDS)
        finally:
            self._drop_everything()
            self._stopping.set_result(None)
            self._stopping = self._lame_duck = None
        log.info("Server Exiting..")

    async def lame_duck(self) -> None:
        """Let nobody in any more, tell the clients so that they go to another server, close them little by little, and stop.

        It takes at most ``lame_duck_duration``, and no time where there are no clients. Called again, it waits for the first call to be
        done; ``stop`` cuts it short.

        Raises:
            RuntimeError: the server runs in another event loop.
        """
        self._check_process()
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise RuntimeError("the server runs in another event loop: use lame_duck_thread()")
        if self._lame_duck is not None:
            await self._lame_duck.wait()
        elif self._loop is not None and self._stopping is None:
            log.info("Entering lame duck mode, stop accepting new clients")
            self._lame_duck = end = asyncio.Event()
            self._ports.close()
            self._turn_away(SERVER_SHUTDOWN)
            if self._connections:
                tell_clients(self.hub)
                self._running().reactor.schedule()
                await send_away(list(self._connections), self.options, jitter, end)
        await self.stop()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # In a thread of its own

    def start_thread(self) -> None:
        """Start an event loop in a thread of its own, and the server in it; ready when it returns. For those who have no event loop.

        Raises:
            ServerStartError: as ``start``.
        """
        self._check_process()
        if self._thread is not None or self.is_running:
            raise ServerStartError("the server runs already")
        self._thread = thread = ServerThread(self, f"midge-server-{self.port}")
        try:
            thread.start()
        except BaseException:  # an interrupt of the caller's too: nobody is going to stop it
            self.stop_thread()
            raise

    def stop_thread(self) -> None:
        """Stop the server as ``stop`` does, and end its thread. Where no thread was started, it does nothing.

        Raises:
            BaseException: what ended the thread before its time. It has been logged, too.
        """
        self._check_process()
        thread = self._thread
        try:
            if thread is not None:
                thread.stop()
        finally:
            if self._thread is thread:  # and not one that was started meanwhile
                self._thread = None

    def lame_duck_thread(self) -> None:
        """The same for a server with a thread of its own, which ends too. Where it does not run, it does nothing."""
        self._check_process()
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self.lame_duck(), self._loop).result()
        self.stop_thread()

    def __enter__(self) -> Server:
        self.start_thread()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None or self._process == os.getpid():  # in a forked process the block ends, but the server is the parent's
            self.stop_thread()

    # Looking into it, and disturbing it

    def clients(self) -> list[ClientInfo]:
        """Return the connected clients, those that came first first."""
        return self._ask(lambda turns: inspection.clients(turns.hub, turns.time()))

    def subscriptions(self) -> list[SubscriptionInfo]:
        """Return the subscriptions of all clients."""
        return self._ask(lambda turns: inspection.subscriptions(turns.hub))

    def counters(self) -> Counters:
        """Return what the server has counted since it was started."""
        return self._ask(lambda turns: inspection.counters(turns.hub))

    def wait_for_subscription(self, subject: str, count: int = 1, *, timeout: float | None = 5.0) -> None:
        """Wait until so many subscriptions get what is published to the subject. Not in the server's own loop: ``subscribed``.

        Raises:
            MidgeTimeoutError: there were not as many in time.
        """
        if is_here(self._loop):
            raise RuntimeError("this would hold up the server's own event loop: use `await server.subscribed(...)`")
        with self._expecting(subject, count, timeout) as future:
            future.result(timeout)

    async def subscribed(self, subject: str, count: int = 1, *, timeout: float | None = 5.0) -> None:
        """The same for a coroutine, in the server's loop or another."""
        with self._expecting(subject, count, timeout) as future:
            await asyncio.wait_for(asyncio.wrap_future(future), timeout)

    @contextmanager
    def _expecting(self, subject: str, count: int, timeout: float | None) -> Iterator[Future[None]]:
        future, forget = self._ask(lambda turns: self._waiting.subscribed(turns.hub, subject, count))
        try:
            yield future
        except TimeoutError:
            raise MidgeTimeoutError(f"waiting for {count} subscriptions to {subject!r}", timeout) from None
        finally:
            with suppress(ServerStartError):  # stopped meanwhile
                tell(self._loop, forget)

    def disconnect(self, client: int | str) -> int:
        """Close the connection of this number, or all connections of this name. Return how many there were."""
        return self._ask(lambda _: inspection.disconnect(self._connections, client))

    def refuse_connections(self, count: int | None = None) -> None:
        """Close the next so many connections as soon as they are made, without a word; None means all, 0 none any more."""
        self._ask(lambda _: self._connections.refuse(EVERYBODY if count is None else count))

    def reload_tls(self, options: ServerOptions | None = None) -> None:
        """Read the certificates again, for connections that come from now on; those that are there keep theirs. From any thread.

        Args:
            options: what names them now; the server's own options as they were given, where it is left out.

        Raises:
            ServerStartError: one cannot be read, and nothing has changed; or a port would begin or cease to have TLS.
        """
        self._check_process()
        self._ports.prepare(self.options if options is None else options)()

    def set_delay(self, seconds: float) -> None:
        """Hold back whatever clients send for so long, as a slow network would; 0 ends that."""
        self._ask(lambda turns: turns.set_delay(seconds))

    def reload(self, options: ServerOptions | None = None, along: Callable[[], None] | None = None) -> None:
        """Go on with these options, or with what the configuration file says by now; see ``reload.changes`` for what can be changed.

        Args:
            options: the new options.
            along: called in the server's thread when nothing can go wrong any more, and before the log says that it is done: for what
                changes around the server.

        Raises:
            ValueError: they make no sense, or would change what cannot be changed while the server runs. All stays as it was.
            ServerStartError: the server is not running, or a certificate cannot be read. All stays as it was.
        """
        wanted = options or self._given.again()
        reload.changes(self.options, wanted)
        renew_ports = self._ports.prepare(wanted)

        def apply(turns: Turns) -> None:
            renew_ports()
            reload.apply(turns.hub, wanted, along)
            if self._jetstream is not None:
                self._jetstream.renew()
            for connection in self._connections:
                connection.renew_deadline()
            if self._monitor is not None:
                self._monitor.note_reload()
            turns.reactor.schedule()

        self._ask(apply)
        self.options = wanted

    def reset(self) -> None:
        """Drop all clients, and with them all subscriptions; refuse and delay nobody any more. For the time between two tests."""

        def reset(turns: Turns) -> None:
            turns.set_delay(0.0)
            self._connections.refuse(0)
            self._turn_away(KICKED)
            self._connections.abort(KICKED)

        self._ask(reset)

    def _ask(self, question: Callable[[Turns], T]) -> T:
        """Call it in the server's own thread and return its result.

        Raises:
            ServerStartError: the server is not running.
        """
        self._check_process()
        return ask(self._loop, lambda: question(self._running()))

    def _running(self) -> Turns:
        if self._turns is None:
            raise ServerStartError("the server is not running")
        return self._turns

    def _check_process(self) -> None:
        if self._loop is not None and self._process != os.getpid():
            raise ServerStartError("the server runs in the process that this one was forked from: make a new Server here")

    # Connections

    def open_link(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> MemoryLink:
        """Connect a client of this process without a socket; return its end of the link. Called in the client's loop.

        Raises:
            ServerStartError: the server is not running.
        """
        self._check_process()
        mine, other = MemoryLink.pair(LoopReadiness(loop), self._running().reactor)
        mine.carry(outbox)
        tell(self._loop, partial(self._adopt_memory, other))
        return mine

    def _adopt_memory(self, link: MemoryLink) -> None:
        turns = self._turns
        if turns is None or self._stopping is not None or self._lame_duck is not None or self._connections.is_refused():
            link.close()
            return
        session = turns.hub.admission.connect("pipe", turns.time(), jitter(), IN_PROCESS)
        link.carry(session.outbox)
        self._connections.let_in(turns, session, link)
        turns.reactor.schedule()

    def _adopt_socket(self, gate: Gate, sock: socket.socket, address: str) -> None:
        if self._connections.is_refused():
            sock.close()
        else:
            gate.adopt(sock, address)

    def _is_ready(self) -> bool:
        """True while clients are let in."""
        return self._stopping is None and self._lame_duck is None and self._ports.is_ready

    # Closing

    def _turn_away(self, reason: str) -> None:
        """Close whoever is on the way in."""
        if self._lobby is not None:
            self._lobby.abort(reason)

    def _drop_everything(self) -> None:
        """Close at once whatever is open; the server does not run any more."""
        self._ports.close()
        is_over = self._loop is None or self._loop.is_closed()
        if self._lobby is not None:
            self._lobby.close() if is_over else self._lobby.abort(SERVER_SHUTDOWN)
            self._lobby = None
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        self._connections.close_links() if is_over else self._connections.abort(SERVER_SHUTDOWN)
        if self._turns is not None:
            self._turns.hub.flush_some(EVERYBODY)  # once: sinks that answer each other never come to an end
            if self._jetstream is not None:
                self._jetstream.close()
                self._jetstream = None
            self._turns.verdicts.close()
            self._turns.reactor.close()
            self._turns = None
        self._waiting.give_up()
        self._loop = None
