cimport cython
from midge.server.sublist cimport Sublist


@cython.final
cdef class Account:
    cdef readonly str name
    cdef readonly Py_ssize_t max_subscriptions
    cdef readonly Sublist sublist
    cdef readonly dict sessions
    cdef list _before
