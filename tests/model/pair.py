"""An engine and a nats-server that are told the same, and what of their answers has to be the same: a stream with pull consumers.

What comes of a pull is compared as it is delivered, but for the time in its reply subject. What nats-server does behind the back of the one
who asked (it tells its consumers of messages that are stored, deleted or purged) is waited for: what both say of themselves is compared
again until it is the same, for so long.
"""

import json
import time
from contextlib import ExitStack
from typing import Any

from jetstream_player import Player, api
from plain_consumer import numbers
from servers import running_nats_server
from worlds import Delivered, World

PATIENCE = 3.0  # seconds in which both have to agree
PAUSE = 0.002
TOLD = ("delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_pending")


class Puller(Player):
    """A connection to nats-server over which consumers are pulled from, too."""

    def tell(self, subject: str, body: bytes) -> None:
        """Publish, and let nats-server have read it."""
        self.socket.sendall(b"PUB %b %d\r\n%b\r\nPING\r\n" % (subject.encode(), len(body), body))
        while self.received.line() != b"PONG":
            pass

    def pull(self, subject: str, body: bytes, expected: int) -> list[Delivered]:
        """Return so many messages, or those up to a status; and whatever else has come when the server has answered another question."""
        self.number += 1
        inbox = b"I.%d" % self.number
        self.socket.sendall(b"SUB %b %d\r\nPUB %b %b %d\r\n%b\r\n" % (inbox, self.number, subject.encode(), inbox, len(body), body))
        came: list[Delivered] = []
        while len(came) < expected and not (came and not came[-1].reply):
            came += self._messages(inbox, self.received.line())
        self.socket.sendall(b"UNSUB %d\r\nPING\r\n" % self.number)
        while (line := self.received.line()) != b"PONG":
            came += self._messages(inbox, line)
        return came

    def _messages(self, inbox: bytes, line: bytes) -> list[Delivered]:
        """Return the message that a line begins, if it is for this inbox; a status has no reply subject."""
        words = line.split()
        if words[0] not in (b"MSG", b"HMSG"):
            return []
        body = self.received.take(int(words[-1]))
        self.received.take(2)
        size = int(words[-2]) if words[0] == b"HMSG" else 0
        reply = words[3] if len(words) > (5 if size else 4) else b""
        return [Delivered(inbox, words[1], reply, body[:size], body[size:])] if words[2] == inbox[2:] else []


class Real:
    """A nats-server that keeps its streams in a directory, and can be stopped and started again.

    Attributes:
        player: the connection to it; another one after each start.
    """

    player: Puller

    def __init__(self, path: str) -> None:
        self._conf = f"jetstream {{ store_dir: {json.dumps(path)} }}"
        self._stack = ExitStack()

    def start(self) -> None:
        self.player = Puller(*self._stack.enter_context(running_nats_server(self._conf)))
        self._stack.callback(self.player.close)

    def stop(self) -> None:
        self._stack.close()


class Pair:
    """Both of them.

    Args:
        world: with our engine; somebody may put another one in its place.
        real: the connection to nats-server.
    """

    def __init__(self, world: World, real: Puller) -> None:
        self.world = world
        self.real = real
        self.number = 0

    def api(self, subject: str, **body: Any) -> dict[str, Any]:
        """Ask both; return our answer, with which nats-server's agrees about what is refused."""
        (answer,) = self.real.ask(api(subject, body or None))
        real, ours = json.loads(answer), self.world.api(subject, **body)
        for name in ("error", "success", "purged"):
            assert real.get(name) == ours.get(name), (subject, body, real, ours)
        return ours

    def publish(self, subject: str, payload: bytes) -> None:
        """Publish to both; what they answer is the same."""
        assert self.real.request(subject, payload).decode() == self.world.ack(subject, payload)

    def ask(self, subject: str, body: bytes, seconds: float = 0.0) -> list[Delivered]:
        """Ask both for messages; return those that come, the same from both: at once, or in so many seconds of our time."""
        self.number += 1
        inbox = f"I.{self.number}"
        seen = len(self.world.outside.delivered)
        sent = len(self.world.outside.sent)
        self.world.publish(subject, body, inbox)
        self.world.wait(seconds)
        new = self.world.outside.delivered[seen:]
        came = [each for each in new if each.reply]
        told = [each.header for each in new if not each.reply]
        told += [header for to, header, _ in self.world.outside.sent[sent:] if to == inbox.encode()]
        self.world.outside.deaf.add(inbox.encode())
        real = self.real.pull(subject, body, len(came) + len(told))
        ours = [(each.subject, *places(each), each.payload) for each in came]
        assert [(each.subject, *places(each), each.payload) for each in real if each.reply] == ours, (subject, body)
        assert [each.header for each in real if not each.reply] == told, (subject, body)
        return came

    def answer(self, message: Delivered, body: bytes) -> bool:
        """Acknowledge to both in any way, and have it confirmed; return whether it was."""
        self.number += 1
        reply = f"R.ack{self.number}"
        sent = len(self.world.outside.sent)
        self.world.publish(message.reply.decode(), body, reply)
        self.world.turn()
        told = any(to == reply.encode() for to, *_ in self.world.outside.sent[sent:])
        if told:
            self.real.request(message.reply.decode(), body)
        else:
            self.real.tell(message.reply.decode(), body)
        return told

    def agree(self, names: list[str]) -> None:
        """What both say of the stream and of its consumers is the same, or will be soon."""
        end = time.monotonic() + PATIENCE
        for question in ("STREAM.INFO.S", *(f"CONSUMER.INFO.S.{name}" for name in names)):
            ours = said(self.world.api(question, **asked(question)))
            while (real := said(json.loads(self.real.request(f"$JS.API.{question}", json.dumps(asked(question)).encode())))) != ours:
                assert time.monotonic() < end, (question, real, ours)
                time.sleep(PAUSE)


def asked(question: str) -> dict[str, Any]:
    return {"deleted_details": True} if question.startswith("STREAM") else {}


def places(message: Delivered) -> tuple[int, ...]:
    """Deliveries, the stream's and the consumer's sequence, and how many are left."""
    count, sequence, place, _, left = numbers(message)
    return count, sequence, place, left


def said(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what both have to say in the same way."""
    if "state" in answer:
        state = answer["state"]
        if not state["last_seq"]:  # nats-server lists sequence 0 as deleted, and begins with 1 where the last consumer has gone
            state |= {"deleted": None, "first_seq": 0}
        return {name: state.get(name) for name in ("messages", "first_seq", "last_seq", "deleted", "consumer_count")}
    found = {name: answer[name] for name in TOLD}
    for name in ("delivered", "ack_floor"):
        found[name] = {key: value for key, value in found[name].items() if key != "last_active"}
    return found
