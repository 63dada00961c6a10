cimport cython
from libc.stdint cimport int64_t
from midge.store.pool cimport Pool
from midge.store.series cimport Series

cdef Py_ssize_t _RECORD, _RUN, _COLLAPSE
cdef int64_t _SERIES, _REACH, _END


@cython.final
cdef class Postings:
    cdef Pool _pool
    cdef bytearray _records
    cdef list _series, _free

    @cython.locals(at=Py_ssize_t)
    cdef begin(self, Py_ssize_t number)
    cdef Py_ssize_t count(self, Py_ssize_t number) noexcept
    cdef int64_t first(self, Py_ssize_t number) noexcept
    cdef int64_t last(self, Py_ssize_t number) noexcept
    cdef void expect(self, Py_ssize_t number) noexcept
    @cython.locals(records=bytearray, at=Py_ssize_t, room=int64_t)
    cdef void expect_more(self, Py_ssize_t number) noexcept
    @cython.locals(records=bytearray, at=Py_ssize_t, count=Py_ssize_t)
    cdef add(self, Py_ssize_t number, int64_t sequence)
    @cython.locals(records=bytearray, at=Py_ssize_t, count=Py_ssize_t, room=int64_t)
    cdef Py_ssize_t remove(self, Py_ssize_t number, int64_t sequence) except -1
    @cython.locals(records=bytearray, at=Py_ssize_t, room=int64_t, base=int64_t, run=Py_ssize_t)
    cdef int64_t next(self, Py_ssize_t number, int64_t start) except -1
    @cython.locals(records=bytearray, at=Py_ssize_t, room=int64_t, base=int64_t, run=Py_ssize_t)
    cdef int64_t previous(self, Py_ssize_t number, int64_t start) except -1
    @cython.locals(records=bytearray, at=Py_ssize_t, count=Py_ssize_t, room=int64_t)
    cdef Py_ssize_t rest(self, Py_ssize_t number, int64_t start) except -1
    cdef Series _series_at(self, Py_ssize_t at)
    @cython.locals(records=bytearray, room=int64_t)
    cdef _add_third(self, Py_ssize_t at, Py_ssize_t count, int64_t sequence)
    @cython.locals(records=bytearray, first=int64_t, last=int64_t, series=Series, run=Py_ssize_t)
    cdef int64_t _make_run(self, Py_ssize_t at, Py_ssize_t count) except -1
    @cython.locals(records=bytearray, run=Py_ssize_t, base=int64_t, series=Series, index=Py_ssize_t)
    cdef int64_t _widen(self, Py_ssize_t at, Py_ssize_t count, int64_t room, int64_t sequence) except -1
    @cython.locals(new_run=Py_ssize_t)
    cdef _move(self, Py_ssize_t at, Py_ssize_t count, Py_ssize_t run, Py_ssize_t room, Py_ssize_t new_room)
    @cython.locals(series=Series, which=Py_ssize_t)
    cdef Series _make_series(self, Py_ssize_t at)
    @cython.locals(records=bytearray, buf=bytearray, base=int64_t, address=Py_ssize_t, run=Py_ssize_t, index=Py_ssize_t)
    cdef _remove_from_run(self, Py_ssize_t at, Py_ssize_t count, int64_t room, int64_t sequence)
    @cython.locals(records=bytearray, series=Series, first=int64_t, last=int64_t, which=Py_ssize_t, run=Py_ssize_t, index=Py_ssize_t)
    cdef _remove_from_series(self, Py_ssize_t at, Py_ssize_t count, int64_t sequence)
