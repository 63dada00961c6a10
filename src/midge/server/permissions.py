"""Policy: permissions made ready to be asked. Pure, and shared by everybody who has the same permissions.

    may_publish(subject)           a literal match: a wildcard in the subject of a publish is a token like any other
    may_subscribe(subject, queue)  ALLOWED, DENIED, or FILTERED: a pattern that only overlaps what is denied is accepted, and what is
                                   denied does not get through (``denies``)

An entry "subject queue" is about members of that queue group, whose name may hold wildcards. Where ``subscribe_allow`` has entries with
and without a queue for a subject, those with one decide for members of groups. What is denied is denied, whatever else allows it.

The rules are nats-server's but for one: ``*`` does not allow a subscription with ``>`` in its place, which would get more.

The verdicts that the message path asks for are kept in two dicts that a Guard reads itself. They are bounded in number and in bytes, and
begin anew when they are full: a subject that is not there costs a walk through a small tree, as in any sublist.
"""

from __future__ import annotations

from collections.abc import Iterable

from midge.server.access import Permissions
from midge.server.peer import Sink
from midge.server.sublist import Sublist, Subscription
from midge.server.tokens import is_pattern

__all__ = ["ALLOWED", "DEFAULT_EXPIRES", "DEFAULT_MAX_MSGS", "DENIED", "FILTERED", "Policy", "check_permissions"]

DENIED, ALLOWED, FILTERED = 0, 1, 2
DEFAULT_MAX_MSGS = 1  # of Responses, where they are 0
DEFAULT_EXPIRES = 120.0
MAX_VERDICTS = 4096
MAX_KEPT = 256  # bytes of a subject whose verdict is kept
_STAR, _REST = b"*", b">"
_BLANKS = " \t\n\v\f\r"


class Policy:
    """What one may do.

    Args:
        permissions: as they are configured.

    Attributes:
        verdicts: by subject, whether it may be published to.
        denials: by subject, or subject and queue group, whether it may be delivered.
        answers, expires: of ``responses``, with their defaults; answers is 0 where nothing is allowed for being an answer.

    Raises:
        ValueError: a subject or a queue is none.
    """

    __slots__ = (
        "_deny_patterns", "_publish_allow", "_publish_deny", "_subscribe_allow", "_subscribe_deny",
        "answers", "denials", "expires", "permissions", "verdicts",
    )  # fmt: skip

    def __init__(self, permissions: Permissions) -> None:
        check_permissions(permissions)
        self.permissions = permissions
        self.verdicts: dict[bytes, bool] = {}
        self.denials: dict[bytes | tuple[bytes, bytes], bool] = {}
        responses = permissions.responses
        self.answers = 0 if responses is None else responses.max_msgs or DEFAULT_MAX_MSGS
        self.expires = DEFAULT_EXPIRES if responses is None or responses.expires == 0 else responses.expires
        allow = permissions.publish_allow
        if allow is None and responses is not None:
            allow = ()  # nothing but answers
        self._publish_allow = None if allow is None else _tree(allow)
        self._publish_deny = _tree(permissions.publish_deny) if permissions.publish_deny else None
        self._subscribe_allow = None if permissions.subscribe_allow is None else _tree(permissions.subscribe_allow)
        self._subscribe_deny = _tree(permissions.subscribe_deny) if permissions.subscribe_deny else None
        self._deny_patterns = [_split(entry)[0].split(b".") for entry in permissions.subscribe_deny]

    def may_publish(self, subject: bytes) -> bool:
        """True if the subject may be published to, be it an answer or not."""
        allowed = self._publish_allow is None or _has_plain(self._publish_allow, subject)
        if allowed and self._publish_deny is not None:
            allowed = not _has_plain(self._publish_deny, subject)
        if len(subject) <= MAX_KEPT and (allowed or not self.answers):  # reply subjects are used once
            if len(self.verdicts) >= MAX_VERDICTS:
                self.verdicts.clear()
            self.verdicts[subject] = allowed
        return allowed

    def may_subscribe(self, subject: bytes, queue: bytes | None) -> int:
        """Return ALLOWED, DENIED or FILTERED."""
        tokens = subject.split(b".")
        if self._subscribe_allow is not None and not self._allows(subject, tokens, queue):
            return DENIED
        if self._subscribe_deny is None:
            return ALLOWED
        if self._matches_deny(subject, queue):
            return DENIED
        if (queue is not None or _STAR in tokens or _REST in tokens) and any(_collide(tokens, each) for each in self._deny_patterns):
            return FILTERED
        return ALLOWED

    def denies(self, subject: bytes, queue: bytes | None) -> bool:
        """True if a message may not be delivered to one who has subscribed to it, in that queue group or none."""
        denied = self._subscribe_deny is not None and self._matches_deny(subject, queue)
        if len(subject) <= MAX_KEPT and (queue is None or len(queue) <= MAX_KEPT):
            if len(self.denials) >= MAX_VERDICTS:
                self.denials.clear()
            self.denials[subject if queue is None else (subject, queue)] = denied
        return denied

    def _allows(self, subject: bytes, tokens: list[bytes], queue: bytes | None) -> bool:
        assert self._subscribe_allow is not None
        found = self._subscribe_allow.match_uncached(subject)
        has_rest = tokens[-1] == _REST
        plain = [sub.subject for node in found.nodes for sub in (node.plain or [node.one]) if sub is not None]
        groups = [group for same in found.groups for group in same]
        if has_rest:  # only a pattern that ends in the same way holds all of it
            plain = [pattern for pattern in plain if pattern.endswith(_REST)]
            groups = [group for group in groups if any(member.subject.endswith(_REST) for member in group.members)]
        if queue and groups:
            return any(_is_in_group(queue, group.queue) for group in groups)
        return bool(plain)

    def _matches_deny(self, subject: bytes, queue: bytes | None) -> bool:
        assert self._subscribe_deny is not None
        found = self._subscribe_deny.match_uncached(subject)
        if found.nodes:
            return True
        return bool(queue) and any(_is_in_group(queue, group.queue) for same in found.groups for group in same)  # type: ignore[arg-type]


