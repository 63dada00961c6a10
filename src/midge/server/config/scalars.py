"""How the lexer reads what has no structure: strings of every kind, numbers, includes and comments. See ``lexer``."""

from __future__ import annotations

import re

from midge.server.config.scanner import END, Kind, Scanner, State, is_digit, shown

__all__ = ["UNTIL", "bare", "block", "comment_then", "include_start", "negative_start", "number", "quoted", "quoted_word", "raw"]

_SUFFIXES = "kKmMgGtTpPeE"
_AFTER_NUMBER = "\n\r\0};,\t "
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "\\": "\\"}
_DATE = "00-00T00:00:00Z"  # after "2006-"; 0 stands for any digit
# What may be jumped over at once; never a newline, which has to be counted.
_OF_QUOTED = re.compile(r'[^"\\\n\0]+')
_OF_RAW = re.compile(r"[^'\n\0]+")
UNTIL = {'"': re.compile(r'[^"\n\0]+'), "'": _OF_RAW}
_OF_STRING = re.compile(r"[^\\\n\r\0;,\]}\t ']+")
_OF_COMMENT = re.compile(r"[^\n\r\0]+")
_OF_BLOCK = re.compile(r"[^)\n\0]+")
_DIGITS = re.compile(r"[0-9]+")
_OF_ADDRESS = re.compile(r"[0-9.:-]+")
_UNITS = re.compile(r"[bBiI]+")


# Includes


def include_start(lexer: Scanner) -> State:
    """What follows the word "include"."""
    if lexer.read() in "\t ":
        return lexer.skip(include_start)
    lexer.back()
    return include


def include(lexer: Scanner) -> State:
    character = lexer.read()
    if character in "'\"":
        lexer.ignore()
        return quoted_include if character == "'" else double_quoted_include
    what = {"[": "start of an array", "{": "start of a map", "(": "start of a block", "-": "start of a number",
            "\\": "escape sequence", "\n": "new line", "\r": "new line"}.get(character)  # fmt: skip
    if is_digit(character):
        what = "start of a number"
    if what is not None:
        raise lexer.error(f"Expected include value but found {what}")
    lexer.back()
    return bare_include


def quoted_include(lexer: Scanner) -> State:
    return _quoted_include(lexer, "'", "quoted", quoted_include)


def double_quoted_include(lexer: Scanner) -> State:
    return _quoted_include(lexer, '"', "double quoted", double_quoted_include)


def _quoted_include(lexer: Scanner, quote: str, name: str, here: State) -> State:
    return lexer.stack.pop() if quoted_word(lexer, quote, Kind.INCLUDE, f"Unexpected EOF in {name} include") else here


def quoted_word(lexer: Scanner, quote: str, kind: str, unfinished: str) -> bool:
    """Read on to the quote that ends an item. False where that is not there yet.

    Raises:
        ConfigError: the text ends before; ``unfinished`` says so.
    """
    lexer.jump(UNTIL[quote])
    character = lexer.peek()
    if character == END:
        raise lexer.error(unfinished)
    is_complete = character == quote
    if is_complete:
        lexer.emit(kind)
    lexer.read()
    if is_complete:
        lexer.ignore()
    return is_complete


def bare_include(lexer: Scanner) -> State:
    character = lexer.read()
    if character in "\n\r\0;}\t ":
        lexer.back()
        lexer.emit(Kind.INCLUDE)
        return lexer.stack.pop()
    return _closed(lexer, Kind.INCLUDE) if character == "'" else bare_include


def _closed(lexer: Scanner, kind: str) -> State:
    """A quote was read that ends the item."""
    lexer.back()
    lexer.emit(kind)
    lexer.read()
    lexer.ignore()
    return lexer.stack.pop()


# Strings


def raw(lexer: Scanner) -> State | None:
    """A string in single quotes, without."""
    lexer.jump(_OF_RAW)
    character = lexer.read()
    if character == "'":
        return _closed(lexer, Kind.STRING)
    if character == END:
        lexer.end()
        return None
    return raw


def quoted(lexer: Scanner) -> State | None:
    """A string in double quotes, with escapes."""
    lexer.jump(_OF_QUOTED)
    character = lexer.read()
    if character == "\\":
        return _part(lexer)
    if character == '"':
        return _closed(lexer, Kind.STRING)
    if character == END:
        lexer.end()
        return None
    return quoted


def bare(lexer: Scanner) -> State:
    """A string without quotes, and what turns out to be a variable or true or false."""
    lexer.jump(_OF_STRING)
    character = lexer.read()
    if character == "\\":
        return _part(lexer)
    if character == "'":
        return _closed(lexer, Kind.STRING)
    if character not in "\n\r\0;,]}\t ":
        return bare
    lexer.back()
    if lexer.parts:
        lexer.emit(Kind.STRING)
    elif lexer.text[lexer.start : lexer.at].lower() in ("true", "false", "on", "off", "yes", "no"):
        lexer.emit(Kind.BOOL)
    elif lexer.text[lexer.start : lexer.start + 1] == "$":
        lexer.start += 1
        lexer.emit(Kind.VARIABLE)
    else:
        lexer.emit(Kind.STRING)
    return lexer.stack.pop()


