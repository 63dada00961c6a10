cimport cython
from midge.server.results cimport Result

cdef int _DOT


@cython.final
cdef class Stem:
    cdef bytes _text
    cdef Result _result
    cdef bint _is_last

    @cython.locals(at=Py_ssize_t, here=int, last=int)
    cpdef Result find(self, bytes subject)
    @cython.locals(size=Py_ssize_t, token=bytes)
    cpdef keep(self, Result result, list tokens, Py_ssize_t deciding, bint is_last)
    cpdef forget(self)
