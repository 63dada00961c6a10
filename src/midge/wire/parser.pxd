cimport cython
from midge.wire.publication cimport Publication

cdef int _LF, _CR, _SPACE, _TAB
cdef bytearray _NOTHING


@cython.final
cdef class Parser:
    cdef readonly Publication publication
    cdef readonly bytearray buf
    cdef readonly Py_ssize_t line_start, line_end
    cdef readonly Py_ssize_t end

    cdef bint _is_server, _headers, _connect_only
    cdef tuple _verbs
    cdef Py_ssize_t _max_control_line, _max_payload
    cdef bytearray _chunk
    cdef Py_ssize_t _chunk_pos, _chunk_stop
    cdef Py_ssize_t _pos, _stop
    cdef bytearray _aside
    cdef Py_ssize_t _have, _need
    cdef Py_ssize_t[12] _spans

    cpdef set_headers(self, bint on)
    cpdef set_max_payload(self, Py_ssize_t size)
    cpdef set_connect_only(self, bint on)
    cpdef set_limits(self, Py_ssize_t max_control_line, Py_ssize_t max_payload)
    cpdef receive(self, bytearray chunk, Py_ssize_t stop)
    cpdef receive_data(self, bytes data)
    cpdef int next(self) except -1
    @cython.locals(start=Py_ssize_t, stop=Py_ssize_t)
    cpdef bytearray take_rest(self)
    cpdef bytes line(self)

    @cython.locals(buf=bytearray, pos=Py_ssize_t)
    cdef int _parse(self) except -1
    @cython.locals(
        buf=bytearray, stop=Py_ssize_t, lf=Py_ssize_t, end=Py_ssize_t, sizes=int, count=Py_ssize_t, size=Py_ssize_t,
        header_size=Py_ssize_t, payload_end=Py_ssize_t, found=Publication)
    cdef int _parse_message(self, int op, Py_ssize_t pos, int names) except -1
    cdef int _parse_untidy(self, int op, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t lf, int names) except -1
    cdef int _need_payload(self, Py_ssize_t payload_end) except -1
    @cython.locals(buf=bytearray, stop=Py_ssize_t, lf=Py_ssize_t, end=Py_ssize_t)
    cdef int _parse_line(self, int op, Py_ssize_t pos) except -1
    @cython.locals(pos=Py_ssize_t, lf=Py_ssize_t, op=int)
    cdef int _parse_any(self) except -1
    @cython.locals(before=Py_ssize_t, end=Py_ssize_t)
    cdef int _parse_bare_message(self, Py_ssize_t pos) except -1
    cdef tuple _verb(self, Py_ssize_t pos, Py_ssize_t stop)
    @cython.locals(size=Py_ssize_t, aside=bytearray)
    cdef _put_aside(self)
    cdef _forget_chunk(self)
    @cython.locals(op=int)
    cdef int _next_aside(self) except -1
    @cython.locals(aside=bytearray, size=Py_ssize_t)
    cdef bint _fill_payload(self) except -1
    @cython.locals(aside=bytearray, size=Py_ssize_t, lf=Py_ssize_t, end=Py_ssize_t)
    cdef bint _fill_line(self) except -1
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cdef Py_ssize_t _check_partial(self, Py_ssize_t pos, Py_ssize_t stop) except -1
    cdef _check_sizes(self, int op, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t header_size, Py_ssize_t size)
    cdef _check_line(self, int op, Py_ssize_t start, Py_ssize_t end)
    cdef object _long_line(self, Py_ssize_t start, Py_ssize_t end)
    cdef object _unknown(self, Py_ssize_t pos)
    cdef object _bad_arguments(self, int op, str what, Py_ssize_t pos, Py_ssize_t end)
