"""What a service import costs beside a plain request, through sockets: a server in a process of its own, a requestor and a responder here.

The requestor keeps so many requests under way, each with a reply subject of its own, as clients ask. Both kinds take turns in one run.
Reported are requests a second and the server's processor time for each, the median of the rounds, and the ratio.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import sys
import threading
import time
from statistics import median
from typing import Any

from report import print_table

import midge
from midge.server.access import User
from midge.server.account_options import AccountOptions, Export, Import

SIZE = 128


def serve(pipe: Any) -> None:
    accounts = (
        AccountOptions(name="A", imports=(Import(kind="service", account="B", subject="imported"),)),
        AccountOptions(name="B", exports=(Export(kind="service", subject="imported"),)),
    )
    users = tuple(User(user=name, password="p", account=name.upper()) for name in "ab")
    with midge.Server(host="127.0.0.1", port=0, accounts=accounts, users=users) as server:
        pipe.send(server.port)
        pipe.recv()


class Line:
    """A connection of a user, who has subscribed."""

    def __init__(self, port: int, user: str, commands: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        hello = b'CONNECT {"user":"%b","pass":"p","verbose":false,"pedantic":false,"headers":true}\r\n' % user.encode()
        self.socket.sendall(hello + commands + b"PING\r\n")
        while b"PONG\r\n" not in self.rest:
            self.rest += self.socket.recv(65536)
        self.rest = b""

    def heads(self) -> list[bytes]:
        """The first lines of the messages that have come, at least one."""
        while True:
            data = self.rest + self.socket.recv(1 << 18)
            found, at = [], 0
            while (end := data.find(b"\r\n", at)) >= 0:
                head = data[at:end]
                if b"MSG " in head[:5]:
                    behind = end + 4 + int(head[head.rindex(b" ") :])
                    if behind > len(data):
                        break
                    found.append(head)
                    at = behind
                else:
                    at = end + 2
            self.rest = data[at:]
            if found:
                return found


def respond(line: Line) -> None:
    """Answer everything, until the connection is gone."""
    payload = b"y" * SIZE
    try:
        while True:
            line.socket.sendall(b"".join(b"PUB %b %d\r\n%b\r\n" % (head.split(b" ")[3], SIZE, payload) for head in line.heads()))
    except (OSError, ValueError):
        return


def ask(line: Line, subject: bytes, count: int, under_way: int) -> float:
    """Ask so often, and return the seconds that took."""
    payload = b"x" * SIZE
    started = time.perf_counter()
    asked = answered = 0
    while answered < count:
        fresh = range(asked, min(count, answered + under_way))
        line.socket.sendall(b"".join(b"PUB %b _INBOX.abcdefgh.%d %d\r\n%b\r\n" % (subject, number, SIZE, payload) for number in fresh))
        asked += len(fresh)
        answered += len(line.heads())
    return time.perf_counter() - started


def cpu(process: Any) -> float:
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description="A service import beside a plain request, through sockets.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--under-way", type=int, nargs="+", default=[1, 64])
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    port = here.recv()
    responder = Line(port, "b", b"SUB plain 1\r\nSUB imported 2\r\n")
    threading.Thread(target=respond, args=(responder,), daemon=True).start()
    rows = []
    inbox = b"SUB _INBOX.abcdefgh.* 1\r\n"
    kinds = {"plain": Line(port, "b", inbox), "imported": Line(port, "a", inbox)}
    for under_way in arguments.under_way:
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(arguments.rounds):
            for kind, line in kinds.items():
                before = cpu(process)
                seconds = ask(line, kind.encode(), arguments.count, under_way)
                found[kind].append((arguments.count / seconds, (cpu(process) - before) / arguments.count * 1e9))
        rates = {kind: [median(column) for column in zip(*values)] for kind, values in found.items()}
        for kind, (rate, cost) in rates.items():
            ratio = f"{rates['plain'][0] / rate:.2f}", f"{cost / rates['plain'][1]:.2f}"
            rows.append([f"{kind}, {under_way} under way", f"{rate:,.0f}", f"{cost:.0f}", *ratio])
    print_table(["request", "requests/s", "server cpu ns", "slower by", "cpu ratio"], rows)
    here.send(None)
    process.join(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
