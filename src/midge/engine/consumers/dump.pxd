cimport cython
from libc.stdint cimport int64_t

from midge.engine.consumers.ledger cimport Ledger

cdef int64_t _VERSION, _RESUMING, _TIMED, _UNIT


@cython.locals(out=bytearray, sequence=int64_t, delivery=int64_t, time=int64_t, number=int64_t, place=int64_t, moment=int64_t,
               count=int64_t, step=int64_t, entry=tuple)
cpdef bytes dump(Ledger ledger, int64_t wall)
@cython.locals(numbers=list, at=Py_ssize_t, sequence=int64_t, delivery=int64_t, time=int64_t, step=int64_t, resume=int64_t, by=int64_t)
cpdef load(Ledger ledger, bytes data, int64_t wall)
cdef _put(bytearray out, int64_t number)
@cython.locals(numbers=list, number=int64_t, low=int64_t, shift=int, byte="unsigned char")
cdef list _numbers(bytes data)
