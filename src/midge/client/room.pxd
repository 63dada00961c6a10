cimport cython


@cython.final
cdef class Ready:
    cdef object _exhausted
