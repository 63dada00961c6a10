cimport cython
from midge.client.encoder cimport PublishEncoder
from midge.client.interest cimport Counters, Feed, Interest
from midge.message cimport Message
from midge.wire.outbox cimport Outbox
from midge.wire.parser cimport Parser
from midge.wire.publication cimport Publication

cdef Py_ssize_t _FLUSH_AT, _HIGH_WATER
cdef int _GREETING, _HANDSHAKE, _OPEN, _CLOSED, _SLICE


@cython.final
cdef class Session:
    cdef object _publisher
    cdef dict _feeds
    cdef list _events
    cdef Feed _last_feed
    cdef bint _interrupted, _is_full
    cdef readonly bint is_waiting
    cdef object _stopping
    cdef long long _confirmed
    cdef object _marks
    cdef readonly Interest interest
    cdef readonly PublishEncoder encoder
    cdef readonly Counters counters
    cdef readonly int state
    cdef readonly object cause
    cdef readonly object info
    cdef readonly Parser parser
    cdef readonly Outbox outbox
    cdef public list woken
    cdef public bint scheduled
    cdef readonly long long pings, pongs

    @cython.locals(size=Py_ssize_t, waiting=Py_ssize_t, counters=Counters, outbox=Outbox)
    cpdef Py_ssize_t publish(self, subject, data, reply, headers) except -1
    @cython.locals(size=Py_ssize_t, waiting=Py_ssize_t, counters=Counters, outbox=Outbox)
    cpdef Py_ssize_t answer(self, str subject, bytes data) except -1
    cpdef subscribe(self, Feed feed)
    cpdef unsubscribe(self, Feed feed, long long limit=*)
    @cython.locals(feed=Feed)
    cpdef stop(self, list feeds)
    @cython.locals(feed=Feed)
    cpdef end_stopped(self)
    cpdef end(self, Feed feed)
    @cython.locals(interest=Interest, answers=Feed, token=str, size=Py_ssize_t)
    cpdef str request(self, subject, data, headers, waiter)
    cpdef ping(self)
    cpdef bint receive(self, bytearray chunk, Py_ssize_t stop) except -1
    @cython.locals(parser=Parser, publication=Publication, outbox=Outbox, op=int, left=int)
    cpdef bint parse(self) except -1
    cpdef forget_feeds(self)
    cpdef list take_events(self)
    @cython.locals(buf=bytearray, size=Py_ssize_t, sid=Py_ssize_t, feed=Feed, message=Message)
    cdef _deliver(self, Publication publication)
    cdef Feed _find(self, sid)
    cdef _note_full(self, Feed feed)
    cdef _note_failure(self, Feed feed, error)
    cdef _check_result(self, Feed feed, result)
    cdef _handle(self, int op)
