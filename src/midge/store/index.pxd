cimport cython
from libc.stdint cimport int64_t
from midge.store.blocks cimport Block, Blocks
from midge.store.glance cimport Glance
from midge.store.pool cimport Pool
from midge.store.postings cimport Postings
from midge.store.selections cimport Selection, Selections
from midge.store.subjects cimport Subjects
from midge.wire.publication cimport Publication

cdef int64_t _LAST_SEQUENCE, _MAX_SIZE, _MAX_PLACE, _MAX_FLAGS, _NOTHING, _GLANCE, _SOON, _ASKING, _AHEAD


@cython.final
cdef class Index:
    cdef readonly Py_ssize_t messages
    cdef readonly int64_t size, first, last, first_time, last_time
    cdef Pool _pool
    cdef Subjects _subjects
    cdef Postings _postings
    cdef Selections _selections
    cdef Glance _glance
    cdef Blocks _blocks
    cdef bytearray _name
    cdef int64_t _changes

    cpdef add(self, int64_t sequence, int64_t place, int64_t size, int64_t flags, int64_t time, bytearray buf, Py_ssize_t start, Py_ssize_t end)
    cpdef add_publication(self, int64_t sequence, int64_t place, int64_t size, int64_t flags, int64_t time, Publication publication)
    @cython.locals(index=Py_ssize_t)
    cpdef bint remove(self, sequence) except -1
    @cython.locals(before=Py_ssize_t)
    cpdef Py_ssize_t drop(self, below) except -1
    @cython.locals(index=Py_ssize_t, block=Block)
    cpdef move(self, sequence, int64_t place)
    cpdef bint has(self, sequence) except -1
    @cython.locals(index=Py_ssize_t)
    cpdef int64_t place_of(self, sequence) except? -1
    @cython.locals(index=Py_ssize_t)
    cpdef int64_t size_of(self, sequence) except -1
    @cython.locals(index=Py_ssize_t)
    cpdef int64_t flags_of(self, sequence) except -1
    @cython.locals(index=Py_ssize_t)
    cpdef int64_t time_of(self, sequence) except -1
    @cython.locals(index=Py_ssize_t)
    cpdef bytes subject_of(self, sequence)
    @cython.locals(index=Py_ssize_t, block=Block, measure=int64_t)
    cpdef tuple entry(self, sequence)
    cpdef int64_t after(self, sequence) except -1
    cpdef int64_t flagged(self, int64_t flags, start) except -1
    cpdef tuple alive(self, first, last)
    cpdef int64_t at_time(self, time) except -1
    @cython.locals(number=Py_ssize_t, at=int64_t, found=int64_t)
    cpdef int64_t next(self, tuple filters, start) except -1
    @cython.locals(number=Py_ssize_t, at=int64_t)
    cpdef int64_t previous(self, tuple filters, start) except -1
    @cython.locals(number=Py_ssize_t)
    cpdef total(self, bytes subject)
    @cython.locals(found=list, selection=Selection, number=Py_ssize_t)
    cpdef tuple totals(self, bytes filter, Py_ssize_t place, Py_ssize_t count)
    cpdef bint prepare(self, tuple filters, start) except -1
    @cython.locals(number=Py_ssize_t, found=int64_t)
    cdef Py_ssize_t _pending(self, tuple filters, int64_t start) except -1
    @cython.locals(at=int64_t, end=int64_t, run=Block)
    cpdef bytes dump(self, first, last)
    @cython.locals(buf=bytearray, run=Block, lengths=Py_ssize_t, names=Py_ssize_t)
    cpdef restore(self, data)
    @cython.locals(numbers=bytearray, at=Py_ssize_t, name=Py_ssize_t, size=Py_ssize_t, index=Py_ssize_t, number=Py_ssize_t)
    cdef _take(self, Block run, bytearray buf, Py_ssize_t lengths, Py_ssize_t names)
    cdef _empty(self)
    @cython.locals(count=Py_ssize_t, number=Py_ssize_t)
    cdef Py_ssize_t _number_of(self, bytearray buf, Py_ssize_t start, Py_ssize_t end) except -1
    cdef _note(self, int64_t sequence, int64_t place, int64_t measure, int64_t time, Py_ssize_t number)
    @cython.locals(block=Block, subject=Py_ssize_t)
    cdef _remove(self, Py_ssize_t number, Py_ssize_t index, int64_t sequence)
    @cython.locals(sequence=int64_t, number=Py_ssize_t)
    cdef _drop_before(self, int64_t below)
    @cython.locals(index=Py_ssize_t)
    cdef _find_first(self)
    cdef Block _block_of(self, int64_t sequence)
    @cython.locals(size=Py_ssize_t)
    cdef Py_ssize_t _find(self, bytes subject) except -2
    cdef _total_of(self, Py_ssize_t number)
    @cython.locals(found=int64_t, nearest=int64_t, number=Py_ssize_t)
    cdef int64_t _next_of(self, Selection selection, int64_t start) except -1
    @cython.locals(found=int64_t, nearest=int64_t, number=Py_ssize_t)
    cdef int64_t _previous_of(self, Selection selection, int64_t start) except -1
    @cython.locals(count=Py_ssize_t, number=Py_ssize_t)
    cdef Py_ssize_t _rest_of(self, Selection selection, int64_t start) except -1
    @cython.locals(count=Py_ssize_t, number=Py_ssize_t)
    cdef Py_ssize_t _count_lasts(self, Selection selection, int64_t start) except -1
    @cython.locals(found=list, number=Py_ssize_t, sequence=int64_t)
    cdef list _lasts_of(self, Selection selection, int64_t up_to)
    @cython.locals(block=Block, index=Py_ssize_t, number=Py_ssize_t, sequence=int64_t)
    cdef _collect_lasts(self, Selection selection, list found)


cdef int64_t _bounded(sequence) except -1
