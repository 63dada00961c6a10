"""Intake: what happens to a message that is published to a stream's subjects. The message path of a stream.

Most messages have no header and belong to a stream that does nothing but store: they take the short way, where nothing is allocated but
their acknowledgement. Everything else goes through ``admission``. Answers (acknowledgements, refusals, what is republished) wait here in
the order in which they arose, each until all is safe that it tells of: ``flush`` lets go of those that may leave.

What waits is bounded by what arrives while one round of the store is written.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from midge.engine.errors import ApiError

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.engine.claims import Claims
    from cython.cimports.midge.engine.dedupe import Dedupe
    from cython.cimports.midge.wire.octets import cut
    from cython.cimports.midge.wire.publication import Publication
else:
    from midge.engine.claims import Claims
    from midge.engine.dedupe import Dedupe
    from midge.wire.octets import cut
    from midge.wire.publication import Publication

__all__ = ["Intake", "ends_fast"]

MESSAGE_TOO_LARGE = 10054
WRONG_LAST_SEQUENCE = 10071
STORE_FAILED = 10077
NO_ROOM = 10023
_MAX_HEADER = 65535
_FLOW = b'{"type":"ack"'  # how a fast batch is told how far it is
_FAST = b".$FI"  # what the reply subject of a fast batch ends in


class Intake:
    """The way into one stream.

    Args:
        stream: the Stream. It is asked for everything that does not happen with each message.
        store: where the messages go.
        dedupe: the ids it has had.

    Attributes:
        careful: every message takes the long way.
        renames, republishes: subjects are transformed, or messages are sent on.
        choosy: only what somebody is interested in is kept.
        metered: the account has limits.
        full: the server has no room for more.
        limited: after each message limits have to be seen to.
        timed: messages expire, and the first one arms a timer.
        acks: publishers are answered.
        max_size: bytes of header and payload that a message may have; -1 for any.
        last_id: the message id of the last message, empty where it had none.
        dirty: it stands on the engine's list of streams that have answers.
        followed: other streams want to know when something is committed.
    """

    __slots__ = (
        "_answers", "_claims", "_due", "_head", "_settling", "acks", "careful", "choosy", "closed", "dedupe", "dirty", "followed", "full",
        "last_id", "limited", "max_size", "metered", "renames", "republishes", "store", "stream", "timed",
    )  # fmt: skip

    def __init__(self, stream: Any, store: Any, dedupe: Dedupe) -> None:
        self.stream = stream
        self.store = store
        self.dedupe = dedupe
        self.careful = self.limited = self.timed = self.dirty = self.closed = self._settling = False
        self.renames = self.republishes = self.choosy = self.metered = self.full = self.followed = False
        self.acks = True
        self.max_size = -1
        self.last_id = b""
        self._head = b""
        self._claims = Claims()
        self._answers: list[Publication] = []
        self._due: list[int] = []  # the sequence that must be committed before the answer of that place may leave

    def set_head(self, head: bytes) -> None:
        """Say how acknowledgements begin, up to the sequence."""
        self._head = head

    def receive(self, publication: Publication, wall: int) -> bool:
        """Take a message. True: there was somebody to get it."""
        if self.closed:
            return False
        if self.careful or (publication.reply_end and ends_fast(publication)):
            self.stream.admit(publication, wall)
        elif publication.header_size <= 0:
            self._take(publication, wall, b"")
        elif not self._take_simple(publication, wall):
            self.stream.admit(publication, wall)
        return True

    def _take_simple(self, publication: Publication, wall: int) -> bool:
        """Take a message whose headers ask for little: see ``Claims``. False where they ask for more.

        What is done, and in which order, is what ``admission`` does.
        """
        claims = self._claims
        if not claims.read(publication):
            return False
        if claims.last_of_subject != -1:
            if self.stream.purging is not None:
                return False
            last = self.stream.last_of(publication.subject())
            if claims.last_of_subject != last:
                self.refuse(publication, ApiError(WRONG_LAST_SEQUENCE, seq=last))
                return True
        if claims.last != -1:
            last = self.store.last
            if claims.last != last:
                self.refuse(publication, ApiError(WRONG_LAST_SEQUENCE, seq=last))
                return True
        id = claims.id
        if id:
            sequence = self.dedupe.find(id, wall)
            if sequence:
                self.acknowledge(publication, sequence, b',"duplicate": true}')
                return True
        if publication.header_size > _MAX_HEADER:
            return False
        self._take(publication, wall, id)
        return True

    def _take(self, publication: Publication, wall: int, id: bytes) -> None:
        """Store a message as it came, and answer that, when it may be told."""
        if self.max_size >= 0 and publication.payload_end - publication.payload_start > self.max_size:
            self.refuse(publication, ApiError(MESSAGE_TOO_LARGE))
            return
        if self.full:
            self.refuse(publication, ApiError(NO_ROOM))
            return
        try:
            sequence = self.store.append(publication, wall)
        except OSError as error:
            self.refuse(publication, ApiError(STORE_FAILED, err=error))
            return
        self.last_id = id
        if id:
            if len(self.dedupe):
                self.dedupe.add(id, sequence, wall)
            else:
                self.stream.remember(id, sequence, wall)
        if self.timed or self.limited:
            self.stream.appended(publication, sequence)
        if self.acks and publication.reply_end:
            self._put(publication.answer(self._head, sequence, b"}"), sequence)
        elif not self.dirty:
            self._note()

    def acknowledge(self, publication: Publication, sequence: int, tail: bytes) -> None:
        """Answer that the message is stored, when it is."""
        if self.acks and publication.reply_end:
            self._put(publication.answer(self._head, sequence, tail), self.store.last)
        elif not self.dirty:
            self._note()

    def acknowledgement(self, sequence: int, tail: bytes) -> bytes:
        """Return the payload of an answer that says that a message is stored."""
        return b"%b%d%b" % (self._head, sequence, tail)

    def respond(self, publication: Publication, payload: bytes) -> None:
        """Answer something else, behind the answers to what came before."""
        if self.acks and publication.reply_end:
            self._put(Publication.compose(publication.reply(), b"", b"", payload), self.store.last)

    def refuse(self, publication: Publication, error: ApiError) -> None:
        """Answer that it is not, behind the answers to what came before."""
        if self.acks and publication.reply_end:
            self.respond(publication, self.stream.refusal(error))

    def send(self, publication: Publication) -> None:
        """Send a message when all is safe that is stored by now."""
        self._put(publication, self.store.last)

    def flush(self) -> None:
        """Let go of the answers that may leave; see to it that the others will."""
        self.dirty = False
        self._release(self.store.committed)
        if self.followed:
            self.stream.advanced()
        self.see_to_settling()

    def see_to_settling(self) -> None:
        """See to it that the stream hears what becomes of what was stored; where the store's next round may begin before ``flush``, now."""
        store = self.store
        if not self._settling and (store.committed < store.last or store.is_pending):  # what was removed may come back, too
            self._settling = True
            store.settle(self._settled)

    def _release(self, committed: int) -> None:
        due = self._due
        if not due:
            return
        count = len(due) if due[len(due) - 1] <= committed else bisect_right(due, committed)
        if count == len(due):
            answers, self._answers, self._due = self._answers, [], []
            self.stream.answer(answers)
        elif count:
            answers, self._answers, self._due = self._answers[:count], self._answers[count:], due[count:]
            self.stream.answer(answers)

    def _settled(self, error: Exception | None) -> None:
        """A round of the store is over."""
        self._settling = False
        if self.closed:
            return
        if error is not None:
            self._release(self.store.committed)
            self._undo(error)
        self.flush()

    def _undo(self, error: Exception) -> None:
        """What was not committed is gone: say so to those who wait for it. (The others' answers have left already.)"""
        committed = self.store.committed
        refusal = self.stream.refusal(ApiError(STORE_FAILED, err=error))
        answers, self._answers, self._due = self._answers, [], []
        for answer in answers:
            if answer.header_size >= 0:  # a message that was to be republished
                continue
            payload = answer.payload()
            if payload.startswith(_FLOW):  # the batch is ended
                continue
            if payload.startswith(self._head):
                answer = Publication.compose(answer.subject(), b"", b"", refusal)
            self._answers.append(answer)
            self._due.append(committed)
        self.stream.undone(error)

    def _put(self, answer: Publication, due: int) -> None:
        self._answers.append(answer)
        self._due.append(due)
        if not self.dirty:
            self._note()

    def _note(self) -> None:
        self.dirty = True
        self.stream.note(self)


def ends_fast(publication: Publication) -> bool:
    """True if a message that has a reply subject belongs to a fast batch: its reply subject says so."""
    end = publication.reply_end
    return end - publication.reply_start > 4 and publication.buf[end - 1] == 73 and cut(publication.buf, end - 4, end) == _FAST
