cimport cython
from midge.server.chance cimport Chance
from midge.server.peer cimport Peer, Sink
from midge.wire.publication cimport Publication

cdef bytes _ALPHABET, _ACK, _RESERVED


@cython.final
cdef class Services:
    cdef readonly object hub, ids, choose
    cdef readonly bytes suffix
    cdef readonly list chain
    cdef list _passed
    cdef Chance _chance
    cdef public double epoch, deadline
    cdef public bytes carried
    cdef readonly dict expecting

    @cython.locals(export=ServiceExport, first=Response)
    cpdef handle_timeout(self, double now)
    @cython.locals(number="unsigned long long", at=Py_ssize_t, name=bytearray)
    cpdef bytes name(self)
    cpdef bint passes(self, ServiceExport export) except -1
    cpdef bint carry_on(self, account, bytes subject, Publication message, ServiceExport export) except -1
    cpdef bint pass_on(self, account, Publication message, Peer producer, ServiceExport export, ServiceImport link) except -1


cdef class Relay(Sink):
    cpdef bint relay(self, Services services, Publication publication, Peer producer) except -1


@cython.final
cdef class ServiceExport:
    cdef readonly object options
    cdef readonly double threshold
    cdef readonly bint is_single
    cdef readonly dict pending
    cdef readonly Py_ssize_t pending_bytes

    @cython.locals(response=Response)
    cpdef expire(self, Services services, double now)


@cython.final
cdef class Response:
    cdef readonly Responses holder
    cdef readonly bytes subject, reply
    cdef readonly object importer
    cdef readonly ServiceExport export
    cdef readonly double at
    cdef readonly object requestor, headers
    cdef readonly bint share


cdef class Responses(Relay):
    cdef readonly object account
    cdef readonly dict pending
    cdef bytes _prefix

    @cython.locals(subject=bytes, oldest=Response, response=Response)
    cpdef Response expect(self, Services services, bytes reply, importer, ServiceExport export, bytes suffix)
    @cython.locals(subject=bytes)
    cpdef bytes subject(self, Services services, bytes suffix)
    @cython.locals(export=ServiceExport)
    cpdef bint forget(self, Response response) except -1
    @cython.locals(response=Response)
    cpdef move(self, account, dict accounts, Services services)
    @cython.locals(awaited=dict)
    cdef _enlist(self, Response response)
    @cython.locals(awaited=dict)
    cdef _strike_out(self, Response response)
    cpdef give_up(self, Services services, Response response, tuple status)
    cdef _tell(self, Services services, Response response, tuple status, responder)
    @cython.locals(response=Response, again=Response, reply=bytes, to=bytes, message=Publication, delivered=bint)
    cpdef bint relay(self, Services services, Publication publication, Peer producer) except -1


cdef class ServiceImport(Relay):
    cdef readonly object importer, exporter
    cdef readonly ServiceExport export
    cdef readonly bint share
    cdef bytes _info_head, _last_header, _local, _target
    cdef long long _last_rtt
    cdef object _transform
    cdef bint _is_same

    @cython.locals(response=Response, header=bytes, reply=bytes, to=bytes, message=Publication, measured=bint, delivered=bint)
    cpdef bint relay(self, Services services, Publication publication, Peer producer) except -1
    @cython.locals(rtt="long long")
    cdef bytes _header(self, Services services, Publication publication, producer)
    cdef bytes _subject_there(self, Publication publication)

