cdef class Message:
    cdef readonly str subject
    cdef readonly bytes data
    cdef readonly str reply
    cdef bytes _block
    cdef object _headers
    cdef object _publisher
