cimport cython


@cython.final
cdef class S2Block:
    cdef readonly bytearray out
    cdef readonly Py_ssize_t fill, size
    cdef bytearray _src
    cdef Py_ssize_t _at, _stop, _offset, _left
    cdef bint _copy

    @cython.locals(limit=Py_ssize_t, count=Py_ssize_t)
    cpdef bint work(self, Py_ssize_t budget) except -1
    @cython.locals(value=Py_ssize_t, shift=int, byte=Py_ssize_t)
    cdef Py_ssize_t _length(self) except -1
    @cython.locals(tag=Py_ssize_t, kind=Py_ssize_t, high=Py_ssize_t)
    cdef int _next(self) except -1
    @cython.locals(offset=Py_ssize_t, length=Py_ssize_t)
    cdef int _short_copy(self, Py_ssize_t high) except -1
    @cython.locals(value=Py_ssize_t, place=Py_ssize_t, byte=Py_ssize_t)
    cdef Py_ssize_t _number(self, Py_ssize_t size) except -1
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t)
    cdef int _repeat(self, Py_ssize_t count) except -1