class _Entry(Sink):
    """Stands where a subscription ends: nothing is ever delivered here."""

    __slots__ = ()


_ENTRY = _Entry()


def check_permissions(permissions: Permissions) -> None:
    """Find out whether subjects and queues are such.

    Raises:
        ValueError: one is not, in nats-server's words.
    """
    for what, entries in (("publish allow", permissions.publish_allow), ("publish deny", permissions.publish_deny)):
        for entry in entries or ():
            if not _is_subject(entry):
                raise ValueError(f'{what}: subject "{entry}" is not a valid subject')
    for what, entries in (("subscribe allow", permissions.subscribe_allow), ("subscribe deny", permissions.subscribe_deny)):
        for entry in entries or ():
            _check_entry(what, entry)


def _check_entry(what: str, entry: str) -> None:
    if _is_subject(entry):
        return
    parts = entry.split()
    if len(parts) != 2:
        raise ValueError(f'{what}: subject "{entry}" is not a valid subject')
    if not _is_subject(parts[0]):
        raise ValueError(f'{what}: subject "{parts[0]}" is not a valid subject')
    if not _is_subject(parts[1]):
        raise ValueError(f'{what}: queue "{parts[1]}" is not a valid queue')


def _is_subject(text: str) -> bool:
    return not any(blank in text for blank in _BLANKS) and is_pattern(text.encode("utf-8", "surrogateescape").split(b"."))


def _split(entry: str) -> tuple[bytes, bytes | None]:
    """Return subject and queue of an entry."""
    subject, *queue = entry.encode("utf-8", "surrogateescape").split()
    return subject, queue[0] if queue else None


def _tree(entries: Iterable[str]) -> Sublist:
    tree = Sublist()
    for subject, queue in dict.fromkeys(_split(entry) for entry in entries):
        tree.insert(Subscription(_ENTRY, subject, queue, b""))
    return tree


def _has_plain(tree: Sublist, subject: bytes) -> bool:
    return bool(tree.match_uncached(subject).nodes)


def _is_in_group(queue: bytes, pattern: bytes) -> bool:
    """True if a queue's name is the entry's, or one of those that the entry's wildcards stand for."""
    return queue == pattern or _is_subset(queue.split(b"."), pattern.split(b"."))


def _is_subset(tokens: list[bytes], pattern: list[bytes]) -> bool:
    """True if everything that the tokens stand for matches the pattern."""
    if pattern[-1] == _REST:
        pattern = pattern[:-1]
        if len(tokens) <= len(pattern):
            return False
    elif len(tokens) != len(pattern):
        return False
    return all(token == wanted or (wanted == _STAR and token != _REST) for token, wanted in zip(tokens, pattern))


def _collide(one: list[bytes], other: list[bytes]) -> bool:
    """True if there is a subject that matches both patterns."""
    for mine, yours in zip(one, other):
        if mine == _REST or yours == _REST:
            return True
        if mine != yours and _STAR not in (mine, yours):
            return False
    return len(one) == len(other)
