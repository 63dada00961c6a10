cimport cython
from midge.message cimport Message
from midge.wire.outbox cimport Outbox


@cython.final
cdef class Counters:
    cdef public long long in_msgs, in_bytes, out_msgs, out_bytes, malformed


cdef class Feed:
    cdef readonly long long sid
    cdef readonly str subject
    cdef readonly str queue
    cdef readonly object callback
    cdef object _buffer
    cdef readonly Py_ssize_t buffered, max_msgs, max_bytes
    cdef public long long limit
    cdef readonly long long received, dropped
    cdef readonly bint drop_oldest
    cdef readonly bint has_ended
    cdef public bint woken
    cdef bint _slow
    cdef bytes _last_subject
    cdef str _last_text

    cpdef Py_ssize_t waiting(self) except -1
    cpdef Message take(self)
    cpdef bint put(self, Message message, Py_ssize_t size) except -1
    cdef bint _fits(self, Py_ssize_t size) except -1


@cython.final
cdef class Interest:
    cdef str _inbox
    cdef bytes _inbox_bytes
    cdef long long _dropped, _next_token
    cdef public long long next_sid
    cdef readonly dict feeds
    cdef readonly dict requests
    cdef readonly Feed answers

    cpdef add(self, Feed feed)
    cpdef bint remove(self, Feed feed) except -1
    cpdef subscribe(self, Feed feed, Outbox outbox)
    cpdef Feed make_answers(self)
    cpdef str next_token(self)
    cpdef bytes reply_subject(self, str token)
