cimport cython

@cython.locals(literal=bytes)
cpdef bytes check_publish(subject, str what=*)
cpdef bytes check_subscribe(subject, str what=*)
cdef bytes _utf_8(str text)
@cython.locals(byte=cython.uchar, previous=cython.uchar)
cdef bint _is_literal(bytes name)
cdef bytes _encode(text, str what)
