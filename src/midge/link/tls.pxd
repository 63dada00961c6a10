cimport cython

from midge.link.socket cimport SocketLink

cdef Py_ssize_t _RECORD, _FEED, _FEED_RECORDS, _SEAL, _OWED, _MAX_RECORDS, _PATIENCE


cdef class TlsLink(SocketLink):
    cdef object _incoming, _outgoing, _failure, _handshake_timeout
    cdef list _sealed
    cdef bytes _tail
    cdef Py_ssize_t _count, _offset, _owed, _patience
    cdef bint _finished, _left
    cdef readonly object engine
    cdef readonly bint secured

    @cython.locals(cipher=bytearray, pos=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t)
    cdef _hear_handshake(self)
    cdef _shake(self)
    cdef _finish_handshake(self)
    cpdef Py_ssize_t _recv(self, bytearray chunk) except -1
    cdef Py_ssize_t _read_socket(self, target) except -1
    @cython.locals(have=Py_ssize_t, got=Py_ssize_t)
    cdef Py_ssize_t _gather(self, bytearray cipher, Py_ssize_t room) except -1
    @cython.locals(pos=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t)
    cdef Py_ssize_t _open(self, bytearray cipher, Py_ssize_t stop, target) except -1
    @cython.locals(end=Py_ssize_t, size=Py_ssize_t)
    cdef Py_ssize_t _find_end(self, bytearray cipher, Py_ssize_t pos, Py_ssize_t stop) except -1
    @cython.locals(room=Py_ssize_t, got=Py_ssize_t, count=Py_ssize_t)
    cdef Py_ssize_t _read_records(self, target, Py_ssize_t size) except -1
    cdef _note(self, Py_ssize_t data, Py_ssize_t other)
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
