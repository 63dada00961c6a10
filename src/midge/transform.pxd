cimport cython

cdef unsigned long long _FNV_OFFSET, _FNV_PRIME, _FNV_MASK

cdef bytes _split(bytes token, bytes separator)
@cython.locals(value="unsigned long long", byte="unsigned char")
cdef unsigned long long _hash(bytes key) except? 0
