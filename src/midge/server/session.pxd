cimport cython
from midge.server.results cimport Result
from midge.server.sublist cimport Sublist, Subscription
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
    cdef readonly Result last
    cdef readonly long long in_msgs, in_bytes, out_msgs, out_bytes
    cdef readonly int pings_out

    cdef Sublist _sublist
    cdef Py_ssize_t _flush_at, _max_subs
    cdef str _who
    cdef double _jitter
    cdef bint _pong_sent, _measured
    cdef double _auth_deadline, _ping_deadline, _last_ping

    cpdef handle(self, int op, double now)
    cpdef close(self, str reason)
    cpdef drop(self, Subscription sub)
    cpdef send_ok(self)
    cpdef put_line(self, bytes line)
    cdef _connect(self, bytes line, double now)
    cdef _answer_ping(self)
    cdef _refuse(self, str text, str reason)
    @cython.locals(line=bytes, args=list, count=Py_ssize_t, subject=bytes, sid=bytes, queue=bytes)
    cdef _subscribe(self)
    cdef bint _add(self, Subscription sub) except -1
    @cython.locals(line=bytes, args=list, count=Py_ssize_t, sub=Subscription, limit=Py_ssize_t)
    cdef _unsubscribe(self)
    cdef _ping(self, double now)


@cython.locals(args=list)
cdef list _arguments(bytes line)
