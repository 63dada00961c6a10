cimport cython

cdef bytes _VERSION, _EMPTY, _END, _NATS

cpdef bytes value_of(bytes header, bytes name)

cpdef bint is_delete_marker(bytes header)

@cython.locals(found=dict, at=Py_ssize_t, end=Py_ssize_t, colon=Py_ssize_t, name=bytes, value=bytes, has_empty=bint)
cpdef dict nats_values(bytes header)

cpdef bytes remove(bytes header, bytes name)

cpdef bytes without(bytes header, tuple prefixes)

cpdef bytes add(bytes header, bytes name, bytes value)

@cython.locals(end=Py_ssize_t)
cpdef bytes strip_status(bytes header)

@cython.locals(at=Py_ssize_t)
cpdef bytes replaced(bytes header, bytes name, bytes value)
