cimport cython
from midge.wire.publication cimport Publication

cdef bytes _HEAD, _LINES
cdef Py_ssize_t _SUBJECT_SIZE


@cython.locals(name=bytes, start=Py_ssize_t, end=Py_ssize_t, sequence=Py_ssize_t, time="long long", seconds="long long", rest="long long",
               header=bytes, lines=bytes)
cpdef bint serve_plain(object stream, Publication publication) except -1
