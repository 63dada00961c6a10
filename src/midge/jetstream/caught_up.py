"""CAUGHT_UP: what a watch gives once, between what was there when it began and what comes after that."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["CAUGHT_UP", "Mark"]


class Mark(Enum):
    """The kinds of marks among what a watch gives."""

    CAUGHT_UP = "caught up"

    def __repr__(self) -> str:
        return self.name


CAUGHT_UP: Final = Mark.CAUGHT_UP
