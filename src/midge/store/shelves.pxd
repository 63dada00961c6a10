cimport cython
from libc.stdint cimport int64_t
from midge.store.index cimport Index
from midge.store.sight cimport Sight
from midge.wire.publication cimport Publication

cdef Py_ssize_t _SHELF, _SMALL, _HEADED, _OVERHEAD, _MAX_WEIGHT


@cython.final
cdef class Shelf:
    cdef readonly int64_t first
    cdef readonly bytearray buf
    cdef readonly Py_ssize_t fill, size, alive


cdef class Shelves(Sight):
    cdef list _shelves

    @cython.locals(body=Py_ssize_t, is_headed=bint, size=Py_ssize_t, sequence=int64_t, shelf=Shelf, place=Py_ssize_t, at=Py_ssize_t)
    cpdef int64_t append(self, Publication publication, int64_t time) except -1
    @cython.locals(entry=tuple, place=Py_ssize_t, size=Py_ssize_t, flags=Py_ssize_t, subject=bytes, shelf=Shelf, body=Py_ssize_t, header=Py_ssize_t, start=Py_ssize_t)
    cpdef get(self, sequence)
    @cython.locals(entry=tuple, place=Py_ssize_t, size=Py_ssize_t, flags=Py_ssize_t, time=int64_t, subject=bytes, shelf=Shelf, header=Py_ssize_t, start=Py_ssize_t)
    cpdef bint look(self, long long sequence) except -1
    @cython.locals(size=Py_ssize_t, number=Py_ssize_t, shelf=Shelf)
    cpdef bint remove(self, sequence) except -1
    @cython.locals(entry=tuple, place=Py_ssize_t, size=Py_ssize_t, flags=Py_ssize_t, subject=bytes, shelf=Shelf, length=Py_ssize_t)
    cpdef bint erase(self, sequence) except -1
    @cython.locals(shelves=list, shelf=Shelf)
    cpdef Py_ssize_t drop(self, below) except -1
    cpdef clear(self)
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, shelf=Shelf)
    cdef Py_ssize_t _at(self, int64_t sequence) except -1
    @cython.locals(shelf=Shelf, need=Py_ssize_t)
    cdef Shelf _room_for(self, int64_t sequence, Py_ssize_t size)
    @cython.locals(shelf=Shelf, after=Shelf)
    cdef _tidy(self, Py_ssize_t number)
    @cython.locals(entry=tuple, smaller=Shelf, sequence=int64_t, place=Py_ssize_t, size=Py_ssize_t, flags=Py_ssize_t, subject=bytes, length=Py_ssize_t)
    cdef Shelf _copied(self, Shelf shelf, int64_t below)


cpdef Py_ssize_t weight(Py_ssize_t subject, Py_ssize_t header, Py_ssize_t payload) except -1
