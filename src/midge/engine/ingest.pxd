cimport cython
from midge.engine.admission cimport _Message, store_checked
from midge.engine.intake cimport Intake
from midge.wire.publication cimport Publication

cdef Py_ssize_t _START, _APPEND, _COMMIT, _END, _PING


@cython.final
cdef class _Place:
    cdef readonly bytes id
    cdef readonly Py_ssize_t flow, operation
    cdef readonly bint may_have_gaps
    cdef readonly object sequence


@cython.final
cdef class _FastBatch:
    cdef readonly bytes id
    cdef readonly bytes reply
    cdef bint may_have_gaps
    cdef Py_ssize_t flow, most
    cdef public object last, stored, told, silence


@cython.final
cdef class Ingest:
    cdef dict _open
    cdef object _stream

    @cython.locals(publication=Publication, place=_Place, batch=_FastBatch, intake=Intake, reply=bytes)
    cpdef receive(self, _Message message, object wall)
    cdef _check_level(self, _FastBatch batch, _Message message)
    cdef _ping(self, _FastBatch batch, object sequence)
    cdef bint _follows(self, _FastBatch batch, object sequence) except -1
    @cython.locals(intake=Intake, commits=bint)
    cdef _take(self, _FastBatch batch, _Place place, _Message message, object wall)
    cdef _check(self, _Message message, object wall)
    cdef bint _is_behind(self, _FastBatch batch, _Place place, _Message message) except -1
    cdef _pass_over(self, _FastBatch batch, _Place place, object sequence)
    cdef _fail(self, _FastBatch batch, _Place place, object error)
    cdef _finish(self, _FastBatch batch)
    cdef bint _tell(self, _FastBatch batch) except -1
    cdef _send_flow(self, _FastBatch batch, object sequence)
    cdef _send_gap(self, _FastBatch batch, object expected, object sequence)
    cdef _send(self, bytes reply, bytes payload)
    cpdef _close(self, _FastBatch batch)
