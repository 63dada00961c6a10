cimport cython

cdef unsigned int _POLYNOMIAL, _ALL, _MASK


@cython.final
cdef class Crc32c:
    cdef unsigned int _crc
    cdef unsigned int[256] _table

    @cython.locals(table="unsigned int *", crc="unsigned int", at=Py_ssize_t)
    cpdef update(self, bytearray buf, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(crc="unsigned int")
    cpdef unsigned int take(self)
    @cython.locals(number="unsigned int", value="unsigned int")
    cdef _fill(self)
