"""Guard: one client's permissions as the message path asks of them, with the verdicts it has found last.

A client that may do everything has no guard, and costs one comparison of a pointer. The others are asked once per change of subject:
``may_publish`` for what they publish, ``denies`` for what they are about to get, where they subscribed with a wildcard to more than they
may have. The verdicts behind that are the policy's, shared by everybody who has the same permissions.

``allow_responses`` is kept here too: the reply subjects of what was delivered, each good for so many answers and so long. What a peer can
make it remember is bounded; beyond that the oldest are forgotten, which costs somebody an answer and nobody memory.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.wire.octets import cut, same
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.wire.octets import cut, same
    from midge.wire.publication import Publication

__all__ = ["MAX_REPLIES", "MAX_REPLY_BYTES", "Guard"]

MAX_REPLIES = 65_536
MAX_REPLY_BYTES = 8 << 20
_MAX_REPLIES = MAX_REPLIES
_MAX_REPLY_BYTES = MAX_REPLY_BYTES
_PRUNE_SECONDS = 1.0
_NO_SUBJECT = b"\n"  # the empty one is where a mapping sends what is meant to be lost


class Guard:
    """The permissions of one client.

    Args:
        policy: what it may do, a Policy.

    Attributes:
        filtering: it subscribes to more than it may have: what is delivered has to be looked at.
        answers: how often it may answer on a reply subject, less than 0 without limit; 0 where it may not.
    """

    __slots__ = (
        "_allowed", "_denials", "_denied", "_expires", "_group", "_looked_at", "_pruned", "_replies", "_reply_bytes", "_verdicts",
        "answers", "filtering", "policy",
    )  # fmt: skip

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.filtering = False
        self.answers: int = policy.answers
        self._expires: float = policy.expires
        self._verdicts: dict[bytes, bool] = policy.verdicts
        self._denials: dict[Any, bool] = policy.denials
        self._allowed = _NO_SUBJECT  # what it has published to last
        self._looked_at = _NO_SUBJECT  # what was looked at last on its way to it,
        self._group: bytes | None = None  # for which queue group,
        self._denied = False  # and how that ended
        self._replies: OrderedDict[bytes, Expected] | None = None
        self._reply_bytes = 0
        self._pruned = 0.0

    def may_publish(self, publication: Publication, now: float) -> bool:
        """True if it may publish this. An answer counts."""
        if same(publication.buf, publication.subject_start, publication.subject_end, self._allowed):
            return True
        subject = cut(publication.buf, publication.subject_start, publication.subject_end)
        if self._replies is not None and subject in self._replies:
            return self._use(subject, now)
        verdict = self._verdicts.get(subject)
        if verdict is None:
            verdict = self.policy.may_publish(subject)
        if verdict:
            self._allowed = subject
            return True
        return False

    def denies(self, publication: Publication, queue: bytes | None) -> bool:
        """True if it may not have this message, though it has subscribed to it."""
        if queue is self._group and same(publication.buf, publication.subject_start, publication.subject_end, self._looked_at):
            return self._denied
        subject = cut(publication.buf, publication.subject_start, publication.subject_end)
        denied = self._denials.get(subject if queue is None else (subject, queue))
        if denied is None:
            denied = self.policy.denies(subject, queue)
        self._looked_at = subject
        self._group = queue
        self._denied = denied
        return self._denied

    def expect(self, publication: Publication, now: float) -> None:
        """It gets a message that asks for an answer: let it give one, unless it may publish there anyway.

        As in nats-server, whoever gets the same request again has used up an answer.
        """
        reply = publication.reply()
        replies = self._replies
        if replies is None:
            replies = self._replies = OrderedDict()
            self._pruned = now
        if reply in replies:
            if self._use(reply, now):
                return
        elif self._verdicts.get(reply) or self.policy.may_publish(reply):
            return
        if now - self._pruned > _PRUNE_SECONDS:
            self._prune(now)
        expected = Expected.__new__(Expected)
        expected.since = now
        expected.used = 0
        replies[reply] = expected
        self._reply_bytes += len(reply)
        while len(replies) > _MAX_REPLIES or self._reply_bytes > _MAX_REPLY_BYTES:
            self._reply_bytes -= len(replies.popitem(last=False)[0])

    def expected(self) -> int:
        """Return on how many subjects it may answer."""
        return 0 if self._replies is None else len(self._replies)

    def _use(self, reply: bytes, now: float) -> bool:
        """Count one more use of a reply subject that is there. False, and it is there no more, where it has expired."""
        assert self._replies is not None
        expected: Expected = self._replies[reply]
        expected.used += 1
        is_good = self._expires < 0 or now - expected.since <= self._expires
        if not is_good or 0 < self.answers <= expected.used:
            del self._replies[reply]
            self._reply_bytes -= len(reply)
        return is_good

    def _prune(self, now: float) -> None:
        """Forget what has expired: the oldest come first."""
        self._pruned = now
        if self._expires < 0 or self._replies is None:
            return
        while self._replies:
            reply = next(iter(self._replies))
            expected: Expected = self._replies[reply]
            if now - expected.since <= self._expires:
                break
            del self._replies[reply]
            self._reply_bytes -= len(reply)


class Expected:
    """One reply subject: since when it is known, and how often it was used."""

    __slots__ = ("since", "used")

    since: float
    used: int
