cimport cython
from midge.wire.outbox cimport Outbox

cdef Py_ssize_t _OVERHEAD

@cython.locals(size=Py_ssize_t, need=Py_ssize_t, at=Py_ssize_t, buf=bytearray)
cpdef put_publish(Outbox out, bytes subject, bytes reply, bytes header, bytes payload)

@cython.locals(need=Py_ssize_t, at=Py_ssize_t, dst=bytearray)
cpdef put_message(
    Outbox out, bint with_header, bytearray buf, Py_ssize_t start, Py_ssize_t end, bytes sid, Py_ssize_t tail, Py_ssize_t stop
)

cpdef put_stripped(Outbox out, bytes subject, bytes sid, bytes reply, bytes payload)

@cython.locals(at=Py_ssize_t)
cpdef put_line(Outbox out, bytes line)
