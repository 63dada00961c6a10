cimport cython

from midge.wire.outbox cimport Outbox

cdef int _CONTINUATION, _TEXT, _BINARY, _CLOSE, _PONG, _FINAL, _DEFLATED, _NOTHING_FOUND, _DATA, _CONTROL
cdef Py_ssize_t _MAX_HEAD, _MAX_CONTROL
cdef bytes _NO_KEY
cdef bytearray _EMPTY


@cython.final
cdef class FrameReader:
    cdef readonly Py_ssize_t start, stop
    cdef readonly bint deflated, ends
    cdef readonly int opcode, close_code
    cdef readonly bytes control, close_reason
    cdef bint _masked, _deflate, _in_frame, _in_message, _final
    cdef bytearray _chunk, _head
    cdef Py_ssize_t _at, _stop, _have, _left
    cdef bytes _key, _piece_key

    cpdef receive(self, bytearray chunk, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(size=Py_ssize_t)
    cpdef int next(self) except -1
    cpdef Py_ssize_t move_to(self, Py_ssize_t at) except -1
    cdef _take(self, Py_ssize_t size)
    @cython.locals(size=Py_ssize_t, piece=bytearray)
    cdef bint _read_control(self) except -1
    @cython.locals(head=bytearray, chunk=bytearray)
    cdef bint _read_head(self) except -1
    @cython.locals(first=int, second=int, size=Py_ssize_t, end=Py_ssize_t, i=Py_ssize_t, is_too_long=bint, reason=bytes)
    cdef Py_ssize_t _parse_head(self, bytearray buf, Py_ssize_t at) except -1
    @cython.locals(reason=bytes)
    cdef _check_control(self, int first, Py_ssize_t size)
    @cython.locals(opcode=int, reason=bytes)
    cdef _check_data(self, int first)
    cdef _wrong(self, bytes reason, str text)


@cython.locals(size=Py_ssize_t)
cdef Py_ssize_t _head_size(bytearray head) except -1

@cython.locals(size=Py_ssize_t, target=bytearray, at=Py_ssize_t, masked=int, i=Py_ssize_t)
cpdef put_frame(Outbox out, int first, bytearray buf, Py_ssize_t start, Py_ssize_t stop, bytes key)
