cimport cython
from midge.store.tail cimport Block


@cython.final
cdef class Shelf:
    cdef public list segments
    cdef public Py_ssize_t readers
    cdef readonly list _blocks
    cdef list _bases, _keys, _retired

    cpdef segment_of(self, object sequence)
    @cython.locals(at=Py_ssize_t, block=Block)
    cpdef Block block_of(self, object segment, long long place)
    cdef _keep(self, list blocks)
