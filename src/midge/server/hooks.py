"""Hooks: what is called when something happens to a client."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["call"]

log = logging.getLogger("midge.server")


def call(hooks: list[Callable[..., None]], *what: object) -> None:
    """Call them all. The safety net: what one raises is logged, and whoever came, went or subscribed is none the worse for it."""
    for hook in hooks:
        try:
            hook(*what)
        except Exception:
            log.exception("internal error in a hook")
