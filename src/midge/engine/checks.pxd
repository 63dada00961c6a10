cimport cython

cpdef expect_last(object stream, bytes expected)

cpdef expectations(object stream, dict values, bytes subject)

cpdef bytes schedules(object stream, bytes header, dict values, bytes subject, object wall, object staged=*)
