cimport cython
from libc.stdint cimport int64_t
from midge.store.pool cimport Pool

cdef Py_ssize_t _ONE_TABLE, _SLOTS, _SOME


@cython.final
cdef class Subjects:
    cdef readonly Py_ssize_t count, top
    cdef Pool _pool
    cdef bytearray _records, _counts
    cdef list _tables
    cdef Py_ssize_t _free, _last

    @cython.locals(number=Py_ssize_t)
    cdef Py_ssize_t find(self, bytearray buf, Py_ssize_t start, Py_ssize_t end) except -2
    @cython.locals(at=Py_ssize_t, end=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t, name=Py_ssize_t, size=Py_ssize_t, number=Py_ssize_t, guesses=bytearray)
    cdef find_all(self, bytearray buf, Py_ssize_t lengths, Py_ssize_t count, bytearray numbers)
    @cython.locals(number=Py_ssize_t)
    cdef Py_ssize_t intern(self, bytearray buf, Py_ssize_t start, Py_ssize_t end) except -2
    @cython.locals(records=bytearray, at=Py_ssize_t)
    cdef release(self, Py_ssize_t number)
    @cython.locals(start=Py_ssize_t)
    cdef bytes name(self, Py_ssize_t number)
    cdef bint is_there(self, Py_ssize_t number) noexcept
    @cython.locals(start=Py_ssize_t)
    cdef bint is_covered(self, Py_ssize_t number, bytes pattern) noexcept
    @cython.locals(table=bytearray)
    cdef void _expect_slot(self, int64_t hash) noexcept
    @cython.locals(table=bytearray, number=Py_ssize_t)
    cdef Py_ssize_t _guess(self, int64_t hash) noexcept
    @cython.locals(records=bytearray, at=Py_ssize_t, size=Py_ssize_t)
    cdef bint _is_name(self, Py_ssize_t number, bytearray buf, Py_ssize_t start, Py_ssize_t end) noexcept
    @cython.locals(table=bytearray, mask=Py_ssize_t, slot=Py_ssize_t, number=Py_ssize_t)
    cdef Py_ssize_t _search(self, bytearray buf, Py_ssize_t start, Py_ssize_t end, int64_t hash) except -2
    @cython.locals(size=Py_ssize_t, hash=int64_t, address=Py_ssize_t, number=Py_ssize_t, records=bytearray, at=Py_ssize_t)
    cdef Py_ssize_t _new(self, bytearray buf, Py_ssize_t start, Py_ssize_t end) except -2
    @cython.locals(which=Py_ssize_t, table=bytearray, taken=Py_ssize_t)
    cdef _put_in(self, Py_ssize_t number, int64_t hash)
    @cython.locals(which=Py_ssize_t, table=bytearray, mask=Py_ssize_t, hole=Py_ssize_t, slot=Py_ssize_t, home=Py_ssize_t)
    cdef _take_out(self, Py_ssize_t number, int64_t hash)
    @cython.locals(old=bytearray, slot=Py_ssize_t, number=Py_ssize_t)
    cdef _split(self)


@cython.locals(table=bytearray, slot=Py_ssize_t, number=Py_ssize_t)
cdef bytearray _rehashed(bytearray old, Py_ssize_t slots)

@cython.locals(mask=Py_ssize_t, slot=Py_ssize_t)
cdef void _insert(bytearray table, Py_ssize_t number, int64_t hash) noexcept
