cimport cython
from midge.server.account cimport Account
from midge.server.admission cimport Admission
from midge.server.chance cimport Chance
from midge.server.guard cimport Guard
from midge.server.inlet cimport Inlet
from midge.server.mapping cimport Mappings
from midge.server.peer cimport Peer
from midge.server.results cimport Result
from midge.server.route cimport Route
from midge.server.sending cimport Sending
from midge.server.service_imports cimport Relay, Services
from midge.server.session cimport Session
from midge.server.stream_imports cimport Shadow
from midge.server.sublist cimport Group, Node, Sublist, Subscription
from midge.wire.outbox cimport Outbox
from midge.wire.parser cimport Parser
from midge.wire.publication cimport Publication

cdef Py_ssize_t _WORK, _WORK_CONTROL, _WORK_LINE, _WORK_SHIFT, _WORK_PUBLISH, _WORK_SEARCH, _WORK_ANSWER, _HASH


@cython.final
cdef class Hub(Sending):
    cdef readonly object options, authenticator, info
    cdef readonly str server_id, server_name
    cdef readonly Admission admission
    cdef readonly Chance chance
    cdef readonly Account account
    cdef readonly dict accounts
    cdef readonly dict sessions
    cdef readonly list on_connected, on_subscribed, on_closed
    cdef public long long slow_consumers, stale_connections, stalls
    cdef readonly Services services
    cdef public Py_ssize_t imported
    cdef public object trace
    cdef readonly object tracer
    cdef public double now, epoch
    cdef public Peer producer
    cdef object _all_accounts

    cpdef bint receive(self, Session session, bytearray chunk, Py_ssize_t stop, double now) except -1
    @cython.locals(parser=Parser, op=int, publication=Publication)
    cpdef bint proceed(self, Session session, double now) except -1
    @cython.locals(sublist=Sublist, result=Result, cached=bint, once=bint, node=Node, subject=bytes)
    cpdef bint route(self, Account account, Publication publication, Peer producer) except -1
    @cython.locals(sublist=Sublist, result=Result)
    cpdef bint route_once(self, Account account, Publication publication, Peer producer) except -1
    @cython.locals(account=Account)
    cpdef int carry(self, Route route, Publication publication) except -1
    cpdef bint carry_on(self, Account account, bytes subject, Publication publication) except -1
    cdef bint _reach(self, Sublist sublist, Peer producer, Result result, Publication publication) except -1
    cpdef bint can_spend(self, Py_ssize_t work) except -1
    @cython.locals(first=int, refused=Py_ssize_t, guard=Guard, account=Account)
    cdef _publish(self, Session session, Publication publication, int op)
    @cython.locals(found=Publication)
    cdef Publication _redirect(self, Session session, Mappings mappings, Publication publication)
    @cython.locals(
        node=Node, sub=Subscription, member=Subscription, groups=list, all_groups=list, delivered=bint, left=Py_ssize_t)
    cdef bint _fan_out(self, Peer producer, Result result, Publication publication) except -1
    @cython.locals(target=Peer, out=Outbox, size=Py_ssize_t, guard=Guard)
    cpdef bint deliver(self, Peer producer, Subscription sub, Publication publication) except -1
    @cython.locals(relay=Relay, shadow=Shadow, inlet=Inlet)
    cdef bint _deliver_to_sink(self, Peer producer, Subscription sub, Publication publication) except -1
    cdef bint _deliver_to_shadow(self, Peer producer, Subscription sub, Shadow shadow, Publication publication) except -1
    @cython.locals(group=Group, members=list, total=Py_ssize_t, turn=Py_ssize_t, at=Py_ssize_t)
    cdef bint _deliver_one(self, Peer producer, list groups, Publication publication) except -1
    @cython.locals(account=Account, sublist=Sublist, result=Result)
    cdef _say_no_responders(self, Session session, Publication publication)
    @cython.locals(account=Account, publication=Publication)
    cpdef bint flush_some(self, Py_ssize_t count) except -1
    @cython.locals(account=Account, answers=list, at=Py_ssize_t)
    cdef _route_answers(self)
