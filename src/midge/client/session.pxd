cimport cython
from midge.message cimport Message
from midge.wire.outbox cimport Outbox
from midge.wire.parser cimport Parser
from midge.wire.publication cimport Publication

cdef Py_ssize_t _FLUSH_AT
cdef int _OPEN, _CLOSED

@cython.final
cdef class Ready:
    cdef object _exhausted


@cython.final
cdef class Feed:
    cdef public long long sid
    cdef readonly str subject
    cdef readonly str queue
    cdef public object callback
    cdef public object owner
    cdef readonly object buffer
    cdef readonly Py_ssize_t buffered, max_msgs, max_bytes
    cdef readonly bint drop_oldest
    cdef public long long limit
    cdef readonly long long received, dropped
    cdef public bint woken
    cdef bint _slow
    cdef bytes _names
    cdef bytes _last_subject
    cdef str _last_text

    cpdef Message take(self)
    cpdef bint put(self, Message message, Py_ssize_t size) except -1
    cdef bint _fits(self, Py_ssize_t size) except -1


@cython.final
cdef class Session:
    cdef object _connect
    cdef str _inbox
    cdef object _publisher
    cdef Py_ssize_t _outbound_limit, _max_payload
    cdef list _events
    cdef dict _subjects
    cdef Feed _last_feed
    cdef Feed _mux
    cdef object _stopping
    cdef long long _next_sid, _next_token
    cdef public int state
    cdef readonly object cause
    cdef readonly object info
    cdef readonly Parser parser
    cdef readonly Outbox outbox
    cdef readonly dict feeds
    cdef readonly dict requests
    cdef public list woken
    cdef public bint scheduled
    cdef readonly long long pings, pongs, in_msgs, in_bytes, out_msgs, out_bytes

    @cython.locals(encoded=bytes, answer_to=bytes, header=bytes, size=Py_ssize_t, waiting=Py_ssize_t)
    cpdef Py_ssize_t publish(self, subject, data, reply, headers) except -1
    @cython.locals(parser=Parser, op=int)
    cpdef receive(self, bytearray chunk, Py_ssize_t stop)
    cpdef list take_events(self)
    @cython.locals(buf=bytearray, size=Py_ssize_t, sid=Py_ssize_t, feed=Feed, message=Message)
    cdef _deliver(self, Publication publication)
    cdef _add(self, Feed feed)
    cdef _handle(self, int op)
    cpdef ping(self)
    cpdef end(self, Feed feed)
