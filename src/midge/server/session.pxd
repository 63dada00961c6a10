cimport cython
from midge.server.account cimport Account
from midge.server.peer cimport Peer
from midge.server.sublist cimport Subscription
from midge.wire.parser cimport Parser


@cython.final
cdef class Session(Peer):
    cdef readonly object hub
    cdef readonly str address
    cdef readonly Parser parser
    cdef readonly object connect, origin, identity
    cdef readonly bint connected
    cdef readonly bint verbose, pedantic, no_responders
    cdef readonly dict subs, last_subs
    cdef public long long stalls
    cdef readonly bint aborted
    cdef public bint active
    cdef readonly double started
    cdef public double last_active
    cdef readonly object rtt
    cdef readonly int pings_out

    cdef Py_ssize_t _flush_at
    cdef object _introduced, _complaints
    cdef double _jitter
    cdef bint _pong_sent, _measured
    cdef double _auth_deadline, _ping_deadline, _last_ping

    cpdef handle(self, int op, double now)
    cpdef close(self, str reason)
    cpdef send_ok(self)
    cpdef put_line(self, bytes line)
    cdef _mark_urgent(self)
    @cython.locals(first=bint)
    cdef _connect(self, bytes line, double now)
    cdef _admit(self, identity, bint first)
    cdef _move_to(self, Account account)
    cdef _answer_ping(self)
    cdef _refuse(self, str text, str reason)
    @cython.locals(line=bytes, args=list, count=Py_ssize_t, subject=bytes, sid=bytes, queue=bytes, account=Account)
    cdef _subscribe(self)
    @cython.locals(account=Account)
    cdef bint _add(self, Subscription sub) except -1
    @cython.locals(line=bytes, args=list, count=Py_ssize_t, sub=Subscription, limit=Py_ssize_t)
    cdef _unsubscribe(self)
    @cython.locals(measure=bint)
    cdef _ping(self, double now)


@cython.locals(args=list)
cdef list _arguments(bytes line)
