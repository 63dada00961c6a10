cimport cython
from midge.server.account cimport Account
from midge.server.results cimport Result
from midge.server.sublist cimport Sublist


@cython.final
cdef class Route:
    cdef readonly str account
    cdef readonly bytes subject
    cdef readonly Sublist sublist
    cdef readonly Result result
    cdef unsigned long long _changes

    @cython.locals(sublist=Sublist, changes="unsigned long long")
    cpdef Result find(self, Account account)
