cimport cython
from midge.engine.dedupe cimport Dedupe
from midge.engine.intake cimport Intake
from midge.wire.publication cimport Publication


@cython.final
cdef class _Message:
    cdef readonly Publication publication
    cdef readonly bytes named, subject, given
    cdef public bytes header, payload
    cdef readonly dict values

    cpdef Py_ssize_t payload_size(self) except -1
    cpdef Publication to_store(self)


@cython.locals(message=_Message, subject=bytes)
cpdef admit(object stream, Publication publication, object wall)

@cython.locals(message=_Message, intake=Intake, values=dict)
cpdef admit_copy(object stream, bytes subject, bytes header, bytes payload, object time, object is_mirror)

cdef _copy_plain(object stream, Publication publication, object time)

cdef bytes _ID, _EXPECTED

@cython.locals(intake=Intake, header=bytes, values=dict, id=bytes, expected=bytes, dedupe=Dedupe)
cdef bint _admit_plain(object stream, Publication publication, object wall) except -1

@cython.locals(intake=Intake, values=dict, id=bytes)
cdef _admit(object stream, _Message message, object wall)

@cython.locals(message=_Message)
cpdef admit_scheduled(object stream, bytes subject, bytes header, bytes payload, object wall)

cpdef object store_checked(object stream, _Message message, object wall)

@cython.locals(intake=Intake, values=dict, id=bytes, stored=Publication, weight=Py_ssize_t)
cdef _store(object stream, _Message message, object wall)

cdef _skip(object stream, _Message message, object wall)

cdef _roll_up(object stream, _Message message, object keep)

cdef _check_record(object stream, _Message message)

cdef _check_size(object stream, _Message message)
