# cython: language_level=3
"""Makes the inline functions of octets.pxd callable from Python, for test_octets.py to compare with octets.py."""
from midge.wire cimport octets


def find_byte(bytearray buf, int byte, Py_ssize_t start, Py_ssize_t stop):
    return octets.find_byte(buf, byte, start, stop)


def cut(bytearray buf, Py_ssize_t start, Py_ssize_t stop):
    return octets.cut(buf, start, stop)


def same(bytearray buf, Py_ssize_t start, Py_ssize_t stop, bytes other):
    return bool(octets.same(buf, start, stop, other))


def number(bytearray buf, Py_ssize_t start, Py_ssize_t stop):
    return octets.number(buf, start, stop)


def fields(bytearray buf, Py_ssize_t start, Py_ssize_t stop, list spans):
    cdef Py_ssize_t[2 * octets.MAX_FIELDS] found
    cdef Py_ssize_t count = octets.fields(buf, start, stop, found)
    cdef Py_ssize_t i
    for i in range(2 * count):
        spans[i] = found[i]
    return count


def put(bytearray out, Py_ssize_t at, bytes data):
    return octets.put(out, at, data)


def put_blank(bytearray out, Py_ssize_t at):
    return octets.put_blank(out, at)


def put_crlf(bytearray out, Py_ssize_t at):
    return octets.put_crlf(out, at)


def put_slice(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t stop):
    return octets.put_slice(out, at, buf, start, stop)


def put_subscribed(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t stop, bytes sid, Py_ssize_t tail, Py_ssize_t end):
    return octets.put_subscribed(out, at, buf, start, stop, sid, tail, end)


def put_number(bytearray out, Py_ssize_t at, Py_ssize_t value):
    return octets.put_number(out, at, value)


def put_masked(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t stop, bytes key):
    return octets.put_masked(out, at, buf, start, stop, key)
