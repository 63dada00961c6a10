cimport cython
from midge.server.account cimport Account
from midge.server.peer cimport Peer
from midge.server.sublist cimport Subscription
from midge.wire.outbox cimport Outbox
from midge.wire.parser cimport Parser


@cython.final
cdef class Session(Peer):
    cdef readonly object hub
    cdef readonly str address
    cdef readonly Parser parser
    cdef readonly object connect, origin, identity, pending
    cdef readonly bytearray held
    cdef readonly str nonce
    cdef readonly bint may_begin
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
    cdef double _auth_deadline, _expiry, _ping_deadline, _last_ping

    cpdef use(self, Outbox outbox)
    cpdef arrived(self, origin, double now)
    cpdef hear_first(self, int byte)
    cpdef hold(self, bytearray data)
    cpdef handle(self, int op, double now)
    cpdef close(self, str reason)
    cpdef send_ok(self)
    cpdef put_line(self, bytes line)
    cdef _mark_urgent(self)
    cdef str _came_from(self)
    cdef _connect(self, bytes line, double now)
    @cython.locals(first=bint)
    cdef _judge(self, identity)
    cdef _admit(self, identity, bint first)
    @cython.locals(account=Account)
    cdef bint _enter(self, identity) except -1
    cdef _become(self, identity)
    @cython.locals(subs=list, account=Account, sub=Subscription)
    cpdef reconsider(self, identity)
    cdef _move_to(self, Account account)
    cdef _answer_ping(self)
    cdef _refuse(self, str text, str reason)
    @cython.locals(line=bytes, args=list, count=Py_ssize_t, subject=bytes, sid=bytes, queue=bytes, account=Account)
    cdef _subscribe(self)
    cdef bint _may_subscribe(self, bytes subject, bytes queue) except -1
    @cython.locals(account=Account)
    cdef bint _add(self, Subscription sub) except -1
    @cython.locals(line=bytes, args=list, count=Py_ssize_t, sub=Subscription, limit=Py_ssize_t)
    cdef _unsubscribe(self)
    @cython.locals(measure=bint)
    cdef _ping(self, double now)


@cython.locals(args=list)
cdef list _arguments(bytes line)
