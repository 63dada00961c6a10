cimport cython
from libc.stdint cimport int64_t
from midge.wire.publication cimport Publication

cdef bytes _PLAIN, _NATS, _ID, _LAST, _LAST_OF_SUBJECT
cdef Py_ssize_t _MAX_DIGITS


@cython.final
cdef class Claims:
    cdef readonly bytes id
    cdef readonly long long last, last_of_subject

    @cython.locals(buf=bytearray, at=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t)
    cpdef bint read(self, Publication publication) except -1
    @cython.locals(colon=Py_ssize_t, start=Py_ssize_t)
    cdef bint _take(self, bytearray buf, Py_ssize_t at, Py_ssize_t stop) except -1


@cython.locals(stop=Py_ssize_t)
cdef Py_ssize_t _end_of_line(bytearray buf, Py_ssize_t at, Py_ssize_t end) except -2

@cython.locals(value="long long", at=Py_ssize_t, digit=int)
cdef int64_t _number(bytearray buf, Py_ssize_t start, Py_ssize_t stop) except? -1
