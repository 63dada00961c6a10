from midge.server.guard cimport Guard
from midge.server.results cimport Result
from midge.wire.outbox cimport Outbox


cdef class Peer:
    cdef readonly long long cid
    cdef readonly str kind
    cdef readonly object account
    cdef readonly Outbox outbox
    cdef readonly Guard guard
    cdef public object transport
    cdef readonly str closing
    cdef public bint dirty, urgent, blocked, hurried, tracing
    cdef readonly bint echo, headers
    cdef public Peer stalled_by
    cdef public Result last
    cdef readonly long long in_msgs, in_bytes, out_msgs, out_bytes


cdef class Sink:
    pass
