cimport cython
from midge.server.sublist cimport Result, Subscription
from midge.wire.outbox cimport Outbox
from midge.wire.parser cimport Parser


@cython.final
cdef class Session:
    cdef readonly object hub
    cdef readonly long long cid
    cdef readonly str peer
    cdef readonly Outbox outbox
    cdef readonly Parser parser
    cdef readonly object connect
    cdef readonly bint connected
    cdef readonly bint verbose, pedantic, echo, headers, no_responders
    cdef readonly dict subs
    cdef readonly str closing
    cdef public bint abandon
    cdef public bint dirty
    cdef public bint active
    cdef public bint blocked
    cdef readonly bint tracing
    cdef public object transport
    cdef public Session stalled_by
    cdef Result last
    cdef readonly long long in_msgs, in_bytes, out_msgs, out_bytes
    cdef readonly int pings_out

    cdef str _who
    cdef double _jitter
    cdef bint _pong_sent
    cdef object _auth_deadline
    cdef double _ping_deadline
    cdef object _last_ping

    cpdef handle(self, int op, double now)
    cpdef close(self, str reason)
    cpdef drop(self, Subscription sub)
    cpdef send_ok(self)
    cpdef put_line(self, bytes line)
