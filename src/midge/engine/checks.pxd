cimport cython

cpdef expect_last(object stream, bytes expected)

cpdef expectations(object stream, dict values, bytes subject)

cpdef schedules(dict values, bytes subject)
