cimport cython

cdef bytes _STAR, _REST, _BLANKS


@cython.locals(token=bytes, left=Py_ssize_t)
cpdef bint is_pattern(list tokens) except -1

@cython.locals(token=bytes)
cpdef bint has_empty_token(list tokens) except -1

@cython.locals(token=bytes)
cpdef bint has_wildcard(list tokens) except -1

@cython.locals(tokens=list)
cpdef bint is_literal(bytes subject) except -1

cpdef bint is_publishable(bytes subject) except -1

cpdef bint is_reserved(bytes subject) except -1

cpdef bint is_reserved_reply(bytes reply) except -1

cdef bint _is_gateway(bytes subject) except -1
