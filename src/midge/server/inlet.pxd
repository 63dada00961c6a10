cimport cython
from midge.server.peer cimport Peer, Sink
from midge.wire.publication cimport Publication


@cython.final
cdef class Inlet(Sink):
    cdef readonly object receive
    cdef readonly Py_ssize_t work
    cdef readonly str pattern

    cpdef bint hears(self, Publication publication) except -1
