cimport cython
from midge.wire.publication cimport Publication

cdef Py_ssize_t _FIRST_LENGTH, _DEST_LENGTH, _SHORTEST
cdef int _LF, _UPPER_N, _UPPER_T, _LOWER_T, _COLON
cdef bytes _DEST_LINE, _PARENT


@cython.locals(buf=bytearray, at=Py_ssize_t, stop=Py_ssize_t, first=int)
cpdef bint asks(Publication publication) except -1
