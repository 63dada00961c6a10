cimport cython

from midge.link.readiness cimport Chunks

cdef int _READ, _WRITE, _READABLE, _WRITABLE
cdef Py_ssize_t _BATCH
cdef long _ALONE


@cython.final
cdef class Reactor:
    cdef readonly object loop
    cdef public object after, between
    cdef readonly object _poll
    cdef object _ready, _queue, _timer, _reader
    cdef long _reads
    cdef readonly object _deadlines
    cdef readonly dict _links
    cdef Chunks _chunks
    cdef double _timer_due
    cdef bint _wanted, _scheduled, _closed

    @cython.locals(wanted=cython.int)
    cpdef watch(self, link, bint read, bint write)
    cpdef forget(self, link)
    cpdef bytearray take_chunk(self)
    cpdef give_back(self, bytearray chunk)
    cpdef time(self)
    cpdef defer(self, call)
    cpdef call_at(self, when, call)
    cpdef cancel(self, call)
    cpdef schedule(self)
    cpdef is_alone(self)
    cpdef close(self)
    cpdef abandon(self)
    cdef _open(self)
    cpdef _on_ready(self)
    cdef _call_turn(self)
    cpdef _turn_again(self)
    cpdef _turn(self)
    @cython.locals(events=cython.int, watched=cython.int)
    cdef _serve(self, double until)
    cdef _attend(self)
    cdef _prompt(self)
    cdef _ask(self)
    cdef _make_calls(self)
    cdef _finish(self)
    cdef _arm(self)
    cpdef _on_timer(self)
    cpdef _call_due(self)
    cdef _drop(self)
