cimport cython

cpdef expectations(object stream, dict values, bytes subject)

cpdef bytes schedules(object stream, bytes header, dict values, bytes subject, object wall, object staged=*)
