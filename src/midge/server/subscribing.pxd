cimport cython
from midge.server.guard cimport Guard
from midge.server.peer cimport Peer
from midge.server.sublist cimport Subscription

cdef bytes _SYSTEM_QUEUE


@cython.locals(args=list, count=Py_ssize_t)
cpdef Subscription read_sub(Peer peer, bytes line)

@cython.locals(args=list)
cpdef tuple read_unsub(bytes line)

@cython.locals(guard=Guard)
cpdef bint may_subscribe(Peer peer, Subscription sub) except -1

cpdef refuse(session, Subscription sub)

cpdef refuse_tokens(session, Subscription sub)

cpdef tell_removed(session, Subscription sub)

@cython.locals(args=list)
cdef list _arguments(bytes line, Py_ssize_t least, str function)

cdef str _text(bytes sid)
