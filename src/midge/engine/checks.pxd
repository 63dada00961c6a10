cimport cython

cpdef expectations(object stream, dict values, bytes subject)

cpdef schedules(dict values, bytes subject)
