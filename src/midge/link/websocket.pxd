cimport cython

from midge.link.framing cimport FrameReader
from midge.wire.outbox cimport Outbox

cdef Py_ssize_t _FRAME, _SMALLEST, _WORTHWHILE
cdef int _MAX_FRAMES, _NOTHING, _CONTROL, _BINARY, _DEFLATED, _PING, _PONG, _CLOSE


@cython.final
cdef class WebSocketLink:
    cdef object _readiness, _inner, _upgrade, _owner, _inflater, _pieces, _pong, _end, _ending, _last, _inflatable, _behind
    cdef Outbox _outbox, _inner_outbox
    cdef FrameReader _reader
    cdef bint _masks, _handing_over, _scheduled, _deflated, _paused, _ended, _is_told, _silent, _closed
    cdef int _window_bits
    cdef Py_ssize_t _inside, _head, _payload, _frame
    cdef readonly bint blocked
    cdef readonly object error

    cpdef start(self, owner)
    cpdef flush(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef close(self)
    cpdef abandon(self)
    cpdef hand_to(self, owner)
    cpdef bint link_received(self, bytearray chunk, Py_ssize_t size) except -1
    cpdef link_progress(self)
    cpdef link_lost(self, error)
    @cython.locals(used=Py_ssize_t)
    cdef _receive_upgrade(self, upgrade, bytearray chunk, Py_ssize_t size)
    @cython.locals(reader=FrameReader, filled=Py_ssize_t, found=int)
    cdef bint _take_apart(self, bytearray chunk, Py_ssize_t size) except -1
    @cython.locals(reader=FrameReader, start=Py_ssize_t, stop=Py_ssize_t)
    cdef _keep_piece(self, bytearray chunk)
    cdef bint _has_pieces(self) except -1
    cdef bytearray _next_data(self)
    cdef _forget_pieces(self)
    cdef _settle(self)
    cdef _hear_control(self, int opcode, bytes payload)
    cdef _fail(self, error, int status)
    cdef _say_close(self, int status, bytes reason)
    cdef _finish(self, error)
    cdef _tell_end(self)
    cdef _tell(self)
    cdef _let_go(self)
    @cython.locals(left=int)
    cdef _send(self)
    cdef bint _put_next(self) except -1
    @cython.locals(block=bytearray, data=bytearray, start=Py_ssize_t, stop=Py_ssize_t, largest=Py_ssize_t)
    cdef _put_data(self)
    cdef _put_control(self, int opcode, bytes payload)
    cdef bytes _key(self)
    @cython.locals(left=Py_ssize_t, sent=Py_ssize_t, head=Py_ssize_t, done=Py_ssize_t)
    cdef _account(self)
