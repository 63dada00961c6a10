cimport cython
from midge.message cimport Message
from midge.wire.outbox cimport Outbox


@cython.final
cdef class Counters:
    cdef public long long in_msgs, in_bytes, out_msgs, out_bytes, malformed


cdef int _DROP_OLD, _BLOCK, _ERROR
cdef Py_ssize_t _SURPLUS_MSGS, _SURPLUS_BYTES


cdef class Feed:
    cdef readonly long long sid  # what the message path reads comes first
    cdef readonly str subject
    cdef readonly str queue
    cdef readonly object callback
    cdef object _buffer
    cdef readonly Py_ssize_t buffered
    cdef Py_ssize_t _max_msgs, _max_bytes
    cdef public long long limit
    cdef readonly long long received, dropped
    cdef readonly bint holds
    cdef readonly bint has_ended
    cdef public bint woken
    cdef bint _slow
    cdef bytes _last_subject
    cdef str _last_text
    cdef readonly bint has_overrun
    cdef int _policy
    cdef readonly long long discarded, earlier
    cdef Py_ssize_t _top_msgs, _top_bytes

    cpdef Py_ssize_t waiting(self) except -1
    cpdef note_top(self)
    cpdef Message take(self)
    cpdef bint put(self, Message message, Py_ssize_t size) except -1
    cdef bint _fits(self, Py_ssize_t size) except -1
    cdef bint _put_full(self, Message message, Py_ssize_t size) except -1
    cdef _let_go(self)


@cython.final
cdef class Interest:
    cdef str _inbox
    cdef bytes _inbox_bytes
    cdef long long _dropped, _next_token
    cdef public long long next_sid
    cdef readonly dict feeds
    cdef readonly dict requests
    cdef readonly Feed answers
    cdef set _holders

    cpdef add(self, Feed feed)
    cpdef bint remove(self, Feed feed) except -1
    cpdef hold(self, Feed feed)
    cpdef subscribe(self, Feed feed, Outbox outbox)
    cpdef Feed make_answers(self)
    cpdef str next_token(self)
    cpdef bytes reply_subject(self, str token)
