cimport cython
from midge.server.peer cimport Peer, Sink


@cython.final
cdef class Inlet(Sink):
    cdef readonly object receive
    cdef readonly Py_ssize_t work
