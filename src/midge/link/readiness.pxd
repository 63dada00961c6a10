cdef Py_ssize_t _CHUNK_SIZE


cdef class Chunks:
    cdef list _free
    cdef Py_ssize_t _spare

    cpdef bytearray take(self)
    cpdef give_back(self, bytearray chunk)
