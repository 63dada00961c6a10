# The compiled twin of octets.py: header only, so that every call is inlined. Keep the two in step (tests/store/test_record.py).
from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static uint32_t midge_crc_table[8][256];
    static volatile int midge_crc_ready = 0;

    static void midge_crc_prepare(void) {
        /* Two threads may both do this: they write the same. */
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t value = byte;
            for (int bit = 0; bit < 8; bit++)
                value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
            midge_crc_table[0][byte] = value;
        }
        for (uint32_t byte = 0; byte < 256; byte++)
            for (int row = 1; row < 8; row++) {
                uint32_t value = midge_crc_table[row - 1][byte];
                midge_crc_table[row][byte] = midge_crc_table[0][value & 255] ^ (value >> 8);
            }
        midge_crc_ready = 1;
    }

    static uint32_t midge_crc(const unsigned char *data, size_t size, uint32_t value) {
        uint32_t low, high;
        if (!midge_crc_ready)
            midge_crc_prepare();
        value = ~value;
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        while (size >= 8) {
            memcpy(&low, data, 4);
            memcpy(&high, data + 4, 4);
            low ^= value;
            value = midge_crc_table[7][low & 255] ^ midge_crc_table[6][(low >> 8) & 255]
                  ^ midge_crc_table[5][(low >> 16) & 255] ^ midge_crc_table[4][low >> 24]
                  ^ midge_crc_table[3][high & 255] ^ midge_crc_table[2][(high >> 8) & 255]
                  ^ midge_crc_table[1][(high >> 16) & 255] ^ midge_crc_table[0][high >> 24];
            data += 8;
            size -= 8;
        }
    #endif
        while (size--)
            value = midge_crc_table[0][(value ^ *data++) & 255] ^ (value >> 8);
        return ~value;
    }

    static void midge_put(unsigned char *at, uint64_t value, int size) {
        while (size--) {
            *at++ = (unsigned char) value;
            value >>= 8;
        }
    }

    static uint64_t midge_get(const unsigned char *at, int size) {
        uint64_t value = 0;
        while (size--)
            value = value << 8 | at[size];
        return value;
    }
    """
    unsigned int midge_crc(const unsigned char *data, size_t size, unsigned int value) noexcept nogil
    void midge_put(unsigned char *at, unsigned long long value, int size) noexcept nogil
    unsigned long long midge_get(const unsigned char *at, int size) noexcept nogil


cdef inline unsigned int checksum(bytearray buf, Py_ssize_t start, Py_ssize_t stop, unsigned int seed) noexcept:
    return midge_crc(<unsigned char *> PyByteArray_AS_STRING(buf) + start, <size_t> (stop - start), seed)


cdef inline int put16(bytearray buf, Py_ssize_t at, unsigned int value) noexcept:
    midge_put(<unsigned char *> PyByteArray_AS_STRING(buf) + at, value, 2)
    return 0


cdef inline int put32(bytearray buf, Py_ssize_t at, unsigned int value) noexcept:
    midge_put(<unsigned char *> PyByteArray_AS_STRING(buf) + at, value, 4)
    return 0


cdef inline int put64(bytearray buf, Py_ssize_t at, long long value) noexcept:
    midge_put(<unsigned char *> PyByteArray_AS_STRING(buf) + at, <unsigned long long> value, 8)
    return 0


cdef inline unsigned int get16(bytearray buf, Py_ssize_t at) noexcept:
    return <unsigned int> midge_get(<unsigned char *> PyByteArray_AS_STRING(buf) + at, 2)


cdef inline unsigned int get32(bytearray buf, Py_ssize_t at) noexcept:
    return <unsigned int> midge_get(<unsigned char *> PyByteArray_AS_STRING(buf) + at, 4)


cdef inline long long get64(bytearray buf, Py_ssize_t at) noexcept:
    return <long long> midge_get(<unsigned char *> PyByteArray_AS_STRING(buf) + at, 8)


cdef inline Py_ssize_t put_zeros(bytearray buf, Py_ssize_t start, Py_ssize_t stop) noexcept:
    cdef unsigned char *base = <unsigned char *> PyByteArray_AS_STRING(buf)
    while start < stop:
        base[start] = 0
        start += 1
    return stop


cdef inline Py_ssize_t past_zeros(bytearray buf, Py_ssize_t start, Py_ssize_t stop) noexcept:
    cdef unsigned char *base = <unsigned char *> PyByteArray_AS_STRING(buf)
    while start < stop and base[start] == 0:
        start += 1
    return start
