"""What is wrong with a configuration, in nats-server's words and with its positions.

A ``Fault`` is one mistake at one place; the reading of the rest goes on, so that all are told at once. ``ConfigError`` is what
comes out in the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from midge.server.config.tree import Node

__all__ = ["ConfigError", "Fault"]


class ConfigError(ValueError):
    """The configuration cannot be used. The text is what nats-server prints, without ``nats-server: ``.

    Attributes:
        errors: one text per mistake.
        warnings: what would not have hindered.
    """

    def __init__(self, errors: Sequence[str], warnings: Sequence[str] = ()) -> None:
        super().__init__("\n".join((*warnings, *errors)))
        self.errors = tuple(errors)
        self.warnings = tuple(warnings)


class Fault(Exception):
    """One mistake in the tree; caught where its key is read."""

    def __init__(self, node: Node | None, reason: str) -> None:
        super().__init__(reason)
        self.node = node
        self.reason = reason

    def __str__(self) -> str:
        return self.reason if self.node is None else f"{self.node.place}: {self.reason}"
