cimport cython

cdef Py_ssize_t _MAX_HOT, _MAX_NEW
cdef bytes _STAR, _REST


@cython.final
cdef class Subscription:
    cdef readonly object session
    cdef readonly bytes subject
    cdef readonly bytes queue
    cdef readonly bytes sid
    cdef public long long limit
    cdef public long long delivered


@cython.final
cdef class Result:
    cdef readonly bytes subject
    cdef readonly list plain
    cdef readonly list groups
    cdef Node _root
    cdef unsigned long long _root_changes
    cdef unsigned long long _wild_changes


@cython.final
cdef class Node:
    cdef dict children
    cdef Node star
    cdef Node rest
    cdef Subscription one
    cdef dict plain
    cdef dict groups
    cdef unsigned long long changes

    @cython.locals(count=Py_ssize_t)
    cdef bint has_one_child_only(self) except -1
    cdef bint is_empty(self) except -1
    cdef Node child(self, bytes token)
    cdef Node add_child(self, bytes token)
    cdef drop_child(self, bytes token)
    @cython.locals(members=dict)
    cdef add(self, Subscription sub)
    @cython.locals(members=dict)
    cdef bint drop(self, Subscription sub) except -1


@cython.final
cdef class Sublist:
    cdef Node _root
    cdef Node _wild
    cdef Node _nowhere
    cdef dict _hot
    cdef dict _new
    cdef Py_ssize_t _unswept
    cdef readonly Py_ssize_t count
    cdef readonly unsigned long long inserts, removes, matches, hits

    @cython.locals(tokens=list, token=bytes, node=Node, child=Node)
    cpdef bint insert(self, Subscription sub) except -1
    @cython.locals(tokens=list, token=bytes, node=Node, child=Node, last=Node, at=Py_ssize_t, last_at=Py_ssize_t)
    cpdef bint remove(self, Subscription sub) except -1
    @cython.locals(result=Result)
    cpdef Result match(self, bytes subject)
    cpdef bint is_fresh(self, Result result) except -1
    cpdef Py_ssize_t cached(self)
    @cython.locals(child=Node)
    cdef _prune(self, Node node, list tokens, Py_ssize_t at)
    cdef _sweep(self)
    @cython.locals(node=Node)
    cdef _count_change(self, bytes first)
    @cython.locals(result=Result, tokens=list, root=Node, children=dict)
    cdef Result _walk(self, bytes subject)


@cython.locals(node=Node, child=Node, later=list, at=Py_ssize_t, count=Py_ssize_t)
cdef _collect(Node root, list tokens, Result result)

@cython.locals(group=list)
cdef _add(Node node, Result result)
