cimport cython
from midge.server.peer cimport Peer
from midge.server.results cimport Result
from midge.server.session cimport Session
from midge.server.sublist cimport Node, Subscription
from midge.wire.publication cimport Publication

cdef int _DOLLAR, _UNDERSCORE


cpdef bint is_only_traced(trace, Peer producer, Subscription sub, Publication publication) except -1

cpdef note_mapping(Session session, bytes subject, bytes target)

cpdef Py_ssize_t refuse(Session session, bytes subject) except -1

@cython.locals(first=int, subject=bytes, reply=bytes)
cpdef Py_ssize_t refuse_reserved(Session session, Publication publication) except -1

@cython.locals(looked_at=Py_ssize_t, own=Subscription, node=Node)
cpdef Py_ssize_t say_no_responders(Session session, Publication publication, Result result) except -1

@cython.locals(sub=Subscription)
cdef Subscription _own(list subs, Session session)
