cimport cython
from libc.stdint cimport int64_t
from midge.store.sight cimport Sight
from midge.wire.publication cimport Publication

cdef bytes _SEQUENCE, _LAST, _CLOSED, _END, _VERSION, _AFTER_SUBJECT, _AFTER_SEQUENCE
cdef Py_ssize_t _SUBJECT_SIZE, _FREE_SIZE, _SIZE_SHIFT


@cython.final
cdef class Lookup:
    cdef object _stream, _account, _store
    cdef Sight _sight
    cdef bytes _name, _before_subject, _second_text
    cdef long long _second

    @cython.locals(answer=Publication, answers=list)
    cpdef bint receive(self, Publication publication, object wall) except -1
    @cython.locals(sequence="long long")
    cdef Publication _answer(self, Publication publication)
    @cython.locals(buf=bytearray, start=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, at=Py_ssize_t)
    cdef int64_t _sequence_of(self, Publication publication) except? -1
    cdef int64_t _last_of(self, bytes subject) except? -1
    @cython.locals(sight=Sight, seconds="long long", fraction="long long", digits=Py_ssize_t, own=Py_ssize_t, header=Py_ssize_t,
                   answer=Publication, buf=bytearray, at=Py_ssize_t)
    cdef Publication _composed(self, Publication publication)


cdef Py_ssize_t _digits(long long number) noexcept

@cython.locals(end=Py_ssize_t)
cdef Py_ssize_t _put_fraction(bytearray buf, Py_ssize_t at, long long fraction, Py_ssize_t digits) except -1
