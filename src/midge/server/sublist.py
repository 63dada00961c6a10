"""Sublist: who is subscribed to what, and who gets a message published to a subject.

A trie of subject tokens, with one child for ``*`` and one for ``>`` per node, and a bounded cache of match results in front.

The cache has two parts, because request/reply makes a fresh subject for every answer: a result enters *new*, which is thrown away
whole when it is full, and moves to *hot* when it is asked for again. So inbox traffic never drives a busy subject out. A result is
not searched for when subscriptions change: it remembers the change counts of its first token and of the patterns that begin
with a wildcard, and is stale when one of them has moved on. Subscribing costs the same however much is cached, and traffic
on ``_INBOX`` leaves the results for ``orders`` alone. Stale results keep what they name alive, so they are swept out after every
MAX_HOT removals.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Result", "Sublist", "Subscription"]

MAX_HOT = 4096
MAX_NEW = 1024
_MAX_HOT = MAX_HOT
_MAX_NEW = MAX_NEW
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
    """What follows one token. ``changes`` counts, in a node below the root only, the changes anywhere below it.

    A dict costs more than all the rest of a subscription, and most nodes have one subscription or none: what is empty is None, and
    a lone subscription stands in ``one``.
    """

    __slots__ = ("changes", "children", "groups", "one", "plain", "rest", "star")

    def __init__(self) -> None:
        self.children: dict[bytes, Node] | None = None
        self.star: Node | None = None
        self.rest: Node | None = None
        self.one: Subscription | None = None
        self.plain: dict[Subscription, None] | None = None
        self.groups: dict[bytes, dict[Subscription, None]] | None = None
        self.changes = 0

    def has_one_child_only(self) -> bool:
        """True if one child is all there is."""
        if self.one is not None or self.plain is not None or self.groups is not None:
            return False
        count = 0 if self.children is None else len(self.children)
        return count + (self.star is not None) + (self.rest is not None) == 1

    def is_empty(self) -> bool:
        return (
            self.one is None
            and self.plain is None
            and self.groups is None
            and self.children is None
            and self.star is None
            and self.rest is None
        )

    def child(self, token: bytes) -> Node | None:
        if token == _STAR:
            return self.star
        if token == _REST:
            return self.rest
        return None if self.children is None else self.children.get(token)

    def add_child(self, token: bytes) -> Node:
        node = Node()
        if token == _STAR:
            self.star = node
        elif token == _REST:
            self.rest = node
        elif self.children is None:
            self.children = {token: node}
        else:
            self.children[token] = node
        return node

    def drop_child(self, token: bytes) -> None:
        if token == _STAR:
            self.star = None
        elif token == _REST:
            self.rest = None
        else:
            assert self.children is not None
            del self.children[token]
            if not self.children:
                self.children = None

    def add(self, sub: Subscription) -> None:
        if sub.queue is not None:
            if self.groups is None:
                self.groups = {}
            self.groups.setdefault(sub.queue, {})[sub] = None
        elif self.plain is not None:
            self.plain[sub] = None
        elif self.one is None:
            self.one = sub
        else:
            self.plain = {self.one: None, sub: None}
            self.one = None

    def drop(self, sub: Subscription) -> bool:
        """Take a subscription out. False where it is not there."""
        if sub.queue is not None:
            members = None if self.groups is None else self.groups.get(sub.queue)
            if members is None or sub not in members:
                return False
            del members[sub]
            assert self.groups is not None
            if not members:
                del self.groups[sub.queue]
            if not self.groups:
                self.groups = None
        elif self.one is sub:
            self.one = None
        elif self.plain is None or sub not in self.plain:
            return False
        else:
            del self.plain[sub]
            if not self.plain:
                self.plain = None
        return True


class Sublist:
    """The subscriptions of one account.

    Attributes:
        count: subscriptions present.
        inserts, removes, matches, hits: how often each happened; a hit is a match answered from the cache.
    """

    __slots__ = ("_hot", "_new", "_nowhere", "_root", "_unswept", "_wild", "count", "hits", "inserts", "matches", "removes")

    def __init__(self) -> None:
        self._root = Node()
        self._wild = Node()  # counts the changes of patterns whose first token is a wildcard
        self._nowhere = Node()  # counts how often a first token appeared: stands in for the tokens that are not there
        self._hot: dict[bytes, Result] = {}
        self._new: dict[bytes, Result] = {}
        self._unswept = 0
        self.count = self.inserts = self.removes = self.matches = self.hits = 0

    def insert(self, sub: Subscription) -> bool:
        """Add a subscription. False where its subject is malformed: an empty token, or a token after ``>``."""
        tokens = sub.subject.split(b".")
        if b"" in tokens or (_REST in tokens and tokens.index(_REST) != len(tokens) - 1):
            return False
        node = self._root
        for token in tokens:
            child = node.child(token)
            if child is None:
                child = node.add_child(token)
                if node is self._root:
                    self._nowhere.changes += 1
            node = child
        node.add(sub)
        self.count += 1
        self.inserts += 1
        self._count_change(tokens[0])
        return True

    def remove(self, sub: Subscription) -> bool:
        """Remove a subscription, and the nodes that only it needed. False where it is not there."""
        tokens = sub.subject.split(b".")
        node = self._root
        last = self._root  # the last node on the way that others need too, and which token leads on from there
        at = last_at = 0
        for token in tokens:
            child = node.child(token)
            if child is None:
                return False
            if not node.has_one_child_only():
                last = node
                last_at = at
            node = child
            at += 1
        if not node.drop(sub):
            return False
        self._count_change(tokens[0])
        if node.is_empty():
            self._prune(last, tokens, last_at)
        self.count -= 1
        self.removes += 1
        self._unswept += 1
        if self._unswept >= _MAX_HOT:
            self._sweep()
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
            if len(self._hot) >= _MAX_HOT:
                self._hot.clear()
            self._hot[subject] = result
            return result
        result = self._walk(subject)
        if len(self._new) >= _MAX_NEW:
            self._new.clear()
        self._new[subject] = result
        return result

    def is_fresh(self, result: Result) -> bool:
        """True while nothing has changed that could change the result."""
        return result._wild_changes == self._wild.changes and result._root_changes == result._root.changes  # type: ignore[union-attr]

    def cached(self) -> int:
        """Return how many results are kept, at most MAX_HOT + MAX_NEW."""
        return len(self._hot) + len(self._new)

    def _prune(self, node: Node, tokens: list[bytes], at: int) -> None:
        """Cut off what follows tokens[at] below the node. Node by node, because freeing a chain of thousands recurses in C."""
        while at < len(tokens):
            child = node.child(tokens[at])
            assert child is not None
            node.drop_child(tokens[at])
            node = child
            at += 1

    def _sweep(self) -> None:
        """Forget the stale results."""
        self._unswept = 0
        self._hot = {subject: result for subject, result in self._hot.items() if self.is_fresh(result)}
        self._new = {subject: result for subject, result in self._new.items() if self.is_fresh(result)}

    def _count_change(self, first: bytes) -> None:
        if first == _STAR or first == _REST:
            self._wild.changes += 1
        else:
            node = self._root.child(first)
            assert node is not None
            node.changes += 1

    def _walk(self, subject: bytes) -> Result:
        result = Result(subject)
        tokens = subject.split(b".")
        children = self._root.children
        root = None if children is None else children.get(tokens[0])
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
            child = None if node.children is None else node.children.get(tokens[at])
            if child is None:
                break
            node = child
            at += 1
        else:
            _add(node, result)


def _add(node: Node, result: Result) -> None:
    if node.one is not None:
        result.plain.append(node.one)
    elif node.plain is not None:
        result.plain.extend(node.plain)
    if node.groups is None:
        return
    for queue, members in node.groups.items():
        for group in result.groups:
            if group[0].queue == queue:
                group.extend(members)
                break
        else:
            result.groups.append(list(members))
