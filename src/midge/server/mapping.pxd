cimport cython
from midge.wire.publication cimport Publication

cdef Py_ssize_t _REMEMBERED, _REMEMBERED_LENGTH


@cython.final
cdef class Mapping:
    cdef readonly str source
    cdef readonly list tokens
    cdef readonly bint has_wildcard
    cdef readonly list shares


@cython.final
cdef class Verdict:
    cdef Mapping _mapping
    cdef list _tokens
    cdef readonly bytes only

    cpdef bytes roll(self, choose)


@cython.final
cdef class Mappings:
    cdef object _choose
    cdef list _mappings
    cdef dict _verdicts
    cdef bytes _last
    cdef Verdict _last_verdict

    @cython.locals(verdict=Verdict)
    cpdef Publication redirect(self, Publication publication)
    @cython.locals(verdict=Verdict)
    cpdef bytes target(self, bytes subject)
    @cython.locals(verdict=Verdict)
    cdef _judge(self, bytes subject)
    @cython.locals(mapping=Mapping)
    cdef Verdict _find(self, bytes subject)
