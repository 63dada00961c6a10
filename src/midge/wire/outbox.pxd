cimport cython

cdef Py_ssize_t _SMALL, _LARGE, _KEEP_SMALL, _KEEP_LARGE
cdef bytearray _NOTHING
cdef list _small, _large


@cython.final
cdef class Outbox:
    cdef readonly bytearray buf
    cdef readonly Py_ssize_t fill
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t before
    cdef list _full
    cdef bint _grew, _is_busy

    cpdef Py_ssize_t waiting(self) except -1
    cpdef reserve(self, Py_ssize_t size)
    cpdef grow(self, Py_ssize_t size)
    cpdef write(self, bytes data)
    @cython.locals(waiting=Py_ssize_t, block=bytearray, size=Py_ssize_t)
    cpdef adopt(self, Outbox other)
    cpdef list views(self)
    @cython.locals(start=Py_ssize_t, fill=Py_ssize_t, block=bytearray)
    cpdef advance(self, Py_ssize_t size)
    cpdef clear(self)
    @cython.locals(start=Py_ssize_t, fill=Py_ssize_t, block=bytearray)
    cpdef tuple take(self)
    cpdef tuple first(self)
    cdef _put_aside(self)
    cdef _drop_first(self)
    cdef _release(self)


@cython.locals(size=Py_ssize_t)
cpdef give_back(bytearray block)
