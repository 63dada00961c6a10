from midge.client.session cimport Session


cdef class Publisher:
    cdef readonly Session _session
    cdef readonly object _connection
    cdef object _ready
