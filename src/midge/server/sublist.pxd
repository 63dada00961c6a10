cimport cython
from midge.server.peer cimport Peer, Sink
from midge.server.results cimport Result, Results
from midge.server.stem cimport Stem

cdef bytes _STAR, _REST


@cython.final
cdef class Subscription:
    cdef readonly Peer peer
    cdef readonly Sink sink
    cdef readonly bytes subject
    cdef readonly bytes queue
    cdef readonly bytes sid
    cdef public long long limit
    cdef public long long delivered
    cdef Py_ssize_t _at


@cython.final
cdef class Group:
    cdef readonly bytes queue
    cdef readonly list members


@cython.final
cdef class Node:
    cdef readonly dict children
    cdef readonly Node star
    cdef readonly Node rest
    cdef readonly Subscription one
    cdef readonly list plain
    cdef readonly dict groups


@cython.final
cdef class Sublist:
    cdef Node _root
    cdef Results _results
    cdef Stem _stem
    cdef dict _holes
    cdef list _crowded
    cdef object _watches
    cdef public Py_ssize_t routing
    cdef readonly bint unsettled
    cdef readonly Py_ssize_t count, searched
    cdef readonly unsigned long long inserts, removes, matches, hits

    @cython.locals(tokens=list, token=bytes, node=Node, child=Node, begins=bint)
    cpdef bint insert(self, Subscription sub) except -1
    @cython.locals(tokens=list, token=bytes, node=Node, child=Node, last=Node, at=Py_ssize_t, last_at=Py_ssize_t)
    cpdef bint remove(self, Subscription sub) except -1
    @cython.locals(old=Result, result=Result, tokens=list)
    cpdef Result match(self, bytes subject)
    @cython.locals(result=Result)
    cpdef Result match_uncached(self, bytes subject)
    @cython.locals(node=Node, child=Node, token=bytes)
    cpdef bint has_interest(self, bytes subject, bytes queue=?) except -1
    cpdef settle(self)
    cpdef Py_ssize_t cached(self)
    cpdef clear(self)
    @cython.locals(plain=list, holes=Py_ssize_t)
    cdef bint _leave(self, Node node, Subscription sub) except -1
    @cython.locals(plain=list, members=list, sub=Subscription)
    cdef _close_holes(self, Node node)
    @cython.locals(first=bytes)
    cdef _changed(self, Subscription sub, list tokens)


cdef Node _child(Node node, bytes token)

@cython.locals(child=Node)
cdef Node _add_child(Node node, bytes token)

cdef _drop_child(Node node, bytes token)

@cython.locals(child=Node)
cdef _prune(Node node, list tokens, Py_ssize_t at)

@cython.locals(star=Node, after=Node)
cdef _free_stars(Node node)

@cython.locals(members=list, group=Group, sub=Subscription, child=Node)
cdef _dissolve(Node node, list nodes)

cdef bint _has_interest(Node node, bytes queue) except -1

@cython.locals(count=Py_ssize_t)
cdef Py_ssize_t _needs(Node node) except -1

@cython.locals(group=Group)
cdef _join(Node node, Subscription sub)

@cython.locals(group=Group, last=Subscription)
cdef bint _leave_group(Node node, Subscription sub) except -1

@cython.locals(node=Node, child=Node, grouped=list, later=list, at=Py_ssize_t, count=Py_ssize_t, searched=Py_ssize_t)
cdef Py_ssize_t _collect(Node root, list tokens, Result result, Stem stem) except -1

cdef _add(Node node, Result result, list grouped)

@cython.locals(node=Node, group=Group, queue=bytes, found=dict)
cdef list _by_name(list nodes)
