cimport cython

cdef unsigned long long _MULTIPLIER, _MASK


@cython.final
cdef class Chance:
    cdef unsigned long long _state

    @cython.locals(state="unsigned long long")
    cpdef unsigned long long bits(self) noexcept
    cpdef Py_ssize_t below(self, Py_ssize_t count) except -1
