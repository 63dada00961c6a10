cimport cython


@cython.final
cdef class Dedupe:
    cdef dict _sequences
    cdef object _order
    cdef public object window

    cpdef find(self, bytes id, object wall)
    cpdef add(self, bytes id, object sequence, object time)
    cpdef expire(self, object wall)
