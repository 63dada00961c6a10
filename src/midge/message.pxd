cdef class Message:
    cdef object __weakref__
    cdef str _subject
    cdef bytes _data
    cdef str _reply
    cdef bytes _block
    cdef object _headers
    cdef object _publisher
