cimport cython
from libc.stdint cimport int64_t
from midge.store.pool cimport Pool

cdef Py_ssize_t _RUN, _FEW, _JOINED
cdef int64_t _REACH


@cython.final
cdef class Series:
    cdef Pool _pool
    cdef bytearray _rows
    cdef Py_ssize_t _used

    @cython.locals(row=Py_ssize_t, count=Py_ssize_t)
    cdef add(self, int64_t sequence)
    @cython.locals(which=Py_ssize_t, row=Py_ssize_t, run=Py_ssize_t, count=Py_ssize_t, index=Py_ssize_t)
    cdef remove(self, int64_t sequence)
    @cython.locals(which=Py_ssize_t, index=Py_ssize_t)
    cdef int64_t next(self, int64_t start) noexcept
    @cython.locals(which=Py_ssize_t, index=Py_ssize_t)
    cdef int64_t previous(self, int64_t start) noexcept
    @cython.locals(which=Py_ssize_t, index=Py_ssize_t)
    cdef Py_ssize_t rest(self, int64_t start, Py_ssize_t total) noexcept
    @cython.locals(which=Py_ssize_t)
    cdef clear(self)
    cdef Py_ssize_t _at(self, int64_t sequence) noexcept
    @cython.locals(row=Py_ssize_t)
    cdef Py_ssize_t _index(self, Py_ssize_t which, int64_t sequence) noexcept
    @cython.locals(row=Py_ssize_t)
    cdef int64_t _get(self, Py_ssize_t which, Py_ssize_t index) noexcept
    @cython.locals(count=Py_ssize_t, row=Py_ssize_t)
    cdef Py_ssize_t _count(self, Py_ssize_t which, Py_ssize_t stop) noexcept
    @cython.locals(row=Py_ssize_t)
    cdef Py_ssize_t _add_run(self, int64_t base) except -1
    cdef _drop_run(self, Py_ssize_t which)
    @cython.locals(row=Py_ssize_t, other=Py_ssize_t, count=Py_ssize_t, more=Py_ssize_t, base=int64_t, far=int64_t, run=Py_ssize_t, source=Py_ssize_t, index=Py_ssize_t)
    cdef bint _join(self, Py_ssize_t which) except -1
