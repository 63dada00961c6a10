from midge.client.session cimport Session


cdef class Publisher:
    cdef readonly Session _session
    cdef readonly object _connection
    cdef object _ready
    cdef unsigned long _thread

    cpdef use_session(self, Session session, unsigned long thread)
