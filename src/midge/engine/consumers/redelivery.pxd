cimport cython
from libc.stdint cimport int64_t

cdef Py_ssize_t _FEW, _KEPT


@cython.final
cdef class RedeliveryQueue:
    cdef readonly int64_t front, rear
    cdef bytearray _ring

    cpdef int64_t first(self) except -1
    cpdef skip(self)
    cpdef skip_all(self)
    cpdef bint is_full(self) except -1
    cpdef int64_t append(self, int64_t sequence) except -1
    @cython.locals(old=RedeliveryQueue, room=Py_ssize_t)
    cpdef RedeliveryQueue renew(self, Py_ssize_t queued)
    cpdef clear(self)
