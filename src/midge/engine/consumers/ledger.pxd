cimport cython
from libc.stdint cimport int64_t

from midge.engine.consumers.redelivery cimport RedeliveryQueue

cdef Py_ssize_t _STRIDE, _DELIVERY, _TIME, _COUNT, _TICKET, _FEW, _KEPT, _SCAN
cdef int64_t _PAUSE, _PACE, _ALL, _LONGEST


@cython.final
cdef class Ledger:
    cdef public int64_t next, last, delivered, floor, stream_floor, told_floor, told_stream_floor, ack_wait, max_deliver, resume
    cdef readonly Py_ssize_t pending, redelivered, queued
    cdef public tuple backoff
    cdef readonly dict exceeded
    cdef bytearray _entries
    cdef RedeliveryQueue _queue
    cdef list _order
    cdef Py_ssize_t _capacity, _head, _tail
    cdef int64_t _at, _nearest, _shift
    cdef bint _is_gone

    cpdef start(self, int64_t next)
    cpdef int64_t deliver(self, int64_t sequence, int64_t wall) except -1
    cpdef int64_t deliver_only(self, int64_t sequence) except -1
    @cython.locals(at=Py_ssize_t, count=int64_t)
    cpdef int64_t deliver_again(self, int64_t sequence, int64_t wall) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef int64_t count_of(self, int64_t sequence) except -1
    @cython.locals(queue=RedeliveryQueue, sequence=int64_t, at=Py_ssize_t)
    cpdef int64_t first_queued(self) except -1
    @cython.locals(at=Py_ssize_t, count=int64_t, delivery=int64_t)
    cpdef int64_t give_up(self, int64_t sequence) except -1
    @cython.locals(at=Py_ssize_t, delivery=int64_t)
    cpdef int64_t ack(self, int64_t sequence) except -1
    @cython.locals(at=Py_ssize_t, before=Py_ssize_t)
    @cython.locals(order=list)
    cdef _forgive_to(self, int64_t sequence)
    cpdef Py_ssize_t ack_all(self, int64_t sequence, int64_t delivery) except -2
    @cython.locals(at=Py_ssize_t)
    cpdef bint nak(self, int64_t sequence) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef bint postpone(self, int64_t sequence, int64_t time) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef bint progress(self, int64_t sequence, int64_t wall) except -1
    @cython.locals(at=Py_ssize_t, left=Py_ssize_t, given_up=list)
    cpdef tuple expire(self, int64_t wall, int64_t first)
    @cython.locals(backoff=tuple, wait=int64_t)
    cpdef int64_t wait_of(self, int64_t count) except -1
    @cython.locals(at=Py_ssize_t, shift=int64_t, time=int64_t, given_up=list)
    cpdef list expire_all(self, int64_t wall)
    @cython.locals(at=Py_ssize_t, found=list)
    cpdef list sequences(self, int64_t start=?, int64_t count=?)
    @cython.locals(at=Py_ssize_t, on=bytearray)
    cpdef tuple entry(self, int64_t sequence)
    cpdef bint has(self, int64_t sequence) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef put(self, int64_t sequence, int64_t delivery, int64_t time, int64_t count)
    @cython.locals(at=Py_ssize_t)
    cpdef bint drop(self, int64_t sequence) except -1
    @cython.locals(entries=bytearray, sequence=int64_t, delivery=int64_t, time=int64_t, due=int64_t)
    cdef _look_at(self, Py_ssize_t at, int64_t wall, int64_t first, list given_up)
    @cython.locals(count=int64_t, sequence=int64_t, delivery=int64_t)
    cdef bint _is_over(self, Py_ssize_t at, list given_up) except -1
    cpdef int64_t purge(self, int64_t first) except -1
    cpdef tell(self)
    cpdef forgive(self, int64_t sequence)
    cpdef exceed(self, int64_t sequence, int64_t count)
    @cython.locals(at=Py_ssize_t, highest=int64_t)
    cdef int64_t _remove_to(self, int64_t sequence) except -1
    @cython.locals(at=Py_ssize_t)
    cdef _move_floor(self, int64_t delivery, int64_t sequence)
    @cython.locals(at=Py_ssize_t)
    cdef _move_told(self, int64_t delivery, int64_t sequence)
    @cython.locals(at=Py_ssize_t)
    cdef Py_ssize_t _live(self, int64_t sequence) noexcept
    @cython.locals(entries=bytearray, low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, guess=int64_t)
    cdef Py_ssize_t _from(self, int64_t sequence) noexcept
    @cython.locals(at=Py_ssize_t)
    cdef Py_ssize_t _find(self, int64_t sequence) noexcept
    @cython.locals(entries=bytearray)
    cdef _remove(self, Py_ssize_t at)
    @cython.locals(live=Py_ssize_t, capacity=Py_ssize_t, packed=bytearray, fill=Py_ssize_t, at=Py_ssize_t)
    cdef _make_room(self)
    cdef _let_go(self)
    cdef _enqueue(self, Py_ssize_t at)
    cdef _unqueue(self, Py_ssize_t at)
    @cython.locals(old=RedeliveryQueue, sequence=int64_t, at=Py_ssize_t)
    cdef _pack_queue(self)
