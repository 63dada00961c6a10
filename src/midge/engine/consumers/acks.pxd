cimport cython
from libc.stdint cimport int64_t
from midge.engine.consumers.delivery cimport Delivery
from midge.wire.publication cimport Publication

cdef bytes _ACK, _OK
cdef Py_ssize_t _PREFIX, _DOTS, _DOTS_LONG
cdef int _DOT


@cython.final
cdef class Acks:
    cdef readonly bytes prefix
    cdef readonly dict deliveries

    @cython.locals(buf=bytearray, start=Py_ssize_t, end=Py_ssize_t, dots=Py_ssize_t, names=Py_ssize_t, delivery=Delivery,
                   after_count=Py_ssize_t, after_sequence=Py_ssize_t, sequence=int64_t, place=int64_t, body=Py_ssize_t)
    cpdef bint receive(self, Publication publication, object wall) except -1


cdef bint _is_plain(bytearray buf, Py_ssize_t start, Py_ssize_t end) noexcept
cdef Py_ssize_t _behind(bytearray buf, Py_ssize_t start, Py_ssize_t end) noexcept
@cython.locals(count=Py_ssize_t, at=Py_ssize_t)
cdef Py_ssize_t _count(bytearray buf, Py_ssize_t start, Py_ssize_t end) noexcept
@cython.locals(value=int64_t, at=Py_ssize_t, digit=int)
cdef int64_t _number(bytearray buf, Py_ssize_t start, Py_ssize_t end) except -2
