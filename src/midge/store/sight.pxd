from midge.store.index cimport Index


cdef class Sight:
    cdef public Index index
    cdef readonly long long sequence, time
    cdef readonly bytes subject
    cdef readonly bytearray buf
    cdef readonly Py_ssize_t header_start, payload_start, payload_end

    cpdef bint look(self, long long sequence) except -1
    cpdef bytes header(self)
    cpdef bytes payload(self)
