cimport cython

from midge.store.index cimport Index
from midge.wire.publication cimport Publication


@cython.final
cdef class Block:
    cdef readonly Py_ssize_t number, base, fill, written
    cdef readonly bytearray buf

    cpdef cut(self, Py_ssize_t fill)
    cpdef Py_ssize_t take(self) except -1


@cython.final
cdef class Tail:
    cdef public Block block
    cdef readonly Index index
    cdef readonly unsigned int seed

    @cython.locals(block=Block, index=Index, size=Py_ssize_t, place=Py_ssize_t, sequence="long long", latest=cython.longlong, fill=Py_ssize_t)
    cpdef Py_ssize_t append(self, Publication publication, long long time, int flags) except -1
    @cython.locals(block=Block)
    cpdef bint note(self, int kind, int flags, long long time, bytes payload) except -1


cpdef Py_ssize_t weight(Py_ssize_t size, bint has_header) except -1
