cimport cython
from libc.stdint cimport int64_t

from midge.store.index cimport Index
from midge.store.record cimport Record

cdef Py_ssize_t _HEAD
cdef int _GOOD, _MESSAGE, _REMOVE, _DROP, _SKIP


@cython.final
cdef class Replay:
    cdef readonly Index index
    cdef public int64_t last, floor
    cdef Record _record

    @cython.locals(record=Record, stop=Py_ssize_t, size=Py_ssize_t)
    cpdef Py_ssize_t take(self, bytearray buf, Py_ssize_t at, Py_ssize_t base, unsigned int seed) except -1
    @cython.locals(sequence=int64_t)
    cpdef remove(self, int64_t first, int64_t last)
    cpdef drop(self, int64_t below)
    cpdef skip(self, int64_t sequence, int64_t time)
    @cython.locals(size=Py_ssize_t, at=Py_ssize_t)
    cdef bint _change(self, Record record) except -1


@cython.locals(stop=Py_ssize_t, size=Py_ssize_t, subject=Py_ssize_t, end=Py_ssize_t, place=Py_ssize_t)
cpdef Py_ssize_t collect_removals(bytearray buf, Py_ssize_t at, unsigned int seed, int64_t below, bytearray found) except? -1
