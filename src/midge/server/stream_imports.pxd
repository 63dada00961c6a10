cimport cython
from midge.server.peer cimport Sink
from midge.server.sublist cimport Subscription
from midge.wire.publication cimport Publication


@cython.final
cdef class StreamImport:
    cdef readonly object exporter
    cdef readonly str importer
    cdef readonly bint allow_trace
    cdef str _source, _local
    cdef list _local_tokens
    cdef object _there, _back
    cdef bint _is_same
    cdef bytes _last, _last_local

    cpdef Subscription shadow(self, Subscription sub)
    @cython.locals(subject=bytes)
    cpdef Publication localise(self, Publication publication)


@cython.final
cdef class Shadow(Sink):
    cdef readonly StreamImport stream
    cdef readonly Subscription inner
