cimport cython
from midge.jetstream.message cimport StreamMessage, stream_message
from midge.message cimport Message


cdef class Pull:
    cdef object __weakref__
    cdef object _client, _subscription, _end_error
    cdef str _inbox
    cdef readonly str subject
    cdef public long long held_bytes, received
    cdef long long _counter, _first
    cdef list _watchers
    cdef readonly object held
    cdef public long long outstanding, outstanding_bytes
    cdef public bint counts_bytes, has_heard, is_grouped
    cdef public str pin
    cdef public object on_status, on_link

    cpdef give_up(self)
    cpdef StreamMessage take(self)
    cpdef receive(self, Message message)
    cdef _wake(self)
