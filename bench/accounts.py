"""What accounts cost: the hub alone, without sockets, with the same load plain, mapped, imported as a stream and as a service.

One process, one hub, clients that throw away what they are sent. Reported are the nanoseconds of processor time per message or per
request and its answer, the best of some rounds, and the ratio to the plain one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from report import print_table

from midge.server.access import User
from midge.server.account_options import AccountOptions, Destination, Export, Import
from midge.server.hub import Hub
from midge.server.options import ServerOptions

SIZE = 128
CHUNK = 300  # messages in one read


class Client:
    """A session whose driver forgets what it is to send."""

    def __init__(self, hub: Hub, data: bytes = b"", user: str = "") -> None:
        self.hub = hub
        self.session = hub.admission.connect("127.0.0.1:1", 0.0, 0.0)
        self.session.transport = self
        self.sent = b""
        self.keeps = False
        credentials = f'"user":"{user}","pass":"p",' if user else ""
        self.say(b'CONNECT {%b"headers":true,"verbose":false,"pedantic":false}\r\n' % credentials.encode() + data)

    def flush(self) -> None:
        if self.keeps:
            self.sent += self.session.data_to_send()
        else:
            self.session.outbox.clear()

    def say(self, data: bytes) -> None:
        chunk = bytearray(data)
        done = self.hub.receive(self.session, chunk, len(chunk), 0.0)
        while not done:
            self.hub.flush()
            done = self.hub.proceed(self.session, 0.0)
        self.hub.flush()


def options(mappings: dict[str, tuple[Destination, ...]] | None = None) -> ServerOptions:
    accounts = (
        AccountOptions(name="A", imports=(Import(kind="stream", account="B", subject="ev"), Import(kind="stream", account="B", subject="px",
                       prefix="p"), Import(kind="service", account="B", subject="svc")), mappings=mappings or {}),
        AccountOptions(name="B", exports=(Export(kind="stream", subject="ev"), Export(kind="stream", subject="px"),
                       Export(kind="service", subject="svc"))),
    )  # fmt: skip
    return ServerOptions(accounts=accounts, users=tuple(User(user=name, password="p", account=name.upper()) for name in "ab"))


def publishing(hub: Hub, publisher: str, subscriber: str, subject: bytes, pattern: bytes) -> Callable[[], int]:
    """A publisher and a subscriber."""
    Client(hub, b"SUB %b 1\r\n" % pattern, subscriber)
    client = Client(hub, user=publisher)
    data = (b"PUB %b %d\r\n" % (subject, SIZE) + b"x" * SIZE + b"\r\n") * CHUNK

    def run() -> int:
        client.say(data)
        return CHUNK

    return run


def requesting(hub: Hub, requestor: str, responder: str, subject: bytes) -> Callable[[], int]:
    """A requestor whose replies are each of a subject of their own, as clients ask, and a responder that answers each."""
    server = Client(hub, b"SUB %b 1\r\n" % subject, responder)
    client = Client(hub, b"SUB _INBOX.abc.* 1\r\n", requestor)
    server.keeps = True
    payload = b"x" * SIZE
    asked = 0

    def run() -> int:
        nonlocal asked
        parts = [b"PUB %b _INBOX.abc.%d %d\r\n%b\r\n" % (subject, asked + number, SIZE, payload) for number in range(CHUNK)]
        asked += CHUNK
        client.say(b"".join(parts))
        lines = [line for line in server.sent.split(b"\r\n") if b"MSG " in line[:5]]
        server.sent = b""
        answers = b"".join(b"PUB %b %d\r\n%b\r\n" % (line.split(b" ")[3], SIZE, payload) for line in lines)
        started = time.process_time_ns()
        server.say(answers)
        spent[0] += time.process_time_ns() - started
        return len(lines)

    spent = [0]
    client_say = client.say

    def timed(data: bytes) -> None:
        started = time.process_time_ns()
        client_say(data)
        spent[0] += time.process_time_ns() - started

    client.say = timed  # type: ignore[method-assign]
    run.spent = spent  # type: ignore[attr-defined]
    return run


def best(run: Callable[[], int], rounds: int, count: int) -> float:
    """Nanoseconds of the best round for one message."""
    found = []
    for _ in range(rounds):
        done = 0
        spent = getattr(run, "spent", None)
        if spent is not None:
            spent[0] = 0
        started = time.process_time_ns()
        while done < count:
            done += run()
        found.append((spent[0] if spent is not None else time.process_time_ns() - started) / done)
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(description="What accounts, mappings and imports cost in the hub.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=60_000)
    arguments = parser.parse_args()
    mapped = options(mappings={"from": (Destination(subject="to"),), "from.*": (Destination(subject="to.$1"),)})
    seed = 1
    loads = [
        ("publish, no accounts", publishing(Hub(ServerOptions(), "N" * 56, seed), "", "", b"a", b"a"), 0),
        ("publish in an account of two", publishing(Hub(options(), "N" * 56, seed), "b", "b", b"a", b"a"), 0),
        ("publish, account with mappings", publishing(Hub(mapped, "N" * 56, seed), "a", "a", b"a", b"a"), 0),
        ("publish, mapped", publishing(Hub(mapped, "N" * 56, seed), "a", "a", b"from.x", b"to.x"), 0),
        ("stream import", publishing(Hub(options(), "N" * 56, seed), "b", "a", b"ev", b"ev"), 0),
        ("stream import with a prefix", publishing(Hub(options(), "N" * 56, seed), "b", "a", b"px", b"p.px"), 0),
        ("request and answer", requesting(Hub(ServerOptions(), "N" * 56, seed), "", "", b"svc"), 6),
        ("request and answer by a service import", requesting(Hub(options(), "N" * 56, seed), "a", "b", b"svc"), 6),
    ]
    costs = [best(run, arguments.rounds, arguments.count) for _, run, _ in loads]
    rows = [[name, f"{cost:.0f}", f"{cost / costs[plain]:.2f}"] for (name, _, plain), cost in zip(loads, costs)]
    print_table(["load", "ns", "ratio"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
