"""Turns: what is sent at the end of a turn of the reactor, and what waits, so that nobody waits long for somebody else's fan-out.

In one turn some connections are read from and some go on with a chunk that was too much for one turn. Who was answered (PONG, INFO,
+OK, -ERR) is sent to at its end, first and whatever else there is to do. What fans out is sent in small steps, as many as the reactor
has time for; the rest follows in the next turn. While publishers are in the middle of a chunk or about to be read from, that waits, so
that a thousand subscribers get ten messages in one ``send`` and not one message in each of ten; but never for more than AGE_SECONDS or
PILE bytes. Little for few does not wait: neither for those who publish to a stream nor for what the stream has to do with it.
"""

from __future__ import annotations

from math import inf
from time import time as wall_clock
from typing import Any

from midge.link.reactor import Reactor
from midge.server.hub import Hub
from midge.server.sending import FEW
from midge.server.verdicts import Verdicts

__all__ = ["AGE_SECONDS", "PILE", "Turns"]

AGE_SECONDS = 0.003
PILE = 4 << 20
STEP = 8  # outboxes sent before the reactor looks at the clock


class Turns:
    """The turns of one running server.

    Attributes:
        verdicts: finds out who clients are, where that takes a while.
        unfinished: how many connections go on with a chunk in the next turn.
        jetstream: does a piece of its work at the end of each turn; None where there is none.
        delay: seconds by which everything that clients send is held back: for tests of those who wait.
    """

    __slots__ = ("_answers_due", "_since", "delay", "hub", "jetstream", "reactor", "time", "unfinished", "verdicts")

    def __init__(self, hub: Hub, reactor: Reactor) -> None:
        self.hub = hub
        self.reactor = reactor
        self.time = reactor.loop.time
        self.unfinished = 0
        self.delay = 0.0
        self._answers_due = inf  # when the answers that are waited for are looked at
        self.jetstream: Any = None
        self._since = 0.0  # when the oldest of what is to be sent was produced, 0.0 where there is none
        self.verdicts = Verdicts(reactor.loop)
        self.set_clock()
        reactor.after = self.step
        reactor.between = self.prompt

    def set_clock(self) -> None:
        """Let the hub know what the wall clock says."""
        self.hub.epoch = self.hub.services.epoch = wall_clock() - self.time()

    def set_delay(self, seconds: float) -> None:
        """Hold back for so long whatever clients send from now on."""
        self.delay = seconds

    def step(self) -> bool:
        """Send some of what there is to send. True where more of it should be sent now."""
        hub = self.hub
        if hub.services.deadline != self._answers_due:
            self._await_answers(hub.services.deadline)
        self.prompt()
        more = self.jetstream is not None and self.jetstream.step()
        if not hub.has_more():
            self._since = 0.0
            return more
        hub.now = self.time()
        if (self.unfinished or self.reactor.has_ready()) and hub.piled < PILE and not hub.owes_little():
            now = hub.now
            if self._since == 0.0:
                self._since = now
            if now < self._since + AGE_SECONDS:
                return False  # the next turn is sure to come
        if hub.flush_some(STEP):
            return True
        self._since = 0.0
        return more

    def prompt(self) -> None:
        """Send what does not wait: to who is answered, and a little for a few."""
        hub = self.hub
        hub.flush_urgent()
        if hub.owes_little():
            hub.flush_dirty(FEW)

    def _await_answers(self, due: float) -> None:
        self._answers_due = due
        if due < inf:
            self.reactor.call_at(due, self._give_up_answers)

    def _give_up_answers(self) -> None:
        """Answers are due that have not come."""
        self._answers_due = inf
        self.hub.services.handle_timeout(self.time())
