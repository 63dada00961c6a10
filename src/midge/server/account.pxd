cimport cython
from midge.server.mapping cimport Mappings
from midge.server.sublist cimport Sublist, Subscription


@cython.final
cdef class Account:
    cdef readonly str name
    cdef readonly Py_ssize_t max_connections, max_subscriptions, max_payload
    cdef readonly Sublist sublist
    cdef readonly dict sessions
    cdef public Mappings mappings
    cdef readonly object msg_trace
    cdef readonly list streams
    cdef readonly dict awaited
    cdef dict _shadows
    cdef object _responses, _services
    cdef list _before
    cdef dict _own

    @cython.locals(successor=Account, sub=Subscription)
    cpdef bint hand_over(self, dict accounts, services) except -1
    cpdef bint join(self, Subscription sub) except -1
    cpdef bint leave(self, Subscription sub) except -1
