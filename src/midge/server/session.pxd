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
    cdef public bint may_begin, connected
    cdef public object introduced
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
    cdef object _complaints
    cdef double _jitter
    cdef bint _pong_sent, _measured
    cdef double _auth_deadline, _expiry, _ping_deadline, _last_ping

    cpdef use(self, Outbox outbox)
    cpdef arrived(self, origin, double now)
    cpdef introduce(self, connect, double now)
    cpdef wait_for(self, verdict, double now)
    cpdef settle(self)
    cpdef become(self, identity, Account account, policy)
    cpdef move_to(self, Account account)
    cpdef follow(self, connect)
    cpdef hold(self, bytearray data)
    cpdef handle(self, int op, double now)
    cpdef close(self, str reason)
    cpdef turn_away(self, str text, str reason)
    cpdef send_ok(self)
    cpdef put_line(self, bytes line)
    cdef _mark_urgent(self)
    cdef _answer_ping(self)
    @cython.locals(sub=Subscription, account=Account)
    cdef _subscribe(self)
    @cython.locals(account=Account)
    cdef bint _add(self, Subscription sub) except -1
    @cython.locals(sid=bytes, sub=Subscription, limit=Py_ssize_t)
    cdef _unsubscribe(self)
    @cython.locals(measure=bint)
    cdef _ping(self, double now)
