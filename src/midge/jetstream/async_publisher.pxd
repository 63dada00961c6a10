cimport cython
from midge.client.publisher cimport Publisher
from midge.message cimport Message


cdef class PendingAck:
    cdef AsyncPublisher _publisher
    cdef readonly str subject
    cdef object _data, _headers, _error, _future, _unheard
    cdef Message _answer
    cdef readonly bint is_done
    cdef public int tries
    cdef public long long tick
    cdef readonly str token

    cpdef bint receive(self, Message message) except -1
    cpdef fail(self, error)
    cpdef send(self)
    cdef _look(self)
    cdef _finish(self)


cdef class AsyncPublisher:
    cdef object _connection, _idle, _order, _patience, _requests, _retrying, _rooms, _timer, _unheard
    cdef Publisher _sender
    cdef long long _tick
    cdef readonly Py_ssize_t max_pending
    cdef readonly Py_ssize_t pending
    cdef readonly object timeout

    cpdef str ask(self, subject, data, headers, ack)
    cpdef forget(self, str token)
    cpdef note_done(self)
    cdef _let_in(self)
