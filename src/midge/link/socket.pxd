cimport cython

from midge.wire.outbox cimport Outbox

cdef int _READ


cdef class SocketLink:
    cdef object _readiness, _write_deadline, _sock, _owner
    cdef Outbox _outbox
    cdef double _progress
    cdef bint _paused, _ended, _receiving, _closed
    cdef readonly bint blocked
    cdef readonly object error
    cdef readonly int fd
    cdef public int watched

    cpdef start(self, owner)
    cpdef flush(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef close(self)
    cpdef abandon(self)
    cpdef hand_to(self, owner)
    cpdef detach(self)
    @cython.locals(chunk=bytearray, size=Py_ssize_t)
    cpdef on_readable(self)
    @cython.locals(before=Py_ssize_t, left=Py_ssize_t)
    cpdef on_writable(self)
    cpdef Py_ssize_t _recv(self, bytearray chunk) except -1
    cpdef Py_ssize_t _send(self, list views) except -1
    cdef _hand_over(self, owner, bytearray chunk, Py_ssize_t size)
    @cython.locals(views=list, sent=Py_ssize_t)
    cdef _send_once(self)
    cdef _watch(self)
    cdef _unblock(self)
    cdef _break(self, error)
    cdef _shut(self)
