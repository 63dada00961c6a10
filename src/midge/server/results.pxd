cimport cython

cdef Py_ssize_t _MAX_BUSY, _MAX_NEW, _MAX_WORDS, _MAX_SHARE, _GROUP_WORDS
cdef unsigned long long _DICE_FACTOR, _DICE_STEP, _DICE_MASK
cdef list _NOBODY


@cython.final
cdef class Era:
    cdef readonly bytes first
    cdef readonly bint over
    cdef readonly Py_ssize_t results


@cython.final
cdef class Result:
    cdef readonly bytes subject
    cdef readonly list nodes
    cdef readonly list groups
    cdef readonly object only
    cdef Era _all
    cdef Era _below
    cdef Py_ssize_t _at
    cdef Py_ssize_t _words
    cdef readonly bint stale
    cdef bint _is_busy
    cdef bint _is_used

    cpdef bint is_fresh(self) except -1


@cython.final
cdef class Results:
    cdef dict _kept
    cdef list _new
    cdef list _busy
    cdef Py_ssize_t _hand
    cdef unsigned long long _dice
    cdef Py_ssize_t _words
    cdef dict _eras
    cdef Era _all

    @cython.locals(result=Result)
    cpdef Result get(self, bytes subject)
    @cython.locals(words=Py_ssize_t, era=Era)
    cpdef add(self, Result result, bytes first)
    @cython.locals(was_busy=bint)
    cpdef replace(self, Result old, Result result, bytes first)
    @cython.locals(result=Result)
    cpdef forget(self, bytes subject)
    @cython.locals(era=Era)
    cpdef end_era(self, bytes first)
    cpdef end_all(self)
    @cython.locals(result=Result)
    cpdef clear(self)
    cdef _promote(self, Result result)
    @cython.locals(count=Py_ssize_t)
    cdef _evict(self)
    @cython.locals(result=Result)
    cdef _evict_busy(self)
    @cython.locals(era=Era)
    cdef _drop(self, Result result)
    @cython.locals(results=list, last=Result)
    cdef _take_out(self, Result result)


@cython.locals(words=Py_ssize_t, groups=list)
cdef Py_ssize_t _words(Result result) except -1
