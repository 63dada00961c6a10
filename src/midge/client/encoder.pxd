cimport cython
from midge.wire.outbox cimport Outbox

cdef Py_ssize_t _MAX_NAMES, _SUBJECT_CACHE


@cython.final
cdef class PublishEncoder:
    cdef Py_ssize_t _limit
    cdef object _full
    cdef dict _subjects
    cdef public Py_ssize_t max_payload
    cdef public bint has_headers

    cpdef Py_ssize_t encode(self, Outbox out, subject, data, reply, headers) except -1
    @cython.locals(encoded=bytes, header=bytes, size=Py_ssize_t, waiting=Py_ssize_t)
    cpdef Py_ssize_t encode_reply(self, Outbox out, subject, data, bytes reply, headers) except -1
    @cython.locals(size=Py_ssize_t, waiting=Py_ssize_t)
    cpdef Py_ssize_t encode_answer(self, Outbox out, bytes subject, bytes data) except -1
    @cython.locals(encoded=bytes)
    cdef bytes _encode_subject(self, subject)