def _part(lexer: Scanner) -> State:
    """A backslash was read: keep what is before it."""
    lexer.parts.append(lexer.text[lexer.start : lexer.at - 1])
    lexer.start = lexer.at
    return escape


def escape(lexer: Scanner) -> State:
    character = lexer.read()
    meant = _ESCAPES.get(character)
    if character == "x":
        meant = _byte(lexer)
    if meant is None:
        raise lexer.error(
            f"Invalid escape character '{shown(character)}'. "
            'Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\", \\\\.'
        )
    lexer.parts.append(meant)
    lexer.start = lexer.at
    return lexer.string_state


def _byte(lexer: Scanner) -> str:
    for _ in range(2):
        if lexer.read() in "\n\r":
            raise lexer.error("Expected two hexadecimal digits after '\\x', but hit end of line")
    digits = lexer.text[lexer.at - 2 : lexer.at]
    if re.fullmatch(r"[0-9A-Fa-f]{2}", digits) is None:
        raise lexer.error(f"Expected two hexadecimal digits after '\\x', but got '{digits}'")
    return chr(int(digits, 16))


def block(lexer: Scanner) -> State:
    """A string in parentheses, the last of which stands alone on its line."""
    lexer.jump(_OF_BLOCK)
    character = lexer.read()
    if character == END:
        raise lexer.error("Unexpected EOF processing block.")
    if character == ")" and lexer.text[lexer.at - 2] == "\n":  # it stands at the beginning of a line
        after = lexer.read()
        if after in "\n\0":
            lexer.back()
            lexer.back()  # at the end of the text nothing was read, and the parenthesis becomes part of the string
            return _block_end(lexer)
        lexer.back()
    return block


def _block_end(lexer: Scanner) -> State:
    lexer.emit(Kind.STRING)
    lexer.read()
    lexer.ignore()
    return lexer.stack.pop()


# Numbers, and what begins like them


def number(lexer: Scanner) -> State:
    """A digit has been read: of a number, a date, an address or a string."""
    lexer.jump(_DIGITS)
    character = lexer.read()
    if character == "-":
        if lexer.at - lexer.start != 5:
            raise lexer.error("All ISO8601 dates must be in full Zulu form.")
        return date
    if is_digit(character):
        return number
    if character == ".":
        return fraction_start
    if character in _SUFFIXES:
        return suffix
    if character not in _AFTER_NUMBER:
        lexer.string_state = bare
        return bare
    return _number(lexer, Kind.INTEGER)


def suffix(lexer: Scanner) -> State:
    lexer.jump(_UNITS)
    character = lexer.read()
    lexer.back()
    if character in _AFTER_NUMBER:
        lexer.emit(Kind.INTEGER)
        return lexer.stack.pop()
    lexer.string_state = bare
    return bare


def date(lexer: Scanner) -> State:
    for wanted in _DATE:
        character = lexer.read()
        if wanted == "0":
            if not is_digit(character):
                raise lexer.error(f"Expected digit in ISO8601 datetime, but found '{shown(character)}' instead.")
        elif character != wanted:
            raise lexer.error(f"Expected '{wanted}' in ISO8601 datetime, but found '{shown(character)}' instead.")
    lexer.emit(Kind.DATE)
    return lexer.stack.pop()


def negative_start(lexer: Scanner) -> State:
    """A minus sign has been read."""
    character = lexer.read()
    if character == ".":
        raise lexer.error("Floats must start with a digit, not '.'.")
    if not is_digit(character):
        raise lexer.error(f"Expected a digit but got '{shown(character)}'.")
    return negative


def negative(lexer: Scanner) -> State:
    lexer.jump(_DIGITS)
    character = lexer.read()
    if is_digit(character):
        return negative
    if character == ".":
        return fraction_start
    return suffix if character in _SUFFIXES else _number(lexer, Kind.INTEGER)


def fraction_start(lexer: Scanner) -> State:
    character = lexer.read()
    if not is_digit(character):
        raise lexer.error(f"Floats must have a digit after the '.', but got '{shown(character)}' instead.")
    return fraction


def fraction(lexer: Scanner) -> State:
    lexer.jump(_DIGITS)
    character = lexer.read()
    if is_digit(character):
        return fraction
    return address if character == "." else _number(lexer, Kind.FLOAT)


def _number(lexer: Scanner, kind: str) -> State:
    """One character too many was read."""
    lexer.back()
    lexer.emit(kind)
    return lexer.stack.pop()


def address(lexer: Scanner) -> State:
    lexer.jump(_OF_ADDRESS)
    if is_digit(lexer.read()):
        return address
    return _number(lexer, Kind.STRING)


# Comments


def comment(lexer: Scanner) -> State:
    lexer.jump(_OF_COMMENT)
    if lexer.peek() in "\n\r\0":
        lexer.emit(Kind.COMMENT)
        return lexer.stack.pop()
    lexer.read()
    return comment


def comment_then(lexer: Scanner, state: State) -> State:
    """A comment has begun; the state follows it."""
    lexer.stack.append(state)
    lexer.ignore()
    return comment
