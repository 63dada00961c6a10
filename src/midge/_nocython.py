"""Stands in for the ``cython`` module where a hot module runs as plain Python.

Nothing imports Cython at run time: a compiled module never evaluates its guard, and an interpreted one finds this module
under the same name, saying ``compiled = False``.
"""

from collections.abc import Callable
from typing import TypeVar

compiled = False

_Function = TypeVar("_Function", bound=Callable[..., object])


def boundscheck(_on: bool) -> Callable[[_Function], _Function]:
    """The directive that a compiled function is decorated with; here it changes nothing."""
    return lambda function: function


wraparound = boundscheck
