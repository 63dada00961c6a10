cimport cython
from midge.engine.claims cimport Claims
from midge.engine.dedupe cimport Dedupe
from midge.wire.publication cimport Publication

cdef Py_ssize_t _MAX_HEADER
cdef bytes _FLOW, _FAST


@cython.final
cdef class Intake:
    cdef readonly object stream, store
    cdef readonly Dedupe dedupe
    cdef Claims _claims
    cdef public bint careful, renames, republishes, choosy, metered, full, limited, timed, acks, dirty, followed, closed
    cdef public Py_ssize_t max_size
    cdef public bytes last_id
    cdef bytes _head
    cdef bint _settling
    cdef list _answers
    cdef list _due

    cpdef set_head(self, bytes head)
    cpdef bint receive(self, Publication publication, object wall) except -1
    @cython.locals(claims=Claims, id=bytes, last="long long")
    cdef bint _take_simple(self, Publication publication, object wall) except -1
    cdef _take(self, Publication publication, object wall, bytes id)
    cpdef acknowledge(self, Publication publication, Py_ssize_t sequence, bytes tail)
    cpdef bytes acknowledgement(self, object sequence, bytes tail)
    cpdef respond(self, Publication publication, bytes payload)
    cpdef refuse(self, Publication publication, object error)
    cpdef send(self, Publication publication)
    cpdef flush(self)
    cpdef see_to_settling(self)
    @cython.locals(count=Py_ssize_t, due=list)
    cdef _release(self, object committed)
    cpdef _settled(self, object error)
    @cython.locals(answer=Publication, payload=bytes)
    cdef _undo(self, object error)
    cdef _put(self, Publication answer, object due)
    cdef _note(self)


@cython.locals(end=Py_ssize_t)
cpdef bint ends_fast(Publication publication) except -1
