# The compiled twin of cells.py: header only, so that every call is inlined. Keep the two in step (tests/store/test_cells.py).
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030E0000
    #define MIDGE_HASH(data, size) Py_HashBuffer((data), (size))
    #else
    PyAPI_FUNC(Py_hash_t) _Py_HashBytes(const void *, Py_ssize_t); /* 3.13 has it in no public header */
    #define MIDGE_HASH(data, size) _Py_HashBytes((data), (size))
    #endif
    #if defined(__GNUC__)
    #define MIDGE_PREFETCH(data) __builtin_prefetch(data)
    #else
    #define MIDGE_PREFETCH(data) ((void) (data))
    #endif
    """
    Py_hash_t MIDGE_HASH(const void *data, Py_ssize_t size) noexcept
    void MIDGE_PREFETCH(const void *data) noexcept


cdef inline long long get32(bytearray buf, Py_ssize_t at) noexcept:
    cdef uint32_t value
    memcpy(&value, PyByteArray_AS_STRING(buf) + at, 4)
    return value


cdef inline void put32(bytearray buf, Py_ssize_t at, long long value) noexcept:
    cdef uint32_t number = <uint32_t> value
    memcpy(PyByteArray_AS_STRING(buf) + at, &number, 4)


cdef inline long long get64(bytearray buf, Py_ssize_t at) noexcept:
    cdef int64_t value
    memcpy(&value, PyByteArray_AS_STRING(buf) + at, 8)
    return value


cdef inline void put64(bytearray buf, Py_ssize_t at, long long value) noexcept:
    cdef int64_t number = value
    memcpy(PyByteArray_AS_STRING(buf) + at, &number, 8)


cdef inline void prefetch(bytearray buf, Py_ssize_t at) noexcept:
    MIDGE_PREFETCH(PyByteArray_AS_STRING(buf) + at)


cdef inline void copy(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t size) noexcept:
    memcpy(PyByteArray_AS_STRING(out) + at, PyByteArray_AS_STRING(buf) + start, <size_t> size)


cdef inline void shift(bytearray buf, Py_ssize_t to, Py_ssize_t start, Py_ssize_t size) noexcept:
    memmove(PyByteArray_AS_STRING(buf) + to, PyByteArray_AS_STRING(buf) + start, <size_t> size)


cdef inline Py_ssize_t find32(bytearray buf, Py_ssize_t at, Py_ssize_t count, long long value) noexcept:
    cdef Py_ssize_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) >> 1
        if get32(buf, at + 4 * middle) < value:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline Py_ssize_t find64(bytearray buf, Py_ssize_t at, Py_ssize_t stride, Py_ssize_t count, long long value) noexcept:
    cdef Py_ssize_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) >> 1
        if get64(buf, at + stride * middle) < value:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline Py_ssize_t next_bit(bytearray bits, Py_ssize_t start, Py_ssize_t stop) noexcept:
    cdef unsigned char *data = <unsigned char *> PyByteArray_AS_STRING(bits)
    cdef Py_ssize_t size = stop >> 3, at = start >> 3
    cdef uint64_t word
    cdef unsigned int byte
    if at >= size:
        return -1
    byte = data[at] >> (start & 7)
    if byte == 0:
        at += 1
        while at < size and data[at] == 0:
            if at & 7 or at + 8 > size:
                at += 1
                continue
            memcpy(&word, data + at, 8)
            at += 1 if word else 8
        if at >= size:
            return -1
        start = at << 3
        byte = data[at]
    while not byte & 1:
        byte >>= 1
        start += 1
    return start


cdef inline bint has_bit(bytearray bits, Py_ssize_t at) noexcept:
    return (<unsigned char *> PyByteArray_AS_STRING(bits))[at >> 3] >> (at & 7) & 1


cdef inline void set_bit(bytearray bits, Py_ssize_t at) noexcept:
    (<unsigned char *> PyByteArray_AS_STRING(bits))[at >> 3] |= <unsigned char> (1 << (at & 7))


cdef inline void clear_bit(bytearray bits, Py_ssize_t at) noexcept:
    (<unsigned char *> PyByteArray_AS_STRING(bits))[at >> 3] &= <unsigned char> ~(1 << (at & 7))


cdef inline long long hash_of(bytearray buf, Py_ssize_t start, Py_ssize_t end) noexcept:
    return <uint32_t> (MIDGE_HASH(PyByteArray_AS_STRING(buf) + start, end - start) >> 8)


cdef inline bint same_as(bytearray one, Py_ssize_t at, bytearray other, Py_ssize_t start, Py_ssize_t size) noexcept:
    return memcmp(PyByteArray_AS_STRING(one) + at, PyByteArray_AS_STRING(other) + start, <size_t> size) == 0


cdef inline bint is_wild(bytes pattern) noexcept:
    cdef char *data = PyBytes_AS_STRING(pattern)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(pattern), at
    for at in range(size):
        if data[at] == 0x2A and (at == 0 or data[at - 1] == 0x2E) and (at == size - 1 or data[at + 1] == 0x2E):
            return True
    return size > 0 and data[size - 1] == 0x3E and (size == 1 or data[size - 2] == 0x2E)


cdef inline bint covers(bytes pattern, bytearray buf, Py_ssize_t start, Py_ssize_t end) noexcept:
    cdef char *wanted = PyBytes_AS_STRING(pattern)
    cdef char *wanted_end = wanted + PyBytes_GET_SIZE(pattern)
    cdef char *subject = PyByteArray_AS_STRING(buf) + start
    cdef char *subject_end = PyByteArray_AS_STRING(buf) + end
    cdef char *dot
    cdef char *stop
    cdef Py_ssize_t size
    while True:
        dot = <char *> memchr(wanted, 0x2E, <size_t> (wanted_end - wanted))
        size = (wanted_end if dot is NULL else dot) - wanted
        if size == 1 and wanted[0] == 0x3E and dot is NULL:
            return True
        stop = <char *> memchr(subject, 0x2E, <size_t> (subject_end - subject))
        if not (size == 1 and wanted[0] == 0x2A):
            if (subject_end if stop is NULL else stop) - subject != size or memcmp(subject, wanted, <size_t> size) != 0:
                return False
        if dot is NULL or stop is NULL:
            return dot is NULL and stop is NULL
        wanted = dot + 1
        subject = stop + 1
