"""The pool: the servers that a client may connect to, in which order they are tried, and what became of each.

Pure: it is told what happened and knows neither clock nor dice. Servers come from the application (*explicit*) or from the INFO of
another server (*discovered*); a discovered one that its cluster no longer names is forgotten, unless it is the one in use.

The server to try next is the one that was tried least since a link last stood for a while, the one just lost last of all. When it has
been tried as often as any other, a *pass* over all of them is over, and whoever tries waits before the next: so a server that has not
been tried is tried at once, and a pool that is down is not tried in a circle without rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from itertools import islice
from operator import attrgetter
from typing import Any

from midge.client.servers import Address, parse_servers

__all__ = ["PATIENT_PASSES", "Server", "ServerPool", "Shuffle", "longest_wait"]

Shuffle = Callable[[list[Any]], None]

PATIENT_PASSES = 10  # passes with the shortest wait: a server that is restarted is back within these
MAX_DISCOVERED = 256  # a hostile server may name very many
MAX_NAMED = 1024  # of these the first are looked at


class Server:
    """One server of the pool.

    Attributes:
        address: an Address, or a server of this process; it says where it is in its ``url``.
        tries: attempts since a link last stood for a while.
        failures: attempts that have failed since one succeeded; those on demand are not counted.
        error: what the last attempt ended with, None where it succeeded.
        refusal: the text of the authorization refusal that it said last, None where something else came after it.
    """

    __slots__ = ("address", "error", "failures", "refusal", "tries")

    def __init__(self, address: Any) -> None:
        self.address = address
        self.tries = 0
        self.failures = 0
        self.error: Exception | None = None
        self.refusal: str | None = None

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        url: str = self.address.url
        return url

    @property
    def is_discovered(self) -> bool:
        return isinstance(self.address, Address) and self.address.discovered


class ServerPool:
    """The servers.

    Args:
        servers: addresses, or a server of this process.
        shuffle: puts a list into another order, in place; None keeps the order.
        max_failures: attempts that may fail, one after the other, before a server is given up; None for any number.
        ignores_discovered: servers that others tell of are not taken in.

    Attributes:
        current: the server in use, or the one last used.
        passes: over the pool, since a link last stood for a while.
        shuffle: as given.
    """

    def __init__(
        self,
        servers: Iterable[Any],
        shuffle: Shuffle | None = None,
        max_failures: int | None = None,
        ignores_discovered: bool = False,
    ) -> None:
        self.shuffle = shuffle
        self._max_failures = max_failures
        self._ignores_discovered = ignores_discovered
        self._gone: dict[str, Exception] = {}  # what those that were given up ended with
        self.current: Server | None = None
        self.passes = 0
        self._servers = self._new_servers(servers)

    # Which there are

    def servers(self) -> list[Server]:
        """Return the servers, in order."""
        return list(self._servers)

    def find(self, url: str) -> Server | None:
        """Return the first server with this URL."""
        return next((server for server in self._servers if server.url == url), None)

    def replace(self, servers: Iterable[Any]) -> None:
        """Know these and no others from now on; the link to the current one may stay. What is known of those that stay, stays."""
        known = {server.address: server for server in self._servers}
        self._servers = [known.get(server.address, server) for server in self._new_servers(servers)]
        for server in self._servers:
            server.tries = max(server.tries, self.passes)  # it is tried at once, and not more often than the others
        self._gone.clear()

    def learn(self, places: Iterable[str], origin: Address) -> tuple[str, ...]:
        """A server has said which servers its cluster has, as host:port. Return the URLs of those that were not known.

        What is discovered is reached as its origin is: scheme, credentials, and the name its certificate must hold, where it is
        known by its IP address. No places at all mean that the server does not tell, and nothing is forgotten.
        """
        addresses = (_discovered(place, origin) for place in islice(places, MAX_NAMED))
        named = {(address.host, address.port): address for address in addresses if address is not None}
        if not named or self._ignores_discovered:
            return ()
        self._servers = [server for server in self._servers if not self._has_vanished(server, named)]
        known = {(server.address.host, server.address.port) for server in self._servers if isinstance(server.address, Address)}
        room = MAX_DISCOVERED - sum(server.is_discovered for server in self._servers)
        found = [Server(address) for place, address in named.items() if place not in known][: max(room, 0)]
        for server in found:
            server.tries = self.passes  # it is tried at once, and not more often than the others
        if self.shuffle is not None:
            self.shuffle(found)
        self._servers += found
        return tuple(server.url for server in found)

    def _has_vanished(self, server: Server, named: dict[tuple[str, int], Address]) -> bool:
        return server.is_discovered and server is not self.current and (server.address.host, server.address.port) not in named

    def _new_servers(self, addresses: Iterable[Any]) -> list[Server]:
        servers = [Server(address) for address in dict.fromkeys(addresses)]
        if self.shuffle is not None:
            self.shuffle(servers)
        return servers

    # Which is next

    def next(self) -> Server | None:
        """Return the server to try next, None where none is left."""
        return min(self._servers, key=attrgetter("tries"), default=None)

    def others(self) -> list[Server]:
        """Return the servers that may be tried in place of the current one, in order."""
        return [server for server in self._servers if server is not self.current]

    def is_pass_over(self, server: Server) -> bool:
        """True if one should wait before this server is tried: all have been."""
        return server.tries > self.passes

    def begin_pass(self) -> None:
        """The wait is over."""
        self.passes = min((server.tries for server in self._servers), default=0)

    def begin_anew(self) -> None:
        """A link has stood for a while, or somebody cannot wait: nothing has been tried yet."""
        self.passes = 0
        for server in self._servers:
            server.tries = 0

    # What became of it

    def note_success(self, server: Server) -> None:
        """An attempt has succeeded. What any server refused before is forgotten, so is what became of those that were given up."""
        self.current = server
        server.tries += 1
        server.failures = 0
        self._gone.clear()
        for other in self._servers:
            other.error = other.refusal = None
        if self._servers and server in self._servers:
            self._servers.remove(server)  # behind the others, for when it is lost
            self._servers.append(server)

    def note_error(self, server: Server, error: Exception) -> None:
        """An attempt has failed."""
        server.tries += 1
        server.error = error

    def note_refusal(self, server: Server, text: str | None) -> bool:
        """It has refused our credentials with this text, or done something else. True if it refuses the second time in a row, alike."""
        is_repeated = text is not None and server.refusal == text
        server.refusal = text
        return is_repeated

    def count_failure(self, server: Server) -> None:
        """One more attempt of those that are counted has failed: give the server up if it is one too many."""
        server.failures += 1
        if self._max_failures is not None and server.failures >= self._max_failures and server in self._servers:
            self._servers.remove(server)
            if server.error is not None:
                self._gone[server.url] = server.error

    def errors(self) -> list[tuple[str, Exception]]:
        """Return (url, error) of each server whose last attempt failed, those that were given up first."""
        return [*self._gone.items(), *((server.url, server.error) for server in self._servers if server.error is not None)]


def longest_wait(passes: int, shortest: float, longest: float) -> float:
    """Return how long one may wait after so many passes over the pool: the shortest bound at first, then twice as long each time."""
    return min(longest, shortest * 2.0 ** min(max(passes - PATIENT_PASSES, 0), 64))


def _discovered(place: str, origin: Address) -> Address | None:
    """Return the address of a server that another one tells of; None where it tells nonsense."""
    try:
        address = parse_servers(f"{origin.scheme}://{place}")[0]
    except ValueError:
        return None
    name = None
    if _is_ip(address.host):
        name = origin.server_name or (None if _is_ip(origin.host) else origin.host)
    return replace(origin, host=address.host, port=address.port, path="", server_name=name, discovered=True)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
