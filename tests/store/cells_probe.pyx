# cython: language_level=3
"""Makes the inline functions of cells.pxd callable from Python, for test_cells.py to compare with cells.py."""
from midge.store cimport cells


def get32(bytearray buf, Py_ssize_t at):
    return cells.get32(buf, at)


def put32(bytearray buf, Py_ssize_t at, long long value):
    cells.put32(buf, at, value)


def get64(bytearray buf, Py_ssize_t at):
    return cells.get64(buf, at)


def put64(bytearray buf, Py_ssize_t at, long long value):
    cells.put64(buf, at, value)


def copy(bytearray out, Py_ssize_t at, bytearray buf, Py_ssize_t start, Py_ssize_t size):
    cells.copy(out, at, buf, start, size)


def shift(bytearray buf, Py_ssize_t to, Py_ssize_t start, Py_ssize_t size):
    cells.shift(buf, to, start, size)


def find32(bytearray buf, Py_ssize_t at, Py_ssize_t count, long long value):
    return cells.find32(buf, at, count, value)


def find64(bytearray buf, Py_ssize_t at, Py_ssize_t stride, Py_ssize_t count, long long value):
    return cells.find64(buf, at, stride, count, value)


def next_bit(bytearray bits, Py_ssize_t start, Py_ssize_t stop):
    return cells.next_bit(bits, start, stop)


def has_bit(bytearray bits, Py_ssize_t at):
    return bool(cells.has_bit(bits, at))


def set_bit(bytearray bits, Py_ssize_t at):
    cells.set_bit(bits, at)


def clear_bit(bytearray bits, Py_ssize_t at):
    cells.clear_bit(bits, at)


def hash_of(bytearray buf, Py_ssize_t start, Py_ssize_t end):
    return cells.hash_of(buf, start, end)


def same_as(bytearray one, Py_ssize_t at, bytearray other, Py_ssize_t start, Py_ssize_t size):
    return bool(cells.same_as(one, at, other, start, size))


def is_wild(bytes pattern):
    return bool(cells.is_wild(pattern))


def covers(bytes pattern, bytearray buf, Py_ssize_t start, Py_ssize_t end):
    return bool(cells.covers(pattern, buf, start, end))


def prefetch(bytearray buf, Py_ssize_t at):
    cells.prefetch(buf, at)
