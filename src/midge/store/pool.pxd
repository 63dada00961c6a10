cimport cython

cdef Py_ssize_t _FIRST, _CLASSES


@cython.final
cdef class Pool:
    cdef readonly bytearray buf
    cdef Py_ssize_t _fill
    cdef bytearray _free

    @cython.locals(kind=Py_ssize_t, address=Py_ssize_t, need=Py_ssize_t)
    cpdef Py_ssize_t allocate(self, Py_ssize_t size) except -1
    @cython.locals(kind=Py_ssize_t)
    cpdef release(self, Py_ssize_t address, Py_ssize_t size)


@cython.locals(kind=Py_ssize_t, one=Py_ssize_t)
cdef Py_ssize_t _class_of(Py_ssize_t size) noexcept
