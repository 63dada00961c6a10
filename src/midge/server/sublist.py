"""Sublist: who is subscribed to what, and who gets a message published to a subject.

A trie of subject tokens, with one child for ``*`` and one for ``>`` per node. The node where a pattern ends has its subscriptions:

    Node.one                a lone plain subscription, or
    Node.plain              [first, None, third ...]  in the order they came; each knows its place; one that leaves leaves a hole
    Node.groups             {queue name: Group.members}  in no order: the last takes the place of one that leaves

Coming and going costs the same however many there are, and is visible at once to whoever holds a node: a match result refers to
nodes and groups and never to copies of their members (see ``results`` for when it is stale). Holes are closed when they are half of
a list, but not while ``routing`` is not 0: between ``routing += 1`` and ``routing -= 1`` places stay as they are, so a pass over the
members neither skips nor repeats anybody who is there all the time, nor meets anybody who left. ``settle`` does what had to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from midge.server.watch import Watch, Watches

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.server.peer import Peer, Sink
    from cython.cimports.midge.server.results import Result, Results
    from cython.cimports.midge.server.stem import Stem
    from cython.cimports.midge.server.tokens import has_empty_token, has_wildcard, is_pattern
else:
    from midge.server.peer import Peer, Sink
    from midge.server.results import Result, Results
    from midge.server.stem import Stem
    from midge.server.tokens import has_empty_token, has_wildcard, is_pattern

__all__ = ["Group", "Node", "Sublist", "Subscription"]

_STAR, _REST = b"*", b">"


class Subscription:
    """One subscription of one client, or of the server itself. It has one of two ends.

    Attributes:
        peer, sink: who or what gets the messages; the other is None.
        subject: the pattern.
        queue: the queue group, or None.
        sid: the subscription's id, chosen by the client.
        limit: how many deliveries end it, 0 for no limit.
        delivered: how many there were.
    """

    __slots__ = ("_at", "delivered", "limit", "peer", "queue", "sid", "sink", "subject")

    def __init__(self, end: Peer | Sink, subject: bytes, queue: bytes | None, sid: bytes) -> None:
        self.peer = end if isinstance(end, Peer) else None
        self.sink = end if isinstance(end, Sink) else None
        if self.peer is None and self.sink is None:
            raise TypeError(f"a subscription ends in a Peer or a Sink, not a {type(end).__name__}")
        self.subject = subject
        self.queue = queue
        self.sid = sid
        self.limit = 0
        self.delivered = 0
        self._at = -1  # its place among the members of its node or group; -1 where it is in no sublist


class Group:
    """The members of a queue group that subscribed to one pattern: one of them gets each message."""

    __slots__ = ("members", "queue")

    def __init__(self, queue: bytes) -> None:
        self.queue = queue
        self.members: list[Subscription] = []


class Node:
    """What follows one token, and the subscriptions that end here. Read it; the sublist changes it.

    Most nodes have one subscription or none, and a list or dict costs more than that: what is empty is None. Functions and not methods
    work on it, whose table would cost each node 16 bytes.
    """

    __slots__ = ("children", "groups", "one", "plain", "rest", "star")

    def __init__(self) -> None:
        self.children: dict[bytes, Node] | None = None
        self.star: Node | None = None
        self.rest: Node | None = None
        self.one: Subscription | None = None
        self.plain: list[Subscription | None] | None = None
        self.groups: dict[bytes, Group] | None = None

    def __dealloc__(self) -> None:
        _free_stars(self)  # compiled only; plain Python sees to it itself


class Sublist:
    """The subscriptions of one account.

    Attributes:
        routing: how many passes over the members of a result are under way; whoever makes one counts it.
        unsettled: True if there is something to ``settle`` when ``routing`` is 0 again.
        count: subscriptions present.
        searched: how many nodes the last match went through; 0 where the result was kept.
        inserts, removes, matches, hits: how often each happened; a hit is a match answered from the results that are kept.
    """

    __slots__ = (
        "_crowded", "_holes", "_results", "_root", "_stem", "_watches",
        "count", "hits", "inserts", "matches", "removes", "routing", "searched", "unsettled",
    )  # fmt: skip

    def __init__(self) -> None:
        self._root = Node()
        self._results = Results()
        self._stem = Stem()
        self._holes: dict[Node, int] = {}  # how many there are, in the nodes that have any
        self._crowded: list[Node] = []  # nodes whose holes are to be closed after routing
        self._watches: Watches | None = None  # nobody watches
        self.routing = 0
        self.unsettled = False
        self.searched = 0
        self.count = self.inserts = self.removes = self.matches = self.hits = 0

    def insert(self, sub: Subscription) -> bool:
        """Add a subscription. False where its subject is malformed: an empty token, or a token after ``>``."""
        assert sub._at < 0, "it is in a sublist already"
        tokens = sub.subject.split(b".")
        if not is_pattern(tokens):
            return False
        node = self._root
        for token in tokens:
            child = _child(node, token)
            node = _add_child(node, token) if child is None else child
        begins = not _has_interest(node, sub.queue)
        _join(node, sub)
        self.count += 1
        self.inserts += 1
        if begins:
            self._changed(sub, tokens)
        return True

    def remove(self, sub: Subscription) -> bool:
        """Remove a subscription, and the nodes that only it needed. False where it is not there."""
        if sub._at < 0:
            return False
        tokens = sub.subject.split(b".")
        node = self._root
        last = self._root  # the last node on the way that others need too, and which token leads on from there
        at = last_at = 0
        for token in tokens:
            child = _child(node, token)
            if child is None:
                return False
            if _needs(node) != 1:
                last = node
                last_at = at
            node = child
            at += 1
        if not (self._leave(node, sub) if sub.queue is None else _leave_group(node, sub)):
            return False
        sub._at = -1
        self.count -= 1
        self.removes += 1
        if not _has_interest(node, sub.queue):
            if _needs(node) == 0:
                _prune(last, tokens, last_at)
            self._changed(sub, tokens)
        return True

    def match(self, subject: bytes) -> Result:
        """Return who gets a message published to the subject. Keep it while it ``is_fresh``; where it is stale, not at all."""
        self.matches += 1
        old = self._results.get(subject)
        if old is not None and old.is_fresh():
            self.hits += 1
            self.searched = 0
            return old
        tokens = subject.split(b".")
        result = Result(subject)
        self.searched = _collect(self._root, tokens, result, None)
        if old is None:
            self._results.add(result, tokens[0])
        else:
            self._results.replace(old, result, tokens[0])
        return result

    def match_uncached(self, subject: bytes) -> Result:
        """Return the same as ``match``, for one use: only the last is kept, and ``subject`` may be that of another."""
        self.matches += 1
        result = self._stem.find(subject)
        self.searched = 1
        if result is None:
            result = Result(subject)
            self.searched = _collect(self._root, subject.split(b"."), result, self._stem)
        return result

    def watch(self, subject: bytes, callback: Callable[[bool], object], queue: bytes | None = None) -> Watch:
        """Call ``callback(True)`` when a subject gets its first subscription and ``callback(False)`` when it loses its last.

        As with nats-server's notifications, only subscriptions to exactly this subject count, not others that match it: plain ones, or with
        a queue those in that group. The first state is in ``interested`` of what is returned; cancel that to end it. A callback is called
        by ``insert``, ``remove`` or ``settle`` after everything else, never while ``routing`` is not 0 nor within another callback. It may
        subscribe, unsubscribe, match, watch and cancel; what that changes is told after it returns. It hears of the state there is then,
        not of changes that cancel each other out. What it raises is logged; only an interrupt comes out of the call, which is done all
        the same, and watches not told by then are told by the next.

        Raises:
            ValueError: no subscription could have that subject.
        """
        if not is_pattern(subject.split(b".")):
            raise ValueError(f"malformed subject: {subject!r}")
        if self._watches is None:
            self._watches = Watches()
        return self._watches.add((subject, queue), callback, self.has_interest(subject, queue))

    def has_interest(self, subject: bytes, queue: bytes | None = None) -> bool:
        """True if there is a plain subscription to exactly this subject, or with a queue one in that group."""
        node = self._root
        for token in subject.split(b"."):
            child = _child(node, token)
            if child is None:
                return False
            node = child
        return _has_interest(node, queue)

    def settle(self) -> None:
        """Do what had to wait for the end of routing: close holes, tell watches."""
        if self.routing:
            return
        while self._crowded:
            self._close_holes(self._crowded.pop())
        try:
            if self._watches is not None:
                self._watches.tell(self.has_interest)
        except BaseException:
            self.unsettled = True  # a callback may have settled what is left now
            raise
        self.unsettled = False

    def cached(self) -> int:
        """Return how many results are kept."""
        return len(self._results)

    def fanout(self) -> tuple[int, int]:
        """Return how many subscriptions the kept result with most has, and all of them together."""
        return self._results.fanout(self._holes)

    def clear(self) -> None:
        """Take everything out, for an account that ends. Watches are forgotten, and nobody is told."""
        self._results.clear()
        self._stem.forget()
        if self._watches is not None:
            self._watches.clear()
        self._holes.clear()
        self._crowded.clear()
        self.removes += self.count
        self.count = 0
        nodes = [self._root]  # and not recursion: a hostile subject has thousands of tokens
        self._root = Node()
        while nodes:
            _dissolve(nodes.pop(), nodes)

    def _leave(self, node: Node, sub: Subscription) -> bool:
        """Take a plain subscription out of a node. False where it is not there."""
        if node.one is sub:
            node.one = None
            return True
        plain = node.plain
        if plain is None or sub._at >= len(plain) or plain[sub._at] is not sub:
            return False
        plain[sub._at] = None
        holes = self._holes.get(node, 0) + 1
        if holes == len(plain):
            node.plain = None
            self._holes.pop(node, None)
            return True
        self._holes[node] = holes
        if 2 * holes >= len(plain):
            if self.routing:
                self._crowded.append(node)
                self.unsettled = True
            else:
                self._close_holes(node)
        return True

    def _close_holes(self, node: Node) -> None:
        """Close the holes of a node that has too many, if it still has."""
        plain = node.plain
        if plain is None or 2 * self._holes.get(node, 0) < len(plain):
            return
        del self._holes[node]
        members: list[Subscription | None] = []
        for sub in plain:
            if sub is not None:
                sub._at = len(members)
                members.append(sub)
        if len(members) == 1:
            node.one = members[0]
            node.plain = None
        else:
            node.plain = members

    def _changed(self, sub: Subscription, tokens: list[bytes]) -> None:
        """A pattern has begun or ceased to have subscribers, or a group of this name members: see what that touches."""
        self._stem.forget()
        first = tokens[0]
        if first == _STAR or first == _REST:
            self._results.end_all()
        elif has_wildcard(tokens):
            self._results.end_era(first)
        else:
            self._results.forget(sub.subject)
        if self._watches is not None and self._watches.note((sub.subject, sub.queue)):
            self.unsettled = True
            self.settle()


def _child(node: Node, token: bytes) -> Node | None:
    if token == _STAR:
        return node.star
    if token == _REST:
        return node.rest
    return None if node.children is None else node.children.get(token)


def _add_child(node: Node, token: bytes) -> Node:
    child = Node()
    if token == _STAR:
        node.star = child
    elif token == _REST:
        node.rest = child
    elif node.children is None:
        node.children = {token: child}
    else:
        node.children[token] = child
    return child


def _drop_child(node: Node, token: bytes) -> None:
    if token == _STAR:
        node.star = None
    elif token == _REST:
        node.rest = None
    else:
        assert node.children is not None
        del node.children[token]
        if not node.children:
            node.children = None


def _prune(node: Node, tokens: list[bytes], at: int) -> None:
    """Cut off what follows tokens[at] below the node. Node by node, because freeing a chain of thousands recurses in C."""
    while at < len(tokens):
        child = _child(node, tokens[at])
        assert child is not None
        _drop_child(node, tokens[at])
        node = child
        at += 1


def _free_stars(node: Node) -> None:
    """Free what hangs on a node that is being freed by stars only, one by one: C would recurse. Dicts limit that themselves."""
    star = node.star
    node.star = None
    while star is not None:
        after = star.star
        star.star = None
        star = after


def _dissolve(node: Node, nodes: list[Node]) -> None:
    """Take everything out of a node; its children come to the list of nodes."""
    members: list[Subscription | None] = [node.one]
    if node.plain is not None:
        members += node.plain
        node.plain[:] = [None] * len(node.plain)  # for whoever is passing over it
    if node.groups is not None:
        for group in node.groups.values():
            members += group.members
            group.members.clear()
    for sub in members:
        if sub is not None:
            sub._at = -1
    below = [node.star, node.rest, *(node.children or {}).values()]
    nodes += [child for child in below if child is not None]
    node.one = node.plain = node.groups = node.children = node.star = node.rest = None


def _has_interest(node: Node, queue: bytes | None) -> bool:
    """True if there are plain subscriptions, or with a queue a group of that name."""
    if queue is None:
        return node.one is not None or node.plain is not None
    return node.groups is not None and queue in node.groups


def _needs(node: Node) -> int:
    """Return how much needs a node: its children, and two for subscriptions. So nothing is 0, and one child alone is 1."""
    count = (node.star is not None) + (node.rest is not None) + (0 if node.children is None else len(node.children))
    return count if node.one is None and node.plain is None and node.groups is None else count + 2


def _join(node: Node, sub: Subscription) -> None:
    """Put a subscription among the members of a node."""
    if sub.queue is not None:
        if node.groups is None:
            node.groups = {}
        group = node.groups.get(sub.queue)
        if group is None:
            group = node.groups[sub.queue] = Group(sub.queue)
        sub._at = len(group.members)
        group.members.append(sub)
    elif node.plain is not None:
        sub._at = len(node.plain)
        node.plain.append(sub)
    elif node.one is not None:
        node.plain = [node.one, sub]
        node.one = None
        sub._at = 1
    else:
        node.one = sub
        sub._at = 0


def _leave_group(node: Node, sub: Subscription) -> bool:
    """Take a member out of its group. False where it is not there."""
    assert sub.queue is not None
    group = None if node.groups is None else node.groups.get(sub.queue)
    if group is None or sub._at >= len(group.members) or group.members[sub._at] is not sub:
        return False
    last = group.members.pop()
    if last is not sub:
        last._at = sub._at
        group.members[last._at] = last
    elif not group.members:
        assert node.groups is not None
        del node.groups[sub.queue]
        if not node.groups:
            node.groups = None
    return True


def _collect(root: Node, tokens: list[bytes], result: Result, stem: Stem | None) -> int:
    """Add what matches the tokens below the root, and return how many nodes were looked at. Tell the stem what has decided it."""
    searched = 0
    if has_empty_token(tokens):
        return searched
    count = len(tokens)
    grouped: list[Node] = []
    later: list[tuple[Node, int]] = []  # and not recursion: a hostile subject has thousands of tokens
    node = root
    at = 0
    while True:
        while at < count:
            searched += 1
            if node.rest is not None:
                _add(node.rest, result, grouped)
            if node.star is not None:
                later.append((node.star, at + 1))
            child = None if node.children is None else node.children.get(tokens[at])
            if child is None:
                break
            node = child
            at += 1
        else:
            _add(node, result, grouped)
        if stem is not None:
            if 0 < at < count and node.children is None and (not later or (len(later) == 1 and node.star is not None and at == count - 1)):
                stem.keep(result, tokens, at, node.star is not None)
            stem = None  # only the first way down is the only one
        if not later:
            break
        node, at = later.pop()
    if grouped:
        result.groups = _by_name(grouped)
    elif len(result.nodes) == 1:
        result.only = result.nodes[0]
    return searched


def _add(node: Node, result: Result, grouped: list[Node]) -> None:
    """Add a node where a pattern ends that matches."""
    if node.one is not None or node.plain is not None:
        result.nodes.append(node)
    if node.groups is not None:
        grouped.append(node)


def _by_name(nodes: list[Node]) -> list[list[Group]]:
    """Bring the groups of one name together. The name is what makes a queue group one, not the pattern."""
    found: dict[bytes, list[Group]] = {}
    for node in nodes:
        assert node.groups is not None
        for queue, group in node.groups.items():
            found.setdefault(queue, []).append(group)
    return list(found.values())
