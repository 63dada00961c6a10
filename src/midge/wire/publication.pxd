cimport cython

cdef Py_ssize_t _OVERHEAD


@cython.final
cdef class Publication:
    cdef readonly bytearray buf
    cdef readonly Py_ssize_t subject_start, subject_end
    cdef readonly Py_ssize_t sid_start, sid_end
    cdef readonly Py_ssize_t reply_start, reply_end
    cdef readonly Py_ssize_t tail_start
    cdef readonly Py_ssize_t header_size
    cdef readonly Py_ssize_t payload_start, payload_end
    cdef readonly Py_ssize_t end

    @cython.locals(publication=Publication, at=Py_ssize_t, buf=bytearray)
    cpdef Publication response(self, Py_ssize_t header_size, Py_ssize_t size)
    @cython.locals(publication=Publication, subject_size=Py_ssize_t, at=Py_ssize_t, buf=bytearray)
    cpdef Publication answer(self, bytes head, Py_ssize_t number, bytes tail)
    @cython.locals(publication=Publication, size=Py_ssize_t, at=Py_ssize_t, shift=Py_ssize_t, buf=bytearray)
    cpdef Publication renamed(self, bytes subject)
    @cython.locals(publication=Publication, skip=Py_ssize_t, size=Py_ssize_t, at=Py_ssize_t, buf=bytearray)
    cpdef Publication redirected(self, bytes subject, bytes reply, bytes header)
    cpdef Py_ssize_t size(self) except -1
    cpdef bytes subject(self)
    cpdef bytes sid(self)
    cpdef bytes reply(self)
    cpdef bytes header(self)
    cpdef bytes payload(self)
    cpdef bytes body(self)


cdef Py_ssize_t _digits(Py_ssize_t number) noexcept
