cimport cython


@cython.final
cdef class Info:
    cdef readonly str server_id, server_name
    cdef dict _fields, _heads
    cdef tuple _websocket_address
    cdef object _authenticator, _options

    @cython.locals(info=bytes)
    cpdef bytes first(self, session)
    @cython.locals(heads=dict, info=bytes)
    cpdef bytes second(self, session)
    cdef _make_heads(self)


cdef bytes _client_ip(session)
