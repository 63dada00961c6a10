"""Sublist: who is subscribed to what, and who gets a message published to a subject.

A trie of subject tokens, with one child for ``*`` and one for ``>`` per node, and a bounded cache of match results in front.

The cache has two parts, because request/reply makes a fresh subject for every answer: a result enters *new*, which is thrown away
whole when it is full, and moves to *hot* when it is asked for again. So inbox traffic never drives a busy subject out. A result is
not searched for when subscriptions change: it remembers the change counts of its first token and of the patterns that begin
with a wildcard, and is stale when one of them has moved on. Subscribing costs the same however much is cached, and traffic
on ``_INBOX`` leaves the results for ``orders`` alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Result", "Sublist", "Subscription"]

MAX_HOT = 4096
MAX_NEW = 1024
_STAR, _REST = b"*", b">"


class Subscription:
    """One SUB of one session.

    Attributes:
        session: the session to deliver to; anything with the attributes that the hub uses.
        subject: the pattern.
        queue: the queue group, or None.
        sid: the subscription's id, chosen by the client.
        limit: how many deliveries end it, 0 for no limit.
        delivered: how many there were.
    """

    __slots__ = ("delivered", "limit", "queue", "session", "sid", "subject")

    def __init__(self, session: Any, subject: bytes, queue: bytes | None, sid: bytes) -> None:
        self.session = session
        self.subject = subject
        self.queue = queue
        self.sid = sid
        self.limit = 0
        self.delivered = 0


class Result:
    """The subscriptions that match one subject: those that all get the message, and groups of which one member does."""

    __slots__ = ("_root", "_root_changes", "_wild_changes", "groups", "plain", "subject")

    def __init__(self, subject: bytes) -> None:
        self.subject = subject
        self.plain: list[Subscription] = []
        self.groups: list[list[Subscription]] = []
        self._root: Node | None = None
        self._root_changes = 0
        self._wild_changes = 0


class Node:
    """What follows one token. ``changes`` counts, in a node below the root only, the changes anywhere below it."""

    __slots__ = ("changes", "children", "groups", "plain", "rest", "star")

    def __init__(self) -> None:
        self.children: dict[bytes, Node] = {}
        self.star: Node | None = None
        self.rest: Node | None = None
        self.plain: dict[Subscription, None] = {}
        self.groups: dict[bytes, dict[Subscription, None]] = {}
        self.changes = 0

    def is_empty(self) -> bool:
        return not (self.plain or self.groups or self.children or self.star is not None or self.rest is not None)

    def child(self, token: bytes) -> Node | None:
        if token == _STAR:
            return self.star
        if token == _REST:
            return self.rest
        return self.children.get(token)

    def add_child(self, token: bytes) -> Node:
        node = Node()
        if token == _STAR:
            self.star = node
        elif token == _REST:
            self.rest = node
        else:
            self.children[token] = node
        return node

    def drop_child(self, token: bytes) -> None:
        if token == _STAR:
            self.star = None
        elif token == _REST:
            self.rest = None
        else:
            del self.children[token]


class Sublist:
    """The subscriptions of one account.

    Attributes:
        count: subscriptions present.
        inserts, removes, matches, hits: how often each happened; a hit is a match answered from the cache.
    """

    __slots__ = ("_hot", "_new", "_nowhere", "_root", "_wild", "count", "hits", "inserts", "matches", "removes")

    def __init__(self) -> None:
        self._root = Node()
        self._wild = Node()  # counts the changes of patterns whose first token is a wildcard
        self._nowhere = Node()  # counts how often a first token appeared: stands in for the tokens that are not there
        self._hot: dict[bytes, Result] = {}
        self._new: dict[bytes, Result] = {}
        self.count = self.inserts = self.removes = self.matches = self.hits = 0

    def insert(self, sub: Subscription) -> bool:
        """Add a subscription. False where its subject is malformed: an empty token, or a token after ``>``."""
        tokens = sub.subject.split(b".")
        if b"" in tokens or _REST in tokens[:-1]:
            return False
        node = self._root
        for token in tokens:
            child = node.child(token)
            if child is None:
                child = node.add_child(token)
                if node is self._root:
                    self._nowhere.changes += 1
            node = child
        if sub.queue is None:
            node.plain[sub] = None
        else:
            node.groups.setdefault(sub.queue, {})[sub] = None
        self.count += 1
        self.inserts += 1
        self._count_change(tokens[0])
        return True

    def remove(self, sub: Subscription) -> bool:
        """Remove a subscription, and the nodes that only it needed. False where it is not there."""
        tokens = sub.subject.split(b".")
        node = self._root
        path: list[Node] = [node]
        for token in tokens:
            child = node.child(token)
            if child is None:
                return False
            node = child
            path.append(node)
        members = node.plain if sub.queue is None else node.groups.get(sub.queue)
        if members is None or sub not in members:
            return False
        self._count_change(tokens[0])
        del members[sub]
        if sub.queue is not None and not members:
            del node.groups[sub.queue]
        for i in range(len(tokens), 0, -1):
            node = path[i]
            if not node.is_empty():
                break
            node = path[i - 1]
            node.drop_child(tokens[i - 1])
        self.count -= 1
        self.removes += 1
        return True

    def match(self, subject: bytes) -> Result:
        """Return who gets a message published to the subject. Do not change the result."""
        self.matches += 1
        result = self._hot.get(subject)
        if result is not None:
            if self.is_fresh(result):
                self.hits += 1
                return result
            result = self._walk(subject)
            self._hot[subject] = result
            return result
        result = self._new.get(subject)
        if result is not None:
            del self._new[subject]
            if self.is_fresh(result):
                self.hits += 1
            else:
                result = self._walk(subject)
            if len(self._hot) >= MAX_HOT:
                self._hot.clear()
            self._hot[subject] = result
            return result
        result = self._walk(subject)
        if len(self._new) >= MAX_NEW:
            self._new.clear()
        self._new[subject] = result
        return result

    def is_fresh(self, result: Result) -> bool:
        """True while nothing has changed that could change the result."""
        return result._wild_changes == self._wild.changes and result._root_changes == result._root.changes  # type: ignore[union-attr]

    def cached(self) -> int:
        """Return how many results are kept, at most MAX_HOT + MAX_NEW."""
        return len(self._hot) + len(self._new)

    def _count_change(self, first: bytes) -> None:
        if first == _STAR or first == _REST:
            self._wild.changes += 1
        else:
            node = self._root.children[first]
            node.changes += 1

    def _walk(self, subject: bytes) -> Result:
        result = Result(subject)
        tokens = subject.split(b".")
        root = self._root.children.get(tokens[0])
        result._root = self._nowhere if root is None else root
        result._root_changes = result._root.changes
        result._wild_changes = self._wild.changes
        if b"" not in tokens:
            _collect(self._root, tokens, result)
        return result


def _collect(root: Node, tokens: list[bytes], result: Result) -> None:
    """Add what matches the tokens below the root. A stack and not recursion: a hostile subject has thousands of tokens."""
    count = len(tokens)
    later: list[tuple[Node, int]] = [(root, 0)]
    while later:
        node, at = later.pop()
        while at < count:
            if node.rest is not None:
                _add(node.rest, result)
            if node.star is not None:
                later.append((node.star, at + 1))
            child = node.children.get(tokens[at])
            if child is None:
                break
            node = child
            at += 1
        else:
            _add(node, result)


def _add(node: Node, result: Result) -> None:
    if node.plain:
        result.plain.extend(node.plain)
    for queue, members in node.groups.items():
        for group in result.groups:
            if group[0].queue == queue:
                group.extend(members)
                break
        else:
            result.groups.append(list(members))
