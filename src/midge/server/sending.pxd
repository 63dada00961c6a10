cimport cython
from midge.server.account cimport Account
from midge.server.peer cimport Peer
from midge.wire.outbox cimport Outbox
from midge.wire.publication cimport Publication

cdef Py_ssize_t _FEW, _LITTLE, _WORK_SEND


cdef class Sending:
    cdef readonly list urgent, dirty
    cdef readonly Py_ssize_t flush_at, stall_at, wait_at
    cdef readonly Py_ssize_t piled
    cdef readonly bint must_wait
    cdef Py_ssize_t _work
    cdef Py_ssize_t _max_pending
    cdef list _sending
    cdef object _emitted
    cdef Py_ssize_t _emitted_size
    cdef object _answers
    cdef Py_ssize_t _answered

    @cython.locals(publication=Publication)
    cpdef bint emit(self, Account account, bytes subject, bytes reply, bytes header, bytes payload) except -1
    cpdef answer(self, Account account, list answers)
    cpdef bint has_more(self) except -1
    cpdef bint owes_little(self) except -1
    @cython.locals(peer=Peer)
    cpdef flush_urgent(self)
    @cython.locals(peer=Peer)
    cpdef flush_dirty(self, Py_ssize_t count)
    @cython.locals(out=Outbox)
    cpdef send_early(self, Peer peer)
    @cython.locals(out=Outbox, waiting=Py_ssize_t)
    cdef note_long(self, Peer peer, Peer producer)
