cimport cython
from midge.wire.outbox cimport Outbox
from midge.wire.publication cimport Publication

cdef Py_ssize_t _OVERHEAD

@cython.locals(size=Py_ssize_t, need=Py_ssize_t, at=Py_ssize_t, buf=bytearray)
cpdef put_publish(Outbox out, bytes subject, bytes reply, bytes header, bytes payload)

@cython.locals(need=Py_ssize_t, at=Py_ssize_t, dst=bytearray, buf=bytearray)
cpdef put_message(Outbox out, Publication publication, bytes sid)

cpdef put_stripped(Outbox out, Publication publication, bytes sid)

@cython.locals(at=Py_ssize_t)
cpdef put_line(Outbox out, bytes line)
