cimport cython
from libc.stdint cimport int64_t
from midge.store.blocks cimport Block, Blocks
from midge.store.subjects cimport Subjects

cdef int64_t _MAGIC, _LAST_SEQUENCE
cdef Py_ssize_t _HEAD, _MESSAGE


@cython.locals(names=list, numbers=bytearray, block=Block, index=Py_ssize_t, subject=Py_ssize_t, number=Py_ssize_t)
cpdef list fill(Block run, int64_t last, Blocks blocks, Subjects subjects)

@cython.locals(text=bytes, head=bytearray, lengths=bytearray, at=Py_ssize_t, name=bytes)
cpdef bytes encode(Block block, list names)

@cython.locals(size=Py_ssize_t, count=Py_ssize_t, subjects=Py_ssize_t, text=Py_ssize_t, start=Py_ssize_t, block=Block)
cpdef tuple decode(bytearray buf)

@cython.locals(number=Py_ssize_t)
cdef _check_names(bytearray buf, Py_ssize_t start, Py_ssize_t count, Py_ssize_t text)

@cython.locals(used=bytearray, found=Py_ssize_t, before=int64_t, sequence=int64_t, subject=int64_t, at=Py_ssize_t)
cdef _check(Block block, Py_ssize_t subjects)
