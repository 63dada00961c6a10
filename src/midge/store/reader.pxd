cimport cython
from midge.store.index cimport Index
from midge.store.record cimport Record
from midge.store.shelf cimport Shelf
from midge.store.sight cimport Sight
from midge.store.tail cimport Block


cdef class Reader(Sight):
    cdef object _files, _handles, _path, _submit, _report, _window_of, _window_base, _peeked
    cdef Shelf _shelf
    cdef Record _record
    cdef set _blamed
    cdef bytearray _window

    @cython.locals(place="long long", block=Block, record=Record)
    cpdef peek(self, object sequence)
    @cython.locals(place="long long", block=Block, record=Record)
    cpdef bint look(self, long long sequence) except -1
    @cython.locals(at="long long")
    cdef bint _is_in_window(self, long long place, unsigned int seed) except -1
    @cython.locals(place="long long", block=Block)
    cpdef read(self, object sequence)
    @cython.locals(record=Record)
    cdef _decoded(self, bytearray buf, Py_ssize_t at, Py_ssize_t stop, object segment, long long sequence)
