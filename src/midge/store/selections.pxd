cimport cython
from midge.store.subjects cimport Subjects

cdef Py_ssize_t _KEPT, _MANY, _COMPARED, _ROOM, _SLICE, _DRAFTS


@cython.final
cdef class Selection:
    cdef readonly tuple filters, patterns
    cdef readonly frozenset literals
    cdef readonly bytearray bits
    cdef bytearray _groups
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t compared

    @cython.locals(group=Py_ssize_t)
    cdef Py_ssize_t next(self, Py_ssize_t number) noexcept
    @cython.locals(groups=Py_ssize_t)
    cdef cover(self, Py_ssize_t top)
    cdef void add(self, Py_ssize_t number) noexcept
    cdef void discard(self, Py_ssize_t number) noexcept


@cython.final
cdef class Selections:
    cdef Subjects _subjects
    cdef list _kept, _drafts

    @cython.locals(kept=list, selection=Selection, at=Py_ssize_t)
    cdef Selection of(self, tuple filters)
    @cython.locals(selection=Selection, is_one_too_many=bint)
    cdef bint prepare(self, tuple filters) except -1
    @cython.locals(kept=list, selection=Selection, at=Py_ssize_t)
    cdef bint has(self, tuple filters) except -1
    @cython.locals(selection=Selection, has_many=bint)
    cdef opened(self, Py_ssize_t number)
    @cython.locals(selection=Selection)
    cdef closed(self, Py_ssize_t number)
    cdef Selection _renewed(self, Py_ssize_t at)
    @cython.locals(kept=list, selection=Selection, at=Py_ssize_t, compared=Py_ssize_t, room=Py_ssize_t)
    cdef _limit(self)
    @cython.locals(drafts=list, at=Py_ssize_t, subjects=Subjects, selection=Selection, number=Py_ssize_t, literal=bytes)
    cdef Selection _draft(self, tuple filters)
    @cython.locals(subjects=Subjects, number=Py_ssize_t)
    cdef _compare(self, Selection selection, Py_ssize_t stop)
    cdef _finish(self, Selection selection)
    @cython.locals(pattern=bytes)
    cdef bint _matches(self, Py_ssize_t number, tuple patterns) except -1
