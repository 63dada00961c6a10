cimport cython


@cython.final
cdef class Outbox:
    cdef readonly bytearray buf
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t fill

    cpdef reserve(self, Py_ssize_t size)
    cpdef grow(self, Py_ssize_t size)
    cpdef write(self, bytes data)
    cpdef object view(self)
    cpdef advance(self, Py_ssize_t size)
    cpdef clear(self)
    cpdef trim(self)
    cpdef bytearray take(self)
