# The compiled twin of octets.py: header only, so that every call is inlined. Keep the two in step (tests/wire/test_octets.py).
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy

cdef enum:
    NEED_DATA = 0
    PUB = 1
    HPUB = 2
    SUB = 3
    UNSUB = 4
    CONNECT = 5
    PING = 6
    PONG = 7
    INFO = 8
    OK = 9
    ERR = 10
    MSG = 11
    HMSG = 12
    MAX_FIELDS = 6


cdef inline bytearray new_buffer(Py_ssize_t size):
    return PyByteArray_FromStringAndSize(NULL, size)


cdef inline int resize(bytearray buf, Py_ssize_t size) except -1:
    return PyByteArray_Resize(buf, size)


cdef inline Py_ssize_t find_byte(bytearray buf, int byte, Py_ssize_t start, Py_ssize_t stop) noexcept:
    if start >= stop:
        return -1
    cdef char *base = PyByteArray_AS_STRING(buf)
    cdef char *found = <char *> memchr(base + start, byte, <size_t> (stop - start))
    return -1 if found is NULL else found - base


cdef inline bytes cut(bytearray buf, Py_ssize_t start, Py_ssize_t stop):
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buf) + start, stop - start if stop > start else 0)


cdef inline bint same(bytearray buf, Py_ssize_t start, Py_ssize_t stop, bytes other) noexcept:
    return stop - start == PyBytes_GET_SIZE(other) and memcmp(
        PyByteArray_AS_STRING(buf) + start, PyBytes_AS_STRING(other), <size_t> (stop - start)) == 0


cdef inline Py_ssize_t number(bytearray buf, Py_ssize_t start, Py_ssize_t stop) noexcept:
    if stop <= start or stop - start > 9:
        return -1
    cdef unsigned char *digits = <unsigned char *> PyByteArray_AS_STRING(buf)
    cdef Py_ssize_t value = 0
    cdef Py_ssize_t i
    for i in range(start, stop):
        if digits[i] < 48 or digits[i] > 57:
            return -1
        value = value * 10 + digits[i] - 48
    return value


cdef inline Py_ssize_t fields(bytearray buf, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t *spans) noexcept:
    cdef unsigned char *line = <unsigned char *> PyByteArray_AS_STRING(buf)
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t begin = start
    cdef Py_ssize_t i
    for i in range(start, stop):
        if line[i] > 32:
            continue
        if line[i] == 9:
            return -1
        if line[i] == 32:
            if i == begin or count == MAX_FIELDS:
                return -1
            spans[2 * count] = begin
            spans[2 * count + 1] = i
            begin = i + 1
            count += 1
    if begin >= stop or count == MAX_FIELDS:
        return -1
    spans[2 * count] = begin
    spans[2 * count + 1] = stop
    return count + 1


cdef inline Py_ssize_t put(bytearray out, Py_ssize_t at, bytes data) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    memcpy(PyByteArray_AS_STRING(out) + at, PyBytes_AS_STRING(data), <size_t> size)
    return at + size


cdef inline Py_ssize_t put_blank(bytearray out, Py_ssize_t at) noexcept:
    PyByteArray_AS_STRING(out)[at] = 0x20
    return at + 1


cdef inline Py_ssize_t put_crlf(bytearray out, Py_ssize_t at) noexcept:
    PyByteArray_AS_STRING(out)[at] = 0x0D
    PyByteArray_AS_STRING(out)[at + 1] = 0x0A
    return at + 2


cdef inline Py_ssize_t put_slice(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t stop) noexcept:
    memcpy(PyByteArray_AS_STRING(out) + at, PyByteArray_AS_STRING(buf) + start, <size_t> (stop - start))
    return at + stop - start


cdef inline Py_ssize_t put_subscribed(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t stop, bytes sid,
                                      Py_ssize_t tail, Py_ssize_t end) noexcept:
    cdef char *base = PyByteArray_AS_STRING(out)
    cdef char *target = base + at
    cdef const char *source = PyByteArray_AS_STRING(buf)
    cdef Py_ssize_t size = stop - start
    memcpy(target, b"MSG ", 4)
    memcpy(target + 4, source + start, <size_t> size)
    target += 4 + size
    target[0] = 0x20
    size = PyBytes_GET_SIZE(sid)
    memcpy(target + 1, PyBytes_AS_STRING(sid), <size_t> size)
    target += 1 + size
    target[0] = 0x20
    size = end - tail
    memcpy(target + 1, source + tail, <size_t> size)
    return target + 1 + size - base


cdef inline Py_ssize_t put_masked(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t stop, bytes key) noexcept:
    cdef unsigned char *target = <unsigned char *> PyByteArray_AS_STRING(out) + at
    cdef unsigned char *source = <unsigned char *> PyByteArray_AS_STRING(buf) + start
    cdef unsigned long long word, mask
    cdef Py_ssize_t i, size = stop - start
    memcpy(&mask, PyBytes_AS_STRING(key), 4)
    memcpy(<char *> &mask + 4, &mask, 4)
    for i in range(size >> 3):
        memcpy(&word, source + (i << 3), 8)
        word ^= mask
        memcpy(target + (i << 3), &word, 8)
    for i in range(size & ~7, size):
        target[i] = source[i] ^ (<unsigned char *> &mask)[i & 7]
    return at + size


cdef inline Py_ssize_t put_number(bytearray out, Py_ssize_t at, Py_ssize_t value) noexcept:
    cdef unsigned char digits[20]
    cdef int count = 0
    while True:
        digits[count] = <unsigned char> (48 + value % 10)
        count += 1
        value //= 10
        if value == 0:
            break
    cdef unsigned char *line = <unsigned char *> PyByteArray_AS_STRING(out)
    while count:
        count -= 1
        line[at] = digits[count]
        at += 1
    return at
