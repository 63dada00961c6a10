cimport cython
from midge.client.session cimport Session
from midge.wire.outbox cimport Outbox

cdef Py_ssize_t _FLUSH_AT


cdef class Publisher:
    cdef readonly Session _session
    cdef readonly object _connection
    cdef object _ready
    cdef unsigned long _thread

    cpdef use_session(self, Session session, unsigned long thread)
    cpdef str ask(self, subject, data, headers, waiter)
    @cython.locals(outbox=Outbox, waiting=Py_ssize_t)
    cpdef room(self)
