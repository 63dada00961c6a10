cimport cython
from midge.server.results cimport Result
from midge.server.session cimport Session
from midge.server.sublist cimport Group, Node, Sublist, Subscription
from midge.wire.outbox cimport Outbox
from midge.wire.parser cimport Parser
from midge.wire.publication cimport Publication

cdef long long _LCG_FACTOR, _LCG_STEP, _LCG_MASK


@cython.final
cdef class Hub:
    cdef readonly object options
    cdef readonly Sublist sublist
    cdef readonly dict sessions
    cdef readonly list dirty
    cdef public long long slow_consumers, stale_connections
    cdef readonly long long total_sessions
    cdef readonly Py_ssize_t flush_at, stall_at
    cdef list _closed
    cdef long long _seed
    cdef Py_ssize_t _max_pending
    cdef dict _info
    cdef bytes _info_head

    @cython.locals(parser=Parser, op=int)
    cpdef receive(self, Session session, bytearray chunk, Py_ssize_t stop, double now)
    @cython.locals(session=Session)
    cpdef flush(self)
    @cython.locals(out=Outbox)
    cpdef relieve(self, Session target)
    @cython.locals(buf=bytearray, result=Result)
    cdef _publish(self, Session session, Publication publication, int op)
    @cython.locals(sublist=Sublist, groups=list, namesakes=list, node=Node, sub=Subscription, member=Subscription, delivered=bint)
    cdef bint _route(self, Session producer, Publication publication, Result result) except -1
    @cython.locals(target=Session, out=Outbox, size=Py_ssize_t)
    cdef bint _deliver(self, Session producer, Subscription sub, Publication publication) except -1
    @cython.locals(group=Group, members=list, total=Py_ssize_t, chosen=Py_ssize_t, turn=Py_ssize_t, at=Py_ssize_t)
    cdef bint _deliver_one(self, Session producer, list groups, Publication publication) except -1
    @cython.locals(first=int)
    cdef bint _is_reserved(self, Session session, Publication publication, bytes subject) except -1
    @cython.locals(node=Node, sub=Subscription)
    cdef _say_no_responders(self, Session session, Publication publication, bytes subject)


cdef bint _is_literal(bytes subject) except -1

cdef bint _is_gateway(bytes subject) except -1
