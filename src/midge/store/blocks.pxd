cimport cython
from libc.stdint cimport int64_t

cdef Py_ssize_t _BLOCK, _SMALL, _FEW
cdef int64_t _NOTHING, _SIZE


@cython.final
cdef class Block:
    cdef readonly int64_t first
    cdef readonly int64_t size
    cdef readonly Py_ssize_t used, alive, capacity
    cdef readonly bint is_sparse
    cdef readonly bytearray cells

    @cython.locals(offset=int64_t)
    cdef Py_ssize_t find(self, int64_t sequence) noexcept
    cdef int64_t sequence(self, Py_ssize_t at) noexcept
    cdef int64_t time(self, Py_ssize_t at) noexcept
    cdef int64_t place(self, Py_ssize_t at) noexcept
    cdef int64_t measure(self, Py_ssize_t at) noexcept
    cdef int64_t subject(self, Py_ssize_t at) noexcept
    @cython.locals(at=Py_ssize_t)
    cdef void put(self, int64_t sequence, int64_t time, int64_t place, int64_t measure, int64_t subject) noexcept
    cdef void put_place(self, Py_ssize_t at, int64_t place) noexcept
    cdef void clear(self, Py_ssize_t at) noexcept
    @cython.locals(base=Py_ssize_t, used=Py_ssize_t)
    cdef Py_ssize_t next(self, Py_ssize_t at) noexcept
    @cython.locals(base=Py_ssize_t)
    cdef Py_ssize_t previous(self, Py_ssize_t at) noexcept
    @cython.locals(old=Py_ssize_t, cells=bytearray, used=Py_ssize_t)
    cdef grow(self, Py_ssize_t capacity)
    @cython.locals(need=Py_ssize_t, index=Py_ssize_t)
    cdef take(self, Block other)


@cython.final
cdef class Blocks:
    cdef readonly list blocks

    @cython.locals(block=Block)
    cdef add(self, int64_t sequence, int64_t time, int64_t place, int64_t measure, int64_t subject)
    @cython.locals(blocks=list, high=Py_ssize_t, low=Py_ssize_t, middle=Py_ssize_t, block=Block, after=Block)
    cdef Py_ssize_t at(self, int64_t sequence) except -2
    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, block=Block)
    cdef Py_ssize_t lookup(self, int64_t sequence) except -2
    @cython.locals(block=Block)
    cdef remove(self, Py_ssize_t number, Py_ssize_t index)
    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, block=Block)
    cdef int64_t after(self, int64_t sequence) except -1
    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, block=Block)
    cdef int64_t before(self, int64_t sequence) except -1
    @cython.locals(messages=Py_ssize_t, size=int64_t, number=Py_ssize_t, block=Block, start=Py_ssize_t, stop=Py_ssize_t, index=Py_ssize_t)
    cdef tuple alive(self, int64_t first, int64_t last)
    @cython.locals(messages=Py_ssize_t, number=Py_ssize_t, block=Block, index=Py_ssize_t)
    cdef Py_ssize_t count(self, int64_t start) except -1
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, block=Block, number=Py_ssize_t, index=Py_ssize_t)
    cdef int64_t at_time(self, int64_t time) except -1
    @cython.locals(number=Py_ssize_t, block=Block, index=Py_ssize_t)
    cdef int64_t flagged(self, int64_t mask, int64_t start) except -1
    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, block=Block)
    cdef int64_t hole(self, int64_t sequence) except -1
    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, start=Py_ssize_t, subject=int64_t, block=Block)
    cdef int64_t after_in(self, bytearray bits, int64_t sequence, int64_t steps) except? -1
    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, start=Py_ssize_t, subject=int64_t, block=Block)
    cdef int64_t before_in(self, bytearray bits, int64_t sequence, int64_t steps) except? -1
    @cython.locals(count=Py_ssize_t, number=Py_ssize_t, index=Py_ssize_t, subject=int64_t, block=Block)
    cdef Py_ssize_t count_in(self, bytearray bits, int64_t sequence) except -1
    @cython.locals(block=Block, offset=int64_t, is_next=bint)
    cdef Block _room_for(self, int64_t sequence, int64_t time)
    @cython.locals(number=Py_ssize_t, block=Block)
    cdef _close_last(self)
    @cython.locals(block=Block, before=Block, thin=Block, after=Block)
    cdef _thin(self, Py_ssize_t number)


cdef bint _fit(Block block, Block after) noexcept
