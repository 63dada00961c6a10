"""The lexer's place in the text, and the items that it has found; what is read, and in which order, is said in ``lexer``.

The text is looked at as bytes, each a character of a ``str`` (Latin-1), so that positions count bytes; values are decoded by
whoever takes the items. NUL is what is read where nothing is left, and so a NUL in the text is its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from midge.server.config.errors import ConfigError

__all__ = ["END", "Item", "Kind", "Scanner", "State", "is_digit", "is_space", "shown"]

State: TypeAlias = "Callable[[Scanner], State | None]"
END = "\0"


class Kind:
    """What an item is."""

    END = "end"
    KEY = "key"
    STRING = "string"
    BOOL = "bool"
    INTEGER = "integer"
    FLOAT = "float"
    DATE = "date"
    ARRAY = "array"
    ARRAY_END = "array end"
    MAP = "map"
    MAP_END = "map end"
    VARIABLE = "variable"
    INCLUDE = "include"
    COMMENT = "comment"


class Item(NamedTuple):
    """One item; the text is bytes, one per character."""

    kind: str
    text: str
    line: int
    column: int


class Scanner:
    """Where the lexer is in the text, and what it has found."""

    def __init__(self, text: str, state: State) -> None:
        self.text = text
        self.found: list[Item] = []
        self.start = 0  # of the item
        self.at = 0  # what is read next
        self.width = 0  # of what was read last
        self.line = 1
        self.line_start = 0  # where the newline before this line is
        self.item_line_start = 0  # the same, for the line on which the item began
        self.stack: list[State] = []
        self.parts: list[str] = []  # of a string with escapes, what has been read of it
        self.string_state = state  # what goes on with a string after an escape

    def read(self) -> str:
        """Read one character; END where there is none."""
        if self.at >= len(self.text):
            self.width = 0
            return END
        character = self.text[self.at]
        if character == "\n":
            self.line += 1
            self.line_start = self.at
        self.width = 1
        if character >= "\x80":
            character = self._wide()
        self.at += self.width
        return character

    def _wide(self) -> str:
        """Decode what begins here; what is not UTF-8 is one byte wide, and no character."""
        first = self.text[self.at]
        self.width = 2 if first < "\xe0" else 3 if first < "\xf0" else 4
        try:
            return self.text[self.at : self.at + self.width].encode("latin-1").decode()
        except UnicodeDecodeError:
            self.width = 1
            return "\ufffd"

    def back(self) -> None:
        self.at -= self.width
        if self.at < len(self.text) and self.text[self.at] == "\n":
            self.line -= 1

    def peek(self) -> str:
        character = self.read()
        self.back()
        return character

    def jump(self, pattern: re.Pattern[str]) -> None:
        """Go over all that the pattern, which knows no newline, is about."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()

    def ignore(self) -> None:
        self.start = self.at
        self.item_line_start = self.line_start

    def emit(self, kind: str) -> None:
        text = self.text[self.start : self.at]
        if self.parts:
            text = "".join((*self.parts, text))
            self.parts = []
        self.found.append(Item(kind, text, self.line, self.at - self.item_line_start - len(text)))
        self.ignore()

    def error(self, text: str) -> ConfigError:
        return ConfigError([f"Parse error on line {self.line}: '{text}'"])

    def skip(self, state: State) -> State:
        self.ignore()
        return state

    def begins_comment(self, first: str) -> bool:
        """True if the character just read, and one more in the case of a slash, begins a comment."""
        if first == "/":
            if self.read() == "/":
                return True
            self.back()
        return first == "#"

    def end(self) -> None:
        """The text ends in the middle of something, or between two things."""
        if self.at > self.start:
            raise self.error("Unexpected EOF.")
        self.emit(Kind.END)


def is_space(character: str) -> bool:
    """True for what Go's unicode.IsSpace is true of."""
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f"


def is_digit(character: str) -> bool:
    """True for a decimal digit of any script."""
    return character.isdecimal()


def shown(character: str) -> str:
    """Return a character as it stands in an error."""
    return "\\n" if character == "\n" else character
