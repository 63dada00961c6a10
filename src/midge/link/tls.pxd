cimport cython

from midge.link.socket cimport SocketLink

cdef Py_ssize_t _RECORD, _READ_SIZE, _FEED, _SEAL, _OWED, _MAX_RECORDS


cdef class TlsLink(SocketLink):
    cdef object _incoming, _outgoing, _failure, _handshake_timeout
    cdef list _sealed
    cdef Py_ssize_t _offset, _owed
    cdef bint _finished, _left
    cdef readonly object engine
    cdef readonly bint secured

    cdef _hear_handshake(self)
    cdef _shake(self)
    cdef _finish_handshake(self)
    cpdef Py_ssize_t _recv(self, bytearray chunk) except -1
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t)
    cdef Py_ssize_t _open(self, bytearray cipher, Py_ssize_t got, bytearray chunk) except -1
    @cython.locals(room=Py_ssize_t, got=Py_ssize_t)
    cdef Py_ssize_t _read_records(self, target, Py_ssize_t size) except -1
    cdef _come_back(self)
    @cython.locals(room=Py_ssize_t, start=Py_ssize_t, size=Py_ssize_t)
    cdef _seal(self, list views)
    @cython.locals(records=list, sent=Py_ssize_t, gone=Py_ssize_t, done=Py_ssize_t, size=Py_ssize_t, record=bytes)
    cdef Py_ssize_t _send_sealed(self) except -1
    cdef _answer(self)
    cdef _send_answers(self)
    cdef _watch(self)
    cdef _fail(self, error)
    cdef _say_end(self)
    cdef _send_last(self)
    cdef _shut(self)
