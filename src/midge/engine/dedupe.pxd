cimport cython

cdef long long _NEVER


@cython.final
cdef class Run:
    cdef long long time, last
    cdef list ids


@cython.final
cdef class Dedupe:
    cdef dict _sequences
    cdef object _runs
    cdef Run _newest
    cdef long long _oldest
    cdef public long long window

    cpdef find(self, bytes id, long long wall)
    @cython.locals(run=Run)
    cpdef add(self, bytes id, long long sequence, long long time)
    @cython.locals(run=Run)
    cpdef expire(self, long long wall)
    @cython.locals(run=Run)
    cpdef set_clock(self, long long by)
    @cython.locals(run=Run, id=bytes)
    cpdef forget_after(self, long long sequence)
    @cython.locals(sequences=dict, id=bytes, found="long long")
    cdef _forget(self, list ids, long long after, long long last)
    @cython.locals(first=Run)
    cdef _look(self)
