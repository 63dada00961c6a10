cimport cython
from midge.message cimport Message

cdef bytes _ACK, _NAK, _PROGRESS, _TERM


cdef class StreamMessage(Message):
    cdef readonly bint is_acknowledged

    cdef _say(self, bytes what)
    cdef _check(self)


@cython.locals(result=StreamMessage)
cpdef StreamMessage stream_message(Message message)


@cython.locals(result=StreamMessage)
cpdef StreamMessage with_subject(StreamMessage message, str subject)
