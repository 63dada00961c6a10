cimport cython

from midge.wire.publication cimport Publication

cdef Py_ssize_t _HEAD
cdef int _MESSAGE, _GOOD, _TORN, _DAMAGED, _SHORT


@cython.final
cdef class Record:
    cdef readonly bytearray buf
    cdef readonly Py_ssize_t start, end
    cdef readonly int kind, flags
    cdef readonly long long sequence, time
    cdef readonly Py_ssize_t subject_start, header_start, payload_start, payload_end

    @cython.locals(size=Py_ssize_t, header=Py_ssize_t, subject=Py_ssize_t)
    cpdef int decode(self, bytearray buf, Py_ssize_t at, Py_ssize_t stop, unsigned int seed) except -1
    cpdef bytes subject(self)
    cpdef bytes header(self)
    cpdef bytes payload(self)
    cpdef Py_ssize_t size(self) except -1
    cpdef bint has_header(self) except -1


cpdef Py_ssize_t length(Py_ssize_t size) except -1
@cython.locals(size=Py_ssize_t, end=Py_ssize_t)
cpdef Py_ssize_t encode(
    bytearray buf, Py_ssize_t at, unsigned int seed, int kind, int flags, long long sequence, long long time, bytes subject, bytes header,
    bytes payload) except -1
@cython.locals(subject=Py_ssize_t, body=Py_ssize_t, end=Py_ssize_t, header=Py_ssize_t)
cpdef Py_ssize_t encode_publication(
    bytearray buf, Py_ssize_t at, unsigned int seed, int flags, long long sequence, long long time, Publication publication) except -1
@cython.locals(size=Py_ssize_t)
cdef Py_ssize_t _seal(
    bytearray buf, Py_ssize_t at, Py_ssize_t end, unsigned int seed, int kind, int flags, long long sequence, long long time,
    Py_ssize_t subject, Py_ssize_t header) except -1
@cython.locals(skipped=Py_ssize_t)
cpdef Py_ssize_t find(bytearray buf, Py_ssize_t at, Py_ssize_t stop, unsigned int seed) except? -1
