cimport cython
from midge.wire.publication cimport Publication

cdef Py_ssize_t _MAX_REPLIES, _MAX_REPLY_BYTES
cdef double _PRUNE_SECONDS


@cython.final
cdef class Guard:
    cdef readonly object policy
    cdef public bint filtering
    cdef readonly long long answers
    cdef double _expires
    cdef dict _verdicts, _denials
    cdef bytes _allowed, _looked_at, _group
    cdef bint _denied
    cdef object _replies
    cdef Py_ssize_t _reply_bytes
    cdef double _pruned

    @cython.locals(subject=bytes)
    cpdef bint may_publish(self, Publication publication, double now) except -1
    @cython.locals(subject=bytes)
    cpdef bint denies(self, Publication publication, bytes queue) except -1
    @cython.locals(reply=bytes, expected=Expected)
    cpdef expect(self, Publication publication, double now)
    @cython.locals(expected=Expected, is_good=bint)
    cdef bint _use(self, bytes reply, double now) except -1
    @cython.locals(reply=bytes, expected=Expected)
    cdef _prune(self, double now)


@cython.final
cdef class Expected:
    cdef double since
    cdef long long used
