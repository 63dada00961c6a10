cimport cython
from libc.stdint cimport int64_t
from midge.store.blocks cimport Block, Blocks
from midge.store.selections cimport Selections
from midge.store.subjects cimport Subjects

cdef int64_t _NOTHING
cdef Py_ssize_t _FEW


@cython.final
cdef class Glance:
    cdef Subjects _subjects
    cdef Blocks _blocks
    cdef Selections _selections

    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, block=Block)
    cdef int64_t next(self, tuple filters, int64_t start, int64_t last) except? -1
    @cython.locals(number=Py_ssize_t, index=Py_ssize_t, block=Block, count=Py_ssize_t)
    cdef Py_ssize_t count(self, tuple filters, int64_t start, int64_t last) except? -1
    @cython.locals(subject=int64_t, each=bytes)
    cdef bint _matches(self, Block block, Py_ssize_t index, tuple filters) except -1
    @cython.locals(span=int64_t, work=int64_t)
    cdef bint is_enough(self, tuple filters, int64_t start, int64_t last) except -1
