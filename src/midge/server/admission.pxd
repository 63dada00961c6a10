cimport cython
from midge.server.account cimport Account
from midge.server.session cimport Session
from midge.server.sublist cimport Subscription


@cython.final
cdef class Admission:
    cdef object _hub
    cdef dict _connects
    cdef readonly long long total

    cpdef identify(self, Session session)
    cpdef hear_first(self, Session session, int byte)
    cpdef hear(self, Session session, bytes line, double now)
    cpdef resolve(self, Session session, identity, double now)
    @cython.locals(subs=list, account=Account, sub=Subscription)
    cpdef reconsider(self, Session session, identity)
    cdef _shared(self, connect)
    @cython.locals(first=bint)
    cdef _judge(self, Session session, identity)
    cdef bint _follow(self, Session session, bint first) except -1
    @cython.locals(account=Account)
    cdef bint _enter(self, Session session, identity) except -1
    cdef _tell_opened(self, Session session)
