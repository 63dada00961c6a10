cimport cython
from libc.stdint cimport int64_t
from midge.engine.consumers.ledger cimport Ledger
from midge.store.sight cimport Sight
from midge.wire.publication cimport Publication

cdef int _BUSY, _DONE, _STALLED, _IDLE, _LOADING, _FULL, _NONE, _CROWDED, _BY_NONE, _EXPLICIT, _ALL, _DOT, _NUMBERS


@cython.final
cdef class Delivery:
    cdef readonly object consumer
    cdef public object store, outside, target
    cdef readonly Ledger ledger
    cdef public tuple ahead, filters
    cdef public bytes head
    cdef public list skips
    cdef public dict loaded
    cdef public Py_ssize_t granted, room
    cdef public int64_t missing, wall, heard, acked, sent
    cdef public Py_ssize_t max_pending
    cdef public int policy
    cdef public unsigned char wanted, headers_only, decorated, retains, changed, stalled, paced, sampled  # a bint is an int: 24 bytes more
    cdef int64_t _left, _counted, _holes, _committed
    cdef Py_ssize_t _followed, _followed_size
    cdef Sight _sight
    cdef Publication _message

    cpdef int run(self, Py_ssize_t messages, Py_ssize_t size, int64_t wall) except -1
    @cython.locals(ledger=Ledger, sequence=int64_t, again=bint, is_granted=bint, publication=Publication, taken=Py_ssize_t, outcome=int)
    cdef int _run(self, Py_ssize_t messages, Py_ssize_t size) except -1
    @cython.locals(followed=Py_ssize_t, size=Py_ssize_t)
    cdef _tell_target(self)
    @cython.locals(ledger=Ledger, was_full=bint, first=int64_t)
    cpdef int64_t ack(self, int64_t sequence, int64_t delivery) except -1
    cpdef touch(self)
    cpdef strike_out(self)
    @cython.locals(last=int64_t, holes=int64_t)
    cpdef int64_t count(self) except -1
    @cython.locals(start=int64_t)
    cpdef recount(self)
    cpdef doubt(self)
    cpdef skip(self, list sequences)
    @cython.locals(ledger=Ledger)
    cpdef go_on(self)
    cpdef restart(self)
    @cython.locals(skips=list, ledger=Ledger, sequence=int64_t)
    cdef int64_t _next(self) except -1
    @cython.locals(ledger=Ledger, ahead=tuple)
    cdef _pass_by(self)
    @cython.locals(seen=int64_t, sequence=int64_t)
    cdef _count_ahead(self)
    @cython.locals(ledger=Ledger, count=int64_t, left=int64_t, subject=bytes, header=bytes, payload=bytes)
    cdef Publication _composed(self, int64_t sequence, bint again)
    @cython.locals(sight=Sight, ledger=Ledger, publication=Publication, header=Py_ssize_t, size=Py_ssize_t, room=Py_ssize_t, buf=bytearray, at=Py_ssize_t)
    cdef Publication _seen(self, int64_t count, int64_t left)
    @cython.locals(ledger=Ledger)
    cdef _delivered(self, int64_t sequence, bint again)
    @cython.locals(skips=list)
    cdef _advance(self, int64_t sequence)
    cdef _gone(self, int64_t sequence, bint again)
    @cython.locals(count=int64_t)
    cdef _give_up(self, int64_t sequence)


cdef Py_ssize_t _put_dot(bytearray buf, Py_ssize_t at) noexcept
